# objects of xarray, not of pandas
"""What differs from other libraries: every row of the tables in the docs, checked on both sides, or the test that does so.

A test here stands under the rows that it checks (:func:`row`); rows that have a test elsewhere are in :data:`ELSEWHERE`.
"""

import ast
import io
import re
import warnings
from importlib.metadata import version
from pathlib import Path

import astropy
import numpy as np
import pytest
import rasterio
import xarray as xr
from astropy.io import fits
from astropy.io.votable import parse
from astropy.table import Table
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

import scichunk
from scichunk.errors import DataWarning, FormatError
from tests.fits_tables import columns, compress, table, variable
from tests.votable_docs import binary, doc, one

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    name: ROOT / "docs" / "formats" / f"{name}.md" for name in ("tables", "fits", "votable", "geotiff", "jpeg2000")
}
CHECKED = set()
RECENT = tuple(int(n) for n in astropy.__version__.split(".")[:2]) >= (7, 0)
"""What the other side does is asked of the astropy that the tables speak of."""


def row(page, first):
    """Name the row of a table that a test checks."""
    CHECKED.add((page, first))
    return lambda test: test


def theirs(call, *expected):
    """What astropy makes of it, or the error."""
    if not RECENT:
        pytest.skip("an astropy that the tables do not speak of")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if expected:
            with pytest.raises(expected):
                call()
            return None
        return call()


def field(data, name="c1"):
    """astropy's ``.data`` of a column."""
    with fits.open(io.BytesIO(data), memmap=False) as file:
        return np.array(file[1].data[name])


def frame(data, **keywords):
    return scichunk.read_fits_table(data, **keywords).compute()


def dataset(data, **keywords):
    return xr.open_dataset(data, engine="fits", hdu=1, **keywords)


# ---------------------------------------------------------------- FITS tables

LOGICALS = table(["1L"], b"TF\0", 3)


@row("tables", "undefined logical")
def test_undefined_logicals():
    assert theirs(lambda: field(LOGICALS)).tolist() == [True, False, False]
    assert frame(LOGICALS).c1.isna().tolist() == [False, False, True]
    np.testing.assert_array_equal(dataset(LOGICALS).c1, [1, 0, np.nan])


@row("tables", "integer that equals TNULL")
@row("fits", "nulls of integer columns (TNULL), undefined logicals")
def test_nulls_of_integers():
    data = table(["1J"], columns(np.array([1, -9, 3], ">i4")), 3, TNULL1=-9)
    assert theirs(lambda: field(data)).tolist() == [1, -9, 3]
    assert theirs(lambda: Table.read(io.BytesIO(data), hdu=1))["c1"].mask.tolist() == [False, True, False]
    assert frame(data).c1.isna().tolist() == [False, True, False]
    assert dataset(data, mask_and_scale=False).c1.attrs["_FillValue"] == -9
    np.testing.assert_array_equal(dataset(data).c1, [1, np.nan, 3])


@row("tables", "NaN in a float")
def test_nan_of_tables():
    data = table(["1E"], columns(np.array([1, np.nan, 3], ">f4")), 3)
    assert np.isnan(theirs(lambda: field(data))).tolist() == [False, True, False]
    assert theirs(lambda: Table.read(io.BytesIO(data), hdu=1))["c1"].mask.tolist() == [False, True, False]
    assert frame(data).c1.isna().tolist() == [False, True, False]
    np.testing.assert_array_equal(dataset(data).c1, [1, np.nan, 3])


@row("tables", "the same, unsigned")
def test_nulls_of_unsigned_integers():
    data = table(["1J"], columns(np.array([1, -9, 3], ">i4")), 3, TNULL1=-9, TZERO1=2147483648)
    theirs(lambda: Table.read(io.BytesIO(data), hdu=1), OverflowError, TypeError, ValueError)
    assert frame(data).c1.isna().tolist() == [False, True, False]
    stored = dataset(data, mask_and_scale=False).c1
    assert (stored.dtype, int(stored.attrs["_FillValue"])) == (np.uint32, 2147483639)


@row("tables", "signed byte (TZERO = -128)")
def test_signed_bytes():
    data = table(["1B"], bytes([0, 128, 255]), 3, TZERO1=-128)
    assert theirs(lambda: field(data)).dtype.kind == "f"
    assert (str(frame(data).c1.dtype), dataset(data).c1.dtype) == ("int8[pyarrow]", np.int8)
    assert frame(data).c1.tolist() == [-128, 0, 127]


@row("tables", "scaled complex number")
@row("fits", "imaginary part of scaled complex columns")
def test_scaled_complex_numbers():
    data = table(["1C"], columns(np.array([1 + 2j], ">c8")), 1, TSCAL1=10.0)
    assert theirs(lambda: field(data)).tolist() != [10 + 20j]
    assert dataset(data).c1.values.tolist() == [10 + 20j]


def arrays(code="I", **cards):
    pairs, heap, cells = variable(code, [4, 2], np.random.default_rng(0))
    return table([f"1P{code}(4)"], pairs.tobytes(), 2, heap, **cards), cells


@row("tables", "scaled array of variable length")
@row("fits", "scaled variable-length arrays (TSCAL, TZERO)")
def test_scaled_arrays_of_variable_length():
    data, cells = arrays(TSCAL1=0.5, TZERO1=3.25)
    with fits.open(io.BytesIO(data)) as file:
        assert theirs(lambda: not np.allclose(file[1].data["c1"][0], cells[0] * 0.5 + 3.25))
    np.testing.assert_allclose(frame(data).c1[0], cells[0] * 0.5 + 3.25)


@row("tables", "array of variable length with TDIM")
@row("fits", "variable-length arrays with TDIM")
def test_arrays_of_variable_length_with_a_shape():
    data, cells = arrays(TDIM1="(2,2)")
    with fits.open(io.BytesIO(data)) as file:
        assert theirs(lambda: file[1].data["c1"][0].ndim) == 2
    assert [*frame(data).c1[0]] == cells[0].tolist()
    assert dataset(data).c1.values[0].shape == (4,)


@row("tables", "tile-compressed table")
def test_compressed_tables():
    plain = table(["1J"], columns(np.arange(6, dtype=">i4")), 6)
    data = compress(plain, 3, ["GZIP_1"])
    with fits.open(io.BytesIO(data)) as file:
        assert theirs(lambda: len(file[1].data)) == 2  # one row for each tile
    assert frame(data).c1.tolist() == [*range(6)]


@row("tables", "text beyond ASCII")
@pytest.mark.parametrize("code", ["utf-8", "latin-1"])
def test_texts_beyond_ascii(code):
    data = table(["6A"], "café".encode(code).ljust(6), 1)
    assert theirs(lambda: field(data)).dtype.kind == "S"
    if code == "latin-1":
        assert theirs(lambda: Table.read(io.BytesIO(data), hdu=1)["c1"][0]) == "caf\ufffd"
    assert frame(data).c1.tolist() == dataset(data).c1.values.tolist() == ["café"]


@row("tables", "text with a NUL in it")
def test_texts_with_a_nul():
    data = table(["6A"], b"ab\0cd ", 1)
    assert "cd" in theirs(lambda: field(data)).tolist()[0]
    assert frame(data).c1.tolist() == dataset(data).c1.values.tolist() == ["ab"]


@row("tables", "column without a name, or with a name twice")
@pytest.mark.parametrize(("names", "want"), [([None], ["col1"]), (["x", "x"], ["x", "x_2"])])
def test_names_of_columns(names, want):
    data = table(["1J"] * len(names), bytes(4 * len(names)), 1, names=names)
    theirs(lambda: Table.read(io.BytesIO(data), hdu=1), KeyError, ValueError, TypeError)
    assert list(frame(data).columns) == list(dataset(data).data_vars) == want


@row("tables", "table that ends early")
def test_tables_that_end_early():
    data = table(["1J"], columns(np.arange(3000, dtype=">i4")), 3000)[:-5760]
    theirs(lambda: field(data), Exception)
    assert int(dataset(data).c1[100]) == 100
    with pytest.raises(FormatError, match=r"the file ends in row \d+ of 3000"):
        frame(data)


@row("tables", "descriptor beyond the heap")
def test_descriptors_beyond_the_heap():
    pairs = np.array([[2, 0], [2, 4000]], ">i4")
    data = table(["1PJ(2)"], pairs.tobytes(), 2, bytes(8))
    with fits.open(io.BytesIO(data)) as file:
        assert theirs(lambda: file[1].data["c1"][1].size) == 0
    with pytest.raises(FormatError, match=r"'c1'.*row 1|row 1.*'c1'"):
        frame(data)


@row("tables", "type of a column")
@row("tables", "index")
@row("tables", "unit")
def test_types_index_and_units():
    data = table(["1J", "4A", "3E", "1PE(2)"], bytes(28 * 3), 3, TNULL1=0, TUNIT3="km/s")
    found = scichunk.read_fits_table(data)
    types = ["int32[pyarrow]", "string", "fixed_size_list<item: float>[3][pyarrow]", "list<item: float>[pyarrow]"]
    assert [str(t).replace("string[pyarrow]", "string") for t in found.dtypes] == types
    assert found.compute().index.tolist() == [0, 1, 2]
    assert scichunk.columns(found)["c3"]["units"] == "km/s"
    assert str(scichunk.to_qtable(found)["c3"].unit) == "km / s"
    assert theirs(lambda: Table.read(io.BytesIO(data), hdu=1)["c3"].unit).to_string() == "km / s"


# ---------------------------------------------------------------- FITS


def image(values, **cards):
    hdu = fits.PrimaryHDU(values)
    hdu.header.update(cards)
    with io.BytesIO() as file:
        hdu.writeto(file, output_verify="ignore")
        return file.getvalue()


@row("fits", "byte order of values")
def test_byte_order():
    data = image(np.arange(4, dtype="i2"))
    with fits.open(io.BytesIO(data)) as file:
        assert theirs(lambda: file[0].data.dtype) == np.dtype(">i2")
    assert scichunk.from_fits(data).dtype.isnative
    assert scichunk.from_fits(data).compute().dtype == np.dtype("=i2")


@row("fits", "texts of tables")
def test_blanks_behind_texts():
    data = table(["6A"], b"ab    ", 1)
    assert frame(data).c1.tolist() == dataset(data).c1.values.tolist() == ["ab"]
    with fits.open(io.BytesIO(data)) as file:
        raw = theirs(lambda: bytes(np.recarray.field(file[1].data, 0)[0]))
    assert raw == b"ab    "


@row("fits", "TFORM wider than the row, with a TDIM that would fit")
def test_forms_wider_than_their_row():
    data = table(["8A"], b"abcd", 1, TDIM1="(2,2)")
    assert theirs(lambda: field(data)).tolist() == [["ab", "cd"]]
    with pytest.raises(FormatError):
        frame(data)


def ascii_table(form, text):
    return table([form], text, 1, kind="TABLE", TBCOL1=1)


@row("fits", "blank floats of ASCII tables")
def test_blank_floats_of_ascii_tables():
    data = ascii_table("F6.2", b"      ")
    assert np.isnan(theirs(lambda: field(data))[0])
    assert frame(data).c1.isna().tolist() == [True]
    assert str(frame(data).c1.tolist()) == "[<NA>]"
    np.testing.assert_array_equal(dataset(data).c1, [np.nan])


@row("fits", "HDUs that are no images (SIMPLE = F, XTENSION 'FOREIGN')")
def test_foreign_hdus():
    hdu = fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(np.zeros(4, "u1"), name="A"), fits.ImageHDU(np.zeros(4, "u1"), name="B")]
    )
    with io.BytesIO() as file:
        hdu.writeto(file)
        data = file.getvalue().replace(b"XTENSION= 'IMAGE   '", b"XTENSION= 'FOREIGN '", 1)
    assert [a.group for a in scichunk.info(data).arrays if "foreign" in str(a.notes)] == ["/A"]
    assert list(scichunk.open(data).children) == ["B"]


@row("fits", "images whose integers have BLANK = 0")
def test_blank_of_zero():
    data = image(np.array([0, 1], "i2"), BLANK=0)
    with fits.open(io.BytesIO(data)) as file:
        want = theirs(lambda: np.array(file[0].data))
    found = scichunk.from_fits(data).compute()
    assert (want.tolist(), found.tolist(), found.dtype.kind) == ([0, 1], [0, 1], want.dtype.kind)


# ---------------------------------------------------------------- VOTables


def masked(text):
    """astropy's first column of the first table."""
    text = text.encode() if isinstance(text, str) else text
    array = parse(io.BytesIO(text), verify="ignore").get_first_table().array
    return array[array.dtype.names[0]]


def votable(text, **keywords):
    return scichunk.read_votable(text.encode() if isinstance(text, str) else text, **keywords).compute()


def votable_dataset(text):
    return xr.open_dataset(text.encode() if isinstance(text, str) else text, engine="votable")


@row("votable", "empty integer, VOTable before 1.3")
def test_empty_integers_of_old_documents():
    text = one("int", "1", "", version="1.1")
    assert theirs(lambda: masked(text)).filled(-1).tolist() == [1, 0]
    assert votable(text).a.isna().tolist() == [False, True]
    assert votable(text, astropy_compat=True).a.tolist() == [1, 0]


@row("votable", "integer beyond its type")
def test_integers_beyond_their_type():
    text = one("short", "1", "99999")
    assert theirs(lambda: masked(text)).tolist() == [1, 32767]
    with pytest.warns(DataWarning, match="'a'|column"):
        assert votable(text).a.isna().tolist() == [False, True]
    assert votable(text, astropy_compat=True).a.tolist() == [1, 32767]


@row("votable", "text longer than declared")
def test_texts_longer_than_declared():
    text = one("char", "abcdef", arraysize="4")
    assert theirs(lambda: masked(text)).tolist() == ["abcd"]
    assert votable(text).a.tolist() == ["abcdef"]


@row("votable", "white space before and behind a text (TABLEDATA)")
def test_white_space_around_texts():
    text = one("char", "  ab ", arraysize="*")
    assert theirs(lambda: masked(text)).tolist() == ["ab"]
    assert votable(text).a.tolist() == ["  ab "]
    assert votable(text).a.str.strip().tolist() == ["ab"]


@row("votable", "`null`, `--`, `1_0` in a float")
def test_words_in_floats():
    found = theirs(lambda: [masked(one("double", cell)).filled(np.nan).tolist()[0] for cell in ("null", "--", "1_0")])
    assert (np.isnan(found[:2]).all(), found[2]) == (True, 10.0)
    with pytest.warns(DataWarning):
        assert votable(one("double", "null", "--", "1_0", "1")).a.isna().tolist() == [True, True, True, False]


@row("votable", "`float[*]` in TABLEDATA")
def test_floats_of_variable_arrays():
    text = one("float", "1.1 2.2", arraysize="*")
    assert theirs(lambda: np.asarray(masked(text)[0])).dtype == np.float64
    assert votable_dataset(text).a.values[0].dtype == np.float32
    assert str(votable(text).a.dtype) == "list<item: float>[pyarrow]"


@row("votable", "arrays of texts (`char`, `14x3`)")
def test_arrays_of_texts():
    text = one("char", "aabbcc", arraysize="2x3")
    theirs(lambda: masked(text).tolist() == [["aa", "bb", "cc"]] or _refuse(), Exception)
    assert list(votable(text).a[0]) == ["aa", "bb", "cc"]


def _refuse():
    msg = "not an array of texts"
    raise AssertionError(msg)


@row("votable", "empty `precision`, FIELD without name, old datatype names")
@pytest.mark.parametrize(
    "field", ['name="a" precision="" datatype="float"', 'ID="a" datatype="float"', 'name="a" datatype="string"']
)
def test_fields_that_others_refuse(field):
    text = doc("<TR><TD>1</TD></TR>", f"<FIELD {field}/>")
    assert votable(text).a.astype(float).tolist() == [1.0]


@row("votable", "a FIELD without datatype")
def test_a_field_without_a_datatype():
    text = doc("<TR><TD>abc</TD></TR>", '<FIELD name="a"/>')
    assert theirs(lambda: masked(text)).tolist() == ["a"]
    assert votable(text).a.tolist() == ["abc"]


@row("votable", "a stream that ends within a row")
def test_streams_that_end_within_a_row():
    text = binary(np.arange(3, dtype=">i4").tobytes()[:-2])
    theirs(lambda: len(masked(text)) == 3 or _refuse(), Exception)
    with pytest.raises(FormatError):
        votable(text)
    assert votable(text, on_error="null").a.tolist() == [0, 1]


@row("votable", "bytes beyond ASCII in a `char` stream")
def test_bytes_beyond_ascii():
    fields = '<FIELD name="a" datatype="char" arraysize="5"/>'
    for code in ("utf-8", "latin-1"):
        text = binary("café".encode(code).ljust(5, b"\0"), fields)
        theirs(lambda text=text: masked(text).tolist() == ["café"] or _refuse(), Exception)
        assert votable(text).a.tolist() == ["café"]


@row("votable", "`bit[*]` in a stream")
def test_bits_of_variable_length():
    text = binary(
        np.array([10], ">i4").tobytes() + bytes([0b10100000, 0b01000000]),
        '<FIELD name="a" datatype="bit" arraysize="*"/>',
    )
    assert [*votable(text).a[0]] == [True, False, True, *[False] * 6, True]


@row("votable", '`<VALUES ref="..."/>`')
def test_shared_domains():
    fields = '<FIELD name="a" datatype="int"><VALUES ref="v"/></FIELD><FIELD name="b" datatype="int"><VALUES ID="v" null="-9"/></FIELD>'
    text = doc("<TR><TD>-9</TD><TD>-9</TD></TR>", fields)
    assert votable(text).isna().values.tolist() == [[True, True]]


@row("votable", "null integer without a declared value")
def test_integers_without_a_value_for_null():
    text = one("int", "1", "", "3")
    assert theirs(lambda: masked(text)).mask.tolist() == [False, True, False]
    assert votable(text).a.isna().tolist() == [False, True, False]
    np.testing.assert_array_equal(votable_dataset(text).a, [1, np.nan, 3])
    with pytest.warns(DataWarning):
        np.testing.assert_array_equal(scichunk.from_votable(text.encode(), "a"), [1, np.nan, 3])


@row("votable", "undefined boolean")
def test_undefined_booleans():
    text = one("boolean", "T", "?", "F")
    assert theirs(lambda: masked(text)).mask.tolist() == [False, True, False]
    assert votable(text).a.isna().tolist() == [False, True, False]
    np.testing.assert_array_equal(votable_dataset(text).a, [1, np.nan, 0])


@row("votable", "NaN in a float")
def test_nan():
    text = one("double", "NaN", "1", "")
    assert theirs(lambda: masked(text)).mask.tolist() == [True, False, True]
    assert votable(text).a.array._pa_array.null_count == 2  # of NaN itself pandas and dask make wrong sums
    assert np.isnan(votable_dataset(text).a.values[0])


@row("votable", "QUERY_STATUS ERROR")
def test_errors_of_services():
    info = '<INFO name="QUERY_STATUS" value="ERROR">no such column</INFO>'
    alone = f'<VOTABLE version="1.4"><RESOURCE type="results">{info}</RESOURCE></VOTABLE>'
    beside = one("int", "1").replace("<TABLE>", f"{info}<TABLE>")
    assert theirs(lambda: list(parse(io.BytesIO(alone.encode())).iter_tables())) == []
    with pytest.raises(FormatError, match="no such column"):
        votable(alone)
    with pytest.warns(DataWarning, match="no such column"):
        assert votable(beside).a.tolist() == [1]


@row("votable", "QUERY_STATUS OVERFLOW")
def test_results_that_were_cut():
    text = one("int", "1").replace("</TABLE>", '</TABLE><INFO name="QUERY_STATUS" value="OVERFLOW"/>')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert theirs(lambda: parse(io.BytesIO(text.encode()), verify="ignore").get_first_table().nrows) == 1
    with pytest.warns(DataWarning, match="OVERFLOW"):
        assert votable_dataset(text).attrs["QUERY_STATUS"] == "OVERFLOW"


@row("votable", "names of columns")
def test_names_are_those_of_the_service():
    fields = '<FIELD ID="i" name="x" datatype="int"/><FIELD name="x" datatype="int"/><FIELD ID="only" datatype="int"/>'
    text = doc("<TR><TD>1</TD><TD>2</TD><TD>3</TD></TR>", fields)
    found = theirs(
        lambda: (
            parse(io.BytesIO(text.replace("only", 'only" name="y').encode()), verify="ignore").get_first_table().array
        )
    )
    assert found.dtype.names[0] == "i"
    assert list(votable(text).columns) == ["x", "x_2", "only"]


@row("votable", "unit")
def test_units_of_votables():
    text = one("double", "1").replace('datatype="double"', 'datatype="double" unit="km.s-1"')
    found = scichunk.read_votable(text.encode())
    assert scichunk.columns(found)["a"]["units"] == "km.s-1"
    assert str(scichunk.to_qtable(found)["a"].unit) == "km / s"


@row("votable", "entity declarations")
def test_entities():
    text = doc("<TR><TD>1</TD><TD>&e;</TD></TR>", before='<!DOCTYPE VOTABLE [<!ENTITY e "x">]>')
    with pytest.raises(FormatError, match="ntit"):
        votable(text)


# ---------------------------------------------------------------- rasters

DATA = ROOT / "test_data"
GRID = {"crs": "EPSG:32633", "transform": from_origin(5e5, 4.6e6, 10, 10)}


def raster(path, values, change=None, **profile):
    """Write a GeoTIFF of shape (band, y, x)."""
    size = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype.name}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", **{**GRID, **size, **profile}) as ds,
    ):
        ds.write(values)
        if change:
            change(ds)
    return path


def both(path, **keywords):
    """Our dataset, and that of the engine ``rasterio``."""
    pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xr.open_dataset(path, engine="scichunk", **keywords), xr.open_dataset(
            path, engine="rasterio", **keywords
        )


WHOLE = np.arange(1, 61, dtype="u2").reshape(3, 4, 5)


@row("geotiff", "integers of which nothing is missing")
def test_integers_of_which_nothing_is_missing(tmp_path):
    ours, other = both(raster(tmp_path / "a.tif", WHOLE))
    assert (ours.band_data.dtype, other.band_data.dtype) == (np.uint16, np.float32)


@row("geotiff", "`.rio.reproject`, `.rio.pad_box`, `merge_arrays` of these")
def test_what_fills_integers(tmp_path):
    ours, other = both(raster(tmp_path / "a.tif", WHOLE))
    wider = [ours.rio.bounds()[i] + d for i, d in enumerate((-10, -10, 10, 10))]
    assert ours.band_data.rio.reproject("EPSG:32640").max() == 65535
    assert np.isnan(other.band_data.rio.reproject("EPSG:32640")).any()
    assert ours.band_data.rio.reproject("EPSG:32640", nodata=0).max() == WHOLE.max()
    assert (ours.band_data.rio.pad_box(*wider)[0, 0] == 0).all()
    assert np.isnan(other.band_data.rio.pad_box(*wider)[0, 0]).all()
    assert (ours.band_data.chunk().rio.pad_box(*wider, constant_values=9)[0, 0] == 9).all()


@row("geotiff", "`.rio.reproject`, `.rio.pad_box`, `merge_arrays` of these")
def test_merged_tiles_of_which_some_are_masked(tmp_path):
    merge = pytest.importorskip("rioxarray.merge").merge_arrays
    if version("rioxarray").startswith("0.18."):
        pytest.skip("this rioxarray fills what is masked, too")
    mask = np.array([[0] * 5] + [[255] * 5] * 3, "u1")
    first = raster(tmp_path / "a.tif", WHOLE)
    east = {"transform": GRID["transform"] @ rasterio.Affine.translation(5, 0)}
    second = raster(tmp_path / "b.tif", WHOLE, lambda ds: ds.write_mask(mask), **east)
    ours, other = zip(both(first), both(second), strict=True)
    assert np.isnan(merge([d.band_data for d in other])[:, 0, 5:]).all()
    with np.errstate(invalid="ignore"):
        assert (merge([d.band_data for d in ours])[:, 0, 5:] == 0).all()
    np.testing.assert_array_equal(merge([d.band_data.astype("f4") for d in ours]), merge([d.band_data for d in other]))


@row("geotiff", "units that are a time (`days since 2000-01-01`)")
def test_units_that_are_a_time(tmp_path):
    path = raster(tmp_path / "a.tif", WHOLE[:1], lambda ds: setattr(ds, "units", ("days since 2000-01-01",)), nodata=0)
    ours, other = both(path)
    assert ours.band_data.values[0, 0, 0] == np.datetime64("2000-01-02")
    assert other.band_data.values[0, 0, 0] == 1
    numbers = xr.open_dataset(path, engine="geotiff", decode_times=False).band_data
    assert (numbers.values[0, 0, 0], np.isnan(numbers.rio.nodata), numbers.rio.encoded_nodata) == (1, True, 0)


@row("geotiff", "`scale_factor`, `add_offset` of 1 and 0")
def test_scales_that_say_nothing(tmp_path):
    ours, other = both(raster(tmp_path / "a.tif", WHOLE), mask_and_scale=False)
    assert (other.band_data.attrs["scale_factor"], other.band_data.attrs["add_offset"]) == (1.0, 0.0)
    assert not {"scale_factor", "add_offset"} & {*ours.band_data.attrs}


def scaled(ds):
    ds.scales, ds.offsets = (0.1,) * 3, (2.0,) * 3


@row("geotiff", "`scale_factor`, `add_offset` of integers of up to 16 bits, and of singles")
def test_scales_of_small_integers(tmp_path):
    path = raster(tmp_path / "a.tif", WHOLE, scaled)
    ours, other = both(path, mask_and_scale=False)
    assert (type(ours.band_data.attrs["scale_factor"]), type(other.band_data.attrs["scale_factor"])) == (
        np.float32,
        float,
    )
    assert xr.decode_cf(ours).band_data.dtype == xr.open_dataset(path, engine="geotiff").band_data.dtype == np.float32


def unlike(ds):
    ds.scales, ds.offsets = (0.1, 0.2, 0.5), (0.0, 1.0, 2.0)


def masked_raster(ds):
    ds.write_mask(np.where(np.arange(20).reshape(4, 5) < 3, 0, 255).astype("u1"))


@row("geotiff", "bands of unlike scale, offset or nodata")
@row("geotiff", "`.rio.encoded_nodata` of these, and under a mask with nodata")
@row("geotiff", "encoding `dtype` under a mask or an alpha band")
def test_bands_that_differ_and_masks(tmp_path):
    path = raster(tmp_path / "a.tif", WHOLE, unlike, nodata=1)
    ours, other = both(path)
    want = np.where(
        WHOLE == 1, np.nan, WHOLE * np.array([0.1, 0.2, 0.5])[:, None, None] + np.array([0, 1, 2])[:, None, None]
    )
    np.testing.assert_allclose(ours.band_data, want, rtol=1e-6)
    ours.to_netcdf(tmp_path / "a.nc")
    np.testing.assert_allclose(xr.open_dataset(tmp_path / "a.nc").band_data, want, rtol=1e-6)
    assert np.isnan(ours.band_data.rio.encoded_nodata)
    assert other.band_data.rio.encoded_nodata == 1
    ours, other = both(raster(tmp_path / "m.tif", WHOLE, masked_raster, nodata=7))
    assert (np.isnan(ours.band_data.rio.encoded_nodata), other.band_data.rio.encoded_nodata) == (True, 7)
    assert (np.dtype(ours.band_data.encoding["dtype"]), np.dtype(other.band_data.encoding["dtype"])) == (
        np.float32,
        np.uint16,
    )


@row("geotiff", "nodata of 64-bit integers beyond 2^53")
def test_nodata_of_64_bits(tmp_path):
    null = 2**53 + 1
    path = raster(tmp_path / "a.tif", np.array([[[null - 1, null]]]), nodata=null)
    text = path.read_bytes() if isinstance(path, Path) else Path(path).read_bytes()
    Path(path).write_bytes(
        text.replace(str(null - 1).encode() + b"\0", str(null).encode() + b"\0")
    )  # as rasterio rounds it
    ours, other = both(path)
    assert (
        np.isnan(ours.band_data.values).ravel().tolist()
        == np.isnan(other.band_data.values).ravel().tolist()
        == [False, True]
    )
    ours, other = both(path, mask_and_scale=False)
    assert (ours.band_data.attrs["_FillValue"], other.band_data.rio.nodata) == (null, null - 1)
    assert np.isnan(xr.decode_cf(ours).band_data.values).all()


@row("geotiff", "complex values with nodata")
def test_complex_nodata(tmp_path):
    values = np.array([[[0, 0 + 1j], [1, 2 + 2j]]], "c8")
    ours, other = both(raster(tmp_path / "a.tif", values, nodata=0))
    assert np.isnan(ours.band_data.values).ravel().tolist() == [True, False, False, False]
    assert np.isnan(other.band_data.values).ravel().tolist() == [True, True, False, False]


@row("geotiff", "control points or RPCs beside a transform")
def test_rpcs_beside_a_transform(tmp_path):
    with rasterio.open(DATA / "rpcs.tif") as ds:
        rpcs = ds.rpcs
    path = raster(tmp_path / "a.tif", WHOLE, lambda ds: setattr(ds, "rpcs", rpcs))
    ours, other = both(path)
    if not hasattr(ours.rio, "get_rpcs"):
        pytest.skip("this rioxarray knows no RPCs")
    assert ours.rio.get_rpcs() is not None
    assert {"x", "y"} <= {*ours.coords}
    assert not {"x", "y"} & {*other.coords}
    assert (ours.rio.crs.to_epsg(), other.rio.crs.to_epsg()) == (32633, 4326)


@row("geotiff", "rasters turned by 90 degrees")
def test_turned_rasters(tmp_path):
    path = raster(tmp_path / "a.tif", WHOLE, transform=rasterio.Affine(0, 10, 5e5, -10, 0, 4e6))
    ours, other = both(path)
    assert ours.xc.dims == ours.yc.dims == ("y", "x")
    assert float(ours.xc[2, 1]) == 5e5 + 10 * 2.5
    assert "xc" not in other.coords


@row("geotiff", "masks under `mask_and_scale=False`")
def test_masks_of_stored_values(tmp_path):
    ours, other = both(raster(tmp_path / "a.tif", WHOLE, masked_raster), mask_and_scale=False)
    assert (ours["mask"].values[0].tolist(), list(other.data_vars)) == ([0, 0, 0, 255, 255], ["band_data"])
    assert "mask" not in xr.open_dataset(
        tmp_path / "a.tif", engine="geotiff", mask_and_scale=False, drop_variables="mask"
    )


@row("geotiff", "colour interpretation, colour maps")
@row("geotiff", "attributes of `x` and `y`")
def test_colours_and_attributes_of_coordinates():
    ours, other = both(DATA / "landcover_palette.tif")
    assert {"colorinterp", "colormap"} <= {*ours.band_data.attrs}
    assert not {"colorinterp", "colormap"} & {*other.band_data.attrs}
    assert {*other.x.attrs.items()} < {*ours.x.attrs.items()}
    assert {"standard_name", "units", "axis"} <= {*ours.x.attrs}


def described(ds):
    ds.units = ("K", "K", "K")
    for band in (1, 2, 3):
        ds.update_tags(band, gain=str(band))
    ds.update_tags(NETCDF_VARNAME="depth")


@row("geotiff", "items of several bands")
@row("geotiff", "`units` of bands that are alike; unnamed ones among others")
@row("geotiff", "`NETCDF_VARNAME`")
def test_what_bands_say(tmp_path):
    ours, other = both(raster(tmp_path / "a.tif", WHOLE, described))
    assert ours.band_data.attrs["gain"] == (1, 2, 3)
    assert (ours.band_data.attrs["units"], list(other.data_vars)) == ("K", ["depth"])
    assert (other["depth"].attrs["gain"], other["depth"].attrs["units"]) == (1, ("K", "K", "K"))
    assert ours.band_data.attrs["NETCDF_VARNAME"] == "depth"

    def partly(ds):
        ds.units = ("K", None, "m")

    ours, _ = both(raster(tmp_path / "b.tif", WHOLE, partly))
    assert ours.band_data.attrs["units"] == ("K", "", "m")


@row("geotiff", "`.rio.clip(from_disk=True)`, `open_kwargs`, `band_as_variable`, `parse_coordinates`")
def test_keywords_of_the_other_engine(tmp_path):
    path = raster(tmp_path / "a.tif", WHOLE)
    for name in ("open_kwargs", "band_as_variable", "parse_coordinates"):
        with pytest.raises(TypeError, match=name):
            xr.open_dataset(path, engine="geotiff", **{name: True})


@row("jpeg2000", "alpha channels of one bit")
@row("jpeg2000", "alpha under `mask_and_scale`")
def test_alpha_of_one_bit(tmp_path):
    alpha = np.full((16, 16), 255, "u1")
    alpha[:4] = 0
    values = np.stack([np.arange(256, dtype="u1").reshape(16, 16), alpha])
    options = {"QUALITY": "100", "REVERSIBLE": "YES", "1BIT_ALPHA": "YES"}
    with rasterio.open(
        tmp_path / "a.jp2", "w", driver="JP2OpenJPEG", count=2, height=16, width=16, dtype="uint8", **GRID, **options
    ) as ds:
        ds.write(values)
        ds.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
    with rasterio.open(tmp_path / "a.jp2") as ds:
        assert set(np.unique(ds.read(2))) == {0, 255}
    assert set(np.unique(scichunk.from_jpeg2000(tmp_path / "a.jp2")[1].compute())) == {0, 1}
    ours, other = both(tmp_path / "a.jp2")
    for ds in (ours, other):
        assert np.isnan(ds.band_data[0]).values[:, 0].tolist() == [True] * 4 + [False] * 12


@row("jpeg2000", "HTJ2K of tiles wider or higher than 1024")
def test_large_tiles_of_high_throughput(tmp_path):
    import imagecodecs

    if not hasattr(imagecodecs, "htj2k_encode"):
        pytest.skip("this imagecodecs writes no HTJ2K")
    image = np.random.default_rng(0).integers(0, 256, (1100, 40)).astype("u1")
    path = tmp_path / "tall.j2c"
    path.write_bytes(imagecodecs.htj2k_encode(image, reversible=True))
    np.testing.assert_array_equal(scichunk.from_jpeg2000(path)[0].compute(), image)
    if RECENT:
        with rasterio.open(path) as ds:
            assert set(np.unique(ds.read(1))) == {128}


# ---------------------------------------------------------------- every row

HEADERS, GRIDS = "tests/formats/test_fits_headers.py", "tests/formats/test_sub_grids.py"
REVIEW = "tests/formats/test_review_fits.py"
ELSEWHERE = {
    ("votable", "two VALUES in a FIELD"): "tests/fuzz/test_finds.py::test_two_domains_of_a_column",
    ("fits", "bytes beyond ASCII in headers"): f"{HEADERS}::test_any_byte_leaves_the_sky_alone",
    ("fits", "TDIM of one axis, shorter than the text"): f"{HEADERS}::test_shapes_of_texts",
    ("fits", "P descriptors beyond 2 GB"): f"{HEADERS}::test_heaps_beyond_two_gigabytes",
    ("fits", "forms `E`, `D`, `F`, `I` without a width in ASCII tables"): f"{HEADERS}::test_fields_without_a_width",
    ("fits", "numbers of ASCII tables without a point (`125` of form F6.2)"): f"{REVIEW}::test_implicit_points",
    (
        "fits",
        "BZERO and BLANK of random groups",
    ): f"{REVIEW}::test_stored_values_of_images_that_astropy_reads",
    ("fits", "reference point, CUNIT = arcsec, mas, rad, ..."): f"{HEADERS}::test_units_of_the_reference_point",
    ("fits", "time axes with CUNIT = d, h, min, or TIMEUNIT"): f"{HEADERS}::test_units_of_times",
    ("fits", "MJDREF in two parts"): f"{HEADERS}::test_references_of_times",
    ("fits", "JDREF, DATEREF"): f"{HEADERS}::test_references_of_times",
    ("fits", "`WCS.slice` with a step"): f"{GRIDS}::test_images",
    ("fits", "integers picked from a cube"): f"{GRIDS}::test_the_axes_are_those_of_the_array",
    ("fits", "keywords of the primary header (INHERIT = T)"): f"{HEADERS}::test_inherit",
    ("fits", "several cards of one keyword"): f"{HEADERS}::test_of_several_cards_the_last_scales_the_pixels",
    ("fits", "several threads"): "tests/formats/test_fits.py::test_threads_share_an_array",
    (
        "geotiff",
        "files without georeference",
    ): "tests/formats/test_hints.py::test_a_system_without_a_place_warns_and_a_picture_does_not",
    (
        "geotiff",
        "tags that lie outside of the file",
    ): "tests/formats/test_raster_texts.py::test_a_tag_outside_of_the_file_is_left_out",
    (
        "geotiff",
        "VRT texts, `/vsi...` names, rasterio's datasets",
    ): "tests/formats/test_hints.py::test_contents_are_named",
    ("jpeg2000", "signed components of up to 8 bits"): "tests/formats/test_jpeg2000.py::test_signed_stays_signed",
    ("jpeg2000", "components of several sizes"): "tests/formats/test_jpeg2000.py::test_components_of_unequal_size",
    (
        "jpeg2000",
        "COC, QCC before COD, QCD, and POC before COD",
    ): "tests/formats/test_jpeg2000_headers.py::test_what_is_said_of_a_component_is_stronger_in_any_order",
    ("jpeg2000", "palettes"): "tests/formats/test_jpeg2000.py::test_palette",
    (
        "jpeg2000",
        "channel definitions that say another order",
    ): "tests/formats/test_jpeg2000.py::test_channel_definition",
    (
        "jpeg2000",
        "images and tiles that begin off the grid",
    ): "tests/differential/test_jpeg2000_matrix.py::test_offsets_and_transforms",
    (
        "votable",
        "length of a `2x*` array in a stream",
    ): "tests/formats/test_votable.py::test_lengths_of_arrays_count_items_or_elements",
}


def rows_of(page):
    """The first cells of the tables under headings that begin with *What differs*."""
    under, found = False, []
    for line in PAGES[page].read_text("utf-8").splitlines():
        if line.startswith("#"):
            under = line.lstrip("# ").startswith("What differs")
        elif under and line.startswith("|") and not re.fullmatch(r"[|\s-]+", line):
            found.append(line.split(" | ")[0].strip("| "))
    return found[1:]


@pytest.mark.parametrize("page", PAGES)
def test_every_row_has_a_test(page):
    known = {first for where, first in CHECKED | ELSEWHERE.keys() if where == page}
    assert set(rows_of(page)) == known
    assert not CHECKED & ELSEWHERE.keys()


@pytest.mark.parametrize("where", sorted({*ELSEWHERE.values()}))
def test_tests_elsewhere_are_there(where):
    path, _, name = where.partition("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
