"""A wrong argument is named, with what would be right."""

import numpy as np
import pytest
import xarray as xr

import scichunk

DATA = "test_data/"
TIFF, FITS, JP2, VOT = (DATA + n for n in ("scene_deflate.tif", "exposure.fits", "bgr.jp2", "stars.vot"))


def _engine(path, engine, **arguments):
    return lambda: xr.open_dataset(path, engine=engine, **arguments)


def _call(function, *given, **arguments):
    return lambda: getattr(scichunk, function)(*given, **arguments)


WRONG = {
    "page text": (_call("from_geotiff", TIFF, page="x"), TypeError, "page must be an integer, got 'x'"),
    "page bool": (_call("from_geotiff", TIFF, page=True), TypeError, "page must be an integer"),
    "page float": (_call("from_geotiff", TIFF, page=1.0), TypeError, "page must be an integer"),
    "page negative": (_call("from_geotiff", TIFF, page=-1), ValueError, "page counts from 0"),
    "page of an engine": (_engine(TIFF, "geotiff", page="x"), TypeError, "page must be an integer"),
    "page bool of an engine": (_engine(TIFF, "geotiff", page=True), TypeError, "page must be an integer"),
    "negative page of an engine": (_engine(TIFF, "geotiff", page=-1), ValueError, "page counts from 0"),
    "overview of an engine": (_engine(TIFF, "geotiff", overview=-1), ValueError, "overview counts from 0"),
    "reduce of an engine": (_engine(JP2, "jpeg2000", reduce=-1), ValueError, "reduce counts from 0"),
    "overview of a stack": (_call("from_geotiffs", [TIFF], overview=-1), ValueError, "overview counts from 0"),
    "page of a stack": (_call("from_geotiffs", [TIFF], page="x"), TypeError, "page must be an integer"),
    "reduce": (_call("from_jpeg2000", JP2, reduce=1.5), TypeError, "reduce must be an integer"),
    "bands beyond": (_call("from_geotiff", TIFF, bands=[9]), IndexError, "bands has 9, but there are 4"),
    "bands float": (_call("from_geotiff", TIFF, bands=[0.5]), TypeError, "bands must be an integer"),
    "bands text": (_call("from_geotiff", TIFF, bands="12"), TypeError, "bands must be an integer"),
    "bands mask": (_call("from_geotiff", TIFF, bands=[True, False]), TypeError, "bands must be an integer"),
    "bands of JPEG 2000": (_call("from_jpeg2000", JP2, bands=[9]), IndexError, "bands has 9, but there are 3"),
    "chunks": (_call("from_geotiff", TIFF, chunks="nonsense"), ValueError, 'chunks must be "auto", "native"'),
    "chunks of a stack": (_call("from_geotiffs", [TIFF], chunks="nonsense"), ValueError, "chunks must be"),
    "reader": (_call("from_fits", FITS, reader="fast"), ValueError, "reader must be"),
    "headers": (_call("from_geotiffs", [TIFF], headers=None), ValueError, 'headers must be "all" or "first"'),
    "hdu float": (_call("from_fits", FITS, hdu=1.5), TypeError, r"hdu must be a number, an EXTNAME.*got 1\.5"),
    "hdu bool": (_call("from_fits", FITS, hdu=True), TypeError, "hdu must be"),
    "hdu three": (_call("from_fits", FITS, hdu=(1, 2, 3)), TypeError, "hdu must be"),
    "hdu turned": (_call("from_fits", FITS, hdu=(1, "x")), TypeError, "hdu must be"),
    "hdu of an engine": (_engine(FITS, "fits", hdu=1.5), TypeError, "hdu must be"),
    "hdu of a table": (_call("read_fits_table", DATA + "catalogue.fits", hdu=1.5), TypeError, "hdu must be"),
    "table": (_call("read_votable", VOT, table=1.5), TypeError, "table must be an integer"),
    "nothing to stack": (_call("open_stack", [TIFF], drop_variables="band_data"), ValueError, "no variable"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_right_ones_in_other_types_are_taken():
    whole = scichunk.from_geotiff(TIFF, page=np.int64(0), chunks="64MiB").compute()
    np.testing.assert_array_equal(scichunk.from_geotiff(TIFF, bands=np.array([2, -1])).compute(), whole[[2, -1]])
    assert scichunk.from_geotiff(TIFF, bands=2).shape == (1, *whole.shape[1:])
    assert scichunk.from_fits(FITS, hdu=np.int16(-1)).shape
