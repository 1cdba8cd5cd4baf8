"""Plain regions of many small chunks as numpy tables, for codecs that decode them in one call. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scichunk.core.grid import ChunkGrid
from scichunk.core.selection import Span

__all__ = ["Batch", "WindowRows", "iter_rows", "join_axes", "plan_batch", "plan_rows", "split_batch"]

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

    def __getitem__(self, which: slice) -> Batch:
        return Batch(
            self.numbers[which], self.shapes[which], self.firsts[which], self.counts[which], self.targets[which]
        )


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The rows of chunks that are wanted, for kernels that know no axes; an entry for each row."""

    chunks: IntArray
    """Position of the chunk in the batch."""
    insides: IntArray
    """First value within the chunk, in C order."""
    targets: IntArray
    """First value in the output, in C order."""
    lengths: IntArray
    """How many values."""

    def rows_of(self, start: int, stop: int) -> WindowRows:
        """Rows of the chunks ``start`` to ``stop`` of the batch, as of a batch of their own."""
        first, last = np.searchsorted(self.chunks, (start, stop))
        part = slice(int(first), int(last))
        return WindowRows(self.chunks[part] - start, self.insides[part], self.targets[part], self.lengths[part])


def plan_rows(batch: Batch, shape: Sequence[int]) -> WindowRows:
    """Tabulate the rows (along the last axis) of the windows of a batch.

    Parameters
    ----------
    batch
        Chunks and windows.
    shape
        Of the output.

    Returns
    -------
    Rows
        In C order within each chunk.
    """
    if not len(batch):
        return WindowRows(*(np.empty(0, np.int64) for _ in range(4)))
    alike = (batch.shapes[1:] == batch.shapes[:-1]).all(axis=1) & (batch.counts[1:] == batch.counts[:-1]).all(axis=1)
    bounds = [0, *(np.flatnonzero(~alike) + 1).tolist(), len(batch)]
    parts = [_tabulate_rows(batch, first, last, shape) for first, last in itertools.pairwise(bounds)]
    if len(parts) == 1:
        return WindowRows(*parts[0])
    return WindowRows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _tabulate_rows(
    batch: Batch, first: int, last: int, shape: Sequence[int]
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Columns of :class:`WindowRows` for a run of chunks with windows of one shape."""
    size, count = batch.shapes[first].tolist(), batch.counts[first].tolist()
    within, beyond = np.zeros(1, np.int64), np.zeros(1, np.int64)
    inner = outer = 1
    inside, target = batch.firsts[first:last, -1].copy(), batch.targets[first:last, -1].copy()
    for axis in range(len(shape) - 2, -1, -1):
        inner, outer = inner * size[axis + 1], outer * shape[axis + 1]
        inside += batch.firsts[first:last, axis] * inner
        target += batch.targets[first:last, axis] * outer
        along = np.arange(count[axis])[:, None]
        within, beyond = (along * inner + within).reshape(-1), (along * outer + beyond).reshape(-1)
    insides, targets = (inside[:, None] + within).reshape(-1), (target[:, None] + beyond).reshape(-1)
    chunks = np.arange(first, last)
    if len(within) > 1:
        chunks = np.repeat(chunks, len(within))
    return chunks, insides, targets, np.full(len(chunks), count[-1], np.int64)


def join_axes(batch: Batch, shape: Sequence[int]) -> tuple[Batch, tuple[int, ...]]:
    """Join the last axes that are whole in chunks, windows and output to the axes before them, so that rows are longer, and fewer.

    Returns
    -------
    Batch
        The same windows as :func:`plan_rows` sees them, of fewer axes.
    shape
        Of the output, likewise.
    """
    joined = tuple(shape)
    while len(batch) and len(joined) > 1:
        *others, before, last = joined
        if not ((batch.counts[:, -1] == last).all() and (batch.shapes[:, -1] == last).all()):
            break
        tables = (batch.shapes, batch.firsts, batch.counts, batch.targets)
        batch = Batch(batch.numbers, *(_drop_last(table, last) for table in tables))
        joined = (*others, before * last)
    return batch, joined


def _drop_last(table: IntArray, length: int) -> IntArray:
    """Columns of all axes but the last, of which the new last one counts values."""
    rest = table[:, :-1].copy()
    rest[:, -1] *= length
    return rest


def iter_rows(batch: Batch, shape: Sequence[int], most: int) -> Iterator[WindowRows]:
    """Tabulate rows as :func:`plan_rows` does, but at most so many at once of a chunk that has more.

    The plan of a large chunk of short rows would take many times the memory of its values.
    """
    totals = batch.counts[:, :-1].prod(axis=1)
    if totals.max(initial=0) <= most:
        yield plan_rows(batch, shape)
        return
    for chunk, total in enumerate(totals.tolist()):
        for start in range(0, total, most):
            yield _tabulate_part(batch, chunk, np.arange(start, min(start + most, total)), shape)


def _tabulate_part(batch: Batch, chunk: int, which: IntArray, shape: Sequence[int]) -> WindowRows:
    """Tabulate some of the rows of one window, by their numbers in C order."""
    size, count = batch.shapes[chunk].tolist(), batch.counts[chunk].tolist()
    first, place = batch.firsts[chunk].tolist(), batch.targets[chunk].tolist()
    insides, targets = np.full(len(which), first[-1]), np.full(len(which), place[-1])
    inner = outer = 1
    along = np.unravel_index(which, count[:-1])
    for axis in range(len(shape) - 2, -1, -1):
        inner, outer = inner * size[axis + 1], outer * shape[axis + 1]
        insides += (along[axis] + first[axis]) * inner
        targets += (along[axis] + place[axis]) * outer
    return WindowRows(np.full(len(which), chunk), insides, targets, np.full(len(which), count[-1]))


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
        Says the same as :func:`scichunk.core.selection.outer_pieces`.
    """
    chunks, shapes, firsts, counts, targets = [], [], [], [], []
    for axis, span in enumerate(spans):
        if span.stop <= span.start:
            which = np.empty(0, np.int64)
        else:
            which = np.arange(grid.find(axis, span.start), grid.find(axis, span.stop - 1) + 1)
        begin, end = _chunk_bounds(grid, axis, which)
        low, high = np.maximum(begin, span.start), np.minimum(end, span.stop)
        chunks.append(which)
        shapes.append(end - begin)
        firsts.append(low - begin)
        counts.append(high - low)
        targets.append(low - span.start)
    numbers = np.zeros((1,) * len(chunks), np.int64)
    for axis, which in enumerate(chunks):
        numbers = numbers * grid.counts[axis] + which.reshape([-1 if a == axis else 1 for a in range(len(chunks))])
    return Batch(
        numbers.reshape(-1),
        _combine_columns(shapes),
        _combine_columns(firsts),
        _combine_columns(counts),
        _combine_columns(targets),
    )


def _chunk_bounds(grid: ChunkGrid, axis: int, which: IntArray) -> tuple[IntArray, IntArray]:
    edge = grid.edges[axis]
    if isinstance(edge, int):
        return which * edge, np.minimum((which + 1) * edge, grid.shape[axis])
    return edge[which], edge[which + 1]


def _combine_columns(columns: list[IntArray]) -> IntArray:
    """All combinations, as rows in C order."""
    axes = len(columns)
    table = np.empty((*(len(c) for c in columns), axes), np.int64)
    for axis, column in enumerate(columns):
        table[..., axis] = column.reshape([-1 if a == axis else 1 for a in range(axes)])
    return table.reshape(-1, axes) if axes else np.empty((1, 0), np.int64)


def split_batch(batch: Batch, lengths: npt.NDArray[np.uint64], limit: int) -> Iterator[Batch]:
    """Split into runs of chunks of about ``limit`` encoded bytes; ``lengths`` are those of the batch."""
    group = np.cumsum(lengths.astype(np.int64)) // limit
    bounds = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(batch)]
    for first, last in itertools.pairwise(bounds):
        yield batch[first:last]
