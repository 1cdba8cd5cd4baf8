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

DATA = Path(__file__).parents[2] / "test_data"
READERS = ("from_geotiff", "from_jpeg2000", "from_fits", "read_votable", "read_fits_table", "open", "info")

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")


def test_pipes_devices_and_folders(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    paths = (str(tmp_path / "pipe.tif"), "/dev/zero", "/dev/null", str(tmp_path))
    reads = [f"scichunk.{reader}({path!r})" for reader in READERS for path in paths]
    assert outcomes(*reads) == ["SourceError"] * len(reads)


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
