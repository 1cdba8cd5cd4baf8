"""VOTables that are sound, but seldom seen: what changed values, or lost them, without anybody being told."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import scichunk
from scichunk.adapters.opening import open_any
from scichunk.errors import FormatError
from scichunk.formats.votable import file as votable_file
from scichunk.formats.votable.rows import tabledata
from tests.fits_tables import columns, table
from tests.votable_docs import doc, one

LATIN = '<?xml version="1.0" encoding="iso-8859-1"?>'
LOGICALS = table(["1L", "1J"], columns(np.frombuffer(b"T\0F", "u1"), np.array([1, 2, 3], ">i4")), 3)


def read(document, **options):
    content = document.encode() if isinstance(document, str) else document
    return scichunk.read_votable(content, **options).compute()


def values(document, **options):
    return [None if v is pd.NA else v for v in read(document, **options)["a"]]


@pytest.mark.parametrize("kernel_bytes", [0, 1 << 30], ids=["kernels", "small"])
def test_references_in_documents_of_latin_1(kernel_bytes):
    """They stand for characters beyond Latin-1, too, and came out as the bytes of their UTF-8 where a cell nearby had such a byte."""
    cells = "h\xe9", "&#8364;&#233;", "\xe9&amp;\xe9", "&#x1F600;"
    content = one("char", *cells, arraysize="*", declaration=LATIN).encode("latin-1")
    with scichunk.options.set(kernel_bytes=kernel_bytes):
        assert values(content) == ["h\xe9", "\u20ac\xe9", "\xe9&\xe9", "\U0001f600"]


@pytest.mark.parametrize("text", ["+-infinity", "--Infinity", "-+INFINITY", "infinity+"])
def test_infinity_with_more_than_one_sign_is_no_number(text):
    assert values(one("double", text, "-Infinity", "1")) == [None, -np.inf, 1]


def test_rows_without_cells_at_the_end_of_a_piece():
    """What came after them was taken up five bytes too late, so that rows were lost or markup was torn."""
    rows, empty, last = "<TR><TD>1</TD></TR>" * 1000, "<TR/>", "<TR/><TR><TD>2</TD></TR>"
    body = rows.ljust((1 << 20) - len(empty)) + empty + last
    found = values(doc(body, '<FIELD name="a" datatype="int"/>'), on_error="null", blocksize=None)
    assert found[-4:] == [1, None, None, 2]
    assert len(found) == 1003


def test_a_null_beyond_single_precision_is_not_infinity():
    document = one("float", "inf", "3", extra='<VALUES null="1e99"/>')
    assert values(document) == [np.inf, 3]


@pytest.mark.parametrize("cause", ["long", "cut"])
def test_undefined_logicals_of_fits_data(tmp_path, monkeypatch, cause):
    """Where nobody looked for them, or could, they were false."""
    (tmp_path / "t.fits").write_bytes(LOGICALS if cause == "long" else LOGICALS.rstrip(b"\0")[:-1])
    fields = '<FIELD name="a" datatype="boolean"/><FIELD name="b" datatype="int"/>'
    path = tmp_path / "t.vot"
    path.write_text(doc(fields=fields, body='<FITS extnum="1"><STREAM href="t.fits"/></FITS>'))
    if cause == "long":
        monkeypatch.setattr(votable_file, "_SEARCHED_BYTES", 0)
    with scichunk.options.set(scan_bytes=0 if cause == "long" else 1 << 20):
        found = xr.open_dataset(path, engine="votable").a
        assert found.dtype == bool
        with pytest.raises(FormatError, match="'a' has nulls and declares no value"):
            found[:2].load()
        assert found[:1].to_numpy().tolist() == [True]


def test_partitions_are_not_more_than_anybody_can_hold(monkeypatch):
    monkeypatch.setattr(tabledata, "MOST_PARTITIONS", 100)
    file = open_any("votable", doc("<TR><TD>1</TD></TR>" * 60, '<FIELD name="a" datatype="int"/>').encode()).file
    table = file.table(file.find_table())
    table.rows.index._starts[-1] = 0  # as if nobody had counted, so that partitions are spans of bytes
    assert len(table.partitions(1)) == 100
