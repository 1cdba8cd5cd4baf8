"""VOTable beside astropy, STILTS and vot: ``python -m benchmarks.votable``."""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from benchmarks.votable_data import make

ROOT = Path(__file__).resolve().parent.parent
CASES = [
    ("mixed", "TABLEDATA"),
    ("scalar", "TABLEDATA"),
    ("mixed", "BINARY2"),
    ("scalar", "BINARY2"),
    ("mixed", "BINARY"),
]


ROWS = 1_000_000


def _vot():
    beside = Path(sys.executable).parent / "vot"
    return str(beside) if beside.exists() else shutil.which("vot")


def ours(path, threads):
    import dask

    import scichunk

    scichunk.read_votable(path).partitions[0].head(5)  # imports
    scheduler = {"scheduler": "synchronous"} if threads == 1 else {"scheduler": "threads", "num_workers": threads}

    def read():
        with dask.config.set(**scheduler):
            # every column of every partition is decoded; one partition a thread is in memory
            return scichunk.read_votable(path).map_partitions(len, meta=("rows", "i8")).compute().sum()

    return read


def ours_cached(path, _threads):
    import dask

    import scichunk

    scichunk.read_votable(path).partitions[0].head(5)

    def read():
        with dask.config.set(scheduler="synchronous"):
            return len(scichunk.read_votable(path).compute())

    return read


def astropy(path, _threads):
    from astropy.io.votable import parse

    return lambda: len(parse(path, verify="ignore").get_first_table().array)


def stilts(path, _threads):
    exe = shutil.which("stilts")
    command = [exe, "-Xmx2g", "tpipe", f"in={path}", "ifmt=votable", "istream=true", "omode=checksum"]
    return lambda: subprocess.run(command, check=True, capture_output=True)


def vot(path, _threads):
    command = [_vot(), "sconvert", "-f", "csv", "-i", str(path), "-o", os.devnull]
    return lambda: subprocess.run(command, check=True, capture_output=True)


READERS = {"scichunk": ours, "scichunk cached": ours_cached, "astropy": astropy, "STILTS": stilts, "vot": vot}


def run_one():
    """Time one reader in this fresh process."""
    warnings.simplefilter("ignore")
    name, path, threads = sys.argv[2], sys.argv[3], int(sys.argv[4])
    read = READERS[name](path, threads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = os.times()
    read()
    stop = os.times()
    rss = max(resource.getrusage(k).ru_maxrss for k in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(stop[:4]) - sum(start[:4])
    print(json.dumps({"cpu": cpu, "wall": stop.elapsed - start.elapsed, "rss": rss >> 10, "base": before >> 10}))


def time_one(reader, path, threads=1):
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.votable", "one", reader, str(path), str(threads)],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False, timeout=900,
    )  # fmt: skip
    return None if out.returncode else json.loads(out.stdout.splitlines()[-1])


def latencies(folder, rows):
    """Milliseconds, in a warm process."""
    import dask

    import scichunk
    from scichunk.core.cache import files

    def best(call):
        call()
        times = []
        for _ in range(7):
            files.clear()
            start = time.perf_counter()
            call()
            times.append(1e3 * (time.perf_counter() - start))
        return statistics.median(times)

    dask.config.set(scheduler="synchronous")
    lines = ["| what | ms |", "|---|---|"]
    data, inline = make(folder, "mixed", "TABLEDATA", rows), make(folder, "scalar", "BINARY2", rows)
    middle = slice(rows // 2, rows // 2 + 100)
    lines.append(
        f"| open, TABLEDATA of {data.stat().st_size >> 20} MB | {best(lambda: scichunk.read_votable(data)):.1f} |"
    )
    lines.append(
        f"| open, BINARY2 of {inline.stat().st_size >> 20} MB | {best(lambda: scichunk.read_votable(inline)):.1f} |"
    )
    from scichunk.core.files import TableId
    from scichunk.core.handles import open_file
    from scichunk.core.tables import Rows
    from scichunk.sources import locate

    def rows_of(path):
        return open_file("votable", locate(path)).table(TableId(0)).read_rows(Rows(middle.start, middle.stop))

    lines.append(
        f"| 100 rows in the middle of the BINARY2 table, file opened anew | {best(lambda: rows_of(inline)):.1f} |"
    )
    lazy = scichunk.from_votable(inline, "d0")
    lines.append(f"| 100 values of a column of it, opened | {best(lambda: np.asarray(lazy[middle])):.1f} |")
    return [*lines, ""]


def section(given):
    """Measure everything; returns lines of markdown."""
    rows = given.rows or ROWS
    there = {"STILTS": shutil.which("stilts"), "vot": _vot()}
    readers = [r for r in READERS if there.get(r, True) and (not given.readers or r in given.readers)]
    lines = [
        (
            f"{rows:,} rows; *mixed* are 16 columns (integers with nulls, floats, texts with entities, booleans, arrays fixed and variable, bits, complex), *scalar* 15 of numbers. "
            f"CPU-seconds of a full read, one thread, in a fresh process without imports; medians of {given.rounds} rounds (astropy: one); in parentheses how many times those of scichunk; peak memory of the process in MB. "
            "STILTS (`tpipe istream=true omode=checksum`) and `vot` (`sconvert -f csv`, which copies texts) are whole processes. *Held*: all rows in one frame."
        ),
        "",
        "| file | " + " | ".join(readers) + " |",
        "|---|" + "---|" * len(readers),
    ]
    for kind, form in [c for c in CASES if given.only in " ".join(c)]:
        # in another process: its memory would count as that of the readers
        call = f"from pathlib import Path; from benchmarks.votable_data import make; make(Path({str(given.data)!r}), {kind!r}, {form!r}, {rows})"
        subprocess.run([sys.executable, "-c", call], cwd=ROOT, check=True)
        path = make(given.data, kind, form, rows)
        runs = {r: _runs(r, path, form, 1 if r == "astropy" and rows > 300_000 else given.rounds) for r in readers}
        best = statistics.median(r["cpu"] for r in runs["scichunk"])
        texts = []
        for found in runs.values():
            cpu = statistics.median(r["cpu"] for r in found) if found else 0
            texts.append(f"{cpu:.2f} ({cpu / best:.1f}), {max(r['rss'] for r in found)}" if found else "-")
        lines.append(f"| {kind} {form}, {path.stat().st_size >> 20} MB | " + " | ".join(texts) + " |")
    return [*lines, "", *latencies(given.data, rows)]


def _runs(reader, path, form, rounds):
    if reader == "vot" and form != "TABLEDATA":
        return []
    return [found for _ in range(rounds) if (found := time_one(reader, path))]


if __name__ == "__main__":
    run_one()
