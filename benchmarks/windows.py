"""Random windows of a GeoTIFF that is kept open: a window reader, and xarray without Dask, beside a kept handle of rasterio."""

import json
import statistics
import subprocess
import sys

import numpy as np
import rasterio

from benchmarks.data import TILES, terrain
from benchmarks.geotiff import ROOT
from benchmarks.settle import settle
from benchmarks.windows_one import READERS

PACKED = {"compress": "deflate", "predictor": 2}
CASES = {
    "4 bands uint16 DEFLATE p2, pixel-interleaved": {**PACKED, "interleave": "pixel"},
    "4 bands uint16 DEFLATE p2, band by band": {**PACKED, "interleave": "band"},
    "4 bands uint16 ZSTD p2, pixel-interleaved": {"compress": "zstd", "predictor": 2, "interleave": "pixel"},
    "4 bands uint16 raw, pixel-interleaved": {"interleave": "pixel"},
    "4 bands uint16 raw, band by band": {"interleave": "band"},
}
CACHES = {"without a cache": 0, "64 MiB of decoded tiles": 64 << 20}
COUNT = 150


def make(folder, name, side):
    """Write one case, unless it is there."""
    path = folder / f"windows_{''.join(c if c.isalnum() else '_' for c in name)}_{side}.tif"
    if path.exists():
        return path
    rng = np.random.default_rng(7)
    data = np.stack([terrain(side, side, rng) for _ in range(4)])
    data += 0.002 * rng.standard_normal(data.shape, dtype="f4")
    profile = {"driver": "GTiff", "count": 4, "height": side, "width": side, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(
        path, "w", transform=rasterio.Affine(10, 0, 3e5, 0, -10, 5e6), **profile, **TILES, **CASES[name]
    ) as ds:
        ds.write((data.clip(0, 1) * 9000).astype("u2"))
    return path


def time_one(reader, path, cache, side):
    """Measure in a fresh process; None where the reader cannot."""
    arguments = [reader, str(path), str(COUNT), str(cache), str(side)]
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.windows_one", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=600,
    )
    return None if out.returncode else json.loads(out.stdout.splitlines()[-1])


def section(given):
    """Measure everything; returns lines of markdown."""
    rows = []
    for name in CASES:
        if given.only not in name:
            continue
        path = settle(make(given.data, name, given.side))
        for title, cache in CACHES.items():
            runs = {reader: [] for reader in READERS}
            for _ in range(given.rounds):
                for reader, found in runs.items():
                    found.append(time_one(reader, path, cache, given.side))
            sums = {run["sum"] for found in runs.values() for run in found if run}
            assert len(sums) == 1, f"the readers do not agree: {sums}"
            times = {
                r: statistics.median(run["cpu"] for run in found) if all(found) else None for r, found in runs.items()
            }
            kept = times["rasterio"]
            cells = ["does not read it" if t is None else f"{t * 1e3:.2f} ({t / kept:.2f})" for t in times.values()]
            rows.append(f"| {name}, {title} | " + " | ".join(cells) + " |")
    return [
        f"{COUNT} windows of 256 x 256 pixels of all bands at random places of files of {given.side} x {given.side} pixels in tiles of 512 x 512, one thread,",
        f"{given.rounds} rounds: CPU-milliseconds a window; in parentheses how many times the CPU of a handle of rasterio that is kept open, with a block cache of the same size.",
        "",
        "| file | " + " | ".join(READERS) + " |",
        "|---|" + "---|" * len(READERS),
        *rows,
        "",
    ]
