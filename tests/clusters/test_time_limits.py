"""Jobs that are ended by their time limit or thrown out by others: right results, and most of the work done once."""

import subprocess
import time

import pytest

import scichunk
from tests.clusters.conftest import slurm_command
from tests.clusters.steps import slow

pytestmark = pytest.mark.slow
TASKS = 125


def counter():
    """A plugin of the scheduler that counts how often tasks have been finished, and which."""
    from distributed import SchedulerPlugin

    class Counter(SchedulerPlugin):
        name = "counter"

        def __init__(self):
            self.finished = 0
            self.keys = set()
            self.fewest = 10**6

        def transition(self, key, start, finish, *args, **kwargs):
            if start == "processing" and finish == "memory":
                self.finished += 1
                self.keys.add(key)

        def remove_worker(self, scheduler, worker, **kwargs):
            self.fewest = min(self.fewest, len(scheduler.workers))

    return Counter()


def images(files):
    return scichunk.from_geotiffs(sorted(files.glob("image_*.tif")), chunks=(8, 1, 64, 64), headers="first")


def pools(common, **more):
    jobqueue = pytest.importorskip("dask_jobqueue")
    return scichunk.cluster.Pools(jobqueue.SLURMCluster, common=common | more, io={"queue": "io"})


@pytest.mark.timeout(420)
def test_work_of_three_time_limits_by_successors(common, files):
    """Two jobs of a minute for some 180 seconds of work each; SLURM ends none of them."""
    from distributed import Client

    with pools(common, walltime="00:01:00") as own, Client(own) as client:
        count = counter()
        own.scheduler.add_plugin(count)
        own.adapt(io=(2, 2), interval=0.5, renew="25s")
        client.wait_for_workers(2, timeout=90)
        began = time.monotonic()
        stack = images(files)
        total = stack.map_blocks(slow, 2.9, dtype=stack.dtype).sum(dtype="u8", split_every=1000)
        found = client.compute(total).result(timeout=360)
        seconds = time.monotonic() - began
        assert found == stack.sum(dtype="u8").compute(scheduler="synchronous")
        twice = count.finished - len(count.keys)
        print(f"{seconds:.0f} s, {twice} of {TASKS} tasks twice, never fewer than {count.fewest} workers")
        assert len(count.keys) >= TASKS
        assert seconds > 150
        assert 0 <= twice <= TASKS // 5
        assert count.fewest >= 1


@pytest.mark.timeout(300)
def test_jobs_that_the_time_limit_ends(common, files):
    """Without successors what a job held is computed again; the result is right."""
    from distributed import Client

    with pools(common, walltime="00:01:00") as own, Client(own) as client:
        own.adapt(io=(2, 2), interval=0.5)
        client.wait_for_workers(2, timeout=90)
        time.sleep(35)  # of the first minute
        stack = images(files)
        total = stack.map_blocks(slow, 0.55, dtype=stack.dtype).sum(dtype="u8")
        future = client.compute(total, retries=5)
        assert future.result(timeout=240) == stack.sum(dtype="u8").compute(scheduler="synchronous")


@pytest.mark.timeout(240)
def test_jobs_that_are_thrown_out(common, files):
    """Somebody's urgent job takes the node; the jobs come back when it is over, once each."""
    from distributed import Client

    with pools(common, job_extra_directives=["--no-requeue"]) as own, Client(own) as client:
        own.adapt(io=(2, 2), interval=0.5)
        client.wait_for_workers(2, timeout=90)
        first = {w.name for w in own.scheduler.workers.values()}
        jobs = set(slurm_command("squeue", "--noheader", "-o", "%i").split())
        stack = images(files)
        future = client.compute(stack.map_blocks(slow, 0.4, dtype=stack.dtype).sum(dtype="u8"), retries=5)
        time.sleep(3)
        subprocess.run(
            ["sbatch", "-p", "urgent", "-w", "io", "--exclusive", "-t", "1", "-o", "/dev/null", "--wrap", "sleep 5"],
            check=True,
            capture_output=True,
            timeout=30,
        )
        assert future.result(timeout=200) == stack.sum(dtype="u8").compute(scheduler="synchronous")
        now = set(slurm_command("squeue", "--noheader", "-o", "%i").split())
        assert not now & jobs
        assert len(now) == len(first)
