"""JPEG 2000 tiles (ITU-T T.800): codestreams of one tile to samples, by the library that is right and fast for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.buffers import borrow_buffer
from scichunk.codecs.jpeg2000 import openjpeg, openjph
from scichunk.codecs.jpeg2000.packet_walk import most_blocks
from scichunk.codecs.jpeg2000.parameters import BLOCK_X, BLOCK_Y, DX, DY, LEVELS, PX, PY, STEP, MainHeader, ceil_div
from scichunk.codecs.jpeg2000.tile_codestream import has_only_coding, header_of_tile
from scichunk.codecs.jpeg2000.tile_runs import join_tiles, run_bounds
from scichunk.core.limits import check_decoded
from scichunk.core.manifest import EncodedChunk, Pieces
from scichunk.errors import FormatError, LimitExceeded, ScichunkError, UnsupportedFeature

__all__ = ["JPEG2000Codec", "check_structures", "sample_type"]

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]
Window = tuple[slice, ...]
Area = tuple[int, int, int, int]

_PACKET_BYTES: Final = 2
"""Of OpenJPEG's table of the packets that have come, of all layers, components, resolutions and precincts."""
_AT_ONCE_BYTES: Final = 1 << 26
"""Samples of one call: OpenJPEG holds 4 bytes of each, twice."""
_STEP: Final = 1024
_SAMPLE_BYTES: Final = 8
"""Of a sample in OpenJPEG, however many bits it has: 4, held twice."""


def sample_type(bits: int, *, signed: bool) -> np.dtype[Any]:
    """Smallest integer type for samples of a depth."""
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4
    return np.dtype(f"{'i' if signed else 'u'}{size}")


@dataclass(frozen=True)
class JPEG2000Codec:
    """Chunks that are codestreams of one tile, which keep their places on the reference grid.

    Parameters
    ----------
    header
        Main header of the whole codestream.
    components
        Which components the bands are.
    reduce
        How many times they are halved.
    tiles
        Number of the tile that each chunk is.
    dtype
        Of the values handed out.
    """

    header: MainHeader = field(repr=False)
    components: tuple[int, ...]
    reduce: int
    tiles: npt.NDArray[np.int64] = field(repr=False)
    dtype: np.dtype[Any]

    @property
    def name(self) -> str:
        """For people."""
        wavelet = "5/3" if self.header.lossless else "9/7"
        kind = "HTJ2K" if self.header.high_throughput else "JPEG 2000"
        more = ", component transform" if self.header.transform else ""
        return f"{kind} {wavelet}, {self.header.order}{more}"

    @property
    def partial(self) -> bool:
        """Whether a window costs only that window: not in HTJ2K, whose windows OpenJPEG decodes to grey."""
        return not self.header.high_throughput and openjpeg.shared_path() is not None

    def chunk_bounds(self, number: int, component: int) -> Area:
        """(x0, y0, x1, y1) of a chunk's samples of a component, halved (B.3, B.5)."""
        return self._sample_bounds(self.header.size.tile_bounds(int(self.tiles[number])), component)

    def _sample_bounds(self, area: Area, component: int) -> Area:
        part, scale = self.header.size.components[component], 1 << self.reduce
        x0, y0, x1, y1 = area
        return (
            ceil_div(ceil_div(x0, part.dx), scale), ceil_div(ceil_div(y0, part.dy), scale),
            ceil_div(ceil_div(x1, part.dx), scale), ceil_div(ceil_div(y1, part.dy), scale),
        )  # fmt: skip

    def window_area(self, number: int, window: Window) -> Area:
        """(x0, y0, x1, y1) on the reference grid of a window of a chunk's samples."""
        part = self.header.size.components[self.components[0]]
        x, y, _, _ = self.chunk_bounds(number, self.components[0])
        tx0, ty0, tx1, ty1 = self.header.size.tile_bounds(int(self.tiles[number]))
        # A window that begins with the tile begins at its origin, which is no multiple of the step in general.
        by_x, by_y = part.dx << self.reduce, part.dy << self.reduce
        rows, columns = window[-2:]
        return (
            max(tx0, (x + columns.start) * by_x) if columns.start else tx0,
            max(ty0, (y + rows.start) * by_y) if rows.start else ty0,
            min(tx1, (x + columns.stop) * by_x),
            min(ty1, (y + rows.stop) * by_y),
        )

    def decode(self, chunk: EncodedChunk, out: Array, window: Window) -> None:
        """Decode a window of a tile."""
        header = header_of_tile(self.header, chunk.data)
        self._check_cost(header)
        # The header of a tile may change coding style and levels (A.6.1: COD and COC there come before those of the main header).
        there = openjpeg.shared_path() is not None
        if self.header.high_throughput:
            # Of 9/7 there is no single right answer, and OpenJPEG's is the reference; 5/3 is exact in both.
            if (there and not header.lossless) or not self._decode_by_openjph(chunk, out, window, there=there):
                self._decode_by_openjpeg(chunk, out, window, header)
            return
        if not there:
            self._decode_by_imagecodecs(chunk, out, window)
            return
        # Large tiles are decoded some rows at a time: OpenJPEG would hold the samples of all of them twice.
        rows, height = window[1], self._rows_at_once(chunk.shape[2], window, header)
        if rows.stop - rows.start <= height or not self.partial or header.high_throughput:
            self._decode_by_openjpeg(chunk, out, window, header)
            return
        step, done = rows.step or 1, 0
        for first in range(rows.start, rows.stop, height * step):
            part = slice(first, min(rows.stop, first + height * step), step)
            count = len(range(part.start, part.stop, step))
            lines = out[:, done : done + count]
            self._decode_by_openjpeg(chunk, lines, (window[0], part, window[2]), header)
            done += count

    def _rows_at_once(self, columns: int, window: Window, header: MainHeader) -> int:
        """How many rows are decoded at a time, of all components that must be decoded for the wanted ones."""
        wanted = self._wanted_components(window)
        count = len(wanted) if _is_separable(header, wanted) else len(header.size.components)
        width = int(window[2].stop - window[2].start)
        most = options.get().max_chunk_bytes // (_SAMPLE_BYTES * max(1, count * width))
        if not most:
            msg = f"samples of {count} components, decoded together, are beyond the limit (options.max_chunk_bytes) in each row"
            raise LimitExceeded(msg)
        usual = max(1, _AT_ONCE_BYTES // max(1, columns * count)) // _STEP * _STEP or _STEP
        return min(usual, most)

    def _wanted_components(self, window: Window) -> list[int]:
        return [self.components[i] for i in range(len(self.components))[window[0]]]

    def _decode_by_openjpeg(self, chunk: EncodedChunk, out: Array, window: Window, header: MainHeader) -> None:
        """Decode through OpenJPEG; ``header``: with what that of the tile changes."""
        data, shape, number, _ = chunk
        rows, columns = window[1:]
        complete = (rows.start, columns.start) == (0, 0) and (rows.stop, columns.stop) == shape[1:]
        by_area = self.partial and not complete and not header.high_throughput
        tile = self.header.size.tile_bounds(int(self.tiles[number]))
        wanted = self._wanted_components(window)
        count = len(self.header.size.components)
        separable = _is_separable(header, wanted)
        area = self.window_area(number, window) if by_area else tile
        if by_area and not separable:
            area = self._cover_components(area, tile)
        # OpenJPEG takes components without samples, as halving leaves them in small tiles, for an error
        empty = any(0 in self._size(area, c) for c in range(count))
        picked = sorted(set(wanted)) if separable and (empty or len(set(wanted)) < count) else ()
        some_empty = empty and not separable
        if some_empty:  # a tile so narrow is decoded as a whole
            by_area, area = False, tile
            sizes = (math.prod(self._size(tile, c)) for c in range(count))
            check_decoded("samples of a tile", _SAMPLE_BYTES * sum(sizes))
        inside = window[1:]
        if by_area:
            x, y, *_ = self.chunk_bounds(number, wanted[0])
            left, top, *_ = self._sample_bounds(area, wanted[0])
            inside = (_shift_slice(rows, y - top), _shift_slice(columns, x - left))
        with openjpeg.decode_codestream(
            data, lambda c: self._size(area, c), count, reduce=self.reduce, area=area if by_area else None, components=picked,
            some_empty=some_empty,
        ) as planes:  # fmt: skip
            for band, component in enumerate(wanted):
                plane = planes[component]
                if plane is not None:
                    np.copyto(out[band], plane[inside], casting="unsafe")

    def _cover_components(self, area: Area, tile: Area) -> Area:
        """Let an area grow within its tile until each component has a sample there: all are decoded, and none is an error."""
        parts = self.header.size.components
        if all(0 not in self._size(area, c) for c in range(len(parts))):
            return area
        across, down = (max(steps) << self.reduce for steps in ({p.dx for p in parts}, {p.dy for p in parts}))
        return (
            max(tile[0], area[0] - across), max(tile[1], area[1] - down),
            min(tile[2], area[2] + across), min(tile[3], area[3] + down),
        )  # fmt: skip

    def decode_run(self, numbers: Sequence[int], data: Sequence[Pieces], out: Array) -> bool:
        """Decode tiles that lie side by side, all of each, by one call.

        Parameters
        ----------
        numbers
            Of the chunks.
        data
            Codestreams of one tile, in pieces.
        out
            Shape (components, rows, columns of all).

        Returns
        -------
        bool
            Whether all went well; if not, each is to be decoded by itself, which says what is wrong.
        """
        if not self._joinable:
            return False
        tiles = [int(self.tiles[n]) for n in numbers]
        area = run_bounds(self.header, tiles)
        if area is None:
            return False
        count = len(self.header.size.components)
        each = (self._size(self.header.size.tile_bounds(t), c) for t in tiles for c in range(count))
        if any(0 in size for size in each):
            return False
        try:
            self._check_cost(self.header)
            joined = join_tiles(self.header, tiles[0], area, data)
            if joined is None:
                return False
            with openjpeg.decode_codestream(
                joined, lambda c: self._size(area, c), count, reduce=self.reduce, tiles=len(tiles)
            ) as planes:  # fmt: skip
                for band, component in enumerate(self.components):
                    np.copyto(out[band], cast("Array", planes[component]), casting="unsafe")
        except ScichunkError:
            return False
        return True

    @cached_property
    def _joinable(self) -> bool:
        """Whether tiles can be joined to one codestream: all components are wanted, and OpenJPEG knows all of the main header."""
        header = self.header
        if header.high_throughput or header.packed or openjpeg.shared_path() is None:
            return False
        return len(set(self.components)) == len(header.size.components) and has_only_coding(header)

    def _size(self, area: Area, component: int) -> tuple[int, int]:
        """Rows and columns of an area on the reference grid."""
        x0, y0, x1, y1 = self._sample_bounds(area, component)
        return y1 - y0, x1 - x0

    def _decode_by_openjph(self, chunk: EncodedChunk, out: Array, window: Window, *, there: bool) -> bool:
        """Decode all of a tile of HTJ2K through OpenJPH; whether it did, which it must where OpenJPEG is not ``there``."""
        data, shape, _, _ = chunk
        if self.reduce and there:
            return False
        if not openjph.is_known(self.header, data):
            return self._leave_to_openjpeg("it has what OpenJPH does not read", there=there)
        one = len(self.header.size.components) == 1
        try:
            image, shift = openjph.decode_codestream(
                data, self.header, reduce=self.reduce, scratch=_borrow_array(shape[1:], np.dtype("i4")) if one else None
            )
        except FormatError as error:  # OpenJPEG has the last word
            return self._leave_to_openjpeg(str(error), there=there)
        if image.shape[:2] != shape[1:]:
            return self._leave_to_openjpeg(f"an image of {image.shape}, not {shape[1:]}", there=there)
        for band, component in enumerate(self._wanted_components(window)):
            part = self.header.size.components[component]
            openjph.clamp_samples(
                image[window[1], window[2], component], shift, part.bits, out[band], signed=part.signed
            )
        return True

    def _decode_by_imagecodecs(self, chunk: EncodedChunk, out: Array, window: Window) -> None:
        """Decode all of a tile through imagecodecs, where there is no OpenJPEG to ask."""
        import imagecodecs

        data, shape, number, _ = chunk
        tile, count = self.header.size.tile_bounds(int(self.tiles[number])), len(self.header.size.components)
        bounds = [self._sample_bounds(tile, c) for c in range(count)]
        if len({(x1 - x0, y1 - y0) for x0, y0, x1, y1 in bounds}) > 1:
            msg = "components of several sizes"
            raise _refuse_tile(msg)
        arguments: dict[str, Any] = {"skipres": self.reduce} if self.reduce else {}
        try:
            image: Array = imagecodecs.jpeg2k_decode(data, **arguments)
        except Exception as error:  # imagecodecs raises a class for each codec
            raise _refuse_tile(str(error)) from error
        image = image[..., None] if image.ndim == 2 else image
        if image.dtype.kind not in "iu" or image.shape != (*shape[1:], count):
            msg = f"an image of {image.shape}, not {(*shape[1:], count)}"
            raise _refuse_tile(msg)
        for band, component in enumerate(self._wanted_components(window)):
            np.copyto(out[band], image[window[1], window[2], component], casting="unsafe")

    def _leave_to_openjpeg(self, why: str, *, there: bool) -> bool:
        """Leave a tile to OpenJPEG, or refuse it where that is not there."""
        if not there:
            raise _refuse_tile(why)
        return False

    def _check_cost(self, header: MainHeader) -> None:
        """Refuse tiles whose header promises structures beyond all measure, before anything is made for them."""
        if self.reduce > header.levels:
            msg = f"it can be halved {header.levels} times, less often than others"
            raise FormatError(msg)
        _refuse_costs(*(self._counts if header is self.header else _count_structures(header)))

    @cached_property
    def _counts(self) -> tuple[int, int]:
        return _count_structures(self.header)


def _is_separable(header: MainHeader, wanted: Sequence[int]) -> bool:
    """Whether components can be decoded without the others: the component transform (G.2, G.3) mixes the first three."""
    return not header.transform or min(wanted) >= 3


def _shift_slice(window: slice, by: int) -> slice:
    return slice(window.start + by, window.stop + by, window.step)


def _refuse_tile(why: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"imagecodecs cannot decode it ({why}), and there is no OpenJPEG library")


def check_structures(header: MainHeader) -> None:
    """Refuse a codestream whose header promises structures beyond all measure, before anything is made for them.

    Raises
    ------
    LimitExceeded
        If OpenJPEG would keep more of a tile than ``options.max_chunk_bytes``.
    """
    _refuse_costs(*_count_structures(header))


def _refuse_costs(blocks: int, packets: int) -> None:
    most, limit = options.get().max_chunk_bytes, most_blocks()
    if blocks > limit:
        msg = f"a tile of about {blocks} code-blocks is beyond the limit of {limit} (options.max_chunk_bytes / 256)"
        raise LimitExceeded(msg)
    if packets > most // _PACKET_BYTES:
        msg = f"a tile of up to {packets} packets, {_PACKET_BYTES} bytes each, is beyond the limit of {most} (options.max_chunk_bytes)"
        raise LimitExceeded(msg)


def _count_structures(header: MainHeader) -> tuple[int, int]:
    """About how many code-blocks and precincts the largest tile has, and of how many packets OpenJPEG keeps whether they have come."""
    r = header.resolutions
    (w, h), precincts = _largest_resolutions(header)
    px, py = r[:, PX], r[:, PY]
    bx, by = np.minimum(r[:, BLOCK_X], np.maximum(px - 1, 0)), np.minimum(r[:, BLOCK_Y], np.maximum(py - 1, 0))
    blocks = int((((w >> bx) + 1.0) * ((h >> by) + 1) + precincts).sum())
    # Its table has as much room for each resolution as the one with the most precincts needs.
    resolutions = len(header.size.components) * (int(r[:, LEVELS].max()) + 1)
    return blocks, int(precincts.max()) * (header.layers + 1) * resolutions


def _largest_resolutions(header: MainHeader) -> tuple[tuple[IntArray, IntArray], npt.NDArray[np.floating[Any]]]:
    """Width and height of the largest tile at each resolution, and its precincts, at most."""
    r, size = header.resolutions, header.size
    width, height = min(size.tile_x, size.x1 - size.x0), min(size.tile_y, size.y1 - size.y0)
    # An upper bound, by floats: numbers of a hostile header would overflow integers.
    w, h = (width // r[:, DX] >> r[:, STEP]) + 2, (height // r[:, DY] >> r[:, STEP]) + 2
    precincts: npt.NDArray[np.floating[Any]] = ((w >> r[:, PX]) + 1.0) * ((h >> r[:, PY]) + 1)
    return (w, h), precincts


def _borrow_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Warm memory for one tile."""
    return borrow_buffer("samples", math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)
