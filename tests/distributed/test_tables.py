"""Tables in many threads and in several processes, one of which dies: never a wrong value."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr

import scichunk
from tests.fits_tables import columns, compress, table, variable

ROWS = 40_000


@pytest.fixture(scope="module", params=["heap", "compressed"])
def stars(request, tmp_path_factory):
    """A file, and the values of its columns."""
    rng = np.random.default_rng(2)
    ra, count = rng.uniform(0, 360, ROWS).astype(">f8"), rng.integers(0, 6, ROWS).astype(">i4")
    name = np.array([f"star {i}" for i in range(ROWS)], "S10").view("u1").reshape(ROWS, 10)
    if request.param == "heap":
        pairs, heap, _ = variable("J", count.tolist(), rng)
        data = table(["D", "J", "10A", "1PJ(5)"], columns(ra, count, name, pairs), ROWS, heap)
    else:
        data = compress(table(["D", "J", "10A"], columns(ra, count, name), ROWS), 3000, ["GZIP_2", "RICE_1", "GZIP_1"])
    path = tmp_path_factory.mktemp("stars") / f"{request.param}.fits"
    path.write_bytes(data)
    return path, ra, count


def test_eight_threads_on_one_dataset(stars):
    path, ra, count = stars
    ds = xr.open_dataset(path, engine="fits", mask_and_scale=False)
    rng = np.random.default_rng(4)
    cuts = [sorted(rng.integers(0, ROWS, 2).tolist()) for _ in range(300)]

    def wrong(cut):
        part = ds.isel(row=slice(*cut, int(1 + cut[0] % 3)))
        rows = slice(*cut, int(1 + cut[0] % 3))
        return not (np.array_equal(part.c1.values, ra[rows]) and np.array_equal(part.c2.values, count[rows]))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(wrong, cuts)) == 0


def test_threaded_frames(stars):
    path, ra, count = stars
    frame = scichunk.read_fits_table(path, blocksize="50kB")
    assert frame.npartitions > 4
    found = frame.compute(scheduler="threads", num_workers=8)
    np.testing.assert_array_equal(found.c1, ra)
    np.testing.assert_array_equal(found.c2, count)
    assert found.c3.iloc[-1] == f"star {ROWS - 1}"
    if "heap" in path.name:
        assert found.c4.list.len().tolist() == count.tolist()


@pytest.mark.distributed
@pytest.mark.slow
def test_two_processes_and_a_killed_worker(stars):
    from distributed import Client, LocalCluster

    path, ra, count = stars
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        frame = scichunk.read_fits_table(path, blocksize="50kB")
        assert frame.c2.sum().compute() == count.sum()
        column = xr.open_dataset(path, engine="fits", chunks={"row": 2000}).c1.data
        np.testing.assert_array_equal(column.compute(), ra)
        future = client.compute(frame[["c1"]])
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        np.testing.assert_array_equal(future.result(timeout=120).c1, ra)
