"""Damaged JPEG 2000 files in which PLT and the headers of packets contradict (T.800, A.7.3 and B.10)."""

from __future__ import annotations

import numpy as np

from tests.fuzz.mutate.jpeg2000 import SOD, segments
from tests.fuzz.readers import BANDS, EDGE

PLT, COM = 0xFF58, 0xFF64


def without_lengths(data: bytes) -> bytes:
    """The file with comments in the place of PLT segments, of those that a walk over markers comes by."""
    out = bytearray(data)
    for at, marker, _ in segments(data, max(0, data.find(b"\xff\x4f\xff\x51"))):
        if marker == PLT:
            out[at : at + 2] = COM.to_bytes(2, "big")
    return bytes(out)


def are_contradicted(data: bytes) -> bool:
    """Whether the headers of a tile's packets say other lengths than PLT, which adds up; of tiles in one part, coded as the main header says."""
    from scichunk.codecs.jpeg2000.packet_walk import PacketWalk, is_walkable, tabulate_walk
    from scichunk.codecs.jpeg2000.packets import decode_lengths, order_packets
    from scichunk.errors import ScichunkError
    from scichunk.formats.jpeg2000.file import open_file
    from scichunk.sources import locate

    try:
        header = open_file(locate(data)).header
    except ScichunkError:
        return False
    said: list[bytes] = []
    tile = -1
    for at, marker, size in segments(data, max(0, data.find(b"\xff\x4f\xff\x51"))):
        if marker == 0xFF90:
            tile, said = int.from_bytes(data[at + 4 : at + 6], "big"), []
        elif marker == PLT:
            said.append(data[at + 5 : at + size])
        elif marker == SOD and said and 0 <= tile < header.size.across * header.size.down and is_walkable(header):
            packets, lengths = order_packets(header, header.size.tile_bounds(tile)), decode_lengths(said)
            body = data[at + 2 : at + size]
            if packets is None or int(lengths.sum()) != len(body) or len(packets) != len(lengths):
                continue
            if not PacketWalk(tabulate_walk(packets)).has_sizes(body, lengths):
                return True
    return False


def are_followed(data: bytes, other: np.ndarray) -> bool:
    """Whether values differ because PLT leads to packets behind a damaged header, which OpenJPEG reads out of step."""
    from scichunk import from_jpeg2000
    from scichunk.errors import ScichunkError

    if not are_contradicted(data):
        return False
    try:
        corner = from_jpeg2000(without_lengths(data))[:BANDS, :EDGE, :EDGE].compute(scheduler="synchronous")
    except ScichunkError:
        return False
    return np.array_equal(corner, other)
