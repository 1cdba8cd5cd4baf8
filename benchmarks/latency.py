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


def remote(path):
    """Open and read one tile, then a window of 64 tiles, from a server 50 ms away."""
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    import scichunk
    from scichunk.core.cache import files
    from scichunk.testing import RangeServer

    lines = [
        "### Over HTTP, 50 ms away",
        "",
        "Seconds, and requests in parentheses; a fresh cache each time.",
        "",
        "| what | scichunk | rasterio (GTiff, /vsicurl) |",
        "|---|---|---|",
    ]
    with RangeServer({"a.tif": path.read_bytes()}, latency=0.05) as server:

        def ours(side):
            files.clear()
            return scichunk.from_geotiff(server.url("a.tif"), chunks=(1, side, side))[:, :side, :side].compute()

        def theirs(side):
            options = {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
            with rasterio.Env(**options), rasterio.open(server.url("a.tif"), driver="GTiff") as ds:
                return ds.read(window=Window(0, 0, side, side))

        for side, name in ((512, "open and one tile"), (4096, "open and 64 tiles")):
            cells = []
            np.testing.assert_array_equal(ours(side), theirs(side))
            for function in (ours, theirs):
                took, asked = [], 0
                for _ in range(3):
                    server.reset()
                    begin = time.perf_counter()
                    function(side)
                    took.append(time.perf_counter() - begin)
                    asked = server.requests
                cells.append(f"{statistics.median(took):.2f} ({asked})")
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


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
    lines = ["### Opening", "", "| what | ms |", "|---|---|", *(f"| {n} | {t:.2f} |" for n, t in rows)]
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
    return [*lines, "", *remote(make(folder, "uint16 DEFLATE p2", 4096))]
