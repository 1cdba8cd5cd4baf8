"""The indexing algebra against NumPy, through a real read of an indexed array held in memory."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scichunk.codecs.raw import RawCodec
from scichunk.core import selection
from scichunk.core.arrays import IndexedArray, ReferenceArray
from scichunk.core.grid import ChunkGrid
from scichunk.core.manifest import ChunkManifest
from scichunk.core.selection import Span, parse_key
from scichunk.sources.memory import BytesSource

serial = itertools.count()


def make(array, edges, keep):
    """Write an array chunk by chunk, as a file, and open it."""
    grid = ChunkGrid(array.shape, edges)
    parts, starts, lengths, at = [], [], [], 0
    for chunk in np.ndindex(*grid.counts):
        bounds = [grid.bounds(a, i) for a, i in enumerate(chunk)]
        data = np.ascontiguousarray(array[tuple(slice(*b) for b in bounds)]).tobytes()
        parts.append(data)
        starts.append(at)
        lengths.append(len(data))
        at += len(data)
    codec = RawCodec(
        array.dtype, tuple(range(array.ndim)), partial=not keep
    )  # keep: whole chunks, so that their cache takes part
    index = ChunkManifest(grid, array.dtype, codec, np.array(starts, "u8"), np.array(lengths, "u8"))
    return IndexedArray(index, BytesSource(b"".join(parts)), ("test", next(serial)))


@st.composite
def arrays(draw):
    shape = draw(st.lists(st.integers(1, 13), min_size=1, max_size=3))
    array = np.arange(np.prod(shape), dtype="i4").reshape(shape) * 7 + 1
    edges = []
    for n in shape:
        if draw(st.booleans()):
            edges.append(draw(st.integers(1, n + 3)))
        else:
            inner = draw(st.sets(st.integers(1, n - 1), max_size=4)) if n > 1 else set()
            edges.append(np.array([0, *sorted(inner), n]))
    return array, tuple(edges), draw(st.booleans())


def axis_key(n):
    ends = st.none() | st.integers(-n - 2, n + 2)
    return st.one_of(
        st.builds(slice, ends, ends, st.none() | st.integers(-4, 4).filter(bool)),
        st.integers(-n, n - 1),
        st.lists(st.integers(-n, n - 1), max_size=6).map(lambda v: np.array(v, int)),
        st.lists(st.booleans(), min_size=n, max_size=n).map(np.array),
    )


def outer(array, key):
    """Orthogonal indexing the slow way."""
    dropped = 0
    for axis, k in enumerate(key):
        array = array[(slice(None),) * (axis - dropped) + (k,)]
        dropped += isinstance(k, int)
    return array


@given(arrays(), st.data())
def test_outer_indexing_equals_numpy(made, data):
    array, edges, keep = made
    key = tuple(data.draw(axis_key(n)) for n in array.shape)
    lazy = make(array, edges, keep)
    region = parse_key(key, array.shape)
    got = lazy.read(region.axes)[region.finish]
    np.testing.assert_array_equal(got, outer(array, key))


@given(arrays(), st.data())
def test_point_indexing_equals_numpy(made, data):
    array, edges, keep = made
    axes = data.draw(st.sets(st.integers(0, array.ndim - 1), min_size=1))
    n = data.draw(st.integers(0, 8))
    points = {
        a: np.array(data.draw(st.lists(st.integers(0, array.shape[a] - 1), min_size=n, max_size=n)), np.intp)
        for a in axes
    }
    spans = {a: Span(0, array.shape[a], data.draw(st.integers(1, 3))) for a in range(array.ndim) if a not in axes}
    got = make(array, edges, keep).read_points(points, spans)
    moved = np.moveaxis(array, sorted(axes), range(len(axes)))
    want = moved[tuple(points[a] for a in sorted(axes))][
        (slice(None), *(slice(0, None, spans[a].step) for a in sorted(spans)))
    ]
    np.testing.assert_array_equal(got, want)


@given(arrays(), st.data())
def test_reference_arrays_index_the_same(made, data):
    array, edges, _ = made
    key = tuple(data.draw(axis_key(n)) for n in array.shape)
    lazy = ReferenceArray(ChunkGrid(array.shape, edges), array.dtype, "test", lambda window: array[window])
    region = parse_key(key, array.shape)
    np.testing.assert_array_equal(lazy.read(region.axes)[region.finish], outer(array, key))


@pytest.mark.parametrize(
    "key", [(1, 2, 3), (5,), (-6,), (np.array([9]),), (np.array([True, False]),), (np.array([[0]]),)]
)
def test_bad_keys_are_index_errors(key):
    with pytest.raises(IndexError):
        parse_key(key, (5, 4))


def test_other_things_are_type_errors():
    with pytest.raises(TypeError):
        parse_key(("a",), (5,))


def test_ellipsis():
    assert parse_key((..., 1), (5, 4, 3)).axes == (Span(0, 5), Span(0, 4), Span(1, 2))


@given(arrays().flatmap(lambda made: st.tuples(st.just(made), st.tuples(*(axis_key(n) for n in made[0].shape)))))
def test_groups_hold_the_pieces_of_the_whole(given_region):
    (array, edges, _), key = given_region
    grid, axes = ChunkGrid(array.shape, edges), parse_key(key, array.shape).axes
    want = [repr(piece) for piece in selection.outer_pieces(grid, axes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "_AT_ONCE", 3)
        groups = [[repr(piece) for piece in group] for group in selection.piece_groups(grid, axes)]
    assert [piece for group in groups for piece in group] == want
    assert all(len(group) <= 3 for group in groups)
