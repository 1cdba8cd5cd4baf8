"""Headers and packets of JPEG 2000 codestreams."""

import numpy as np
import pytest

from scichunk.codecs.jpeg2000.codestream import iterate_segments, main_header
from scichunk.codecs.jpeg2000.packets import PacketWalk, count_prefix, decode_lengths, order_packets
from scichunk.errors import FormatError
from scichunk.formats.jpeg2000.file import open_file
from scichunk.sources import locate
from tests.jpeg2000_files import ORDERS, encode, texture


def header_of(data):
    view = memoryview(data)

    def get(start, stop):
        if stop > len(view):
            raise FormatError("end")
        return view[start:stop]

    return main_header(get, 0, len(data))


def test_main_header():
    planes = [texture((40, 50), 11, signed=True) for _ in range(2)]
    data = encode(planes, bits=11, signed=True, order="PCRL", layers=3, precincts=((32, 16),), sop=True, eph=True, tile=(20, 30), offset=(4, 6))  # fmt: skip
    h = header_of(data)
    assert (h.order, h.layers, h.sop, h.eph, h.levels, h.lossless) == ("PCRL", 3, True, True, 3, True)
    assert (h.size.x0, h.size.y0, h.size.x1, h.size.y1) == (4, 6, 54, 46)
    assert [(c.bits, c.signed, c.dx) for c in h.size.components] == [(11, True, 1)] * 2
    assert (h.size.across, h.size.down) == (3, 2)
    assert h.size.tile_bounds(0) == (4, 6, 20, 30)
    assert h.coding_of(0).precincts[-1] == (5, 4)
    assert h.comments[0].startswith("Created by OpenJPEG")


def test_markers_are_bounded():
    with pytest.raises(FormatError):
        list(iterate_segments(lambda a, b: memoryview(b"\xff\x64\0\1")[a:b], 0, 4))
    with pytest.raises(FormatError, match="no marker"):
        list(iterate_segments(lambda a, b: memoryview(b"\x12\x34")[a:b], 0, 2))
    assert [m for m, *_ in iterate_segments(lambda a, b: memoryview(b"\xff\x30\xff\x3f\xff\xd9")[a:b], 0, 6)] == [
        0xFF30,
        0xFF3F,
        0xFFD9,
    ]


@pytest.mark.parametrize(
    ("body", "lengths"), [(b"", []), (b"\x05", [5]), (b"\x81\x00\x7f", [128, 127]), (b"\x83\xff\x7f\x00", [65535, 0])]
)
def test_packet_lengths(body, lengths):
    assert decode_lengths([body]).tolist() == lengths
    assert decode_lengths([body[:1], body[1:]]).tolist() == lengths


@pytest.mark.parametrize("order", ORDERS)
def test_walk_agrees_with_plt(order):
    planes = [texture((150, 170), seed=i) for i in range(2)]
    data = encode(planes, order=order, layers=2, precincts=((64, 32), (32, 32)), plt=True, sop=True, offset=(9, 14))
    file = open_file(locate(data))
    start = data.index(b"\xff\x58")
    size = int.from_bytes(data[start + 2 : start + 4], "big")
    want = decode_lengths([data[start + 5 : start + 2 + size]])
    packets = order_packets(file.header, file.header.size.tile_bounds(0))
    assert len(packets) == len(want)
    first, stop = data.index(b"\xff\x93") + 2, int(file.parts.get().stops[0])
    walk = PacketWalk(packets)
    assert walk.walk_bytes(data[first:stop], 0) == (len(want), 0, stop - first)
    np.testing.assert_array_equal(walk.sizes, want)
    short = PacketWalk(packets)
    done, status, _ = short.walk_bytes(data[first : stop - 5], 0)
    assert (done, status) == (len(want) - 1, 1)


def test_packets_of_a_window():
    data = encode([texture((256, 256))], precincts=((32, 32),), levels=3)
    header = header_of(data)
    tile = header.size.tile_bounds(0)
    packets = order_packets(header, tile)
    assert packets.find_needed(tile, 0, (0,)).all()
    few = packets.find_needed((100, 100, 110, 110), 0, (0,))
    assert 0 < few.sum() < len(packets) / 3
    low = packets.find_needed(tile, 2, (0,))
    resolution = header.resolutions[packets.precincts[packets.which, 0], 1]
    np.testing.assert_array_equal(low, resolution <= 1)
    assert count_prefix(header, tile, 2) == (low.sum(), len(packets))
