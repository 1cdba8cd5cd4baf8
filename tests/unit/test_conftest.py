"""The fixture around every test sees what a test leaves behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

LEAKS = """
import tempfile, threading, time, warnings
import pytest, scichunk
kept = []

def test_descriptors(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    kept.append(open(tmp_path / "file"))

def test_threads():
    threading.Thread(target=time.sleep, args=(60,), name="mine", daemon=True).start()

def test_temporaries():
    kept.append(tempfile.mkdtemp(prefix="scichunk-"))

def test_filters():
    warnings.simplefilter("ignore")

def test_options():
    scichunk.options.set(retries=7)

def test_clean(tmp_path):
    assert scichunk.options.get() == scichunk.options.Options()
    with open(tmp_path / "file", "wb"), tempfile.TemporaryDirectory(prefix="scichunk-"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with scichunk.options.set(retries=7):
            thread = threading.Thread(target=time.sleep, args=(0.05,), name="ending")
            thread.start()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaks")
    (folder / "conftest.py").write_text((Path(__file__).parents[1] / "conftest.py").read_text())
    (folder / "test_leaks.py").write_text(LEAKS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rA",
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(folder / "t"),
        str(folder),
    ]
    settings = {**os.environ, "SECONDS_TO_SETTLE": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=settings).stdout


@pytest.mark.parametrize("kind", ["descriptors", "threads", "temporaries", "filters", "options"])
def test_a_leak_fails_the_test(report, kind):
    assert re.search(rf"(?m)^ERROR \S+::test_{kind}\b", report), report
    assert "the test leaves" in report, report


def test_a_clean_test_passes(report):
    assert re.search(r"(?m)^PASSED \S+::test_clean\b", report), report
    assert not re.search(r"(?m)^ERROR \S+::test_clean\b", report), report
