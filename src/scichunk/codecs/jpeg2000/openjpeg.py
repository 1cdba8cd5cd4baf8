"""OpenJPEG through ctypes and memory streams: one codec object for each call, so any number of threads may decode.

The library is not shipped here: wheels of imagecodecs, rasterio or Pillow bring it along, or the system does.
"""

from __future__ import annotations

import bisect
import contextlib
import ctypes
import importlib.util
import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from ctypes import POINTER, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.core.manifest import Pieces
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature

__all__ = ["decode_codestream", "describe_library", "shared_path"]

Plane = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Area = tuple[int, int, int, int]

_OLDEST: Final = (2, 4)  # decoding of picked components, strict by default
_PACKAGES: Final = ("imagecodecs", "rasterio", "PIL")
_MOST_MESSAGES: Final = 8


class _Component(ctypes.Structure):
    """``opj_image_comp_t``."""

    _fields_ = (
        ("dx", c_uint32), ("dy", c_uint32), ("w", c_uint32), ("h", c_uint32), ("x0", c_uint32), ("y0", c_uint32),
        ("prec", c_uint32), ("bpp", c_uint32), ("sgnd", c_uint32), ("resno_decoded", c_uint32), ("factor", c_uint32),
        ("data", POINTER(c_int32)), ("alpha", c_uint16),
    )  # fmt: skip


class _Image(ctypes.Structure):
    """``opj_image_t``."""

    _fields_ = (
        ("x0", c_uint32), ("y0", c_uint32), ("x1", c_uint32), ("y1", c_uint32), ("numcomps", c_uint32),
        ("color_space", c_int), ("comps", POINTER(_Component)), ("icc", c_void_p), ("icc_len", c_uint32),
    )  # fmt: skip


# Only what is used has a name here; the library writes its own length of the structure, which differs between versions.
class _Parameters(ctypes.Structure):
    """``opj_dparameters_t``: the first two fields, and more than enough room for the others."""

    _fields_ = (("cp_reduce", c_uint32), ("cp_layer", c_uint32), ("others", c_char * 16384))


_Read = ctypes.CFUNCTYPE(c_size_t, c_void_p, c_size_t, c_void_p)
_Skip = ctypes.CFUNCTYPE(c_int64, c_int64, c_void_p)
_Seek = ctypes.CFUNCTYPE(c_int, c_int64, c_void_p)
_Message = ctypes.CFUNCTYPE(None, c_char_p, c_void_p)

_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "opj_version": (c_char_p, ()),
    "opj_create_decompress": (c_void_p, (c_int,)),
    "opj_destroy_codec": (None, (c_void_p,)),
    "opj_set_default_decoder_parameters": (None, (POINTER(_Parameters),)),
    "opj_setup_decoder": (c_int, (c_void_p, POINTER(_Parameters))),
    "opj_set_error_handler": (c_int, (c_void_p, _Message, c_void_p)),
    "opj_set_info_handler": (c_int, (c_void_p, _Message, c_void_p)),
    "opj_stream_create": (c_void_p, (c_size_t, c_int)),
    "opj_stream_destroy": (None, (c_void_p,)),
    "opj_stream_set_read_function": (None, (c_void_p, _Read)),
    "opj_stream_set_skip_function": (None, (c_void_p, _Skip)),
    "opj_stream_set_seek_function": (None, (c_void_p, _Seek)),
    "opj_stream_set_user_data": (None, (c_void_p, c_void_p, c_void_p)),
    "opj_stream_set_user_data_length": (None, (c_void_p, c_uint64)),
    "opj_read_header": (c_int, (c_void_p, c_void_p, POINTER(POINTER(_Image)))),
    "opj_set_decoded_components": (c_int, (c_void_p, c_uint32, POINTER(c_uint32), c_int)),
    "opj_set_decode_area": (c_int, (c_void_p, POINTER(_Image), c_int32, c_int32, c_int32, c_int32)),
    "opj_decode": (c_int, (c_void_p, c_void_p, POINTER(_Image))),
    "opj_read_tile_header": (
        c_int,
        (c_void_p, c_void_p, *(POINTER(c_uint32),) * 2, *(POINTER(c_int32),) * 4, POINTER(c_uint32), POINTER(c_int)),
    ),
    "opj_decode_tile_data": (c_int, (c_void_p, c_uint32, c_void_p, c_uint32, c_void_p)),
    "opj_image_destroy": (None, (POINTER(_Image),)),
}


def _find_libraries() -> Iterator[str]:
    """Places where an OpenJPEG may be, best first."""
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.origin:
            continue
        package = Path(spec.origin).parent
        wheel = {"PIL": "pillow"}.get(name, name)
        for folder in (package.parent / f"{wheel}.libs", package / ".dylibs", package.parent / f".{wheel}.libs"):
            yield from (str(p) for p in sorted(folder.glob("*openjp2*")))
    for name in ("lib/libopenjp2.so.7", "lib/libopenjp2.so", "lib/libopenjp2.dylib", "Library/bin/openjp2.dll"):
        if (Path(sys.prefix) / name).exists():  # conda
            yield str(Path(sys.prefix) / name)
    from ctypes.util import find_library

    found = find_library("openjp2")
    if found:
        yield found


@cache
def _load_library() -> tuple[str, Any] | None:
    for path in _find_libraries():
        try:
            lib = ctypes.CDLL(path)  # an object of our own: signatures set on it are seen by nobody else
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(lib, name)
                function.restype, function.argtypes = result, arguments
            version = tuple(int(n) for n in lib.opj_version().decode().split(".")[:2])
        except (OSError, AttributeError, ValueError):
            continue
        if version >= _OLDEST:
            return path, lib
    return None


def shared_path() -> str | None:
    """Path of the OpenJPEG that is used; None if there is none."""
    found = _load_library()
    return found[0] if found else None


def describe_library() -> str:
    """Name, version and place of the OpenJPEG that is used, for people."""
    found = _load_library()
    if found is None:
        return "no OpenJPEG found: only whole tiles, through imagecodecs"
    return f"OpenJPEG {found[1].opj_version().decode()} of {Path(found[0]).parent.name}"


_local = threading.local()


class _Stream:
    """A codestream in memory for OpenJPEG to read, and what it says while it does: one for each thread, used again."""

    def __init__(self) -> None:
        self._callbacks = (_Read(self._read), _Skip(self._skip), _Seek(self._seek))
        self._error, self._info = _Message(self._note_message), _Message(self._count_tile)
        self.messages: list[str] = []
        self._tiles = 0
        self._pieces: list[Bytes] = []
        self._stops: list[int] = []
        self._at = self._size = 0

    def open(self, lib: Any, data: bytes | memoryview | Pieces) -> int:
        """Begin with other data; returns OpenJPEG's handle."""
        pieces = [data] if isinstance(data, (bytes, memoryview)) else [piece for piece in data if len(piece)]
        self._pieces = [np.frombuffer(piece, np.uint8) for piece in pieces]
        self._stops = list(itertools.accumulate(map(len, pieces)))
        self._at, self._size = 0, self._stops[-1] if pieces else 0
        self.messages, self._tiles = [], 0
        handle: int = lib.opj_stream_create(max(64, min(self._size, 1 << 16)), 1)
        lib.opj_stream_set_read_function(handle, self._callbacks[0])
        lib.opj_stream_set_skip_function(handle, self._callbacks[1])
        lib.opj_stream_set_seek_function(handle, self._callbacks[2])
        lib.opj_stream_set_user_data(handle, None, None)
        # OpenJPEG compares the lengths of tile-parts with this one, and reports those that are beyond it.
        lib.opj_stream_set_user_data_length(handle, self._size)
        return handle

    def close(self) -> None:
        """Let go of the data, which may be hundreds of megabytes: the thread may decode nothing more for as long as it lives."""
        self._pieces, self._stops = [], []
        self._at = self._size = 0

    def listen(self, lib: Any, codec: c_void_p, *, count: bool) -> None:
        """Take up what a decoder says: errors, and of which tiles it has decoded if they are to be counted."""
        lib.opj_set_error_handler(codec, self._error, None)
        if count:
            lib.opj_set_info_handler(codec, self._info, None)

    def check_tiles(self, tiles: int | None) -> None:
        """Raise an error unless so many were decoded."""
        if tiles not in {None, self._tiles}:
            msg = f"OpenJPEG decoded {self._tiles} tiles of {tiles}"
            raise FormatError(msg)

    def _read(self, buffer: int, size: int, _: Any) -> int:
        count = min(size, self._size - self._at)
        if count <= 0:
            # The end of the stream, by OpenJPEG's convention: (OPJ_SIZE_T) -1, not 0.
            return c_size_t(-1).value or 0
        done, i = 0, bisect.bisect_right(self._stops, self._at)
        while done < count:
            piece, stop = self._pieces[i], self._stops[i]
            part = min(count - done, stop - self._at)
            ctypes.memmove(buffer + done, piece.ctypes.data + self._at - (stop - piece.size), part)
            self._at += part
            done += part
            i += 1
        return count

    def _skip(self, size: int, _: Any) -> int:
        if size < 0 or self._at + size > self._size:
            self._at = self._size
            return -1
        self._at += size
        return size

    def _seek(self, position: int, _: Any) -> int:
        if not 0 <= position <= self._size:
            return 0
        self._at = position
        return 1

    def _count_tile(self, text: bytes | None, _: Any) -> None:
        self._tiles += bool(text and text.endswith(b"has been decoded.\n"))

    def _note_message(self, text: bytes | None, _: Any) -> None:
        if text and len(self.messages) < _MOST_MESSAGES:
            self.messages.append(text.decode("utf-8", "replace").strip())


@contextlib.contextmanager
def decode_codestream(
    data: bytes | memoryview | Pieces,
    sizes: Callable[[int], tuple[int, int]],
    count: int,
    *,
    reduce: int = 0,
    layers: int = 0,
    area: Area | None = None,
    components: Sequence[int] = (),
    tiles: int | None = None,
    some_empty: bool = False,
) -> Iterator[list[Plane | None]]:
    """Decode a codestream.

    Parameters
    ----------
    data
        From SOC to EOC (ITU-T T.800, annex A), also in pieces.
    sizes
        (rows, columns) that a component must come out with.
    count
        Components of the codestream.
    reduce, layers
        How many times the image is halved; only the first quality layers, 0 for all.
    area
        (x0, y0, x1, y1) on the reference grid; None for all.
    components
        Only these, ascending; all if empty. Not with a component transform.
    tiles
        How many tiles must be decoded, by what OpenJPEG says of each: where it loses one, its samples are zeros. None: not looked at.
    some_empty
        Whether some components have no samples in the only tile, which is an error to OpenJPEG where it makes an image of it. Neither
        with an area nor with picked components.

    Yields
    ------
    list of ndarray of int32, or None for components that were not asked for
        Views that end with the context.

    Raises
    ------
    FormatError
        If OpenJPEG refuses the codestream, or gives other sizes.
    UnsupportedFeature
        If there is no OpenJPEG.
    """
    lib = _require_library()
    image = POINTER(_Image)()
    stream = _local.__dict__.setdefault("stream", None) or _Stream()
    _local.stream = None  # taken, so that a read within the context makes another
    codec, handle = c_void_p(lib.opj_create_decompress(0)), stream.open(lib, data)
    try:
        stream.listen(lib, codec, count=tiles is not None)
        if some_empty:
            planes = _decode_tile(lib, codec, handle, image, reduce=reduce, sizes=[sizes(c) for c in range(count)])
            if planes is None:
                raise _explain_failure(stream.messages)
            yield planes
            return
        if not _run_decoder(lib, codec, handle, image, levels=(reduce, layers), area=area, components=components):
            raise _explain_failure(stream.messages)
        stream.check_tiles(tiles)
        yield _take_planes(image.contents, sizes, count, components)
    finally:
        if image:
            lib.opj_image_destroy(image)
        lib.opj_destroy_codec(codec)
        lib.opj_stream_destroy(handle)
        stream.close()
        _local.stream = stream


def _require_library() -> Any:
    found = _load_library()
    if found is None:
        msg = "there is no OpenJPEG library: install a wheel of imagecodecs or rasterio, or libopenjp2"
        raise UnsupportedFeature(msg)
    return found[1]


def _run_decoder(
    lib: Any,
    codec: c_void_p,
    handle: int,
    image: Any,
    *,
    levels: tuple[int, int],
    area: Area | None,
    components: Sequence[int],
) -> bool:
    """Set up and decode; whether all went well. ``image`` points to the result, also to that of a failure."""
    parameters = _Parameters()
    lib.opj_set_default_decoder_parameters(parameters)
    parameters.cp_reduce, parameters.cp_layer = levels
    good = lib.opj_setup_decoder(codec, parameters) and lib.opj_read_header(handle, codec, ctypes.byref(image))
    if good and components:
        which = (c_uint32 * len(components))(*components)
        good = lib.opj_set_decoded_components(codec, len(components), which, 0)
    if good:  # also where all is wanted: only this call makes the sizes right of a reduced image with an offset
        good = lib.opj_set_decode_area(codec, image, *(area or (0, 0, 0, 0)))
    return bool(good and lib.opj_decode(codec, handle, image))


def _decode_tile(
    lib: Any, codec: c_void_p, handle: int, image: Any, *, reduce: int, sizes: Sequence[tuple[int, int]]
) -> list[Plane | None] | None:
    """Decode the first tile by itself, without an image to put it into; None if that fails. ``image`` points to what its header says."""
    parameters = _Parameters()
    lib.opj_set_default_decoder_parameters(parameters)
    parameters.cp_reduce = reduce
    if not (lib.opj_setup_decoder(codec, parameters) and lib.opj_read_header(handle, codec, ctypes.byref(image))):
        return None
    number, nbytes, count, more = c_uint32(), c_uint32(), c_uint32(), c_int()
    bounds = [c_int32() for _ in range(4)]
    if not lib.opj_read_tile_header(codec, handle, number, nbytes, *bounds, count, more) or not more:
        return None
    # Samples of each component as integers of the fewest bytes, of which there may be 1, 2 or 4.
    depths = [(c.prec, bool(c.sgnd)) for c in image.contents.comps[: min(image.contents.numcomps, len(sizes))]]
    kinds = [np.dtype(f"{'i' if s else 'u'}{1 if b <= 8 else 2 if b <= 16 else 4}") for b, s in depths]
    expected = [rows * columns * kind.itemsize for (rows, columns), kind in zip(sizes, kinds, strict=False)]
    if len(kinds) != len(sizes) or sum(expected) != nbytes.value:
        msg = f"a tile decodes to {nbytes.value} bytes, not {sum(expected)}"
        raise FormatError(msg)
    data = np.empty(nbytes.value, np.uint8)
    if not lib.opj_decode_tile_data(codec, number, data.ctypes.data, nbytes, handle):
        return None
    parts = np.split(data, np.cumsum(expected)[:-1])
    return [p.view(k).reshape(size).astype(np.int32) for p, k, size in zip(parts, kinds, sizes, strict=True)]


def _take_planes(
    image: _Image, sizes: Callable[[int], tuple[int, int]], count: int, components: Sequence[int]
) -> list[Plane | None]:
    """Take the decoded components as arrays, after comparing their sizes with those of the headers."""
    which = list(components) or list(range(count))
    if image.numcomps != len(which):
        msg = f"OpenJPEG decoded {image.numcomps} components, not {len(which)}"
        raise FormatError(msg)
    planes: list[Plane | None] = [None] * count
    for position, number in enumerate(which):
        component, (rows, columns) = image.comps[position], sizes(number)
        if not component.data or (component.h, component.w) != (rows, columns):
            msg = f"component {number} decoded to {component.h} x {component.w} pixels, not {rows} x {columns}"
            raise FormatError(msg)
        # A view of OpenJPEG's memory, valid until the image is destroyed: callers copy what they need within the context.
        memory = (c_int32 * (rows * columns)).from_address(ctypes.addressof(component.data.contents))
        planes[number] = np.frombuffer(memory, np.int32).reshape(rows, columns)
    return planes


def _explain_failure(messages: Sequence[str]) -> FormatError | LimitExceeded:
    text = "; ".join(dict.fromkeys(m for m in messages if m)) or "no reason given"
    # The library has no codes of errors, only texts.
    if "memory" in text.lower() and "not enough" in text.lower():
        return LimitExceeded(f"OpenJPEG has not enough memory: {text}")
    return FormatError(f"OpenJPEG cannot decode it: {text}")
