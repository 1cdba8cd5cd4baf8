"""FITS tables beside astropy and fitsio."""

import gc
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
ROWS = 10_000_000


# ---- files


def wide(path, rows):
    """Ten columns of all kinds, 61 bytes a row."""
    from astropy.io import fits

    dtype = np.dtype([("id", ">i8"), ("ra", ">f8"), ("dec", ">f8"), ("mag", ">f4"), ("good", "u1"), ("band", "S6"), ("v", ">f4", (3,)), ("count", ">i2"), ("flags", ">i4"), ("bits", "u1", (8,))])  # fmt: skip
    forms = ["K", "D", "D", "E", "L", "6A", "3E", "I", "J", "64X"]
    header = fits.Header()
    for key, value in (("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", dtype.itemsize), ("NAXIS2", rows), ("PCOUNT", 0), ("GCOUNT", 1), ("TFIELDS", 10)):  # fmt: skip
        header[key] = value
    for i, (name, form) in enumerate(zip(dtype.names, forms, strict=True), 1):
        header[f"TTYPE{i}"], header[f"TFORM{i}"] = name, form
    header["TSCAL8"], header["TZERO8"], header["TZERO9"] = 0.1, 5.0, 1 << 31
    rng = np.random.default_rng(1)
    with open(path, "wb") as file:
        file.write(fits.PrimaryHDU().header.tostring().encode() + header.tostring().encode())
        for first in range(0, rows, 1_000_000):
            n = min(1_000_000, rows - first)
            part = np.zeros(n, dtype)
            part["id"], part["ra"], part["dec"] = (
                np.arange(first, first + n),
                rng.random(n) * 360,
                rng.random(n) * 180 - 90,
            )
            part["mag"], part["good"] = rng.normal(20, 2, n), np.where(rng.random(n) > 0.5, ord("T"), ord("F"))
            part["band"] = np.array([b"g", b"r", b"i", b"z", b"y band"])[rng.integers(0, 5, n)]
            part["v"], part["count"] = rng.random((n, 3)), rng.integers(-1000, 1000, n)
            part["flags"], part["bits"] = rng.integers(-(1 << 31), 1 << 31, n), rng.integers(0, 256, (n, 8))
            part.tofile(file)
        file.write(b"\0" * (-rows * dtype.itemsize % 2880))


def lists(path, rows):
    """A column of arrays of variable length."""
    from astropy.io import fits

    rng = np.random.default_rng(2)
    cells = np.empty(rows, object)
    cells[:] = [rng.normal(size=n).astype("f4") for n in rng.integers(0, 40, rows)]
    fits.BinTableHDU.from_columns(
        [fits.Column("flux", "PE()", array=cells), fits.Column("id", "J", array=np.arange(rows))]
    ).writeto(path)


def text(path, rows):
    """An ASCII table of three columns."""
    from astropy.io import fits

    rng = np.random.default_rng(3)
    fits.TableHDU.from_columns(
        [
            fits.Column("x", "E15.7", array=rng.normal(size=rows)),
            fits.Column("n", "I10", array=rng.integers(0, 10**8, rows)),
            fits.Column("name", "A8", array=np.array([f"s{i}" for i in range(rows)])),
        ]
    ).writeto(path)


# ---- what is done: {case: (file, {reader: function})}; each is called once to warm up


def native(array):
    array = np.asarray(array)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def middle(path):
    """First and last of 100,000 rows in the middle, or of half of the rows; the name of the file ends with their number."""
    rows = int(os.path.basename(path).removesuffix(".fits").rpartition("_")[2])
    count = min(100_000, rows // 2)
    return (rows - count) // 2, (rows + count) // 2


def astropy_columns(path, columns, rows=slice(None)):
    from astropy.io import fits

    with fits.open(path, memmap=True) as file:
        data = file[1].data[rows]
        return [native(data.field(c)).copy() for c in columns]


def fitsio_columns(path, columns=None, rows=None):
    import fitsio

    found = fitsio.read(str(path), ext=1, columns=columns, rows=rows)
    return [native(found[c]) for c in found.dtype.names]


def ours(path, columns=None, **kwargs):
    import scichunk

    return scichunk.read_fits_table(path, columns=columns, **kwargs)


def ours_rows(path, start, stop):
    from scichunk.core.files import TableId
    from scichunk.core.handles import open_file
    from scichunk.core.tables import Rows
    from scichunk.sources import locate

    return open_file("fits", locate(path)).table(TableId()).read_rows(Rows(start, stop))


def astropy_lists(path):
    from astropy.io import fits

    with fits.open(path) as file:
        return list(file[1].data["flux"])


def astropy_slices(path):
    """The mean of a column by dask over slices of rows."""
    import dask.dataframe as dd
    import pandas as pd
    from astropy.io import fits

    with fits.open(path) as file:
        rows = file[1].header["NAXIS2"]
    names = ["id", "ra", "dec", "mag", "good", "count", "flags"]

    def part(start):
        with fits.open(path, memmap=True) as file:
            data = file[1].data[start : start + rows // 20]
            return pd.DataFrame({n: native(data.field(n)).copy() for n in names})

    return dd.from_map(part, range(0, rows, rows // 20)).ra.mean().compute()


def astropy_open(path):
    from astropy.io import fits

    with fits.open(path) as file:
        return file[1].columns.names


def fitsio_open(path):
    import fitsio

    with fitsio.FITS(str(path)) as file:
        return file[1].get_colnames()


def ours_open(path):
    from scichunk.core.cache import files

    files.clear()
    return ours(path).columns


NUMBERS = ["id", "ra", "dec", "mag", "good", "v", "count", "flags", "bits"]
EVERY = [*NUMBERS, "band"]
CASES = {
    "all columns": ("wide", {"scichunk": lambda p: ours(p).compute(), "astropy": lambda p: astropy_columns(p, EVERY), "fitsio": fitsio_columns}),
    "all but texts": ("wide", {"scichunk": lambda p: ours(p, NUMBERS).compute(), "astropy": lambda p: astropy_columns(p, NUMBERS), "fitsio": lambda p: fitsio_columns(p, NUMBERS)}),
    "one column": ("wide", {"scichunk": lambda p: ours(p).ra.compute(), "astropy": lambda p: astropy_columns(p, ["ra"]), "fitsio": lambda p: fitsio_columns(p, ["ra"])}),
    "one scaled column": ("wide", {"scichunk": lambda p: ours(p)["count"].compute(), "astropy": lambda p: astropy_columns(p, ["count"]), "fitsio": lambda p: fitsio_columns(p, ["count"])}),
    "100,000 rows in the middle": ("wide", {"scichunk": lambda p: ours_rows(p, *middle(p)), "astropy": lambda p: astropy_columns(p, EVERY, slice(*middle(p))), "fitsio": lambda p: fitsio_columns(p, rows=np.arange(*middle(p)))}),
    "mean of a column in 20 partitions": ("wide", {"scichunk": lambda p: ours(p, blocksize="30MiB").ra.mean().compute(), "astropy": astropy_slices}),
    "arrays of variable length": ("lists", {"scichunk": lambda p: ours(p, ["flux"]).compute(), "astropy": astropy_lists, "fitsio": lambda p: fitsio_columns(p, ["flux"])}),
    "ASCII table": ("text", {"scichunk": lambda p: ours(p).compute(), "astropy": lambda p: astropy_columns(p, ["x", "n", "name"]), "fitsio": fitsio_columns}),
    "open": ("wide", {"scichunk": ours_open, "astropy": astropy_open, "fitsio": fitsio_open}),
}  # fmt: skip
MAKERS = {"wide": (wide, 1), "lists": (lists, 50), "text": (text, 50)}
READERS = ("scichunk", "astropy", "fitsio")


def peak_mb():
    """Of this process alone: what getrusage says survives exec."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def run_one():
    """Time one reader in this fresh process."""
    import dask

    case, reader, path, threads = sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])
    warnings.simplefilter("ignore")
    work = CASES[case][1][reader]
    scheduler = {"scheduler": "synchronous"} if threads == 1 else {"scheduler": "threads", "num_workers": threads}
    with dask.config.set(**scheduler):
        work(path)
        repeats = 20 if case == "open" or "rows" in case else 1
        gc.collect()  # of what was imported: else it falls into the call that is measured, or not, by chance
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            work(path)
        wall, cpu = (time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak_mb()}))


def time_one(case, reader, path, threads):
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.tables", "one", case, reader, str(path), str(threads)],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}, check=False, timeout=600,
    )  # fmt: skip
    return None if out.returncode else json.loads(out.stdout.splitlines()[-1])


def cell(found, best):
    if not found:
        return "-"
    cpu, peak = statistics.median(f["cpu"] for f in found), statistics.median(f["peak"] for f in found)
    shown = f"{cpu:.3f} s" if cpu >= 0.1 else f"{1000 * cpu:.1f} ms"
    return f"{shown} ({cpu / best:.1f}), {peak:.0f} MB"


def section(given):
    """Measure everything; returns lines of markdown."""
    rows = given.rows or ROWS
    lines = [
        f"{rows:,} rows of ten columns, 61 bytes each; arrays of variable length and ASCII: {rows // 50:,} rows. Seconds of CPU in a fresh process, the second call, medians of {given.rounds} rounds; in parentheses how many times those of scichunk; peak memory of the process.",
        "",
        "| | " + " | ".join(READERS) + " |",
        "|---|" + "---|" * len(READERS),
    ]
    for case in [c for c in CASES if given.only in c]:
        kind = CASES[case][0]
        make, divisor = MAKERS[kind]
        path = given.data / f"table_{kind}_{rows}.fits"
        if not path.exists():
            make(path, rows // divisor)
        runs = {r: [] for r in READERS}
        for _ in range(given.rounds):
            for reader in CASES[case][1]:
                if found := time_one(case, reader, path, 1):
                    runs[reader].append(found)
        best = statistics.median(f["cpu"] for f in runs["scichunk"])
        lines.append(f"| {case} | " + " | ".join(cell(runs[r], best) for r in READERS) + " |")
    return [*lines, ""]


if __name__ == "__main__":
    run_one()
