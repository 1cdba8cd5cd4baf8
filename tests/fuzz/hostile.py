"""Hostile files of every kind that was met, by small programs: sizes that lie, bombs, structures that go on for ever.

What each ends in is asserted elsewhere (tests/formats/test_hostile_*.py); here they are read for the memory and time that they take.
"""

from __future__ import annotations

import base64
import gzip
import io
import lzma
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

from tests.formats.test_hostile_fits import changed, compressed
from tests.formats.test_hostile_geotiff import larger_webp, of_one_value
from tests.formats.test_hostile_numbers import boxes, jp2, tiff_of_hostile_counts
from tests.formats.test_hostile_sizes import PLAIN, parquet, tiff
from tests.jpeg2000_files import encode, texture
from tests.votable_docs import binary, doc

Made = Iterator[tuple[str, bytes]]
_BOMB = 1 << 29
"""Bytes that a bomb decodes to: eight times of what may be decoded where this is measured."""


@cache
def _zeros(kind: str, size: int = _BOMB) -> bytes:
    """Zeros, compressed."""
    if kind == "zstd":
        return bytes(imagecodecs.zstd_encode(bytes(size)))
    if kind == "lzma":
        return lzma.compress(bytes(size // 2), preset=0)
    return _deflated(b"", size, gzipped=kind == "gzip")


def _deflated(head: bytes, zeros: int, *, gzipped: bool) -> bytes:
    """A head and zeros behind it: one block of them is compressed, and repeated."""
    block = bytes(1 << 24)
    make = zlib.compressobj(1, wbits=-15)
    first = make.compress(head) + make.flush(zlib.Z_FULL_FLUSH)
    again = make.compress(block) + make.flush(zlib.Z_FULL_FLUSH)
    stream = first + again * (zeros >> 24) + make.flush()
    check = zlib.crc32 if gzipped else zlib.adler32
    value = check(head)
    for _ in range(zeros >> 24):
        value = check(block, value)
    if not gzipped:
        return b"\x78\x01" + stream + struct.pack(">I", value)
    return b"\x1f\x8b\x08" + bytes(7) + stream + struct.pack("<II", value, len(head) + zeros & 0xFFFFFFFF)


def _strip(compression: int, data: bytes, more: dict | None = None) -> bytes:
    return tiff(PLAIN | {259: (3, compression), 279: (4, len(data))} | (more or {}), data)


def _tiled(edge: int, **more: tuple) -> dict:
    tags = {c: v for c, v in PLAIN.items() if c not in {273, 278, 279}}
    return (
        tags | {322: (4, edge), 323: (4, edge), 324: (4, 16), 325: (4, 64)} | {int(k[1:]): v for k, v in more.items()}
    )


def geotiff() -> Made:
    """Counts, sizes and bombs of TIFF."""
    for samples in (65_535, 65_536, 20_000_000, 0x7FFFFFFF):
        yield f"{samples} samples", tiff(PLAIN | {277: (4, samples)})
        yield f"{samples} samples in planes", tiff(PLAIN | {277: (4, samples), 284: (3, 2)})
    for width, height in ((0x7FFFFFFF, 2), (2, 0x7FFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (1 << 20, 1 << 20)):
        for compression in (1, 5, 8, 2, 4, 6, 7, 34712, 50000):
            for bits in (1, 64):
                sizes = {256: (4, width), 257: (4, height), 258: (3, bits), 259: (3, compression)}
                yield f"{width} x {height} of {bits} bits, {compression}", tiff(PLAIN | sizes)
                yield (
                    f"{width} x {height} of {bits} bits in strips, {compression}",
                    tiff(PLAIN | sizes | {278: (4, 1), 273: (4, 16, 16), 279: (4, 2, 2)}),
                )
    for edge in (16, 1 << 16, 1 << 20, 0xFFFFFFF0):
        for compression in (1, 5, 8, 7, 50000, 34887):
            for bits in (1, 8):
                tags = _tiled(edge, t259=(3, compression), t258=(3, bits))
                yield f"tiles of {edge}, {compression}, {bits} bits", tiff(tags)
                yield (
                    f"tiles of {edge} of a large image, {compression}, {bits} bits",
                    tiff(tags | {256: (4, 1 << 20), 257: (4, 1 << 20)}),
                )
    bombs = {
        50000: _zeros("zstd"),
        8: _zeros("deflate"),
        34925: _zeros("lzma"),
        5: bytes(imagecodecs.lzw_encode(bytes(1 << 26))),
    }
    for compression, data in bombs.items():
        yield f"a bomb, {compression}", _strip(compression, data)
        yield (
            f"a bomb of a strip of half its size, {compression}",
            _strip(compression, data, {256: (4, 1 << 14), 257: (4, 1 << 14), 278: (4, 1 << 14)}),
        )
        yield f"a bomb of planes, {compression}", _strip(compression, data, {277: (3, 200), 284: (3, 2)})
    jpeg = bytes(imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8)))
    at = jpeg.index(b"\xff\xc0") + 5
    for code, data, samples in (
        (7, jpeg[:at] + struct.pack(">HH", 65_000, 65_000) + jpeg[at + 4 :], 1),
        (34887, of_one_value(30_000, 30_000), 1),
        (34887, of_one_value(8, 8) * 20_000, 1),
        (50001, larger_webp(16_000, 16_000), 3),
        (50002, bytes(imagecodecs.jpegxl_encode(np.zeros((12_000, 12_000), np.uint8), effort=1)), 1),
        (33003, encode([texture((64, 64))]), 1),
    ):
        more = {258: (3, *([8] * samples)), 277: (3, samples), 262: (3, 2 if samples == 3 else 1)}
        for name, size in (("small", 8), ("large", 16_000)):
            sizes = {256: (4, size), 257: (4, size), 278: (4, size)}
            yield f"an image larger than its {name} strip, {code}", _strip(code, data, more | sizes)
    for code in (258, 273, 279, 320, 330, 339, 347, 33550, 34735, 42112, 42113, 50674):
        for kind in (2, 4, 16):
            raw = tiff({k: v for k, v in PLAIN.items() if k != code} | {code: (kind, *([b"x"] if kind == 2 else [1]))})
            at = raw.rindex(struct.pack("<HH", code, kind)) + 4
            for count in (0x7FFFFFFF, 1 << 62, len(raw)):
                yield f"{count} values of tag {code}", raw[:at] + struct.pack("<Q", count) + raw[at + 8 :]


def fits_files() -> Made:
    """Counts, sizes and bombs of FITS."""
    sound = {kind: compressed(kind) for kind in ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1")}
    for cards in (
        {"ZVAL2": -1}, {"ZVAL2": 2147483647}, {"ZVAL1": 1 << 40}, {"TFIELDS": 2147483647, "ZCMPTYPE": "UNKNOWN"},
        {"ZNAXIS1": 1 << 40, "ZTILE1": 1 << 40}, {"ZNAXIS1": 1 << 40, "ZTILE1": 1 << 40, "ZCMPTYPE": "UNKNOWN"},
        {"ZNAXIS2": 1 << 40}, {"ZNAXIS2": 1 << 40, "ZTILE2": 1 << 40}, {"ZNAXIS1": 0x7FFFFFFF}, {"ZNAXIS1": 0x7FFFFFFF, "ZTILE1": 0x7FFFFFFF},
        {"NAXIS1": 1 << 40}, {"NAXIS2": 1 << 40}, {"NAXIS2": 0x7FFFFFFF}, {"PCOUNT": 1 << 40}, {"TFORM1": "2147483647PB(1)"},
        {"TFORM1": "1PB(2147483647)"}, {"TFORM1": "2147483647B"}, {"NAXIS": 999},
    ):  # fmt: skip
        for kind in ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1"):
            try:
                yield f"{kind} {cards}", changed(sound[kind], **cards)
            except AssertionError:  # it has no such card
                continue
    for kind in ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "UNKNOWN"):
        yield from _tiles(kind)
    for cards in (
        {"NAXIS1": 1 << 40},
        {"NAXIS2": 0x7FFFFFFF, "NAXIS1": 0x7FFFFFFF},
        {"BITPIX": -64, "NAXIS2": 1 << 20},
    ):
        file = io.BytesIO()
        fits.ImageHDU(np.zeros((64, 64), "i2"), name="A").writeto(file)
        yield f"image {cards}", changed(file.getvalue(), **cards)
    table = io.BytesIO()
    columns = [
        fits.Column("a", "PD(3)", array=np.array([np.zeros(3), np.zeros(2)], object)),
        fits.Column("b", "20A", array=["x", "y"]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(table)
    for cards in ({"NAXIS2": 1 << 40}, {"NAXIS2": 0x7FFFFFFF}, {"NAXIS1": 1 << 40}, {"TFORM2": "2147483647A"}, {"TFIELDS": 999},
                  {"THEAP": 1 << 40}, {"PCOUNT": 1 << 40}, {"TFORM1": "PD(2147483647)"}, {"NAXIS1": 0}):  # fmt: skip
        with_theap = table.getvalue() if "THEAP" not in cards else table.getvalue().replace(b"GCOUNT", b"THEAP ", 1)
        yield f"table {cards}", changed(with_theap, **cards)
    at = table.getvalue().rindex(struct.pack(">ii", 2, 24))
    for count, place in ((0x7FFFFFFF, 0), (1 << 20, 0x7FFFFFFF), (-1, 0), (1 << 27, 0)):
        raw = table.getvalue()
        yield f"descriptor of {count} at {place}", raw[:at] + struct.pack(">ii", count, place) + raw[at + 8 :]
    head = fits.PrimaryHDU(np.zeros((2, 2), "u1")).header
    head["NAXIS1"], head["NAXIS2"] = 1 << 15, 1 << 14
    yield "an image in a bomb of gzip", _deflated(head.tostring().encode(), _BOMB, gzipped=True)
    yield "a header in a bomb of gzip", gzip.compress(head.tostring().encode()[:2000] + b" " * (1 << 26))


def _tiles(kind: str) -> Made:
    """Files whose only tile is what the function makes of it."""
    made = {
        "a bomb": _zeros("gzip"),
        "a bomb of a megabyte": _zeros("gzip", 1 << 24),
        "HCOMPRESS of 2**31 x 2**31": b"\xdd\x99" + struct.pack(">iiiq", 0x7FFFFFFF, 0x7FFFFFFF, 1, 1) + bytes(64),
        "HCOMPRESS of 2**15 x 2**15": b"\xdd\x99" + struct.pack(">iiiq", 1 << 15, 1 << 15, 1, 1) + bytes(64),
        "HCOMPRESS of -1 x 2**30": b"\xdd\x99" + struct.pack(">iiiq", -1, 1 << 30, 1, 1) + bytes(64),
        "PLIO of 2**31 words": struct.pack(">hhhhhhh", 0, 7, -100, 0x7FFF, 0x7FFF, 0, 0) + bytes(64),
        "noise": bytes(range(256)) * 8,
    }
    for name, data in made.items():
        for edge in (64, 1 << 13):
            head = {"ZIMAGE": True, "ZCMPTYPE": kind, "ZBITPIX": 32, "ZNAXIS": 2, "ZNAXIS1": edge, "ZNAXIS2": edge}
            head |= {"ZTILE1": edge, "ZTILE2": edge}
            if kind == "HCOMPRESS_1":
                head |= {"ZNAME1": "SCALE", "ZVAL1": 0, "ZNAME2": "SMOOTH", "ZVAL2": 1}
            tile = np.empty(1, object)
            tile[0] = np.frombuffer(data, "u1")
            hdu = fits.BinTableHDU.from_columns([fits.Column("COMPRESSED_DATA", "PB", array=tile)])
            hdu.header.update(head)
            file = io.BytesIO()
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
            yield f"{kind} of {edge} x {edge}: {name}", file.getvalue()


def votable() -> Made:
    """Counts, sizes and bombs of VOTable."""
    field = '<FIELD name="a" datatype="{}" arraysize="{}"/>'
    for size, kind in (("1073741823x*", "double"), ("2147483647x*", "doubleComplex"), ("1073741824x*", "double"), ("2147483647", "char"),
                       ("67108864", "double"), ("1000000x*", "float"), ("*", "unicodeChar"), ("9" * 5000, "int"), ("2x" * 200 + "*", "bit")):  # fmt: skip
        for count in (2147483647, 134217728, 1 << 20, -1):
            for serialization in ("BINARY", "BINARY2"):
                flags = b"\0" if serialization == "BINARY2" else b""
                data = (flags + struct.pack(">i", count) + bytes(16)) * 3
                name = f"{serialization} of {kind} {size[:20]}, {count}"
                yield name, binary(data, field.format(kind, size), serialization).encode()
        yield f"TABLEDATA of {kind} {size[:20]}", doc("<TR><TD>1 2</TD></TR>" * 3, field.format(kind, size)).encode()
    for rows in (2147483647, 1 << 62):
        yield (
            f"{rows} rows",
            doc("<TR><TD>1</TD></TR>", '<FIELD name="a" datatype="int"/>')
            .replace("<TABLE>", f'<TABLE nrows="{rows}">')
            .encode(),
        )
    yield (
        "a bomb of gzip",
        gzip.compress(doc("<TR><TD>1</TD></TR>" * 3_000_000, '<FIELD name="a" datatype="int"/>').encode()),
    )
    for name, data in (("rows", bytes(1 << 27)), ("texts", b"\0\0\0\x01x" * (1 << 22))):
        kind = 'datatype="int"' if name == "rows" else 'datatype="char" arraysize="*"'
        text = base64.b64encode(gzip.compress(data, 1)).decode()
        yield (
            f"a stream of gzip, {name}",
            binary(b"", f'<FIELD name="a" {kind}/>', text=text, encoding=' encoding="gzip"').encode(),
        )
        href = base64.b64encode(gzip.compress(data, 1)).decode()
        body = f'<BINARY><STREAM href="data:application/octet-stream;base64,{href}" encoding="gzip"/></BINARY>'
        yield f"a stream of gzip in a link, {name}", doc(fields=f'<FIELD name="a" {kind}/>', body=body).encode()
    yield (
        "Parquet of rows that cost nothing",
        parquet(pa.table({"a": np.zeros(1_000_000, "i8")}), row_group_size=1_000_000),
    )
    yield "Parquet of texts that are stored once", parquet(pa.table({"a": pa.array(["x" * 10_000] * 50_000)}))
    yield "Parquet of a text that is stored once", parquet(pa.table({"a": pa.array(["x" * (1 << 26)] * 8)}))
    yield "Parquet of lists", parquet(pa.table({"a": pa.array([[0.0] * 1_000_000] * 2)}))
    file = io.BytesIO()
    pq.write_table(pa.table({"a": np.zeros(1000)}), file)
    raw = file.getvalue()
    for at in range(4, len(raw) - 8, 37):
        text = base64.b64encode(raw[:at] + b"\xff\xff\xff\xff\x7f" + raw[at + 5 :]).decode()
        fields = '<FIELD name="a" datatype="double"/>'
        yield (
            f"Parquet, damaged at {at}",
            doc(fields=fields, body=f'<PARQUET><STREAM encoding="base64">{text}</STREAM></PARQUET>').encode(),
        )
    for name, inner in fits_files():
        if len(inner) < 1 << 20 and "table" in name:
            text = base64.b64encode(inner).decode()
            yield f"FITS: {name}", doc(body=f'<FITS><STREAM encoding="base64">{text}</STREAM></FITS>').encode()
    yield "many fields", doc("", '<FIELD name="a" datatype="int"/>' * 2_000).encode()
    yield (
        "many comments",
        doc("<!-- -->" * 100_000 + "<TR><TD>1</TD></TR>", '<FIELD name="a" datatype="int"/>').encode(),
    )
    yield (
        "many parameters",
        doc("", '<FIELD name="a" datatype="int"/>', after="<INFO name='a' value='b'/>" * 30_000).encode(),
    )


def jpeg2000() -> Made:
    """Counts and sizes of JPEG 2000."""
    code = encode([texture((64, 64))], tile=(32, 32), levels=2)
    at = code.index(b"\xff\x51") + 6
    for sizes in (
        (0x7FFFFFFF, 0x7FFFFFFF, 0, 0, 32, 32), (0x7FFFFFFF, 0x7FFFFFFF, 0, 0, 0x7FFFFFFF, 0x7FFFFFFF), (0xFFFFFFFF, 1, 0, 0, 0xFFFFFFFF, 1),
        (65_535, 65_535, 0, 0, 65_535, 65_535), (65_535, 65_535, 0, 0, 256, 257), (1 << 20, 1 << 20, 0, 0, 1 << 20, 1 << 20),
        (20_000, 20_000, 0, 0, 20_000, 20_000), (1 << 20, 64, 0, 0, 16, 64), (8_000, 8_000, 0, 0, 8_000, 8_000),
    ):  # fmt: skip
        larger = code[:at] + struct.pack(">6I", *sizes) + code[at + 24 :]
        yield f"sizes {sizes}", larger
        yield f"sizes {sizes} in a box", jp2(larger)
    size = struct.unpack(">H", code[at - 4 : at - 2])[0]
    for components in (16_384, 16_385, 65_535):
        siz = code[: at - 4] + struct.pack(">H", 38 + 3 * components & 0xFFFF) + code[at - 2 : at + 32]
        yield (
            f"{components} components",
            siz + struct.pack(">H", components) + b"\7\1\1" * components + code[at - 4 + size :],
        )
    at = code.index(b"\xff\x52")
    for changed_at, value in (
        (6, b"\xff\xff"),
        (9, b"\x20"),
        (10, b"\x0a"),
        (11, b"\x0a"),
        (12, b"\xff"),
        (4, b"\xff"),
    ):
        yield (
            f"coding style {changed_at} {value!r}",
            code[: at + changed_at] + value + code[at + changed_at + len(value) :],
        )
    for uuid in ("b14bf8bd083d4b43a5ae8cd7d5a6ce03", "4a706754696666457869662d3e4a5032"):
        yield f"a TIFF in a box {uuid}", jp2(code, (b"uuid", bytes.fromhex(uuid) + tiff_of_hostile_counts()))
    yield "very many boxes", jp2(code, *[(b"asoc", boxes(*[(b"lbl ", b"")] * 300))] * 300)
    for entries, columns in ((1024, 255), (65_535, 255)):
        palette = struct.pack(">HB", entries, columns) + b"\x1f" * columns + bytes(min(entries, 1024) * columns * 4)
        yield f"a palette of {entries} x {columns}", jp2(code, (b"jp2h", boxes((b"pclr", palette))))
    many = encode([texture((512, 512))], levels=5, precincts=((32, 32),))
    at = many.index(b"\xff\x52") + 6
    for layers in (1_000, 65_535):
        yield f"{layers} layers of many precincts", many[:at] + struct.pack(">H", layers) + many[at + 2 :]
    length = code.index(b"\xff\x90") + 6
    for value in (0, 13, 0x7FFFFFFF, 0xFFFFFFFF):
        yield f"a tile-part of {value} bytes", code[:length] + struct.pack(">I", value) + code[length + 4 :]


_KINDS = {"geotiff": geotiff, "fits": fits_files, "votable": votable, "jpeg2000": jpeg2000}


def hostile() -> Iterator[tuple[str, str, bytes]]:
    """Format, name and content of every hostile file."""
    for kind, make in _KINDS.items():
        for name, data in make():
            yield kind, f"{kind}: {name}", data
