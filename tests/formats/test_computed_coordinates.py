"""Coordinates of every pixel that are computed as they are read: of rotated rasters, and longitude and latitude of images of the sky."""

import asyncio

import numpy as np
import pytest
import xarray as xr

FILES = {
    "rotated": ("test_data/rotated.tif", {"engine": "geotiff"}, ("xc", "yc")),
    "sky": ("test_data/exposure.fits", {"engine": "fits", "hdu": 1, "coords": "celestial"}, ("ra", "dec")),
}


def selections(dims):
    """Basic, outer and vectorised selections along two dimensions."""
    y, x = dims
    yield {}
    yield {y: slice(3, None, 2), x: slice(None, None, -3)}
    yield {y: 2, x: [5, 1, 1]}
    yield {y: [4, 0], x: [5, 1, 1]}
    yield {y: xr.DataArray([1, 4, 0], dims="point"), x: xr.DataArray([0, 2, 5], dims="point")}


@pytest.mark.parametrize("kind", FILES)
def test_asynchronous_reads(kind):
    path, how, names = FILES[kind]
    with xr.open_dataset(path, **how) as ds:
        whole = {name: ds[name].values for name in names}
        dims = ds[names[0]].dims

    async def load(name, key):
        with xr.open_dataset(path, **how) as ds:
            return await ds[name].variable.isel(key).load_async()

    for name in names:
        for key in selections(dims):
            want = xr.Variable(dims, whole[name]).isel(key)
            got = asyncio.run(load(name, key))
            np.testing.assert_array_equal(got.values, want.values, err_msg=f"{name} {key}")
            assert got.dims == want.dims


@pytest.mark.parametrize("kind", FILES)
def test_datasets_are_loaded_asynchronously_with_their_coordinates(kind):
    path, how, names = FILES[kind]

    async def load():
        with xr.open_dataset(path, **how) as ds:
            return await ds.load_async()

    found = asyncio.run(load())
    with xr.open_dataset(path, **how) as ds:
        xr.testing.assert_identical(found, ds.load())
    assert set(names) <= set(found.coords)
