"""Images through astropy: what the own decoders do not read, and the oracle of the tests."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs.scaling import Scaling
from scichunk.core.arrays import ReferenceArray
from scichunk.core.grid import ChunkGrid
from scichunk.errors import FormatError, LimitExceeded, ScichunkError, UnsupportedFeature
from scichunk.formats.fits.image.manifest import image_scaling, tile_shape
from scichunk.formats.fits.image.one_hdu import OneHDU
from scichunk.formats.fits.image.parameters import check_compression, is_dithered
from scichunk.formats.fits.image.tile_heads import TileHeads
from scichunk.formats.fits.structure import HDU, FITSStructure
from scichunk.quiet import library_lock, quiet
from scichunk.sources import ByteSource
from scichunk.sources.spill import LocalCopy

__all__ = ["open_reference"]

_MOST_NUMBERED: Final = 999
"""Largest number at the end of a keyword: axes, fields and group parameters cannot be more (FITS 4.0, sections 4.4.1 and 7.3.1)."""


class AstropyWindows:
    """Reads windows of one HDU, one at a time in this process."""

    def __init__(self, source: ByteSource, hdu: HDU, *, raw: bool) -> None:
        self._source, self._hdu, self._raw = source, hdu, raw
        self._heads = TileHeads(hdu, source)
        self._copy = LocalCopy(source, ".fits", "astropy reads it")

    def close(self) -> None:
        """Give up the copy of the file if there is one."""
        self._copy.close()

    def _check_size(self, window: tuple[slice, ...]) -> None:
        """Compare what astropy makes of a window with the limit: of tiles it takes whole ones, of random groups all."""
        spans = [(s.start, s.stop) for s in window]
        if self._hdu.kind == "compressed":
            edges = tile_shape(self._hdu)
            ends = [(a // e * e, -(-b // e) * e) for (a, b), e in zip(spans, edges, strict=True)]
            spans = [(a, min(b, n)) for (a, b), n in zip(ends, self._hdu.shape, strict=True)]
        size = abs(self._hdu.bitpix) // 8 * math.prod(max(0, b - a) for a, b in spans)
        size = self._hdu.nbytes if self._hdu.kind == "groups" else size
        limit = options.get().max_chunk_bytes
        if size > limit:
            msg = f"astropy would have to hold {size} bytes, beyond the limit of {limit} (options.max_chunk_bytes)"
            raise LimitExceeded(msg)

    def _open_file(self, path: str) -> Any:  # astropy has no types
        from astropy.io import fits

        part = OneHDU(path, self._hdu.start, self._hdu.end)
        try:
            stored = self._raw or self._hdu.kind == "compressed"
            return fits.open(part, memmap=False, lazy_load_hdus=True, do_not_scale_image_data=stored)
        except BaseException:
            part.close()
            raise

    def __call__(self, window: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read ascending slices."""
        self._check_size(window)
        if self._hdu.kind == "compressed":
            self._heads.check(window)
        with (
            library_lock()
        ):  # its HCOMPRESS decoder has static state, and the table of its dither is published before it is filled
            try:
                with self._copy.path() as path, quiet(), self._open_file(path) as file:
                    hdu = file[min(1, self._hdu.index)]
                    if self._hdu.kind == "groups":
                        return self._read_groups(hdu, window)
                    found = np.asarray(hdu.section[window])
                    if self._hdu.kind != "compressed":
                        return found
                    # Not by astropy: version 6.1 leaves BLANK of integers, makes NaN of BLANK = 0, and gives other types.
                    return _scale_values(found, image_scaling(self._hdu, raw=self._raw))
            except ScichunkError:
                raise
            except Exception as error:  # astropy raises whatever it meets
                msg = f"astropy cannot read it: {type(error).__name__}: {error}"
                raise FormatError(msg) from error

    def _read_groups(self, hdu: Any, window: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read arrays of random groups: astropy scales them also where it is told not to, and looks for BZEROS instead of BZERO."""
        records = hdu.data.view(np.ndarray)
        stored = records[records.dtype.names[-1]].reshape(self._hdu.shape)[window]
        scaling = image_scaling(self._hdu, raw=self._raw)
        if not scaling.plain and not scaling.flip:  # the type that astropy gives them
            scaling = replace(scaling, dtype=np.dtype(np.float64), cast=True)
        return _scale_values(stored, scaling)

    def find_dtype(self) -> np.dtype[Any]:
        """Type of the values that astropy gives; asked of one of them."""
        one = self(tuple(slice(0, 1) for _ in self._hdu.shape))
        return one.dtype.newbyteorder("=")


def _scale_values(stored: npt.NDArray[Any], scaling: Scaling) -> npt.NDArray[Any]:
    if scaling.plain:
        return np.asarray(stored)
    out = np.empty(stored.shape, scaling.dtype)
    scaling.apply(stored, out)
    return out


def _check_headers(structure: FITSStructure, hdu: HDU) -> None:
    """Check the numbers that astropy takes on trust.

    It loops as often as they say while it holds the lock, or hands them to decoders in C. The header is parsed by astropy's own
    parser, which knows more spellings of a keyword (HIERARCH, lower case) than ours does.
    """
    with quiet():
        header = _astropy_header(hdu)
        counts = {name: header.get(name, 0) for name in ("NAXIS", "TFIELDS", "ZNAXIS")}
    if header.get("GROUPS") is True:
        counts["PCOUNT"] = header.get("PCOUNT", 0)  # parameters, which astropy makes columns of
    for name, count in counts.items():
        if not isinstance(count, int | float) or not 0 <= count <= _MOST_NUMBERED:
            msg = f"{name} is {count!r}, not a number between 0 and {_MOST_NUMBERED}"
            raise FormatError(msg, part=f"HDU {hdu.index}")
    if hdu.kind == "compressed":
        with quiet():
            _check_compressed(structure, hdu, header)


def _astropy_header(hdu: HDU) -> Any:  # astropy has no types
    from astropy.io import fits

    return fits.Header.fromstring(hdu.cards.text)


def _check_compressed(structure: FITSStructure, hdu: HDU, header: Any) -> None:
    """Check a compressed image, whose table and heap astropy may read as a whole."""
    check_compression(header)
    names = [f"ZVAL{i}" for i in range(1, 1000) if str(header.get(f"ZNAME{i}")).strip().upper() == "BYTEPIX"]
    if any(header.get(name) == 8 for name in names):
        msg = "BYTEPIX is 8, which astropy's decoder answers with memory beyond its buffer"
        raise UnsupportedFeature(msg)
    if is_dithered(header) and "ZDITHER0" not in header:
        msg = "there is no ZDITHER0, for which astropy's decoder reads memory before its table"
        raise UnsupportedFeature(msg)
    tile_shape(hdu)
    # The table of tiles is read by astropy as a whole, with its heap, so both are compared with the file first.
    cards = hdu.cards
    table, heap = cards.get_integer("NAXIS1") * cards.get_integer("NAXIS2"), cards.get_integer("PCOUNT", 0)
    if table + heap > structure.size:
        msg = f"a table of {table} bytes with a heap of {heap} bytes in a file of {structure.size}"
        raise FormatError(msg)
    limit = options.get().max_header_bytes
    if table > limit:
        msg = f"a table of tiles of {table} bytes, more than {limit} (options.max_header_bytes)"
        raise LimitExceeded(msg)


def open_reference(structure: FITSStructure, hdu: HDU, why: str, *, raw: bool) -> ReferenceArray:
    """Open an image through astropy.

    Raises
    ------
    FormatError
        If astropy cannot read it, or would trust a number in its headers that is impossible.
    """
    try:
        _check_headers(structure, hdu)
    except ScichunkError:
        raise
    except Exception as error:  # astropy raises whatever it meets
        msg = f"astropy cannot read its headers: {type(error).__name__}: {error}"
        raise FormatError(msg) from error
    windows = AstropyWindows(structure.source, hdu, raw=raw)
    shape = hdu.shape
    # One chunk: astropy has no grid that would be worth keeping to, and takes any window.
    edges = tuple(max(1, n) for n in shape)
    return ReferenceArray(ChunkGrid(shape, edges), windows.find_dtype(), why, windows)
