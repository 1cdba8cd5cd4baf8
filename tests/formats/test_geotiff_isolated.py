"""CCITT, which GDAL decodes in another process: libtiff writes behind its memory for some damaged lines."""

import os
import signal
import sys

import numpy as np
import pytest
import rasterio

import scichunk
from scichunk.errors import FormatError, UnsupportedFeature
from scichunk.formats.geotiff import isolated

PIXELS = (np.random.default_rng(7).random((1, 90, 70)).cumsum(2) % 7 > 3).astype("u1")
DIES = "import os, signal; input(); os.kill(os.getpid(), signal.SIGABRT)"
ONCE = """
import sys
sys.path[:] = {!r}
from scichunk.formats.geotiff import isolated
first = sys.stdin.buffer.readline()
class Once:
    buffer = [first]
sys.stdin = Once
isolated.serve()
import time
time.sleep(0.2)
"""


def says(text, data=b""):
    return (
        f"import sys; sys.stdin.readline(); sys.stdout.buffer.write({text.encode()!r} + {data!r}); sys.stdout.flush()"
    )


@pytest.fixture(params=["CCITTRLE", "CCITTFAX3", "CCITTFAX4"])
def path(request, tmp_path):
    return write(tmp_path / "bits.tif", request.param)


@pytest.fixture
def fax(tmp_path):
    return write(tmp_path / "fax.tif", "CCITTFAX4")


@pytest.fixture(autouse=True)
def fresh():
    """No process that another test has used."""
    isolated._processes.clear()
    yield
    isolated._processes.clear()


def write(path, compress):
    profile = {"driver": "GTiff", "width": 70, "height": 90, "count": 1, "dtype": "uint8", "nbits": 1}
    with rasterio.open(path, "w", **profile, compress=compress, blockysize=16) as file:
        file.write(PIXELS)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_values_are_those_of_gdal_and_this_process_decodes_none(path, monkeypatch):
    monkeypatch.setattr(rasterio.io.DatasetReader, "read", None, raising=False)
    for source in (path, path.read_bytes()):
        array = scichunk.from_geotiff(source, chunks=(1, 40, 50))
        np.testing.assert_array_equal(array.compute(scheduler="threads", num_workers=4), PIXELS)
    assert "reference" in str(scichunk.info(path))


def test_a_process_that_gdal_ends_is_a_damaged_file(fax, monkeypatch):
    array = scichunk.from_geotiff(fax)
    with monkeypatch.context() as patch:
        patch.setattr(isolated, "_PROGRAM", DIES.replace("{", "{{").replace("}", "}}"))
        with pytest.raises(FormatError, match=f"signal {int(signal.SIGABRT)}.*damaged.*fax.tif"):
            array.compute()
    np.testing.assert_array_equal(array.compute(), PIXELS)


def test_a_process_that_was_harmed_before_is_no_reason_to_refuse_a_file(fax, monkeypatch):
    array = scichunk.from_geotiff(fax)
    with monkeypatch.context() as patch:
        patch.setattr(isolated, "_PROGRAM", ONCE)
        np.testing.assert_array_equal(array.compute(), PIXELS)
    (process,) = [handle for _, handle in isolated._processes._idle.values()]
    process._child.wait(10)
    np.testing.assert_array_equal(array.compute(), PIXELS)


@pytest.mark.parametrize(
    "program",
    [
        says(""),
        says("nothing\n"),
        says("[]\n"),
        says('{"dtype": "O"}\n'),
        says('{"dtype": "<u9"}\n'),
        says('{"dtype": "|u1"}\n', b"12"),
    ],
)
def test_what_makes_no_sense_is_not_taken(fax, program, monkeypatch):
    monkeypatch.setattr(isolated, "_PROGRAM", program.replace("{", "{{").replace("}", "}}"))
    with pytest.raises(FormatError, match="damaged"):
        scichunk.from_geotiff(fax).compute()


def test_what_gdal_says_is_handed_on(fax):
    with pytest.raises(isolated.IsolatedError, match="No such file"):
        isolated.read_isolated(str(fax) + ".not", [1], (0, 0, 1, 1), None)
    assert not isolated._processes.idle


def test_processes_end_with_the_caches_and_a_fork_has_its_own(fax):
    array = scichunk.from_geotiff(fax)
    array.compute()
    (process,) = [handle for _, handle in isolated._processes._idle.values()]
    scichunk.clear_caches()
    assert process._child.poll() is not None
    array.compute()
    pid = os.fork()
    if not pid:
        try:
            good = (scichunk.from_geotiff(fax).compute(scheduler="synchronous") == PIXELS).all()
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    np.testing.assert_array_equal(array.compute(), PIXELS)


def test_a_python_that_cannot_start_another_says_so(fax, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(UnsupportedFeature, match="process of its own"):
        scichunk.from_geotiff(fax).compute()
