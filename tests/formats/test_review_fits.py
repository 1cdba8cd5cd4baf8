# ruff: noqa: PD011  # objects of xarray, not of pandas
"""Faults of FITS files that a review by hand has found: files that are sound but odd, where no mutant of sound files gets."""

import gzip
import io
import subprocess
import sys
import time

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.codecs.gzip_members import gunzip_into
from scichunk.errors import FormatError, MetadataWarning, UnsupportedFeature
from scichunk.formats.fits import world_tables
from scichunk.formats.fits.cards import Cards
from scichunk.sky import times, wcs
from scichunk.sky.tables import pack_tables
from tests.fits_tables import PRIMARY, card, compress, header, padded, table

FIRST = (("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 1), ("NAXIS1", 4))


# ---- tiles


@pytest.mark.parametrize(("code", "dtype"), [("B", "u1"), ("I", ">i2"), ("J", ">i4")])
def test_rice_columns_whose_stream_is_as_long_as_their_values(code, dtype):
    rng = np.random.default_rng(0)
    met = 0
    for _ in range(3000):
        values = rng.integers(0, 1 << rng.integers(1, 7 * np.dtype(dtype).itemsize), rng.integers(2, 9)).astype(dtype)
        raw = values.tobytes()
        native = values.astype(values.dtype.newbyteorder("="))
        if len(bytes(imagecodecs.rcomp_encode(native, nblock=32))) != len(raw):
            continue
        met += 1
        data = compress(table([code], raw, len(values)), len(values), ["RICE_1"])
        assert scichunk.read_fits_table(data).compute()["c1"].tolist() == values.tolist()
        if met == 5:
            return
    pytest.fail("no such stream")


def test_logicals_of_tiles_that_share_their_bytes_are_not_looked_through():
    packed = gzip.compress(b"T" * 10_000_000)
    pairs = np.tile(np.array([len(packed), 0], ">i8"), 2000).tobytes()
    layout = {"ZTABLE": True, "ZTILELEN": 10_000, "ZNAXIS1": 1000, "ZNAXIS2": 20_000_000, "ZFORM1": "1000L", "ZCTYP1": "GZIP_1"}  # fmt: skip
    data = table(["1QB"], pairs, 2000, packed, **layout)
    start = time.process_time()
    ds = xr.open_dataset(io.BytesIO(data), engine="fits")
    assert time.process_time() - start < 10
    assert ds["c1"][:2].values.all()


def test_arrays_that_are_stored_as_they_are_may_begin_like_gzip():
    cells = [b"\x1f\x8b\x01\x02", b"abcd"]
    pairs = np.array([[4, 0], [4, 0]], ">i8").tobytes() + np.array([[4, 0], [4, 4]], ">i8").tobytes()
    packed = gzip.compress(pairs)
    layout = {"ZTABLE": True, "ZTILELEN": 2, "ZNAXIS1": 16, "ZNAXIS2": 2, "ZFORM1": "1QB(4)", "ZCTYP1": "GZIP_1"}
    row = np.array([len(packed), 8], ">i8").tobytes()
    data = table(["1QB"], row, 1, b"".join(cells) + packed, **layout)
    found = scichunk.read_fits_table(data).compute()["c1"]
    assert [bytes(cell) for cell in found] == cells


def test_tiles_of_several_gzip_members():
    values = np.arange(300, 308, dtype=">i2")
    tiles = [gzip.compress(values[:2].tobytes()) + gzip.compress(values[2:4].tobytes()), gzip.compress(values[4:].tobytes())]  # fmt: skip
    rows = np.array([[len(tiles[0]), 0], [len(tiles[1]), len(tiles[0])]], ">i4").tobytes()
    image = {"ZIMAGE": True, "ZBITPIX": 16, "ZNAXIS": 2, "ZNAXIS1": 4, "ZNAXIS2": 2, "ZTILE1": 4, "ZTILE2": 1, "ZCMPTYPE": "GZIP_1"}  # fmt: skip
    data = table(["1PB"], rows, 2, b"".join(tiles), names=["COMPRESSED_DATA"], **image)
    np.testing.assert_array_equal(scichunk.from_fits(data).compute(), values.reshape(2, 4))
    column = compress(table(["I"], values.tobytes(), 8), 8, ["NOCOMPRESS"])
    assert scichunk.read_fits_table(column).compute()["c1"].tolist() == values.tolist()


def test_members_of_gzip_are_bounded():
    assert gunzip_into(np.frombuffer(gzip.compress(b"ab") + gzip.compress(b"c"), np.uint8), np.zeros(9, np.uint8)) == 3
    for data in (
        gzip.compress(b"") * 5000,
        gzip.compress(b"a" * 20) + gzip.compress(b"b" * 200),
        gzip.compress(b"a") + gzip.compress(b"b")[:-3],
    ):
        with pytest.raises(FormatError, match="gzip"):
            gunzip_into(np.frombuffer(data, np.uint8), np.zeros(100, np.uint8))


# ---- ASCII tables


@pytest.mark.parametrize(
    ("form", "texts", "wanted"),
    [
        ("F6.2", ["   125", "  -125", "  1.25", "    5 "], [1.25, -1.25, 1.25, 0.05]),
        ("E6.1", [" 15E+1", "  15-1", " 1.5E1", "    15"], [15, 0.15, 15, 1.5]),
        ("F6.0", ["   125"], [125]),
        ("D6", ["   125"], [125]),
        ("F6.99999", ["   125"], [0]),
        ("I6", ["   125"], [125]),
    ],
)
def test_implicit_points(form, texts, wanted):
    data = table([form], "".join(texts).encode(), len(texts), kind="TABLE", TBCOL1=1)
    assert scichunk.read_fits_table(data).compute()["c1"].tolist() == wanted


def test_implicit_points_are_before_scaling():
    data = table(["F6.1"], b"   125   NaN      ", 3, kind="TABLE", TBCOL1=1, TSCAL1=2.0, TZERO1=1.0)
    found = xr.open_dataset(io.BytesIO(data), engine="fits")["c1"].values
    np.testing.assert_array_equal(found, [26, np.nan, np.nan])


def test_many_columns_without_a_width_take_linear_time(monkeypatch):
    starts = {f"TBCOL{i}": 2 * i - 1 for i in range(1, 1000)}
    data = table(["I"] * 999, b"12" * 999, 1, kind="TABLE", **starts)
    asked = []
    get = Cards.get
    monkeypatch.setattr(Cards, "get", lambda self, name: asked.append(name) or get(self, name))
    assert scichunk.info(data).arrays[0].shape == (1,)
    assert len(asked) < 30 * 999


# ---- headers


def long_text(count):
    """A keyword whose text goes on for many cards."""
    more = "".join(("CONTINUE  '" + "b" * 67 + "&'").ljust(80) for _ in range(count))
    text = "".join(card(*c) for c in (*FIRST, ("CTYPE1", "FREQ"), ("LONGS", "a&"))) + more + "CONTINUE  'c'".ljust(80)
    text += "END".ljust(80)
    return padded(text.ljust(-(-len(text) // 2880) * 2880).encode() + bytes(4))


def test_texts_of_very_many_cards_take_linear_time():
    xr.open_dataset(io.BytesIO(long_text(3)), engine="fits")
    start = time.process_time()
    ds = xr.open_dataset(io.BytesIO(long_text(60_000)), engine="fits")
    assert time.process_time() - start < 10
    assert ds.attrs["LONGS"] == "a" + "b" * 67 * 60_000 + "c"


@pytest.mark.parametrize(("cards", "wanted"), [(["a&"], "a&"), (["a&", "b&"], "ab"), (["a&", ""], "a"), (["a&", "b&", "c"], "abc")])  # fmt: skip
def test_ends_of_long_texts(cards, wanted):
    text = "".join(card(*c) for c in FIRST) + card("LONGS", cards[0])
    text += "".join(f"CONTINUE  '{c}'".ljust(80) for c in cards[1:]) + "END".ljust(80)
    data = padded(text.ljust(2880).encode() + bytes(4))
    assert scichunk.open(data, chunks=None).attrs["LONGS"] == wanted
    assert fits.getheader(io.BytesIO(data))["LONGS"] == wanted


def test_long_texts_that_are_there_many_times_take_linear_time():
    more = "".join(("CONTINUE  '" + "b" * 60 + "&'").ljust(80) for _ in range(6000)) + "CONTINUE  'c'".ljust(80)
    data = table(["I"], b"\0\1", 1, TUNIT1="a&")
    head = data[len(PRIMARY) :].split(b"END  ")[0] + more.encode() + card("TUNIT1", "x").encode() * 6000
    data = PRIMARY + padded_header(head) + padded(b"\0\1")
    start = time.process_time()
    assert xr.open_dataset(io.BytesIO(data), engine="fits")["c1"].units == "a" + "b" * 60 * 6000 + "c"
    assert time.process_time() - start < 10


def padded_header(cards):
    cards += b"END".ljust(80)
    return cards.ljust(-(-len(cards) // 2880) * 2880)


def heirs(keywords, extensions):
    """Extensions that inherit a primary header."""
    first = "".join(card(*c) for c in (("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0)))
    first += "".join(card(f"K{i}", i) for i in range(keywords))
    image = (("XTENSION", "IMAGE"), ("BITPIX", 8), ("NAXIS", 1), ("NAXIS1", 2), ("PCOUNT", 0), ("GCOUNT", 1), ("INHERIT", True))  # fmt: skip
    return padded_header(first.encode()) + (header(*image) + padded(b"ab")) * extensions


def test_long_primary_headers_are_inherited_within_the_limit_of_headers():
    tree = scichunk.open(heirs(1000, 3), chunks=None)
    assert [node.attrs["K999"] for node in tree.children.values()] == [999] * 3
    with scichunk.options.set(max_header_bytes=3 * 1000 * 512), pytest.warns(MetadataWarning, match="not inherited: 3 copies"):  # fmt: skip
        tree = scichunk.open(heirs(1000, 3), chunks=None)
    assert tree.attrs["K999"] == 999
    assert all("K999" not in node.attrs for node in tree.children.values())
    with scichunk.options.set(max_header_bytes=1 << 20):  # short ones share their values
        tree = scichunk.open(heirs(500, 5), chunks=None)
    assert [node.attrs["K499"] for node in tree.children.values()] == [499] * 5
    with scichunk.options.set(max_header_bytes=1 << 18), pytest.warns(MetadataWarning, match="not inherited: 5 copies"):
        tree = scichunk.open(heirs(500, 5), chunks=None)  # nor are very many short copies
    assert [node.attrs.get("K499") for node in tree.children.values()] == [None] * 5


def test_names_of_megabytes_are_no_part_of_attributes():
    long = "".join(("CONTINUE  '" + "b" * 60 + "&'").ljust(80) for _ in range(50)) + "CONTINUE  'c'".ljust(80)
    data = table(["B", "B"], b"\0\1", 1, names=[None, "short"], TC1_1=1.5, TC2_2=2.5)
    start, end = len(PRIMARY), data.index(b"END  ", len(PRIMARY))
    data = PRIMARY + padded_header(data[start:end] + card("TTYPE1", "a&").encode() + long.encode()) + padded(b"\0\1")
    first, second = scichunk.info(data).arrays[:1], xr.open_dataset(io.BytesIO(data), engine="fits")
    assert first
    assert [list(v.attrs) for v in second.data_vars.values()] == [[], ["TCn_short"]]


# ---- world coordinates


def image_with(shape=(4,), **cards):
    hdu = fits.PrimaryHDU(np.zeros(shape, np.uint8))
    hdu.header.update(cards)
    out = io.BytesIO()
    hdu.writeto(out)
    return out.getvalue()


TIME = {"CTYPE1": "TIME", "CUNIT1": "s", "CRPIX1": 1.0, "CRVAL1": 0.0, "CDELT1": 1.0}


@pytest.mark.parametrize("reference", ["today", "now", "99999-01-01", "2000-13-01", "2000-01-01T00:00:00+03:00"])
def test_dates_that_are_none_are_no_reference(reference):
    times = scichunk.open(image_with(**TIME, DATEREF=reference), chunks=None)["time"]
    assert times.dtype == np.float64
    assert times.values.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("reference", ["2000-01-01", "2000-01-01T00:00:00", "2000-01-01T00:00:00.0", "2000-01-01T00:00:00Z", "2000-01-01T00:00"])  # fmt: skip
def test_dates_that_are_a_reference(reference):
    times = scichunk.open(image_with(**TIME, DATEREF=reference), chunks=None)["time"]
    assert times.values[1] == np.datetime64("2000-01-01T00:00:01", "ns")


@pytest.mark.filterwarnings("ignore::scichunk.errors.MetadataWarning")
@pytest.mark.parametrize("reference", [{"MJDREF": 1e300}, {"DATEREF": "1600-01-01"}, {"MJDREF": "nan"}])
def test_a_reference_that_is_impossible_leaves_the_other_axes(reference):
    frequency = {"CTYPE2": "FREQ", "CRPIX2": 1.0, "CRVAL2": 5.0, "CDELT2": 1.0}
    ds = scichunk.open(image_with((2, 4), **TIME, **frequency, **reference), chunks=None)
    assert ds["frequency"].values.tolist() == [5, 6]
    assert ds["time"].values.tolist() == [0, 1, 2, 3]


@pytest.mark.filterwarnings("ignore::scichunk.errors.MetadataWarning")
@pytest.mark.parametrize(("day", "step"), [(57753, 1.0), (57753, -7.0), (41000, 86400.0), (40000, 3600.0), (50000, 0.001)])  # fmt: skip
def test_long_axes_of_times_equal_short_ones(monkeypatch, day, step):
    head = {**TIME, "CDELT1": step, "MJDREF": float(day), "TIMESYS": "UTC"}
    wanted = scichunk.open(image_with((2000,), **head), chunks=None)["time"].values
    monkeypatch.setattr(times, "_AT_ONCE_TIMES", 100)
    found = scichunk.open(image_with((2001,), **head), chunks=None)["time"].values[:2000]
    np.testing.assert_array_equal(found, wanted)


def test_long_axes_of_times_take_little_memory():
    code = (
        "import resource, scichunk, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "data = sys.stdin.buffer.read()\n"
        "scichunk.open(data.replace(b'4194304', b'      4'), chunks=None)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "scichunk.open(data, chunks=None)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    data = image_with(**TIME, MJDREF=50000.0).replace(
        b"NAXIS1  =                    4", b"NAXIS1  =              4194304"
    )
    grown = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True).stdout
    assert int(grown) < 40 * 4 * 1024  # kB: forty bytes a time


def tabular(images, rows, pixels=4):
    """Images that refer to one table of wavelengths."""
    wavelengths = np.linspace(1e-7, 9e-7, rows)
    coordinates = fits.Column("C", f"{rows}D", dim=f"(1,{rows})", array=wavelengths.reshape(1, rows, 1))
    index = fits.Column("I", f"{rows}D", array=np.arange(1.0, rows + 1).reshape(1, rows))
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns([coordinates, index], name="WTAB")]
    for i in range(images):
        hdu = fits.ImageHDU(np.zeros(pixels, np.uint8), name=f"S{i}")
        hdu.header.update(
            CTYPE1="WAVE-TAB", CUNIT1="m", CRPIX1=1.0, CRVAL1=1.0 + i, CDELT1=1.0, PS1_0="WTAB", PS1_1="C", PS1_2="I"
        )
        hdus.append(hdu)
    out = io.BytesIO()
    fits.HDUList(hdus).writeto(out)
    return out.getvalue(), wavelengths


def test_images_share_the_text_of_their_tables(monkeypatch):
    data, wavelengths = tabular(3, 20)
    packed = []
    monkeypatch.setattr(world_tables, "pack_tables", lambda hdus: packed.append(1) or pack_tables(hdus))
    tree = scichunk.open(data, chunks=None)
    for i in range(3):
        np.testing.assert_allclose(tree[f"S{i}"]["wavelength"].values, wavelengths[i : i + 4])
    assert len(packed) == 1
    assert len({id(tree[f"S{i}"][f"s{i}"].attrs["wcs_tables"]) for i in range(3)}) == 1


@pytest.mark.filterwarnings("ignore::scichunk.errors.MetadataWarning")
def test_tables_of_very_many_images_are_left_out(monkeypatch):
    data, _ = tabular(3, 20)
    monkeypatch.setattr(world_tables, "_MOST_TOGETHER", 17_000)
    with pytest.warns(MetadataWarning, match="tables, more than 17000: they are left out"):
        tree = scichunk.open(data, chunks=None)
    assert all("wcs_tables" not in tree[f"S{i}"][f"s{i}"].attrs for i in range(3))
    assert tree["S0"]["s0"].values.tolist() == [0, 0, 0, 0]


def test_axes_that_are_too_long_for_their_tables(monkeypatch):
    data, wavelengths = tabular(1, 20)
    monkeypatch.setattr(wcs, "_MOST_STEPS", 79)
    with pytest.warns(MetadataWarning, match="4 pixels are too many for the tables"):
        ds = scichunk.open(data, chunks=None)["S0"]
    assert ds["x"].values.tolist() == [0, 1, 2, 3] if "x" in ds.dims else ds["wavelength"].dtype == np.int64
    monkeypatch.setattr(wcs, "_MOST_STEPS", 80)
    np.testing.assert_allclose(scichunk.open(data, chunks=None)["S0"]["wavelength"].values, wavelengths[:4])


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ({**TIME, "MJDREF": 50000.0, "TIMESYS": "TT"}, {"TIMESYS": "UTC"}, "time_scale of axis time is 'utc' instead of 'tt'"),
        ({**TIME, "CTYPE1": "LINEAR", "CUNIT1": "m"}, {"CUNIT1": "K"}, "units of axis x is 'K' instead of 'm'"),
        ({**TIME, "CTYPE1": "VRAD", "CUNIT1": "m/s"}, {"CTYPE1": "VOPT"}, "physical_type of axis velocity"),
    ],
)  # fmt: skip
def test_stacks_of_axes_that_count_other_things(tmp_path, one, other, message):
    for name, cards in (("a", one), ("b", one), ("c", one | other)):
        (tmp_path / f"{name}.fits").write_bytes(image_with(**cards))
    paths = {name: str(tmp_path / f"{name}.fits") for name in "abc"}
    assert scichunk.from_fits_files([paths["a"], paths["b"]]).shape == (2, 4)
    with pytest.raises(FormatError, match=message):
        scichunk.from_fits_files([paths["a"], paths["c"]])


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["2020-01-02", "today"], ["2020-01-02", "today"]),
        (["now", "2020-01-01"], ["2020-01-01", "now"]),
        (["1234", "0999"], ["0999", "1234"]),
    ],
    ids=str,
)
def test_labels_of_stacks_that_are_no_dates(tmp_path, texts, wanted):
    for name, text in zip("ab", texts, strict=True):
        (tmp_path / f"{name}.fits").write_bytes(image_with(OBSERVED=text))
    stack = scichunk.open_stack([str(tmp_path / f"{n}.fits") for n in "ab"], dim="time", coordinate="OBSERVED")
    assert stack["time"].values.tolist() == wanted


@pytest.mark.filterwarnings("error")
def test_labels_of_stacks_that_are_dates(tmp_path):
    for name, text in (("a", "2020-01-02T03:04:05.6Z"), ("b", "2020-01-02"), ("c", "1678-01-01T00:00")):
        (tmp_path / f"{name}.fits").write_bytes(image_with(OBSERVED=text))
    stack = scichunk.open_stack([str(tmp_path / f"{n}.fits") for n in "abc"], dim="time", coordinate="OBSERVED")
    wanted = ["1678-01-01T00:00", "2020-01-02", "2020-01-02T03:04:05.6"]
    np.testing.assert_array_equal(stack["time"].values, np.array(wanted, "M8[ns]"))


# ---- stored values of images that astropy reads


def smooth_image(**cards):
    values = np.random.default_rng(0).integers(-100, 100, (16, 16)).astype("i2")
    packed = fits.CompImageHDU(values, compression_type="HCOMPRESS_1", hcomp_smooth=1, hcomp_scale=2, tile_shape=(8, 8))
    out, edited = io.BytesIO(), io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(out)
    with fits.open(io.BytesIO(out.getvalue()), disable_image_compression=True) as file:
        file[1].header.update(cards)
        file.writeto(edited)
    return edited.getvalue()


def test_many_images_that_astropy_reads_take_linear_time():
    one = smooth_image()
    data = one[:2880] + one[2880:] * 80
    scichunk.info(one)
    start = time.process_time()
    found = scichunk.info(data).arrays
    assert time.process_time() - start < 10
    assert len(found) == 80
    wanted = scichunk.from_fits(one, hdu=1).compute()
    np.testing.assert_array_equal(scichunk.from_fits(data, hdu=79).compute(), wanted)


def groups_image(tmp_path, **cards):
    values = np.arange(42, dtype="i2").reshape(7, 1, 2, 3)
    hdu = fits.GroupsHDU(fits.GroupData(values, bitpix=16, parnames=["UU"], pardata=[np.arange(7)]))
    hdu.header.update(cards)
    fits.HDUList([hdu]).writeto(tmp_path / "groups.fits")
    return (tmp_path / "groups.fits").read_bytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["smooth", "groups"])
@pytest.mark.parametrize("cards", [{"BSCALE": 0.5, "BZERO": 3.0}, {"BLANK": 7}, {"BZERO": 32768}], ids=str)
def test_stored_values_of_images_that_astropy_reads(tmp_path, kind, cards):
    data = smooth_image(**cards) if kind == "smooth" else groups_image(tmp_path, **cards)
    stored = scichunk.from_fits(data, raw=True).compute()
    assert stored.dtype == np.int16
    names = {"engine": "fits"}
    values = next(iter(xr.open_dataset(io.BytesIO(data), **names).data_vars.values()))
    raw = next(iter(xr.open_dataset(io.BytesIO(data), **names, mask_and_scale=False).data_vars.values()))
    np.testing.assert_array_equal(raw.values, stored)
    scaled = stored.astype(float) * raw.attrs.get("scale_factor", 1) + raw.attrs.get("add_offset", 0)
    wanted = np.where(stored == raw.attrs["_FillValue"], np.nan, scaled) if "_FillValue" in raw.attrs else scaled
    np.testing.assert_array_equal(values.values, wanted)


def test_a_blank_that_is_no_integer_is_left_out_of_what_astropy_reads():
    data = smooth_image(BLANK=True)
    with pytest.warns(MetadataWarning, match="BLANK is True"):
        values = scichunk.from_fits(data).compute()
    np.testing.assert_array_equal(values, scichunk.from_fits(data, raw=True).compute())
    assert values.dtype == np.int16


# ---- writing


@pytest.mark.parametrize("name", ["TSCAL", "TZERO", "TNULL", "TDIM", "TFORM", "TTYPE", "ZFORM", "ZCTYP"])
def test_attributes_named_like_storage_change_no_values(tmp_path, name):
    value = {"TDIM": "(1)", "TFORM": "1J", "TTYPE": "b", "ZFORM": "1J", "ZCTYP": "RICE_1"}.get(name, 2)
    others = {"ZIMAGE": True, "CONTINUE": "a", "GROUPS": True, "ZTABLE": True}
    ds = xr.Dataset({"a": ("row", np.array([1, 2, 3], "i2"), {name: value})}, attrs={f"{name}1": value, "OK": 1, **others})  # fmt: skip
    scichunk.write_fits_table(ds, tmp_path / "a.fits")
    assert scichunk.read_fits_table(tmp_path / "a.fits").compute()["a"].tolist() == [1, 2, 3]
    with fits.open(tmp_path / "a.fits") as file:
        assert file[1].data["a"].tolist() == [1, 2, 3]
        assert file[1].header["OK"] == 1


def test_tables_of_too_many_columns_are_not_written(tmp_path):
    columns = {f"c{i}": np.arange(2) for i in range(1000)}
    scichunk.write_fits_table(pa.table({name: columns[name] for name in [*columns][:999]}), tmp_path / "a.fits")
    assert scichunk.read_fits_table(tmp_path / "a.fits").compute().shape == (2, 999)
    before = (tmp_path / "a.fits").read_bytes()
    with pytest.raises(UnsupportedFeature, match="1000 columns: a table of FITS has 999"):
        scichunk.write_fits_table(pa.table(columns), tmp_path / "a.fits", overwrite=True)
    assert (tmp_path / "a.fits").read_bytes() == before


@pytest.mark.parametrize("labels", [[0, 1], ["a", 1], [("a", "b"), ("a", "c")]], ids=str)
def test_frames_whose_labels_are_no_texts(tmp_path, labels):
    frame = pd.DataFrame([[1, 2.5], [3, 4.5]], columns=labels)
    scichunk.write_fits_table(frame, tmp_path / "a.fits")
    found = scichunk.read_fits_table(tmp_path / "a.fits").compute()
    assert list(found.columns) == [str(label) for label in labels]
    assert found.to_numpy().tolist() == [[1, 2.5], [3, 4.5]]


# ---- printing


@pytest.mark.parametrize("display", ["I4.2", "B8", "O3", "Z8.8", "F8.1", "E10.3", "G9.2", "A5"])
@pytest.mark.parametrize("null", [{}, {"TNULL1": 1}], ids=["", "null"])
def test_quantities_of_integers_can_be_printed(display, null):
    data = table(["1J"], np.array([1, 2], ">i4").tobytes(), 2, TDISP1=display, TUNIT1="km/s", **null)
    assert "2" in str(scichunk.to_qtable(scichunk.read_fits_table(data)))
