"""Names that lead to no regular file: opening a pipe would wait for ever, and a device has no size."""

import os
import socket

import numpy as np
import pytest

import scichunk
from scichunk.errors import SourceError
from scichunk.options import set as set_options
from tests.children import run
from tests.votable_docs import doc

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name here")

READ = """
path = sys.argv[1]
for read in (scichunk.from_geotiff, scichunk.from_fits, scichunk.from_jpeg2000, scichunk.read_votable, scichunk.read_fits_table,
             scichunk.open, scichunk.info):
    print(outcome(read, path))
print(outcome(xr.open_dataset, path, engine="scichunk"))
print(xr.backends.list_engines()["scichunk"].guess_can_open(path))
"""


@pytest.mark.parametrize("end", [".tif", ".fits", ".jp2", ".vot", ""])
def test_pipes(tmp_path, end):
    path = tmp_path / f"a{end}"
    os.mkfifo(path)
    found = run(READ, path)
    assert len(found) == 9
    assert found[-1] == "False"
    for line in found[:-1]:
        assert line.startswith("SourceError: is a pipe, not a regular file"), line


def test_directories_devices_and_sockets(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        for name, kind in ((str(tmp_path), "a directory"), ("/dev/zero", "a device"), (path, "a socket")):
            for read in (scichunk.info, scichunk.from_geotiff, scichunk.read_votable):
                with pytest.raises(SourceError, match=f"is {kind}, not a regular file"):
                    read(name)


READ_TABLE = "print(outcome(scichunk.read_votable, sys.argv[1])); print(outcome(scichunk.info, sys.argv[1]))"


@pytest.mark.parametrize("kind", ["BINARY", "BINARY2", "FITS", "PARQUET"])
def test_what_a_votable_refers_to(tmp_path, kind):
    os.mkfifo(tmp_path / "data")
    (tmp_path / "a.vot").write_text(doc(body=f'<{kind}><STREAM href="data"/></{kind}>'))
    for line in run(READ_TABLE, tmp_path / "a.vot"):
        assert line == "fine" or line.startswith("SourceError: is a pipe"), line
    assert run(READ_TABLE, tmp_path / "a.vot")[0].startswith("SourceError: is a pipe")
    (tmp_path / "b.vot").write_text(doc(body=f'<{kind}><STREAM href="/dev/zero"/></{kind}>'))
    with set_options(follow_hrefs=True), pytest.raises(SourceError, match="is a device"):
        scichunk.read_votable(tmp_path / "b.vot")


def tiff(path):
    import rasterio

    data = np.arange(64, dtype="u1").reshape(1, 8, 8)
    with rasterio.open(path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8") as file:
        file.write(data)
    return data


READ_BESIDE = """
for reader in ("auto", "reference"):
    print(outcome(scichunk.from_geotiff, sys.argv[1], reader=reader))
print(outcome(xr.open_dataset, sys.argv[1], engine="geotiff"))
print(outcome(scichunk.info, sys.argv[1]))
"""


@pytest.mark.parametrize("name", ["a.tfw", "a.tif.ovr", "a.tif.msk", "a.tif.aux.xml"])
def test_files_beside_a_raster(tmp_path, name):
    data = tiff(tmp_path / "a.tif")
    os.mkfifo(tmp_path / name)
    found = run(READ_BESIDE, tmp_path / "a.tif")
    assert len(found) == 4
    for line in found:
        assert line.startswith("SourceError: is a pipe, not a regular file"), line
        assert name in line
    os.unlink(tmp_path / name)
    os.mkdir(tmp_path / name)  # libraries take no notice of it either
    np.testing.assert_array_equal(scichunk.from_geotiff(tmp_path / "a.tif").compute(), data)
    assert scichunk.info(tmp_path / "a.tif").arrays


def test_a_file_that_becomes_a_pipe(tmp_path):
    tiff(tmp_path / "a.tif")
    array = scichunk.from_geotiff(tmp_path / "a.tif")
    os.unlink(tmp_path / "a.tif")
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(SourceError):
        array.compute()
