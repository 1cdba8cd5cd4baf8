"""Texts of any length in places where files have short ones: they cost what they weigh, and messages do not repeat them."""

import pickle
import time
import warnings
from contextlib import contextmanager

import pytest
import xarray as xr

import scichunk
from scichunk.core.limits import is_computable_unit
from scichunk.errors import DataWarning, FormatError, LimitExceeded, MetadataWarning, ScichunkError
from scichunk.formats.votable.document.scan import open_document
from scichunk.sources import locate
from scichunk.sources.base import public_url, without_secrets
from scichunk.testing import CountingSource
from scichunk.warned import warn_caller
from tests.votable_docs import doc, one

MANY = 200_000


@contextmanager
def in_linear_time():
    """What takes quadratic time for texts of this length takes minutes."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 10


@pytest.mark.parametrize("datatype", ["double", "float", "int", "long", "floatComplex"])
@pytest.mark.parametrize("text", ["1", "1.", "&#49;", "1e", " ", "-1", "1 "])
def test_cells_that_are_no_numbers_cost_what_they_weigh(datatype, text):
    document = one(datatype, "7 7" if datatype == "floatComplex" else 7, text * (MANY // len(text)) + "!").encode()
    with in_linear_time(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = scichunk.read_votable(document, on_error="null").compute()
    assert len(frame) == 2
    assert frame["a"].isna().tolist() == [False, True] or datatype == "floatComplex"


def test_long_numbers_are_read():
    document = one("double", "0" * MANY + "7", "7." + "0" * MANY, "." + "0" * 50 + "7").encode()
    with in_linear_time():
        assert scichunk.read_votable(document).compute()["a"].tolist() == [7.0, 7.0, 7e-51]


def test_long_units_are_not_computed():
    with in_linear_time():
        assert not is_computable_unit("1-" + "\n(" * MANY)
        assert not is_computable_unit("**" * MANY)
    assert not is_computable_unit("10" + "**(" * 50 + " - 99999")


@pytest.mark.parametrize("version", ["1.3", "1.4"])
@pytest.mark.parametrize("word", ["1y", "zork.gronk."])
def test_units_that_nobody_knows_are_left_out_beyond_some_thousand(version, word):
    units = ["1x" * 10_000, "km/s", *(f"{word * (200 // len(word))}a{i}" for i in range(2000))]
    fields = "".join(f'<FIELD name="c{i}" datatype="int" unit="{unit}"/>' for i, unit in enumerate(units))
    start = time.process_time()
    with pytest.warns(MetadataWarning, match="units that are"):
        found = scichunk.votable_header(doc(fields=fields, version=version).encode())
    assert time.process_time() - start < 60  # it took an hour
    fields = list(found.iter_fields_and_params())
    assert fields[0].unit is None
    assert str(fields[1].unit) == "km / s"
    assert fields[-1].unit is None


def test_few_units_that_nobody_knows_stay():
    found = scichunk.votable_header(doc(fields='<FIELD name="a" datatype="int" unit="zork/gronk"/>' * 50).encode())
    assert {str(field.unit) for field in found.iter_fields_and_params()} == {"zork / gronk"}


@pytest.mark.parametrize("word", ["?", "%3F", "a", ":", "?a=", "[", "http://", "a:", "status 500 ", "::", "#"])
@pytest.mark.parametrize("last", ["", "]", "="])
def test_texts_of_libraries_are_masked_in_linear_time(word, last):
    text = word * (MANY // len(word)) + last
    with in_linear_time():
        without_secrets(text, "https://me:hunter22@example.org/a?key=hunter33")
        public_url(f"https://{text}")
    assert "hunter" not in without_secrets(f"{text} hunter33", "https://me:hunter22@example.org/a?key=hunter33")


def test_messages_hold_the_ends_of_long_texts_only():
    with pytest.raises(ScichunkError) as caught:
        scichunk.read_votable(doc(fields=f'<FIELD name="a" datatype="first{"x" * MANY}last"/>').encode())
    message = str(caught.value)
    assert len(message) < 5000
    assert "first" in message
    assert "characters)" in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_warnings_hold_the_ends_of_long_texts_only():
    with pytest.warns(DataWarning) as told:
        warn_caller(f"first{'x' * MANY}last", DataWarning)
    message = str(told[0].message)
    assert len(message) < 5000
    assert message.startswith("first")
    assert message.endswith("last")


def test_references_longer_than_servers_take_are_refused():
    document = doc(body=f'<BINARY><STREAM href="{"?" * MANY}"/></BINARY>')
    with pytest.raises(FormatError, match="a reference of 200000 characters"):
        scichunk.read_votable(document.encode()).compute()


@pytest.mark.parametrize("text", ["<!--a-->", "<!---->\n", "<?xml a?>", "<?xml ", "<!--", "\n", "<!--a-->\n<html"])
@pytest.mark.parametrize("read", [scichunk.open, scichunk.info, scichunk.from_geotiff, scichunk.read_votable])
def test_what_is_no_format_is_refused_in_linear_time(text, read):
    with in_linear_time(), pytest.raises(FormatError):
        read((text * (MANY // len(text))).encode())


def test_many_fields_of_one_name_and_a_malformed_row_cost_what_they_weigh():
    fields = '<FIELD name="a" datatype="int"/>' * 20_000
    document = doc("<TR><TD>1</TD></TR>", fields, version="1.4").encode()
    with in_linear_time():
        with pytest.raises(FormatError, match="1 cells for 20000 fields"):
            scichunk.from_votable(document, "a_7").compute()
        with pytest.raises(LimitExceeded, match="19999 of 20000 fields have names of others"):
            scichunk.votable_header(document)


def test_columns_that_cannot_be_read_stand_in_the_way_of_no_other():
    bad = {3, 17, 18, 60, 99}
    fields = "".join(f'<FIELD name="c{i}" datatype="int"/>' for i in range(100))
    cells = "".join(f"<TD>{'1.5' if i in bad else ''}</TD>" for i in range(100))
    document = doc(f"<TR>{'<TD>7</TD>' * 100}</TR><TR>{cells}</TR>", fields).encode()
    ds = xr.open_dataset(document, engine="votable")
    for i in (0, 2, 4, 50, 98):
        assert ds[f"c{i}"].isnull().values.tolist() == [False, True]
        assert ds[f"c{i}"].values[0] == 7
    for i in bad:
        with pytest.raises(FormatError, match=r"1\.5"):
            ds[f"c{i}"].load()


def test_many_tables_that_refer_to_others_are_not_handed_to_astropy():
    tables = "".join(f'<TABLE name="t{i}" ID="i{i}" ref="i{i + 1}"/>' for i in range(10_000))
    document = f'<VOTABLE version="1.4"><RESOURCE>{tables}</RESOURCE></VOTABLE>'.encode()
    with in_linear_time(), pytest.raises(LimitExceeded, match="10000 of 10000 tables refer to another"):
        scichunk.votable_header(document)


def test_many_small_tables_cost_what_they_weigh():
    """Of each no more is read and searched than a fixed number of bytes, however long the document is."""
    table = '<TABLE><FIELD name="a" datatype="int"/><DATA><TABLEDATA><TR><TD>1</TD></TR></TABLEDATA></DATA></TABLE>'
    document = f'<VOTABLE version="1.4"><RESOURCE>{table * 2000}</RESOURCE></VOTABLE>'.encode() + b" " * 2_000_000
    source = CountingSource(locate(document).open())
    found = open_document(source)
    found.find_all()
    assert len(found.tables) == 2000
    assert source.nbytes < 2000 * 120_000


@pytest.mark.parametrize(("datatype", "value"), [("int", "7"), ("boolean", "T"), ("unsignedByte", "7")])
def test_columns_that_nobody_looked_through_refuse_nulls_alone(datatype, value):
    """Of more columns that cannot be read than are looked for, the others are read; a null in them is an error."""
    bad, null = range(0, 100, 2), range(1, 100, 4)
    fields = "".join(f'<FIELD name="c{i}" datatype="{datatype}"/>' for i in range(100))
    cells = "".join(f"<TD>{'1.5' if i in bad else '' if i in null else value}</TD>" for i in range(100))
    document = doc(f"<TR>{f'<TD>{value}</TD>' * 100}</TR><TR>{cells}</TR>", fields).encode()
    ds = xr.open_dataset(document, engine="votable")
    assert ds["c99"].values.tolist() == [int(value) if value.isdigit() else True] * 2
    with pytest.raises(FormatError, match="column 'c97' has nulls"):
        ds["c97"].load()
    with pytest.raises(FormatError, match=r"1\.5"):
        ds["c98"].load()
