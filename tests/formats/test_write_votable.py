"""Tables on their way into a VOTable: texts beyond 16 bits, odd names, frames and datasets of all kinds."""

import datetime as dt

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr

import scichunk
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature
from tests.votable_docs import binary, one


@pytest.fixture
def returned(tmp_path):
    """What is read of what was written, by column."""

    def write(table):
        path = tmp_path / "a.vot"
        scichunk.write_votable(table, path, overwrite=True)
        found = scichunk.read_votable(path).compute()
        return {name: [v.tolist() if isinstance(v, np.ndarray) else v for v in found[name]] for name in found}

    return write


# ---- texts


@pytest.mark.parametrize("kind", [pa.list_(pa.string(), 2), pa.list_(pa.string())], ids=["fixed", "variable"])
def test_arrays_of_texts_beyond_16_bits(returned, kind):
    texts = [["\U0001f600a", "b"], ["\u00e9", "zzz"], ["  x ", "\U0001f600\U0001f600"]]
    want = [[t.rstrip() for t in row] for row in texts]
    assert returned(pa.table({"s": pa.array(texts, kind)}))["s"] == want


def test_texts_of_a_declared_length_beyond_16_bits(returned):
    ds = xr.Dataset({"s": ("row", np.array(["\U0001f600\U0001f600", "b"], object))})
    ds["s"].encoding = {"votable_datatype": "unicodeChar", "arraysize": "2"}
    assert returned(ds)["s"] == ["\U0001f600\U0001f600", "b"]


@pytest.mark.parametrize(("datatype", "code"), [("char", "utf-8"), ("char", "latin-1"), ("unicodeChar", "utf-16-be")])
@pytest.mark.parametrize("arraysize", ["4x2", "4x*"])
def test_arrays_of_texts_in_streams_are_cut_by_bytes(datatype, code, arraysize):
    width = 2 if datatype == "unicodeChar" else 1
    texts = ["\u00e9a", "b \u00e9 "] if code != "utf-16-be" else ["\U0001f600a", "b "]
    count = (2).to_bytes(4, "big") if arraysize.endswith("*") else b""
    cell = count + b"".join(t.encode(code).ljust(4 * width, b"\0")[: 4 * width] for t in texts)
    field = f'<FIELD name="a" datatype="{datatype}" arraysize="{arraysize}"/>'
    found = scichunk.read_votable(binary(cell * 3, field).encode()).compute()["a"]
    want = [t.encode(code)[: 4 * width].decode(code).rstrip() for t in texts]
    assert [list(row) for row in found] == [want] * 3


def test_a_declared_length_far_beyond_the_texts_is_not_filled_up(tmp_path):
    ds = xr.open_dataset(one("char", "ab", "c", arraysize="1000000000").encode(), engine="votable")
    scichunk.write_votable(ds, tmp_path / "a.vot")
    assert (tmp_path / "a.vot").stat().st_size < 10_000
    assert scichunk.read_votable(tmp_path / "a.vot").compute()["a"].tolist() == ["ab", "c"]
    kept = xr.open_dataset(one("char", "ab", arraysize="20").encode(), engine="votable")
    scichunk.write_votable(kept, tmp_path / "b.vot")
    assert xr.open_dataset(tmp_path / "b.vot", engine="votable")["a"].encoding["arraysize"] == "20"


def test_one_long_text_among_many_short_ones_of_arrays(tmp_path):
    table = pa.table({"s": pa.array([["x" * 1_000_000, *[""] * 1000]], pa.list_(pa.string()))})
    with scichunk.options.set(max_chunk_bytes=1 << 26), pytest.raises(LimitExceeded, match="column 's'"):
        scichunk.write_votable(table, tmp_path / "a.vot")


def test_characters_that_xml_has_no_form_for_are_question_marks(returned):
    attrs = {"description": "x\x0cy", "units": "m\x01", "links": ["a\x02"], "options": ["q\x03=5"], "minimum": "\0"}
    found = returned(xr.Dataset({"a\x01<&\"'": ("row", [1, 2], attrs)}, attrs={"links": "\x04"}))
    assert found == {"a?<&\"'": [1, 2]}


# ---- values


def test_times_with_a_zone_are_written_in_utc(returned):
    noon = pa.array([dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)], pa.timestamp("s", "UTC"))
    assert returned(pa.table({"t": noon.cast(pa.timestamp("s", "Asia/Tokyo"))}))["t"] == ["2020-01-01T12:00:00Z"]
    assert returned(pa.table({"t": noon.cast(pa.timestamp("s"))}))["t"] == ["2020-01-01T12:00:00"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([dt.timedelta(1)]),
        pa.nulls(1, pa.month_day_nano_interval()),
        pa.array([{"real": 1, "imag": 2}]),
        pa.array([{"real": "x", "imag": "y"}]),
        pa.array([{"real": 1.0, "imag": 2.0}], pa.struct([("real", pa.float32()), ("imag", pa.float64())])),
    ],
    ids=lambda values: str(values.type),
)
def test_types_without_a_form(values, tmp_path):
    with pytest.raises(UnsupportedFeature, match=r"no form.*column 'a'"):
        scichunk.write_votable(pa.table({"a": values}), tmp_path / "a.vot")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [pa.list_(pa.int16(), 1), pa.list_(pa.list_(pa.int16(), 2), 1)], ids=str)
def test_cells_of_nulls_alone_are_no_null_cells(returned, kind):
    """An element that is null has no flag: a value stands for it, where it is all of its cell, too."""
    values = [[None], [0], None, [5]] if kind.value_type == pa.int16() else [[[None, None]], [[0, 1]], None, [None]]
    want = values if kind.value_type == pa.int16() else [[[None, None]], [[0, 1]], None, [[None, None]]]
    found = returned(pa.table({"a": pa.array(values, kind)}))["a"]
    assert [
        None if row is pd.NA else [v.tolist() if isinstance(v, np.ndarray) else v for v in row] for row in found
    ] == want


# ---- frames


def test_all_named_levels_of_an_index_are_columns(returned):
    index = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["x", None])
    assert returned(pd.DataFrame({"v": [5, 6]}, index=index))["x"] == [1, 2]
    index = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["x", "y"])
    assert returned(pd.DataFrame({"v": [5, 6]}, index=index)) == {"v": [5, 6], "x": [1, 2], "y": ["a", "b"]}


def test_names_of_columns_that_are_no_texts(returned):
    assert returned(pd.DataFrame([[1, 2.5]])) == {"0": [1], "1": [2.5]}


@pytest.mark.parametrize("values", [[1, "x"], [np.ones((2, 2))], [1 + 2j]], ids=["mixed", "matrices", "complex"])
def test_columns_of_frames_without_a_type(values, tmp_path):
    with pytest.raises(UnsupportedFeature, match="column"):
        scichunk.write_votable(pd.DataFrame({"a": values}), tmp_path / "a.vot")


@pytest.mark.parametrize("later", [{"a": [1.5]}, {"b": [1]}], ids=["type", "name"])
def test_partitions_that_differ(later, tmp_path):
    parts = [pd.DataFrame({"a": [1]}), pd.DataFrame(later)]
    frame = dd.from_map(lambda i: parts[i], [0, 1], meta=parts[0].iloc[:0])
    with pytest.raises(FormatError, match="a partition of the frame"):
        scichunk.write_votable(frame, tmp_path / "a.vot")


# ---- datasets


def ragged(*rows):
    cells = np.empty(len(rows), object)
    cells[:] = [None if row is None else np.asarray(row) for row in rows]
    return xr.Dataset({"a": ("row", cells)})


def test_arrays_of_several_types_have_one_that_holds_all(returned):
    assert returned(ragged([1, 2], [1.5], None, []))["a"] == [[1.0, 2.0], [1.5], pd.NA, []]


def test_arrays_that_begin_with_nulls(returned):
    rows = [np.array([None], object), None, np.array([True, None], object)]
    cells = np.empty(3, object)
    cells[:] = rows
    assert returned(xr.Dataset({"a": ("row", cells)}))["a"] == [[None], pd.NA, [True, None]]


def test_arrays_of_other_shapes_than_the_first(tmp_path):
    with pytest.raises(FormatError, match=r"shape \(2, 2\).*column 'a'"):
        scichunk.write_votable(ragged([1, 2], np.ones((2, 2)), [7, 8]), tmp_path / "a.vot")


def test_arrays_that_later_hold_other_values(tmp_path, monkeypatch):
    """Rows come in batches, of which the first says the type."""
    monkeypatch.setattr("scichunk.adapters.table_input._BATCH_BYTES", 1)
    with pytest.raises(FormatError, match=r"float64 with values that are no int64.*column 'a'"):
        scichunk.write_votable(ragged([1, 2], [1.5]), tmp_path / "a.vot")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [np.array([1, "x"], object), np.array([b"\xff"]), np.zeros(2, "longdouble")])
def test_variables_without_a_form(values, tmp_path):
    if values.dtype == np.float64:
        pytest.skip("long doubles are doubles here")
    with pytest.raises(FormatError, match=r"column 'a'"):
        scichunk.write_votable(xr.Dataset({"a": ("row", values)}), tmp_path / "a.vot")


@pytest.mark.parametrize("fill", [100_000, "x", 1.5])
def test_fill_values_that_are_none_of_the_type(returned, fill):
    assert returned(xr.Dataset({"a": ("row", np.array([1, 2], "i2"), {"_FillValue": fill})}))["a"] == [1, 2]
