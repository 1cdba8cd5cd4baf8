"""Times of FITS files where decoding is not what counts: opening, cut-outs, many files and HDUs, requests, cold kernels."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

from benchmarks.latency import milliseconds

COLD = """
import time, scichunk, sys
array = scichunk.from_fits(sys.argv[1])
begin = time.perf_counter()
array[:256, :256].compute()
print(time.perf_counter() - begin)
"""


def tiled(folder, side=8192):
    from astropy.io import fits

    path = folder / f"rice_f4_256_{side}.fits"
    if not path.exists():
        from benchmarks.fits import scene

        image = scene(side, np.random.default_rng(0))
        hdu = fits.CompImageHDU(
            image, compression_type="RICE_1", tile_shape=(256, 256), quantize_method=1, dither_seed=7
        )
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


def many_hdus(folder, count=500):
    from astropy.io import fits

    path = folder / f"hdus_{count}.fits"
    if not path.exists():
        image = np.zeros((16, 16), "f4")
        fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(image, name=f"A{i}") for i in range(count))]).writeto(path)
    return path


def many_files(folder, count=1000):
    from astropy.io import fits

    place = folder / "many_fits"
    place.mkdir(exist_ok=True)
    paths = [place / f"{i:04d}.fits" for i in range(count)]
    for i, path in enumerate(paths):
        if not path.exists():
            fits.PrimaryHDU(np.full((8, 8), i, "f4")).writeto(path)
    return paths


def cold(path):
    """Seconds of the first read with no kernel in numba's cache, in a fresh process."""
    with tempfile.TemporaryDirectory() as cache:
        env = os.environ | {"NUMBA_CACHE_DIR": cache}
        return [
            float(
                subprocess.run(
                    [sys.executable, "-c", COLD, str(path)], capture_output=True, text=True, check=True, env=env
                ).stdout
            )
            for _ in range(2)
        ]


def local(folder):
    """Opening and cut-outs of files on this machine."""
    import xarray as xr
    from astropy.io import fits

    import scichunk
    from scichunk.core.cache import files

    path, hdus, many = tiled(folder), many_hdus(folder), many_files(folder)

    def ours():
        files.clear()
        return scichunk.from_fits(path)[3000:3256, 3000:3256].compute(scheduler="synchronous")

    def without_dask():
        files.clear()
        return next(iter(xr.open_dataset(path, engine="fits").data_vars.values()))[3000:3256, 3000:3256].values

    def theirs():
        with fits.open(path) as file:
            return file[1].section[3000:3256, 3000:3256]

    def hundreds():
        files.clear()
        scichunk.open(hdus)

    def last():
        files.clear()
        scichunk.from_fits(hdus, hdu=500)

    def structure():
        files.clear()
        scichunk.info(hdus)

    def headers():
        with fits.open(hdus) as file:
            len(file)

    def thousand():
        files.clear()
        scichunk.from_fits_files(many)

    np.testing.assert_array_equal(ours(), theirs())
    return [
        ("256 x 256 cut-out of a RICE image of 8192 x 8192, with open", milliseconds(ours), milliseconds(theirs)),
        ("the same through xarray without Dask", milliseconds(without_dask), None),
        ("500 HDUs: `from_fits` of the last one", milliseconds(last, 5), None),
        (
            "500 HDUs: what is in all of them (`scichunk.info`; astropy: `len`)",
            milliseconds(structure, 5),
            milliseconds(headers, 5),
        ),
        ("500 HDUs: `scichunk.open`, a tree of datasets", milliseconds(hundreds, 5), None),
        ("1,000 small files as one array, every header read", milliseconds(thousand, 5), None),
    ]


def remote(folder):
    """Requests and seconds from a server 50 ms away."""
    from astropy.io import fits

    import scichunk
    from scichunk.core.cache import files
    from scichunk.testing import RangeServer

    cube = folder / "cube_remote.fits"
    if not cube.exists():
        fits.PrimaryHDU(np.random.default_rng(0).normal(0, 1, (100, 256, 512)).astype("f4")).writeto(cube)
    content = {"tiled.fits": tiled(folder).read_bytes(), "cube.fits": cube.read_bytes()}
    lines = []
    with RangeServer(content, latency=0.05) as server:

        def measure(name, prepare, act):
            took, asked = [], 0
            for _ in range(3):
                files.clear()
                given = prepare()
                server.reset()
                begin = time.perf_counter()
                act(given)
                took.append(time.perf_counter() - begin)
                asked = server.requests
            lines.append(f"| {name} | {statistics.median(took):.2f} | {asked} |")

        measure("open a tile-compressed image", lambda: None, lambda _: scichunk.from_fits(server.url("tiled.fits")))
        measure(
            "cut-out of 256 x 256",
            lambda: scichunk.from_fits(server.url("tiled.fits")),
            lambda a: a[3000:3256, 3000:3256].compute(),
        )
        measure(
            "spectrum of 100 channels",
            lambda: scichunk.from_fits(server.url("cube.fits"), chunks=(100, 256, 512)),
            lambda a: a[:, 99, 300].compute(),
        )
    return ["### Over HTTP, 50 ms away", "", "| what | s | requests |", "|---|---|---|", *lines, ""]


def report(folder):
    """Lines of markdown."""
    from benchmarks.fits import CASES, make

    warnings.simplefilter("ignore")
    lines = ["### Opening, cut-outs, many files", "", "| what | scichunk, ms | astropy, ms |", "|---|---|---|"]
    lines += [f"| {n} | {a:.2f} | {'' if b is None else f'{b:.2f}'} |" for n, a, b in local(folder)]
    lines += ["", *remote(folder), "### First read", ""]
    lines += ["Seconds of the first read after an install, when numba compiles a kernel, and in the next process.", ""]
    lines += ["| kernel | first | next process |", "|---|---|---|"]
    for name in ("RICE_1 i2 2-D tiles", "RICE_1 f4 2-D tiles", "PLIO_1 i2 2-D tiles", "HCOMPRESS_1 i2 2-D tiles"):
        assert name in CASES
        first, second = cold(make(folder, name, 1024))
        lines.append(f"| {name} | {first:.1f} | {second:.2f} |")
    return [*lines, ""]
