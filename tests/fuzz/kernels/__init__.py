"""Every kernel that numba compiles, with sound, damaged and absurd inputs, on buffers that end where memory ends.

Each is run in three ways: as numba calls it and as object code, where a step outside of a buffer is a crash, and with numba's checks
of bounds, where a step outside of an array within a buffer is an IndexError.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CHECKED = ROOT / ".numba-checked"
"""Numba's cache does not know whether bounds are checked: code with checks has a folder of its own."""


_LEAST_CHECKED_SECONDS = 60.0
"""Compiling all kernels with checks takes two minutes: short runs are without."""


def run_kernels(seconds: float, seed: int) -> bool:
    """Run all ways in processes of their own; True if there was a find."""
    failed = False
    kinds = ("", "objects", "checked") if seconds >= _LEAST_CHECKED_SECONDS else ("", "objects")
    for kind in kinds:
        env = dict(os.environ)
        if kind == "checked":
            env |= {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(CHECKED)}
        with tempfile.NamedTemporaryFile() as place:
            given = [
                "--seconds",
                str(seconds / len(kinds)),
                "--seed",
                str(seed),
                "--place",
                place.name,
                *["--objects"][: kind == "objects"],
            ]
            command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.kernels", *given]
            done = subprocess.run(command, cwd=ROOT, env=env, check=False)
            last = Path(place.name).read_text().strip()
        if done.returncode < 0:
            print(
                f"FIND kernels, crash: signal {-done.returncode}\n     again: python -m tests.fuzz.kernels {'--objects ' * (kind == 'objects')}--only {last}",
                flush=True,
            )
        failed |= done.returncode != 0
    return failed
