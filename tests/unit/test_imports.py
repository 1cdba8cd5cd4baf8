"""What importing costs: xarray loads every engine on anyone's first open."""

import os
import subprocess
import sys

HEAVY = ("rasterio", "astropy", "glymur", "numba", "imagecodecs", "pyproj", "dask.array", "aiohttp")


def run(code, pycache=None):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} if pycache else dict(os.environ)
    if pycache:  # compiled modules, as after any install
        env["PYTHONPYCACHEPREFIX"] = str(pycache)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, env=env
    ).stdout


def test_importing_scichunk_imports_no_reference_library():
    out = run(f"import sys, scichunk; scichunk.options.get(); print([m for m in {HEAVY!r} if m in sys.modules])")
    assert out.strip() == "[]"


def test_engine_module_is_light(tmp_path):
    code = """
import time, sys, xarray, xarray.backends.plugins
before = set(sys.modules)
t = time.perf_counter()
import scichunk.adapters.xarray_engine
print((time.perf_counter() - t) * 1000, [m for m in HEAVY if m in set(sys.modules) - before])
""".replace("HEAVY", repr(HEAVY))
    run(code, tmp_path)
    outs = [run(code, tmp_path).split(" ", 1) for _ in range(5)]
    assert outs[0][1].strip() == "[]"
    assert min(float(o[0]) for o in outs) < 5
