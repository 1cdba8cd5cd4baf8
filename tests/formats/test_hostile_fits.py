"""FITS files whose headers lie: typed errors, and nothing malformed reaches the C code of another library."""

import gzip
import io
import re
import struct
import warnings

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.core.handles import open_file
from scichunk.errors import FormatError, LimitExceeded, MetadataWarning, UnsupportedFeature
from scichunk.sources import locate
from tests.children import outcomes
from tests.fits_tables import PRIMARY, header, padded, table

PIXELS = np.arange(4096, dtype=np.int32).reshape(64, 64)


def compressed(kind="RICE_1", **options):
    file = io.BytesIO()
    hdus = [fits.PrimaryHDU(), fits.CompImageHDU(PIXELS, compression_type=kind, tile_shape=(1, 64), **options)]
    fits.HDUList(hdus).writeto(file)
    return file.getvalue()


def changed(data, **cards):
    """The file with other values on the cards of these names, each once."""
    for name, value in cards.items():
        text = f"'{value:<8}'" if isinstance(value, str) else f"{value:>20}"
        card = f"{name:<8}= {text}".ljust(80).encode()
        data, count = re.subn(rf"(?s){name:<8}= .{{70}}".encode(), lambda _, card=card: card, data, count=1)
        assert count == 1
    return data


@pytest.mark.parametrize("reader", ["auto", "reference"])
def test_impossible_parameters_of_rice(reader):
    all_cards = [
        {"ZVAL2": -1}, {"ZVAL2": -4}, {"ZVAL2": 0}, {"ZVAL2": 3}, {"ZVAL2": 2147483647}, {"ZVAL2": 1e300}, {"ZVAL2": 2.5},
        {"ZVAL1": 0}, {"ZVAL1": -32}, {"ZVAL1": 1 << 40}, {"ZVAL2": "1E999"}, {"ZVAL2": -1, "ZCMPTYPE": "RICE_ONE"},
    ]  # fmt: skip
    files = [changed(compressed(), **cards) for cards in all_cards]
    assert outcomes(*[f"scichunk.from_fits({data!r}, reader={reader!r}).compute()" for data in files]) == [
        "FormatError"
    ] * len(files)


def test_possible_parameters_of_rice_are_read():
    for size in (1, 2, 4):
        data = io.BytesIO()
        pixels = (PIXELS % 100).astype(f"u{size}" if size == 1 else f"i{size}")
        fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels, compression_type="RICE_1")]).writeto(data)
        np.testing.assert_array_equal(scichunk.from_fits(data.getvalue()).compute(), pixels)


def test_impossible_numbers_of_fields():
    files = [
        changed(compressed(), TFIELDS=n, ZCMPTYPE=k) for n in (2147483647, 1000, -1) for k in ("UNKNOWN", "RICE_1")
    ]
    reads = [f"scichunk.from_fits({data!r}, reader={r!r}).compute()" for data in files for r in ("auto", "reference")]
    assert outcomes(*reads) == ["FormatError"] * 12


def test_impossible_numbers_of_fields_before_the_image_that_is_asked_for():
    table = fits.BinTableHDU(np.zeros(3, [("a", "i4")]), name="BAD")
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(PIXELS, name="GOOD")]).writeto(file)
    data = changed(file.getvalue(), TFIELDS=2147483647)
    np.testing.assert_array_equal(scichunk.from_fits(data, hdu="GOOD").compute(), PIXELS)
    # astropy never sees the header before it, over whose fields it would loop
    assert outcomes(f"scichunk.from_fits({data!r}, hdu='GOOD', reader='reference').compute()") == [""]
    np.testing.assert_array_equal(scichunk.from_fits(data, hdu="GOOD", reader="reference").compute(), PIXELS)


@pytest.mark.parametrize("cards", [{"NAXIS": 1000}, {"PCOUNT": -1}, {"GCOUNT": -1}, {"NAXIS1": -8}], ids=str)
def test_impossible_sizes(cards):
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(PIXELS, name="BAD")]).writeto(file)
    head, data = file.getvalue()[:2880], file.getvalue()[2880:]
    with pytest.warns(scichunk.errors.MetadataWarning, match="no HDU"), pytest.raises(FormatError):
        scichunk.from_fits(head + changed(data, **cards), hdu="BAD")


@pytest.mark.parametrize("kind", ["GZIP_1", "GZIP_2"])
def test_a_damaged_gzip_header(kind):
    data = compressed(kind)
    at = data.index(b"\x1f\x8b")
    with pytest.raises(FormatError, match="gzip") as caught:
        scichunk.from_fits(data[:at] + b"\x00" + data[at + 1 :]).compute()
    assert "tile 0" in caught.value.part


def one_tile(pixels, **cards):
    """A compressed image of one tile of GZIP_1; texts of numbers stand on their cards as they are."""
    tile = np.empty(1, object)
    tile[0] = np.frombuffer(gzip.compress(pixels.tobytes()), "u1")
    hdu = fits.BinTableHDU.from_columns([fits.Column("COMPRESSED_DATA", "PB", array=tile)])
    head = {"ZIMAGE": True, "ZCMPTYPE": "GZIP_1", "ZBITPIX": 8 * pixels.itemsize, "ZNAXIS": 1, "ZNAXIS1": pixels.size}
    hdu.header.update(
        head | {"ZTILE1": pixels.size} | {name: fits.card.Undefined() for name in cards} | {"EXTNAME": "A"}
    )
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    data = file.getvalue()
    for name, text in cards.items():
        data = data.replace(f"{name:<8}=".ljust(80).encode(), f"{name:<8}= {text}".ljust(80).encode(), 1)
    return data


@pytest.mark.parametrize("name", ["BLOCKSIZE", "BYTEPIX"])
def test_infinite_parameters(name):
    """They are read whatever the algorithm is."""
    data = one_tile(np.arange(64, dtype=">i2"), ZNAME1=f"'{name}'", ZVAL1="1E999")
    with pytest.raises(FormatError, match=f"{name} is inf") as caught:
        scichunk.from_fits(data)
    assert caught.value.url


def test_seeds_of_any_size_that_nothing_needs():
    pixels = np.arange(64, dtype=">i4")
    for seed in ("1" + "0" * 40, str(2**63 - 1), str(-(2**63))):
        data = one_tile(pixels, ZDITHER0=seed, ZBITPIX="-32", ZSCALE="1.0", ZZERO="0.0")
        np.testing.assert_array_equal(scichunk.from_fits(data).compute(), pixels)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kernel_bytes", [0, 1 << 22])
@pytest.mark.parametrize(("name", "value"), [("BSCALE", "1E300"), ("BZERO", "1" + "0" * 60), ("BZERO", "-1E300")])
def test_scalings_beyond_the_type_of_the_values(name, value, kernel_bytes):
    with scichunk.options.set(kernel_bytes=kernel_bytes):
        found = scichunk.from_fits(one_tile(np.arange(1, 65, dtype=">i2"), **{name: value})).compute()
    assert found.dtype == np.float32
    assert (found == (-np.inf if value.startswith("-") else np.inf)).all()


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("536870912A", "BINTABLE"), ("A536870912", "BINTABLE"), ("A999999999", "TABLE"), ("1099511627776E", "BINTABLE"),
        ("2147483648B", "BINTABLE"), ("2147483648X", "BINTABLE"),
    ],
)  # fmt: skip
def test_cells_larger_than_any_type(form, kind):
    data = table([form], b"", 0, kind=kind, NAXIS1=1 << 50)
    for read in (lambda: scichunk.read_fits_table(data), lambda: xr.open_dataset(io.BytesIO(data), engine="fits")):
        with pytest.raises(LimitExceeded, match=f"column 'c1' has cells of form '{form}'") as caught:
            read()
        assert caught.value.part == "HDU 1"


def test_cells_as_large_as_a_type_may_be():
    for form in ("536870911A", "2147483647B"):
        assert len(scichunk.read_fits_table(table([form], b"", 0, NAXIS1=1 << 50)).compute()) == 0


def test_sizes_of_the_reference_reader():
    data = compressed()
    np.testing.assert_array_equal(scichunk.from_fits(data, reader="reference").compute(), PIXELS)
    with (
        scichunk.options.set(max_chunk_bytes=256),
        pytest.raises(LimitExceeded, match=r"astropy would.*max_chunk_bytes"),
    ):
        scichunk.from_fits(data, reader="reference").compute()
    huge = changed(data, ZNAXIS1=1 << 40, ZTILE1=1 << 40, ZCMPTYPE="UNKNOWN")
    assert outcomes(f"scichunk.from_fits({huge!r})[:1, :1].compute()") == ["LimitExceeded"]
    longer = changed(data, NAXIS2=1 << 40, ZCMPTYPE="UNKNOWN")
    assert outcomes(f"scichunk.from_fits({longer!r})[:1, :1].compute()") == ["FormatError"]


def test_an_image_of_the_sky_with_more_rows_than_memory_has_room_for():
    """Such a header stands in a file of 3 kB, which is cut: it opens, and rows that are there are read."""
    header = fits.Header()
    for name, value in (
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CRVAL1", 10.0),
        ("CRPIX1", 3.0),
        ("CDELT1", -0.1),
    ):
        header[name] = value
    file = io.BytesIO()
    fits.PrimaryHDU(np.ones((4, 14), "f4"), header).writeto(file)
    data = changed(file.getvalue(), NAXIS2=1 << 40)
    ds = xr.open_dataset(io.BytesIO(data), engine="fits", chunks=None)
    assert ds.sizes["y"] == 1 << 40
    assert ds.y[-1] == (1 << 40) - 1
    np.testing.assert_array_equal(ds.data[:4], np.ones((4, 14)))


def spectrum(pixels, channels, data=b""):
    """An image extension of channels; without pixels beside an axis of 0."""
    cards = [("XTENSION", "IMAGE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", channels), ("NAXIS2", pixels), ("PCOUNT", 0), ("GCOUNT", 1)]  # fmt: skip
    return header(*cards, ("CTYPE1", "FREQ"), ("CRVAL1", 1.0), ("CDELT1", 1.0), ("CTYPE2", "LINEAR")) + padded(data)


def test_images_without_pixels_have_no_coordinates():
    """A header alone would make them of any length: 128 MiB each."""
    data = PRIMARY + spectrum(0, 1 << 24) * 2
    tree = scichunk.open(data)
    assert [[*node.coords] for node in tree.children.values()] == [[], []]
    assert tree["HDU_1"].sizes["frequency"] == 1 << 24


def test_coordinates_of_an_image_and_of_a_tree_are_limited():
    channels = 1 << 17  # 1 MiB of coordinates
    data = PRIMARY + spectrum(1, channels, bytes(channels)) * 3
    with scichunk.options.set(max_chunk_bytes=5 << 19):
        with pytest.raises(LimitExceeded, match=r"coordinates up to group '/HDU_3'.*max_chunk_bytes.* bytes>"):
            scichunk.open(data)
        one = scichunk.open(data, group="HDU_3")
        assert one.sizes["frequency"] == one["frequency"].size == channels
    with scichunk.options.set(max_chunk_bytes=1 << 20):  # the axis of one pixel is one too many
        assert [*scichunk.open(data, group="HDU_3").coords] == ["frequency"]
    assert [*scichunk.open(data)["HDU_3"].coords] == ["frequency", "y"]


@pytest.mark.parametrize("axes", [(0, 1 << 47), (1 << 47, 0)])
def test_an_image_without_pixels_is_one_chunk(axes):
    data = header(("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", axes[0]), ("NAXIS2", axes[1]))
    array = scichunk.from_fits(data)
    assert array.npartitions == 1
    assert array.compute().shape == axes[::-1]
    with xr.open_dataset(io.BytesIO(data), engine="fits", chunks={}) as ds:
        assert ds["data"].data.npartitions == 1


def commented(cards):
    """A primary header of so many comments."""
    comments = "COMMENT x".ljust(80) * cards
    head = header(("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0)).rstrip(b" ")[:-3] + comments.encode() + b"END"
    return head.ljust(-(-len(head) // 2880) * 2880)


def test_cards_are_limited_by_the_memory_that_they_take():
    """Compressed as a whole they are megabytes in a kilobyte, and each is kept several times while a dataset is made."""
    extension = commented(15_000).replace(b"SIMPLE  =                    T", b"XTENSION= 'IMAGE   '          ", 1)
    short = PRIMARY.replace(b"SIMPLE  =                    T", b"XTENSION= 'IMAGE   '          ", 1)
    with scichunk.options.set(max_header_bytes=1 << 24):
        assert len(scichunk.info(gzip.compress(commented(32_000), 1)).arrays) == 0
        with pytest.raises(LimitExceeded, match=r"512 bytes of memory a card.*max_header_bytes.*HDU 0"):
            scichunk.info(gzip.compress(commented(33_000), 1))
        many = gzip.compress(PRIMARY + extension * 2 + short * 300, 1)  # all of the short ones are more than the rest
        assert len(scichunk.info(many).arrays) == 0
        with pytest.raises(LimitExceeded, match=r"512 bytes of memory a card.*max_header_bytes.*HDU 3"):
            scichunk.info(gzip.compress(PRIMARY + extension * 3, 1))


def long_text(key, text):
    """Cards of a text of any length (FITS 4.0, section 4.2.1.2)."""
    parts = [text[i : i + 60] for i in range(0, len(text), 60)]
    cards = [f"{key:<8}= '{parts[0]}&'", *(f"CONTINUE  '{p}&'" for p in parts[1:-1]), f"CONTINUE  '{parts[-1]}'"]
    return "".join(c.ljust(80) for c in cards)


def with_cards(data, text):
    """A file with more cards before the END of its only extension."""
    at = data.rindex(b"END" + b" " * 77)
    head, rest = data[len(PRIMARY) : at] + text.encode(), data[at:].lstrip(b"END").lstrip(b" ")
    head += b"END"
    return PRIMARY + head.ljust(-(-len(head) // 2880) * 2880) + rest


def image(axes, data=b"a"):
    cards = [("SIMPLE", True), ("BITPIX", 8), ("NAXIS", len(axes)), *((f"NAXIS{i}", n) for i, n in enumerate(axes, 1))]
    return header(*cards) + padded(data)


def test_images_of_more_axes_than_numpy_has(tmp_path):
    assert scichunk.from_fits(image([1] * 64)).compute().shape == (1,) * 64
    for read in (scichunk.from_fits, scichunk.open):
        with pytest.raises(UnsupportedFeature, match=r"an image of 65 axes; NumPy has at most 64.*HDU 0"):
            read(image([1] * 65))
    assert "65 axes" in scichunk.info(image([1] * 65)).arrays[0].reader
    path = tmp_path / "a.fits"
    path.write_bytes(image([1] * 64))
    with pytest.raises(UnsupportedFeature, match=r"65 axes; NumPy has at most 64.*a\.fits"):
        scichunk.open_stack([path, path])


@pytest.mark.parametrize(("form", "row", "most"), [("1J", b"\0\0\0\1", 63), ("1A", b"a", 64), ("1X", b"\x80", 63)])
def test_cells_of_more_axes_than_numpy_has(form, row, most):
    """Rows are one more, characters of a text are none."""
    plain = table([form], row, 1)
    sound, odd = (with_cards(plain, long_text("TDIM1", f"({','.join(['1'] * n)})")) for n in (most, most + 1))
    assert scichunk.open(sound)["HDU_1/c1"].load().ndim == 64
    assert len(scichunk.read_fits_table(sound).compute()) == 1
    for read in (scichunk.read_fits_table, scichunk.open):
        with pytest.raises(UnsupportedFeature, match=r"65 axes; NumPy has at most 64.*HDU 1"):
            read(odd)


@pytest.mark.parametrize("form", ["0" * 6000 + "1J", "A" + "1" * 6000, "1" * 6000 + "J", "P" + "1" * 6000])
def test_forms_of_more_digits_than_python_converts(form):
    data = with_cards(
        table(["1J"], b"\0\0\0\1", 1).replace(b"TFORM1  = '1J      '", b"FORM    = '1J      '"),
        long_text("TFORM1", form),
    )
    with pytest.raises((LimitExceeded, UnsupportedFeature), match=r"column 1.*HDU 1"):
        scichunk.read_fits_table(data)


def test_texts_of_a_width_of_many_digits_are_one_text():
    data = with_cards(
        table(["4A"], b"abcd", 1).replace(b"TFORM1  = '4A      '", b"FORM    = '4A      '"),
        long_text("TFORM1", "4A" + "1" * 6000),
    )
    assert scichunk.read_fits_table(data).compute()["c1"].tolist() == ["abcd"]


@pytest.mark.parametrize("digits", ["9" * 20, "-9223372036854775809"])
def test_integers_of_texts_beyond_64_bits(digits):
    data = table(["I20"], digits.encode().rjust(20), 1, kind="TABLE", TBCOL1=1)
    with pytest.raises(FormatError, match=r"form I20 that int64 holds.*HDU 1, column 'c1', row 0"):
        scichunk.read_fits_table(data).compute()


def test_an_image_without_pixels_beside_axes_of_more_than_numpy_counts():
    with pytest.raises(LimitExceeded, match=r"beyond any file.*HDU 0"):
        scichunk.from_fits(image([1 << 24] * 3 + [0]))


def test_a_version_that_is_no_number():
    """As a text there: such an HDU is the first of its name."""
    plain = spectrum(1, 4, bytes(4))
    data = PRIMARY + b"".join(
        with_cards(PRIMARY + plain, text)[len(PRIMARY) :]
        for text in ["EXTNAME = 'A'".ljust(80) + "EXTVER  = 1E999".ljust(80)] * 2
    )
    assert [*scichunk.open(data).children] == ["A,1", "A,1_2"]


@pytest.mark.parametrize(("blank", "ignored"), [("T", True), ("5.5", True), ("'5'", True), ("5", False)])
def test_a_blank_that_is_no_integer(blank, ignored):
    """FITS 4.0, section 4.4.2.5; for astropy T is 1."""
    text = f"{'BLANK':<8}= {blank:>20}".ljust(80)
    data = image([4], b"\1\2\5\6").replace(b"END" + b" " * 77, text.encode() + b"END" + b" " * 77, 1)[
        : -2880 - 80
    ] + padded(b"\1\2\5\6")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = scichunk.from_fits(data).compute()
    said = [str(w.message) for w in caught if issubclass(w.category, MetadataWarning)]
    assert [("BLANK is" in s and "HDU 0" in s) for s in said] == [True] * ignored
    assert np.isnan(found).sum() == (0 if ignored else 1)


def test_an_error_of_many_hdus_lists_the_first():
    data = PRIMARY + with_cards(PRIMARY + spectrum(1, 4, bytes(4)), "EXTNAME = 'A'".ljust(80))[len(PRIMARY) :] * 300
    with pytest.raises(
        FormatError, match=r"there is no HDU \('B', 1\); the file has 0 PRIMARY, 1 A,1.* 99 A,1, \.\.\. \[bytes"
    ):
        scichunk.from_fits(data, hdu=("B", 1))


def test_groups_of_many_hdus_are_found_by_their_names():
    """A tree asks for each, so that going through all names for one would be quadratic."""
    searched = []

    class Names(dict):
        def items(self):
            searched.append(1)
            return super().items()

    file = open_file("fits", locate(PRIMARY + spectrum(1, 4, bytes(4)) * 5))
    groups = file.groups()
    file._names = Names(file._names)
    assert [file.node(group).arrays[0].source.shape for group in groups] == [(1, 4)] * 5
    assert not searched
    assert file.node("hdu_3").arrays
    assert searched


def descriptors_beyond(raw, count):
    """A file with a compressed image whose tiles are all said to have so many bytes, behind which there are as many zeros."""
    with fits.open(io.BytesIO(raw), disable_image_compression=True) as file:
        cards, (at, start) = file[1].header.copy(), (file[1].fileinfo()[name] for name in ("datLoc", "hdrLoc"))
    width, rows, heap = cards["NAXIS1"], cards["NAXIS2"], cards["PCOUNT"]
    body = bytearray(raw[at : at + width * rows + heap]) + bytes(count)
    for row in range(rows):
        struct.pack_into(">I", body, row * width, count)
    cards["PCOUNT"] = heap + count
    return raw[:start] + cards.tostring().encode() + bytes(body) + bytes(-len(body) % 2880)


@pytest.mark.parametrize("kind", ["image", "table"])
def test_tiles_that_are_said_to_reach_far_beyond_what_they_need(kind, tmp_path):
    """A thousand tiles may each be said to take as much as nearly all of the file: read so, they take a thousand times its length."""
    count, path = 4 << 20, tmp_path / "a.fits"
    if kind == "image":
        want, out = np.arange(64 * 50, dtype="i2").reshape(64, 50), io.BytesIO()
        packed = fits.CompImageHDU(want, compression_type="GZIP_1", tile_shape=(1, 50))
        fits.HDUList([fits.PrimaryHDU(), packed]).writeto(out)
        path.write_bytes(descriptors_beyond(out.getvalue(), count))
    else:
        want = np.arange(64, dtype=">i4")
        streams = [gzip.compress(want[n : n + 1].tobytes()) for n in range(64)]
        places = np.cumsum([0, *map(len, streams)])[:-1]
        rows = np.stack([np.full(64, count), places], axis=1).astype(">i8").tobytes()
        cards = {
            "ZTABLE": True,
            "ZTILELEN": 1,
            "ZNAXIS1": 4,
            "ZNAXIS2": 64,
            "ZPCOUNT": 0,
            "ZFORM1": "J",
            "ZCTYP1": "GZIP_1",
        }
        path.write_bytes(table(["1QB"], rows, 64, b"".join(streams) + bytes(count), **cards))
    with scichunk.profile(show=False) as found:
        if kind == "image":
            values = scichunk.reader(path)[...]
        else:
            values = scichunk.read_fits_table(path).compute(scheduler="synchronous").iloc[:, 0]
    np.testing.assert_array_equal(values, want)
    assert found.total["fetched"] < 80 << 20
