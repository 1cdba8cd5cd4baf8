"""JPEG 2000 beside rasterio, rioxarray, glymur and imagecodecs."""

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

from benchmarks.jpeg2000_data import make
from benchmarks.latency import milliseconds

ROOT = Path(__file__).resolve().parent.parent
# name: (file, reduce, shape of the reads, their places: first row and column, of the reduced image)
PLACES = ((3300, 5300), (1750, 850), (700, 8900), (9000, 1400), (5700, 7450))
WITHIN = ((1300, 2100), (700, 750), (2800, 1900), (180, 3300), (3100, 400))
CASES = {
    "aligned tile": ("s2", 0, 1024, ((3072, 5120), (1024, 0))),
    "unaligned 512": ("s2", 0, 512, PLACES),
    "unaligned 512, no TLM, no PLT": ("s2_plain", 0, 512, PLACES),
    "512 of one tile, PLT": ("single", 0, 512, WITHIN),
    "512 of one tile, no PLT": ("single_plain", 0, 512, WITHIN),
    "aligned 1024 of one tile, PLT": ("single", 0, 1024, ((1024, 2048),)),
    "whole, halved 4 times": ("s2", 4, 687, ((0, 0),)),
    "whole, halved 4 times, no TLM, no PLT": ("s2_plain", 4, 687, ((0, 0),)),
    "whole 4096, halved twice": ("classic", 2, 1024, ((0, 0),)),
    "HTJ2K, whole 4096": ("ht", 0, 4096, ((0, 0),)),
}


def ours(path, reduce, rows, columns):
    import scichunk
    from scichunk.core.cache import files, tiles

    files.clear()
    tiles.clear()
    return scichunk.from_jpeg2000(path, reduce=reduce)[0, slice(*rows), slice(*columns)].compute(
        scheduler="synchronous"
    )


def rasterio(path, reduce, rows, columns):
    import rasterio
    from rasterio.windows import Window

    level = {"overview_level": reduce - 1} if reduce else {}
    with rasterio.open(path, **level) as ds:
        return ds.read(1, window=Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0]))


def rioxarray(path, reduce, rows, columns):
    import rioxarray

    level = {"overview_level": reduce - 1} if reduce else {}
    with rioxarray.open_rasterio(path, chunks=True, cache=False, **level) as array:
        return array[0, slice(*rows), slice(*columns)].data.compute(scheduler="synchronous")


def glymur(path, reduce, rows, columns):
    from scichunk.formats.jpeg2000.reference import lend_glymur

    step = 1 << reduce
    with lend_glymur() as library:
        found = library.Jp2k(path)[rows[0] * step : rows[1] * step : step, columns[0] * step : columns[1] * step : step]
    return found[: rows[1] - rows[0], : columns[1] - columns[0]]


def imagecodecs(path, reduce, rows, columns):
    import imagecodecs

    data = Path(path).read_bytes()
    decode = imagecodecs.htj2k_decode if "ht_" in Path(path).name else imagecodecs.jpeg2k_decode
    found = decode(data, skipres=reduce) if reduce else decode(data)
    return found[slice(*rows), slice(*columns)]


READERS = {"scichunk": ours, "rasterio": rasterio, "rioxarray": rioxarray, "glymur": glymur, "imagecodecs": imagecodecs}


def run_one():
    """Time one reader in this fresh process: imports and compiled code first, then handles are cold."""
    name, path, case, repeats = sys.argv[2], sys.argv[3], CASES[sys.argv[4]], int(sys.argv[5])
    warnings.simplefilter("ignore")
    read = READERS[name]
    _, reduce, side, places = case
    windows = [((y, y + side), (x, x + side)) for y, x in places]
    found = sum(int(read(path, reduce, *w).sum()) for w in windows)
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        for window in windows:
            read(path, reduce, *window)
        walls.append((time.perf_counter() - wall) / len(windows))
        cpus.append((time.process_time() - cpu) / len(windows))
    print(json.dumps({"wall": statistics.median(walls), "cpu": statistics.median(cpus), "sum": found}))


def time_one(reader, path, case, repeats):
    command = [sys.executable, "-m", "benchmarks.jpeg2000", "one", reader, str(path), case, str(repeats)]
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False, timeout=600)  # fmt: skip
    return None if out.returncode else json.loads(out.stdout.splitlines()[-1])


def compare(folder, readers, rounds, only):
    """CPU milliseconds of each case, and how many times more than scichunk's."""
    yield "| read | " + " | ".join(readers) + " | fastest peer / scichunk |"
    yield "|---|" + "---|" * (len(readers) + 1)
    for case in [c for c in CASES if only in c]:
        path = make(folder, CASES[case][0])
        skipped = {"imagecodecs", "glymur"} if case == "HTJ2K, whole 4096" else set()
        runs = {r: [] for r in readers}
        for _ in range(rounds):
            for reader in readers:
                slow = reader == "imagecodecs" and CASES[case][0].startswith(
                    ("s2", "single")
                )  # all or nothing: seconds
                if not slow and (reader not in skipped or reader == "imagecodecs"):
                    found = time_one(reader, path, case, 3)
                    runs[reader] += [found] if found else []
        sums = {v["sum"] for r in runs.values() for v in r}
        base = statistics.median(v["cpu"] for v in runs["scichunk"])
        cells, peers = [], {}
        for reader, found in runs.items():
            cpu = statistics.median(v["cpu"] for v in found) if found else None
            if cpu is not None and reader != "scichunk":
                peers[reader] = cpu / base
            cells.append("" if cpu is None else f"{1000 * cpu:.0f}" + (f" ({peers[reader]:.2f})" if reader in peers else ""))  # fmt: skip
        fastest = min(peers, key=peers.__getitem__, default="")
        cells.append(f"{fastest} {peers[fastest]:.2f}" if peers else "")
        yield f"| {case} | " + " | ".join(cells) + " |" + ("" if len(sums) == 1 else f"  sums differ: {sums}")


def peak(path, side):
    """Most memory beyond the start while a whole file is read in chunks, in MB; in a fresh process."""
    code = f"""
import dask, psutil, threading, time, json, numpy as np
import scichunk
a = scichunk.from_jpeg2000({str(path)!r}, chunks=(1, {side}, {side}))
a[:, :64, :64].compute()
t = a.map_blocks(lambda b: b[:, -1:, -1:].copy(), chunks=tuple((1,) * n for n in a.numblocks), dtype=a.dtype, meta=np.empty((0, 0, 0), a.dtype))
me = psutil.Process(); base = me.memory_info().rss; most = [base]; run = True
def watch():
    while run: most[0] = max(most[0], me.memory_info().rss); time.sleep(0.005)
w = threading.Thread(target=watch); w.start()
with dask.config.set(scheduler="threads", num_workers=2): t.compute()
run = False; w.join()
print(json.dumps([(most[0] - base) / 1e6, {side} ** 2 * a.dtype.itemsize / 1e6]))
"""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=900
    )
    return json.loads(out.stdout.splitlines()[-1])


def opened(target):
    """Open a file and find its tile-parts."""
    from scichunk.core.handles import open_file
    from scichunk.sources import locate

    file = open_file("jpeg2000", locate(target))
    file.parts.get()
    return file


def opening(folder):
    import xarray as xr

    import scichunk
    from scichunk.core.cache import files
    from scichunk.core.handles import open_file
    from scichunk.formats.jpeg2000.array_ids import ImageId
    from scichunk.sources import locate

    def cold(function):
        def run():
            files.clear()
            return function()

        return run

    path = make(folder, "s2")
    rows = {
        "file and index, TLM": cold(lambda: opened(path)),
        "file and index, no TLM": cold(lambda: opened(make(folder, "s2_plain"))),
        "array of a file, without dask": cold(lambda: open_file("jpeg2000", locate(path)).array(ImageId())),
        "`from_jpeg2000`": cold(lambda: scichunk.from_jpeg2000(path)),
        '`xr.open_dataset(engine="jpeg2000")`': cold(lambda: xr.open_dataset(path, engine="jpeg2000")),
        "rasterio": lambda: __import__("rasterio").open(path).close(),
    }
    yield "| what | ms |"
    yield "|---|---|"
    for name, function in rows.items():
        yield f"| {name} | {milliseconds(function):.2f} |"


def remote(folder):
    """A server 50 ms away."""
    import rasterio
    from rasterio.windows import Window

    import scichunk
    from scichunk.core.cache import files, tiles
    from scichunk.testing import RangeServer

    data = {n: make(folder, n).read_bytes() for n in ("s2", "s2_plain")}
    with RangeServer(data, latency=0.05) as server:

        def fresh():
            files.clear()
            tiles.clear()
            server.reset()

        def tile(name):
            array = scichunk.from_jpeg2000(server.url(name))
            opened(server.url(name))
            return lambda: array[:, 3072:4096, 5120:6144].compute(scheduler="synchronous")

        def level(name):
            return scichunk.from_jpeg2000(server.url(name), reduce=4).compute(scheduler="synchronous")

        def theirs(name, window, **options):
            settings = {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
            with rasterio.Env(**settings), rasterio.open(server.url(name), **options) as ds:
                return ds.read(1, window=window)

        yield "| what | seconds | requests | MB |"
        yield "|---|---|---|---|"
        steps = {
            "open, TLM": lambda: opened(server.url("s2")),
            "open and index, no TLM": lambda: opened(server.url("s2_plain")),
            "one tile, opened before, TLM": lambda: tile("s2"),
            "one tile, opened before, no TLM": lambda: tile("s2_plain"),
            "halved 4 times, opened too, TLM and PLT": lambda: level("s2"),
            "halved 4 times, opened too, neither": lambda: level("s2_plain"),
            "rasterio: open and one tile, TLM": lambda: theirs("s2", Window(5120, 3072, 1024, 1024)),
            "rasterio: open, halved 4 times, TLM and PLT": lambda: theirs("s2", None, overview_level=3),
        }
        for name, function in steps.items():
            fresh()
            run = function
            if "opened before" in name:
                run = function()
                server.reset()
            begin = time.perf_counter()
            run()
            took = time.perf_counter() - begin
            yield f"| {name} | {took:.2f} | {server.requests} | {server.bytes_sent / 1e6:.2f} |"


REASONS = """Entropy decoding is nearly all of each line, in every reader: of the image halved 4 times about 70 ms, so none can be much faster there. rasterio
decodes the whole blocks of 1024 that a window touches. glymur (an object a read) and imagecodecs cannot read remote files. Of a file without PLT only the
headers of the packets that a halved image needs are walked over (2 MB of 119 are read), as the others read the file as a whole. glymur hands
OpenJPEG the file, which decodes the image by one call; here small tiles of a row go together, some MB at a time, so that memory stays bounded. The packets of a large tile without PLT are looked for once and kept:
a read with cold handles pays for that, later ones do not. What is within 0.95 varies from run to run."""


def section(given):
    """Measure everything; returns lines of markdown."""
    readers = [r for r in READERS if not given.readers or r in given.readers]
    used, chunk = peak(make(given.data, "s2"), 2048)
    return [
        f"Milliseconds of processor time a read, handles cold, one thread, medians of {given.rounds} rounds; in parentheses how many times that of scichunk.",
        (
            "Files of one band of 15 bits, 5/3 lossless: like Sentinel-2 (10980 x 10980, tiles of 1024, LRCP, with TLM and PLT or with neither), one tile of 4096 x 4096 (RPCL), "
            "tiles of 1024 in 4096 x 4096, and the same as HTJ2K. Windows are the mean over five places."
        ),
        "",
        *compare(given.data, readers, given.rounds, given.only),
        "",
        *REASONS.splitlines(),
        "",
        "Opening a local file:",
        "",
        *opening(given.data),
        "",
        f"Reading all of the 10980 x 10980 image in chunks of 2048 ({chunk:.0f} MB) with two threads takes {used:.0f} MB of memory beyond the start.",
        "",
        "Over HTTP, 50 ms away:",
        "",
        *remote(given.data),
        "",
    ]


if __name__ == "__main__":
    run_one()
