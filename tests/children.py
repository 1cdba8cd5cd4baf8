"""Readings that could crash or hang: done in a process of their own, with a bound."""

import os
import subprocess
import sys

PRELUDE = """
import sys, warnings, numpy as np, xarray as xr, scichunk
from scichunk.errors import *
warnings.simplefilter("ignore")

def outcome(read, *args, **options):
    try:
        found = read(*args, **options)
        found = found.compute(scheduler="synchronous") if hasattr(found, "compute") else found
    except ScichunkError as error:
        return type(error).__name__ + ": " + str(error)
    return "fine"
"""


def run(code, *args, seconds=120, max_mb=None):
    """Run code behind the prelude; returns the lines it printed. It must end by itself within some seconds, and some memory."""
    limit = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({max_mb << 20}, {max_mb << 20}))\n" if max_mb else ""
    )
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PRELUDE + limit + code, *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"the process ended with {done.returncode}:\n{done.stderr[-3000:]}"
    return done.stdout.splitlines()
