"""Our engines under the package dask-array, which plans arrays symbolically: once with it as xarray's chunk manager."""

import importlib.machinery
import subprocess
import sys

import pytest

PROGRAM = """
import warnings
warnings.simplefilter("ignore")
import dask_array.xarray
dask_array.xarray.register()
import numpy as np
import xarray as xr
import scichunk

def check(file, **more):
    chunked = xr.open_dataset(file, chunks={}, **more)
    plain = xr.open_dataset(file, **more)
    for name, array in chunked.data_vars.items():
        if array.dtype.kind not in "biuf" or not array.ndim:
            continue
        assert type(array.data).__module__.startswith("dask_array"), type(array.data)
        expected = plain[name]
        last = array.dims[-1]
        xr.testing.assert_identical(array.load(), expected.load())
        again = xr.open_dataset(file, chunks={}, **more)[name]
        for made, right in (
            (again.isel({last: slice(3, -3)}).isel({last: slice(1, None, 2)}), expected.isel({last: slice(4, -3, 2)})),
            (again.mean(last), expected.mean(last)),
            (again.std(), expected.std()),
            (xr.concat([again, again], "new").max("new"), expected),
            (again.astype("f8") * 2 - 1, expected.astype("f8") * 2 - 1),
            (again.where(again > again.mean()), expected.where(expected > expected.mean())),
            (scichunk.reduce(again, "mean", dim=last), expected.mean(last)),
        ):
            xr.testing.assert_allclose(made.load(), right.load(), rtol=1e-4)
    print("checked", file)

check("test_data/scene_deflate.tif", engine="geotiff")
check("test_data/masked.tif", engine="geotiff")
check("test_data/cube.fits", engine="fits")
check("test_data/bgr.jp2", engine="jpeg2000")
try:
    scichunk.plan(xr.open_dataset("test_data/scene_deflate.tif", engine="geotiff", chunks={}).band_data)
except TypeError as error:
    print("plan:", error)
"""


def test_engines_under_dask_array(pytestconfig):
    if importlib.machinery.PathFinder.find_spec("dask_array") is None:  # conftest keeps it out of this process
        pytest.skip("needs dask-array")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=pytestconfig.rootpath,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("checked") == 4
    assert "plan: nothing in it reads" in done.stdout
