"""Nulls of integers that a document declares no value for, and domains that elements share."""

import base64
import io
import pickle

import dask
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr

import scichunk
from scichunk.errors import DataWarning, FormatError, MissingFile, UnsupportedFeature
from scichunk.testing import RangeServer
from tests.votable_docs import one


def raw(text):
    return text.encode()


INTEGERS = {"unsignedByte": "u1", "short": "i2", "int": "i4", "long": "i8"}


def dataset(data, **keywords):
    return xr.open_dataset(io.BytesIO(data) if isinstance(data, bytes) else data, engine="votable", **keywords)


def binary2(datatype, values, null):
    """A document of one column in BINARY2, whose flags say what is null."""
    dtype = np.dtype([("flag", "u1"), ("a", np.dtype(INTEGERS[datatype]).newbyteorder(">"))])
    rows = np.zeros(len(values), dtype)
    rows["a"], rows["flag"] = values, np.where(null, 0x80, 0)
    stream = base64.b64encode(rows.tobytes()).decode()
    return (
        f'<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="a" datatype="{datatype}"/><DATA><BINARY2>'
        f'<STREAM encoding="base64">{stream}</STREAM></BINARY2></DATA></TABLE></RESOURCE></VOTABLE>'
    ).encode()


@pytest.mark.parametrize("datatype", INTEGERS)
@pytest.mark.parametrize("serialization", ["TABLEDATA", "BINARY2"])
def test_integers_are_masked(datatype, serialization):
    text = raw(one(datatype, "1", "", "3")) if serialization == "TABLEDATA" else binary2(datatype, [1, 7, 3], [0, 1, 0])
    frame = scichunk.read_votable(text).compute()
    assert (frame.a.mean(), frame.a.isna().tolist()) == (2, [False, True, False])
    ds = dataset(text, chunks={})
    assert float(ds.a.mean()) == 2
    np.testing.assert_array_equal(ds.a, [1, np.nan, 3])
    stored = dataset(text, mask_and_scale=False)
    assert stored.a.dtype == INTEGERS[datatype]
    assert stored.a.values[1] == stored.a.attrs["_FillValue"] == ds.a.encoding["_FillValue"]
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(ds)).a, ds.a)


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_without_nulls_stay_integers(datatype):
    for text in (raw(one(datatype, "1", "2")), binary2(datatype, [1, 2], [0, 0])):
        assert dataset(text).a.dtype == INTEGERS[datatype]
        assert scichunk.from_votable(text, "a").dtype == INTEGERS[datatype]


@pytest.mark.parametrize("datatype", INTEGERS)
def test_the_value_for_null_is_one_that_no_row_has(datatype):
    info = np.iinfo(INTEGERS[datatype])
    values = [info.min, info.max if info.bits < 16 else 5, 0]
    ds = dataset(binary2(datatype, [*values, 0], [0, 0, 0, 1]))
    np.testing.assert_array_equal(ds.a, [*values, np.nan])
    ends = dataset(binary2(datatype, [info.min, info.max, 0, 9], [0, 0, 0, 1]))
    np.testing.assert_array_equal(ends.a, [info.min, float(info.max), 0, np.nan])


def test_where_every_value_occurs_the_column_becomes_floating_point():
    ds = dataset(binary2("unsignedByte", [*range(256), 0], [0] * 256 + [1]), mask_and_scale=False)
    assert ds.a.dtype == "f4"
    np.testing.assert_array_equal(ds.a, [*range(256), np.nan])


def test_cells_of_several_integers():
    text = raw(one("int", "1 2", "", "3 4", arraysize="2"))
    np.testing.assert_array_equal(dataset(text).a, [[1, 2], [np.nan, np.nan], [3, 4]])


def test_integers_of_parquet(tmp_path):
    pq.write_table(pa.table({"a": pa.array([1, None, 3], pa.int64())}), tmp_path / "d.parquet")
    (tmp_path / "d.vot").write_text(
        '<VOTABLE version="1.5"><RESOURCE><TABLE><FIELD name="a" datatype="long"/><DATA><PARQUET>'
        '<STREAM href="d.parquet"/></PARQUET></DATA></TABLE></RESOURCE></VOTABLE>'
    )
    np.testing.assert_array_equal(dataset(tmp_path / "d.vot").a, [1, np.nan, 3])


def test_long_remote_tables_are_not_looked_at_and_never_give_made_up_numbers():
    text = binary2("short", [1, 7, 3] * 10_000, [0, 1, 0] * 10_000)
    with RangeServer({"d.vot": text}) as server, scichunk.options.set(scan_bytes=1000):
        ds = dataset(server.url("d.vot"))
        assert ds.a.dtype == "i2"
        with pytest.raises(FormatError, match=r"has nulls and declares no value.*read_votable"):
            ds.a.load()
        assert scichunk.read_votable(server.url("d.vot")).a.mean().compute() == 2


def test_nulls_survive_a_copy_of_a_dataset(tmp_path):
    for number, datatype in enumerate(INTEGERS):
        ds = dataset(binary2(datatype, [1, 7, 3], [0, 1, 0]))
        scichunk.write_votable(ds, tmp_path / f"{number}.vot")
        assert scichunk.read_votable(tmp_path / f"{number}.vot").compute().a.isna().tolist() == [False, True, False]


def test_what_cannot_be_read_stands_in_the_way_of_nothing_else():
    from tests.votable_docs import doc

    fields = '<FIELD name="a" datatype="int"/><FIELD name="b" datatype="short"/><FIELD name="c" datatype="double"/>'
    cells = "<TR><TD>{}</TD><TD>{}</TD><TD>5</TD></TR>"
    ds = dataset(raw(doc(cells.format("bad", "") + cells.format(1, 2), fields)))
    np.testing.assert_array_equal(ds.b, [np.nan, 2])
    assert ds.c.values.tolist() == [5, 5]
    with pytest.raises(FormatError, match="'bad'"):
        ds.a.load()


# ---- VALUES ref

SHARED = """<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="b" datatype="int"><VALUES ref="n"/></FIELD>
<FIELD name="a" datatype="int"><VALUES ID="n" null="-9"><MIN value="1"/><MAX value="7"/><OPTION name="x" value="2"/></VALUES></FIELD>
<FIELD name="c" datatype="short"><VALUES ID="m" ref="n" null="5"/></FIELD><FIELD name="d" datatype="int"><VALUES ref="m"/></FIELD>
<FIELD name="e" datatype="int"><VALUES ref="gone" null="-9"/></FIELD><FIELD name="f" datatype="int"><VALUES ID="g" ref="g" null="-9"/></FIELD>
<DATA><TABLEDATA><TR>{}</TR><TR>{}</TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>""".format(
    "<TD>-9</TD>" * 6, "<TD>2</TD>" * 6
)


def test_domains_are_taken_over_as_a_whole():
    frame = scichunk.read_votable(raw(SHARED))
    assert frame.compute().isna().values.tolist() == [[True] * 6, [False] * 6]
    ds = dataset(raw(SHARED))
    for name in "abcd":
        said = {"minimum": "1", "maximum": "7", "options": ["2=x"]}
        assert scichunk.columns(frame)[name] == said
        assert ds[name].encoding["null"] == "-9"
        np.testing.assert_array_equal(ds[name], [np.nan, 2])
    assert ds.attrs["votable_warnings"] == [
        "e: VALUES refers to 'gone', which is not there",
        "f: VALUES refers to 'g', which is not there",
    ]


def test_domains_stay_where_the_element_is_not_written(tmp_path):
    ds = dataset(raw(SHARED))[["b", "d"]]
    scichunk.write_votable(ds, tmp_path / "b.vot")
    again = dataset(tmp_path / "b.vot")
    for name in "bd":
        assert again[name].attrs == ds[name].attrs
        np.testing.assert_array_equal(again[name], [np.nan, 2])


# ---- what is not there


@pytest.mark.parametrize("serialization", ["PARQUET", "FITS", "BINARY2", "BINARY"])
def test_missing_references_are_the_same_error_however_the_document_is_given(tmp_path, serialization):
    import fsspec

    text = (
        f'<VOTABLE version="1.5"><RESOURCE><TABLE><FIELD name="a" datatype="long"/><DATA><{serialization}>'
        f'<STREAM href="gone.bin"/></{serialization}></DATA></TABLE></RESOURCE></VOTABLE>'
    ).encode()
    (tmp_path / "d.vot").write_bytes(text)
    fsspec.filesystem("memory").pipe("/refs/d.vot", text)
    for target in (tmp_path / "d.vot", f"file://{tmp_path}/d.vot", "memory://refs/d.vot", text):
        with pytest.raises(MissingFile):
            scichunk.read_votable(target).compute()
    with RangeServer({"d.vot": text}) as server, pytest.raises(MissingFile):
        scichunk.read_votable(server.url("d.vot")).compute()


@pytest.mark.parametrize(
    "href", ["/etc/hostname", "../d.bin", "file:///etc/hostname", "http://127.0.0.1:9/d.bin", "a/../../d"]
)
def test_content_refers_to_nothing_elsewhere(href):
    text = (
        '<VOTABLE version="1.5"><RESOURCE><TABLE><FIELD name="a" datatype="long"/><DATA><BINARY>'
        f'<STREAM href="{href}"/></BINARY></DATA></TABLE></RESOURCE></VOTABLE>'
    ).encode()
    with pytest.raises(UnsupportedFeature, match="outside the folder or host"):
        scichunk.read_votable(text).compute()


def booleans_binary(values):
    """A document of one column in BINARY, which has no flags: ``?`` and NUL are null."""
    stream = base64.b64encode(values).decode()
    return (
        '<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="a" datatype="boolean"/><DATA><BINARY>'
        f'<STREAM encoding="base64">{stream}</STREAM></BINARY></DATA></TABLE></RESOURCE></VOTABLE>'
    ).encode()


@pytest.mark.parametrize(
    "text", [raw(one("boolean", "T", "?", "F")), booleans_binary(b"T?F"), booleans_binary(b"t\0f")]
)
def test_undefined_booleans_are_masked(tmp_path, text):
    ds = dataset(text, chunks={"row": 1})  # the type is that of the column, whatever the chunk
    assert ds.a.dtype == "f4"
    np.testing.assert_array_equal(ds.a, [1, np.nan, 0])
    assert float(ds.a.mean()) == 0.5
    stored = dataset(text, mask_and_scale=False).a
    assert (stored.dtype, stored.values.tolist(), stored.attrs["_FillValue"]) == (np.int8, [1, -1, 0], -1)
    assert scichunk.read_votable(text).compute().a.isna().tolist() == [False, True, False]
    with pytest.warns(DataWarning, match="become NaN"):
        np.testing.assert_array_equal(scichunk.from_votable(text, "a"), [1, np.nan, 0])
    ds.to_netcdf(tmp_path / "a.nc")
    np.testing.assert_array_equal(xr.open_dataset(tmp_path / "a.nc").a, ds.a)


@pytest.mark.parametrize("masked", [True, False])
def test_undefined_booleans_are_written_as_booleans(tmp_path, masked):
    ds = dataset(raw(one("boolean", "T", "?", "F")), mask_and_scale=masked)
    scichunk.write_votable(ds, tmp_path / "a.vot")
    scichunk.write_fits_table(ds, tmp_path / "a.fits")
    for frame in (scichunk.read_votable(tmp_path / "a.vot"), scichunk.read_fits_table(tmp_path / "a.fits")):
        assert str(frame.a.dtype) == "bool[pyarrow]"
        assert frame.compute().a.isna().tolist() == [False, True, False]
    found = scichunk.to_qtable(ds)["a"]
    assert (found.dtype, found.mask.tolist(), found.tolist()) == (np.bool_, [False, True, False], [True, None, False])


def test_booleans_without_nulls_stay_booleans():
    for text in (raw(one("boolean", "T", "F")), booleans_binary(b"TF")):
        assert dataset(text).a.values.tolist() == [True, False]
        assert scichunk.from_votable(text, "a").compute().dtype == bool


def test_undefined_booleans_of_parquet(tmp_path):
    pq.write_table(pa.table({"a": pa.array([True, None, False])}), tmp_path / "d.parquet")
    (tmp_path / "d.vot").write_text(
        '<VOTABLE version="1.5"><RESOURCE><TABLE><FIELD name="a" datatype="boolean"/><DATA><PARQUET>'
        '<STREAM href="d.parquet"/></PARQUET></DATA></TABLE></RESOURCE></VOTABLE>'
    )
    np.testing.assert_array_equal(dataset(tmp_path / "d.vot").a, [1, np.nan, 0])


def test_cells_of_several_booleans():
    np.testing.assert_array_equal(
        dataset(raw(one("boolean", "T F", "? T", "", arraysize="2"))).a, [[1, 0], [np.nan, 1], [np.nan] * 2]
    )


def test_long_remote_tables_give_no_made_up_booleans():
    text = booleans_binary(b"T?F" * 10_000)
    with RangeServer({"d.vot": text}) as server, scichunk.options.set(scan_bytes=1000):
        ds = dataset(server.url("d.vot"))
        with pytest.raises(FormatError, match=r"has nulls and declares no value.*read_votable"):
            ds.a.load()
        assert scichunk.read_votable(server.url("d.vot")).a.mean().compute() == 0.5


@pytest.mark.parametrize(
    ("datatype", "kind"), [("unsignedByte", "f4"), ("short", "f4"), ("int", "f8"), ("long", "f8"), ("boolean", "f4")]
)
def test_arrays_are_promoted(datatype, kind):
    with pytest.warns(DataWarning, match="they become NaN, and the others floating point"):
        array = scichunk.from_votable(raw(one(datatype, "1", "", "1")), "a", chunks=1)
    assert array.dtype == kind
    np.testing.assert_array_equal(array, [1, np.nan, 1])


@pytest.mark.parametrize("version", ["1.1", "1.4"])
def test_arrays_have_the_nearest_of_integers_beyond_their_type(version):
    with pytest.warns(DataWarning, match="beyond its type: they become the nearest"):
        array = scichunk.from_votable(raw(one("unsignedByte", "1", "256", "3", version=version)), "a")
    assert (array.dtype, array.compute().tolist()) == (np.uint8, [1, 255, 3])
    with pytest.warns(DataWarning, match="become NaN"):
        array = scichunk.from_votable(raw(one("unsignedByte", "1", "256", "", version=version)), "a")
    np.testing.assert_array_equal(array, [1, np.nan, np.nan])


def test_a_stack_takes_no_value_for_null_that_occurs(tmp_path):
    (tmp_path / "0.vot").write_bytes(binary2("unsignedByte", [1, 7, 3], [0, 1, 0]))
    (tmp_path / "1.vot").write_bytes(binary2("unsignedByte", [1, 7, 3], [1, 0, 0]))
    (tmp_path / "2.vot").write_bytes(binary2("unsignedByte", [1, 255, 3], [1, 0, 0]))
    ds = scichunk.open_stack([tmp_path / "0.vot", tmp_path / "1.vot"], mask_and_scale=True)
    np.testing.assert_array_equal(ds.a, [[1, np.nan, 3], [np.nan, 7, 3]])
    ds = scichunk.open_stack([tmp_path / "0.vot", tmp_path / "2.vot"])
    with pytest.raises(FormatError, match="255, which stands for it in the first file of the stack, occurs here"):
        ds.a.compute()
    with pytest.warns(DataWarning, match="become NaN"):
        arrays = scichunk.from_files([tmp_path / "0.vot", tmp_path / "2.vot"], column="a")
    np.testing.assert_array_equal(arrays, [[1, np.nan, 3], [np.nan, 255, 3]])


CELLS = """<VOTABLE version="1.3"><RESOURCE><TABLE><FIELD name="b" datatype="bit" arraysize="3x2"/><FIELD name="n" datatype="bit" arraysize="9"/>
<FIELD name="s" datatype="char" arraysize="2x2"/><DATA><TABLEDATA><TR><TD>1 0 1 0 1 1</TD><TD>1 0 0 0 0 0 0 0 1</TD><TD>abcd</TD></TR>
<TR><TD/><TD/><TD/></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""


@pytest.mark.parametrize("way", ["dataset", "tree", "frame"])
def test_cells_without_a_value_stay_so(tmp_path, way):
    """Bits have no null of their own: those of a dataset were written as False. Of texts, xarray makes NaN in trees, which failed."""
    data = CELLS.encode()
    table = {
        "dataset": lambda: xr.open_dataset(data, engine="votable").load(),
        "tree": lambda: scichunk.open(data).to_dataset().load(),
        "frame": lambda: scichunk.read_votable(data),
    }[way]()
    scichunk.write_votable(table, tmp_path / "out.vot")
    back = scichunk.read_votable(tmp_path / "out.vot").compute()
    assert back.isna().to_numpy().tolist() == [[False] * 3, [True] * 3]
    ds = xr.open_dataset(tmp_path / "out.vot", engine="votable")
    for name in ("b", "n"):
        np.testing.assert_array_equal(ds[name], xr.open_dataset(data, engine="votable")[name])
    assert ds.s.values[0].tolist() == ["ab", "cd"]


def test_a_null_among_bits_is_refused(tmp_path):
    ds = xr.open_dataset(CELLS.encode(), engine="votable").load()
    ds["b"][0, 0, 0] = np.nan
    with pytest.raises(FormatError, match=r"null among the bits .*votable_datatype.*'b'"):
        scichunk.write_votable(ds, tmp_path / "out.vot")
    del ds["b"].encoding["votable_datatype"]
    scichunk.write_votable(ds, tmp_path / "out.vot")
    np.testing.assert_array_equal(xr.open_dataset(tmp_path / "out.vot", engine="votable")["b"], ds["b"])


def test_two_opens_say_the_same():
    """Also where reading has met something odd in between, which is told with warnings."""
    data = one("short", "99999", "1").encode()
    with pytest.warns(DataWarning):
        first = xr.open_dataset(data, engine="votable")
        again = xr.open_dataset(data, engine="votable").load()
        last = xr.open_dataset(data, engine="votable")
    assert first.identical(again)
    assert again.identical(last)
    assert {**first.attrs} == {**again.attrs} == {**last.attrs}
