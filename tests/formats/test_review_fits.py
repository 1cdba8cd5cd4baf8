# objects of xarray, not of pandas
"""Faults of FITS files that a review by hand has found: files that are sound but odd, where no mutant of sound files gets."""

import gzip
import io
import time

import imagecodecs
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.codecs.gzip_members import gunzip_into
from scichunk.errors import FormatError
from tests.fits_tables import card, compress, padded, table

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
