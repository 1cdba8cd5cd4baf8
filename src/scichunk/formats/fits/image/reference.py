"""Images through astropy: what the indexed lane does not decode, and the oracle of the tests."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.core.arrays import ReferenceArray
from scichunk.core.grid import ChunkGrid
from scichunk.errors import FormatError, LimitExceeded, ScichunkError
from scichunk.formats.fits.structure import HDU
from scichunk.quiet import alone, quiet
from scichunk.sources import ByteSource
from scichunk.sources.spill import LocalCopy

__all__ = ["open_reference"]

_ITEM: Final = 8
"""Bytes of a value, at most."""


class AstropyWindows:
    """Reads windows of one HDU, one at a time in this process."""

    def __init__(self, source: ByteSource, hdu: HDU, *, raw: bool) -> None:
        self._source, self._hdu, self._raw = source, hdu, raw
        self._copy = LocalCopy(source, ".fits", "astropy reads it")

    def close(self) -> None:
        """Give up the copy of the file if there is one."""
        self._copy.close()

    def _open(self, path: str) -> Any:  # astropy has no types
        from astropy.io import fits

        return fits.open(path, memmap=False, lazy_load_hdus=True, do_not_scale_image_data=self._raw)

    def __call__(self, window: tuple[slice, ...]) -> npt.NDArray[Any]:
        """Read ascending slices."""
        self._check_sizes(window)
        with (
            alone()
        ):  # its HCOMPRESS decoder has static state, and the table of its dither is published before it is filled
            try:
                with self._copy.path() as path, quiet(), self._open(path) as file:
                    hdu = file[self._hdu.index]
                    found = hdu.data.data[window] if self._hdu.kind == "groups" else hdu.section[window]
                    return np.asarray(found)
            except ScichunkError:
                raise
            except Exception as error:  # astropy raises whatever it meets
                msg = f"astropy cannot read it: {type(error).__name__}: {error}"
                raise FormatError(msg) from error

    def _check_sizes(self, window: tuple[slice, ...]) -> None:
        """Refuse a window, or tiles that must be decoded for it, beyond the limit: astropy allocates what the header says."""
        hdu, limit = self._hdu, options.get().max_chunk_bytes
        sizes = {"window": math.prod(s.stop - s.start for s in window) * _ITEM}
        if hdu.kind == "groups":
            sizes["HDU"] = hdu.nbytes
        if hdu.kind == "compressed":
            cards, axes = hdu.cards, len(hdu.shape)
            tile = [cards.integer(f"ZTILE{axes - i}", n if i == axes - 1 else 1) for i, n in enumerate(hdu.shape)]
            sizes["tile"] = math.prod(max(1, min(t, n)) for t, n in zip(tile, hdu.shape, strict=True)) * _ITEM
            rows = cards.integer("NAXIS1") * cards.integer("NAXIS2")
            if hdu.data + rows > self._source.fingerprint.size:
                msg = f"a table of {rows} bytes from byte {hdu.data} on, in a file of {self._source.fingerprint.size} bytes"
                raise FormatError(msg, tried="reference (astropy)")
        for what, size in sizes.items():
            if size > limit:
                msg = f"a {what} of up to {size} bytes, more than {limit} (options.max_chunk_bytes)"
                raise LimitExceeded(msg, tried="reference (astropy)")

    def dtype(self) -> np.dtype[Any]:
        """Type of the values that astropy gives; asked of one of them."""
        one = self(tuple(slice(0, 1) for _ in self._hdu.shape))
        return one.dtype.newbyteorder("=")


def open_reference(source: ByteSource, hdu: HDU, why: str, *, raw: bool) -> ReferenceArray:
    """Open an image through astropy.

    Raises
    ------
    FormatError
        If astropy cannot read it.
    """
    windows = AstropyWindows(source, hdu, raw=raw)
    shape = hdu.shape
    edges = tuple(max(1, n) for n in shape)
    return ReferenceArray(ChunkGrid(shape, edges), windows.dtype(), why, windows)
