"""Runs the code of one page as a reader would: block after block, in one session, beside the files that the page names.

``python -m tests.docs_runner PAGE FOLDER`` prints a line for each block that ran. What a reader has and this machine has not is put in:
a server on 127.0.0.1 for https://example.org, moto for s3://bucket, local clusters for schedulers of jobs (unless SLURM_CONF says that
there is a SLURM, as in tests/clusters).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "test_data"
CODE = ("python", "code-cell", "console")
"""Kinds of blocks that are run."""
NO_CODE = ("text", "toml", "toctree", "include", "literalinclude")
"""Kinds of blocks that hold nothing to be run."""

SAME = {
    "scene.tif": "scene_deflate.tif",
    "dem.tif": "scene_deflate.tif",
    "mosaic.tif": "scene_deflate.tif",
    "d1.tif": "dem_2024-01-01.tif",
    "d2.tif": "dem_2024-02-01.tif",
    "night_1.fits": "catalogue.fits",
    "night_2.fits": "catalogue.fits",
    "catalogue.vot": "stars.vot",
    "gaia.vot": "stars.vot",
}
"""Files that pages name, and which of the bundled ones stands for them."""


def blocks(page, *kinds):
    """Fenced blocks of a page: the number of the first line, and the code without options of directives."""
    found, lines = [], page.read_text("utf-8").splitlines()
    number = 0
    while number < len(lines):
        fence = re.match(r"( *)(`{3,})\{?([\w-]+)", lines[number])
        number += 1
        if fence is None:
            continue
        start, indent = number, len(fence[1])
        while lines[number].strip() != fence[2]:
            number += 1
        code = [line[indent:] for line in lines[start:number] if not re.match(r" *:[\w-]+:", line)]
        if not kinds or fence[3] in kinds:
            found.append((start + 1, fence[3], "\n".join(code)))
        number += 1
    return found


def make_files(folder):
    """Put the files that pages name into a folder."""
    import imagecodecs
    import numpy as np
    from astropy.io import fits

    shutil.copytree(DATA, folder, ignore=shutil.ignore_patterns("make", "*.md"))
    for name, like in SAME.items():
        shutil.copy(DATA / like, folder / name)
    band = np.arange(256 * 256, dtype="u2").reshape(256, 256)
    halved = imagecodecs.jpeg2k_encode(band, codecformat="jp2", reversible=True, resolutions=6)
    (folder / "T32TQM_B03.jp2").write_bytes(halved)
    (folder / "s3").mkdir()
    for day in (1, 2):
        with fits.open(DATA / "exposure.fits") as file:
            file[0].header["DATE-OBS"] = file["SCI"].header["DATE-OBS"] = f"2024-01-0{day}T00:00:00"
            file.writeto(folder / "s3" / f"night_{day}.fits")
    shutil.copy(DATA / "scene_deflate.tif", folder / "s3" / "scene.tif")
    shutil.copy(DATA / "scene_deflate.tif", folder / "s3" / "dem.tif")
    for name in ("dem_2024-01-01.tif", "dem_2024-02-01.tif"):
        shutil.copy(DATA / name, folder / "s3" / name)
    (folder / "tests" / "data").mkdir(parents=True)
    values = np.arange(600, dtype="<u2").reshape(2, 20, 15)
    (folder / "tests" / "data" / "scene.img").write_bytes(values.tobytes())
    header = "ENVI\nsamples = 15\nlines = 20\nbands = 2\nheader offset = 0\ndata type = 12\ninterleave = bsq\nbyte order = 0\n"
    (folder / "tests" / "data" / "scene.hdr").write_text(header)


def given(page):
    """What stands for the names that the reader of a format's page fills in."""
    import xarray as xr

    import scichunk

    url = {"fits": "exposure.fits", "geotiff": "scene.tif", "jpeg2000": "band_tlm_plt.jp2"}.get(page.stem)
    if page.parent.name != "formats" or url is None:
        return {}
    dataset = xr.open_dataset(url, engine=page.stem)
    return {"scichunk": scichunk, "xr": xr, "url": url, "urls": [url, url], "dataset_or_array": dataset}


@contextlib.contextmanager
def s3(folder):
    """The bucket ``bucket`` with the files of a folder, by moto."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    os.environ |= {"AWS_ENDPOINT_URL": address, "AWS_ALLOW_HTTP": "true", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket", ACL="public-read")
    for path in folder.iterdir():
        client.put_object(Bucket="bucket", Key=path.name, Body=path.read_bytes(), ACL="public-read")
    try:
        yield
    finally:
        server.stop()


SMALL = {
    r'("?interface"?(?:=|: ))"ib0"': r'\g<1>"lo"',
    r'("?(?:cores|processes)"?(?:=|: ))\d+': r"\g<1>1",
    r'("?memory"?(?:=|: ))"\d+GB"': r'\g<1>"900MB"',
}
"""What pages ask of a cluster, and what there is of one on this machine."""


def put_in_schedulers(*, real):
    """Local clusters under the names of packages that start jobs; where there is a SLURM, only MPI has a stand-in."""
    from distributed import LocalCluster

    class SLURMCluster(LocalCluster):
        def __init__(
            self, cores, processes, memory, walltime, interface, queue=None, job_extra_directives=(), n_workers=1
        ):
            assert queue in {None, "io", "big"}
            assert all(d.startswith("--") for d in job_extra_directives)
            assert int(memory.removesuffix("GB")) > 0
            assert re.fullmatch(r"\d\d:\d\d:\d\d", walltime)
            assert interface
            place = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
            super().__init__(n_workers=n_workers, threads_per_worker=cores // processes, **place)

    queue, mpi = types.ModuleType("dask_jobqueue"), types.ModuleType("dask_mpi")
    queue.SLURMCluster = SLURMCluster
    mpi.initialize = lambda nthreads: None  # its ranks; a Client() then starts a cluster on this machine
    sys.modules |= {"dask_mpi": mpi} if real else {"dask_mpi": mpi, "dask_jobqueue": queue}


def install_entry_points(folder):
    """Let intake find what pyproject.toml declares, whatever is installed."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    info = folder / "site" / "standin-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: standin\nVersion: 1\n")
    lines = [f"{name} = {value}" for name, value in declared["intake.imports"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[intake.imports]", *lines]))
    sys.path.insert(0, str(info.parent))


def run_console(code):
    """Run the commands behind ``$``, and compare what they print; ``...`` stands for anything."""
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        assert command.split()[0] == "scichunk", command
        arguments = [sys.executable, "-m", "scichunk.adapters.cli", *command.split()[1:]]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=ROOT)
        pattern = re.escape(wanted.rstrip()).replace(re.escape("..."), ".*")
        assert re.match(rf"{pattern}\s*$", done.stdout, re.DOTALL), f"{command} prints\n{done.stdout}"


def run(page, folder):
    """Run the blocks of a page; an error leaves with the page and line of its block."""
    from scichunk.testing import RangeServer

    folder.mkdir(parents=True)
    data = folder / "test_data"
    make_files(data)
    os.environ["MPLBACKEND"] = "agg"
    os.environ["XDG_DATA_HOME"] = str(folder / "home")  # where the history of a user lies
    found = blocks(page, *CODE)
    text = "\n".join(code for _, _, code in found)
    notebook = any(kind == "code-cell" for _, kind, _ in found)
    os.makedirs(folder / "page", exist_ok=True)
    os.chdir(folder / "page" if notebook else data)  # notebooks go to the data by themselves
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(RangeServer({p.name: p.read_bytes() for p in data.iterdir() if p.is_file()}))
        if "s3://" in text or "S3Store" in text:
            stack.enter_context(s3(data / "s3"))
        if "import intake" in text:
            install_entry_points(folder)
        if "dask_jobqueue" in text or "dask_mpi" in text:
            put_in_schedulers(real="SLURM_CONF" in os.environ)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        names = {"__name__": "page"} | given(page)
        for line, kind, written in found:
            code = written.replace("https://example.org/", server.url("x").removesuffix("x"))
            code = re.sub(r'(?<=["\'])/(shared|scratch)/', f"{data}/", code)
            if "SLURM_CONF" in os.environ:
                for asked, there in SMALL.items():
                    code = re.sub(asked, there, code)
            if kind == "console":
                run_console(code)
            else:
                exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)
                for name in re.findall(r"^def (test_\w+)\(\)", code, re.MULTILINE):
                    names[name]()
            print(f"ran {line}", flush=True)
        client = names.get("client")
        if client is not None:
            client.cluster.close()
            client.close()


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
