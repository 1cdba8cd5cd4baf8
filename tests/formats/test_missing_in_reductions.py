"""Missing times and texts in reductions, and results of functions of chunks that are written."""

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from tests.abilities import needs_reduced_times


@pytest.fixture
def gaps(tmp_path):
    """A table with missing times and texts."""
    seconds = np.arange(10) * 3600.0
    seconds[::3] = np.nan
    columns = [
        fits.Column("t", "D", unit="s since 2020-01-01", array=seconds),
        fits.Column("i", "J", null=-1, array=np.where(np.arange(10) % 4, np.arange(10), -1)),
        fits.Column("mag", "E", array=np.linspace(10, 20, 10)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "gaps.fits")
    return xr.open_dataset(tmp_path / "gaps.fits", engine="fits", chunks={"row": 3})


@needs_reduced_times
@pytest.mark.parametrize("how", ["count", "min", "max", "mean"])
@pytest.mark.parametrize("skipna", [None, True, False])
def test_missing_times_are_reduced_as_xarray_reduces_them(gaps, how, skipna):
    words = {} if how == "count" else {"skipna": skipna}
    for obj in (gaps, gaps.t, gaps.t.where(gaps.mag > 13)):
        found = scichunk.reduce(obj, how, "row", skipna=skipna)
        xr.testing.assert_allclose(found.compute(), getattr(obj, how)("row", **words).compute())


def test_missing_values_of_any_type_are_not_counted(gaps):
    array = gaps.t.data
    assert scichunk.reduce(array, "count").compute() == 6


# -- functions of chunks ------------------------------------------------------------------------------------------------------------


def test_results_of_functions_are_written_as_they_are(tmp_path):
    """The encoding of what was read is not that of what was made of it."""
    from tests.formats.test_reduce import write_tiff

    path = write_tiff(tmp_path / "a.tif", np.arange(1, 1601, dtype="u2").reshape(1, 40, 40), nodata=0)
    ds = xr.open_dataset(path, engine="geotiff", chunks={})
    made = scichunk.map_chunks(lambda v: v * 1.3 + 100_000, ds.band_data)
    made.to_dataset(name="made").to_netcdf(tmp_path / "made.nc")
    with xr.open_dataset(tmp_path / "made.nc") as again:
        np.testing.assert_array_equal(again.made, made)
