"""Tables that are seldom written: what became of their values without anybody being told."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError, MetadataWarning, UnsupportedFeature
from tests.votable_docs import doc, one


def test_columns_of_one_name_keep_their_values_in_another_order(tmp_path):
    fields = '<FIELD name="x" datatype="int"/><FIELD name="x" datatype="int"/>'
    (tmp_path / "a.vot").write_text(doc("<TR><TD>1</TD><TD>2</TD></TR>", fields))
    given = xr.open_dataset(tmp_path / "a.vot", engine="votable")
    for names in (["x_2", "x"], ["x_2"], ["x", "x_2"]):
        scichunk.write_votable(given[names], tmp_path / "b.vot", overwrite=True)
        found = scichunk.read_votable(tmp_path / "b.vot").compute()
        assert {n: found[n].tolist() for n in found} == {n: given[n].to_numpy().tolist() for n in names}


@pytest.mark.parametrize(
    ("datatype", "dtype"), [("int", "i4"), ("double", "f8"), ("float", "f4"), ("unsignedByte", "u1")]
)
def test_values_that_were_declared_to_be_null_stay_values(tmp_path, datatype, dtype):
    """A column that is replaced may hold what the FIELD of the file calls null, which would be null when it is read again."""
    (tmp_path / "a.vot").write_text(one(datatype, "1", "99", extra='<VALUES null="99"/>'))
    given = xr.open_dataset(tmp_path / "a.vot", engine="votable")

    def returned(dataset):
        scichunk.write_votable(dataset, tmp_path / "b.vot", overwrite=True)
        return [None if v is pd.NA else v for v in scichunk.read_votable(tmp_path / "b.vot").compute()["a"]]

    assert returned(given.assign(a=("row", np.array([5, 99], dtype)))) == [5, 99]
    same = given.copy(deep=True)
    same["a"][1] = 99  # which leaves the encoding
    assert returned(same) == [1, 99]
    assert pd.isna(returned(given)[1])
    assert 'null="99"' in (tmp_path / "b.vot").read_text()


def test_a_value_that_also_stands_for_null_elements_is_refused(tmp_path):
    cells = np.array([np.array([1, 5]), np.array([None, 7, 8], object)], object)
    given = xr.Dataset({"a": ("row", cells)})
    given.a.encoding["null"] = "5"
    with pytest.raises(FormatError, match="5 would become null"):
        scichunk.write_votable(given, tmp_path / "a.vot")
    given.a.encoding["null"] = "6"
    scichunk.write_votable(given, tmp_path / "a.vot")
    assert [list(v) for v in scichunk.read_votable(tmp_path / "a.vot").compute()["a"]] == [[1, 5], [None, 7, 8]]


def test_a_null_among_the_values_of_a_dictionary(tmp_path):
    texts = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["x", None]))
    scichunk.write_votable(pa.table({"a": texts}), tmp_path / "a.vot")
    assert scichunk.read_votable(tmp_path / "a.vot").compute()["a"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([int(np.datetime64("40000-01-01", "s").astype(int))], pa.timestamp("s")),
        pa.array([1 << 62], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([-(1 << 62)], pa.timestamp("us")),
        pa.array([10**9], pa.date32()),
        pa.array([10**17], pa.date64()),
        pa.array([10**9], pa.time32("s")),
        pa.array([[0, 10**15]], pa.list_(pa.timestamp("s"))),
    ],
    ids=["seconds", "zone", "early", "days", "milliseconds", "time", "list"],
)
def test_times_that_arrow_writes_as_others(tmp_path, times):
    with pytest.raises(FormatError, match="have no form in VOTable"):
        scichunk.write_votable(pa.table({"a": times}), tmp_path / "a.vot")
    assert not (tmp_path / "a.vot").exists()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_all_units_are_written(tmp_path, unit):
    times = pa.array(np.array(["2000-01-01T12:00:00", "NaT"], f"M8[{unit}]"))
    table = pa.table({"a": times, "b": times.cast(pa.timestamp(unit, "UTC"))})
    scichunk.write_votable(table, tmp_path / "a.vot")
    found = scichunk.read_votable(tmp_path / "a.vot").compute()
    assert found.isna().to_numpy().tolist() == [[False, False], [True, True]]
    assert [t[:19] for t in found.iloc[0]] == ["2000-01-01T12:00:00"] * 2


def test_times_at_both_ends_are_written(tmp_path):
    times = np.array(["-9999-01-01", "0001-01-01", "9999-12-31T23:59:59"], "M8[s]")
    scichunk.write_votable(xr.Dataset({"a": ("row", times)}), tmp_path / "a.vot")
    assert scichunk.read_votable(tmp_path / "a.vot").compute()["a"].tolist() == [
        "-9999-01-01T00:00:00",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59",
    ]


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_scaled_integers_are_written_with_their_scale(tmp_path, dtype):
    """That of integers that have a TZERO of their own was lost."""
    attrs = {"scale_factor": 0.5, "add_offset": 10.0, "_FillValue": 2}
    given = xr.Dataset({"a": ("row", np.array([1, 2, 100], dtype), attrs)})
    scichunk.write_fits_table(given, tmp_path / "a.fits")
    found = scichunk.read_fits_table(tmp_path / "a.fits").compute()["a"]
    np.testing.assert_array_equal(found.to_numpy(float, na_value=np.nan), [10.5, np.nan, 60])


def test_scaled_integers_of_64_bits_without_sign_have_no_form(tmp_path):
    given = xr.Dataset({"a": ("row", np.array([1, 2], "u8"), {"scale_factor": 0.5})})
    with pytest.raises(UnsupportedFeature, match="scale them"):
        scichunk.write_fits_table(given, tmp_path / "a.fits")


# ---- attributes


@pytest.mark.parametrize("value", ["text", "", 5, 1.5], ids=repr)
@pytest.mark.parametrize("length", [65, 66, 68, 100])
def test_long_names_of_attributes_in_fits(tmp_path, length, value):
    """Beyond 65 characters they have no card, and those that astropy made left a file in which nobody found a table."""
    name = "k" * length
    given = xr.Dataset({"a": ("row", np.array([1, 2], "i4"))}, attrs={name: value})
    path = tmp_path / "a.fits"
    if length > 65:
        with pytest.warns(MetadataWarning, match="has no form in a FITS header"):
            scichunk.write_fits_table(given, path)
    else:
        scichunk.write_fits_table(given, path)
    assert scichunk.read_fits_table(path).compute()["a"].tolist() == [1, 2]
    with fits.open(path) as file:
        found = file[1].header.get(name)
    if length > 65 or _has_card(name, value):
        assert found == (value if length <= 65 else None)


def _has_card(name, value):
    """Whether this astropy makes a card that it reads: the oldest has none for a text where a number still fits."""
    try:
        return fits.Card.fromstring(str(fits.Card(name, value))).value == value
    except ValueError:
        return False


def test_complex_attributes_that_are_not_finite_have_no_card(tmp_path):
    given = xr.Dataset({"a": ("row", np.array([1], "i4"))}, attrs={"KEY": complex(np.nan, 1)})
    with pytest.warns(MetadataWarning, match="'KEY' has no form"):
        scichunk.write_fits_table(given, tmp_path / "a.fits")


@pytest.mark.parametrize("write", [scichunk.write_fits_table, scichunk.write_votable], ids=["fits", "votable"])
@pytest.mark.parametrize(
    "attrs",
    [
        {("a",): 1},
        {5: "x"},
        {"description": np.array([1, 2])},
        {"name": np.array([1, 2])},
        {"votable_header": "\ud800"},
    ],
    ids=["tuple", "number", "description", "name", "half a character"],
)
@pytest.mark.filterwarnings("ignore::scichunk.errors.MetadataWarning")
def test_attributes_of_odd_names_and_kinds(tmp_path, write, attrs):
    """They were errors of other classes than scichunk's."""
    given = xr.Dataset({"a": ("row", np.array([1, 2], "i4"), dict(attrs))}, attrs=attrs)
    write(given, tmp_path / "a")
    assert scichunk.read_table(tmp_path / "a").compute()["a"].tolist() == [1, 2]


@pytest.mark.parametrize("write", [scichunk.write_fits_table, scichunk.write_votable], ids=["fits", "votable"])
@pytest.mark.parametrize("name", ["scale_factor", "add_offset"])
@pytest.mark.parametrize("value", ["x", np.array([1, 2]), [1, 2]], ids=["text", "array", "list"])
def test_scales_that_are_no_numbers(tmp_path, write, name, value):
    given = xr.Dataset({"a": ("row", np.array([1, 2], "i4"), {name: value})})
    with pytest.raises(FormatError, match="column 'a'"):
        write(given, tmp_path / "a")


def test_a_null_of_text_among_the_encoding(tmp_path):
    """As of a scaled column of an ASCII table."""
    given = xr.Dataset({"a": ("row", np.array([1, 2], "i4"))})
    given.a.encoding["tnull"] = "***"
    scichunk.write_fits_table(given, tmp_path / "a.fits")
    assert scichunk.read_fits_table(tmp_path / "a.fits").compute()["a"].tolist() == [1, 2]


@pytest.mark.parametrize("write", [scichunk.write_fits_table, scichunk.write_votable], ids=["fits", "votable"])
def test_integers_of_python_beyond_64_bits(tmp_path, write):
    with pytest.raises(UnsupportedFeature, match="Arrow has no type"):
        write(pd.DataFrame({"a": pd.Series([1 << 70, 1], dtype=object)}), tmp_path / "a")
