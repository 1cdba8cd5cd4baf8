"""A wrong argument is named, with what would be right."""

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk import errors

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
    "chunks of length 0": (_call("from_geotiff", TIFF, chunks=0), ValueError, "chunks must be .*got 0"),
    "chunks of another rank": (_call("from_geotiff", TIFF, chunks=(1,)), ValueError, "chunks must be"),
    "chunks of another shape": (_call("from_geotiff", TIFF, chunks=((4,), (9,), (300,))), ValueError, "chunks must be"),
    "chunks of no kind": (_call("from_geotiff", TIFF, chunks=object()), ValueError, "chunks must be"),
    "chunks by name": (_call("from_geotiff", TIFF, chunks={"row": 64}), ValueError, r"not there: \['row'\]; there are \['band', 'y', 'x'\]"),
    "chunks of axes beyond": (_call("from_geotiff", TIFF, chunks={3: 64}), ValueError, r"not there: \[3\]"),
    "chunks of a stack by name": (_call("from_geotiffs", [TIFF], chunks={"row": 64}), ValueError, "not there"),
    "overview beyond of an engine": (_engine(TIFF, "geotiff", overview=9), errors.FormatError, "no overview 9,.*page 0 has 2"),
    "page beyond of an engine": (_engine(TIFF, "geotiff", page=9), errors.FormatError, "no page 9; the file has 1"),
    "overview beyond of open_stack": (_call("open_stack", [TIFF], overview=9), errors.FormatError, "no overview 9"),
    "reduce beyond of an engine": (_engine(JP2, "jpeg2000", reduce=99), errors.FormatError, "can be halved .*reduce=99"),
    "overview beyond in JPEG 2000": (_engine(JP2, "jpeg2000", overview=98), errors.FormatError, "halved .*overview=98"),
    "group": (_engine(TIFF, "geotiff", group=5), TypeError, "group must be a text, got 5"),
    "group of a tree": (_call("open", TIFF, group=5), TypeError, "group must be a text, got 5"),
    "drop_variables": (_engine(TIFF, "geotiff", drop_variables=5), TypeError, "drop_variables must be .*got 5"),
    "drop_variables of a stack": (_call("open_stack", [TIFF], drop_variables=5), TypeError, "drop_variables must be"),
    "dim": (_call("open_stack", [TIFF], dim=5), TypeError, "dim must be a text, got 5"),
    "dim of a file": (_call("open_stack", [TIFF] * 2, dim="band"), ValueError, "dim='band' .* the files use themselves"),
    "dim of a variable": (_call("open_stack", [TIFF] * 2, dim="band_data"), ValueError, "dim='band_data'"),
    "coordinate too short": (_call("open_stack", [TIFF] * 2, coordinate=[1]), ValueError, "coordinate has 1 values.*2 files"),
    "coordinate of two axes": (_call("open_stack", [TIFF] * 2, coordinate=[[1, 2]]), ValueError, r"coordinate .*\(1, 2\)"),
    "coordinate of none": (_call("open_stack", [TIFF] * 2, coordinate=5), ValueError, r"coordinate .*\(\)"),
    "urls": (_call("open_stack", 5), TypeError, "expected paths or URLs, or a pattern, got int"),
    "urls of bytes": (_call("from_files", b"II"), TypeError, "expected paths or URLs, or a pattern, got bytes"),
    "storage_options": (_call("from_geotiff", TIFF, storage_options="x"), TypeError, "storage_options must be a mapping, got str"),
    "storage_options of a stack": (_call("open_stack", TIFF + "*", storage_options=[1]), TypeError, "storage_options must be"),
    "columns": (_call("read_table", DATA + "catalogue.fits", columns=5), TypeError, "columns must be .*got 5"),
    "blocksize": (_call("read_table", DATA + "catalogue.fits", blocksize="x"), ValueError, "blocksize must be .*got 'x'"),
    "blocksize of no kind": (_call("read_votable", VOT, blocksize=[1]), TypeError, "blocksize must be"),
    "wcs of a number": (_call("wcs", 5), TypeError, "expected a DataArray, a Dataset or a node of a DataTree, got int"),
    "a series of dask": (lambda: scichunk.to_qtable(scichunk.read_fits_table(DATA + "catalogue.fits").ra), TypeError, "expected a Dataset, .* got Series"),
    "an array of dask": (lambda: scichunk.write_fits_table(scichunk.from_geotiff(TIFF), "x.fits"), TypeError, "expected a Dataset, .* got Array"),
    "memory without end": (_call("suggest_chunks", TIFF, memory=float("inf")), ValueError, "memory and task_seconds must be positive, got inf"),
    "memory of very many digits": (_call("suggest_chunks", TIFF, memory="1e400"), ValueError, "memory and task_seconds must be positive, got '1e400'"),
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


@pytest.mark.parametrize(
    "values", [(i for i in (1, 2)), (1, 2), np.array([1, 2]), xr.DataArray([1, 2], dims="n"), {1: 0, 2: 0}.keys()]
)
def test_values_along_a_stack_may_be_of_any_kind(values):
    ds = scichunk.open_stack([TIFF] * 2, dim="night", coordinate=values)
    assert ds.night.values.tolist() == [1, 2]


def test_indexes_of_rasters_are_for_rasters():
    pytest.importorskip("rasterix")
    with pytest.raises(ValueError, match="there are no dimensions x and y, but row"):
        xr.open_dataset(DATA + "catalogue.fits", engine="fits", raster_index=True)
    stack = scichunk.open_stack([TIFF] * 2, raster_index=True)
    assert type(stack.xindexes["x"]).__name__ == "RasterIndex"
    np.testing.assert_allclose(stack.x, scichunk.open_stack([TIFF] * 2).x)


def test_all_dimensions_may_be_named_by_dots():
    ds = xr.open_dataset(TIFF, engine="geotiff", chunks={})
    xr.testing.assert_allclose(scichunk.reduce(ds, "max", ...).compute(), ds.max(...).compute())
    xr.testing.assert_allclose(scichunk.reduce(ds.band_data, "max", ...).compute(), ds.band_data.max(...).compute())


def test_chunks_by_axis():
    assert scichunk.from_geotiff(TIFF, chunks={np.int64(1): 64}).chunks[1] == (64, 64, 64, 8)
    assert scichunk.from_geotiff(TIFF, chunks={0: 1, 2: -1}).chunks == ((1,) * 4, (200,), (300,))
