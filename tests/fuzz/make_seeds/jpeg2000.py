"""Codestreams with each feature that OpenJPEG and OpenJPH write, bare and in boxes."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np

from scichunk.codecs.jpeg2000.parameters import Progression
from tests.jpeg2000_files import ORDERS, encode, jp2, reorder, repack, texture

DATA = Path(__file__).resolve().parents[3] / "test_data"
SIZE = (40, 36)


def box(kind, body):
    return struct.pack(">I4s", 8 + len(body), kind) + body


def files():
    found = {**dict(_streams()), **dict(_boxes())}
    return ((name, data) for name, data in found.items())


def _streams():
    plane = texture(SIZE)
    for order in ORDERS:
        yield (
            f"order_{order}.j2k",
            encode([plane, plane], order=order, layers=2, precincts=[(32, 32), (16, 16)], tile=(32, 32), block=16),
        )
    yield "plain.j2k", encode([plane])
    yield "levels_0.j2k", encode([plane], levels=0)
    yield "levels_5.j2k", encode([plane], levels=5, block=4)
    yield "lossy.j2k", encode([plane], irreversible=True, layers=3)
    yield "colours.j2k", encode([texture(SIZE, seed=i) for i in range(3)], mct=1)
    yield "colours_lossy.j2k", encode([texture(SIZE, seed=i) for i in range(3)], mct=1, irreversible=True)
    yield "markers.j2k", encode([plane], sop=True, eph=True, plt=True, tlm=True, tile=(16, 16))
    yield "tile_parts.j2k", encode([plane, plane], parts="R", tile=(32, 32), tlm=True)
    for mode in (1, 2, 4, 8, 16, 32, 63):
        yield f"style_{mode}.j2k", encode([plane], mode=mode)
    yield "region.j2k", encode([plane], roi=(0, 5))
    yield "offset.j2k", encode([plane], offset=(7, 3), tile=(16, 16), tile_offset=(2, 1))
    halves = [plane, texture((20, 18)), texture((20, 18))]
    yield "subsampled.j2k", encode(halves, distances=[(1, 1), (2, 2), (2, 2)])
    for bits, signed in ((1, False), (12, False), (16, True), (24, False), (5, True)):
        yield f"bits_{bits}_{signed}.j2k", encode([texture(SIZE, bits, signed)], bits=bits, signed=signed)
    base = encode([plane, plane], layers=2)
    volumes = [Progression("LRCP", 0, 0, 1, 4, 2), Progression("RLCP", 0, 0, 2, 4, 2)]
    yield "poc.j2k", reorder(base, volumes)
    yield "poc_in_tile.j2k", reorder(base, volumes, in_tile=True)
    yield "ppm.j2k", repack(encode([plane], tile=(32, 32)), into="PPM")
    yield "ppt.j2k", repack(encode([plane], tile=(32, 32)), into="PPT")
    small = texture(SIZE, 12).astype("u2")
    yield "high_throughput.jph", imagecodecs.htj2k_encode(small, reversible=True, tile=(32, 32), tlm=True)
    yield "high_throughput_lossy.jph", imagecodecs.htj2k_encode(small, reversible=False)


def _boxes():
    code, size = encode([texture(SIZE)]), SIZE
    yield "plain.jp2", jp2(code, size=size)
    three = encode([texture(SIZE, seed=i) for i in range(3)])
    cdef = struct.pack(">H9H", 3, 0, 0, 3, 1, 0, 2, 2, 0, 1)
    yield "channels.jp2", jp2(three, (b"xml ", b"<note>x</note>"), header=box(b"cdef", cdef), count=3, size=size)
    colours = np.array([[i * 36, 255 - i * 30, (i * 90) % 256] for i in range(8)], "u1")
    palette = box(b"pclr", struct.pack(">HB3B", 8, 3, 7, 7, 7) + colours.tobytes())
    mapping = box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, i) for i in range(3)))
    yield "palette.jp2", jp2(encode([texture(SIZE, 3)], bits=3), header=palette + mapping, bits=3, size=size)
    depths = box(b"bpcc", bytes([7])) + box(b"res ", box(b"resc", struct.pack(">4H2b", 1, 1, 1, 1, 0, 0)))
    yield "depths.jp2", jp2(code, header=depths, size=size)
    placed = (DATA / "band_tlm_plt.jp2").read_bytes()
    yield "placed.jp2", _placed(placed, code)


def _placed(data, code):
    """The boxes of a file that GDAL wrote, with GeoJP2 and GMLJP2, around a smaller codestream."""
    found, at = [], 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        length = length or len(data) - at
        found.append((kind, data[at : at + length]))
        at += length
    return b"".join(body for kind, body in found if kind != b"jp2c") + box(b"jp2c", code)
