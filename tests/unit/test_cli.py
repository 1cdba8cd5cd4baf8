"""The command: what it prints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scichunk.adapters.cli import main

COMMAND = [sys.executable, "-m", "scichunk"]
CUBE = Path(__file__).parents[2] / "test_data" / "cube.fits"


def test_names_that_are_no_text_are_printed_in_escapes(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.fits"
    Path(os.fsdecode(path)).write_bytes(CUBE.read_bytes())
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([*COMMAND, "info", path], capture_output=True, env=strict, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"/\udcff.fits" in done.stdout


@pytest.mark.parametrize(
    "url", ["https://h/b?sig=hunter2", "http://me:hunter2@h/b", "zip://x::https://h/b?sig=hunter2#hunter2"]
)
@pytest.mark.parametrize(
    "words", [["info", "a", "{}"], ["plan", "a", "--workers", "{}"], ["plan", "a", "--path={}"], ["{}"]]
)
def test_arguments_are_repeated_without_secrets(url, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main([word.format(url) for word in words])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert "h/b" in told
    assert "hunter2" not in told


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_where_nothing_can_be_printed():
    with open("/dev/full", "w") as full:
        told = subprocess.run(
            [*COMMAND, "info", CUBE], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False
        )
    assert (told.returncode, told.stderr) == (1, "scichunk: cannot print: No space left on device\n")


def test_who_reads_no_further():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        told = subprocess.run(
            [*COMMAND, "info", CUBE], stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=120, check=False
        )
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ["--memory", "foo"], ["--memory", "nan"], ["--memory", "0"], ["--memory=-5"], ["--threads", "0"], ["--workers", "0"], ["--workers=-3"],
        ["--chunks", "\u00b2"], ["--chunks", "5-"], ["--chunks", "0"], ["--chunks", "1,2,3"], ["--chunks", "1-2"],
    ],
)  # fmt: skip
def test_plans_that_cannot_be_made_are_told_in_a_line(words, capsys):
    assert main(["plan", str(CUBE), *words]) == 2
    out, told = capsys.readouterr()
    assert not out
    assert told.startswith("scichunk: ") and told.count("\n") == 1


def test_chunks_of_a_plan_may_have_spaces(capsys):
    assert main(["plan", str(CUBE), "--chunks", " -1, -1 ,-1,-1"]) == 0
    assert "1 reads" in capsys.readouterr().out
