"""What was opened with some options is not what is opened with others."""

import struct
import warnings

import numpy as np
import pytest
import rasterio
import xarray as xr

import scichunk
from scichunk.errors import LimitExceeded, MetadataWarning, UnsupportedFeature


@pytest.fixture
def pages(tmp_path):
    path = tmp_path / "pages.tif"
    profile = {"driver": "GTiff", "width": 16, "height": 16, "count": 1, "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        for number in range(6):
            with rasterio.open(path, "w", APPEND_SUBDATASET="YES" if number else "NO", **profile) as file:
                file.write(np.full((1, 16, 16), number, "u1"))
    return path


@pytest.fixture
def strips(tmp_path):
    """Strips of one row, in whose tables there are a million bytes."""
    path = tmp_path / "strips.tif"
    profile = {"driver": "GTiff", "width": 4, "height": 60_000, "count": 1, "dtype": "uint8", "blockysize": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as file:
            file.write(np.arange(240_000).reshape(1, 60_000, 4).astype("u1"))
    return path


def test_a_limit_of_pages_holds_as_long_as_it_is_set(pages):
    with scichunk.options.set(max_pages=3), pytest.warns(MetadataWarning, match="left out"):
        assert len(scichunk.info(pages).arrays) == 3
    assert len(scichunk.info(pages).arrays) == 6
    with scichunk.options.set(max_pages=3):
        assert len(xr.open_datatree(pages, engine="geotiff").children) == 3


def test_a_limit_of_headers_that_is_raised_holds_at_once(strips):
    with scichunk.options.set(max_header_bytes=100_000), pytest.raises(LimitExceeded, match="max_header_bytes"):
        scichunk.reader(strips)[0, 1, 0]
    with scichunk.reader(strips) as opened:
        assert opened[0, 1, 0] == 4
    with scichunk.options.set(max_header_bytes=100_000), pytest.raises(LimitExceeded, match="max_header_bytes"):
        scichunk.reader(strips)[0, 1, 0]


def test_readers_keep_to_their_own_limits(strips):
    with scichunk.options.set(max_header_bytes=1 << 29):
        opened = scichunk.reader(strips)
    with scichunk.options.set(max_header_bytes=1000):
        scichunk.clear_caches()
        assert opened.dims == ("band", "y", "x")


def test_what_was_allowed_once_is_refused_later(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "rows").write_bytes(struct.pack(">3i", 1, 2, 3))
    path = tmp_path / "below" / "a.vot"
    path.write_text(
        '<VOTABLE version="1.4"><RESOURCE><TABLE nrows="3"><FIELD name="a" datatype="int"/><DATA><BINARY>'
        '<STREAM href="../rows"/></BINARY></DATA></TABLE></RESOURCE></VOTABLE>'
    )
    with scichunk.options.set(follow_hrefs=True):
        assert scichunk.read_table(path).a.compute().tolist() == [1, 2, 3]
    with pytest.raises(UnsupportedFeature, match="outside the folder"):
        scichunk.read_table(path).compute()
