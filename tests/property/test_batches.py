"""Plans of batches of chunks: whatever the grid and the window, each value goes where NumPy puts it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scichunk.core.batches import plan_batch, plan_rows
from scichunk.core.grid import ChunkGrid
from scichunk.core.selection import Span


@st.composite
def windows(draw):
    shape = tuple(draw(st.lists(st.integers(1, 13), min_size=1, max_size=4)))
    edges = tuple(draw(st.integers(1, n)) for n in shape)
    bounds = [sorted((draw(st.integers(0, n)), draw(st.integers(0, n)))) for n in shape]
    return ChunkGrid(shape, edges), [Span(a, b) for a, b in bounds]


def chunk_of(grid, array, number):
    at = np.unravel_index(number, grid.counts)
    return array[tuple(slice(*grid.bounds(axis, int(i))) for axis, i in enumerate(at))]


@given(windows(), st.data())
def test_rows_put_each_value_where_it_belongs(given_window, data):
    grid, spans = given_window
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    expected = array[tuple(slice(s.start, s.stop) for s in spans)]
    batch = plan_batch(grid, spans)
    rows = plan_rows(batch, expected.shape)
    assert len(batch) == 0 or expected.size
    chunks = [chunk_of(grid, array, int(n)).reshape(-1) for n in batch.numbers]
    out = np.full(expected.size, -1)
    for chunk, inside, target, n in zip(rows.chunks, rows.insides, rows.targets, rows.lengths, strict=True):
        assert (out[target : target + n] == -1).all()
        out[target : target + n] = chunks[chunk][inside : inside + n]
    np.testing.assert_array_equal(out.reshape(expected.shape), expected)

    if len(batch):
        first = data.draw(st.integers(0, len(batch) - 1))
        last = data.draw(st.integers(first + 1, len(batch)))
        part, alone = rows.rows_of(first, last), plan_rows(batch[first:last], expected.shape)
        for name in ("chunks", "insides", "targets", "lengths"):
            np.testing.assert_array_equal(getattr(part, name), getattr(alone, name))
