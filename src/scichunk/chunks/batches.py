"""Plain regions of many small chunks as numpy tables, for codecs that decode them in one call. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scichunk.chunks.grid import ChunkGrid
from scichunk.chunks.regions import Span

__all__ = ["Batch", "plan_batch"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """The chunks that a region without steps touches, in C order; the last axis of each table is the array's axes."""

    numbers: IntArray
    """Numbers of the chunks, shape (n,)."""
    shapes: IntArray
    """Their shapes, clipped to the array."""
    firsts: IntArray
    """First position that is wanted, within the chunk."""
    counts: IntArray
    """How many are wanted."""
    targets: IntArray
    """Where they go in the output."""

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, which: slice | IntArray) -> Batch:
        return Batch(
            self.numbers[which], self.shapes[which], self.firsts[which], self.counts[which], self.targets[which]
        )


def plan_batch(grid: ChunkGrid, spans: Sequence[Span]) -> Batch:
    """Tabulate the chunks of a region.

    Parameters
    ----------
    grid
        Native chunks.
    spans
        One for each axis, all of step 1.

    Returns
    -------
    Batch
        Says the same as :func:`scichunk.chunks.regions.outer_pieces`.
    """
    chunks, shapes, firsts, counts, targets = [], [], [], [], []
    for axis, span in enumerate(spans):
        if span.stop <= span.start:
            which = np.empty(0, np.int64)
        else:
            which = np.arange(grid.find(axis, span.start), grid.find(axis, span.stop - 1) + 1)
        begin, end = _bounds(grid, axis, which)
        low, high = np.maximum(begin, span.start), np.minimum(end, span.stop)
        chunks.append(which)
        shapes.append(end - begin)
        firsts.append(low - begin)
        counts.append(high - low)
        targets.append(low - span.start)
    numbers = np.zeros((1,) * len(chunks), np.int64)
    for axis, which in enumerate(chunks):
        numbers = numbers * grid.counts[axis] + which.reshape([-1 if a == axis else 1 for a in range(len(chunks))])
    return Batch(numbers.reshape(-1), _table(shapes), _table(firsts), _table(counts), _table(targets))


def _bounds(grid: ChunkGrid, axis: int, which: IntArray) -> tuple[IntArray, IntArray]:
    edge = grid.edges[axis]
    if isinstance(edge, int):
        return which * edge, np.minimum((which + 1) * edge, grid.shape[axis])
    return edge[which], edge[which + 1]


def _table(columns: list[IntArray]) -> IntArray:
    """All combinations, as rows in C order."""
    full = np.broadcast_arrays(*np.ix_(*columns)) if columns else []
    return np.stack([c.reshape(-1) for c in full], axis=-1) if full else np.empty((1, 0), np.int64)
