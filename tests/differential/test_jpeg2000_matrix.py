"""Every kind of JPEG 2000 coding against a full decode by OpenJPEG: whole, windows, every reduced image; decoding by packets and by tiles."""

import dataclasses
import random
import subprocess
import sys

import numpy as np
import pytest

import scichunk
from scichunk.codecs.jpeg2000.parameters import Progression
from scichunk.codecs.jpeg2000.tile_packets import Thresholds
from scichunk.core.cache import tiles
from scichunk.core.handles import open_file
from scichunk.core.selection import Span, parse_key
from scichunk.core.staged import StagedArray
from scichunk.errors import FormatError
from scichunk.formats.jpeg2000.array_ids import ImageId
from scichunk.sources import locate
from tests.jpeg2000_files import ORDERS, decode, encode, reorder, repack, texture

SHAPE = (151, 197)
PRECINCTS = ((32, 32), (32, 16), (16, 16))


BY_PACKETS, BY_TILES = Thresholds(small_tile=0), Thresholds(small_tile=1 << 40)


@pytest.fixture(params=[BY_PACKETS, pytest.param(BY_TILES, marks=pytest.mark.slow)], ids=["by packets", "by tiles"])
def thresholds(request):
    """Small tiles are read whole; here also packet by packet."""
    return request.param


def opened(data, thresholds, *, reduce=0, group=0):
    """Open a group of components as an array that is read by packets or by tiles."""
    file = open_file("jpeg2000", locate(data))
    array = file.array(ImageId(group, reduce, "indexed"))
    collector = dataclasses.replace(array.collector, thresholds=thresholds)
    return StagedArray(array.index, file.source, ("test", group, reduce), collector, array.grid)


def values(array, *key):
    region = parse_key(key, array.shape)
    return array.read(region.axes)[region.finish].astype("i8")


def compare(data, thresholds, windows=4):
    """All groups of components, all reduced images; 9/7 within 1."""
    file = open_file("jpeg2000", locate(data))
    rng = random.Random(1)
    near = 0 if file.header.lossless else 1
    for reduce in range(file.levels + 1):
        want = decode(data, reduce)
        for number, group in enumerate(file.structure.groups):
            array = opened(data, thresholds, reduce=reduce, group=number)
            full = np.stack([want[c] for c in group.components])
            assert array.shape == full.shape
            assert np.abs(values(array) - full).max(initial=0) <= near
            tiles.clear()
            for _ in range(windows):
                key = []
                for n in array.shape:
                    start = rng.randrange(n)
                    key.append(slice(start, rng.randint(start + 1, min(n, start + 1 + n // 2))))
                assert np.abs(values(array, *key) - full[tuple(key)]).max(initial=0) <= near, (reduce, key)
            key = (slice(None), slice(None, None, -3), slice(5, None, 2))
            assert np.abs(values(array, *key) - full[key]).max(initial=0) <= near


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("marks", [{}, {"eph": True, "plt": True, "tlm": True}, pytest.param({"plt": True}, marks=pytest.mark.slow), {"sop": True, "eph": True}], ids=str)  # fmt: skip
def test_orders(order, marks, thresholds):
    planes = [texture(SHAPE, seed=i) for i in range(3)]
    compare(encode(planes, order=order, layers=3, precincts=PRECINCTS, tile=(96, 80), **marks), thresholds, windows=2)


@pytest.mark.parametrize("irreversible", [False, True])
@pytest.mark.parametrize("offset", [(0, 0), (37, 21)])
@pytest.mark.parametrize("mct", [0, 1])
def test_offsets_and_transforms(offset, irreversible, mct, thresholds):
    planes = [texture(SHAPE, seed=i) for i in range(3)]
    tile = {"tile": (64, 50), "tile_offset": (5, 9) if offset != (0, 0) else (0, 0)}
    compare(encode(planes, offset=offset, irreversible=irreversible, mct=mct, plt=True, **tile), thresholds, windows=2)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 5, 8, 9, 11, 12, 15, 16])
def test_depths(bits, signed, thresholds):
    plane = texture((70, 90), bits, signed)
    data = encode([plane], bits=bits, signed=signed)
    array = scichunk.from_jpeg2000(data)
    assert array.dtype == np.dtype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")
    np.testing.assert_array_equal(array[0].compute(), plane)
    compare(data, thresholds, windows=1)


@pytest.mark.parametrize("bits", [17, 20, 24])
def test_deep(bits):
    plane = texture((70, 90), bits)
    array = scichunk.from_jpeg2000(encode([plane], bits=bits))
    assert array.dtype == np.uint32
    np.testing.assert_array_equal(array[0].compute(), plane)


@pytest.mark.parametrize("distances", [((1, 1), (2, 2), (2, 2)), ((1, 1), (2, 1), (2, 1)), ((2, 2), (2, 2), (2, 2))])
@pytest.mark.parametrize(
    "order", ["LRCP", pytest.param("PCRL", marks=pytest.mark.slow), pytest.param("CPRL", marks=pytest.mark.slow)]
)
def test_distances(distances, order, thresholds):
    offset = (6, 4)
    end = (6 + SHAPE[1], 4 + SHAPE[0])
    planes = []
    for i, (dx, dy) in enumerate(distances):
        w, h = (-(-e // d) - -(-o // d) for e, o, d in zip(end, offset, (dx, dy), strict=True))
        planes.append(texture((h, w), seed=i))
    compare(encode(planes, distances=distances, offset=offset, order=order, tile=(64, 64), precincts=PRECINCTS), thresholds, windows=2)  # fmt: skip


@pytest.mark.parametrize("mode", [0, 1, 4, 5, 63, *(pytest.param(m, marks=pytest.mark.slow) for m in (2, 8, 13, 32))])
def test_code_block_styles(mode, thresholds):
    compare(encode([texture(SHAPE, 12)], bits=12, mode=mode, layers=2, precincts=PRECINCTS), thresholds, windows=2)


@pytest.mark.parametrize("parts", ["R", "L", "C"])
@pytest.mark.parametrize("plt", [False, True])
def test_tile_parts(parts, plt, thresholds):
    planes = [texture(SHAPE, seed=i) for i in range(3)]
    order = {"R": "RPCL", "L": "LRCP", "C": "CPRL"}[parts]
    data = encode(planes, parts=parts, order=order, layers=2, tile=(100, 100), plt=plt, tlm=True)
    file = open_file("jpeg2000", locate(data))
    assert len(file.parts.get().starts) > file.header.size.across * file.header.size.down
    compare(data, thresholds, windows=2)


def test_region_of_interest(thresholds):
    compare(encode([texture(SHAPE, seed=i) for i in range(2)], roi=(1, 5), layers=2), thresholds)


@pytest.mark.parametrize("in_tile", [False, True])
def test_progression_changes(in_tile, thresholds):
    planes = [texture(SHAPE, seed=i) for i in range(3)]
    plain = encode(planes, layers=3, precincts=PRECINCTS)
    volumes = (
        Progression("RLCP", 0, 0, 1, 2, 3),
        Progression("PCRL", 0, 1, 2, 4, 3),
        Progression("CPRL", 0, 0, 3, 4, 3),
    )
    data = reorder(plain, volumes, in_tile=in_tile)
    for a, b in zip(decode(plain), decode(data), strict=True):
        np.testing.assert_array_equal(a, b)
    compare(data, thresholds)


@pytest.mark.parametrize("into", ["PPM", "PPT"])
@pytest.mark.parametrize("order", ["LRCP", "RPCL"])
def test_relocated_headers(into, order, thresholds):
    planes = [texture(SHAPE, seed=i) for i in range(2)]
    plain = encode(planes, order=order, layers=2, tile=(96, 80), precincts=PRECINCTS)
    data = repack(plain, into=into)
    for a, b in zip(decode(plain), decode(data), strict=True):
        np.testing.assert_array_equal(a, b)
    compare(data, thresholds, windows=2)


def test_tiles_that_change_the_coding(thresholds):
    """Main header: no component transform, 3 levels; the first tile: one."""
    planes = [texture(SHAPE, seed=i) for i in range(3)]
    data = bytearray(encode(planes, mct=1, tile=(110, 160)))
    at = data.index(b"\xff\x52")
    cod = bytes(data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")])
    data[at + 8] = 0
    start = data.index(b"\xff\x90\0\x0a\0\0")
    length = int.from_bytes(data[start + 6 : start + 10], "big")
    data[start + 6 : start + 10] = (length + len(cod)).to_bytes(4, "big")
    data[start + 12 : start + 12] = cod
    want = decode(bytes(data))
    assert np.array_equal(want[0][:, :110], planes[0][:, :110])
    assert not np.array_equal(want[0], planes[0])
    for bands in ([0], [2, 1], [0, 1, 2]):
        got = opened(bytes(data), thresholds)
        rows, columns = slice(20, 60), slice(90, 130)
        np.testing.assert_array_equal(values(got, bands), np.stack([want[b] for b in bands]))
        np.testing.assert_array_equal(
            values(got, bands, rows, columns), np.stack([want[b][rows, columns] for b in bands])
        )


@pytest.mark.parametrize("order", ["LRCP", "CPRL"])
def test_large_tiles_are_walked_in_windows(order, thresholds):
    several = dataclasses.replace(thresholds, large_tile=0, walk_window=6000, packet_header=500)
    planes = [texture(SHAPE, seed=i) for i in range(3)]
    data = encode(planes, order=order, layers=2, precincts=PRECINCTS, sop=True)
    compare(data, several)
    array = opened(data, several)
    array.read((Span(0, 3), Span(20, 50), Span(30, 60)))
    kept = tiles.get((array.collector.key, "packets", 0))
    if thresholds is BY_PACKETS:
        assert kept.complete
        assert int(kept.starts[-1] + kept.sizes[-1]) == len(data) - 2
    else:
        assert kept is None


def test_many_components():
    planes = [texture((40, 50), seed=i) for i in range(257)]
    data = encode(planes, tile=(32, 32))
    array = scichunk.from_jpeg2000(data, bands=[256, 3, 100])
    np.testing.assert_array_equal(array.compute(), np.stack([planes[256], planes[3], planes[100]]))
    assert scichunk.from_jpeg2000(data).shape == (257, 40, 50)


@pytest.mark.parametrize(("levels", "reversible"), [(n, r) for n in (0, 2, 5) for r in (True, False)])
def test_high_throughput(levels, reversible, thresholds):
    import imagecodecs

    if not hasattr(imagecodecs, "htj2k_encode"):
        pytest.skip("this imagecodecs writes no HTJ2K")
    plane = texture(SHAPE, 12).astype("u2")
    data = imagecodecs.htj2k_encode(plane, reversible=reversible, tile=(64, 64), resolutions=levels)
    assert open_file("jpeg2000", locate(data)).header.high_throughput
    array = scichunk.from_jpeg2000(data)
    if reversible:
        np.testing.assert_array_equal(array[0].compute(), plane)
    compare(data, thresholds)
    window = values(opened(data, thresholds), 0, slice(70, 75), slice(90, 99))  # OpenJPEG decodes windows to grey
    assert np.abs(window - decode(data)[0][70:75, 90:99]).max() <= (0 if reversible else 1)


WITHOUT = """
import ctypes, sys

class Refusing(ctypes.CDLL):
    def __init__(self, name, *args, **kwargs):
        if "openjp2" in str(name):
            raise OSError("not installed")
        super().__init__(name, *args, **kwargs)

ctypes.CDLL = Refusing
import numpy as np
import scichunk

data, plane = open(sys.argv[1], "rb").read(), np.load(sys.argv[2])
array = scichunk.from_jpeg2000(data)
np.testing.assert_array_equal(array[0, 20:90, 30:150].compute(), plane[20:90, 30:150])
try:
    half = scichunk.from_jpeg2000(data, reduce=1).compute()
except scichunk.errors.UnsupportedFeature as error:
    assert "skipres" in str(error)  # older imagecodecs know no levels
else:
    assert half.shape == (1, 76, 99)
from scichunk.codecs.jpeg2000 import openjpeg
assert openjpeg.shared_path() is None
"""


def test_without_openjpeg(tmp_path):
    plane = texture(SHAPE, 12)
    (tmp_path / "a.j2k").write_bytes(encode([plane], bits=12, tile=(64, 64)))
    np.save(tmp_path / "a.npy", plane)
    command = [sys.executable, "-c", WITHOUT, str(tmp_path / "a.j2k"), str(tmp_path / "a.npy")]
    subprocess.run(command, check=True, timeout=120)


@pytest.mark.parametrize("reduce", [0, 1])
def test_windows_of_tiles_that_lack_tile_parts(reduce, thresholds):
    """What is left of a tile in a truncated file is no image, whichever of its packets a window needs."""
    data = encode([texture((64, 64))], tile=(32, 32), order="RLCP", parts="R")
    cut = data[: data.rindex(b"\xff\x90\0\x0a\0\3")]
    kept = slice(0, 32 >> reduce)
    window = slice(32 >> reduce, 40 >> reduce)
    np.testing.assert_array_equal(
        values(opened(cut, thresholds, reduce=reduce), 0, kept, kept), decode(data, reduce)[0][kept, kept]
    )
    with pytest.raises(FormatError, match="1 of 4 tile-parts are missing"):
        values(opened(cut, thresholds, reduce=reduce), 0, window, window)
