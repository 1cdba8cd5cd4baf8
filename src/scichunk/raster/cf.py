"""Masking and scaling by CF rules, in xarray's own order of operations and types, fused into the read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.buffers import allocate_result, cached_blocks

__all__ = ["Decoding", "Step", "decoded_dtype", "step_from"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Step:
    """Decoding of one band, or of all."""

    dtype: str
    """Type of the decoded values, as xarray chooses it."""
    fill: float | complex | None
    scale: float | None
    offset: float | None

    def apply(self, raw: Array, out: Array) -> None:
        """Decode into ``out``: what equals the fill value becomes NaN; then times scale, plus offset.

        Integers of 64 bits are compared as they are stored: as doubles, values beside the fill value may equal it (xarray compares those).
        """
        kind = np.dtype(self.dtype)
        work = out if out.dtype == kind else np.empty(raw.shape, kind)
        np.copyto(work, raw, casting="unsafe")
        if self.fill is not None and self.fill == self.fill:  # NaN stays NaN
            missing = complex(np.nan, np.nan) if work.dtype.kind == "c" else np.nan
            exact = raw.dtype.kind in "iu" and raw.dtype.itemsize == 8
            np.putmask(work, raw == self.fill if exact else work == work.dtype.type(self.fill), missing)
        if self.scale is not None:
            work *= self.scale
        if self.offset is not None:
            work += self.offset
        if work is not out:
            out[...] = work


@dataclass(frozen=True, slots=True)
class Decoding:
    """How raw values become decoded ones.

    Parameters
    ----------
    dtype
        Of the result.
    steps
        One for all, or one for each position along the first axis.
    """

    dtype: str
    steps: tuple[Step, ...]

    def apply(self, raw: Array, bands: Array | None) -> Array:
        """Decode a block.

        Parameters
        ----------
        raw
            Raw values.
        bands
            Positions along the file's first axis that the block's first axis stands for; None if the steps are all alike.
        """
        out = allocate_result(raw.shape, self.dtype)
        if len(self.steps) == 1:
            for values, target in cached_blocks(raw, out):
                self.steps[0].apply(values, target)
        elif bands is not None:
            for i, band in enumerate(bands):
                self.steps[int(band)].apply(raw[i : i + 1], out[i : i + 1])
        return out


def decoded_dtype(dtype: np.dtype[Any], attrs: Mapping[str, Any]) -> np.dtype[Any]:
    """Return the type to which xarray decodes values that can be missing (``xarray.coding.variables._choose_float_dtype``).

    Parameters
    ----------
    dtype
        Of the stored values.
    attrs
        CF attributes: the types of ``scale_factor`` and ``add_offset`` choose between single and double precision.
    """
    if dtype.kind == "c":
        return dtype
    given = [np.dtype(type(attrs[n])) for n in ("scale_factor", "add_offset") if n in attrs]
    if given:
        single = all(d == np.float32 for d in given) and not (dtype.kind in "iu" and dtype.itemsize >= 4)
        return np.dtype("f4") if single and (len(given) == 2 or "scale_factor" in attrs) else np.dtype("f8")
    if dtype.kind == "f":
        return np.dtype("f4") if dtype.itemsize <= 4 else np.dtype("f8")
    return np.dtype("f4") if dtype.itemsize <= 2 else np.dtype("f8")


def step_from(attrs: Mapping[str, Any], dtype: np.dtype[Any]) -> Step:
    """Make a step from CF attributes and the type that xarray decodes to."""
    fill = attrs.get("_FillValue")
    fill = fill.item() if isinstance(fill, np.generic) else fill
    if isinstance(fill, complex) and dtype.kind != "c":
        fill = fill.real  # xarray makes real numbers of complex ones that are scaled, before it compares them
    scale, offset = attrs.get("scale_factor"), attrs.get("add_offset")
    return Step(
        dtype.str,
        fill,
        None if scale is None else float(scale),
        None if offset is None else float(offset),
    )
