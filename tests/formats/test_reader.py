"""``scichunk.reader``: windows as NumPy arrays, equal to what the lazy arrays give."""

import asyncio
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import scichunk

DATA = Path(__file__).parents[2] / "test_data"
ARRAYS = [
    ("scene_deflate.tif", {}),
    ("scene_deflate.tif", {"bands": [2, 0]}),
    ("scene_deflate.tif", {"overview": 0}),
    ("sparse_bigtiff.tif", {}),
    ("pages_lzw.tif", {"page": 1}),
    ("wave_complex_big_endian.tif", {}),
    ("holes_lerc.tif", {"reader": "reference"}),
    ("band_tlm_plt.jp2", {"reduce": 1}),
    ("palette.jp2", {"expand": True}),
    ("high_throughput.jph", {}),
    ("exposure.fits", {"hdu": "SCI"}),
    ("cube.fits", {}),
    ("scaled.fits", {}),
    ("stars.vot", {"column": "ra"}),
]


def names(parameters):
    return "-".join(str(p) for p in parameters[1].items()) + parameters[0]


@pytest.fixture(params=ARRAYS, ids=names)
def opened(request):
    """A reader, and all of its values."""
    name, selectors = request.param
    with scichunk.reader(DATA / name, **selectors) as reader:
        yield reader, scichunk.from_file(DATA / name, **selectors).compute(scheduler="synchronous")


def keys(shape):
    """Indices of many kinds that fit to a shape."""
    last = shape[-1]
    yield ...
    yield (..., slice(last // 3, None))
    yield (..., slice(None, None, -2))
    yield (..., last // 2)
    yield tuple(n // 2 for n in shape)
    yield (slice(0, 1), ...)
    yield (..., slice(3, 3))
    yield (..., np.array([last - 1, 0, last // 2]))


def test_indexing_gives_what_the_whole_array_gives(opened):
    reader, values = opened
    assert (reader.shape, reader.dtype, reader.ndim, len(reader)) == (
        values.shape,
        values.dtype,
        values.ndim,
        len(values),
    )
    for key in keys(reader.shape):
        np.testing.assert_array_equal(reader[key], values[key])
        np.testing.assert_array_equal(asyncio.run(reader.aget(key)), values[key])
    np.testing.assert_array_equal(np.asarray(reader), values)


def test_values_go_into_an_array_that_is_there(opened):
    reader, values = opened
    for key in keys(reader.shape):
        wanted = np.asarray(values[key])
        out = np.full_like(wanted, values.flat[0])
        assert reader.read(key, out) is out
        np.testing.assert_array_equal(out, wanted)
        spread = np.zeros((*wanted.shape, 2), wanted.dtype)  # not contiguous
        reader.read(key, spread[..., 1])
        np.testing.assert_array_equal(spread[..., 1], wanted)
        assert not spread[..., 0].any()
        np.testing.assert_array_equal(reader.read(key), wanted)


def test_points(opened):
    reader, values = opened
    rng = np.random.default_rng(0)
    keys = [rng.integers(0, n, 20) for n in values.shape]
    np.testing.assert_array_equal(reader.points(keys), values[tuple(keys)])


def test_points_without_any(opened):
    with pytest.raises(IndexError, match="at least one"):
        opened[0].points([slice(None)] * opened[0].ndim)


def test_pickles_and_reads_on_after_close(opened):
    reader, values = opened
    text = pickle.dumps(reader)
    assert len(text) < 700
    reader.close()
    reader.close()
    np.testing.assert_array_equal(reader[...], values)
    with pickle.loads(text) as again:
        np.testing.assert_array_equal(again[...], values)
        assert repr(again) == repr(reader)


def test_many_threads_read_from_one():
    with scichunk.reader(DATA / "scene_deflate.tif") as reader, ThreadPoolExecutor(8) as pool:
        whole = reader[...]
        corners = np.random.default_rng(1).integers(0, [reader.shape[1] - 40, reader.shape[2] - 40], (200, 2)).tolist()
        for (y, x), found in zip(
            corners, pool.map(lambda c: reader[:, c[0] : c[0] + 40, c[1] : c[1] + 40], corners), strict=True
        ):
            np.testing.assert_array_equal(found, whole[:, y : y + 40, x : x + 40])


def test_it_says_what_it_reads():
    with scichunk.reader(DATA / "scene_deflate.tif", bands=[1]) as reader:
        assert reader.dims == ("band", "y", "x")
        assert reader.backend == "indexed"
        assert repr(reader).startswith("<scichunk.WindowReader ")
        assert str(reader.shape) in repr(reader)
        assert reader.chunks[0] == 1
    with scichunk.reader(DATA / "scene_deflate.tif", reader="reference") as reader:
        assert reader.backend.startswith("reference")


@pytest.mark.parametrize(
    ("out", "word"),
    [
        (np.zeros((1, 1), "u2"), "shape"),
        (np.zeros((3, 4, 4), "f4"), "type"),
        (np.zeros((3, 4, 4), ">u2"), "type"),
    ],
)
def test_an_array_that_does_not_fit(out, word):
    with scichunk.reader(DATA / "scene_deflate.tif", bands=[0, 1, 2]) as reader:
        with pytest.raises(ValueError, match=word):
            reader.read(np.s_[:, :4, :4], out)
        locked = np.zeros((3, 4, 4), reader.dtype)
        locked.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            reader.read(np.s_[:, :4, :4], locked)


def test_wrong_words_and_places():
    with pytest.raises(TypeError, match=r"reader.*page"):
        scichunk.reader(DATA / "scene_deflate.tif", sheet=1)
    with scichunk.reader(DATA / "scene_deflate.tif") as reader:
        with pytest.raises(IndexError):
            reader[:, 10**6]
        with pytest.raises(ValueError, match="copy"):
            np.asarray(reader, copy=False)


def test_neither_dask_nor_xarray_is_imported():
    code = (
        "import sys, scichunk\n"
        "with scichunk.reader(sys.argv[1]) as r: r[:, :10, :10]\n"
        "assert not {'dask', 'xarray', 'pandas', 'rasterio', 'numba'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(DATA / "scene_deflate.tif")], check=True, timeout=60)
