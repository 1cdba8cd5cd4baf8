"""Rows of TABLEDATA wherever blocks of the file end, and whatever prefix they have."""

import dask
import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.core.files import TableId
from scichunk.core.handles import open_file
from scichunk.sources import locate
from scichunk.testing import RangeServer
from tests.votable_docs import doc

NS = ' xmlns="http://www.ivoa.net/xml/VOTable/v1.3" xmlns:v="http://www.ivoa.net/xml/VOTable/v1.3"'


def numbered(count, prefix, other=None):
    """A table of numbered rows, of which some have another prefix."""
    cells = []
    for i in range(count):
        p = prefix if other is None or i % 3 else other
        cells.append(f"<{p}TR><{p}TD>{i}</{p}TD><{p}TD>{'x' * (i % 7)}</{p}TD></{p}TR>\n")
    fields = '<FIELD name="i" datatype="int"/><FIELD name="s" datatype="char" arraysize="*"/>'
    return doc(
        "".join(cells), fields, p=prefix, ns=NS + ("" if prefix in {"", "v:"} else f' xmlns:{prefix[:-1]}="x"')
    ).encode()


@pytest.mark.parametrize("prefix", ["", "v:"])
def test_rows_by_number_from_the_first_of_a_block_on(tmp_path, prefix):
    path = tmp_path / "a.vot"
    path.write_bytes(numbered(25_000, prefix))
    table = open_file("votable", locate(path)).table(TableId(0))
    borders = table.rows.index._rows[1:-1]
    assert borders
    for first in borders:
        for start in (first - 1, first, first + 1):
            assert table.read_column("i", start, start + 3).tolist() == [start, start + 1, start + 2]
    lazy = xr.open_dataset(path, engine="votable")["i"]
    assert np.array_equal(lazy[borders[0] :].values, np.arange(borders[0], 25_000))


@pytest.mark.parametrize("kernel_bytes", [0, 1 << 40])
@pytest.mark.parametrize(
    ("prefix", "other"), [("", "v:"), ("v:", ""), ("v:", "w:"), ("a" * 40 + ":", None), ("", "b" * 60 + ":")]
)
def test_rows_of_other_prefixes_are_rows(prefix, other, kernel_bytes, tmp_path):
    count = 12_000
    document = numbered(count, prefix, other)
    path = tmp_path / "a.vot"
    path.write_bytes(document)
    with scichunk.options.set(kernel_bytes=kernel_bytes, scan_bytes=1000), dask.config.set(scheduler="synchronous"):
        assert scichunk.read_votable(path, blocksize=50_000).compute()["i"].tolist() == list(range(count))
        column = scichunk.from_votable(path, "i", chunks=4000)
        assert column[3997:4003].compute().tolist() == list(range(3997, 4003))
        assert column.shape == (count,)
        with RangeServer({"a.vot": document}) as server:
            found = scichunk.read_votable(server.url("a.vot"), blocksize=200_000).compute()
        assert found["i"].tolist() == list(range(count))


def test_a_table_with_a_prefix_whose_rows_have_none():
    document = doc(
        "", '<FIELD name="i" datatype="int"/>', p="v:", ns=NS, body="<v:TABLEDATA><TR><TD>1</TD></TR></v:TABLEDATA>"
    )
    assert scichunk.read_votable(document.encode()).compute()["i"].tolist() == [1]
