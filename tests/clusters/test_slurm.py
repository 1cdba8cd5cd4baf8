"""Jobs of a real SLURM: right values, each pool where it was asked for, jobs by demand, lost jobs."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import scichunk
from tests.clusters.conftest import COUNT, running_slurm, slurm_command
from tests.clusters.steps import on_big, slow

BIG = {"queue": "big", "memory": "1200MB", "job_extra_directives": ["--gres=gpu:1", "--no-requeue"]}


def wait_until(true, seconds=60):
    """Wait for something that has to come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.2)


def states(column="%P"):
    """A column of squeue, a word a job."""
    return slurm_command("squeue", "--noheader", "--states=PENDING,RUNNING", "-o", column).split()


@pytest.fixture(scope="module")
def cluster(common):
    """Two jobs in the partition io and one in big."""
    jobqueue = pytest.importorskip("dask_jobqueue")
    with scichunk.cluster.Pools(jobqueue.SLURMCluster, common=common, io={"queue": "io"}, big=BIG) as made:
        made.scale(io=2, big=1)
        yield made


@pytest.fixture(scope="module")
def client(cluster):
    from distributed import Client

    with Client(cluster) as made:
        made.wait_for_workers(3, timeout=90)
        yield made


def test_values(client, files):
    names = sorted(files.glob("image_*.tif"))
    stack = scichunk.open_stack(names, dim="time")
    assert stack.sizes["time"] == COUNT
    plane = np.arange(64 * 64, dtype="u2").reshape(64, 64)
    np.testing.assert_allclose(stack.band_data.mean("time").compute()[0], plane + 4.5)
    cube = scichunk.from_fits(files / "cube.fits").compute(scheduler="synchronous")
    assert scichunk.from_fits(files / "cube.fits", chunks=(8, 128, 128)).std().compute() == pytest.approx(cube.std())
    assert scichunk.from_fits(files / "rice.fits", hdu="RICE").sum().compute() == cube.sum()
    table = scichunk.read_votable(files / "stars.vot", blocksize="100kB")
    assert table.npartitions > 2
    assert table.id.sum().compute() == sum(range(20_000))


def test_pools_are_jobs_of_their_own_kind(cluster, client):
    assert sorted(states()) == ["big", "io", "io"]
    assert sorted(states("%b")) == ["N/A", "N/A", "gres:gpu:1"]
    assert "#SBATCH -p big" in cluster.job_script("big")
    assert "#SBATCH --gres=gpu:1" in cluster.job_script("big")
    assert "gpu" not in cluster.job_script("io")


def test_each_step_where_it_was_asked_for(client, files):
    images = scichunk.from_geotiffs(sorted(files.glob("image_*.tif"))[:96], chunks=(2, 1, 64, 64), headers="first")
    with scichunk.cluster.on("io"):
        read = images.map_blocks(on_big, dtype="u1")
    with scichunk.cluster.on("big"):
        computed = (read + images).map_blocks(on_big, dtype="u1")
    assert read.mean().compute() == 0
    assert computed.mean().compute() == 1
    assert (computed + 0).min().compute() == 1


def test_jobs_by_demand(common, files):
    """From no job to two pools and back to none."""
    from distributed import Client

    jobqueue = pytest.importorskip("dask_jobqueue")
    before = len(states())
    with (
        scichunk.cluster.Pools(jobqueue.SLURMCluster, common=common, io={"queue": "io"}, big=BIG) as own,
        Client(own),
    ):
        own.adapt(io=(0, 2), big=(0, 1), wait="2s", interval=0.5)
        images = scichunk.from_geotiffs(sorted(files.glob("image_*.tif"))[:40], chunks=(2, 1, 64, 64), headers="first")
        with scichunk.cluster.on("big"):
            largest = images.map_blocks(slow, 0.05, dtype=images.dtype).max(axis=0)
        expected = images.max(axis=0).compute(scheduler="synchronous")
        np.testing.assert_array_equal(largest.compute(), expected)
        wait_until(lambda: len(states()) == before)


def test_a_job_that_is_ended_by_others_is_replaced(common, files, slurm):
    from distributed import Client

    jobqueue = pytest.importorskip("dask_jobqueue")
    before = set(states("%i"))
    with (
        scichunk.cluster.Pools(jobqueue.SLURMCluster, common=common, io={"queue": "io"}) as own,
        Client(own) as client,
    ):
        own.adapt(io=(2, 2), interval=0.5)
        client.wait_for_workers(2, timeout=90)
        images = scichunk.from_geotiffs(sorted(files.glob("image_*.tif"))[:60], chunks=(2, 1, 64, 64), headers="first")
        future = client.compute(images.map_blocks(slow, 0.3, dtype=images.dtype).sum(dtype="u8"))
        time.sleep(2)
        killed = min(set(states("%i")) - before)
        slurm_command("scancel", "--signal=KILL", killed)
        assert future.result(timeout=120) == images.sum(dtype="u8").compute(scheduler="synchronous")


def test_a_job_that_cannot_be_submitted_is_an_error(common):
    jobqueue = pytest.importorskip("dask_jobqueue")
    with scichunk.cluster.Pools(jobqueue.SLURMCluster, common=common, none={"queue": "nosuch"}) as own:
        with pytest.raises(RuntimeError, match="invalid partition"):
            own.scale(none=1)
        own.scale(none=0)


@pytest.mark.slow
def test_the_queue_goes_away(common, files, tmp_path, monkeypatch):
    """Jobs that run go on without SLURM's controller; new ones are an error, and by demand they are tried again."""
    from distributed import Client

    jobqueue = pytest.importorskip("dask_jobqueue")
    with running_slurm(tmp_path / "slurm"):
        monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm" / "slurm.conf"))
        with (
            scichunk.cluster.Pools(jobqueue.SLURMCluster, common=common, io={"queue": "io"}) as own,
            Client(own) as client,
        ):
            own.scale(io=1)
            client.wait_for_workers(1, timeout=90)
            os.kill(int(Path(tmp_path / "slurm" / "slurmctld.pid").read_text()), signal.SIGKILL)
            images = scichunk.from_geotiffs(sorted(files.glob("image_*.tif"))[:20], headers="first")
            assert images.sum(dtype="u8").compute() == images.sum(dtype="u8").compute(scheduler="synchronous")
            with pytest.raises(RuntimeError, match="Batch job submission failed"):
                own.scale(io=2)
