# ruff: noqa: PD011  # arrays of dask and objects of xarray, too
"""Tables of many files as one, and columns with NaN: what dask and pandas make of them."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.io import fits
from astropy.table import Table

import scichunk
from scichunk.errors import DataWarning


def write(path, columns, kind):
    # As TABLEDATA astropy 6.1 writes numbers of NumPy 2 as "np.float64(1.0)".
    Table(columns).write(path, format=kind, **({"tabledata_format": "binary2"} if kind == "votable" else {}))


@pytest.fixture(params=["fits", "vot"])
def turned(request, tmp_path):
    """Two files with equal columns in other orders."""
    columns = {"ra": [0.0, 1.0], "dec": [10.0, 11.0], "name": ["a", "b"]}
    kind = {"fits": "fits", "vot": "votable"}[request.param]
    paths = [str(tmp_path / f"{n}.{request.param}") for n in range(2)]
    for path, order in zip(paths, (["ra", "dec", "name"], ["dec", "ra", "name"]), strict=True):
        write(path, {name: columns[name] for name in order}, kind)
    return paths


@pytest.mark.parametrize("filters", [None, [("ra", ">=", 0)]])
def test_columns_in_another_order_are_where_those_of_the_first_file_are(turned, filters, tmp_path):
    """dask takes columns by their place: for arrays, CSV files and new names."""
    want = [[0.0, 10.0], [1.0, 11.0]] * 2
    frame = scichunk.read_table(turned, filters=filters)
    assert frame.drop(columns="name").values.compute().tolist() == want
    assert frame.partitions[1].compute().columns.tolist() == ["ra", "dec", "name"]
    frame.to_csv(tmp_path / "all.csv", single_file=True, index=False)
    assert pd.read_csv(tmp_path / "all.csv")[["ra", "dec"]].values.tolist() == want
    frame.columns = ["RA", "DEC", "NAME"]
    assert frame.compute()[["RA", "DEC"]].values.tolist() == want
    assert scichunk.read_table(turned, columns=["dec", "ra"]).values.compute()[:, ::-1].tolist() == want


@pytest.mark.parametrize("kind", ["fits", "votable"])
def test_sums_and_means_of_columns_with_nan_are_those_of_the_other_rows(tmp_path, kind):
    """Of a partition with a NaN in a column of Arrow pandas makes NaN, which dask then leaves out with all of the partition."""
    values = np.arange(1000.0)
    values[:5] = np.nan
    write(tmp_path / "x", {"x": values, "g": np.arange(1000) % 3}, kind)
    frame = scichunk.read_table(tmp_path / "x", blocksize=4000)
    assert frame.npartitions > 2 or kind == "votable"
    assert frame.x.mean().compute() == np.nanmean(values) == frame.x.compute().mean()
    assert frame.x.sum().compute() == np.nansum(values)
    assert frame.x.count().compute() == 995 == len(frame.dropna())
    np.testing.assert_allclose(frame.x.std().compute(), np.nanstd(values, ddof=1))
    np.testing.assert_allclose(
        frame.groupby("g").x.mean().compute().sort_index(), [np.nanmean(values[n::3]) for n in range(3)]
    )
    np.testing.assert_array_equal(frame.x.compute().to_numpy(float), values)
    for word, of in (("!=", frame.x != 7), (">", frame.x > 7), ("<=", frame.x <= 7)):
        found = scichunk.read_table(tmp_path / "x", filters=[("x", word, 7)]).compute()
        pd.testing.assert_frame_equal(found.reset_index(drop=True), frame[of].compute().reset_index(drop=True))
    scichunk.write_fits_table(frame, tmp_path / "again.fits")
    np.testing.assert_array_equal(fits.getdata(tmp_path / "again.fits")["x"], values)


def test_columns_in_other_units_are_told(tmp_path):
    for number, unit in enumerate(("deg", "rad", None)):
        table = Table({"ra": [1.0], "dec": [2.0]})
        table["ra"].unit = unit
        table.write(tmp_path / f"{number}.fits")
    with pytest.warns(DataWarning, match=r"the column 'ra' is in 'rad' here and in 'deg', in the first file.*1\.fits"):
        scichunk.read_table([tmp_path / "0.fits", tmp_path / "1.fits"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scichunk.read_table([tmp_path / "0.fits", tmp_path / "2.fits"])
        scichunk.read_table([tmp_path / "2.fits", tmp_path / "1.fits"])


def test_times_that_are_missing_at_both_ends_are_times(tmp_path):
    for unit in ("s", "d", "days"):
        columns = [fits.Column("t", "D", unit=f"{unit} since 2020-01-01", array=[np.nan, 1.0, 2.0, np.nan])]
        fits.BinTableHDU.from_columns(columns).writeto(tmp_path / f"{unit}.fits")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ds = xr.open_dataset(tmp_path / f"{unit}.fits", engine="fits")
            known = np.timedelta64(1, "s" if unit == "s" else "D")
            assert ds.t.dtype == "M8[ns]"
            assert ds.t.values[1] == np.datetime64("2020-01-01") + known
            assert np.isnat(ds.t.values[[0, 3]]).all()
