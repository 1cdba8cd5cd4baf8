"""dask-mpi by mpirun, and by mpirun within a batch job: a program that is submitted and walked away from."""

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits

from tests.clusters.conftest import COUNT, PATH, ROOT, need

ROOTLY = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
LOOPBACK = {"OMPI_MCA_btl": "self,tcp", "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo"}
PROGRAM = [sys.executable, str(ROOT / "tests" / "clusters" / "mpi_program.py")]


@pytest.fixture
def env():
    pytest.importorskip("dask_mpi")
    pytest.importorskip("mpi4py")
    need("mpirun")
    python = os.pathsep.join([PATH, *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | ROOTLY | LOOPBACK | {"PYTHONPATH": python}


def expected(folder):
    images = COUNT * int(np.arange(64 * 64).sum()) + COUNT // 10 * sum(range(10)) * 64 * 64
    cube = int(fits.getdata(folder / "cube.fits").sum())
    return ["found", *map(str, (2, images, cube, cube, sum(range(20_000))))]


def found(text):
    return [line.split() for line in text.splitlines() if line.startswith("found")]


def test_a_batch_job(slurm, files, env, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(
        "#!/bin/sh\n#SBATCH --partition=all --nodes=1 --ntasks=4 --time=5 --job-name=walkaway\n"
        f"exec mpirun --oversubscribe -n 4 {shlex.join([*PROGRAM, str(files)])}\n"
    )
    out = tmp_path / "out.txt"
    done = subprocess.run(
        ["sbatch", "--wait", f"--output={out}", str(script)],
        capture_output=True,
        check=False,
        text=True,
        env=env,
        timeout=150,
    )
    text = out.read_text()
    assert done.returncode == 0, done.stderr + text[-3000:]
    assert found(text) == [expected(files)]


def test_mpirun(files, env):
    with subprocess.Popen(
        ["mpirun", "--oversubscribe", "-n", "4", *PROGRAM, str(files)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
    ) as process:
        try:
            text, _ = process.communicate(timeout=150)
        finally:
            process.kill()
    assert process.returncode == 0, text[-3000:]
    assert found(text) == [expected(files)]


def test_a_lost_scheduler_is_an_error_and_no_hang(files, env):
    """Rank 0 dies: mpirun ends all ranks, and says so."""
    kill = "import os, signal, threading; from mpi4py import MPI; "
    kill += "MPI.COMM_WORLD.rank or threading.Timer(8, os.kill, (os.getpid(), signal.SIGKILL)).start(); "
    kill += "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    slow = "import time, dask.array as da\nfrom dask_mpi import initialize\nfrom distributed import Client\n"
    slow += "initialize(nthreads=1, dashboard=False, interface='lo')\nwith Client() as client:\n"
    slow += "    print('found', client.submit(time.sleep, 200).result())\n"
    program = files.parent / "slow_program.py"
    program.write_text(slow)
    done = subprocess.run(
        ["mpirun", "--oversubscribe", "-n", "4", sys.executable, "-c", kill, str(program)],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        timeout=120,
    )
    assert done.returncode != 0
    assert found(done.stdout) == []
    assert "signal 9" in done.stderr
