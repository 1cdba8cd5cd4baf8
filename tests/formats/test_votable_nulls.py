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
    assert ds.a.dtype == "f8"
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


def test_undefined_booleans_are_said():
    with pytest.warns(DataWarning, match="declares no value"):
        assert dataset(raw(one("boolean", "T", "?", "F"))).a.values.tolist() == [True, False, False]


@pytest.mark.parametrize("datatype", INTEGERS)
def test_arrays_of_stored_integers_have_astropys_value_for_null(datatype):
    info = np.iinfo(INTEGERS[datatype])
    want = info.min or info.max
    with pytest.warns(DataWarning, match=f"they become {want}, as in astropy"):
        array = scichunk.from_votable(raw(one(datatype, "1", "", "3")), "a")
    assert array.compute().tolist() == [1, want, 3]
