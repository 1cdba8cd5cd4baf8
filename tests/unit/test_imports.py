"""What importing costs: xarray loads every engine on anyone's first open."""

import ast
import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize(
    "order", ["scichunk, xarray", "xarray, scichunk", "scichunk, xarray, importlib; importlib.reload(xarray)"]
)
def test_the_accessor_is_there_once_both_are_imported(order):
    code = f"""
import {order}
import sys, xarray
print([hasattr(c, "sky") for c in (xarray.Dataset, xarray.DataArray, xarray.DataTree)], type(xarray.__spec__.loader).__name__)
print([m for m in {HEAVY!r} if m in sys.modules])
"""
    assert run(code).splitlines() == ["[True, True, True] SourceFileLoader", "[]"]


def test_importing_scichunk_leaves_xarray_alone():
    assert run("import sys, scichunk; print('xarray' in sys.modules)").strip() == "False"


def test_the_engine_module_imports_a_handful_of_modules():
    code = """
import sys, xarray, xarray.backends.plugins
before = set(sys.modules)
import scichunk.adapters.xarray.engine
print(sorted(m for m in set(sys.modules) - before if m.partition(".")[0] not in sys.stdlib_module_names))
"""
    allowed = {
        "scichunk",
        "scichunk.adapters",
        "scichunk.adapters.following",
        "scichunk.adapters.xarray",
        "scichunk.adapters.xarray.engine",
        "scichunk.errors",
        "scichunk.options",
    }
    assert set(ast.literal_eval(run(code))) <= allowed


@pytest.mark.slow
def test_the_engine_module_is_imported_in_milliseconds(tmp_path):
    """5 ms of processor time, measured by a loop of as much in the same process: what else the machine does slows both down."""
    code = """
import time, xarray, xarray.backends.plugins
t = time.process_time()
import scichunk.adapters.xarray.engine
took = time.process_time() - t
t = time.process_time()
for _ in range(150_000):
    pass
print(took / (time.process_time() - t))
"""
    run(code, tmp_path)
    assert min(float(run(code, tmp_path)) for _ in range(5)) < 1


def test_the_engine_module_imports_few_modules():
    out = run(
        "import sys, xarray; import scichunk.adapters.xarray.engine; print(*(m for m in sys.modules if m.startswith('scichunk')))"
    )
    assert 0 < len(out.split()) <= 12
