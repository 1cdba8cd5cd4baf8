"""Programs of tests that may hang, use up memory or crash: in a child process with bounds, never in this one."""

import json
import resource
import subprocess
import sys

_PROGRAM = """
import contextlib, io, json, sys, warnings
warnings.simplefilter("ignore")
import scichunk
found = []
for code in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(code, {"scichunk": scichunk})
        except scichunk.errors.ScichunkError as error:
            found.append(type(error).__name__)
        else:
            found.append(printed.getvalue().strip())
print(json.dumps(found))
"""
_GIB = 1 << 30


def outcomes(*programs, gib=4, timeout=100):
    """Run programs one after another in one child process.

    Returns for each the name of the error of scichunk that ends it, or what it prints. An error of another kind, a signal, more than
    ``gib`` of address space, and more than ``timeout`` seconds of them all, fail the test.
    """

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (gib * _GIB, gib * _GIB))
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
