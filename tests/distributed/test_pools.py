"""Pools of workers on this machine: each step where it was asked for, values unchanged, jobs by demand, results that are handed over."""

import logging
import time

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import scichunk
from scichunk.cluster import Pools, on

pytestmark = pytest.mark.distributed
SCENE = "test_data/scene_deflate.tif"
COMMON = {
    "threads_per_worker": 1,
    "processes": False,
    "protocol": "tcp",
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
    "memory_limit": 0,
}


@pytest.fixture(autouse=True)
def hook_of_dask():
    """Marks set a hook in dask's configuration, which stays."""
    with dask.config.set({"array_optimize": None}):
        yield


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with Pools(distributed.LocalCluster, common=COMMON | {"processes": True}, io={}, big={}) as made:
        made.scale(io=1, big=1)
        yield made


@pytest.fixture(scope="module")
def client(cluster):
    from distributed import Client

    with Client(cluster) as made:
        made.wait_for_workers(2, timeout=60)
        yield made


def on_big(block):
    from distributed import get_worker

    return np.full(block.shape, "-big-" in str(get_worker().name), "u1")


def scene():
    return scichunk.from_geotiff(SCENE, chunks=(4, 64, 64))


def straight(array, pool):
    with on(pool):
        return array.map_blocks(on_big, dtype="u1")


def later_step(array, pool):
    return straight(array, pool) + 0


def other_pool_before(array, pool):
    with on("io" if pool == "big" else "big"):
        array = array + 1
    return straight(array, pool)


def other_pool_after(array, pool):
    array = straight(array, pool)
    with on("io" if pool == "big" else "big"):
        return array + 0


def to_and_fro(array, pool):
    for _ in range(3):
        array = other_pool_before(array + 1, pool)
    return array


def reduction(array, pool):
    return straight(array, pool).mean(axis=0)


def with_other_annotations(array, pool):
    with dask.annotate(retries=2, priority=3):
        return straight(array, pool)


def of_xarray(array, pool):
    dataset = xr.open_dataset(SCENE, engine="geotiff", chunks={"y": 64, "x": 64}, mask_and_scale=False).band_data
    with on(pool):
        found = xr.apply_ufunc(on_big, dataset, dask="parallelized", output_dtypes=["u1"])
    return (found + 0).data


def inside_an_unmarked_step(array, pool):
    return da.stack([straight(array, pool), straight(array[::-1], pool)])


STEPS = [
    straight,
    later_step,
    other_pool_before,
    other_pool_after,
    to_and_fro,
    reduction,
    with_other_annotations,
    of_xarray,
]
STEPS += [inside_an_unmarked_step]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("pool", ["io", "big"])
def test_all_tasks_where_they_were_asked_for(client, step, pool):
    assert step(scene(), pool).compute().mean() == (1 if pool == "big" else 0)


@pytest.mark.parametrize("pool", ["io", "big"])
def test_persisted_steps_too(client, pool):
    assert straight(scene(), pool).persist().mean().compute() == (pool == "big")


def test_the_same_step_on_the_other_pool_while_the_first_is_kept(client):
    """A scheduler takes no new annotations for keys that it has."""
    kept = (straight(scene(), "io") + 1).persist()
    assert kept.mean().compute() == 1
    assert (straight(scene(), "big") + 2).mean().compute() == 3


def test_what_is_computed_inside(client):
    found = scene().map_blocks(on_big, dtype="u1")
    with on("big"):
        assert found.mean().compute() == 1
    other = scene()[:, :128].map_blocks(
        on_big, dtype="u1"
    )  # what the scheduler still has of the first would be taken as it is
    with on("io"):
        assert other.mean().compute() == 0


def test_reads_are_not_restricted(client, cluster):
    array = scene()
    with on("big"):
        marked = array.map_blocks(np.negative, dtype=array.dtype)
    future = client.compute(marked.sum())
    seen = {}
    while not future.done():
        for key, task in list(cluster.scheduler.tasks.items()):
            seen[str(key)] = dict(task.resource_restrictions or {})
    reads = [r for key, r in seen.items() if "geotiff" in key and "pool~" not in key]
    assert all(r == {} for r in reads)


def test_values_and_windows(client):
    array = scene()
    with on("big"):
        marked = array[:, 3:190, 5:290][:, ::2, ::3] * 2
    plain = array[:, 3:190, 5:290][:, ::2, ::3] * 2 + 1
    np.testing.assert_array_equal((marked + 1).compute(), plain.compute(scheduler="synchronous"))
    dataset = xr.open_dataset(SCENE, engine="geotiff", chunks={})
    with on("big"):
        scaled = dataset.isel(x=slice(10, 250)) * 2
    xr.testing.assert_identical(scaled.mean("y").compute(), (dataset.isel(x=slice(10, 250)) * 2).mean("y").compute())


def test_tables(client):
    from distributed import get_worker

    frame = scichunk.read_fits_table("test_data/catalogue.fits", blocksize="1KB")

    def place(rows):
        return rows.assign(big="-big-" in str(get_worker().name))

    meta = frame._meta.assign(big=False)
    assert frame.npartitions > 5
    for pool in ("io", "big"):
        found = on(pool).map_partitions(place, frame, meta=meta)
        assert found.divisions == frame.divisions
        assert found.big.mean().compute() == (pool == "big")
        filtered = found[found.big][["big"]]
        assert len(filtered) == (len(frame) if pool == "big" else 0)
        got, wanted = found.compute(), frame.compute()
        pd.testing.assert_frame_equal(got.drop(columns="big"), wanted)
    whole = on("big").map_partitions(lambda rows: rows, frame)
    pd.testing.assert_frame_equal(whole.compute(), frame.compute())


def test_marks_mean_nothing_without_pools():
    with on("big"):
        found = scene().sum() + 1
    assert found.compute(scheduler="threads") == scene().sum().compute(scheduler="synchronous") + 1


def test_a_pool_that_is_none(cluster):
    with pytest.raises(ValueError, match=r"no pool 'bgi', only big, io"):
        on("bgi")
    with pytest.raises(ValueError, match="no pool 'bgi'"):
        cluster.scale(bgi=1)
    with pytest.raises(ValueError, match="no pool 'bgi'"):
        cluster.adapt(bgi=(0, 1))


def slowly(number):
    time.sleep(0.02)
    return number


def test_results_are_handed_over():
    """A worker that is no longer wanted gives its results to others: nothing is computed again."""
    from distributed import Client, LocalCluster

    with Pools(LocalCluster, common=COMMON, io={}) as own, Client(own) as client:
        own.scale(io=2)
        client.wait_for_workers(2, timeout=60)
        futures = client.map(slowly, range(40), key="slowly")
        assert client.gather(futures) == list(range(40))
        assert all(len(w.has_what) > 5 for w in own.scheduler.workers.values())
        own.scale(io=1)
        assert len(own.scheduler.workers) == 1
        lost = [t for t in own.scheduler.transition_log if t.start == "memory" and t.finish in {"released", "waiting"}]
        assert lost == []
        assert client.gather(futures) == list(range(40))


def test_by_demand():
    from distributed import Client, LocalCluster

    with Pools(LocalCluster, common=COMMON, io={}, big={}) as own, Client(own) as client:
        own.adapt(io=(0, 2), big=(0, 1), interval=0.1, wait=0.3)
        assert straight(scene(), "big").mean().compute() == 1
        assert client.gather(client.map(slowly, range(20))) == list(range(20))
        wait_until(lambda: not own.scheduler.workers)


def test_jobs_whose_results_nobody_can_take_stay():
    """Two jobs have nothing to do and hold results: one of them gives its own to the other, which stays while they are wanted."""
    from distributed import Client, LocalCluster

    with Pools(LocalCluster, common=COMMON, io={}) as own, Client(own) as client:
        own.adapt(io=(0, 2), interval=0.1, wait=0.2)
        futures = client.map(slowly, range(60), key="slowly")
        assert client.gather(futures) == list(range(60))
        wait_until(lambda: len(own.scheduler.workers) == 1)
        time.sleep(1)
        assert len(own.scheduler.workers) == 1
        lost = [t for t in own.scheduler.transition_log if t.start == "memory" and t.finish in {"released", "waiting"}]
        assert lost == []
        assert client.gather(futures) == list(range(60))
        del futures
        wait_until(lambda: not own.scheduler.workers)


def wait_until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


def test_successors():
    """Each job is replaced by a new one in turn, and no result is lost."""
    from distributed import Client, LocalCluster

    with Pools(LocalCluster, common=COMMON, io={}) as own, Client(own) as client:
        own.adapt(io=(2, 2), interval=0.05, renew=0.5)
        client.wait_for_workers(2, timeout=60)
        first = {w.name for w in own.scheduler.workers.values()}
        futures = client.map(slowly, range(60), key="slowly")
        assert sorted(client.gather(futures)) == list(range(60))
        wait_until(lambda: not first & {w.name for w in own.scheduler.workers.values()})
        assert client.gather(futures) == list(range(60))
        lost = [t for t in own.scheduler.transition_log if t.start == "memory" and t.finish in {"released", "waiting"}]
        assert lost == []


def test_what_cannot_be_is_said():
    distributed = pytest.importorskip("distributed")
    for wrong, how in (
        ({}, "at least one pool"),
        ({"default": "none", "io": {}}, "no pool 'none'"),
    ):
        with pytest.raises(ValueError, match=how):
            Pools(distributed.LocalCluster, **wrong)
    with pytest.raises(TypeError, match="starts workers"):
        Pools(dict, io={})


def test_limits_that_cannot_be(cluster):
    for limits in ({"io": (2, 1)}, {"io": 3}, {"io": (-1, 1)}):
        with pytest.raises(ValueError, match="io"):
            cluster.adapt(**limits)
    with pytest.raises(ValueError, match="above zero"):
        cluster.adapt(io=(0, 1), renew=0)
    with pytest.raises(ValueError, match="Invalid time unit"):
        cluster.adapt(io=(0, 1), renew="5 fortnights")
    with pytest.raises(ValueError, match="not negative"):
        cluster.scale(io=-1)
    with pytest.raises(TypeError, match="batch jobs"):
        cluster.job_script()
    logging.getLogger("scichunk").debug("no job was started")
    assert len(cluster.scheduler.workers) == 2


def test_jobs_of_a_pool_whose_name_begins_like_that_of_another():
    from distributed import LocalCluster

    with Pools(LocalCluster, common=COMMON, **{"io": {}, "io-big": {}}) as own:
        for pool in ("io", "io-big", "io-big"):
            own.add_job(pool)
        assert len(own.job_names("io")) == 1
        assert len(own.job_names("io-big")) == 2
        own.worker_spec.clear()
