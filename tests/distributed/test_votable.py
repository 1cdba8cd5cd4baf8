"""VOTables in many threads and several processes: every row once, whichever process looks at the document first."""

from concurrent.futures import ThreadPoolExecutor

import dask
import numpy as np
import pytest
import xarray as xr

import scichunk
from benchmarks.votable_data import columns, make
from scichunk.core.cache import files

ROWS = 60_000


@pytest.fixture(scope="module", params=["mixed TABLEDATA", "mixed BINARY2", "scalar BINARY"])
def stars(request, tmp_path_factory):
    """A file, and the values of two of its columns."""
    kind, form = request.param.split()
    values = columns(kind, ROWS)
    first, second = ("ra", "source_id") if kind == "mixed" else ("d0", "l0")
    path = make(tmp_path_factory.mktemp("stars"), kind, form, ROWS)
    return path, (first, values[4] if kind == "mixed" else values[8]), (second, values[0])


def test_threads_that_start_at_any_partition(stars):
    path, (name, want), _ = stars
    df = scichunk.read_votable(path, blocksize="500kB")
    for _ in range(3):
        files.clear()  # nothing is known of the file
        with ThreadPoolExecutor(8) as pool:
            order = np.random.default_rng(5).permutation(df.npartitions).tolist()
            parts = dict(pool.map(lambda i: (i, df.partitions[i][name].compute(scheduler="synchronous")), order))
        assert np.array_equal(np.concatenate([parts[i] for i in range(df.npartitions)]), want)


def test_threads_on_one_dataset(stars):
    path, (a, first), (b, second) = stars
    ds = xr.open_dataset(path, engine="votable", mask_and_scale=False)
    rng = np.random.default_rng(4)
    cuts = [sorted(rng.integers(0, ROWS, 2).tolist()) for _ in range(80)]

    def wrong(cut):
        rows = slice(*cut, int(1 + cut[0] % 3))
        part = ds.isel(row=rows)
        return not (np.array_equal(part[a].values, first[rows]) and np.array_equal(part[b].values, second[rows]))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(wrong, cuts)) == 0


@pytest.mark.slow
def test_processes(stars):
    path, (name, want), _ = stars
    df = scichunk.read_votable(path, blocksize="2MB")
    with dask.config.set(scheduler="processes", num_workers=2):
        assert np.array_equal(df[name].compute(), want)
    lazy = scichunk.from_votable(path, name, chunks=7000)
    with dask.config.set(scheduler="processes", num_workers=2):
        assert np.array_equal(lazy.compute(), want)
