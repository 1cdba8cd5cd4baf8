"""The first read of a process: with nothing compiled, and with everything in the cache."""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

FILES = {
    "GeoTIFF DEFLATE": "scene_deflate.tif",
    "GeoTIFF ZSTD, floating point predictor": "elevation_zstd.tif",
    "JPEG 2000": "band_tlm_plt.jp2",
    "FITS image": "cube.fits",
    "FITS image RICE": "compressed.fits",
    "FITS table": "catalogue.fits",
    "FITS table, tile-compressed": "compressed_table.fits",
    "VOTable TABLEDATA": "stars.vot",
    "VOTable BINARY2, gz": "stars_binary2.vot.gz",
}
# xarray asks every installed engine whether it knows a file, and that of xarray-spatial, a peer of other sections, loads numba for its answer.
PROGRAM = """
import importlib.metadata, resource, sys, warnings
warnings.simplefilter("ignore")
installed = importlib.metadata.entry_points
def without_peers(**which):
    return importlib.metadata.EntryPoints(e for e in installed(**which) if which.get("group") != "xarray.backends" or e.module.startswith("scichunk"))
if "open_dataset" in sys.argv[1]:
    importlib.metadata.entry_points = without_peers
exec(sys.argv[1])
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, "numba" in sys.modules)
"""
ARRAY = "import scichunk; scichunk.from_file({!r}).compute()"
TABLE = "import scichunk; scichunk.read_table({!r}).compute()"
ENGINE = "import xarray; xarray.open_dataset({!r}, engine='scichunk').load()"
INFO = "import scichunk; str(scichunk.info({!r}))"
FRAME = (
    "import pandas, dask.dataframe as dd; dd.from_pandas(pandas.DataFrame({{'a': [1, 2]}}), npartitions=1).compute()"
)
REFERENCES = {
    "`import scichunk`": "import scichunk",
    "`import dask.array`": "import dask.array",
    "`import dask.dataframe`": "import dask.dataframe",
    "a data frame of Dask with two rows, computed": FRAME,
    "an array of Dask with two values, computed": "import dask.array as da; da.ones(2).compute()",
    "`import xarray`": "import xarray",
    "`import rasterio`": "import rasterio",
    "`rio info`": "import rasterio.rio.main as m; m.main_group(['info', {!r}], standalone_mode=False)",
}


def cpu(code, cache):
    """CPU seconds of a process that runs some code, and whether it loaded numba.

    Modules are in byte code, as those of an installed package are, also where this process may write none.
    """
    bytecode = Path(tempfile.gettempdir()) / "scichunk-bytecode"
    environment = os.environ | {"SCICHUNK_CACHE_DIR": str(cache), "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, code], env=environment, capture_output=True, text=True, check=True
    )
    seconds, loaded = done.stdout.split()[-2:]
    return float(seconds), loaded == "True"


def section(given):
    """Lines of a table: files of test_data by four doors, cold and warm."""
    data = Path(__file__).resolve().parent.parent / "test_data"
    lines = [
        "CPU seconds of a process that reads one of the small files of `test_data/`: cold with an empty cache of compiled code / warm.",
        "Files of some megabytes are decoded by libraries that are loaded anyway, so that no numba is loaded and nothing is compiled.",
        "",
        "| file | Dask | numba loaded | xarray | `scichunk info` |",
        "|---|---|---|---|---|",
    ]
    for title, name in FILES.items():
        if given.only not in title:
            continue
        file, first = str(data / name), TABLE if "table" in title.lower() else ARRAY
        cells, loaded = [], False
        for code in (first, ENGINE, INFO):
            cold, warm = [], []
            cpu(code.format(file), "")  # leaves byte code of what it imports
            for _ in range(given.rounds):
                with tempfile.TemporaryDirectory() as cache:
                    seconds, numba = cpu(code.format(file), cache)
                    loaded |= numba
                    cold.append(seconds)
                    warm.append(cpu(code.format(file), cache)[0])
            cells.append(f"{statistics.median(cold):.2f} / {statistics.median(warm):.2f}")
        lines.append(f"| {title} | {cells[0]} | {'yes' if loaded else 'no'} | {cells[1]} | {cells[2]} |")
    lines += ["", "For comparison, in processes of their own:", "", "| what | CPU seconds |", "|---|---|"]
    for title, code in REFERENCES.items():
        found = [cpu(code.format(str(data / "scene_deflate.tif")), "")[0] for _ in range(given.rounds + 1)][1:]
        lines.append(f"| {title} | {statistics.median(found):.2f} |")
    lines += [
        "",
        "Where distributed is installed, the first `compute()` without `scheduler=` imports it, in Dask: that is in all rows that compute.",
    ]
    return [*lines, "", *_compiling()]


def _compiling():
    """Seconds to compile what large files need."""
    lines = ["CPU seconds of `scichunk warmup`, with an empty cache / again:", "", "| format | |", "|---|---|"]
    program = "from scichunk.adapters.cli import main; main(['warmup'{}])"
    for name in ("geotiff", "jpeg2000", "fits", "votable", ""):
        with tempfile.TemporaryDirectory() as cache:
            code = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()): " + program.format(
                f", {name!r}" if name else ""
            )
            lines.append(f"| {name or 'all'} | {cpu(code, cache)[0]:.1f} / {cpu(code, cache)[0]:.1f} |")
    return lines
