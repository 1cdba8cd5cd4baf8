"""The command: what it prints."""

import os
import subprocess
import sys
from pathlib import Path

CUBE = Path(__file__).parents[2] / "test_data" / "cube.fits"


def test_names_that_are_no_text_are_printed_in_escapes(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.fits"
    Path(os.fsdecode(path)).write_bytes(CUBE.read_bytes())
    command = [sys.executable, "-m", "scichunk.adapters.cli", "info"]
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([*command, path], capture_output=True, env=strict, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"/\udcff.fits" in done.stdout
