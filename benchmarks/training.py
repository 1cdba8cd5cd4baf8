"""Training: patches of 256 x 256 in batches of 16, beside what people do today.

Each reader runs in a process of its own, all in turn; each tells CPU time a patch of a whole epoch, the process being warm. Every value is compared
by a checksum that does not depend on the order.
"""

import json
import os
import statistics
import subprocess
import sys

from benchmarks import fits as fits_files
from benchmarks import jpeg2000_data, windows
from benchmarks.geotiff import ROOT
from benchmarks.settle import settle

SIZE = 256
COG = "COG, 4 bands uint16 DEFLATE p2, pixel-interleaved"
RICE_ROWS, RICE_TILES, JP2 = (
    "FITS RICE_1, row tiles",
    "FITS RICE_1, tiles of 256 x 256",
    "JPEG 2000 lossless, tiles of 1024",
)
READERS = {
    COG: ("plan", "rasterio, our order", "rasterio, random", "xbatcher", "torchgeo", "rasteret, random"),
    RICE_ROWS: ("plan", "astropy .section, random", "fitsio, random"),
    RICE_TILES: ("plan", "astropy .section, random", "fitsio, random"),
    JP2: (
        "plan",
        "rasterio, random, no cache",
        "glymur, random",
        "plan, blocks kept",
        "rasterio, random, all in its cache",
    ),
}
ANCHORS = {
    COG: {"rasterio, random": 1.5, "xbatcher": 2.5, "torchgeo": 5, "rasterio, our order": 1},
    RICE_ROWS: {"astropy .section, random": 50},
    JP2: {"glymur, random": 3.5, "rasterio, random, no cache": 10, "rasterio, random, all in its cache": 1},
}
"""How many times the CPU of the plan each should take at least."""
KEPT = {"rasterio, random, all in its cache": "plan, blocks kept"}
"""What is compared with the plan that keeps what it has decoded: both decode nothing in the epoch that is measured."""
FEW = {
    "rasteret, random": 64,
    "astropy .section, random": 32,
    "fitsio, random": 64,
    "glymur, random": 48,
    "rasterio, random, no cache": 24,
}
"""Patches of readers that take long."""


def make(folder, name, side):
    """Write one case, unless it is there."""
    import numpy as np

    if name == COG:
        return windows.make(folder, next(iter(windows.CASES)), side)
    path = (
        folder
        / f"training_{'jp2' if name == JP2 else 'rows' if name == RICE_ROWS else 'tiles'}_{side}.{'jp2' if name == JP2 else 'fits'}"
    )
    if path.exists():
        return path
    if name == JP2:
        jpeg2000_data.write(path, jpeg2000_data.scene(side), BLOCKXSIZE=1024, BLOCKYSIZE=1024)
        return path
    from astropy.io import fits

    image = fits_files.scene(side, np.random.default_rng(3)).clip(-30000, 30000).astype("i2")
    shape = (1, side) if name == RICE_ROWS else (256, 256)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, compression_type="RICE_1", tile_shape=shape)]).writeto(
        path
    )
    return path


def run(*arguments, cache=64, timeout=900):
    """Measure in a fresh process; None where it cannot be."""
    env = os.environ | {"GDAL_CACHEMAX": str(cache)}  # as an option of rasterio.Env, 64 is taken as 64 bytes
    # torchgeo needs torchvision, which needs a PyTorch of gigabytes, and Rasteret a newer Python: each may have an environment of its own
    python = os.environ.get(f"{arguments[0].partition(',')[0].upper()}_PYTHON", sys.executable)
    command = [python, "-m", "benchmarks.training_one", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=False, timeout=timeout)
    if done.returncode:
        print(done.stderr.splitlines()[-1:], arguments, flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def measure_case(name, path, rounds):
    """One row a reader: milliseconds of CPU a patch, how many times that of the plan, and what was asked for."""
    runs = {reader: [] for reader in READERS[name]}
    for _ in range(rounds):
        for reader, found in runs.items():
            if None not in found:
                cache = 0 if "no cache" in reader else 64
                found.append(run(reader, path, FEW.get(reader, 0), cache=cache))
    sums = {r["sum"] for found in runs.values() for r in found if r and r["whole"]}
    assert len(sums) == 1, f"the readers do not agree: {sums}"
    cost = {r: statistics.median(f["cpu"] for f in found) if all(found) else None for r, found in runs.items()}
    rows = []
    for reader, cpu in cost.items():
        wanted = ANCHORS.get(name, {}).get(reader)
        if cpu is None:
            rows.append(f"| {name} | {reader} | not installed | | {wanted or ''} |")
            continue
        times = cpu / cost[KEPT.get(reader, "plan")]
        told = f" ({found})" if (found := runs[reader][0]["version"]) else ""
        rows.append(f"| {name} | {reader}{told} | {cpu * 1e3:.2f} | {times:.2f} | {'' if wanted is None else wanted} |")
    return rows


def over_http(path, rounds):
    """Samples a second from a server 30 ms away."""
    rows = [
        "### Over HTTP, 30 ms away",
        "",
        "| reader | patches a second | times | requests | MB |",
        "|---|---|---|---|---|",
    ]
    runs = {"plan": [], "rasterio, random": []}
    for _ in range(rounds):
        for reader, found in runs.items():
            found.append(run(f"http {reader}", path, 128 if "rasterio" in reader else 0))
    base = statistics.median(1 / r["wall"] for r in runs["rasterio, random"])
    for reader, found in runs.items():
        speed = statistics.median(1 / r["wall"] for r in found)
        rows.append(
            f"| {reader} | {speed:.0f} | {speed / base:.1f} | {found[-1]['requests']} | {found[-1]['bytes'] / 1e6:.0f} |"
        )
    return [*rows, "", "Medians of all rounds; 8 times as many were wanted.", ""]


def workers_and_memory(path):
    """Two workers of a DataLoader, started in three ways; the plan of a million patches; memory of blocks."""
    lines = ["### Workers, plans and memory", "", "| what | |", "|---|---|"]
    for where in ("local", "HTTP, 30 ms"):
        for how in ("fork", "spawn", "forkserver"):
            found = run(f"workers {how}", path, int(where != "local"))
            told = (
                "torch is not installed"
                if found is None
                else f"{1 / found['wall']:.0f} patches a second, start included, all {found['count']} once"
            )
            lines.append(f"| two workers by {how}, {where} | {told} |")
    found = run("million", path, 0)
    lines.append(f"| plan of 1,000,000 patches in 62,500 blocks, one of 8 shards | {found['cpu']:.2f} CPU s |")
    found = run("memory", path, 0)
    lines.append(
        f"| most memory of blocks, `mix=4`, `ahead=2`, blocks of 16 MB | {found['most'] / 1e6:.0f} MB; "
        f"(mix + ahead + 1) blocks are {found['limit'] / 1e6:.0f} MB |"
    )
    return [*lines, ""]


def section(given):
    """Measure everything; returns lines of markdown."""
    rows = []
    for name in READERS:
        if given.only in name:
            rows += measure_case(name, settle(make(given.data, name, given.side)), given.rounds)
    lines = [
        f"Patches of {SIZE} x {SIZE} in batches of 16 of images of {given.side} x {given.side} pixels, one epoch of all patches, {given.rounds} rounds, two threads: milliseconds of CPU",
        'a patch, and how many times that of the plan (`scichunk.patches(...).batches(16)`). "Random" is one handle that is kept open, windows in a random order; "our order" gives it those of the plan.',
        '"All in its cache" is compared with the plan whose decoded blocks are kept (`keep_bytes`): neither decodes anything in the epoch that is measured.',
        "GDAL's block cache has 64 MB (as the environment variable `GDAL_CACHEMAX`; as an option of `rasterio.Env` it would be none). The last column is what was asked for, as a least.",
        "",
        "| file | reader | CPU ms a patch | times the plan | wanted |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]
    if not given.only:
        path = settle(make(given.data, COG, given.side))
        lines += over_http(path, given.rounds)
        lines += workers_and_memory(path)
    return lines
