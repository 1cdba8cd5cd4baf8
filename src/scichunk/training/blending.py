"""Overlapping predictions, weighted and added, chunk by chunk: a chunk is done with the last patch that reaches into it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["Canvas", "Tiling", "window_weights"]

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Cell = tuple[int, int]
_MOST_INTEGER: Final = 1 << 53
"""Up to it doubles hold all integers."""


def window_weights(size: Sequence[int], blend: str | None) -> Array:
    """Return the weight of each pixel of a patch, largest in its middle.

    Parameters
    ----------
    size
        Of a patch.
    blend
        ``"linear"``: a pyramid; ``"hann"``: smooth; None: all alike.

    Raises
    ------
    ValueError
        For another word.
    """
    if blend not in {"linear", "hann", None}:
        msg = f'blend must be "linear", "hann" or None, got {blend!r}'
        raise ValueError(msg)
    found: Array = np.ones((1,) * len(size), np.float32)
    for axis, length in enumerate(size):
        middle = (np.arange(length) + 0.5) / length  # never 0: at the edge of a scene there may be one patch alone
        along = np.ones(length) if blend is None else 1 - abs(2 * middle - 1)
        if blend == "hann":
            along = np.sin(np.pi * middle) ** 2
        shape = [1] * len(size)
        shape[axis] = length
        found = found * along.astype(np.float32).reshape(shape)
    return found


@dataclass(frozen=True)
class Tiling:
    """The chunks of what is written, and the patches that reach into them."""

    shape: tuple[int, int]
    chunks: tuple[int, int]
    size: tuple[int, int]
    corners: Ints
    """Of all patches, in the order of their numbers, shape (n, 2)."""

    @property
    def counts(self) -> tuple[int, int]:
        """Chunks along each axis."""
        return -(-self.shape[0] // self.chunks[0]), -(-self.shape[1] // self.chunks[1])

    def cells_of(self, corner: Sequence[int]) -> Iterator[Cell]:
        """Yield the chunks into which a patch reaches."""
        spans = [range(c // n, (c + s - 1) // n + 1) for c, n, s in zip(corner, self.chunks, self.size, strict=True)]
        for row in spans[0]:
            for column in spans[1]:
                yield row, column

    def box(self, cell: Cell) -> tuple[slice, slice]:
        """Return the pixels of a chunk."""
        ends = [(i * n, min((i + 1) * n, length)) for i, n, length in zip(cell, self.chunks, self.shape, strict=True)]
        return slice(*ends[0]), slice(*ends[1])

    def patches_by_cell(self) -> dict[Cell, list[int]]:
        """Return the numbers of the patches that reach into each chunk that has some."""
        found: dict[Cell, list[int]] = {}
        for number, corner in enumerate(self.corners.tolist()):
            for cell in self.cells_of(corner):
                found.setdefault(cell, []).append(number)
        return found


def _sum_type(values: Array) -> np.dtype[Any]:
    """Return the type in which predictions are added up.

    Raises
    ------
    ValueError
        If they are no numbers, or integers that floats cannot hold.
    """
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind not in "biufc":
        msg = f"predictions are numbers, and the model gives values of type {values.dtype}"
        raise ValueError(msg)
    if kind in "iu" and size == 8 and values.size and max(int(values.max()), -int(values.min())) > _MOST_INTEGER:
        msg = f"the model gives integers beyond {_MOST_INTEGER}, which are not exact where predictions are blended"
        raise ValueError(msg)
    if kind == "c":
        return np.dtype(np.complex64 if size <= 8 else np.complex128)
    return np.dtype(np.float64 if kind in "iu" or size >= 8 else np.float32)


class Canvas:
    """Sums of weighted predictions of the chunks that are not done yet.

    Parameters
    ----------
    tiling
        Chunks and patches.
    weights
        Of the pixels of a patch.
    left
        How many patches are still to reach into each chunk that is wanted.
    """

    def __init__(self, tiling: Tiling, weights: Array, left: dict[Cell, int]) -> None:
        self._tiling, self._weights, self._left = tiling, weights, left
        self._open: dict[Cell, tuple[Array, Array]] = {}
        self.missing = 0
        """Pixels of done chunks that no patch covers."""

    def add(self, corner: Sequence[int], values: Array) -> Iterator[tuple[Cell, Array]]:
        """Add the prediction of a patch, whose last two axes are rows and columns; yield the chunks that are done with it."""
        kind = _sum_type(values)
        for cell in self._tiling.cells_of(corner):
            if cell not in self._left:  # it was written by an earlier run
                continue
            box = self._tiling.box(cell)
            shape = tuple(b.stop - b.start for b in box)
            if cell not in self._open:
                self._open[cell] = np.zeros((*values.shape[:-2], *shape), kind), np.zeros(shape, np.float32)
            total, weight = self._open[cell]
            inside, outside = [], []
            for first, length, b in zip(corner, self._tiling.size, box, strict=True):
                low, high = max(first, b.start), min(first + length, b.stop)
                inside.append(slice(low - first, high - first))
                outside.append(slice(low - b.start, high - b.start))
            part = self._weights[inside[0], inside[1]]
            total[..., outside[0], outside[1]] += values[..., inside[0], inside[1]] * part
            weight[outside[0], outside[1]] += part
            self._left[cell] -= 1
            if not self._left[cell]:
                del self._left[cell]
                yield cell, self._finish(cell)

    def _finish(self, cell: Cell) -> Array:
        total, weight = self._open.pop(cell)
        bare = weight == 0
        self.missing += int(bare.sum())
        with np.errstate(invalid="ignore"):
            total /= np.where(bare, np.nan, weight)
        return total
