"""Paths that are no files: a pipe is never waited for, a device never read."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import scichunk
from scichunk.errors import SourceError
from tests.children import outcomes
from tests.votable_docs import doc

OPENS = ("open_dataset", "open_datatree")
DATA = Path(__file__).parents[2] / "test_data"
READERS = (
    "from_geotiff", "from_jpeg2000", "from_fits", "read_votable", "read_fits_table", "read_table", "from_file", "open", "info",
)  # fmt: skip
OF_MANY = ("from_files", "open_stack", "read_table")
ENGINES = ("geotiff", "jpeg2000", "fits", "votable", "scichunk")

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")


def test_pipes_devices_and_folders(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    paths = (str(tmp_path / "pipe.tif"), "/dev/zero", "/dev/null", str(tmp_path), "/dev/stdin")
    reads = [f"scichunk.{reader}({path!r})" for reader in READERS for path in paths]
    reads += [f"scichunk.{reader}([{path!r}, {path!r}])" for reader in OF_MANY for path in paths]
    opens = [f"{how}({path!r}, engine={engine!r})" for how in OPENS for engine in ENGINES for path in paths]
    reads += [f"import xarray\nxarray.{call}" for call in opens]
    reads += [f"scichunk.open('file://' + {path!r})" for path in paths]
    assert outcomes(*reads) == ["SourceError"] * len(reads)


def test_what_the_kernel_makes_up():
    """Files of /proc are regular, as far as they say; of most of them no byte is there by their length."""
    paths = ("/proc/self/mem", "/proc/self/status", "/proc/kmsg", "/proc/self/pagemap")
    reads = [f"scichunk.{reader}({path!r})" for reader in ("open", "from_fits", "info") for path in paths]
    assert set(outcomes(*reads)) <= {"SourceError", "FormatError", "MissingFile"}


def test_open_files_that_are_none():
    opens = [
        "import os\nr, w = os.pipe()\nfile = os.fdopen(r, 'rb')",
        "file = open('/dev/zero', 'rb')",
        "import socket\nfile = socket.socketpair()[0].makefile('rb')",
    ]
    reads = [f"{code}\nscichunk.{reader}(file)" for code in opens for reader in ("open", "from_fits", "info")]
    assert set(outcomes(*reads)) <= {"SourceError", "FormatError"}


def test_what_never_answers_lets_the_process_end(tmp_path):
    """Threads that wait for ever are left alone: neither those that ask later nor the end of the process wait for them."""
    os.mkfifo(tmp_path / "pipe")
    code = f"""
import fsspec
class Deaf(fsspec.AbstractFileSystem):
    protocol = "deaf"
    def info(self, path, **kwargs):
        import threading
        threading.Event().wait()
    def glob(self, path, **kwargs):
        self.info(path)
    exists = info
fsspec.register_implementation("deaf", Deaf, clobber=True)
scichunk.options.set(timeout=0.05, retries=0)
for url in ["deaf://a.fits"] * 50:
    try:
        scichunk.from_fits(url)
    except scichunk.errors.SourceError as error:
        assert "no answer within" in str(error), error
try:
    scichunk.from_fits("zip://a::{tmp_path / "pipe"}")
except scichunk.errors.SourceError as error:
    assert "is a pipe" in str(error), error
import pyarrow as pa
for work in (lambda: scichunk.from_files("deaf://*.fits"), lambda: scichunk.write_votable(pa.table({{"a": [1]}}), "deaf://a")):
    try:
        work()
    except scichunk.errors.SourceError as error:
        assert "no answer within" in str(error), error
scichunk.options.set(timeout=30)
fsspec.filesystem("memory").pipe("/a.fits", open({str(DATA / "cube.fits")!r}, "rb").read())
print(scichunk.from_fits("simplecache::memory://a.fits").compute().ndim)
"""
    assert outcomes(code) == ["4"]


@pytest.mark.parametrize(
    "error", ["SystemExit", "KeyboardInterrupt", "GeneratorExit", "asyncio.CancelledError", "StopIteration"]
)
@pytest.mark.parametrize("kind", ["fsspec.AbstractFileSystem", "fsspec.asyn.AsyncFileSystem"])
def test_a_file_system_that_asks_to_end_the_thread(error, kind):
    """fsspec has one thread for all remote reads of a process."""
    code = f"""
import asyncio, fsspec.asyn
class Ends({kind}):
    protocol = "ends"
    def info(self, path, **kwargs):
        raise {error}("no credentials")
    async def _info(self, path, **kwargs):
        raise {error}("no credentials")
fsspec.register_implementation("ends", Ends, clobber=True)
scichunk.options.set(timeout=20, retries=0)
from scichunk.testing import RangeServer
try:
    scichunk.from_fits("ends://a.fits")
except scichunk.errors.SourceError as error:
    assert {error.rpartition(".")[2]!r} in str(error), error
with RangeServer({{"a.fits": open({str(DATA / "cube.fits")!r}, "rb").read()}}) as server:
    print(scichunk.from_fits(server.url("a.fits")).compute().ndim)
"""
    assert outcomes(code) == ["4"]


def test_a_pipe_in_the_place_of_a_file_that_is_open(tmp_path):
    shutil.copy(DATA / "bgr.jp2", tmp_path / "a.jp2")
    code = f"""
import os
array = scichunk.from_jpeg2000({str(tmp_path / "a.jp2")!r})
os.remove({str(tmp_path / "a.jp2")!r})
os.mkfifo({str(tmp_path / "a.jp2")!r})
array.compute()
"""
    assert outcomes(code) == ["SourceError"]


def test_references_of_votables(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    body = '<BINARY><STREAM href="pipe"/></BINARY>'
    (tmp_path / "a.vot").write_text(doc(body=body))
    assert outcomes(f"scichunk.read_votable({str(tmp_path / 'a.vot')!r}).compute()") == ["SourceError"]


def test_pipes_and_folders_beside_an_image(tmp_path):
    name = next(DATA.glob("*.tif"))
    want = scichunk.from_geotiff(name).compute()
    reads, wanted = [], []
    for number, end in enumerate([".tfw", ".tif.ovr", ".tif.msk", ".tif.aux.xml", ".IMD", "_rpc.txt"]):
        path, beside = tmp_path / f"{number}.tif", tmp_path / f"{number}{end}"
        shutil.copy(name, path)
        beside.mkdir()
        np.testing.assert_array_equal(scichunk.from_geotiff(path).compute(), want)
        beside.rmdir()
        os.mkfifo(beside)
        reads.append(f"print(scichunk.from_geotiff({str(path)!r}).compute().sum() == {int(want.sum())})")
        reads.append(f"print(scichunk.open({str(path)!r}) is None)")
        reads.append(f"scichunk.from_geotiff({str(path)!r}, reader='reference').compute()")
        # With a world file beside it, GDAL is asked to open the file itself, and looks at all that lies there.
        reads.append(
            f"open({str(tmp_path / f'{number}.wld')!r}, 'w').write('1 0 0 -1 0 0')\nscichunk.open({str(path)!r})"
        )
        wanted += ["SourceError"] * 4
        with pytest.raises(SourceError, match="is a pipe"):
            scichunk.from_geotiff(path, reader="reference").compute()
    assert outcomes(*reads) == wanted


@pytest.mark.parametrize("suffix", ["tif", "jp2"])
def test_pipes_beside_an_image_under_names_that_gdal_knows(tmp_path, suffix):
    source = next(DATA.rglob(f"*.{suffix}"))
    path = tmp_path / f"a.{suffix}"
    shutil.copy(source, path)
    (tmp_path / "a.wld").write_text("1 0 0 -1 0 0")
    for name in ("a.aux", f"a.{suffix}.aux", "a.AUX", "a_MTL.txt", "METADATA.DIM"):
        os.mkfifo(tmp_path / name)
    assert outcomes(f"print(scichunk.open({str(path)!r}) is None)") == ["False"]
