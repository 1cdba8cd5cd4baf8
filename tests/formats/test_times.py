"""Numbers with the unit of a time: decoded by xarray, of which some are no times."""

import io
import pickle

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.errors import DataWarning
from tests.fits_tables import columns, header, padded, table
from tests.votable_docs import doc

DAYS = "days since 1970-01-01"


def fits_table(values, unit=DAYS):
    return table(["1K"], columns(np.array(values, ">i8")), len(values), TUNIT1=unit)


def fits_image(values, unit=DAYS):
    cards = [("SIMPLE", True), ("BITPIX", -64), ("NAXIS", 1), ("NAXIS1", len(values)), ("BUNIT", unit)]
    return header(*cards) + padded(np.array(values, ">f8").tobytes())


def votable(values, unit=DAYS):
    rows = "".join(f"<TR><TD>{v}</TD></TR>" for v in values)
    return doc(rows, f'<FIELD name="c1" datatype="double" unit="{unit}"/>').encode()


MAKERS = {
    "table": (fits_table, "fits", "c1"),
    "image": (fits_image, "fits", "data"),
    "votable": (votable, "votable", "c1"),
}


def opened(make, values, unit=DAYS):
    """A variable, lazy and of dask."""
    function, engine, name = MAKERS[make]
    data = function(values, unit)
    yield xr.open_dataset(io.BytesIO(data), engine=engine)[name]
    yield xr.open_dataset(io.BytesIO(data), engine=engine, chunks={})[name]
    yield pickle.loads(pickle.dumps(xr.open_dataset(io.BytesIO(data), engine=engine)[name]))


@pytest.mark.parametrize("make", MAKERS)
def test_numbers_beyond_all_times_are_not_a_time(make):
    """xarray tries the first and the last one; what is between them must not be an error of a kind that nobody expects."""
    want = np.array(["1970-01-02", "NaT", "NaT", "2261-12-31", "1970-01-03"], "M8[ns]")
    for variable in opened(make, [1, 2**62, -(2**61), 106650, 2]):
        assert variable.dtype == want.dtype
        with pytest.warns(DataWarning, match=r"2 values of .* are beyond datetime64\[ns\].*NaT \["):
            np.testing.assert_array_equal(variable.to_numpy(), want)


@pytest.mark.parametrize("make", MAKERS)
def test_parts_beyond_all_times(make):
    for variable in opened(make, [1, 2**62, 3, 2]):
        with pytest.warns(DataWarning, match="1 values"):
            assert np.isnat(variable[1:2].to_numpy()).all()
        np.testing.assert_array_equal(variable[2:].to_numpy(), np.array(["1970-01-04", "1970-01-03"], "M8[ns]"))


@pytest.mark.parametrize("unit", ["s", "sec", "seconds", "h", "ms", "millisec", "d"])
def test_numbers_beyond_all_times_in_any_unit(unit):
    """xarray reads short units, and fails to write them."""
    for variable in opened("image", [1, 1e300, -1e300, 2], f"{unit} since 1970-01-01"):
        with pytest.warns(DataWarning, match="2 values"):
            found = variable.to_numpy()
        assert np.isnat(found[1:3]).all() and not np.isnat(found[[0, 3]]).any()


@pytest.mark.parametrize("make", ["image", "votable"])
def test_infinite_numbers_are_no_time(make):
    """Of one alone xarray makes the time that is counted from."""
    for variable in opened(make, [1, np.inf, -np.inf, 2]):
        for n in (1, 2):
            with pytest.warns(DataWarning, match="1 values"):
                assert np.isnat(variable[n : n + 1].to_numpy()).all()
        with pytest.warns(DataWarning, match="2 values"):
            assert np.isnat(variable.to_numpy()).tolist() == [False, True, True, False]


def test_dates_of_other_ages_keep_their_type():
    """The ends are dates before 1582, which are of cftime; a date of today among them is one too."""
    early = "days since 0500-01-01"
    for variable in opened("table", [1, 2**62, 547_000, 2], early):
        assert variable.dtype == object
        with pytest.warns(DataWarning, match="1 values of 'c1' are beyond all times"):
            found = variable.to_numpy()
        assert [type(v).__name__ for v in found] == [
            "DatetimeGregorian",
            "float",
            "DatetimeGregorian",
            "DatetimeGregorian",
        ]
        assert found[2].year == 1997


def test_durations_beyond_all_durations():
    with (
        xr.open_dataset(io.BytesIO(fits_table([1, 2**62, 2], "days")), engine="fits", decode_timedelta=True) as ds,
        pytest.warns(DataWarning, match="1 values of 'c1'"),
    ):
        found = ds["c1"].to_numpy()
    np.testing.assert_array_equal(found, np.array([1, "NaT", 2], "m8[D]"))


def test_numbers_beside_a_missing_one():
    """With a NaN among them xarray compares no number with its limits."""
    for variable in opened("image", [1.0, 1e300, np.nan, 1e9, 2.0]):
        with pytest.warns(DataWarning, match="2 values of 'data'"):
            found = variable.to_numpy()
        np.testing.assert_array_equal(found, np.array(["1970-01-02", "NaT", "NaT", "NaT", "1970-01-03"], "M8[ns]"))


def test_stacks_of_images_of_times(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.fits").write_bytes(fits_image([1.0, 1e300, 2.0]))
    stack = scichunk.open_stack([str(tmp_path / "a.fits"), str(tmp_path / "b.fits")])
    with pytest.warns(DataWarning, match="2 values of 'data'"):
        found = stack["data"].to_numpy()
    np.testing.assert_array_equal(found, np.array([["1970-01-02", "NaT", "1970-01-03"]] * 2, "M8[ns]"))


@pytest.mark.parametrize(
    "unit, options",
    [("days since 0500-01-01", {}), (DAYS, {"use_cftime": True}), ("days", {"decode_timedelta": True}), (DAYS, {})],
)
def test_times_of_a_stack_are_of_the_type_of_one_file(tmp_path, unit, options):
    paths = [tmp_path / f"{n}.fits" for n in range(2)]
    for n, path in enumerate(paths):
        path.write_bytes(fits_table([n, 5, 9], unit))
    each = [xr.open_dataset(path, engine="fits", **options).c1 for path in paths]
    stack = scichunk.open_stack(paths, hdu=1, **options).c1
    assert stack.dtype == each[0].dtype
    np.testing.assert_array_equal(stack.values, np.stack([v.values for v in each]))
