"""TIFF files whose directories lie: nothing is allocated for what they say before it is compared with the limits."""

import asyncio
import io
import lzma
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import rasterio
import xarray as xr

import scichunk
from scichunk.errors import FormatError, LimitExceeded, MetadataWarning
from scichunk.testing import RangeServer
from tests.children import outcomes
from tests.tiff_files import LONG, SHORT, page
from tests.tiff_files import tiff as written

CODES = {1: "B", 3: "H", 4: "I", 12: "d"}
PIXELS = np.arange(64, dtype=np.uint8)
DATA = PIXELS.tobytes()
BASE = {256: (4, [8]), 257: (4, [8]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1]), 273: (4, [8]), 277: (3, [1]), 278: (4, [8]), 279: (4, [64])}  # fmt: skip


def tiff(tags, data=DATA):
    """A file of one directory, ``{tag: (type, values)}``; the data lie at byte 8."""
    directory, more = b"", b""
    behind = 8 + len(data) + 2 + 12 * len(tags) + 4
    for code, (kind, values) in sorted(tags.items()):
        raw = struct.pack(f"<{len(values)}{CODES[kind]}", *values)
        if len(raw) > 4:
            place, more = struct.pack("<I", behind + len(more)), more + raw
        else:
            place = raw.ljust(4, b"\0")
        directory += struct.pack("<HHI", code, kind, len(values)) + place
    return (
        b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + directory + bytes(4) + more
    )


def write_pages(path, count, gap):
    """A file with a gap, which is a hole in it, between its directories; pixel 0 of a page is its number, modulo 251."""
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", 8))
        for i in range(count):
            at = 8 + i * gap
            tags = BASE | {273: (4, [at + 200])}
            entries = b"".join(
                struct.pack(f"<HHI{CODES[t]}", c, t, 1, *v).ljust(12, b"\0") for c, (t, v) in sorted(tags.items())
            )
            file.seek(at)
            file.write(struct.pack("<H", len(tags)) + entries + struct.pack("<I", at + gap if i < count - 1 else 0))
            file.seek(at + 200)
            file.write(bytes([i % 251]))
        file.truncate(8 + count * gap)
    return str(path)


def test_many_pages_far_apart_cost_linear_time(tmp_path):
    path = write_pages(tmp_path / "a.tif", 16_000, 20_000)
    assert outcomes(f"print(scichunk.from_geotiff({path!r}, page=15_999)[0, 0, 0].compute())") == [str(15_999 % 251)]


def test_what_is_read_ahead_hides_no_pages(tmp_path):
    path = write_pages(tmp_path / "a.tif", 1000, 20_000)
    with scichunk.options.set(max_header_bytes=1 << 20):
        assert len(scichunk.info(path).arrays) == 1000


@pytest.mark.parametrize(("option", "value"), [("max_pages", 10)])
def test_pages_left_out_are_said_once(tmp_path, option, value):
    path = write_pages(tmp_path / "a.tif", 1000, 20_000)
    with scichunk.options.set(**{option: value}), pytest.warns(MetadataWarning, match=f"left out.*{option}") as caught:
        found = scichunk.info(path).arrays
        assert 1 < len(found) < 1000
    assert len(caught) == 1
    assert f"behind the first {len(found)} " in str(caught[0].message)


def with_children(count, broken, following=0):
    """A file of one page with sub-directories, some of which lie outside of it; ``following`` is where the next page is."""
    child = tiff(BASE | {254: (4, [1])})[8 + len(DATA) :]
    parent = BASE | {330: (4, [0] * (count + broken))}
    size = len(tiff(parent))
    places = [size + i * len(child) for i in range(count)] + [size + (1 << 20) + i for i in range(broken)]
    data = bytearray(tiff(parent | {330: (4, places)}))
    at = 8 + len(DATA) + 2 + 12 * len(parent)
    data[at : at + 4] = struct.pack("<I", following)
    return bytes(data) + child * count


@pytest.mark.parametrize(("broken", "told"), [(1, "1 sub-directory is"), (3, "3 sub-directories are")])
def test_sub_directories_left_out_are_counted(broken, told):
    with pytest.warns(MetadataWarning, match=f"^{told} left out: ") as caught:
        assert len(scichunk.info(with_children(2, broken)).arrays) == 3
    assert len(caught) == 1
    with pytest.raises(FormatError, match="there is no page 1") as refused:
        scichunk.from_geotiff(with_children(2, broken), page=1)
    assert "broken" not in str(refused.value)


def test_sub_directories_and_pages_left_out_have_counts_of_their_own():
    with pytest.warns(MetadataWarning) as caught:
        scichunk.info(with_children(2, 3, following=1 << 20))
    told = sorted(str(w.message) for w in caught)
    assert [t.partition(" left out: ")[0] for t in told] == [
        "3 sub-directories are",
        "directories behind the first 3 are",
    ]


def test_numbers_of_samples_that_cannot_be():
    files = [tiff(BASE | {277: (4, [n])}) for n in (20_000_000, 2147483648, 4294967295, 65_536)]
    assert outcomes(*[f"scichunk.open({data!r})" for data in files], gib=2) == ["FormatError"] * 4


def test_tiles_far_larger_than_the_image():
    base = {c: v for c, v in BASE.items() if c not in {273, 278, 279}} | {324: (4, [8]), 325: (4, [64])}
    edges = (1 << 31, 0xFFFFFFF0, 1 << 20)
    files = [tiff(base | {259: (3, [8]), 322: (4, [edge]), 323: (4, [edge])}) for edge in edges]
    assert outcomes(*[f"scichunk.from_geotiff({data!r}).compute()" for data in files], gib=3) == ["LimitExceeded"] * 3
    found = outcomes(*[f"scichunk.from_geotiff({data!r}, reader='reference').compute()" for data in files], gib=3)
    assert set(found) <= {"LimitExceeded", "FormatError"}


def test_blocks_of_the_reference_reader():
    wide = tiff(BASE | {256: (4, [1 << 30]), 258: (3, [64]), 259: (3, [8]), 278: (4, [8]), 279: (4, [2])})
    read = f"scichunk.from_geotiff({wide!r}, reader='reference')[:, :4, :70].compute()"
    assert outcomes(read, gib=3) == ["LimitExceeded"]
    data = tiff(BASE)
    np.testing.assert_array_equal(scichunk.from_geotiff(data, reader="reference").compute()[0].ravel(), PIXELS)
    with scichunk.options.set(max_chunk_bytes=32), pytest.raises(LimitExceeded, match="max_chunk_bytes"):
        scichunk.from_geotiff(data, reader="reference").compute()


@pytest.mark.parametrize("compression", [1, 8])
def test_a_strip_that_says_it_has_no_bytes(compression):
    data = DATA if compression == 1 else imagecodecs.zlib_encode(DATA)
    file = tiff(BASE | {259: (3, [compression]), 279: (4, [0])}, data)
    with rasterio.open(io.BytesIO(file)) as dataset:
        want = dataset.read()
    assert want.any()
    np.testing.assert_array_equal(scichunk.from_geotiff(file).compute(), want)


def test_strips_of_which_one_says_it_has_no_bytes():
    file = tiff(BASE | {273: (4, [8, 40]), 278: (4, [4]), 279: (4, [32, 0])})
    with rasterio.open(io.BytesIO(file)) as dataset:
        want = dataset.read()
    np.testing.assert_array_equal(scichunk.from_geotiff(file).compute(), want)
    with pytest.raises(scichunk.errors.UnsupportedFeature, match="0 bytes"):
        scichunk.from_geotiff(file, reader="indexed").compute()


@pytest.mark.parametrize(
    ("compression", "encode", "more"), [(50000, imagecodecs.zstd_encode, 1 << 28), (34925, lzma.compress, 1 << 23)]
)
def test_strips_that_decode_to_far_more_than_they_should(compression, encode, more):
    encoded = encode(DATA + bytes(more))
    file = tiff(BASE | {259: (3, [compression]), 279: (4, [len(encoded)])}, encoded)
    assert len(file) < 1 << 20
    short = encode(DATA + bytes(8))
    small = tiff(BASE | {259: (3, [compression]), 279: (4, [len(short)])}, short)
    code = f"""
import pathlib, re
def peak():  # of this program; getrusage begins with that of the process that started it
    return int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
scichunk.from_geotiff({small!r}).compute()  # imports what reading needs
before = peak()
print(scichunk.from_geotiff({file!r}).compute().sum(), peak() - before < 1 << 17)
"""
    assert outcomes(code) == [f"{PIXELS.sum()} True"]
    cut = tiff(BASE | {259: (3, [compression]), 279: (4, [20])}, encoded[:20])
    with pytest.raises(FormatError):
        scichunk.from_geotiff(cut).compute()


def test_a_jpeg_that_says_it_is_far_larger_than_its_strip():
    encoded = bytes(imagecodecs.jpeg8_encode(PIXELS.reshape(8, 8)))
    tags = BASE | {259: (3, [7]), 279: (4, [len(encoded)])}
    at = encoded.index(b"\xff\xc0") + 5
    assert scichunk.from_geotiff(tiff(tags, encoded)).compute().shape == (1, 8, 8)
    larger = tiff(tags, encoded[:at] + struct.pack(">HH", 65_000, 65_000) + encoded[at + 4 :])
    assert outcomes(f"scichunk.from_geotiff({larger!r}).compute()", gib=3) == ["FormatError"]
    higher = tiff(tags, encoded[:at] + struct.pack(">H", 65_000) + encoded[at + 2 :])
    with scichunk.options.set(max_chunk_bytes=1 << 16), pytest.raises(LimitExceeded, match="max_chunk_bytes"):
        scichunk.from_geotiff(higher).compute()


def of_one_value(rows, columns):
    """LERC of one value: a hundred bytes for as many pixels as one likes."""
    return bytes(imagecodecs.lerc_encode(np.zeros((rows, columns), np.uint8)))


def larger_webp(rows, columns):
    data = bytes(imagecodecs.webp_encode(np.zeros((8, 8, 3), np.uint8), lossless=True))
    bits = (columns - 1) | (rows - 1) << 14 | int.from_bytes(data[21:25], "little") >> 28 << 28
    return data[:21] + struct.pack("<I", bits) + data[25:]


@pytest.mark.parametrize(
    ("compression", "encoded", "samples"),
    [
        (34887, of_one_value(30_000, 30_000), 1),
        (34887, of_one_value(30_000, 8), 1),
        (34887, of_one_value(8, 8) * 20_000, 1),
        (50001, larger_webp(16_000, 16_000), 3),
        (50001, larger_webp(16_000, 8), 3),
        (50002, bytes(imagecodecs.jpegxl_encode(np.zeros((20_000, 10_000), np.uint8), effort=1)), 1),
    ],
)
def test_images_that_say_they_are_far_larger_than_their_strip(compression, encoded, samples):
    tags = BASE | {258: (3, [8] * samples), 259: (3, [compression]), 277: (3, [samples]), 279: (4, [len(encoded)])}
    tags |= {262: (3, [2 if samples == 3 else 1])} | ({50674: (4, [4, 0])} if compression == 34887 else {})
    file = tiff(tags, encoded)
    with (
        scichunk.options.set(max_chunk_bytes=1 << 16),
        pytest.raises((FormatError, LimitExceeded), match=r"pixels|beyond"),
    ):
        scichunk.from_geotiff(file, reader="indexed").compute()


@pytest.mark.parametrize("outer", ["deflate", "zstd"])
def test_lerc_within_a_bomb(outer):
    blob = of_one_value(8, 8)
    encode = imagecodecs.deflate_encode if outer == "deflate" else imagecodecs.zstd_encode
    for encoded, fails in ((blob, False), (blob + bytes(1 << 26), True)):
        data = bytes(encode(encoded))
        tags = BASE | {259: (3, [34887]), 279: (4, [len(data)]), 50674: (4, [4, 1 if outer == "deflate" else 2])}
        array = scichunk.from_geotiff(tiff(tags, data), reader="indexed")
        if fails:
            with pytest.raises(FormatError, match="hold more than"):
                array.compute()
        else:
            assert not array.compute().any()


def pointing(path, *directories, size):
    """A file of directories, ``{tag: (type, values)}`` or ``{tag: (type, count, place)}``, that is a hole behind them."""
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    for number, tags in enumerate(directories):
        entries = b""
        for code, (kind, *values) in sorted(tags.items()):
            if len(values) == 2:
                entries += struct.pack("<HHII", code, kind, *values)
            else:
                entries += struct.pack("<HHI", code, kind, 1) + struct.pack(f"<{CODES[kind]}", *values[0]).ljust(
                    4, b"\0"
                )
        behind = len(out) + 2 + len(entries) + 4
        last = number == len(directories) - 1
        out += struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0 if last else behind)
    with path.open("wb") as file:
        file.write(out)
        file.truncate(size)
    return str(path)


GROWTH = """
import pathlib, re, resource
def peak():  # of this program; getrusage begins with that of the process that started it
    return int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) >> 10
scichunk.options.set(max_chunk_bytes=1 << 26)
scichunk.info({small!r})
scichunk.open({small!r})
before = peak()
for read in {reads}:
    try:
        read({path!r})
    except scichunk.errors.ScichunkError:
        pass
growth = peak() - before
print(growth if growth > {most} else "little")
"""


def grows(path, *reads, most=256, timeout=60):
    """What a process prints that reads a file: "little" where it grew by few MiB."""
    small = tiff(BASE | {282: (4, [1])})  # imports what reading needs
    code = GROWTH.format(small=small, path=path, reads=f"[{', '.join(reads)}]", most=most)
    return outcomes(code, gib=8, timeout=timeout)[0]


@pytest.mark.parametrize("codes", [range(40_000, 40_040), (269, 270, 305, 306, 315, 316, 33432, 42113)])
def test_tags_that_share_one_place(tmp_path, codes):
    size = (1 << 24) - 8
    shared = {code: (7 if code >= 40_000 else 2, size, 4096) for code in codes}
    path = pointing(tmp_path / "a.tif", BASE | {282: (4, [1])} | shared, size=4096 + (1 << 24))
    assert grows(path, "scichunk.info", "scichunk.open") == "little"


READS = ("scichunk.info", "scichunk.open", "lambda p: scichunk.from_geotiff(p).compute()")
REFERENCE = "lambda p: scichunk.from_geotiff(p, reader='reference').compute()"


@pytest.mark.parametrize(
    ("code", "kind", "count"), [(258, 3, 1 << 27), (339, 3, 1 << 27), (273, 4, 1 << 26), (330, 4, 1 << 26), (42113, 2, 1 << 28), (347, 7, 1 << 28)]
)  # fmt: skip
def test_tags_of_far_more_values_than_there_can_be(tmp_path, code, kind, count):
    compressed = {259: (3, [7])} if code == 347 else {}
    size = 4096 + (1 << 28)
    path = pointing(tmp_path / "a.tif", BASE | compressed | {code: (kind, count, 4096)}, size=size)
    assert grows(path, *READS) == "little"


def test_tags_that_share_one_place_in_the_reference_reader(tmp_path):
    shared = dict.fromkeys(range(40000, 40060), (7, (1 << 24) - 8, 4096))
    path = pointing(tmp_path / "a.tif", BASE | shared, size=4096 + (1 << 24))
    assert grows(path, REFERENCE) == "little"
    with pytest.raises(LimitExceeded, match=r"GDAL would read tags of 100663\d+ bytes"):
        scichunk.from_geotiff(path, reader="reference")


@pytest.mark.parametrize("more", [{258: (3, 1_000_000, 65536), 339: (3, 1_000_000, 65536)}, {}])
def test_pages_that_share_their_tables(tmp_path, more):
    """Numbers of bits beyond the samples, or places of strips of one row."""
    rows = 1_000_000
    strips = {257: (4, [rows]), 278: (4, [1]), 273: (4, rows, 65536), 279: (4, rows, 65536)}
    pages = [BASE | (more or strips | {259: (3, [8])})] * 100
    path = pointing(tmp_path / "a.tif", *pages, size=65536 + 4 * rows)
    assert grows(path, "scichunk.info", most=256 if more else 450) == "little"
    if not more:
        arrays = scichunk.info(path).arrays
        assert arrays[0].reader == "indexed"
        assert "max_header_bytes" in arrays[-1].reader


def test_more_strips_than_are_read_at_once(tmp_path):
    rows = 5_000_000
    strips = {257: (4, [rows]), 278: (4, [1]), 273: (4, rows, 4096), 279: (4, rows, 4096)}
    path = pointing(tmp_path / "a.tif", BASE | strips, size=4096 + 4 * rows)
    with pytest.raises(LimitExceeded, match="paged_index_bytes"):
        scichunk.from_geotiff(path)
    with scichunk.options.set(paged_index_bytes=8 * rows):
        assert scichunk.from_geotiff(path).shape == (1, rows, 8)


@pytest.mark.parametrize("count", [4, 1000])
def test_numbers_of_bits_beyond_the_samples_count_for_nothing(count):
    data = tiff(BASE | {258: (3, [8] + [16] * count)})
    with rasterio.open(io.BytesIO(data)) as dataset:
        want = dataset.read()
    np.testing.assert_array_equal(scichunk.from_geotiff(data, reader="indexed").compute(), want)


def test_directories_of_very_many_bands(tmp_path):
    most = 65_535
    page = BASE | {256: (4, [1]), 257: (4, [1]), 277: (4, [most]), 279: (4, [most]), 278: (4, [1])}
    path = pointing(tmp_path / "a.tif", *[page] * 20, size=1 << 17)
    with pytest.warns(MetadataWarning, match="directories of more than 1048576 bands together"):
        assert len(scichunk.info(path).arrays) == 16
    scichunk.clear_caches()
    with scichunk.options.set(max_pages=1 << 17):
        assert len(scichunk.info(path).arrays) == 20


def test_items_of_very_many_bands():
    def file(bands, names):
        items = "".join(f'<Item name="n{i}" sample="{i % 2}">{i}</Item>' for i in range(names))
        text = f"<GDALMetadata>{items}</GDALMetadata>\0".encode()
        tags = BASE | {256: (4, [1]), 257: (4, [1]), 277: (4, [bands]), 279: (4, [bands]), 42112: (1, list(text))}
        return tiff(tags, bytes(bands))

    with pytest.warns(MetadataWarning, match="items of 16384 bands left out: of 90 names the first 64 are kept"):
        found = xr.open_dataset(file(16_384, 90), engine="geotiff").band_data.attrs
    assert "n0" in found
    assert len([name for name in found if name[0] == "n" and name[1:].isdigit()]) == 64
    found = xr.open_dataset(file(300, 90), engine="geotiff").band_data.attrs
    assert found["n89"][1] in {89, "89"}


@pytest.mark.parametrize("paged", [1 << 20, 0])
@pytest.mark.parametrize("where", ["server", "file", "file, asynchronously"])
def test_tiles_that_are_said_to_reach_far_beyond_what_they_need(where, paged, tmp_path):
    """A thousand tiles may each be said to take as much as nearly all of the file: read so, they take a thousand times its length."""
    streams = [zlib.compress(bytes([n]) * 256) for n in range(64)]
    streams[-1] += bytes(4 << 20)
    counts = (LONG, [4 << 20] * 64)
    data = written(page((1, 16, 16 * 64), blocks=streams, tile=(16, 16), t259=(SHORT, [8]), t325=counts))
    (tmp_path / "a.tif").write_bytes(data)
    want = np.repeat(np.arange(64, dtype="u1"), 16)[None, None].repeat(16, 1)
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(), want)
    with RangeServer({"a.tif": data}) as server, scichunk.options.set(paged_index_bytes=paged, range_max=2 << 20):
        reader = scichunk.reader(server.url("a.tif") if where == "server" else tmp_path / "a.tif")
        with scichunk.profile(show=False) as found:
            values = asyncio.run(reader.aget(...)) if "asynchronously" in where else reader[...]
    np.testing.assert_array_equal(values, want)
    assert found.total["fetched"] < (2 * len(data) if where != "file" else 70 << 20)
    assert server.bytes_sent < 2 * len(data)
