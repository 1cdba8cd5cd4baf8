"""Headers and packets of JPEG 2000 codestreams."""

import random

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from scichunk.codecs import ways
from scichunk.codecs.jpeg2000.codestream import iterate_segments, main_header
from scichunk.codecs.jpeg2000.low_resolutions import count_prefix, tabulate_low
from scichunk.codecs.jpeg2000.packet_walk import PacketWalk, tabulate_walk
from scichunk.codecs.jpeg2000.packets import decode_lengths, order_packets
from scichunk.codecs.jpeg2000.parameters import Coding, Component, MainHeader, Size
from scichunk.codecs.small import packet_headers as by_python
from scichunk.errors import FormatError
from scichunk.formats.jpeg2000.file import open_file
from scichunk.sources import locate
from tests.fuzz.kernels.rasters import tiles
from tests.fuzz.mutate.octets import mutate
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
    walk = PacketWalk(tabulate_walk(packets))
    assert walk.walk_bytes(data[first:stop], 0) == (len(want), 0, stop - first)
    np.testing.assert_array_equal(walk.sizes, want)
    short = PacketWalk(tabulate_walk(packets))
    done, status, _ = short.walk_bytes(data[first : stop - 5], 0)
    assert (done, status) == (len(want) - 1, 1)


@pytest.mark.parametrize("order", ["LRCP", "RPCL"])
def test_walk_over_layers_that_leave_out_whole_bands(order):
    """What the root of a tag tree says of all blocks of a band is read once a layer, and asked again in the next."""
    plane = texture((150, 170)) // 16
    plane[:64, :64] = texture((64, 64), seed=1)
    data = encode([plane], order=order, layers=8, block=4, levels=2, plt=True)
    file = open_file(locate(data))
    tile = file.header.size.tile_bounds(0)
    start = data.index(b"\xff\x58")
    size = int.from_bytes(data[start + 2 : start + 4], "big")
    want = decode_lengths([data[start + 5 : start + 2 + size]])
    first, stop = data.index(b"\xff\x93") + 2, int(file.parts.get().stops[0])
    walk = PacketWalk(tabulate_walk(order_packets(file.header, tile)))
    assert walk.walk_bytes(data[first:stop], 0) == (len(want), 0, stop - first)
    np.testing.assert_array_equal(walk.sizes, want)


def test_walks_without_compiled_code_end_where_the_others_do():
    """Over sound and damaged packets: as many, as long, and what is wrong is said alike."""
    rng, statuses = random.Random(1), set()
    for number in range(400):
        packets, body, _ = rng.choice(tiles())
        data = mutate(body, rng) if number % 8 else body
        tables, reserve, found = tabulate_walk(packets), rng.choice((0, 0, 50)), []
        for module in (ways.load_kernels("jpeg2000.packet_headers"), by_python):
            walk = PacketWalk(tables)
            view, cells = np.frombuffer(data, np.uint8), np.zeros(4, np.int64)
            end = tuple(map(int, module.walk_packets(view, 0, *tables[:5], *walk.state, reserve, cells)))
            done, status, _ = end
            state = [] if status else [array.tolist() for array in walk.state[:2]]
            found.append((end, walk.sizes[:done].tolist(), walk.bodies[:done].tolist(), state))
        assert found[0] == found[1]
        statuses.add(status)
    assert statuses == {0, 1, 2}


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


@settings(max_examples=300)
@given(st.data())
def test_tables_of_low_resolutions_say_what_those_of_all_packets_say(data):
    """In any place of the reference grid, cut to blocks and precincts of any size."""
    number, levels = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 5))
    reduce = data.draw(st.integers(0, levels))
    parts = tuple(Component(8, False, *data.draw(st.sampled_from([(1, 1), (2, 3)]))) for _ in range(number))
    precincts = tuple(data.draw(st.tuples(st.integers(0, 15), st.integers(0, 15))) for _ in range(levels + 1))

    def coding():
        wide, high = data.draw(st.integers(2, 10)), data.draw(st.integers(2, 10))
        return Coding(levels, wide, high, data.draw(st.sampled_from([0, 1])), True, precincts)

    overrides = {1: coding()} if number > 1 and data.draw(st.booleans()) else {}
    left, top = data.draw(st.integers(0, 5000)), data.draw(st.integers(0, 5000))
    tile = (left, top, left + data.draw(st.integers(1, 3000)), top + data.draw(st.integers(1, 3000)))
    order = data.draw(st.sampled_from(["LRCP", "RLCP", "RPCL"]))
    layers = 1 if order == "LRCP" else data.draw(st.integers(1, 3))
    size = Size(*tile[:2], *tile[2:], 1 << 20, 1 << 20, 0, 0, parts)
    header = MainHeader(size, order, layers, coding=coding(), overrides=overrides)
    found = tabulate_low(header, tile, reduce)
    low = count_prefix(header, tile, reduce)
    event(f"one precinct a resolution: {found is not None}")
    if found is None or low is None:
        return
    assert len(found.which) == low[0]
    if not low[0]:
        return
    packets = order_packets(header, tile, reduce)
    wanted = tabulate_walk(packets)

    def described(tables):
        return [
            [layer, int(tables.styles[p]), tables.rows[slice(*tables.bands[p]), :2].tolist()]
            for p, layer in zip(tables.which.tolist(), tables.layers.tolist(), strict=True)
        ]

    assert described(found) == described(wanted)
    assert (found.blocks, found.nodes) == (wanted.blocks, wanted.nodes)


def test_walks_over_low_resolutions_end_where_the_others_begin():
    planes = [texture((70, 90), seed=i) for i in range(2)]
    for order, layers in (("LRCP", 1), ("RLCP", 3), ("RPCL", 2)):
        data = encode(planes, order=order, layers=layers, levels=3, offset=(9, 14))
        header = header_of(data)
        tile = header.size.tile_bounds(0)
        body = data[data.index(b"\xff\x93") + 2 :]
        for reduce in range(4):
            tables = tabulate_low(header, tile, reduce)
            some, whole = PacketWalk(tables), PacketWalk(tabulate_walk(order_packets(header, tile)))
            done, status, used = some.walk_bytes(body, 0)
            assert (done, status) == (len(tables.which), 0)
            whole.walk_bytes(body, 0)
            np.testing.assert_array_equal(some.sizes, whole.sizes[:done])
            assert used == whole.sizes[:done].sum()
