"""What people give who come from rasterio and GDAL: names, contents and objects, and what the errors tell them to do."""

import io
import zipfile

import fsspec
import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.io import MemoryFile
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

import scichunk
from scichunk.errors import FormatError, NotGeoreferencedWarning, SourceError

PIXELS = np.arange(48, dtype="u2").reshape(1, 6, 8)


@pytest.fixture
def path(tmp_path):
    name = tmp_path / "a.tif"
    size = {"count": 1, "height": 6, "width": 8, "dtype": "uint16"}
    with rasterio.open(
        name, "w", driver="GTiff", **size, crs="EPSG:32633", transform=from_origin(5e5, 4.6e6, 10, 10)
    ) as ds:
        ds.write(PIXELS)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(name, "d/a.tif")
    return name


WAYS = {
    "from_geotiff": scichunk.from_geotiff,
    "engine": lambda name: xr.open_dataset(name, engine="geotiff"),
    "info": scichunk.info,
    "open": scichunk.open,
    "stack": lambda name: scichunk.open_stack([name]),
}
NAMES = {
    "zip+file://{folder}/z.zip!d/a.tif": "zip://d/a.tif::{folder}/z.zip",
    "zip+file://{folder}/z.zip!/d/a.tif": "zip://d/a.tif::{folder}/z.zip",
    "zip://{folder}/z.zip!d/a.tif": "zip://d/a.tif::{folder}/z.zip",
    "tar://{folder}/z.tar!d/a.tif": "tar://d/a.tif::{folder}/z.tar",
    "/vsizip/{folder}/z.zip/d/a.tif": "zip://d/a.tif::{folder}/z.zip",
    "/vsizip/{{{folder}/z.zip}}/d/a.tif": "zip://d/a.tif::{folder}/z.zip",
    "/vsicurl/http://127.0.0.1:1/a.tif": "give the URL itself: http://127.0.0.1:1/a.tif",
    "/vsis3/bucket/d/a.tif": "s3://bucket/d/a.tif",
    "/vsigs/bucket/a.tif": "gs://bucket/a.tif",
    "/vsiaz/container/a.tif": "az://container/a.tif",
    "/vsimem/a.tif": "MemoryFile",
    "GTIFF_DIR:2:{folder}/a.tif": "{folder}/a.tif with page= or overview=",
    "GTIFF_RAW:{folder}/a.tif": "give the file itself",
    "file:a.tif": "file://",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_names_of_gdal_are_translated(path, name, way):
    folder = str(path.parent)
    with pytest.raises(SourceError) as caught:
        WAYS[way](name.format(folder=folder))
    assert NAMES[name].format(folder=folder) in str(caught.value)


def test_what_the_hint_says_works(path):
    assert scichunk.from_geotiff(f"zip://d/a.tif::{path.parent}/z.zip").shape == (1, 6, 8)


def test_hints_keep_secrets():
    with pytest.raises(SourceError) as caught:
        scichunk.info("/vsicurl/http://user:secret@127.0.0.1:1/a.tif?token=abcdef")
    assert "secret" not in str(caught.value)
    assert "abcdef" not in str(caught.value)


CONTENTS = {
    b"\x89PNG\r\n\x1a\n....": "PNG",
    b"\xff\xd8\xff\xe0....": "JPEG",
    b"\n<!DOCTYPE html><html>": "HTML",
    b"<HTML><head>": "HTML",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0": "git lfs pull",
    b'<VRTDataset rasterXSize="3">': "VRT",
    b'<?xml version="1.0"?>\n<VRTDataset>': "VRT",
    b'<?xml version="1.0"?><Error>': "XML",
    b'{"type": "Feature"}': "JSON",
    b"PK\3\4....": "zip archive",
    b"\x1f\x8b..": "gzip",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"": "empty",
}


@pytest.mark.parametrize("engine", ["geotiff", "jpeg2000", "scichunk"])
@pytest.mark.parametrize("content", CONTENTS)
def test_contents_are_named(tmp_path, content, engine):
    name = tmp_path / "a.tif"
    name.write_bytes(content)
    for target in (name, content):
        with pytest.raises(FormatError) as caught:
            xr.open_dataset(target, engine=engine)
        assert CONTENTS[content] in str(caught.value)


def test_files_of_another_format_are_named():
    with pytest.raises(FormatError, match="looks like fits"):
        scichunk.from_geotiff(b"SIMPLE  =                    T".ljust(2880))


def test_damaged_files_of_the_format_get_no_hint(path):
    with pytest.raises(FormatError) as caught:
        scichunk.from_geotiff(path.read_bytes()[:60])
    assert "looks like" not in str(caught.value)


def test_datasets_of_rasterio_are_refused_with_what_to_give(path):
    with rasterio.open(path) as ds, WarpedVRT(ds, crs="EPSG:3857") as warped:
        for given in (ds, warped):
            with pytest.raises(TypeError, match="its name"):
                scichunk.from_geotiff(given)


class Seekless:
    """A file object whose ``seek`` returns what some libraries return."""

    def __init__(self, data, returns):
        self.inner, self.returns = io.BytesIO(data), returns

    def read(self, size=-1):
        return self.inner.read(size)

    def seek(self, *args):
        self.inner.seek(*args)
        return self.returns

    def tell(self):
        return self.inner.tell()


def test_file_objects_of_others(path):
    data = path.read_bytes()
    fsspec.filesystem("memory").pipe("/scichunk-hints.tif", data)
    unopened = [fsspec.open(str(path)), fsspec.open("memory://scichunk-hints.tif")]
    with MemoryFile(data) as memory:
        for given in (memory, Seekless(data, None), Seekless(data, 0), *unopened):
            np.testing.assert_array_equal(scichunk.from_geotiff(given).compute(), PIXELS)
    fsspec.filesystem("memory").rm("/scichunk-hints.tif")
    with pytest.raises(TypeError, match="gzip"):
        scichunk.from_geotiff(fsspec.open(str(path), compression="gzip"))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("driver", "suffix"), [("GTiff", "tif"), ("JP2OpenJPEG", "jp2")])
def test_a_system_without_a_place_warns_and_a_picture_does_not(tmp_path, recwarn, driver, suffix):
    for name, crs in (("picture", None), ("unplaced", "EPSG:32633")):
        size = {"count": 1, "height": 6, "width": 8, "dtype": "uint16"}
        with rasterio.open(tmp_path / f"{name}.{suffix}", "w", driver=driver, **size, crs=crs) as ds:
            ds.write(PIXELS)
    recwarn.clear()
    xr.open_dataset(tmp_path / f"picture.{suffix}", engine="scichunk")
    assert not recwarn.list
    with rasterio.open(tmp_path / f"unplaced.{suffix}") as ds:
        told = ds.crs is not None
    if told:
        with pytest.warns(NotGeoreferencedWarning, match="count pixels"):
            xr.open_dataset(tmp_path / f"unplaced.{suffix}", engine="scichunk")
    assert told or driver == "JP2OpenJPEG"


@pytest.mark.parametrize(
    "name", ["/vsicurl/?token=abcdefgh&url=https://127.0.0.1:1/a.tif", "/vsicurl?pw=abcdefgh&url=http://u:abcdefgh@h/a"]
)
def test_a_url_within_a_query_tells_no_secrets(name):
    with pytest.raises(SourceError) as caught:
        scichunk.info(name)
    assert "/vsicurl" in str(caught.value)
    assert "abcdefgh" not in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_patterns_of_several_files_are_told_where_they_belong(path, way):
    with pytest.raises(SourceError, match=r"patterns of several files are for scichunk\.open_stack"):
        WAYS[way](str(path.parent / "*.tif"))
