"""What writers of tables are given: names and values of any kind are written as they are, or refused with the column's name."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError, ScichunkError, UnsupportedFeature

WRITERS = {
    "fits": (scichunk.write_fits_table, scichunk.read_fits_table),
    "votable": (scichunk.write_votable, scichunk.read_votable),
}


@pytest.fixture(params=WRITERS)
def back(request, tmp_path):
    """Writes a table, and gives what is read of it."""
    write, read = WRITERS[request.param]

    def there_and_back(obj):
        write(obj, tmp_path / "x", overwrite=True)
        return read(tmp_path / "x").compute()

    return there_and_back


def test_times_with_a_zone_are_written_as_utc(tmp_path):
    moments = pd.to_datetime(["2024-07-01 12:00:00.5", "2024-01-01 12:00:00.5"]).tz_localize("Europe/Berlin")
    scichunk.write_votable(pd.DataFrame({"t": moments, "plain": moments.tz_localize(None)}), tmp_path / "t.vot")
    found = scichunk.read_votable(tmp_path / "t.vot").compute()
    assert (pd.to_datetime(found.t, utc=True) == moments).all()
    assert found.t[0].startswith("2024-07-01T10:00:00.5") and found.t[0].endswith("Z")
    assert found.plain[0].startswith("2024-07-01T12:00:00.5") and not found.plain[0].endswith("Z")


@pytest.mark.parametrize("names", [[0, 1], [("a", "b"), ("c", "d")], [None, "a"], [1.5, 2]])
def test_names_of_columns_that_are_no_texts(back, names):
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=pd.Index(names, tupleize_cols=False))
    found = back(frame)
    assert list(found.columns) == [str(name) for name in frame.columns]
    assert found.to_numpy().tolist() == [[1, 2], [3, 4]]


def test_named_indexes_are_columns(back):
    frame = pd.DataFrame({"v": [1, 2]}, index=pd.MultiIndex.from_tuples([(1, "x"), (3, "y")], names=["p", 5]))
    found = back(frame)
    assert found[["p", "5", "v"]].to_numpy().tolist() == [[1, "x", 1], [3, "y", 2]]
    assert back(frame.reset_index(5, drop=True).rename_axis(7))["7"].tolist() == [1, 3]


@pytest.mark.parametrize(
    "values",
    [
        np.array([b"ab", b"\xff"]), np.array([1, 2], "g"), np.array([1, 2], "G"), np.zeros(2, "V3"), np.array([1, "a"], object),
        np.array([{}, 1.5], object),
    ],
)  # fmt: skip
def test_values_that_have_no_form_are_told_with_their_column(back, values):
    with pytest.raises(ScichunkError, match="column 'a'"):
        back(xr.Dataset({"a": ("row", values)}))


def test_frames_whose_values_have_no_form(back):
    with pytest.raises(UnsupportedFeature, match="column d"):
        back(pd.DataFrame({"d": [1, "a"]}))


@pytest.mark.parametrize(
    "make",
    [
        lambda t: xr.Dataset({"a": ("row", np.array(t))}),
        lambda t: xr.Dataset({"a": ("row", np.array(t, object))}),
        lambda t: xr.Dataset({"a": (("row", "c"), np.array(t)[:, None])}),
        lambda t: pd.DataFrame({"a": t}),
        lambda t: pa.table({"a": pa.array(t, pa.large_string())}),
    ],
)
def test_texts_with_a_nul_are_refused(back, make):
    back(make(["ab", "c"]))
    with pytest.raises(FormatError, match=r"NUL.*column 'a'"):
        back(make(["a\0b", "c"]))


def test_stored_values_that_are_still_to_be_scaled(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "I", array=np.array([1, 2, 3], "i2"))])
    table.header["TSCAL1"] = 0.5
    table.writeto(tmp_path / "s.fits")
    stored = xr.open_dataset(tmp_path / "s.fits", engine="fits", mask_and_scale=False)
    scichunk.write_fits_table(stored, tmp_path / "x.fits")
    assert fits.getdata(tmp_path / "x.fits")["a"].tolist() == [0.5, 1, 1.5]
    with pytest.raises(UnsupportedFeature, match="mask_and_scale=True"):
        scichunk.write_votable(stored, tmp_path / "x.vot")
    assert not (tmp_path / "x.vot").exists()
    scichunk.write_votable(xr.open_dataset(tmp_path / "s.fits", engine="fits"), tmp_path / "x.vot")
    assert scichunk.read_votable(tmp_path / "x.vot").compute().a.tolist() == [0.5, 1, 1.5]
