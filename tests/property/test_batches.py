"""Plans of batches of chunks: whatever the grid and the window, each value goes where NumPy puts it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scichunk.core.batches import iter_rows, join_axes, plan_batch, plan_rows
from scichunk.core.grid import ChunkGrid
from scichunk.core.selection import Span

NAMES = ("chunks", "insides", "targets", "lengths")


@st.composite
def windows(draw):
    shape = tuple(draw(st.lists(st.integers(1, 13), min_size=1, max_size=4)))
    edges = tuple(draw(st.integers(1, n)) for n in shape)
    whole = draw(st.integers(0, len(shape)))  # so many axes are neither cut into chunks nor into windows
    first = len(shape) - whole
    edges = edges[:first] + shape[first:]
    bounds = [sorted((draw(st.integers(0, n)), draw(st.integers(0, n)))) for n in shape[:first]]
    return ChunkGrid(shape, edges), [Span(a, b) for a, b in bounds] + [Span(0, n) for n in shape[first:]]


def chunk_of(grid, array, number):
    at = np.unravel_index(number, grid.counts)
    return array[tuple(slice(*grid.bounds(axis, int(i))) for axis, i in enumerate(at))]


def placed(plans, chunks, shape):
    """What plans put where, each position once; -1 where they put nothing."""
    out = np.full(int(np.prod(shape)), -1)
    for rows in plans:
        for chunk, inside, target, n in zip(*(getattr(rows, name) for name in NAMES), strict=True):
            assert (out[target : target + n] == -1).all()
            out[target : target + n] = chunks[chunk][inside : inside + n]
    return out.reshape(shape)


@given(windows(), st.data())
def test_rows_put_each_value_where_it_belongs(given_window, data):
    grid, spans = given_window
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    expected = array[tuple(slice(s.start, s.stop) for s in spans)]
    batch = plan_batch(grid, spans)
    rows = plan_rows(batch, expected.shape)
    assert len(batch) == 0 or expected.size
    chunks = [chunk_of(grid, array, int(n)).reshape(-1) for n in batch.numbers]
    np.testing.assert_array_equal(placed([rows], chunks, expected.shape), expected)

    joined, shape = join_axes(batch, expected.shape)
    longer, most = plan_rows(joined, shape), data.draw(st.integers(1, 40))
    np.testing.assert_array_equal(placed([longer], chunks, expected.shape), expected)
    parts = list(iter_rows(joined, shape, most))
    np.testing.assert_array_equal(placed(parts, chunks, expected.shape), expected)
    for part in parts:
        assert np.unique(part.chunks, return_counts=True)[1].max(initial=0) <= most
    together = [np.concatenate([getattr(part, name) for part in parts]) for name in NAMES]
    for name, column in zip(NAMES, together, strict=True):
        np.testing.assert_array_equal(column, getattr(longer, name))

    if len(batch):
        first = data.draw(st.integers(0, len(batch) - 1))
        last = data.draw(st.integers(first + 1, len(batch)))
        part, alone = rows.rows_of(first, last), plan_rows(batch[first:last], expected.shape)
        for name in NAMES:
            np.testing.assert_array_equal(getattr(part, name), getattr(alone, name))


@given(windows())
def test_axes_that_are_shared_are_one(given_window):
    grid, spans = given_window
    sizes = [s.stop - s.start for s in spans]
    batch = plan_batch(grid, spans)
    joined, shape = join_axes(batch, sizes)
    whole = [bool((batch.shapes[:, i] == n).all() and (batch.counts[:, i] == n).all()) for i, n in enumerate(sizes)]
    kept = next((i for i in range(len(sizes) - 1, 0, -1) if not whole[i]), 0) + 1
    assert len(shape) == (kept if len(batch) else len(sizes))
    assert np.prod(shape) == np.prod(sizes)
    assert joined.counts.shape[1] == len(shape)
