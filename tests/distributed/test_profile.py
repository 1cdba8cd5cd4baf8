"""What workers read arrives, exactly, and is kept when the cluster is gone."""

import contextlib
import os
import shutil
import time

import dask
import numpy as np
import pytest

import scichunk
from scichunk.cluster.placing import optimize
from tests.formats.test_reduce import write_tiff

pytestmark = pytest.mark.distributed


@pytest.fixture
def array(tmp_path):
    values = np.random.default_rng(0).integers(0, 4000, (1, 64, 96)).astype("u2")
    return scichunk.from_geotiff(write_tiff(tmp_path / "scene.tif", values, compress=None), chunks="native"), values


def cluster_of(distributed, processes):
    place = {"dashboard_address": "127.0.0.1:0"} | ({"host": "127.0.0.1"} if processes else {})
    return distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=processes, **place)


@pytest.mark.parametrize("processes", [False, True])
def test_profile_of_a_cluster(array, processes):
    distributed = pytest.importorskip("distributed")
    array, values = array
    with cluster_of(distributed, processes) as cluster, distributed.Client(cluster):
        with scichunk.profile(show=False) as first:
            array.sum().compute()
        with scichunk.profile(show=False) as second:
            scichunk.reduce(array, "max").compute()
    for found in (first, second):
        assert found.total["fetched"] == found.total["asked"] == values.nbytes
        assert found.total["chunks"] == 24
        assert found.total["decode_seconds"] > 0
    assert first.total["reads"] == 24


def test_counters_of_a_folder_whose_name_is_no_text_arrive(array, tmp_path):
    distributed = pytest.importorskip("distributed")
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/run\xff")
    os.mkdir(folder)
    path = shutil.copy(tmp_path / "scene.tif", folder)
    history = str(tmp_path / "h.sqlite")
    with cluster_of(distributed, processes=True) as cluster, distributed.Client(cluster) as client:
        workers = set(client.scheduler_info()["workers"])
        scichunk.history.start(history)
        try:
            with distributed.span("odd"):
                scichunk.from_geotiff(path, chunks="native").sum().compute()
            wait_for(history, lambda runs: count_chunks(runs, "odd") >= 24)
        finally:
            scichunk.history.stop()
        assert set(client.scheduler_info()["workers"]) == workers
    (run,) = (run for run in scichunk.history.runs(path=history) if run["name"] == "odd")
    assert {read["dataset"].rpartition("/")[2] for read in run["reads"]} == {r"run\udcff"}


def test_a_history_that_cannot_be_written_hinders_no_scheduler(array, tmp_path):
    distributed = pytest.importorskip("distributed")
    from scichunk.adapters.history import store

    array, values = array
    with cluster_of(distributed, processes=False) as cluster, distributed.Client(cluster):
        scichunk.history.start(tmp_path)  # a folder
        try:
            with pytest.warns(scichunk.errors.HistoryWarning, match="cannot be written") as told:
                assert array.sum().compute() == values.sum()
                until = time.monotonic() + 60
                while str(tmp_path) not in store._failing and time.monotonic() < until:
                    time.sleep(0.1)
                cluster.close()
        finally:
            scichunk.history.stop()
    assert len([w for w in told if w.category is scichunk.errors.HistoryWarning]) == 1


def wait_for(path, arrived):
    """Until the history says what is expected, for a minute at most; then it is for the assertions behind to say what is missing."""
    until = time.monotonic() + 60
    while time.monotonic() < until and not arrived({run["name"]: run for run in scichunk.history.runs(path=path)}):
        time.sleep(0.2)


def count_chunks(runs, name):
    return sum(read["chunks"] for read in runs[name]["reads"]) if name in runs else 0


@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize("processes", [False, True])
def test_history_outlives_the_cluster(array, processes, marks, tmp_path):
    distributed = pytest.importorskip("distributed")
    array, values = array
    path = str(tmp_path / "h.sqlite")
    # A mark anywhere in this process has set this hook, which stays.
    hook = dask.config.set({"array_optimize": optimize}) if marks else contextlib.nullcontext()
    with hook, cluster_of(distributed, processes) as cluster, distributed.Client(cluster):
        scichunk.history.start(path)
        try:
            with distributed.span("calibrate"):
                array.sum().compute()
            # At once, while the scheduler still knows the tasks of the first: its reads must count for the second.
            with distributed.span("broken"), pytest.raises(ZeroDivisionError):
                array.map_blocks(lambda b: b / (1 // 0), dtype="f8").compute()
            # counters come with the next heartbeat of each worker
            wait_for(path, lambda runs: count_chunks(runs, "calibrate") >= 24 and count_chunks(runs, "broken"))
        finally:
            scichunk.history.stop()
    runs = {run["name"]: run for run in scichunk.history.runs(path=path)}
    done = runs["calibrate"]
    assert sum(read["fetched"] for read in done["reads"]) == values.nbytes
    assert sum(read["chunks"] for read in done["reads"]) == 24
    assert done["workers"] == 2
    assert done["tasks"] > 24
    assert done["erred"] == 0 < done["peak_memory"]
    assert runs["broken"]["erred"] >= 1
    assert os.path.getsize(path) < 100_000
    assert "calibrate" in scichunk.history.report(path=path)
