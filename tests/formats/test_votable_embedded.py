"""VOTables whose rows are a FITS or Parquet file: what the document says of them holds as it does for rows of its own."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError
from tests.votable_docs import binary, doc

# ---- nulls of VALUES

COLUMNS = {
    "whole": ("long", "", "3", "K", [3, 5, 3]),
    "single": ("float", "", "0.1", "E", [0.1, 2.5, 1.5]),
    "double": ("double", "", "2.5", "D", [1.5, 2.5, -1.0]),
    "cells": ("int", "2", "7", "2J", [[7, 1], [2, 3], [4, 7]]),
    "beyond": ("int", "", "70000", "I", [4464, 5, -1]),
    "negative": ("short", "", "-1", "B", [255, 0, 1]),
    "variable": ("double", "*", "9", "PD()", [[1.0, 9.0], [], [9.0]]),
    "variable integers": ("int", "*", "9", "PJ()", [[1, 9], [], [9]]),
    "plain": ("int", "", None, "J", [3, 5, 7]),
}
TYPES = {"K": pa.int64(), "E": pa.float32(), "D": pa.float64(), "J": pa.int32(), "I": pa.int16(), "B": pa.uint8()}
TYPES |= {"2J": pa.list_(pa.int32(), 2), "PD()": pa.list_(pa.float64()), "PJ()": pa.list_(pa.int32())}


def fields_of(columns):
    found = []
    for name, (datatype, size, null, _, _) in columns.items():
        values = "" if null is None else f'<VALUES null="{null}"/>'
        arraysize = f' arraysize="{size}"' if size else ""
        found.append(f'<FIELD name="{name}" datatype="{datatype}"{arraysize}>{values}</FIELD>')
    return "".join(found)


def in_fits(columns):
    made = []
    for name, (_, _, _, code, values) in columns.items():
        cells = values
        if code[0] == "P":
            cells = np.empty(len(values), object)
            cells[:] = [np.array(v, "f8" if code == "PD()" else "i4") for v in values]
        made.append(fits.Column(name, code, array=cells))
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(made)]).writeto(file)
    return binary(file.getvalue(), fields_of(columns), "FITS").encode()


def in_parquet(columns):
    file = io.BytesIO()
    pq.write_table(pa.table({n: pa.array(v, TYPES[code]) for n, (_, _, _, code, v) in columns.items()}), file)
    return binary(file.getvalue(), fields_of(columns), "PARQUET").encode()


def in_tabledata(columns):
    def text(value):
        return " ".join(map(str, value)) if isinstance(value, list) else str(value)

    columns = {n: c for n, c in columns.items() if n not in {"beyond", "negative"}}  # which have other types there
    rows = zip(*(values for *_, values in columns.values()), strict=True)
    texts = ("".join(f"<TD>{text(v)}</TD>" for v in row) for row in rows)
    return doc("".join(f"<TR>{t}</TR>" for t in texts), fields_of(columns)).encode()


@pytest.mark.parametrize("make", [in_fits, in_parquet, in_tabledata])
def test_nulls_of_values_are_null_in_all_doors(make):
    data = make(COLUMNS)
    expected = {
        "whole": [None, 5, None],
        "single": [None, 2.5, 1.5],
        "double": [1.5, None, -1.0],
        "cells": [[None, 1], [2, 3], [4, None]],
        "beyond": [4464, 5, -1],
        "negative": [255, 0, 1],
        "variable": [[1.0, None], [], [None]],
        "variable integers": [[1, None], [], [None]],
        "plain": [3, 5, 7],
    }
    frame = scichunk.read_votable(data).compute()
    ds = xr.open_dataset(io.BytesIO(data), engine="votable")
    from_frame, from_dataset = scichunk.to_qtable(scichunk.read_votable(data)), scichunk.to_qtable(ds)
    for name in frame.columns:
        array = frame[name].array.__arrow_array__()
        assert array.to_pylist()[1:] == expected[name][1:]
        assert array[0].as_py() == expected[name][0]
        single = scichunk.read_votable(data, columns=[name]).compute()
        assert single[name].array.__arrow_array__().to_pylist() == array.to_pylist()
        if name.startswith("variable"):
            found = [[None if v is None or np.isnan(v) else v for v in cell.tolist()] for cell in ds[name].values]
            assert found == [c or [] for c in expected[name]]
            continue
        wanted = np.array(expected[name], float)
        np.testing.assert_array_equal(ds[name], wanted)
        for table in (from_frame, from_dataset):
            values = np.ma.filled(np.ma.masked_array(table[name]).astype(float), np.nan)
            np.testing.assert_array_equal(values, wanted)
        raw = scichunk.from_votable(data, name).compute()
        if raw.dtype.kind == "f":
            np.testing.assert_array_equal(raw, wanted)
        else:
            np.testing.assert_array_equal(raw, COLUMNS[name][-1])
    assert len(scichunk.read_table(data, filters=[("whole", "==", 3)])) == 0
    assert scichunk.read_table(data, filters=[("double", ">", -5)]).compute().index.tolist() == [0, 2]


SCALED = b"TFORM2  = 'I       '".ljust(80) + b"TSCAL2  = 2".ljust(80) + b"END"


def test_nulls_of_values_beside_those_of_fits():
    file = io.BytesIO()
    columns = [
        fits.Column("a", "J", array=[3, 5, 7, 9], null=7),
        fits.Column("b", "I", array=[1, 3, 5, 2]),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(file)
    scaled = file.getvalue().replace(b"TFORM2  = 'I       '".ljust(80) + b"END".ljust(160), SCALED.ljust(240))
    fields = (
        '<FIELD name="a" datatype="int"><VALUES null="3"/></FIELD>'
        '<FIELD name="b" datatype="double"><VALUES null="6"/></FIELD>'
    )
    data = binary(scaled, fields, "FITS").encode()
    frame = scichunk.read_votable(data).compute()
    assert frame.a.isna().tolist() == [True, False, True, False]
    assert frame.b.isna().tolist() == [False, True, False, False]
    ds = xr.open_dataset(io.BytesIO(data), engine="votable")
    np.testing.assert_array_equal(ds.a, [np.nan, 5, np.nan, 9])
    np.testing.assert_array_equal(ds.b, [2, np.nan, 10, 4])
    assert scichunk.from_votable(data, "a").compute().tolist() == [7, 5, 7, 9]
    np.testing.assert_array_equal(scichunk.from_votable(data, "b"), [2, np.nan, 10, 4])


# ---- Parquet


def parquet(table, **options):
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    fields = "".join(f'<FIELD name="{name}" datatype="char" arraysize="*"/>' for name in table.schema.names)
    return file.getvalue(), fields


def no_text(kind, values):
    """An array of texts, one of which is none."""
    raw = pa.array(
        [v.encode("latin-1") for v in values], pa.large_binary() if kind == pa.large_string() else pa.binary()
    )
    return pa.Array.from_buffers(kind, len(raw), raw.buffers())


@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_texts_of_parquet_that_are_no_texts(kind, dictionary):
    values = [f"text {i % 7}" for i in range(20_000)]
    values[15_005] = "\xff"
    content, fields = parquet(
        pa.table({"n": pa.array(values), "a": no_text(kind, values)}), use_dictionary=dictionary, row_group_size=10_000
    )
    data = binary(content, fields, "PARQUET").encode()
    for read in (
        lambda: scichunk.read_votable(data).compute(),
        xr.open_dataset(io.BytesIO(data), engine="votable").a.load,
        lambda: scichunk.from_votable(data, "a").compute(),
        lambda: scichunk.read_table(data, filters=[("a", "==", "x")]).compute(),
    ):
        with pytest.raises(FormatError, match="no UTF-8") as caught:
            read()
        assert "row 15005, column 'a'" in caught.value.part
        assert caught.value.url
    assert len(scichunk.read_votable(data, columns=["n"]).compute()) == 20_000
    first = scichunk.read_votable(data, blocksize=1000).get_partition(0).compute()
    assert first.a.tolist() == values[: len(first)]


def test_texts_within_lists_of_parquet_that_are_no_texts():
    lists = pa.ListArray.from_arrays([0, 1, 2], no_text(pa.string(), ["a", "\xff"]))
    content, fields = parquet(pa.table({"a": lists}))
    with pytest.raises(FormatError, match="no UTF-8") as caught:
        scichunk.read_votable(binary(content, fields, "PARQUET").encode()).compute()
    assert "column 'a'" in caught.value.part


def test_columns_of_parquet_in_another_order_than_the_fields():
    content, _ = parquet(pa.table({"a": [1, 2], "s": ["x", "y"]}))
    fields = '<FIELD name="s" datatype="char" arraysize="*" unit="m"/><FIELD name="a" datatype="long"/>'
    frame = scichunk.read_votable(binary(content, fields, "PARQUET").encode())
    assert scichunk.columns(frame).units == {"s": "m"}
    assert frame.compute().to_dict("list") == {"a": [1, 2], "s": ["x", "y"]}


def test_names_of_parquet_that_are_no_texts():
    content, fields = parquet(pa.table({"name": ["x"]}))
    with pytest.raises(FormatError, match="not readable"):
        scichunk.read_votable(binary(content.replace(b"name", b"\xffame"), fields, "PARQUET").encode())


NAMES = pa.dictionary(pa.int8(), pa.string())
DICTIONARIES = {
    "text": (NAMES, ["x", "y", None, "x"]),
    "bytes": (pa.dictionary(pa.int32(), pa.binary()), [b"x", b"\xff", b"x", b""]),
    "list": (pa.list_(NAMES), [["x", "y"], [], None, ["x"]]),
    "record": (pa.struct([("k", NAMES), ("n", pa.int64())]), [{"k": "x", "n": 1}] * 4),
    "records": (pa.list_(pa.struct([("k", NAMES)])), [[{"k": "x"}], [], [{"k": "y"}] * 2, None]),
}


@pytest.mark.parametrize("which", DICTIONARIES)
def test_dictionaries_of_parquet_are_a_way_to_store_values(which):
    kind, values = DICTIONARIES[which]
    content, fields = parquet(pa.table({"a": pa.array(values, kind)}))
    data = binary(content, fields, "PARQUET").encode()
    frame = scichunk.read_votable(data)
    assert "dictionary" not in str(frame.a.dtype)
    assert frame.compute().a.array.__arrow_array__().to_pylist() == values
    table = scichunk.to_qtable(frame)
    assert len(table) == 4
    ds = xr.open_dataset(io.BytesIO(data), engine="votable").load()
    if which == "text":
        assert table["a"].tolist() == ds.a.values.tolist() == values
    assert len(ds.a) == 4


def test_dictionaries_of_frames_are_no_obstacle():
    import pandas as pd

    frame = pd.DataFrame({"a": pd.Series(["x", "y", "x"], dtype=pd.ArrowDtype(NAMES))})
    assert scichunk.to_qtable(frame)["a"].tolist() == ["x", "y", "x"]


FAR = {
    "timestamp": (pa.timestamp("us"), 2**62),
    "negative": (pa.timestamp("ms"), -(2**61)),
    "date": (pa.date32(), 2**31 - 1),
    "duration": (pa.duration("s"), 2**62),
    "list": (pa.list_(pa.timestamp("us")), [2**62]),
}


@pytest.mark.parametrize("which", FAR)
def test_times_of_parquet_that_python_cannot_hold(which):
    kind, value = FAR[which]
    array = pa.array([value], kind)
    content, fields = parquet(pa.table({"a": array, "b": ["x"]}))
    data = binary(content, fields, "PARQUET").encode()
    assert scichunk.read_votable(data).compute().b.tolist() == ["x"]
    ds = xr.open_dataset(io.BytesIO(data), engine="votable")
    np.testing.assert_array_equal(ds.b, ["x"])
    with pytest.raises(FormatError, match="column 'a' has a") as caught:
        ds.a.load()
    assert caught.value.url
