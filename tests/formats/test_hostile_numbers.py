"""Numbers in headers that crash or occupy whoever trusts them: each ends in an error of the tree, in a process that lives on."""

import struct

import numpy as np
import pytest
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError, LimitExceeded, ScichunkError, UnsupportedFeature
from tests.children import run
from tests.jpeg2000_files import encode, texture
from tests.votable_docs import binary

READ_TABLES = """
for path in sys.argv[1:]:
    for on_error in ("raise", "null"):
        print(outcome(scichunk.read_votable, open(path, "rb").read(), on_error=on_error))
"""
SIZES = [
    ("1073741823x*", "double", 2147483647),
    ("2147483647x*", "double", 2147483647),
    ("2147483647x*", "doubleComplex", 1073741824),
    ("1073741824x*", "doubleComplex", 134217728),  # the product is 0
    ("134217728x*", "double", 2147483647),
]


@pytest.mark.parametrize("kind", ["BINARY", "BINARY2"])
def test_votable_cells_whose_size_wraps_around(tmp_path, kind):
    paths = []
    for i, (size, datatype, number) in enumerate(SIZES):
        fields = f'<FIELD name="a" datatype="{datatype}" arraysize="{size}"/><FIELD name="b" datatype="int"/>'
        mask = b"\0" if kind == "BINARY2" else b""
        paths.append(tmp_path / f"{i}.vot")
        paths[-1].write_text(binary(mask + struct.pack(">i", number) + bytes(200), fields, kind))
    found = run(READ_TABLES, *paths)
    assert len(found) == 2 * len(SIZES)
    for line in found[::2]:
        assert line.startswith(("LimitExceeded: cells of", "FormatError: the stream ends")), line


def test_votable_cells_beyond_the_limit():
    document = binary(bytes(800), '<FIELD name="a" datatype="double" arraysize="100x*"/>').encode()
    with scichunk.options.set(max_chunk_bytes=799), pytest.raises(LimitExceeded, match="cells of 800 bytes"):
        scichunk.read_votable(document)
    assert len(scichunk.read_votable(document)) == 200


@pytest.mark.parametrize("size", ["9" * 5000, "1x" * 40 + "*", "0x99999999999x*", "4294967296", "2147483648x*"])
@pytest.mark.parametrize("datatype", ["double", "char", "bit"])
def test_votable_arraysizes_that_are_impossible(size, datatype):
    document = binary(bytes(64), f'<FIELD name="a" datatype="{datatype}" arraysize="{size}"/>').encode()
    with pytest.raises(ScichunkError):
        scichunk.read_votable(document).compute()


@pytest.mark.parametrize(("size", "datatype"), [("0x3", "bit"), ("0x*", "bit"), ("10x0", "char"), ("10x0x*", "char")])
def test_votable_axes_of_nothing(size, datatype):
    document = binary(bytes(64), f'<FIELD name="a" datatype="{datatype}" arraysize="{size}"/>').encode()
    with pytest.raises(FormatError, match="impossible"):
        scichunk.read_votable(document)


def compressed(path, changes, drop=(), dtype="i4", **options):
    """A compressed image whose header is changed afterwards, card by card."""
    data = (np.arange(400) * 1.37).astype(dtype).reshape(20, 20)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, **options)]).writeto(path)
    raw = bytearray(path.read_bytes())
    for name, value in changes.items():
        at = raw.index(name.ljust(8).encode() + b"=", 2880)
        raw[at : at + 80] = f"{name:8}= {value:>20}".ljust(80).encode()
    for name, instead in drop:
        at = raw.index(name.ljust(8).encode() + b"=", 2880)
        raw[at : at + 80] = instead.ljust(80).encode()
    path.write_bytes(raw)
    return path


READ_IMAGES = """
for path in sys.argv[1:]:
    for reader in ("auto", "indexed", "reference"):
        print(outcome(scichunk.from_fits, path, hdu=int(path[-6]), reader=reader))
    print(outcome(scichunk.info, path))
"""


@pytest.mark.parametrize(
    ("keyword", "name", "values"),
    [
        ("ZVAL2", "BYTEPIX", [-4, -1, 0, 3, 5, 1 << 20, 2147483647, 1 << 40, "2.5", "'4'"]),
        ("ZVAL1", "BLOCKSIZE", [-32, 0, 1 << 20, 2147483647, "2.5"]),
    ],
)
def test_rice_of_impossible_parameters(tmp_path, keyword, name, values):
    paths = [
        compressed(tmp_path / f"{i}-1.fits", {keyword: v}, compression_type="RICE_1") for i, v in enumerate(values)
    ]
    found = run(READ_IMAGES, *paths)
    assert found[3::4] == ["fine"] * len(values)
    del found[3::4]
    for line in found:
        assert line.startswith(f"FormatError: {name} is"), line


DITHERED = {"dtype": "f4", "compression_type": "RICE_1", "quantize_level": 16, "quantize_method": 1, "dither_seed": 5}


def test_impossible_seeds(tmp_path):
    """A decoder takes them for places in a table: astropy's reads whatever memory lies there, or crashes."""
    values = [0, -1, -3, 10_001, -2147483649, 9223372036854775807, 10**20, "2.5", "'a'", "T"]
    paths = [compressed(tmp_path / f"{i}-1.fits", {"ZDITHER0": v}, **DITHERED) for i, v in enumerate(values)]
    found = run(READ_IMAGES, *paths)
    del found[3::4]
    assert len(found) == 3 * len(values)
    for line in found:
        assert line.startswith("FormatError: ZDITHER0 is"), line


def test_no_seed(tmp_path):
    one = compressed(tmp_path / "a.fits", {"ZDITHER0": 1}, **DITHERED)
    none = compressed(tmp_path / "b.fits", {}, [("ZDITHER0", "COMMENT")], **DITHERED)
    np.testing.assert_array_equal(scichunk.from_fits(none, hdu=1), scichunk.from_fits(one, hdu=1))
    with pytest.raises(UnsupportedFeature, match="no ZDITHER0"):
        scichunk.from_fits(none, hdu=1, reader="reference")


def test_rice_parameters_however_they_are_spelt(tmp_path):
    paths = []
    for i, name in enumerate(["BYTEPIX", "  BYTEPIX", "bytepix"]):
        cards = [("ZNAME2", f"ZNAME2  = '{name}'")]
        paths.append(compressed(tmp_path / f"{i}-1.fits", {"ZVAL2": -1}, cards, compression_type="RICE_1"))
    found = run(READ_IMAGES, *paths)
    del found[3::4]
    for line in found:
        assert line.startswith("FormatError: BYTEPIX is -1"), line


def test_rice_of_eight_bytes_is_not_supported(tmp_path):
    path = compressed(tmp_path / "a.fits", {"ZVAL2": 8}, compression_type="RICE_1")
    for reader in ("auto", "indexed", "reference"):
        with pytest.raises(UnsupportedFeature, match="BYTEPIX is 8"):
            scichunk.from_fits(path, hdu=1, reader=reader)


def test_more_fields_than_there_can_be(tmp_path):
    """astropy would loop over them while it holds up every other reading of the process."""
    paths = []
    for name in ("TFIELDS", "HIERARCH TFIELDS", "tfields"):
        for value in (2147483647, 1000, -1):
            card = f"{name:8}= {value:>20}" if len(name) == 7 else f"{name} = {value}"
            cards = [("TFIELDS", card), ("ZCMPTYPE", "ZCMPTYPE= 'UNKNOWN '")]
            paths.append(compressed(tmp_path / f"{len(paths)}-1.fits", {}, cards, compression_type="GZIP_1"))
    found = run(READ_IMAGES, *paths)
    assert all(line.startswith("FormatError: TFIELDS is") for line in found[::4] + found[2::4]), found
    assert found[3::4] == ["fine"] * len(paths)


def test_numbers_in_headers_on_the_way(tmp_path):
    """astropy would read the HDUs before the one that is asked for, too: it is given that one alone."""
    path = tmp_path / "a.fits"
    table = fits.BinTableHDU(np.zeros(3, [("a", "i4")]))
    fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(np.arange(12.0).reshape(3, 4))]).writeto(path)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"TFIELDS =                    1", b"TFIELDS =           2147483647"))
    for reader in ("indexed", "reference"):
        array = scichunk.from_fits(path, hdu=2, reader=reader)
        np.testing.assert_array_equal(array.compute(), np.arange(12.0).reshape(3, 4))
    with pytest.raises(FormatError, match=r"TFIELDS is 2147483647.*HDU 1"):
        scichunk.read_fits_table(path, hdu=1)


def test_more_group_parameters_than_there_can_be(tmp_path):
    path = tmp_path / "a-0.fits"
    cards = ["SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    2"]
    cards += ["NAXIS1  =                    0", "NAXIS2  =                    4", "GROUPS  =                    T"]
    cards += ["PCOUNT  =           1000000000", "GCOUNT  =                    1", "END"]
    path.write_bytes("".join(c.ljust(80) for c in cards).encode().ljust(2880) + bytes(2880))
    assert run(READ_IMAGES, path)[0].startswith("FormatError: PCOUNT is 1000000000")


@pytest.mark.parametrize("value", [-1, 0, 7, 9223372036854775807])
def test_types_that_are_none(tmp_path, value):
    path = compressed(tmp_path / "a.fits", {"ZBITPIX": value}, compression_type="GZIP_1")
    with pytest.raises(FormatError, match="ZBITPIX is"):
        scichunk.from_fits(path, hdu=1)


@pytest.mark.parametrize("value", [-1, 9223372036854775807, 1 << 70])
def test_heaps_that_lie_nowhere(tmp_path, value):
    path = compressed(tmp_path / "a.fits", {}, compression_type="RICE_1")
    raw = path.read_bytes()
    at = raw.index(b"ZNAME1")
    path.write_bytes(raw[:at] + f"THEAP   = {value:>20}".ljust(80).encode() + raw[at + 80 :])
    with pytest.raises(FormatError, match="THEAP"):
        scichunk.from_fits(path, hdu=1, reader="indexed")


def tiff_of_hostile_counts():
    """A degenerate TIFF whose entries say that they have very many values."""
    entries = b"".join(struct.pack("<HHII", code, 12, 0x7FFFFFF0, 8) for code in (33550, 33922, 34735, 34736, 34737))
    return b"II*\0" + struct.pack("<IH", 8, 5) + entries + bytes(4)


def boxes(*parts):
    return b"".join(struct.pack(">I4s", 8 + len(body), kind) + body for kind, body in parts)


def jp2(code, *extra):
    header = boxes(
        (b"ihdr", struct.pack(">IIHBBBB", 40, 50, 1, 7, 7, 0, 0)), (b"colr", b"\1\0\0" + struct.pack(">I", 17))
    )
    start = b"\0\0\0\x0cjP  \r\n\x87\n" + boxes((b"ftyp", b"jp2 \0\0\0\0jp2 "), (b"jp2h", header))
    return start + boxes(*extra) + boxes((b"jp2c", code))


READ_JP2 = """
for path in sys.argv[1:]:
    print(outcome(scichunk.info, path))
    print(scichunk.info(path).arrays[0].notes["boxes"])
    one, two = (scichunk.from_jpeg2000(path, reader=reader).compute() for reader in ("auto", "reference"))
    print(np.array_equal(one, two))
"""


def test_tiff_in_a_box_of_jpeg2000(tmp_path):
    size, paths, code = len(tiff_of_hostile_counts()), [], encode([texture((40, 50))])
    for uuid in ("b14bf8bd083d4b43a5ae8cd7d5a6ce03", "4a706754696666457869662d3e4a5032"):  # GeoJP2 and EXIF
        paths.append(tmp_path / f"{uuid}.jp2")
        paths[-1].write_bytes(jp2(code, (b"uuid", bytes.fromhex(uuid) + tiff_of_hostile_counts())))
    where = "jP at 0, ftyp at 12, jp2h(ihdr, colr) at 32, uuid{} at 77, jp2c at " + str(77 + 24 + size)
    assert run(READ_JP2, *paths) == ["fine", where.format(" GeoJP2"), "True", "fine", where.format(""), "True"]


def test_more_boxes_than_anyone_needs(tmp_path):
    path = tmp_path / "a.jp2"
    inner = boxes(*[(b"lbl ", b"")] * 300)
    path.write_bytes(jp2(encode([texture((40, 50))]), *[(b"asoc", inner)] * 300))
    with pytest.raises(LimitExceeded, match="boxes"):
        scichunk.info(path)


KERNELS = """
from scichunk.codecs import hcompress
from scichunk.codecs.tile_scratch import hcompress_scratch
from scichunk.codecs import quantize
from scichunk.codecs import plio
from scichunk.codecs import rice
from scichunk.codecs.text import fits_columns
near = np.array([2**63 - 1, 2**63 - 8, 2**62, -1, -(2**63)], np.int64)
ones, data, status = np.ones_like(near) * 40, np.zeros(4096, np.uint8), np.zeros(near.size, np.int64)
zero, words, table = np.zeros_like(near), np.zeros(4096, np.int32), np.zeros(1 << 16, np.uint8)
for offsets, lengths, places, counts in ((near, ones, zero, ones), (zero, near, zero, ones), (zero, ones, near, ones),
                                         (zero, ones, zero, near), (near, near, near, near)):
    rice.decode_rice(data, offsets, lengths, places, counts, 32, 4, words, status)
    print(status.all())
    plio.decode_plio(data, offsets, lengths, places, counts, words, status)
    print(status.all())
    scratch = hcompress_scratch(counts, counts, words.size)
    hcompress.decode_hcompress(data, offsets, lengths, places, counts, counts, table, *scratch, words, status)
    print(status.all())
    print(not any(fits_columns.gather_elements(data, offsets[i:i+1], counts[i:i+1], 8, data[:320].copy()) for i in range(near.size)
                  if offsets is near or counts is near))
    quantize.join_values(data, offsets, places, counts, 4, False, words)
    quantize.place_cast(words, offsets, places, counts, 0, words.copy())
for offset, size in ((2**62, 8), (8, 2**62), (2**63 - 1, 2**63 - 1), (-1, 8)):
    print(fits_columns.trim_rows(data, 64, offset, 1, size, data.copy(), np.zeros(4, np.int32), 0) == -2)
    print(fits_columns.trim_rows(data, 64, 0, 2**62, size, data.copy(), np.zeros(4, np.int32), 0) == -2)
"""


def test_numbers_that_wrap_around_in_kernels():
    found = run(KERNELS)
    assert len(found) == 28
    assert set(found) == {"True"}
