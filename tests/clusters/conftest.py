"""SLURM with two nodes on this machine, for as long as the tests run, and the files that its jobs read."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).resolve().parent / "slurm"
PATH = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
COUNT = 1000


def pytest_collection_modifyitems(items):
    """One worker of xdist runs them all: there is one SLURM, and two cores."""
    for item in items:
        if Path(item.path).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.clusters)
            item.add_marker(pytest.mark.xdist_group("clusters"))


def need(*commands):
    missing = [c for c in commands if shutil.which(c) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed; as root, tests/clusters/slurm/install.sh does so")


def free_ports(count):
    """The first of so many free ports in a row."""
    for first in range(21000 + os.getpid() % 5000, 30000, count):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


@contextlib.contextmanager
def running_slurm(folder):
    """A SLURM of its own; ``SLURM_CONF`` says where it is."""
    need("slurmctld", "slurmd", "munged", "sbatch", "squeue")
    env = os.environ | {"PATH": os.environ["PATH"] + ":/usr/sbin"}
    done = None
    try:
        done = subprocess.run(
            ["sh", str(SCRIPTS / "start.sh"), str(folder), str(free_ports(4))],
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
            env=env,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield folder
    finally:
        subprocess.run(["sh", str(SCRIPTS / "stop.sh"), str(folder)], check=False, timeout=60, capture_output=True)


@pytest.fixture(scope="package")
def slurm(tmp_path_factory):
    """SLURM, and the surroundings of those who submit jobs to it."""
    pytest.importorskip("dask_jobqueue")
    folder = tmp_path_factory.mktemp("slurm")
    with running_slurm(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        patch.setenv("PYTHONPATH", os.pathsep.join([PATH, *filter(None, [os.environ.get("PYTHONPATH")])]))
        yield folder


def slurm_command(*command, timeout=30):
    """What a command of SLURM prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout).stdout


@pytest.fixture(scope="package")
def common(slurm, tmp_path_factory):
    """Keywords of all clusters: small jobs of one thread on this machine."""
    folder = tmp_path_factory.mktemp("jobs")
    return {
        "cores": 1,
        "processes": 1,
        "memory": "900MB",
        "walltime": "00:10:00",
        "interface": "lo",
        "python": sys.executable,
        "local_directory": str(folder / "scratch"),
        "log_directory": str(folder / "logs"),
        "scheduler_options": {"dashboard": False, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"},
    }


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A thousand GeoTIFFs, a cube in FITS, plain and by RICE, and a table in VOTable; and what is in them."""
    import rasterio
    from astropy.io import fits
    from astropy.io.votable import from_table, writeto
    from astropy.table import Table
    from rasterio.transform import from_origin

    folder = tmp_path_factory.mktemp("files")
    plane = np.arange(64 * 64, dtype="u2").reshape(64, 64)
    how = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint16", "compress": "deflate"}
    how |= {"crs": "EPSG:32632", "transform": from_origin(500000, 5200000, 10, 10)}
    first = folder / "image_0000.tif"
    for number in range(10):
        with rasterio.open(folder / f"kind_{number}.tiff", "w", **how) as file:
            file.write(plane + number, 1)
    for number in range(COUNT):
        shutil.copy(folder / f"kind_{number % 10}.tiff", folder / f"image_{number:04}.tif")
    assert first.exists()
    cube = np.random.default_rng(1).integers(0, 1000, (8, 128, 128)).astype("i4")
    fits.PrimaryHDU(cube).writeto(folder / "cube.fits")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(cube, name="RICE", compression_type="RICE_1")]).writeto(
        folder / "rice.fits"
    )
    writeto(from_table(Table({"id": np.arange(20_000), "mag": np.linspace(0, 20, 20_000)})), str(folder / "stars.vot"))
    return folder
