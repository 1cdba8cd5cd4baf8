"""JPEG 2000 files whose boxes and markers lie: listed and read within bounds."""

import contextlib
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import scichunk
from scichunk.codecs.jpeg2000.packet_walk import PacketWalk
from scichunk.codecs.jpeg2000.picked_packets import CachedRanges
from scichunk.errors import FormatError, LimitExceeded
from tests.children import outcomes

DATA = (Path(__file__).parents[2] / "test_data" / "bgr.jp2").read_bytes()
GEOJP2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")


def with_box(body, kind=b"uuid"):
    """The file with a box before its codestream."""
    at = DATA.index(b"jp2c") - 4
    return DATA[:at] + struct.pack(">I4s", 8 + len(body), kind) + body + DATA[at:]


def test_a_degenerate_tiff_in_a_box_is_not_walked():
    entries = b"".join(struct.pack("<HHII", 33922 + i % 9, 12, 0xFFFFFFFF, 8) for i in range(12))
    data = with_box(GEOJP2 + b"II*\0" + struct.pack("<IH", 8, 12) + entries + bytes(4))
    text = outcomes(f"print(scichunk.info({data!r}).arrays[0].notes['boxes'])")[0]
    assert "uuid GeoJP2 at" in text


def test_names_of_boxes_are_fit_to_be_shown():
    lines = str(scichunk.info(with_box(b"x", b"\x1b[2J"))).splitlines()
    assert any(r"\x1b[2J at" in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_a_coding_style_of_no_layers():
    at = DATA.index(b"\xff\x52") + 6
    with pytest.raises(FormatError, match="0 layers"):
        scichunk.from_jpeg2000(DATA[:at] + b"\0\0" + DATA[at + 2 :])


def test_the_reference_reader_decodes_no_image_beyond_the_limit():
    with scichunk.options.set(max_chunk_bytes=1000), pytest.raises(LimitExceeded, match="max_chunk_bytes"):
        scichunk.from_jpeg2000(DATA, reader="reference").compute()


def test_a_box_whose_extended_length_is_0_does_not_hang_the_reference_reader():
    at = DATA.index(b"jp2c")
    data = DATA[: at - 4] + struct.pack(">I4sQ", 1, b"jp2c", 0) + DATA[at + 4 :]
    want = scichunk.from_jpeg2000(DATA).compute()
    np.testing.assert_array_equal(scichunk.from_jpeg2000(data).compute(), want)
    read = f"scichunk.from_jpeg2000({data!r}, reader='reference')"
    assert outcomes(f"print({read}.compute().sum())") == [str(want.sum())]


def codestream(width, height, body, *, layers=1, levels=1, components=1, order=0, precincts=b"", poc=b""):
    """One tile of code-blocks of 4 x 4, whose packets are some bytes."""
    siz = struct.pack(">H8IH", 0, width, height, 0, 0, width, height, 0, 0, components) + b"\7\1\1" * components
    cod = bytes([bool(precincts), order]) + struct.pack(">HB", layers, 0) + bytes([levels, 0, 0, 0, 1]) + precincts
    qcd = b"\x40" + b"\x48" * (3 * levels + 1)
    named = [(0xFF51, siz), (0xFF52, cod), (0xFF5C, qcd), *([(0xFF5F, poc)] if poc else ())]
    head = b"".join(struct.pack(">HH", marker, 2 + len(segment)) + segment for marker, segment in named)
    part = struct.pack(">HHHIBB", 0xFF90, 10, 0, 14 + len(body), 0, 1) + b"\xff\x93" + body
    return b"\xff\x4f" + head + part + b"\xff\xd9"


NOT_YET = b"\x80"
"""A packet of blocks none of which is included: it is not empty (1), and the root of the tag tree says "not yet" (0)."""


@pytest.fixture
def walked(monkeypatch):
    """Packets at which walks over their headers have begun."""
    found = []
    walk = PacketWalk.walk_bytes

    def count(self, data, first, reserve=0):
        found.append(first)
        return walk(self, data, first, reserve)

    monkeypatch.setattr(PacketWalk, "walk_bytes", count)
    return found


@pytest.mark.parametrize("width", [98_304, (1 << 31) - 1])
def test_tiles_of_too_many_blocks_are_refused_before_anything_is_made_for_each(width):
    array = scichunk.from_jpeg2000(codestream(width, 1024, NOT_YET * 20_000))
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match="code-blocks"):
            array[:, :8, :8].compute(scheduler="synchronous")
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("side", [8, 1024])
def test_blocks_that_each_layer_asks_for_again_are_not_walked_where_they_are_many(side, walked):
    """2^18 blocks, in one layer and in a thousand; of a reduced image a window is wanted, and all."""
    for layers, begun in ((1, True), (1000, False)):
        data = codestream(2048, 2048, NOT_YET * 20_000, layers=layers, order=1)
        walked.clear()
        found = scichunk.from_jpeg2000(data, reduce=1)[:, :side, :side].compute(scheduler="synchronous")
        np.testing.assert_array_equal(found, np.full((1, side, side), 128))
        assert bool(walked) == begun


def test_tables_of_packets_are_few_bytes_and_forgotten_with_the_rest():
    name = "tables of JPEG 2000 packets"
    scichunk.clear_caches()
    for layers, kept in ((3, 1), (65_535, 0)):
        data = codestream(64, 64, bytes(20_000), layers=layers, levels=5, components=16, order=1)
        tracemalloc.start()
        try:
            scichunk.from_jpeg2000(data, reduce=1).compute(scheduler="synchronous")
            assert tracemalloc.get_traced_memory()[1] < 1 << 25
        finally:
            tracemalloc.stop()
        assert scichunk.cache_info()[name].entries == kept
        scichunk.clear_caches()
        assert scichunk.cache_info()[name].entries == 0


@pytest.mark.parametrize("in_tile", [False, True])
def test_tiles_of_more_progressions_than_openjpeg_reads_are_refused_before_packets_are_put_in_order(in_tile):
    """Each progression asks for 2^18 precincts again."""

    def read(count):
        poc = struct.pack(">BBHBBB", 0, 0, 1, 33, 0, 0) * count
        data = codestream(512, 512, bytes(20_000), levels=0, precincts=b"\0", poc=b"" if in_tile else poc)
        if in_tile:
            at = data.index(b"\xff\x93")
            segment = struct.pack(">HH", 0xFF5F, 2 + len(poc)) + poc
            data = (
                data[: at - 6] + struct.pack(">I", 14 + 20_000 + len(segment)) + data[at - 2 : at] + segment + data[at:]
            )
        return scichunk.from_jpeg2000(data)[:, :8, :8].compute(scheduler="synchronous")

    np.testing.assert_array_equal(read(31), np.full((1, 8, 8), 128))
    for count in (32, 1000):
        with pytest.raises(LimitExceeded, match=f"{count} progressions") as caught:
            read(count)
        assert caught.value.url


def packed_bits(bits):
    """Bits of a packet header, with one of stuffing behind each byte FF (B.10.1); ones fill the last byte."""
    found = bytearray()
    while bits or found[-1:] == b"\xff":
        size = 7 if found[-1:] == b"\xff" else 8
        found.append(int(bits[:size].ljust(size, "1") if bits else "0", 2))
        bits = bits[size:]
    return bytes(found)


HEADERS = {
    # One block that lacks a bit-plane, one pass, seven bytes: the last byte is FF, of which one bit belongs to the header.
    "a last byte FF": "11 01 0 0 111",
    # 110 passes, where 37 bit-planes have 109: OpenJPEG takes five bytes for the first 109, and two for the last.
    "more passes than bit-planes have": f"11 1 1111 11111 {110 - 37:07b} 0 {5:09b} {2:03b}",
}
"""Bits of headers of packets that are not empty, and include their one block."""


@pytest.mark.parametrize("name", HEADERS)
def test_packets_of_windows_lie_where_openjpeg_finds_them_in_the_whole(name, walked):
    rng = np.random.default_rng(0)
    header = packed_bits(HEADERS[name].replace(" ", ""))
    body = b"".join(header + rng.integers(0, 120, 7, "u1").tobytes() for _ in range(42 * 42))
    array = scichunk.from_jpeg2000(codestream(168, 168, body, levels=0, order=2, precincts=b"\x22"))
    whole = array.compute(scheduler="synchronous")
    assert len(np.unique(whole[:, :20, :20])) > 1
    assert not walked
    np.testing.assert_array_equal(array[:, :20, :20].compute(scheduler="synchronous"), whole[:, :20, :20])
    assert walked


@pytest.mark.parametrize("parts", [255, 300])
def test_a_tile_of_more_parts_than_can_be_numbered_is_read_whole(parts, monkeypatch):
    """Each part is looked for among all that was read: of 40,000 parts, of 14 bytes each, the header alone took minutes."""
    asked = []
    get = CachedRanges.get
    monkeypatch.setattr(CachedRanges, "get", lambda self, *place: asked.append(place) or get(self, *place))
    data = codestream(64, 64, NOT_YET * 20_000)
    at = data.index(b"\xff\x90")
    empty = b"".join(struct.pack(">HHHIBB", 0xFF90, 10, 0, 14, i % 255, 0) + b"\xff\x93" for i in range(1, parts))
    data = data[:-2] + empty + data[-2:]
    assert data.count(b"\xff\x90", at) == parts
    with contextlib.suppress(FormatError):  # what OpenJPEG makes of so odd a tile
        scichunk.from_jpeg2000(data, reduce=1)[..., :4, :4].compute(scheduler="synchronous")
    assert bool(asked) == (parts <= 255)
