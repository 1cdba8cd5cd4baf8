"""Times of opening: one file, stacks of many, windows of huge arrays."""

import pickle
import shutil
import statistics
import time
import tracemalloc
import warnings

from benchmarks.data import make


def milliseconds(function, repeats=15):
    function()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def report(folder):
    """Lines of markdown."""
    import xarray as xr

    import scichunk

    warnings.simplefilter("ignore")
    path = make(folder, "uint16 DEFLATE p2", 2048)
    rows = [
        ("`from_geotiff`, local", milliseconds(lambda: scichunk.from_geotiff(path))),
        ('`xr.open_dataset(engine="geotiff")`', milliseconds(lambda: xr.open_dataset(path, engine="geotiff"))),
        (
            '`xr.open_dataset(engine="geotiff", chunks={})`',
            milliseconds(lambda: xr.open_dataset(path, engine="geotiff", chunks={})),
        ),
    ]
    try:
        import rioxarray

        rows.append(
            (
                "rioxarray, `open_rasterio(chunks=True)`",
                milliseconds(lambda: rioxarray.open_rasterio(path, chunks=True)),
            )
        )
    except ImportError:
        pass
    small = make(folder, "uint16 DEFLATE p2", 256)
    many = folder / "many"
    many.mkdir(exist_ok=True)
    files = [many / f"{i:05d}.tif" for i in range(10_000)]
    for file in files:
        if not file.exists():
            shutil.copy(small, file)
    lines = ["## Opening", "", "| what | ms |", "|---|---|", *(f"| {n} | {t:.2f} |" for n, t in rows)]
    for count in (1000, 10_000):
        took = milliseconds(lambda count=count: scichunk.from_geotiffs(files[:count]), 3)
        array = scichunk.from_geotiffs(files[:count])
        graph = len(pickle.dumps(dict(array.__dask_graph__()))) / 1e6
        tracemalloc.start()
        kept = scichunk.from_geotiffs(files[:count])
        memory = tracemalloc.get_traced_memory()[0] / 1e6
        tracemalloc.stop()
        del kept
        lines.append(
            f"| stack of {count} files, every header read ({memory:.1f} MB of memory, {graph:.2f} MB of graph) | {took:.0f} |"
        )
    return [*lines, ""]
