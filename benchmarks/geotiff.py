"""GeoTIFF beside rioxarray, rasterio, async-geotiff and tifffile."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import latency
from benchmarks.data import CASES, make
from benchmarks.settle import settle

ROOT = Path(__file__).resolve().parent.parent
COLD = "scichunk, nothing compiled"  # as on a machine where it is used for the first time
DECODE = "decode alone"  # a reader of its own: the codec into warm memory, no pipeline


def chunks_of(name, side):
    bands = CASES[name][1]
    if "blockysize" in CASES[name][2] and not CASES[name][2].get("tiled"):
        return [bands, 1024, side]
    return [bands, 2048, 2048]


def time_one(reader, path, threads, chunks):
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as empty:
        if reader == COLD:
            env["SCICHUNK_CACHE_DIR"] = empty
        out = subprocess.run(
            [sys.executable, "-m", "benchmarks.run_one", reader, str(path), str(threads), json.dumps(chunks)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=env,
            check=False,
            timeout=600,
        )
    if out.returncode:
        return None
    return json.loads(out.stdout.splitlines()[-1])


def compare(name, path, side, rounds, threads, readers):
    """Rounds of all readers in turn on one of the cases; returns medians by reader."""
    return compare_chunked(path, chunks_of(name, side), rounds, threads, readers)


def compare_chunked(path, chunks, rounds, threads, readers):
    """Rounds of all readers in turn; returns medians by reader."""
    runs = {r: [] for r in readers}
    for _ in range(rounds):
        for reader in readers:
            if runs[reader] is not None:
                found = time_one(reader, path, threads, chunks)
                runs[reader] = None if found is None else [*runs[reader], found]
    return {r: {k: statistics.median(x[k] for x in v) for k in v[0]} if v else None for r, v in runs.items()}


def table(title, rows, readers):
    base = "rioxarray lock=False"
    lines = [
        f"### {title}",
        "",
        "CPU-seconds per GB of pixels; in parentheses how many times less CPU than rioxarray with `lock=False`.",
        "*Nothing compiled* is scichunk on a machine where it is used for the first time, so that libraries serve for a few steps instead of compiled code.",
        "The decode limit is what the codec and predictor alone take, one tile after another into one warm buffer.",
        "The last column is the CPU of the fastest other reader by that of scichunk, usually and with nothing compiled. virtual-tiff opens no",
        "file of several samples a pixel; async-tiff is within async-geotiff; lazycogs, made for catalogues, was not tried; Rasteret is under Training.",
        "",
        "| file | " + " | ".join(readers) + " | peak RSS, MB | share of the decode limit | fastest peer / scichunk |",
        "|---|" + "---|" * (len(readers) + 3),
    ]
    for name, found in rows.items():
        cells = []
        for reader in readers:
            one = found[reader]
            ratio = f" ({found[base]['cpu'] / one['cpu']:.2f})" if one and found.get(base) and reader != base else ""
            cells.append(f"{one['cpu'] / one['gb']:.2f}{ratio}" if one else "fails")
        ours = found["scichunk"]
        limit = found.get(DECODE)
        share = f"{100 * limit['cpu'] / ours['cpu']:.0f} % of {limit['cpu'] / limit['gb']:.2f}" if limit else ""
        peak = f"{ours['peak_mb']:.0f} (chunk {ours['chunk_mb']:.0f})"
        peers = {r: found[r]["cpu"] for r in readers if found[r] and not r.startswith("scichunk")}
        fastest = min(peers, key=peers.__getitem__, default="")
        ratios = [peers[fastest] / found[r]["cpu"] for r in ("scichunk", COLD) if fastest and found.get(r)]
        last = f"{fastest} " + ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"| {name} | " + " | ".join([*cells, peak, share, last]) + " |")
    return [*lines, ""]


def walls(title, rows, readers):
    lines = [
        f"### {title}",
        "",
        "MB/s of pixels; in parentheses how many times faster than rioxarray with its default lock.",
        "",
        "| file | " + " | ".join(readers) + " |",
        "|---|" + "---|" * len(readers),
    ]
    for name, found in rows.items():
        cells = []
        for reader in readers:
            one = found[reader]
            ratio = (
                f" ({found['rioxarray']['wall'] / one['wall']:.2f})"
                if one and found.get("rioxarray") and reader != "rioxarray"
                else ""
            )
            cells.append(f"{1000 * one['gb'] / one['wall']:.0f}{ratio}" if one else "fails")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


REASONS = """Where LIBERTIFF takes less CPU, and why: both call the same libdeflate, libzstd, libjpeg-turbo and libwebp, which take the
share of a row that the column before the last says. Of the rest, a tile is 6 to 25 microseconds of Python here and next to nothing in C++ (up to 0.05 s/GB in tiles of
512 x 512). Raw tiles are read into scratch memory and copied, in both; more than half of what they take is the system's copy from its page cache.
The rows of RGB JPEG and RGB raw vary from run to run: the last column was 0.81 to 1.20 and 0.84 to 0.98 on one day.
With nothing compiled, samples of 8 bits that lie together are spread over bands by NumPy at a value a cycle (0.28 s/GB) instead of by
shuffles of registers, and the floating point predictor takes 0.6 s/GB instead of 0.3, until a process has read 2 GB: then it compiles."""

PEERS = [
    "scichunk",
    COLD,
    "rioxarray lock=False",
    "rioxarray",
    "rasterio GTiff",
    "rasterio LIBERTIFF",
    "async-geotiff",
    "tifffile",
    "xarray-spatial",
    "virtual-tiff",
]


def section(given):
    """Measure everything; returns lines of markdown."""
    readers = [r for r in PEERS if not given.readers or r in given.readers]
    names = [n for n in CASES if given.only in n]
    paths = {n: settle(make(given.data, n, given.side)) for n in names}
    one = {n: compare(n, paths[n], given.side, given.rounds, 1, [*readers, DECODE]) for n in names}
    few = [r for r in readers if r in {"scichunk", "rioxarray", "rioxarray lock=False", "rasterio LIBERTIFF"}]
    some = [n for n in names if n in {"uint16 raw tiles", "uint16 DEFLATE p2", "float32 ZSTD p3", "RGB JPEG YCbCr"}]
    two = {n: compare(n, paths[n], given.side, given.rounds, 2, few) for n in some}
    return [
        f"Files of {given.side} x {given.side} pixels (half of it with 8 bands), chunks of 2048 x 2048, full width for strips; {given.rounds} rounds.",
        "",
        *table("Whole files, 1 thread", one, readers),
        *REASONS.splitlines(),
        "",
        *walls("Whole files, 2 threads", two, few),
        *latency.report(given.data),
    ]
