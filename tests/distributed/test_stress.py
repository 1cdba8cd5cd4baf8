"""Many threads, several processes, a worker killed in mid-read: never a wrong pixel."""

import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
import xarray as xr

import scichunk

SIDE = 1500


@pytest.fixture(scope="module", params=["deflate-2", "zstd-3", "lerc", "none-strips", "reference"])
def scene(request, tmp_path_factory):
    """A file of each kind of decoder, and its pixels."""
    kind = request.param
    rng = np.random.default_rng(1)
    data = (np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 997 + rng.integers(0, 50, (SIDE, SIDE)))[None]
    data = np.concatenate([data, data[:, ::-1]]).astype("f4" if kind in {"zstd-3", "lerc"} else "u2")
    options = {
        "deflate-2": {"compress": "deflate", "predictor": 2, "tiled": True, "interleave": "pixel"},
        "zstd-3": {"compress": "zstd", "predictor": 3, "tiled": True},
        "lerc": {"compress": "lerc_zstd", "tiled": True},
        "none-strips": {"blockysize": 1},
        "reference": {"compress": "deflate", "NBITS": 12},
    }[kind]
    path = tmp_path_factory.mktemp("scene") / f"{kind}.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=2, height=SIDE, width=SIDE, dtype=data.dtype.name, **options
    ) as ds:
        ds.write(data)
    return path, data


def windows(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        y, x = rng.randrange(SIDE - 10), rng.randrange(SIDE - 10)
        yield (
            slice(y, y + rng.randrange(1, 300), rng.choice((1, 1, 1, 3))),
            slice(x, x + rng.randrange(1, 300), rng.choice((1, 1, 2))),
        )


def test_eight_threads_on_one_array(scene):
    path, data = scene
    variable = xr.open_dataset(path, engine="geotiff", mask_and_scale=False)["band_data"].variable
    count = 1000 if "reference" not in path.name else 200

    def wrong(window):
        return not np.array_equal(variable[(slice(None), *window)].values, data[(slice(None), *window)])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(wrong, windows(count, 5))) == 0


@pytest.mark.parametrize("chunks", ["auto", "native", (2, 400, 700)])
def test_threaded_dask(scene, chunks):
    path, data = scene
    np.testing.assert_array_equal(
        scichunk.from_geotiff(path, chunks=chunks).compute(scheduler="threads", num_workers=8), data
    )


@pytest.mark.distributed
@pytest.mark.slow
def test_two_processes_and_a_killed_worker(scene):
    from distributed import Client, LocalCluster

    path, data = scene
    if "none" in path.name:
        pytest.skip("one kind of strips is enough")
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        array = scichunk.from_geotiff(path, chunks="native")
        np.testing.assert_array_equal(array.compute(), data)
        small = [array[(slice(None), *w)] for w in windows(100, 9)]
        for got, window in zip(client.gather(client.compute(small)), windows(100, 9), strict=True):
            np.testing.assert_array_equal(got, data[(slice(None), *window)])
        future = client.compute(array[:, ::-1] + 0)
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        np.testing.assert_array_equal(future.result(timeout=120), data[:, ::-1])
