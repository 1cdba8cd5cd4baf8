"""Compiled code without a place to keep it."""

import os
import subprocess
import sys

MODULE = """
from scichunk.codecs import _numba

@_numba.kernel
def double(values, out):
    for i in range(values.size):
        out[i] = 2 * values[i]
"""

PROGRAM = """
import warnings
import numpy as np
from scichunk.errors import PerformanceWarning

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    from kernels_of_mine import double
assert ["SCICHUNK_CACHE_DIR" in str(w.message) for w in told if w.category is PerformanceWarning] == [True], told
out = np.zeros(3, int)
double(np.arange(3), out)
assert out.tolist() == [0, 2, 4]
"""


def test_kernels_work_where_nothing_can_be_written(tmp_path):
    (tmp_path / "kernels_of_mine.py").write_text(MODULE)
    (tmp_path / "__pycache__").write_text("a file where numba wants a folder")
    nowhere = str(tmp_path / "__pycache__" / "x")
    environment = {**os.environ, "HOME": nowhere, "XDG_CACHE_HOME": nowhere, "NUMBA_CACHE_DIR": ""}
    environment.pop("SCICHUNK_CACHE_DIR", None)
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=120)
