"""Readings that could crash or hang: done in a process of their own, with a bound."""

import json
import os
import resource
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
    except ParserError:  # a reader raised by mistake
        raise
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


_PROGRAM = """
import contextlib, io, json, sys, warnings
warnings.simplefilter("ignore")
import scichunk
found = []
for code in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(code, {"scichunk": scichunk})
        except scichunk.errors.ParserError:
            raise
        except scichunk.errors.ScichunkError as error:
            found.append(type(error).__name__)
        else:
            found.append(printed.getvalue().strip())
print(json.dumps(found))
"""


def outcomes(*programs, gib=4, timeout=100):
    """Run programs one after another in one child process.

    Returns for each the name of the error of scichunk that ends it, or what it prints. An error of another kind, a signal, more than
    ``gib`` of address space, and more than ``timeout`` seconds of them all, fail the test.
    """

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (gib << 30, gib << 30))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps(programs),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    return json.loads(done.stdout)
