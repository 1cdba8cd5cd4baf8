"""Windows of arrays of very many chunks: dask must not list all of them."""

import asyncio
import cProfile
import pstats
import tracemalloc
import zlib

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin
from rasterio.windows import Window

import scichunk
from tests.tiff_files import LONG, SHORT, page, tiff


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """A sparse file of 62,500 tiles, of which some are written."""
    path = tmp_path_factory.mktemp("many") / "mosaic.tif"
    profile = {"count": 1, "height": 4000, "width": 4000, "dtype": "uint8", "transform": from_origin(0, 0, 1, 1)}
    with rasterio.open(
        path, "w", driver="GTiff", tiled=True, blockxsize=16, blockysize=16, sparse_ok=True, **profile
    ) as dst:
        dst.write(np.arange(64 * 64, dtype="u1").reshape(1, 64, 64), window=Window(0, 0, 64, 64))
    return str(path)


def calls_of(work):
    """How many functions are called: what listing all keys would show in, whatever the machine."""
    work()
    profile = cProfile.Profile()
    profile.runcall(work)
    return pstats.Stats(profile).total_calls


@pytest.mark.parametrize("engine", ["geotiff", "scichunk"])
def test_readers_of_engines_are_within_tasks(mosaic, engine):
    ds = xr.open_dataset(mosaic, engine=engine, chunks={"y": 16, "x": 16})
    assert not [name for name in ds.band_data.data.dask.layers if name.startswith("original-")]
    chunked = xr.open_dataset(mosaic, engine=engine).chunk({"y": 16, "x": 16})
    assert not [name for name in chunked.band_data.data.dask.layers if name.startswith("original-")]
    window = ds.band_data[:, :32, :32]
    with dask.config.set(scheduler="sync"):
        np.testing.assert_array_equal(window, chunked.band_data[:, :32, :32])
        assert window.load().sum() > 0


def test_content_is_a_node_of_its_own(mosaic):
    with open(mosaic, "rb") as file:
        ds = xr.open_dataset(file.read(), engine="geotiff").chunk({"y": 1024, "x": 1024})
    assert [name for name in ds.band_data.data.dask.layers if name.startswith("original-")]


def test_arrays_of_others_are_as_xarray_makes_them():
    ds = xr.Dataset({"a": ("x", np.arange(10))}).chunk({"x": 5})
    assert ds.a.data.sum().compute() == 45


def test_a_window_of_an_engine_costs_what_one_of_an_array_costs(mosaic):
    array = scichunk.from_geotiff(mosaic, chunks="native")[:, :32, :32]
    engine = xr.open_dataset(mosaic, engine="geotiff", chunks={"y": 16, "x": 16}).band_data.data[:, :32, :32]
    with dask.config.set(scheduler="sync"):
        assert calls_of(engine.compute) < 1.5 * calls_of(array.compute)


@pytest.mark.parametrize("kind", ["tiles", "strips"])
@pytest.mark.parametrize("door", ["read", "aget"])
def test_chunks_of_a_pixel_each_are_not_planned_all_at_once(kind, door):
    """A piece takes a kilobyte, and a chunk of which only the place is in the file a few bytes."""
    edge = 240
    shape = (1, edge, edge) if kind == "tiles" else (1, edge * edge, 1)
    values = np.arange(edge * edge, dtype="u1").reshape(shape)
    rows = {322: (LONG, [1]), 323: (LONG, [1])} if kind == "tiles" else {278: (LONG, [1])}
    encoded = [zlib.compress(bytes([value])) for value in range(256)]
    blocks = [encoded[value] for value in values.ravel().tolist()]
    data = tiff(
        page(shape, blocks=blocks, tile=(1, 1) if kind == "tiles" else None, t259=(SHORT, [8]), **tags_of(rows))
    )
    reader = scichunk.reader(data)
    reader[:, :2, :1]  # all that is loaded once
    tracemalloc.start()
    try:
        found = reader[...] if door == "read" else asyncio.run(reader.aget(...))
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found, values)


def tags_of(rows):
    return {f"t{code}": value for code, value in rows.items()}
