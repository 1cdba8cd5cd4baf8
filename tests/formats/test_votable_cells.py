"""Cells of TABLEDATA that cannot be read, and those in base64."""

import base64
import io
import struct
import time

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.errors import FormatError, LimitExceeded
from scichunk.formats.votable.rows import tabledata
from tests.votable_docs import doc, one

pytestmark = pytest.mark.filterwarnings("ignore::scichunk.errors.DataWarning")


def plain(value):
    return [plain(v) for v in value] if isinstance(value, list | tuple | np.ndarray) else value


def cells(document, **more):
    found = scichunk.read_votable(document.encode(), **more).compute().iloc[:, 0]
    return plain(found.array.__arrow_array__().to_pylist())


# ---- what becomes null


@pytest.mark.parametrize("kernel_bytes", [0, 1 << 40])
@pytest.mark.parametrize(
    ("datatype", "arraysize", "bad", "good", "value"),
    [
        ("bit", "4", "01x1", "0101", [False, True, False, True]),
        ("bit", "*", "1 0 z", "10", [True, False]),
        ("bit", "2x*", "101", "10", [[True, False]]),
        ("int", "2x*", "1 2 3", "1 2", [[1, 2]]),
        ("floatComplex", None, "1 2 3", "1 2", {"real": 1.0, "imag": 2.0}),
        ("doubleComplex", "*", "1 2 3", "1 2", [{"real": 1.0, "imag": 2.0}]),
    ],
)
def test_cells_that_cannot_be_read_are_null_on_demand(datatype, arraysize, bad, good, value, kernel_bytes):
    document = one(datatype, good, bad, good, arraysize=arraysize)
    with scichunk.options.set(kernel_bytes=kernel_bytes):
        with pytest.raises(FormatError, match=r"on_error='null' reads it as null.*row 1\b"):
            cells(document)
        assert cells(document, on_error="null") == [value, None, value]


def test_many_elements_that_cannot_be_read_take_linear_time():
    document = one("int", *["x x x x"] * 50_000, arraysize="*")
    begun = time.perf_counter()
    assert cells(document, on_error="null")[:2] == [[None] * 4] * 2
    assert time.perf_counter() - begun < 30


def test_empty_cells_of_long_arrays_are_refused_before_they_are_made(monkeypatch):
    """To open a document as a dataset means to look for nulls, which took gigabytes for a few kB."""
    fields = '<FIELD name="a" datatype="int" arraysize="100000"/><FIELD name="b" datatype="int"/>'
    document = doc("<TR><TD/><TD>1</TD></TR>" * 1000, fields).encode()
    converted = []
    convert = tabledata.convert_text
    monkeypatch.setattr(tabledata, "convert_text", lambda *given: converted.append(given[0].name) or convert(*given))
    with scichunk.options.set(max_chunk_bytes=1 << 26):
        ds = xr.open_dataset(io.BytesIO(document), engine="votable")
        assert ds.sizes == {"row": 1000, "a_1": 100_000}
        with pytest.raises(LimitExceeded, match="max_chunk_bytes"):
            scichunk.read_votable(document).compute()
        assert set(converted) == {"b"}
        assert ds["b"].values.sum() == 1000


# ---- base64


@pytest.mark.parametrize(
    ("datatype", "arraysize", "data", "value"),
    [
        ("int", None, struct.pack(">i", -9), None),
        ("int", "2", struct.pack(">2i", -9, 5), [None, 5]),
        ("boolean", "3", b"T?F", [True, None, False]),
        ("boolean", None, b" ", None),
        ("char", "3x2", b"ab cd ", ["ab", "cd"]),
        ("char", "3x*", struct.pack(">i", 2) + b"a\0\0cd ", ["a", "cd"]),
        ("unicodeChar", "3x2", "a".ljust(3, "\0").encode("utf-16-be") + "cd ".encode("utf-16-be"), ["a", "cd"]),
        ("char", "*", struct.pack(">i", 3) + b"a b", "a b"),
        ("floatComplex", None, struct.pack(">2f", 1, 2), {"real": 1.0, "imag": 2.0}),
    ],
)
def test_cells_in_base64(datatype, arraysize, data, value):
    size = f' arraysize="{arraysize}"' if arraysize else ""
    field = f'<FIELD name="a" datatype="{datatype}"{size}><VALUES null="-9"/></FIELD>'
    row = f'<TR><TD encoding="base64">{base64.b64encode(data).decode()}</TD></TR>'
    assert cells(doc(row * 2, field)) == [value, value]


# ---- arrays of texts


@pytest.mark.parametrize(
    ("arraysize", "cells_", "values"),
    [
        (
            "2x3",
            ["abcdef", "abc", "", "a b ", "abcdefgh"],
            [["ab", "cd", "ef"], ["ab", "c", ""], None, ["a", "b", ""], ["ab", "cd", "ef"]],
        ),
        ("2x*", ["abc", ""], [["ab", "c"], []]),
        ("1x2x*", ["\u00e9bc", "", "a"], [[["\u00e9", "b"], ["c", ""]], [], [["a", ""]]]),
    ],
)
def test_arrays_of_texts(arraysize, cells_, values):
    assert cells(one("char", *cells_, arraysize=arraysize)) == values


def test_many_texts_that_are_not_there_take_no_time_of_their_own():
    document = one("char", *[""] * 2000, arraysize="1x4000")
    begun = time.perf_counter()
    assert cells(document)[:2] == [None, None]
    assert time.perf_counter() - begun < 10
    with scichunk.options.set(max_chunk_bytes=1 << 20), pytest.raises(LimitExceeded, match="max_chunk_bytes"):
        cells(document)
