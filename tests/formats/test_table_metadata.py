"""What files say of columns and tables, on frames; what services say of their answers."""

import gzip
import json
import pickle
import warnings

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.table import QTable

import scichunk
from scichunk.errors import DataWarning, FormatError
from tests.fits_tables import table as fits_table

STARS = """<?xml version="1.0"?><VOTABLE version="1.4"><RESOURCE type="results">{before}<TABLE name="stars">
<FIELD name="ra" datatype="double" unit="deg" ucd="pos.eq.ra"><DESCRIPTION>right ascension</DESCRIPTION></FIELD>
<FIELD name="mag" datatype="float" unit="mag"/><FIELD name="id" datatype="long"/>
<DATA><TABLEDATA><TR><TD>1.5</TD><TD>14</TD><TD>1</TD></TR><TR><TD>2.5</TD><TD>16</TD><TD>2</TD></TR></TABLEDATA></DATA>
{within}</TABLE>{after}</RESOURCE></VOTABLE>"""
NOTHING = """<VOTABLE version="1.4"><DEFINITIONS>{}</DEFINITIONS>{}<RESOURCE type="results">{}</RESOURCE></VOTABLE>"""


def stars(before="", within="", after=""):
    return STARS.format(before=before, within=within, after=after).encode()


def status(value, text=""):
    return f'<INFO name="QUERY_STATUS" value="{value}">{text}</INFO>'


@pytest.fixture
def catalogue(tmp_path):
    table = QTable({"ra": np.arange(4.0), "mag": np.arange(4, dtype="f4"), "n": np.arange(4)})
    table["ra"].unit, table["mag"].unit, table.meta["OBSERVER"] = "deg", "mag", "me"
    table["ra"].info.description = "right ascension"
    table.write(tmp_path / "c.fits")
    return tmp_path / "c.fits"


# ---- columns


def test_columns_of_lazy_frames(catalogue):
    frame = scichunk.read_fits_table(catalogue)
    found = scichunk.columns(frame)
    assert list(found) == ["ra", "mag", "n"]
    assert found["ra"]["units"] == "deg"
    assert found.units == {"ra": "deg", "mag": "mag"}
    assert found["n"] == {}
    assert found.attrs["OBSERVER"] == "me"
    assert scichunk.columns(scichunk.read_votable(stars()))["ra"]["description"] == "right ascension"


LATER = {
    "a filter": lambda df: df[df.mag > 1],
    "a projection": lambda df: df[["mag", "ra"]],
    "a series": lambda df: df["ra"],
    "a new column": lambda df: df.assign(k=df.ra * 2),
    "a partition": lambda df: df.partitions[0],
    "persisted": lambda df: df.persist(),
    "joined": lambda df: df.merge(scichunk.read_votable(stars())[["id"]], left_on="n", right_on="id"),
    "together": lambda df: dd.concat([df, scichunk.read_votable(stars())]),
    "sorted": lambda df: df.set_index("n"),
    "mapped": lambda df: df.map_partitions(lambda part: part.query("mag > 1")),
    "computed": lambda df: df.compute(),
    "head": lambda df: df.head(2),
    "computed and filtered": lambda df: df.compute().query("mag > 1")[["ra"]],
}


@pytest.mark.parametrize("change", LATER.values(), ids=LATER)
def test_columns_of_what_was_made_of_a_frame(catalogue, change):
    made = change(scichunk.read_fits_table(catalogue))
    found = scichunk.columns(made)
    assert found["ra"]["units"] == "deg"
    assert set(found) == ({made.name} if isinstance(made, dd.Series | pd.Series) else set(made.columns))
    assert found.get("k", {}) == {}


def test_units_go_where_joined_tables_go(catalogue, tmp_path):
    joined = scichunk.read_fits_table(catalogue).merge(
        scichunk.read_votable(stars())[["id"]], left_on="n", right_on="id"
    )
    assert str(scichunk.to_qtable(joined)["ra"].unit) == "deg"
    scichunk.write_fits_table(joined, tmp_path / "out.fits")
    assert scichunk.columns(scichunk.read_fits_table(tmp_path / "out.fits")).units == {"ra": "deg", "mag": "mag"}


def test_columns_print_as_a_table():
    found = scichunk.columns(scichunk.read_votable(stars()))
    lines = repr(found).splitlines()
    assert lines[0].split() == ["column", "type", "units", "description"]
    assert lines[1].split() == ["ra", "double[pyarrow]", "deg", "right", "ascension"]
    assert "<td>right ascension</td>" in found._repr_html_()
    odd = scichunk.read_votable(stars().replace(b"right ascension", b"&lt;b&gt;"))
    assert "&lt;b&gt;" in scichunk.columns(odd)._repr_html_()


def test_columns_of_datasets_and_of_other_things(catalogue):
    ds = xr.open_dataset(catalogue, engine="fits", hdu=1)
    assert scichunk.columns(ds).units == {"ra": "deg", "mag": "mag"}
    assert scichunk.columns(pd.DataFrame({"a": [1]}))["a"] == {}
    with pytest.raises(TypeError, match="expected a dask or pandas DataFrame"):
        scichunk.columns(np.zeros(3))


def test_attributes_of_frames_go_into_json_and_stay_small(catalogue):
    for frame in (scichunk.read_fits_table(catalogue), scichunk.read_votable(stars())):
        attrs = frame.compute().attrs
        assert json.loads(json.dumps(attrs)) == attrs
        assert not [k for k in attrs["table"] if k.endswith("_header")]
        assert len(pickle.dumps(attrs)) < 1000


# ---- what services answer

ERRORS = {
    "no table": NOTHING.format("", "", status("ERROR", "column foo\nnot found")),
    "above": NOTHING.format("", status("ERROR", "column foo not found"), ""),
    "only a value": NOTHING.format("", '<INFO ID="Error" name="Error" value="column foo not found"/>', ""),
    "only a text": NOTHING.format("", "", '<INFO name="Errors"> column foo not found </INFO>'),
    "a parameter": NOTHING.format(
        '<PARAM name="Error" datatype="char" arraysize="*" value="column foo not found"/>', "", ""
    ),
}


BESIDE = {
    "before the table": stars(status("ERROR", "column foo not found")).decode(),
    "behind the table": stars(status("OK"), "", status("ERROR", "column foo not found")).decode(),
    "within the table": stars("", status("error", "column foo not found")).decode(),
}


@pytest.mark.parametrize("text", ERRORS.values(), ids=ERRORS)
def test_errors_of_services_are_errors_with_their_text(text):
    for read in (
        scichunk.read_votable,
        scichunk.open,
        scichunk.read_table,
        lambda b: xr.open_dataset(b, engine="votable"),
        lambda b: scichunk.from_votable(b, "ra"),
    ):
        with pytest.raises(FormatError, match="the service answered with an error: column foo not found"):
            read(text.encode())
    try:
        told = str(scichunk.info(text.encode()))
    except FormatError as error:
        told = str(error)
    assert "column foo not found" in told


@pytest.mark.parametrize("text", ERRORS.values(), ids=ERRORS)
def test_trees_of_errors_are_empty_and_warn(text):
    with pytest.warns(DataWarning, match="the service answered with an error, .*: column foo not found"):
        tree = xr.open_datatree(text.encode(), engine="votable")
    assert not any(node.variables for node in tree.subtree)


@pytest.mark.parametrize("text", BESIDE.values(), ids=BESIDE)
def test_errors_beside_a_table_warn_with_their_text(text):
    for read in (scichunk.read_votable, scichunk.open, lambda b: xr.open_dataset(b, engine="votable")):
        scichunk.clear_caches()
        with pytest.warns(DataWarning, match="the service answered with an error: column foo not found"):
            read(text.encode())


def test_the_header_of_an_error_can_be_looked_at():
    header = scichunk.votable_header(ERRORS["above"].encode())
    assert header.infos[0].value == "ERROR"


def test_information_named_error_beside_a_table_is_no_error():
    assert len(scichunk.read_votable(stars('<INFO name="Error" value="none"/>'))) == 2


def test_results_that_were_cut(tmp_path):
    cut = stars(status("OK", "fine"), "", status("OVERFLOW", "10 of 20"))
    (tmp_path / "cut.vot").write_bytes(cut)
    (tmp_path / "whole.vot").write_bytes(stars(status("OK", "fine")))
    said = {"QUERY_STATUS": "OK; OVERFLOW", "QUERY_STATUS_text": "fine; 10 of 20"}
    for read in (scichunk.read_votable, lambda b: xr.open_dataset(b, engine="votable")):
        for _ in range(2):  # each time, not only when the document is looked at first
            with pytest.warns(DataWarning, match="rows are missing.*OVERFLOW: 10 of 20"):
                found = read(cut)
            assert scichunk.columns(found).attrs.items() >= said.items()
    with pytest.warns(DataWarning, match="rows are missing"):
        scichunk.from_votable(cut, "ra")
    with pytest.warns(DataWarning, match=r"rows are missing.*cut\.vot"):
        scichunk.read_table([tmp_path / "whole.vot", tmp_path / "cut.vot"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        scichunk.read_votable(tmp_path / "whole.vot").compute()


# ---- partitions and keywords


def test_one_partition_for_no_blocksize(catalogue):
    big = STARS.partition("<TR>")[0] + "<TR><TD>1</TD><TD>2</TD><TD>3</TD></TR>" * 200_000 + "</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"  # fmt: skip
    for read, url in ((scichunk.read_votable, big.format(before="").encode()), (scichunk.read_fits_table, catalogue)):
        assert read(url, blocksize=None).npartitions == 1
        assert scichunk.read_table(url, blocksize=None).npartitions == 1
    assert len(scichunk.read_votable(big.format(before="").encode(), blocksize=None)) == 200_000
    with pytest.warns(scichunk.errors.PerformanceWarning):
        assert scichunk.read_votable(big.format(before="").encode(), blocksize="1 MiB").npartitions > 3
    assert scichunk.read_table([catalogue] * 3, blocksize=None).npartitions == 3


def test_a_table_that_ends_early_is_one_partition_too(catalogue):
    table = QTable({"a": np.arange(5000.0)})
    table.write(catalogue, overwrite=True)
    cut = catalogue.read_bytes()[: 2 * 2880 + 30000]
    assert scichunk.read_fits_table(cut).npartitions == 2
    assert scichunk.read_fits_table(cut, blocksize=None).npartitions == 1


def test_sizes_of_partitions(catalogue):
    same = [scichunk.read_fits_table(catalogue, blocksize=b).npartitions for b in (40, 40.0, "40 B", np.int16(40))]
    assert same == [2] * 4
    for wrong in (True, [40], b"40", {"row": 1}):
        with pytest.raises(TypeError, match="blocksize must be a number of bytes"):
            scichunk.read_fits_table(catalogue, blocksize=wrong)
    for wrong in (0, -1, float("nan"), float("inf"), "many"):
        with pytest.raises(ValueError, match=r"blocksize|many"):
            scichunk.read_fits_table(catalogue, blocksize=wrong)


@pytest.mark.parametrize("word", ["chunks", "foo", "usecols", "table_id"])
def test_unknown_keywords_list_the_right_ones(catalogue, word):
    for read, url, right in (
        (scichunk.read_fits_table, catalogue, "hdu"),
        (scichunk.read_table, catalogue, "hdu"),
        (scichunk.read_votable, stars(), "table"),
    ):
        with pytest.raises(TypeError, match=rf"no keyword '{word}'.* {right}.*beside columns, filters, blocksize"):
            read(url, **{word: "1 MiB"})


@pytest.fixture
def logicals(tmp_path):
    """A FITS table with a column of logicals, the second of which is undefined (byte 0)."""
    from astropy.io import fits

    columns = [fits.Column("good", "L", array=[True, False, True]), fits.Column("all", "L", array=[True, False, True])]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "l.fits")
    data = bytearray((tmp_path / "l.fits").read_bytes())
    assert data[2 * 2880 : 2 * 2880 + 6] == b"TTFFTT"
    data[2 * 2880 + 2] = 0
    (tmp_path / "l.fits").write_bytes(data)
    return tmp_path / "l.fits"


@pytest.mark.parametrize("form", ["plain", "gzip"])
def test_undefined_logicals_are_masked(logicals, form, tmp_path):
    target = logicals
    if form == "gzip":
        target = tmp_path / "l.fits.gz"
        target.write_bytes(gzip.compress(logicals.read_bytes()))
    ds = xr.open_dataset(target, engine="fits", hdu=1, chunks={"row": 1})
    assert ds.good.dtype == "f4"
    assert (ds["all"].dtype, np.asarray(ds["all"]).tolist()) == (bool, [True, False, True])
    np.testing.assert_array_equal(ds.good, [1, np.nan, 1])
    stored = xr.open_dataset(target, engine="fits", hdu=1, mask_and_scale=False).good
    assert (stored.dtype, stored.data.tolist(), stored.attrs["_FillValue"]) == (np.int8, [1, -1, 1], -1)
    ds.to_netcdf(tmp_path / "l.nc")
    np.testing.assert_array_equal(xr.open_dataset(tmp_path / "l.nc").good, ds.good)
    for read in (scichunk.read_fits_table(target).compute(), ds.to_dataframe()):
        assert read.good.isna().tolist() == [False, True, False]


def test_undefined_logicals_are_written_as_logicals(logicals, tmp_path):
    ds = xr.open_dataset(logicals, engine="fits", hdu=1)
    scichunk.write_fits_table(ds, tmp_path / "out.fits")
    assert (tmp_path / "out.fits").read_bytes()[2 * 2880 : 2 * 2880 + 6] == b"TT\0FTT"
    assert scichunk.to_qtable(ds)["good"].mask.tolist() == [False, True, False]


def test_stacks_give_no_made_up_logicals(logicals, tmp_path):
    from astropy.io import fits

    columns = [fits.Column(name, "L", array=[True, False, True]) for name in ("good", "all")]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "all.fits")
    with pytest.raises(FormatError, match=r"'good' has nulls and declares no value.*first file has none"):
        scichunk.open_stack([tmp_path / "all.fits", logicals], hdu=1).good.compute()
    stack = scichunk.open_stack([logicals, tmp_path / "all.fits"], hdu=1)
    np.testing.assert_array_equal(stack.good, [[1, np.nan, 1], [1, 0, 1]])


def test_long_remote_tables_give_no_made_up_logicals(logicals):
    from scichunk.testing import RangeServer

    with RangeServer({"l.fits": logicals.read_bytes()}) as server, scichunk.options.set(scan_bytes=0):
        ds = xr.open_dataset(server.url("l.fits"), engine="fits", hdu=1)
        assert ds["all"].data.tolist() == [True, False, True]
        with pytest.raises(FormatError, match=r"'good' has nulls and declares no value.*read_table"):
            ds.good.load()


def test_tables_of_astropy_are_printed_as_the_file_says(tmp_path):
    from astropy.io import fits

    wanted = {"a": ("D", "F8.3"), "b": ("J", "I5"), "c": ("E", "E12.4"), "d": ("J", "Z4.2"), "e": ("D", "G10.4E2")}
    columns = [fits.Column(name, form, array=[1, 2, 3], disp=disp) for name, (form, disp) in wanted.items()]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "shown.fits")
    theirs = QTable.read(tmp_path / "shown.fits")
    for table in (
        scichunk.read_fits_table(tmp_path / "shown.fits"),
        xr.open_dataset(tmp_path / "shown.fits", engine="fits"),
    ):
        ours = scichunk.to_qtable(table)
        assert {n: ours[n].info.format for n in wanted} == {n: theirs[n].info.format for n in wanted}
        assert ours.pformat() == theirs.pformat()
    fields = stars().replace(b'datatype="double"', b'datatype="double" precision="3" width="8"')
    fields = fields.replace(b'datatype="float"', b'datatype="float" precision="E4"')
    (tmp_path / "shown.vot").write_bytes(fields)
    shown = QTable.read(tmp_path / "shown.vot", format="votable")
    found = scichunk.to_qtable(xr.open_dataset(tmp_path / "shown.vot", engine="votable"))
    assert [found[n].info.format for n in shown.colnames] == [shown[n].info.format for n in shown.colnames]


@pytest.mark.parametrize(
    ("kind", "display"), [("f", "I5"), ("U", "A8"), ("f", "F8"), ("f", "F999999999.3"), ("i", "5I"), ("b", "L1")]
)
def test_formats_that_do_not_suit_the_values_are_left_out(kind, display):
    from scichunk.tables.display import python_format

    assert python_format(kind, {"display": display}, {}) is None


def test_units_that_differ_between_files_are_told(tmp_path):
    for name, unit in (("a", "deg"), ("b", "deg"), ("c", "rad")):
        (tmp_path / f"{name}.fits").write_bytes(fits_table(["1J"], b"\0\0\0\1", 1, TUNIT1=unit))
    with pytest.warns(DataWarning, match=r"'c1' is in 'rad' here and in 'deg', in the first file.*c\.fits"):
        scichunk.read_table(str(tmp_path / "*.fits"))
