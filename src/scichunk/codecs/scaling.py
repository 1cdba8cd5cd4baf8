"""FITS scaling of stored values (FITS 4.0, sections 4.4.2.5 and 5.2.5), with the types of astropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.scratch import cached_blocks

__all__ = ["Scaling", "choose_scaling"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Scaling:
    """From stored to physical values."""

    dtype: np.dtype[Any]
    """Of the physical values."""
    flip: int = 0
    """Most significant bit, to be turned: the convention for unsigned integers and signed bytes."""
    scale: float = 1
    zero: float = 0
    blank: int | None = None
    """Stored value that becomes NaN."""
    cast: bool = False
    """Whether ``dtype`` is not the stored one."""

    @property
    def plain(self) -> bool:
        """Whether values stay as they are."""
        return not (self.flip or self.cast or self.scale != 1 or self.zero != 0 or self.blank is not None)

    def apply(self, stored: Array, out: Array) -> None:
        """Scale ``stored`` (any byte order) into ``out`` of the same shape and of ``dtype``."""
        for values, target in cached_blocks(stored, out):
            self._apply(values, target)

    def _apply(self, stored: Array, out: Array) -> None:
        if self.flip:
            raw = out.view(f"u{out.dtype.itemsize}")
            np.copyto(raw.view(stored.dtype.newbyteorder("=")), stored)
            np.bitwise_xor(raw, raw.dtype.type(self.flip), out=raw)
            return
        np.copyto(out, stored, casting="unsafe")
        blanks = self.blanks(stored)
        with np.errstate(all="ignore"):
            if self.scale != 1:
                np.multiply(out, self.scale, out)
            if self.zero != 0:
                np.add(out, self.zero, out)
        if blanks is not None:
            out[blanks] = np.nan

    def blanks(self, stored: Array) -> Array | None:
        """Where the stored value says that there is none."""
        if self.blank is None:
            return None
        kind = stored.dtype
        info = np.iinfo(kind)
        if not info.min <= self.blank <= info.max:
            return None
        wanted = np.array(self.blank, kind)  # compared as it is stored: that needs no swap
        native = kind.newbyteorder("=")
        found: Array = stored.view(native) == wanted.view(native)
        return found if found.any() else None


def choose_scaling(bitpix: int, scale: float, zero: float, blank: int | None, *, raw: bool = False) -> Scaling:
    """Choose type and scaling as astropy does.

    Parameters
    ----------
    bitpix
        BITPIX (or ZBITPIX).
    scale, zero, blank
        BSCALE, BZERO, BLANK.
    raw
        Stored values are wanted.
    """
    size = abs(bitpix) // 8
    stored = np.dtype(f"f{size}" if bitpix < 0 else "u1" if bitpix == 8 else f"i{size}")
    if bitpix < 0:
        blank = None
    if raw or (scale == 1 and zero == 0 and blank is None):
        return Scaling(stored)
    if scale == 1 and bitpix == 8 and zero == -128:
        return Scaling(np.dtype("i1"), flip=128)
    if scale == 1 and bitpix in {16, 32, 64} and zero == 1 << (bitpix - 1):
        return Scaling(np.dtype(f"u{size}"), flip=1 << (bitpix - 1))
    kind = stored if bitpix < 0 else np.dtype("f8" if bitpix > 16 else "f4")
    # astropy makes floats of values with BLANK = 0, but no NaN
    return Scaling(kind, scale=scale, zero=zero, blank=blank or None, cast=kind != stored)
