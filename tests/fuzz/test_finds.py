"""What the fuzzer has found, by code that makes it: each ends in the right values, or in an error of the tree."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError, LimitExceeded, MetadataWarning
from tests.children import run
from tests.fits_tables import PRIMARY, header, padded
from tests.formats.test_hostile_geotiff import BASE, tiff
from tests.jpeg2000_files import encode, texture
from tests.votable_docs import binary, doc

DATA = Path(__file__).resolve().parents[2] / "test_data"


def pairs(datatype, data, kind="BINARY"):
    return binary(data, f'<FIELD name="a" datatype="{datatype}" arraysize="2x*"/>', kind).encode()


@pytest.mark.parametrize("kind", ["BINARY", "BINARY2"])
def test_bits_of_items_whose_lengths_count_elements(kind):
    """All bits of a cell lie together: five items of two bits fill two bytes, not five."""
    flags = b"\0" if kind == "BINARY2" else b""
    cells = [(0, b""), (2, b"\x80"), (4, b"\x60"), (10, b"\xff\x40")]
    data = b"".join(flags + struct.pack(">i", count) + bits for count, bits in cells)
    found = scichunk.read_votable(pairs("bit", data, kind)).compute()["a"].tolist()
    assert found == [[], [[1, 0]], [[0, 1], [1, 0]], [[1, 1]] * 4 + [[0, 1]]]


@pytest.mark.parametrize("datatype", ["short", "floatComplex"])
def test_lengths_that_end_within_an_item(datatype):
    """The beginning shows that lengths count elements; one far behind it holds three, which are no pairs."""
    size = {"short": 16, "floatComplex": 64}[datatype]
    rows = (1 << 20) // (4 + -(-10 * size // 8)) + 10
    cells = {n: struct.pack(">i", n) + b"\x7e" * -(-n * size // 8) for n in (2, 3, 10)}
    document = pairs(datatype, cells[10] * rows + cells[3] + cells[2])
    with pytest.raises(FormatError, match="multiple of the 2") as caught:
        scichunk.read_votable(document, blocksize="1GiB").compute()
    assert f"row {rows}" in caught.value.part
    with pytest.warns(scichunk.errors.DataWarning):
        found = scichunk.read_votable(document, on_error="null", blocksize="1GiB")["a"].tail(3)
    assert found.isna().tolist() == [False, True, False]
    assert [len(value) for value in found.dropna().tolist()] == [5, 1]


@pytest.mark.parametrize(
    "text",
    ["7", "7\7", "7x", "7e", "7e1", "7 8", "1d2", "x7", "7,5", ".5", "-7.5", "2.5", "nano", "-inf", "1e400", "+7"],
)
@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32"])
def test_absent_blocks_are_filled_with_the_number_that_the_text_of_nodata_begins_with(text, dtype):
    """As GDAL fills them: what follows the number is left, halves are rounded away from 0."""
    data = tiff(
        {256: (4, [16]), 257: (4, [16]), 258: (3, [8 * np.dtype(dtype).itemsize]), 259: (3, [1]), 262: (3, [1]), 277: (3, [1]),
         322: (3, [16]), 323: (3, [16]), 324: (4, [0]), 325: (4, [0]), 339: (3, [{"i": 2, "u": 1, "f": 3}[np.dtype(dtype).kind]]),
         42113: (1, [*text.encode(), 0])}
    )  # fmt: skip
    at = data.index(struct.pack("<HH", 42113, 1))
    data = data[: at + 2] + struct.pack("<H", 2) + data[at + 4 :]  # texts, not bytes
    with rasterio.MemoryFile(data) as memory, memory.open() as ds:
        want = ds.read()
    np.testing.assert_array_equal(scichunk.from_geotiff(data).compute(), want)


POOL = """
import gc, weakref
from scichunk.sources.pool import HandlePool

pool = HandlePool(lambda handle: None)

class Owner:
    def __init__(self):
        self.cycle, self.key = self, object()
        weakref.finalize(self, pool.leave, self.key)

gc.collect()
gc.set_threshold(1)
for _ in range(500):
    owner = Owner()
    with pool.lend(owner.key, object):
        pass
    del owner
gc.set_threshold(0)
gc.collect()
with pool.lend("another", object):
    pass
print(len(pool._idle))
"""
FILES = """
import gc, os
from scichunk.sources import locate

gc.collect()
with scichunk.options.set(cached_files=2):
    gc.set_threshold(1)
    for number in range(900):
        source = locate(sys.argv[1 + number % 3]).open()
        source.cycle = source
        source.read_ranges([0], [3])
        del source
    gc.set_threshold(0)
    gc.collect()
    locate(sys.argv[1]).open()
print(sum(os.readlink(f"/proc/self/fd/{n}") in sys.argv for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")))
"""


def test_the_garbage_collector_runs_while_a_pool_of_handles_is_in_use():
    """A finaliser that waits for a lock waits for ever where its own thread holds it."""
    assert run(POOL, seconds=60) == ["1"]


def test_the_garbage_collector_runs_while_the_cache_of_open_files_is_in_use(tmp_path):
    names = [str(tmp_path / name) for name in "abc"]
    for name in names:
        with open(name, "wb") as file:
            file.write(bytes(10))
    assert run(FILES, *names, seconds=60) == ["0"]


def test_random_groups_that_the_file_does_not_hold():
    """What astropy gives of a file that is cut is not stretched over all groups."""
    cards = (("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 3), ("NAXIS1", 0), ("NAXIS2", 4), ("NAXIS3", 2), ("GROUPS", True),
             ("PCOUNT", 2), ("GCOUNT", 3), ("PTYPE1", "UU"), ("PTYPE2", "VV"))  # fmt: skip
    data = header(*cards) + padded(np.arange(30, dtype=">f4").tobytes())
    assert scichunk.from_fits(data).shape == (3, 2, 4)
    for stop in (2880, 2880 + 40, 2880 + 80):
        with pytest.raises(FormatError):
            scichunk.from_fits(data[:stop]).compute()


@pytest.mark.parametrize("algorithm", ["NOCOMPRESS", "GZIP_1", "GZIP_2"])
def test_quantised_tiles_of_twice_as_many_bytes_as_pixels_have(algorithm):
    """They are integers of 32 bits: of 64 are none."""
    image = np.random.default_rng(1).normal(50, 9, (4, 14))
    file = io.BytesIO()
    hdu = fits.CompImageHDU(
        image, compression_type=algorithm, tile_shape=(1, 14), quantize_level=16, quantize_method=1, dither_seed=3
    )
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    data = file.getvalue()
    np.testing.assert_array_equal(scichunk.from_fits(data).compute(), fits.open(io.BytesIO(data))[1].data)
    narrow = data
    for key in (b"ZNAXIS1", b"ZTILE1"):
        at = narrow.index(key.ljust(8) + b"=")
        narrow = narrow[: at + 10] + b"7".rjust(20) + narrow[at + 30 :]
    with pytest.raises(FormatError, match="tile 0"):
        scichunk.from_fits(narrow).compute()


def test_complaints_of_gdal_about_something_else():
    """rasterio tells of GeoKeys whose text is cut off when it is asked for colours; the pixels are as sound as before."""
    text = [*b"WGS 84 / UTM zone 32N|WGS 84|", 0]
    keys = [1, 1, 0, 1, 1026, 34737, len(text) - 1, 0]
    tie = struct.pack("<6d", 0, 0, 0, 5, 6, 0)
    tags = BASE | {258: (3, [12]), 279: (4, [96]), 33922: (1, list(tie)), 34735: (3, keys), 34737: (1, text)}
    data = tiff(tags, bytes(range(96)))
    for tag, kind, count in ((33922, 12, 6), (34737, 2, len(text))):  # what the maker of files writes as bytes
        at = data.index(struct.pack("<HH", tag, 1))
        data = data[:at] + struct.pack("<HHI", tag, kind, count) + data[at + 8 :]
    plain = tiff({tag: value for tag, value in tags.items() if tag < 33922}, bytes(range(96)))
    np.testing.assert_array_equal(scichunk.from_geotiff(data[:-20]).compute(), scichunk.from_geotiff(plain).compute())
    with pytest.warns(MetadataWarning, match="GeoAsciiParams.*outside the file"):
        scichunk.info(data[:-20])


@pytest.mark.parametrize("long", [5, 1 << 40, 1 << 62, 10**30])
def test_images_without_pixels_whose_other_axes_are_long(long):
    """Nothing is made for each row of an image that has no columns; axes beyond 64 bits are beyond any file."""
    for sizes in ((0, long), (long, 0), (0, long, 2)):
        axes = [(f"NAXIS{i}", n) for i, n in enumerate(sizes, 1)]
        data = header(("SIMPLE", True), ("BITPIX", -32), ("NAXIS", len(sizes)), *axes)
        if long > 1 << 48:
            with pytest.raises(LimitExceeded, match="beyond any file"):
                scichunk.from_fits(data)
        else:
            assert scichunk.info(data).arrays[0].shape == sizes[::-1]
            assert scichunk.from_fits(data)[..., :9].compute().size == 0


@pytest.mark.parametrize("algorithm", ["RICE_1", "GZIP_1", "HCOMPRESS_1", "PLIO_1", "NOCOMPRESS"])
@pytest.mark.parametrize("blank", [10**19, -(10**25)])
def test_blanks_that_no_stored_integer_equals(algorithm, blank):
    image, file = np.arange(64, dtype="i4").reshape(8, 8), io.BytesIO()
    hdu = fits.CompImageHDU(image, compression_type=algorithm, tile_shape=(4, 8))
    hdu.header["ZBLANK"] = 12345
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    with fits.open(io.BytesIO(file.getvalue()), disable_image_compression=True) as raw:
        raw[1].header["ZBLANK"] = 12345
        file = io.BytesIO()
        raw.writeto(file)
    data = file.getvalue()
    at = data.index(b"ZBLANK  =")
    data = data[: at + 10] + str(blank).rjust(30).encode() + b" " * 40 + data[at + 80 :]
    np.testing.assert_array_equal(scichunk.from_fits(data).compute(), image)


@pytest.mark.parametrize(
    ("name", "value", "is_wrong"),
    [("BITPIX", 16, True), ("NAXIS", 1, True), ("NAXIS1", 7, True), ("PCOUNT", 5, True), ("BITPIX", -32, False)],
)
def test_sizes_that_a_header_says_twice(name, value, is_wrong):
    """Libraries take one or the other value, and then read other bytes for the pixels."""
    cards = [("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", 5), ("NAXIS2", 3), ("PCOUNT", 0), ("GCOUNT", 1)]
    image = np.arange(15, dtype=">f4")
    data = header(("SIMPLE", True), *cards, (name, value)) + padded(image.tobytes())
    later = PRIMARY + header(("XTENSION", "IMAGE"), *cards, (name, value)) + padded(image.tobytes())
    if is_wrong:
        with pytest.raises(FormatError, match=f"{name} is there twice"):
            scichunk.from_fits(data)
        with pytest.raises(FormatError), pytest.warns(MetadataWarning, match=f"HDU 0.*left out: {name} is there twice"):
            scichunk.from_fits(later)
    else:
        np.testing.assert_array_equal(scichunk.from_fits(data).compute(), image.reshape(3, 5))
        np.testing.assert_array_equal(scichunk.from_fits(later).compute(), image.reshape(3, 5))


@pytest.mark.parametrize("gap", [-1, 10**5, 2**63, 10**30])
def test_heaps_that_begin_outside_of_their_table(gap):
    rows = struct.pack(">iii", 2, 0, 7) * 3
    cards = [("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 12), ("NAXIS2", 3), ("PCOUNT", 64), ("GCOUNT", 1),
             ("TFIELDS", 2), ("THEAP", gap)]  # fmt: skip
    variable = PRIMARY + header(*cards, ("TFORM1", "1PJ(3)"), ("TFORM2", "J")) + padded(rows + bytes(64))
    with pytest.raises(FormatError, match="THEAP"):
        scichunk.read_fits_table(variable)
    fixed = PRIMARY + header(*cards, ("TFORM1", "2J"), ("TFORM2", "J")) + padded(rows + bytes(64))
    assert scichunk.read_fits_table(fixed).compute().iloc[:, 1].tolist() == [7, 7, 7]


def test_many_bands_of_a_strip_that_is_not_there():
    """GDAL takes a millisecond of each band to find that out; work is counted by what rasterio is asked for, so this is bounded."""
    bands = 50_000
    data = tiff(BASE | {277: (3, [bands])}, bytes(64))
    code = f"from_file = scichunk.from_geotiff({data!r}, chunks='native')\nprint(outcome(lambda: from_file[:, :1]).partition(':')[0])"
    assert run(code, seconds=40) == ["FormatError"]
    whole = np.arange(4 * 600, dtype="u1").reshape(2, 2, 600)
    sound = tiff({256: (4, [2]), 257: (4, [2]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1]), 273: (4, [8]), 277: (3, [600]), 278: (4, [2]),
                  279: (4, [2400])}, whole.tobytes())  # fmt: skip
    found = scichunk.from_geotiff(sound, reader="reference").compute()
    np.testing.assert_array_equal(found, whole.transpose(2, 0, 1))


@pytest.mark.parametrize("samples", [17, 65000])
def test_strips_of_more_bytes_than_there_are_numbers_for(samples):
    side = (1 << 32) - 1
    data = tiff(BASE | {256: (4, [side]), 257: (4, [side]), 277: (3, [samples]), 278: (4, [side])}, bytes(64))
    with pytest.raises(scichunk.errors.FormatError, match="which no file can hold") as told:
        scichunk.from_geotiff(data)
    assert not isinstance(told.value, scichunk.errors.ParserError)


@pytest.mark.parametrize("low", [25, 26, 28, 30])
def test_rice_codes_of_more_low_bits_than_there_are(low):
    """The five bits before a block say 0 to 24 low bits, or 25 for plain differences; decoders disagree on what others mean."""
    image, file = np.random.default_rng(2).integers(-(1 << 30), 1 << 30, (1, 32)).astype("i4"), io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, compression_type="RICE_1", tile_shape=(1, 32))]).writeto(
        file
    )
    data = bytearray(file.getvalue())
    with fits.open(io.BytesIO(bytes(data)), disable_image_compression=True) as raw:
        at = raw[1]._data_offset + 8 * (raw[1].columns.dtype.itemsize // 8)
    assert data[at : at + 4] == image[0, :1].astype(">i4").tobytes()
    data[at + 4] = (low + 1) << 3 | data[at + 4] & 7
    if low == 25:
        np.testing.assert_array_equal(scichunk.from_fits(bytes(data)).compute(), image)
    else:
        with pytest.raises(FormatError, match="tile 0"):
            scichunk.from_fits(bytes(data)).compute()


def test_numbers_of_samples_that_are_no_numbers():
    """SampleFormat as doubles, of which one is NaN."""
    data = tiff(
        BASE | {277: (3, [3]), 258: (3, [8, 8, 8]), 279: (4, [192]), 339: (12, [1, float("nan"), float("inf")])},
        bytes(range(192)),
    )
    np.testing.assert_array_equal(scichunk.from_geotiff(data).compute()[:, 0, 0], [0, 1, 2])


def test_a_first_image_that_says_that_it_is_a_mask():
    """There is none that it could be the mask of: its pixels are what is stored, as GDAL has them."""
    data = tiff(BASE | {254: (4, [4]), 258: (3, [1]), 262: (3, [4]), 279: (4, [8])}, bytes([0b10110001] * 8))
    with rasterio.MemoryFile(data) as memory, memory.open() as ds:
        want = ds.read()
    assert want.max() == 1
    np.testing.assert_array_equal(scichunk.from_geotiff(data).compute(), want)


@pytest.mark.parametrize("body", [None, "<BINARY><STREAM encoding='base64'>AAAAAQAAAAI=</STREAM></BINARY>"])
def test_fields_behind_the_data(body):
    """They are no columns, in whichever way the table is read: what lies in the file was written without them."""
    document = doc(
        "<TR><TD>1</TD></TR><TR><TD>2</TD></TR>",
        '<FIELD name="a" datatype="int"/>',
        body=body,
        after='<FIELD name="z" datatype="int"/>',
    ).encode()
    assert scichunk.read_votable(document).compute()["a"].tolist() == [1, 2]
    found = xr.open_dataset(io.BytesIO(document), engine="votable")
    assert {k: v.values.tolist() for k, v in found.items()} == {"a": [1, 2]}
    assert "'z'" in str(found.attrs["votable_warnings"])


@pytest.mark.parametrize("kind", ["BINARY", "BINARY2"])
@pytest.mark.parametrize("on_error", ["raise", "null"])
def test_rows_of_no_bytes(kind, on_error):
    document = binary(b"", '<FIELD name="a" datatype="int" arraysize="0"/>', kind).encode()
    if kind == "BINARY2":  # a row holds its flags
        assert len(scichunk.read_votable(document, on_error=on_error)) == 0
    truncated = document[: document.index(b"</STREAM>")]
    if on_error == "null":
        assert len(scichunk.read_votable(truncated, on_error=on_error)) == 0
    else:
        with pytest.raises(FormatError, match="no end"):
            scichunk.read_votable(truncated).compute()


def test_a_table_that_does_not_say_how_many_columns_it_has(tmp_path):
    """Their forms do, to astropy too."""
    path = tmp_path / "a.fits"
    columns = [fits.Column("a", "J", array=[1, 2]), fits.Column("b", "D", array=[3.0, 4.0])]
    fits.BinTableHDU.from_columns(columns).writeto(path)
    data = path.read_bytes()
    at = data.index(b"TFIELDS ")
    data = data[:at] + b"COMMENT " + data[at + 8 :]
    assert scichunk.read_fits_table(data).compute().to_dict("list") == {"a": [1, 2], "b": [3.0, 4.0]}


def test_an_image_of_more_chunks_than_dask_goes_through():
    """Of 126 PB, in a file that has none of them."""
    data = header(("SIMPLE", True), ("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 14680064), ("NAXIS2", 4294967308))
    found = scichunk.open(data)["data"]
    assert np.prod([len(c) for c in found.chunks], dtype=float) <= 1 << 22
    with pytest.raises(FormatError, match="outside the file"):
        found[:20, :20].compute()


@pytest.mark.filterwarnings("error:divide by zero")
@pytest.mark.parametrize("kind", ["boolean", "int", "double", "floatComplex"])
@pytest.mark.parametrize("size", ["0x*", "2x0x*"])
def test_elements_where_items_have_none(kind, size):
    fields = f'<FIELD name="a" datatype="{kind}" arraysize="{size}"/>'
    document = doc("<TR><TD>1 0 1</TD></TR><TR><TD></TD></TR>", fields).encode()
    with pytest.raises(FormatError, match="3 elements where a multiple of 0"):
        scichunk.read_votable(document).compute()
    found = scichunk.read_votable(document, on_error="null").compute()["a"]
    assert (found.isna()[0], found[1]) == (True, [])


def test_a_palette_of_no_columns():
    """Its mapping has nothing to refer to: the components are as they are stored."""
    data = Path(DATA, "palette.jp2").read_bytes()
    at = data.index(b"pclr")
    data = data[: at + 6] + b"\0" + data[at + 7 :]
    at = data.index(b"cmap")
    size = int.from_bytes(data[at - 4 : at], "big")
    data = data[: at + 4] + bytes([0, 0, 0, 0]) * ((size - 8) // 4) + data[at + size - 4 :]
    assert scichunk.from_jpeg2000(data).shape == scichunk.from_jpeg2000(data, expand=True).shape


@pytest.mark.parametrize(
    "values, nulls",
    [
        ('<VALUES null="1"/><VALUES null="2"/>', [False, True]),
        ('<VALUES type="legal" null="1"/><VALUES type="actual"><MIN value="0"/></VALUES>', [True, False]),
        ('<VALUES type="actual"/><VALUES type="legal" null="2"/>', [False, True]),
    ],
)
def test_two_domains_of_a_column(values, nulls):
    """The last null that is declared counts; that they differ is told."""
    document = doc(
        "<TR><TD>1</TD></TR><TR><TD>2</TD></TR>", f'<FIELD name="a" datatype="int">{values}</FIELD>'
    ).encode()
    assert scichunk.read_votable(document).compute()["a"].isna().tolist() == nulls
    with xr.open_dataset(io.BytesIO(document), engine="votable") as found:
        assert ("for null" in str(found.attrs.get("votable_warnings"))) == (values.count("null") == 2)


def test_integers_of_compressed_images_that_are_scaled_all_the_same():
    """ZSCALE is for floating point, but astropy and cfitsio scale whatever has it."""
    image = np.random.default_rng(3).normal(100, 9, (12, 14)).astype("f4")
    made = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, compression_type="RICE_1", quantize_level=4)])
    file = io.BytesIO()
    made.writeto(file)
    data = file.getvalue()
    assert data.count(b"ZBITPIX =                  -32") == 1
    data = data.replace(b"ZBITPIX =                  -32", b"ZBITPIX =                   32")
    with fits.open(io.BytesIO(data)) as hdus:
        want = hdus[1].data.copy()
    found = scichunk.from_fits(data).compute()
    assert found.dtype == want.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, want)
    assert abs(found.astype(float) - image).max() < 9


def test_an_index_of_tiles_that_has_one_under_another_number():
    """TLM then leaves out a tile, which is there all the same."""
    data = Path(DATA, "band_tlm_plt.jp2").read_bytes()
    at = data.index(b"\xff\x55")
    assert data[at + 5] >> 4 == 5  # tiles in one byte, lengths in four
    want = scichunk.from_jpeg2000(data).compute()
    for one, other in ((0, 1), (4, 2)):
        entry = at + 6 + 5 * one
        assert data[entry] == one
        wrong = data[:entry] + bytes([other]) + data[entry + 1 :]
        np.testing.assert_array_equal(scichunk.from_jpeg2000(wrong).compute(), want)


def test_coordinates_of_a_long_axis_take_the_memory_of_their_values(tmp_path):
    """Of 4 million channels, in a file that has none of them: all at once would take 500 MB within wcslib."""
    cards = [("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 3), ("NAXIS1", 8), ("NAXIS2", 8), ("NAXIS3", 1 << 22)]
    cards += [
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CTYPE3", "FREQ"),
        ("CRVAL3", 1.4e9),
        ("CDELT3", 1e3),
        ("CRPIX3", 1),
    ]
    path = tmp_path / "long.fits"
    path.write_bytes(header(*cards))
    code = """
from tests.fuzz.worker import resident_peak
xr.open_dataset(sys.argv[2], engine="fits")
before = resident_peak()
found = xr.open_dataset(sys.argv[1], engine="fits").frequency
print(resident_peak() - before)
np.testing.assert_array_equal(found[[0, 65535, 65536, -1]], 1.4e9 + 1e3 * np.array([0, 65535, 65536, (1 << 22) - 1]))
"""
    assert int(run(code, path, DATA / "cube.fits")[0]) < 250


@pytest.mark.parametrize("damage", ["heap", "codes"])
def test_smoothed_hcompress_tiles_that_end_too_soon(damage, tmp_path):
    """astropy smooths them; its decoder was given five bytes of a tile, and wrote as many pixels as memory behind them said."""
    pixels = np.random.default_rng(3).integers(0, 1000, (64, 64)).astype("i4")
    path = tmp_path / "a.fits"
    packed = fits.CompImageHDU(
        pixels, compression_type="HCOMPRESS_1", tile_shape=(32, 32), hcomp_scale=2, hcomp_smooth=1
    )
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(path)
    data = bytearray(path.read_bytes())
    with fits.open(path, disable_image_compression=True) as file:
        start, rows = file[1].fileinfo()["datLoc"], file[1].data["COMPRESSED_DATA"]
        heap = start + file[1].header["NAXIS1"] * file[1].header["NAXIS2"]
        ends = np.cumsum([len(row) for row in rows])
    if damage == "heap":
        at = data.index(b"PCOUNT  =", 2880)
        data[at : at + 30] = b"PCOUNT  =                    5"
    else:
        data[heap + 30 : heap + int(ends[-1])] = b"\xff" * (int(ends[-1]) - 30)
        for tile, end in enumerate(ends):
            first = heap + int(end - len(rows[tile]))
            data[first : first + 10] = b"\xdd\x99\0\0\0 \0\0\0 "
    code = "print(outcome(scichunk.from_fits, sys.argv[1]))"
    (tmp_path / "b.fits").write_bytes(data)
    assert "fine" in run(code, path)[0]
    found = run(code, tmp_path / "b.fits")[0]
    assert found.startswith("FormatError") and ("beyond the heap" in found or "corrupt" in found), found


@pytest.mark.parametrize("tag", [258, 339])
def test_numbers_of_bits_that_are_fractions(tag):
    where = {33550: (12, [10.0, 10.0, 0.0]), 33922: (12, [0.0] * 6)}  # GDAL is asked about what these say
    data = tiff(BASE | where | {tag: (12, [float("nan")])}, bytes(64))
    try:
        scichunk.info(data)
        scichunk.open(data)
    except scichunk.errors.ScichunkError as error:
        assert not isinstance(error, scichunk.errors.ParserError)  # either way is right


@pytest.mark.parametrize("lost", [1, 4, 5])
def test_deflated_strips_whose_stream_does_not_end(lost):
    """Their pixels are all there; GDAL takes some of the last ones from elsewhere, without a word."""
    pixels = np.random.default_rng(2).integers(0, 1000, (24, 20, 2)).astype("<u2")
    stream = zlib.compress(pixels.tobytes())
    body = stream[:-lost]
    inflated = zlib.decompressobj().decompress(body)
    tags = BASE | {
        256: (4, [20]),
        257: (4, [24]),
        258: (3, [16, 16]),
        259: (3, [8]),
        277: (3, [2]),
        278: (4, [24]),
        279: (4, [len(body)]),
    }
    data = tiff(tags, body)
    if len(inflated) < pixels.nbytes:
        with pytest.raises(scichunk.errors.FormatError):
            scichunk.from_geotiff(data).compute()
    else:
        np.testing.assert_array_equal(scichunk.from_geotiff(data).compute(), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("reader", ["indexed", "reference"])
def test_many_layers_of_many_precincts(reader):
    """OpenJPEG keeps two bytes for each layer of each precinct, as if all resolutions had as many as the largest."""
    data = encode([texture((512, 512))], levels=5, precincts=((32, 32),))
    at = data.index(b"\xff\x52") + 6
    hostile = data[:at] + struct.pack(">H", 65_535) + data[at + 2 :]
    with scichunk.options.set(max_chunk_bytes=1 << 26):
        assert scichunk.from_jpeg2000(data, reader=reader).compute().shape == (1, 512, 512)
        with pytest.raises(LimitExceeded, match=r"packets, 2 bytes each.*max_chunk_bytes"):
            scichunk.from_jpeg2000(hostile, reader=reader).compute()
