"""What the engines say of groups that are not there, of errors inside, and of units that only look like times."""

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
