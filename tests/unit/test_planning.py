import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scichunk.core.grid import ChunkGrid
from scichunk.core.planning import auto_chunks, preferred_chunks, resolve_chunks
from scichunk.errors import PerformanceWarning

MB = 1 << 20


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5000), st.integers(1, 5000)),
    st.tuples(st.integers(1, 5), st.integers(1, 600), st.integers(1, 600)),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 64 * MB),
)
def test_auto_chunks_are_whole_native_chunks_within_the_target(shape, tile, itemsize, target):
    grid = ChunkGrid(shape, tile)
    chunks = auto_chunks(grid, itemsize, target)
    native = grid.chunk_shape
    for c, n, length in zip(chunks, native, shape, strict=True):
        assert c % n == 0 or c == length
    least = math.prod(shape) * itemsize / (1 << 26)  # more chunks are too many for dask
    assert math.prod(chunks) * itemsize <= max(target * 1.01, least * 1.01, math.prod(native) * itemsize)


def test_large_square_chunks():
    assert auto_chunks(ChunkGrid((1, 20480, 20480), (1, 512, 512)), 2, 128 * MB) == (1, 8192, 8192)


def test_strips_keep_their_full_width():
    chunks = auto_chunks(ChunkGrid((3, 10000, 10000), (3, 1, 10000)), 1, 128 * MB)
    assert chunks[0] == 3
    assert chunks[2] == 10000
    assert 3900 < chunks[1] < 4500


def test_single_row_strips_are_merged_for_xarray():
    assert preferred_chunks(ChunkGrid((1, 10000, 10000), (1, 1, 10000)), 2)[1] >= 50


def test_a_hostile_tile_is_cut():
    assert math.prod(auto_chunks(ChunkGrid((65535, 900, 65535), (65535, 40, 65535)), 1, 128 * MB)) <= 1 << 31


@pytest.mark.parametrize("chunks", ["native", {}])
def test_native(chunks):
    found = resolve_chunks(chunks, ChunkGrid((3, 100, 100), (3, 64, 64)), 1, MB)
    assert found == ((3,), (64, 36), (64, 36))


def test_misaligned_chunks_warn_and_say_what_is_better():
    grid = ChunkGrid((1, 4096, 4096), (1, 512, 512))
    with pytest.warns(PerformanceWarning, match=r"chunks=\(1, 4096, 4096\)"):
        resolve_chunks((1, 500, 500), grid, 2, 128 * MB)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve_chunks((1, 1024, 512), grid, 2, 128 * MB)
        resolve_chunks((1, 4096, -1), grid, 2, 128 * MB)


def test_grid_refuses_nonsense():
    with pytest.raises(ValueError):
        ChunkGrid((4,), (0,))


@pytest.mark.parametrize("edges", [(1, 16, 16), (1, 1 << 31, 1 << 31), (1, 512, 512), (1, 1, 1 << 31)])
def test_chunks_of_very_large_arrays_are_not_too_many_for_dask(edges):
    grid = ChunkGrid((1, 1 << 31, 1 << 31), edges)
    auto = auto_chunks(grid, 1, 1 << 27)
    for sizes in (auto, preferred_chunks(grid, 1)):
        count = math.prod(-(-n // size) for n, size in zip(grid.shape, sizes, strict=True))
        assert count <= 1 << 28 if sizes is auto else count <= 1 << 23
        assert all(size % edge == 0 or edge % size == 0 for size, edge in zip(sizes, edges, strict=True))


@pytest.mark.parametrize("shape", [(1 << 47, 0), (0, 1 << 47), (3, 0, 1 << 47), (0, 0)])
def test_an_array_of_no_values_is_one_chunk(shape):
    """Beside an axis of 0 a header can name any number."""
    grid = ChunkGrid(shape, tuple(1 << 20 for _ in shape))
    assert resolve_chunks("auto", grid, 2, 128 * MB) == tuple((n,) for n in shape)
    assert preferred_chunks(grid, 2) == tuple(n or 1 for n in shape)
