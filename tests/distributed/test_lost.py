"""Workers and schedulers that are killed: the right result, or an error that says so; never a wrong one, and no hang."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import dask
import numpy as np
import pytest

import scichunk

pytestmark = pytest.mark.distributed
SCENE = "test_data/scene_deflate.tif"


def slow(block):
    time.sleep(0.1)
    return block


def test_a_killed_worker(tmp_path):
    from distributed import Client, LocalCluster

    array = scichunk.from_geotiff(SCENE, chunks=(4, 64, 64)).map_blocks(slow, dtype="u2")
    place = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, threads_per_worker=1, **place) as cluster, Client(cluster) as client:
        future = client.compute(array)
        time.sleep(0.5)
        pids = sorted(client.run(os.getpid).values())
        os.kill(pids[0], signal.SIGKILL)
        expected = scichunk.from_geotiff(SCENE).compute(scheduler="synchronous")
        np.testing.assert_array_equal(future.result(timeout=120), expected)


@contextlib.contextmanager
def started(*command):
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_killed_scheduler():
    from distributed import Client
    from distributed.client import FutureCancelledError

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = (
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dashboard-address",
        "127.0.0.1:0",
    )
    worker = (
        "distributed.cli.dask_worker",
        address,
        "--nthreads",
        "1",
        "--no-nanny",
        "--host",
        "127.0.0.1",
        "--death-timeout",
        "5",
    )
    array = scichunk.from_geotiff(SCENE, chunks=(4, 64, 64)).map_blocks(slow, dtype="u2")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "3s"}),
        started(*scheduler) as process,
        started(*worker),
        Client(address, timeout=60) as client,
    ):
        client.wait_for_workers(1, timeout=60)
        future = client.compute(array)
        time.sleep(0.5)
        process.kill()
        process.wait()
        with pytest.raises(FutureCancelledError, match=r"(?i)scheduler|lost|cancel"):
            future.result(timeout=60)
