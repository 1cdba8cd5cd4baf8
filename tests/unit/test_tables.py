import numpy as np
import pyarrow as pa
import pytest

from scichunk.core.files import ColumnId
from scichunk.core.selection import Span
from scichunk.core.tables import Column, Rows, unique_names
from scichunk.errors import FormatError, LimitExceeded
from scichunk.tables import arrow
from scichunk.tables.arrow import without_nan
from scichunk.tables.columns import ColumnArray
from scichunk.tables.nodes import cell_dims, table_info, table_node


class Memory:
    """A table in memory."""

    reader, codec, nbytes, row_group = "indexed", "memory", 80, 4

    def __init__(self, known=True):
        self.data = {"i": np.arange(10, dtype="i4"), "v": np.arange(60.0).reshape(10, 2, 3)}
        self.columns = tuple(Column(k, arrow.arrow_type(v.dtype, v.shape[1:]), v.dtype, v.shape[1:], {"units": "m"}) for k, v in self.data.items())  # fmt: skip
        self.n_rows = 10 if known else None
        self.schema = pa.schema([(c.name, c.type) for c in self.columns])
        self.attrs = {"a": 1}

    def count_rows(self):
        return 10

    def partitions(self, nbytes):
        return [Rows(0, 6), Rows(6, 10)]

    def read_rows(self, rows, columns=None):
        names = list(columns or self.data)
        arrays = [arrow.from_numpy(self.data[n][rows.start : rows.stop]) for n in names]
        return pa.RecordBatch.from_arrays(arrays, names)

    def read_column(self, name, start, stop, *, raw=False):
        return self.data[name][start:stop]


NUMBERS = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16"]


@pytest.mark.parametrize("dtype", [*NUMBERS, "U5", "S3"])
@pytest.mark.parametrize("cell", [(), (3,), (1,), (2, 3), (0,), (2, 0), (0, 2)])
def test_values_survive_arrow(dtype, cell):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2, (5, *cell)).astype(dtype) if dtype not in {"c8", "c16"} else rng.normal(size=(5, *cell)).astype(dtype) * (1 + 2j)  # fmt: skip
    values = values.astype(dtype)
    made = arrow.from_numpy(values)
    made.validate(full=True)
    assert made.type == arrow.arrow_type(values.dtype, cell)
    assert len(made) == 5
    column = Column("x", made.type, values.dtype, cell)
    back = arrow.to_numpy(made, column)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)
    sliced = arrow.to_numpy(made.slice(1, 3), column)
    np.testing.assert_array_equal(sliced, values[1:4])


@pytest.mark.parametrize("dtype", [n for n in NUMBERS if n != "f2"])  # which older pyarrow cannot fill
def test_masked_values_are_null_in_arrow(dtype):
    values, mask = np.ones((4, 2), dtype), np.array([[0, 1], [1, 1], [0, 0], [0, 0]], bool)
    made = arrow.from_numpy(values, mask)
    made.validate(full=True)
    assert [[v is None for v in row] for row in made.to_pylist()] == mask.tolist()
    column = Column(
        "x", made.type, values.dtype, (2,), null=values.dtype.type(0) if values.dtype.kind in "iu" else None
    )
    back = arrow.to_numpy(made, column)
    filled = back[mask]
    assert np.isnan(filled).all() if values.dtype.kind in "fc" else (filled == 0).all()
    assert (back[~mask] == 1).all()


def test_null_lists_become_null_values():
    kind = arrow.arrow_type(np.dtype("f8"), (2, 2))
    made = pa.array([[[1, 2], [3, 4]], None, [[5, 6], [7, None]]], kind)
    back = arrow.to_numpy(made, Column("x", kind, np.dtype("f8"), (2, 2)))
    np.testing.assert_array_equal(back, [[[1, 2], [3, 4]], [[np.nan] * 2] * 2, [[5, 6], [7, np.nan]]])


def test_variable_cells():
    made = arrow.make_lists(np.array([0, 2, 2, 3], "i4"), arrow.from_numpy(np.array([1.0, 2, 3])))
    made.validate(full=True)
    column = Column("x", made.type, np.dtype(object), None)
    assert [v.tolist() for v in arrow.to_numpy(made, column)] == [[1, 2], [], [3]]
    assert [v.tolist() for v in arrow.to_numpy(made.slice(1), column)] == [[], [3]]
    masked = arrow.make_lists(
        np.array([0, 2, 2, 3], "i4"), arrow.from_numpy(np.array([1.0, 2, 3])), np.array([False, True, False])
    )
    assert arrow.to_numpy(masked, column)[1] is None
    waves = arrow.make_lists(np.array([0, 1, 2], "i4"), arrow.from_numpy(np.array([1 + 2j, 3])))
    assert [v.tolist() for v in arrow.to_numpy(waves, column)] == [[1 + 2j], [3]]
    text = arrow.make_strings(np.array([0, 2, 2], "i4"), np.frombuffer("é".encode(), np.uint8), np.array([False, True]))
    assert text.to_pylist() == ["é", None]
    assert arrow.to_numpy(text, Column("t", text.type, np.dtype(object), None)).tolist() == ["é", None]


def test_names_are_made_unique():
    found = unique_names(["x", "", "x", "x_2", "x", "col2"])
    assert len(set(found)) == 6
    assert found[0] == "x"
    assert found[3] == "x_2"
    assert all(f.startswith(w) for f, w in zip(found, ["x", "col2", "x", "x_2", "x", "col2"], strict=True))


def test_columns_are_arrays():
    table = Memory()
    array = ColumnArray(table, "v")
    assert array.shape == (10, 2, 3)
    assert array.grid.chunk_shape == (4, 2, 3)
    np.testing.assert_array_equal(array.read((Span(2, 9, 3), Span(0, 2), Span(1, 3))), table.data["v"][2:9:3, :, 1:3])
    where = np.array([7, 0, 7])
    np.testing.assert_array_equal(array.read((where, Span(0, 2), Span(0, 3))), table.data["v"][where])
    np.testing.assert_array_equal(
        array.read_points({0: where}, {1: Span(0, 1), 2: Span(0, 3)}), table.data["v"][where, :1]
    )
    with pytest.raises(FormatError, match="no column 'z'; the table has i, v"):
        ColumnArray(table, "z")


def test_nodes_name_the_dimensions_of_cells():
    table = Memory()
    node = table_node(table, lambda name, raw: ColumnId(0, name, raw))
    assert [v.dims for v in node.arrays] == [("row",), ("row", "v_1", "v_2")]
    columns = [Column("v", pa.null(), np.dtype("f4"), (2,)), Column("v_1", pa.null(), np.dtype("f4"))]
    assert cell_dims(columns)["v"] == ("v_1_",)
    assert table_info(table, "/t", "t").shape == (10,)
    unknown = table_info(Memory(known=False), "/t", "t")
    assert unknown.shape == ()
    assert unknown.notes["rows"] == "not counted"


def test_columns_of_a_dataset_share_their_chunks(tmp_path):
    import xarray as xr

    from tests.votable_docs import doc

    rows = "".join(f"<TR><TD>{i}</TD><TD>x</TD><TD>{i}</TD></TR>" for i in range(1000))
    fields = "".join(
        f'<FIELD name="{n}" datatype="{d}"/>' for n, d in (("a", "long"), ("s", "char"), ("u", "unsignedByte"))
    )
    (tmp_path / "t.vot").write_text(doc(rows, fields))
    ds = xr.open_dataset(tmp_path / "t.vot", engine="votable", chunks={})
    assert dict(ds.chunksizes) == {"row": (1000,)}


def test_offsets_beyond_32_bits():
    assert arrow.offsets_of([2, 0, 3]).tolist() == [0, 2, 2, 5]
    assert arrow.offsets_of([]).tolist() == [0]
    most = np.iinfo(np.int32).max
    assert arrow.offsets_of([most]).tolist() == [0, most]
    with pytest.raises(LimitExceeded, match="blocksize"):
        arrow.offsets_of([most, 1])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_nan_is_null_wherever_an_array_begins(dtype):
    values = np.array([1, np.nan, 3, np.nan, 5, 6], dtype)
    whole = pa.array(values, mask=np.array([0, 0, 0, 0, 1, 0], bool))
    for first in range(len(values) + 1):
        part = pa.RecordBatch.from_arrays([whole.slice(first), pa.array(range(len(values) - first))], names=["x", "n"])
        found = without_nan(part).column(0)
        found.validate(full=True)
        assert found.to_pylist() == [1, None, 3, None, None, 6][first:]
        assert whole.slice(first).is_valid().to_pylist() == [True, True, True, True, False, True][first:]
