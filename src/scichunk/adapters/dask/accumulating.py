"""What a reduction keeps while it goes through native chunks: a few arrays of the size of its result, changed in place."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["NAMES", "Reduction"]

Array = npt.NDArray[Any]
State = list[Array]
NAMES: Final = ("mean", "sum", "min", "max", "std", "var", "count")


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reduction in three steps: of a block, of two partial results, and from the last of them to values."""

    how: str
    """One of :data:`NAMES`, or ``"call"``."""
    axes: tuple[int, ...]
    """Axes that are reduced."""
    dtype: np.dtype[Any]
    """Type of the result."""
    skipna: bool = False
    ddof: int = 0
    function: Callable[..., Any] | None = None
    combine: Callable[..., Any] | None = None

    def begin(self, block: Array) -> State:
        """Reduce a block; reduced axes have length 1."""
        if self.how == "call":
            return [self._call(block)]
        if self.how == "count":
            return [self._count(block)]
        if self.how in {"min", "max"}:
            return [self._extreme().reduce(block, axis=self.axes, keepdims=True)]
        missing = np.isnan(block) if self.skipna else None
        if missing is not None and not missing.any():
            missing = None
        filled = block if missing is None else np.where(missing, block.dtype.type(0), block)
        total = np.add.reduce(filled, axis=self.axes, dtype=self._wide(block.dtype), keepdims=True)
        if self.how == "sum":
            return [total]
        count = self._count(block, missing)
        if self.how == "mean":
            return [total, count]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / count
            apart = np.subtract(block, mean, dtype=mean.dtype)
        if missing is not None:
            apart[missing] = 0
        np.multiply(apart, apart, out=apart)
        return [
            np.nan_to_num(mean, copy=False) if self.skipna else mean,
            count,
            apart.sum(axis=self.axes, keepdims=True),
        ]

    def join(self, one: State, other: State) -> State:
        """Add a partial result to another, in place."""
        if self.how == "call":
            assert self.combine is not None  # noqa: S101  # without it, there is one part only
            made = self.combine(one[0], other[0])
            return [_of_shape(made, one[0].shape)]
        if self.how in {"std", "var"}:
            return _join_moments(one, other)
        join = self._extreme() if self.how in {"min", "max"} else np.add
        for mine, theirs in zip(one, other, strict=True):
            join(mine, theirs, out=mine)
        return one

    def finish(self, state: State) -> Array:
        """Make the values of the last partial result; reduced axes are dropped."""
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.how == "mean":
                found = state[0] / state[1]
            elif self.how in {"std", "var"}:
                freedom = (state[1] - self.ddof).astype("f8")
                found = state[2] / np.where((freedom > 0) | (not self.skipna), freedom, np.nan)
                found = np.sqrt(found) if self.how == "std" else found
            else:
                found = state[0]
        return np.asarray(np.squeeze(found, self.axes).astype(self.dtype, copy=False))

    def _count(self, block: Array, missing: Array | None = None) -> Array:
        if missing is None and self.how == "count" and block.dtype.kind in "fc":
            missing = np.isnan(block)
        if missing is not None:
            return np.add.reduce(~missing, axis=self.axes, dtype=np.int64, keepdims=True)
        shape = [1 if a in self.axes else n for a, n in enumerate(block.shape)]
        return np.full(shape, math.prod(block.shape[a] for a in self.axes), np.int64)

    def _extreme(self) -> np.ufunc:
        if self.skipna:  # the one of two values that is a number
            return np.fmin if self.how == "min" else np.fmax
        return np.minimum if self.how == "min" else np.maximum

    def _wide(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """The type in which is added up: the widest of the kind, so that many parts lose nothing."""
        if dtype.kind == "c":
            return np.dtype("c16")
        if self.how == "sum" and dtype.kind in "biu":
            return np.dtype(np.uint64 if dtype.kind == "u" else np.int64)
        return np.dtype("f8")

    def _call(self, block: Array) -> Array:
        assert self.function is not None  # noqa: S101
        if isinstance(self.function, np.ufunc):
            return np.asarray(self.function.reduce(block, axis=self.axes, keepdims=True))
        axis = self.axes[0] if len(self.axes) == 1 else self.axes
        shape = tuple(1 if a in self.axes else n for a, n in enumerate(block.shape))
        return _of_shape(self.function(block, axis=axis), shape)


def _of_shape(values: Any, shape: tuple[int, ...]) -> Array:
    """Give the reduced axes back to what a function of the user has made."""
    found = np.asarray(values)
    kept = tuple(n for n in shape if n != 1)
    if found.size != math.prod(shape) or tuple(n for n in found.shape if n != 1) != kept:
        msg = f"the function made an array of shape {found.shape}, where one of shape {shape} is needed (reduced axes may be left out)"
        raise ValueError(msg)
    return found.reshape(shape)


def _join_moments(one: State, other: State) -> State:
    """Join counts, means and sums of squared distances (Chan, Golub, LeVeque 1983): no large numbers are subtracted."""
    (mean, count, squares), (their_mean, their_count, their_squares) = one, other
    both = count + their_count
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(both > 0, their_count / both, 0.0)
    apart = their_mean - mean
    squares += their_squares + apart * apart * (count * share)
    mean += apart * share
    count += their_count
    return one
