"""What importing costs: xarray loads every engine on anyone's first open."""

import subprocess
import sys

HEAVY = ("rasterio", "astropy", "glymur", "numba", "imagecodecs", "pyproj", "dask.array", "aiohttp")


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout


def test_importing_scichunk_imports_no_reference_library():
    out = run(f"import sys, scichunk; scichunk.options.get(); print([m for m in {HEAVY!r} if m in sys.modules])")
    assert out.strip() == "[]"


def test_engine_module_is_light():
    code = """
import time, sys, xarray, xarray.backends.plugins
before = set(sys.modules)
t = time.perf_counter()
import scichunk.adapters.xarray_engine
print((time.perf_counter() - t) * 1000, [m for m in HEAVY if m in set(sys.modules) - before])
""".replace("HEAVY", repr(HEAVY))
    outs = [run(code).split(" ", 1) for _ in range(5)]
    assert outs[0][1].strip() == "[]"
    assert min(float(o[0]) for o in outs) < 5
