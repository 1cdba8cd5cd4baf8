"""Arrays of very many chunks and stacks of very many files: what planning costs before the first byte is read."""

import json
import statistics
import subprocess
import sys

FILES = 100_000
TILES_ACROSS = 3163
"""Its square is 10 million."""
PROGRAMS = {
    "reduce": """
import asyncio, gc, time
import distributed, scichunk
def memory():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
async def main():
    async with distributed.Scheduler(dashboard=False, host="127.0.0.1", port=0) as s, distributed.Client(s.address, asynchronous=True) as c:
        few = scichunk.from_files(NAMES[:10], chunks="native", headers="first")
        c.compute(scichunk.reduce(few, "mean", dim=0))
        await asyncio.sleep(2)
        gc.collect()
        n, m, t = len(s.tasks), memory(), time.process_time()
        x = scichunk.from_files(NAMES[:COUNT], chunks="native", headers="first")
        a = time.process_time()
        y = scichunk.reduce(x, "mean", dim=0) if WAY == "scichunk.reduce" else x.mean(axis=0)
        b = time.process_time()
        future = c.compute(y)
        d = time.process_time()
        while len(s.tasks) <= n + 5:
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        told(tasks=len(s.tasks) - n, open=a - t, build=b - a, scheduler=time.process_time() - d, memory=memory() - m)
asyncio.run(main())
""",
    "values": """
import time
import dask, scichunk
dask.config.set(scheduler="sync")
x = scichunk.from_files(NAMES[:COUNT], chunks="auto" if WAY == "dask, auto" else "native", headers="first")
x[:10].mean(axis=0).compute()
t = time.process_time()
y = scichunk.reduce(x, "mean", dim=0) if WAY == "scichunk.reduce" else x.mean(axis=0)
y.compute()
told(seconds=time.process_time() - t)
""",
    "window": """
import pickle, statistics, time
import dask, scichunk, xarray
dask.config.set(scheduler="sync")
if WAY == "from_geotiff":
    w = scichunk.from_geotiff(MOSAIC, chunks="native")[:, :32, :32]
elif WAY == "engine":
    w = xarray.open_dataset(MOSAIC, engine="geotiff", chunks={"band": 1, "y": 16, "x": 16}).band_data.data[:, :32, :32]
elif WAY == "stack":
    w = scichunk.from_files(NAMES, chunks="native", headers="first")[10:14]
elif WAY == "stack of an index":
    w = scichunk.from_files(INDEX, chunks="native")[10:14]
else:
    w = scichunk.from_files(NAMES[:10], chunks="native", headers="first")[2:6]
w.compute()
times = []
for _ in range(5):
    t = time.process_time()
    w.compute()
    times.append(time.process_time() - t)
told(seconds=statistics.median(times), pickle=len(pickle.dumps(w)))
""",
    "index": """
import os, time
import scichunk
scichunk.from_files(NAMES[:10], chunks="native", headers="first")
if not WAY.endswith("all cores"):
    scichunk.options.set(parallel_headers=10**9)
t, began = time.process_time(), time.perf_counter()
if WAY.startswith("all headers"):
    scichunk.from_files(NAMES, chunks="native")
elif WAY == "first header":
    scichunk.from_files(NAMES, chunks="native", headers="first")
elif WAY.startswith("save_index"):
    scichunk.save_index(NAMES, INDEX)
else:
    import pyarrow.parquet
    t, began = time.process_time(), time.perf_counter()
    scichunk.from_files(INDEX, chunks="native")
seconds, wall, others = time.process_time() - t, time.perf_counter() - began, os.times()
told(seconds=seconds, wall=wall, others=others.children_user + others.children_system)
""",
    "tiles": """
import time
import rioxarray, scichunk
def memory():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
def window(path):
    if WAY == "rioxarray":
        array = rioxarray.open_rasterio(path, chunks=None, cache=False)
        return array[:, 16:48, 16:48].values
    if WAY == "scichunk.reader":
        return scichunk.reader(path)[:, 16:48, 16:48]
    return scichunk.from_geotiff(path, chunks="native" if WAY == "native" else "auto")[:, 16:48, 16:48].compute(scheduler="sync")
window(f"{FOLDER}/few_tiles.tif")
m, t = memory(), time.process_time()
assert window(f"{FOLDER}/many_tiles.tif").sum() == 32 * 32
told(seconds=time.process_time() - t, memory=memory() - m)
""",
    "counters": """
import time
import scichunk
reader = scichunk.reader(NAMES[0])
def one():
    t = time.process_time()
    for _ in range(2000):
        reader[:, :64, :64]
    return (time.process_time() - t) / 2000
off, on = [], []
for _ in range(9):
    off.append(one())
    with scichunk.profile(show=False):
        on.append(one())
told(off=min(off), on=min(on))
""",
}
COMMON = """
import json, sys, warnings
warnings.simplefilter("ignore")
given = json.loads(sys.argv[1])
WAY, COUNT, FOLDER = given["way"], given["count"], given["folder"]
NAMES = [f"{FOLDER}/{n // 1000:03d}/f_{n:06d}.tif" for n in range(FILES)]
MOSAIC, INDEX = f"{FOLDER}/mosaic.tif", f"{FOLDER}/index.parquet"
def told(**found):
    print("FOUND", json.dumps(found))
"""


def make_files(folder):
    """Write small files, and a sparse mosaic of a million tiles."""
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    profile = {"driver": "GTiff", "count": 1, "tiled": True, "transform": from_origin(0, 0, 1, 1)}
    folder.mkdir(parents=True, exist_ok=True)
    sparse = {"blockxsize": 16, "blockysize": 16, "dtype": "uint8", "sparse_ok": True, "bigtiff": "yes"}
    for name, side in (("few_tiles.tif", 512), ("many_tiles.tif", TILES_ACROSS * 16)):
        if not (folder / name).exists():
            with rasterio.open(folder / name, "w", **profile, **sparse, height=side, width=side) as dst:
                dst.write(np.ones((1, 512, 512), "u1"), window=Window(0, 0, 512, 512))
    if (folder / "mosaic.tif").exists():
        return
    first = folder / "first.tif"
    small = {
        "height": 128,
        "width": 128,
        "blockxsize": 128,
        "blockysize": 128,
        "dtype": "uint16",
        "compress": "deflate",
    }
    with rasterio.open(first, "w", **profile, **small) as dst:
        dst.write(np.arange(128 * 128, dtype="u2").reshape(1, 128, 128) % 97)
    content = first.read_bytes()
    for number in range(FILES):
        path = folder / f"{number // 1000:03d}" / f"f_{number:06d}.tif"
        if number % 1000 == 0:
            path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    large = {"height": 16000, "width": 16000, "blockxsize": 16, "blockysize": 16, "dtype": "uint8", "sparse_ok": True}
    with rasterio.open(folder / "mosaic.tif", "w", **profile, **large) as dst:
        dst.write(np.ones((1, 512, 512), "u1"), window=Window(0, 0, 512, 512))


def measure(folder, program, way, count=FILES):
    """What a program tells of itself, run in a process of its own."""
    given = json.dumps({"way": way, "count": count, "folder": str(folder)})
    code = f"FILES = {FILES}\n{COMMON}\n{PROGRAMS[program]}"
    done = subprocess.run([sys.executable, "-c", code, given], capture_output=True, text=True, check=True, timeout=900)
    line = next(one for one in done.stdout.splitlines() if one.startswith("FOUND"))
    return json.loads(line.removeprefix("FOUND"))


def section(given):
    """Lines of the tables."""
    folder = given.data / "many_files"
    make_files(folder)
    lines = [
        "CPU seconds, each cell in a process of its own. Files of 128 x 128 pixels in one tile.",
        "",
        "A mean over files, planned by a scheduler without workers until all tasks are in its books:",
        "",
        "| way | files | tasks | open | build | scheduler | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, count in (("dask", 10_000), ("scichunk.reduce", 10_000), ("dask", FILES), ("scichunk.reduce", FILES)):
        r = measure(folder, "reduce", way, count)
        lines.append(
            f"| {way} | {count:,} | {r['tasks']:,} | {r['open']:.2f} | {r['build']:.2f} | {r['scheduler']:.2f} | {r['memory']:.0f} MB |"
        )
    lines += ["", "The same computed by one thread, 2,000 files:", "", "| way | seconds |", "|---|---|"]
    lines += [
        f"| {way} | {measure(folder, 'values', way, 2000)['seconds']:.2f} |"
        for way in ("dask, one file a chunk", "dask, auto", "scichunk.reduce")
    ]
    lines += ["", f"Opening a stack of {FILES:,} files:", "", "| way | seconds | by the clock |", "|---|---|---|"]
    one, all_cores = ("all headers", "save_index"), ("all headers, all cores", "save_index, all cores")
    for way in (*one, *all_cores, "first header", "from the index"):
        r = measure(folder, "index", way)
        others = f", and {r['others']:.2f} of other processes" if r["others"] else ""
        lines.append(f"| {way} | {r['seconds']:.2f}{others} | {r['wall']:.2f} |")
    lines += ["", "A window of four chunks:", "", "| array | chunks | milliseconds | pickle |", "|---|---|---|---|"]
    ways = {"from_geotiff": 10**6, "engine": 10**6, "stack": FILES, "stack of an index": FILES}
    for way, count in ways.items():
        r = measure(folder, "window", way)
        lines.append(f"| {way} | {count:,} | {r['seconds'] * 1e3:.1f} | {r['pickle'] / 1e3:.1f} kB |")
    lines += [
        "",
        f"A file of {TILES_ACROSS**2:,} tiles, opened for the first time in a process, and a window of four of them:",
        "",
        "| way | milliseconds | memory |",
        "|---|---|---|",
    ]
    for way in ("from_geotiff", "scichunk.reader", "rioxarray"):
        rounds = [measure(folder, "tiles", way) for _ in range(3)]
        seconds, memory = (statistics.median(r[name] for r in rounds) for name in ("seconds", "memory"))
        lines.append(f"| {way} | {seconds * 1e3:.0f} | {memory:.0f} MB |")
    r = measure(folder, "counters", "")
    lines += [
        "",
        f"A read of a file takes {r['off'] * 1e6:.0f} microseconds, and {r['on'] * 1e6:.0f} within `scichunk.profile()`.",
    ]
    return lines
