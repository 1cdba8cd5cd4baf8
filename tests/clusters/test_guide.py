"""The guide to clusters, block after block, on a real SLURM; its program for MPI by a real mpirun."""

import os
import re
import shutil
import subprocess
import sys

from tests.clusters.conftest import PATH, ROOT, need
from tests.clusters.test_mpi import LOOPBACK, ROOTLY
from tests.docs_runner import CODE, DATA, blocks

PAGE = ROOT / "docs" / "guides" / "clusters.md"


def env():
    python = os.pathsep.join([PATH, *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | ROOTLY | LOOPBACK | {"PYTHONPATH": python}


def test_every_block_runs_on_slurm(slurm, tmp_path):
    (tmp_path / "dask.yaml").write_text(
        f"jobqueue:\n  slurm:\n    local-directory: {tmp_path}\n    log-directory: {tmp_path}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.docs_runner", str(PAGE), str(tmp_path / "run")],
        cwd=ROOT,
        env=env()
        | {
            "DASK_CONFIG": str(tmp_path),
            "DASK_JOBQUEUE__SLURM__SCHEDULER_OPTIONS": "{'dashboard_address': '127.0.0.1:0'}",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    ran = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("ran ")]
    assert ran == [line for line, _, _ in blocks(PAGE, *CODE)]


def test_the_program_for_mpi_runs_by_mpirun(files, tmp_path):
    need("mpirun")
    (code,) = [code for _, _, code in blocks(PAGE, "python") if "dask_mpi" in code]
    shutil.copy(DATA / "scene_deflate.tif", tmp_path / "mosaic.tif")
    code = code.replace("/scratch/", f"{tmp_path}/").replace(
        "initialize(", 'initialize(interface="lo", dashboard=False, '
    )
    code, count = re.subn(r"^( +)(scichunk\.from_geotiff.*)$", r"\1print('found', \2)", code, flags=re.MULTILINE)
    assert count == 1
    (tmp_path / "job.py").write_text(code)
    done = subprocess.run(
        ["mpirun", "--oversubscribe", "-n", "3", sys.executable, "job.py"],
        cwd=tmp_path,
        env=env(),
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("found") == 1
