"""FITS scaling of stored values (FITS 4.0, sections 4.4.2.5 and 5.2.5), with the types of astropy."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from scichunk.buffers import cached_blocks
from scichunk.codecs import ways

__all__ = ["Scaling", "choose_scaling"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Scaling:
    """How stored values become physical ones."""

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

    @property
    def offset(self) -> float:
        """What can be added where ``zero`` may be 0: adding -0.0 keeps the sign of zeros, as adding nothing does."""
        return self.zero or -0.0

    def apply(self, stored: Array, out: Array) -> None:
        """Scale ``stored`` (any byte order) into ``out`` of the same shape and of ``dtype``."""
        kernels = _find_kernels(stored, out)
        if kernels is None or not self.apply_compiled(kernels, stored.reshape(-1), out.reshape(-1)):
            self.apply_in_steps(stored, out)

    def apply_in_steps(self, stored: Array, out: Array) -> None:
        """Scale by NumPy, operation by operation."""
        blank = self._stored_blank(stored.dtype)
        with np.errstate(all="ignore"):
            for values, target in cached_blocks(stored, out):
                if self.flip:
                    raw = target.view(f"u{target.dtype.itemsize}")
                    np.copyto(raw.view(stored.dtype.newbyteorder("=")), values)
                    np.bitwise_xor(raw, raw.dtype.type(self.flip), out=raw)
                    continue
                np.copyto(target, values, casting="unsafe")
                if self.scale != 1:
                    np.multiply(target, self.scale, target)
                if self.zero != 0:
                    np.add(target, self.zero, target)
                if blank is not None and (found := values.view(blank.dtype) == blank).any():
                    target[found] = np.nan

    def apply_compiled(self, kernels: ModuleType, stored: Array, out: Array) -> bool:
        """Scale integers in one pass, by :mod:`scichunk.codecs.integer_scaling`; both arrays flat, ``stored`` big-endian.

        False if there is no kernel for them yet.
        """
        words = stored.view(stored.dtype.newbyteorder("="))
        if self.flip:
            raw = f"u{out.dtype.itemsize}"
            return kernels.flip_bit(words.view(raw), np.dtype(raw).type(self.flip), out.view(raw)) is None
        blank = self._stored_blank(stored.dtype)
        with np.errstate(all="ignore"):
            scale, zero = out.dtype.type(self.scale), out.dtype.type(self.offset)
        least = words.dtype.type(0) if blank is None else blank
        return kernels.scale_integers(words, scale, zero, least, blank is not None, out) is None

    def _stored_blank(self, kind: np.dtype[Any]) -> np.generic | None:
        """BLANK as it is stored, as a value of native order: comparing needs no swap."""
        if self.blank is None or kind.kind not in "iu" or not np.iinfo(kind).min <= self.blank <= np.iinfo(kind).max:
            return None
        found = np.array([self.blank], kind).view(kind.newbyteorder("="))
        return cast("np.generic", found[0])


def _find_kernels(stored: Array, out: Array) -> ModuleType | None:
    """Find compiled code that applies, if so much has been scaled that loading it is worth while."""
    swapped = stored.dtype.itemsize == 1 or stored.dtype.byteorder == ">"
    if stored.dtype.kind not in "iu" or not (swapped and stored.flags.c_contiguous and out.flags.c_contiguous):
        return None
    ways.announce("scaling", stored.nbytes)
    return ways.find_kernels("integer_scaling")


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
