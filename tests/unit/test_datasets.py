"""What the engines say of groups that are not there, of errors inside, and of units that only look like times."""

import hashlib
import io
import struct

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.errors import FormatError, GroupNotFound, MetadataWarning

SAMPLES = {"geotiff": "scene_deflate.tif", "jpeg2000": "bgr.jp2", "fits": "exposure.fits", "votable": "stars.vot"}


@pytest.mark.parametrize("engine", SAMPLES)
def test_a_group_that_is_not_there(engine):
    path = f"test_data/{SAMPLES[engine]}"
    with pytest.raises(GroupNotFound, match=r"nonsense.*the file has /") as caught:
        xr.open_dataset(path, engine=engine, group="nonsense")
    assert isinstance(caught.value, FormatError)
    assert caught.value.url
    assert caught.value.url.endswith(SAMPLES[engine])
    with pytest.raises(GroupNotFound):
        xr.open_datatree(path, engine=engine, group="nonsense")


def test_an_error_inside_is_not_told_as_a_missing_group():
    class Decoders(dict):
        def get(self, name, default=None):
            raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        xr.open_dataset("test_data/scene_deflate.tif", engine="geotiff", mask_and_scale=Decoders())


def test_one_odd_unit_leaves_the_times_of_the_others(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    columns = [
        fits.Column("good", "D", unit="days since 2000-01-01", array=np.arange(3.0)),
        fits.Column("odd", "D", unit="days since launch", array=np.arange(3.0)),
        fits.Column("late", "D", unit="hours since 2001-01-01", array=np.arange(3.0)),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(tmp_path / "t.fits")
    with pytest.warns(MetadataWarning, match="'odd'.*days since launch") as caught:
        ds = xr.open_dataset(tmp_path / "t.fits", engine="fits", hdu=1)
    assert len([w for w in caught if w.category is MetadataWarning]) == 1
    assert [ds[n].dtype.kind for n in ("good", "odd", "late")] == ["M", "f", "M"]
    assert list(ds.data_vars) == ["good", "odd", "late"]
    assert ds.odd.attrs["units"] == "days since launch"


def test_hdus_behind_a_broken_header_are_not_left_out_silently(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(np.zeros((4, 4))), fits.ImageHDU(np.ones((4, 4))), fits.ImageHDU()]).writeto(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"BITPIX", data.index(b"XTENSION"))
    data[at + 10 : at + 30] = b"17".rjust(20)
    with pytest.warns(MetadataWarning, match="HDU 0.*left out.*BITPIX 17"):
        assert "HDU 1" not in str(scichunk.info(bytes(data)))


def test_directories_behind_a_broken_one_are_not_left_out_silently():
    def directory(at, following):
        tags = [
            (256, 3, 1, 1),
            (257, 3, 1, 1),
            (258, 3, 1, 8),
            (262, 3, 1, 1),
            (273, 4, 1, 8),
            (277, 3, 1, 1),
            (278, 3, 1, 1),
            (279, 4, 1, 1),
        ]
        return (
            struct.pack("<H", len(tags))
            + b"".join(struct.pack("<HHII", *t) for t in tags)
            + struct.pack("<I", following)
        )

    size = len(directory(0, 0))
    data = struct.pack("<2sHI", b"II", 42, 16) + bytes(8) + directory(16, 16 + size) + directory(16 + size, 1 << 20)
    with pytest.warns(MetadataWarning, match="behind the first 2 are left out"):
        assert list(scichunk.open(data).children) == ["page_0", "page_1"]


# ---- names of arrays


def many_columns(count):
    """A FITS table as bytes."""
    from astropy.table import Table

    with io.BytesIO() as file:
        Table({f"c{i}": np.arange(2000.0) for i in range(count)}).write(file, format="fits")
        return file.getvalue()


def test_content_is_not_hashed_again_for_each_variable():
    from dask import hashing
    from dask.base import tokenize

    data = many_columns(40)
    ds = xr.open_dataset(data, engine="fits", hdu=1)
    hashed = []

    def count(buffer):
        hashed.append(memoryview(buffer).nbytes)
        return hashlib.sha1(buffer, usedforsecurity=False).digest()

    hashing.hashers.insert(0, count)
    try:
        chunked = ds.chunk(row=500)
        assert sum(hashed) < len(data) / 10
        tokenize(io.BytesIO(data))  # whatever has no name of its own is hashed so
        assert sum(hashed) >= len(data)
    finally:
        hashing.hashers.remove(count)
    assert float(chunked.c39.sum()) == 2000 * 1999 / 2


def test_names_of_chunked_arrays_say_what_they_are(tmp_path):
    data = many_columns(3)
    (tmp_path / "a.fits").write_bytes(data)
    one, two = (xr.open_dataset(data, engine="fits", hdu=1) for _ in range(2))
    beside = xr.open_dataset(tmp_path / "a.fits", engine="fits", hdu=1)
    views = [
        one,
        one.isel(row=slice(0, 9)),
        one.isel(row=slice(0, 8)),
        one.isel(row=[1, 5]),
        one.isel(row=[1, 6]),
        beside,
    ]
    names = [view.chunk()[name].data.name for view in views for name in ("c0", "c1")]
    assert len({*names}) == len(names)
    assert two.chunk().c0.data.name == names[0]
    assert two.isel(row=[1, 5]).chunk().c1.data.name == names[7]
    loaded = one.load().chunk().c0
    assert loaded.data.name == two.load().chunk().c0.data.name
    np.testing.assert_array_equal(loaded, np.arange(2000.0))
