"""``python -m benchmarks``: every case beside its peers, interleaved, medians; writes docs/benchmarks.md."""

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import latency
from benchmarks.data import CASES, make
from benchmarks.readers import READERS

ROOT = Path(__file__).resolve().parent.parent
LIMITS = {"uint16 raw tiles": 0.13, "uint16 DEFLATE p2": 2.3, "uint16 ZSTD p2": 1.1, "uint16 LZW p2": 1.95, "float32 DEFLATE p3": 1.63, "float32 ZSTD p3": 0.69,
          "float32 LERC_ZSTD": 0.53, "RGB JPEG YCbCr": 1.26, "RGB WEBP": 2.94}  # fmt: skip


def chunks_of(name, side):
    bands = CASES[name][1]
    if "blockysize" in CASES[name][2] and not CASES[name][2].get("tiled"):
        return [bands, 1024, side]
    return [bands, 2048, 2048]


def time_one(reader, path, threads, chunks):
    env = os.environ | {"OMP_NUM_THREADS": "1"}
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
    """Rounds of all readers in turn; returns medians by reader."""
    runs = {r: [] for r in readers}
    for _ in range(rounds):
        for reader in readers:
            if runs[reader] is not None:
                found = time_one(reader, path, threads, chunks_of(name, side))
                runs[reader] = None if found is None else [*runs[reader], found]
    return {r: {k: statistics.median(x[k] for x in v) for k in v[0]} if v else None for r, v in runs.items()}


def table(title, rows, readers, limits):
    base = "rioxarray lock=False"
    lines = [
        f"## {title}",
        "",
        "CPU-seconds per GB of pixels; in parentheses how many times less CPU than rioxarray with `lock=False`.",
        "",
        "| file | " + " | ".join(readers) + " | peak RSS, MB | share of the decode limit |",
        "|---|" + "---|" * (len(readers) + 2),
    ]
    for name, found in rows.items():
        cells = []
        for reader in readers:
            one = found[reader]
            ratio = f" ({found[base]['cpu'] / one['cpu']:.2f})" if one and found.get(base) and reader != base else ""
            cells.append(f"{one['cpu'] / one['gb']:.2f}{ratio}" if one else "fails")
        ours = found["scichunk"]
        share = f"{100 * limits[name] / (ours['cpu'] / ours['gb']):.0f} %" if name in limits else ""
        lines.append(
            f"| {name} | " + " | ".join(cells) + f" | {ours['peak_mb']:.0f} (chunk {ours['chunk_mb']:.0f}) | {share} |"
        )
    return [*lines, ""]


def walls(title, rows, readers):
    lines = [
        f"## {title}",
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


def versions():
    found = []
    for name in (
        "scichunk",
        "rasterio",
        "rioxarray",
        "imagecodecs",
        "async-geotiff",
        "tifffile",
        "dask",
        "xarray",
        "numba",
    ):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--side", type=int, default=6144, help="pixels along each side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "scichunk-benchmarks")
    parser.add_argument("--readers", default=",".join(READERS))
    parser.add_argument("--print", action="store_true", help="do not write docs/benchmarks.md")
    given = parser.parse_args()
    given.data.mkdir(parents=True, exist_ok=True)
    readers = given.readers.split(",")
    names = [n for n in CASES if given.only in n]
    paths = {n: make(given.data, n, given.side) for n in names}
    one, two = {}, {}
    for name in names:
        one[name] = compare(name, paths[name], given.side, given.rounds, 1, readers)
        print(*table(name, {name: one[name]}, readers, LIMITS)[4:], sep="\n", flush=True)
    few = [r for r in readers if r in {"scichunk", "rioxarray", "rioxarray lock=False", "rasterio LIBERTIFF"}]
    for name in [
        n for n in names if n in {"uint16 raw tiles", "uint16 DEFLATE p2", "float32 ZSTD p3", "RGB JPEG YCbCr"}
    ]:
        two[name] = compare(name, paths[name], given.side, given.rounds, 2, few)
    text = [
        "# Benchmarks",
        "",
        "Written by `make bench`; peers in one run, interleaved, medians. The machine is shared and noisy: compare ratios, not numbers.",
        "",
        f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {versions()}.",
        f"Files of {given.side} x {given.side} pixels (half of it with 8 bands), chunks of 2048 x 2048, full width for strips; {given.rounds} rounds.",
        "",
        *table("Whole files, 1 thread", one, readers, LIMITS),
        *walls("Whole files, 2 threads", two, few),
        *latency.report(given.data),
    ]
    print("\n".join(text))
    if not given.print:
        (ROOT / "docs" / "benchmarks.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
