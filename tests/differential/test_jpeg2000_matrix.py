"""Every kind of JPEG 2000 coding against a full decode by OpenJPEG: whole, windows, every reduced image; lanes by packets and by tiles."""

import random

import numpy as np
import pytest

import scichunk
from scichunk.chunks.regions import Span
from scichunk.codecs import openjpeg
from scichunk.codecs.codestream import Progression
from scichunk.errors import UnsupportedFeature
from scichunk.formats.jpeg2000 import index, tile_packets
from scichunk.handles import open_file
from scichunk.sources import locate
from scichunk.sources.cache import files, tiles
from tests.jpeg2000_files import ORDERS, decode, encode, reorder, repack, texture

SHAPE = (151, 197)
PRECINCTS = ((32, 32), (32, 16), (16, 16))


@pytest.fixture(params=["by packets", pytest.param("by tiles", marks=pytest.mark.slow)], autouse=True)
def lane(request, monkeypatch):
    """Small tiles are read whole; here also packet by packet."""
    monkeypatch.setattr(index, "_SMALL", 0 if request.param == "by packets" else 1 << 40)
    files.clear()
    tiles.clear()


def compare(data, windows=4):
    """All groups of components, all reduced images; 9/7 within 1."""
    file = open_file("jpeg2000", locate(data))
    rng = random.Random(1)
    near = 0 if file.header.lossless else 1
    for reduce in range(file.levels + 1):
        want = decode(data, reduce)
        for group in file.structure.groups:
            array = scichunk.from_jpeg2000(data, reduce=reduce, bands=group.components, chunks=-1, reader="indexed")
            full = np.stack([want[c] for c in group.components])
            assert array.shape == full.shape
            assert np.abs(array.compute().astype("i8") - full).max(initial=0) <= near
            tiles.clear()
            for _ in range(windows):
                key = []
                for n in array.shape:
                    start = rng.randrange(n)
                    key.append(slice(start, rng.randint(start + 1, min(n, start + 1 + n // 2))))
                got = array[tuple(key)].compute()
                assert np.abs(got.astype("i8") - full[tuple(key)]).max(initial=0) <= near, (reduce, key)
            assert np.abs(array[:, ::-3, 5::2].compute().astype("i8") - full[:, ::-3, 5::2]).max(initial=0) <= near


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("marks", [{}, {"eph": True, "plt": True, "tlm": True}, pytest.param({"plt": True}, marks=pytest.mark.slow), {"sop": True, "eph": True}], ids=str)  # fmt: skip
def test_orders(order, marks):
    planes = [texture(SHAPE, seed=i) for i in range(3)]
    compare(encode(planes, order=order, layers=3, precincts=PRECINCTS, tile=(96, 80), **marks), windows=2)


@pytest.mark.parametrize("irreversible", [False, True])
@pytest.mark.parametrize("offset", [(0, 0), (37, 21)])
@pytest.mark.parametrize("mct", [0, 1])
def test_offsets_and_transforms(offset, irreversible, mct):
    planes = [texture(SHAPE, seed=i) for i in range(3)]
    tile = {"tile": (64, 50), "tile_offset": (5, 9) if offset != (0, 0) else (0, 0)}
    compare(encode(planes, offset=offset, irreversible=irreversible, mct=mct, plt=True, **tile), windows=2)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 5, 8, 9, 11, 12, 15, 16])
def test_depths(bits, signed):
    plane = texture((70, 90), bits, signed)
    data = encode([plane], bits=bits, signed=signed)
    array = scichunk.from_jpeg2000(data)
    assert array.dtype == np.dtype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")
    np.testing.assert_array_equal(array[0].compute(), plane)
    compare(data, windows=1)


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
def test_distances(distances, order):
    offset = (6, 4)
    end = (6 + SHAPE[1], 4 + SHAPE[0])
    planes = []
    for i, (dx, dy) in enumerate(distances):
        w, h = (-(-e // d) - -(-o // d) for e, o, d in zip(end, offset, (dx, dy), strict=True))
        planes.append(texture((h, w), seed=i))
    compare(encode(planes, distances=distances, offset=offset, order=order, tile=(64, 64), precincts=PRECINCTS), windows=2)  # fmt: skip


@pytest.mark.parametrize("mode", [0, 1, 4, 5, 63, *(pytest.param(m, marks=pytest.mark.slow) for m in (2, 8, 13, 32))])
def test_code_block_styles(mode):
    compare(encode([texture(SHAPE, 12)], bits=12, mode=mode, layers=2, precincts=PRECINCTS), windows=2)


@pytest.mark.parametrize("parts", ["R", "L", "C"])
@pytest.mark.parametrize("plt", [False, True])
def test_tile_parts(parts, plt):
    planes = [texture(SHAPE, seed=i) for i in range(3)]
    order = {"R": "RPCL", "L": "LRCP", "C": "CPRL"}[parts]
    data = encode(planes, parts=parts, order=order, layers=2, tile=(100, 100), plt=plt, tlm=True)
    file = open_file("jpeg2000", locate(data))
    assert len(file.parts.get().starts) > file.header.size.across * file.header.size.down
    compare(data, windows=2)


def test_region_of_interest():
    compare(encode([texture(SHAPE, seed=i) for i in range(2)], roi=(1, 5), layers=2))


@pytest.mark.parametrize("in_tile", [False, True])
def test_progression_changes(in_tile):
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
    compare(data)


@pytest.mark.parametrize("into", ["PPM", "PPT"])
@pytest.mark.parametrize("order", ["LRCP", "RPCL"])
def test_relocated_headers(into, order):
    planes = [texture(SHAPE, seed=i) for i in range(2)]
    plain = encode(planes, order=order, layers=2, tile=(96, 80), precincts=PRECINCTS)
    data = repack(plain, into=into)
    for a, b in zip(decode(plain), decode(data), strict=True):
        np.testing.assert_array_equal(a, b)
    compare(data, windows=2)


@pytest.mark.parametrize("order", ["LRCP", "CPRL"])
def test_large_tiles_are_walked_in_windows(order, monkeypatch):
    monkeypatch.setattr(tile_packets, "_LARGE", 0)
    monkeypatch.setattr(tile_packets, "_WINDOW", 6000)
    monkeypatch.setattr(tile_packets, "_RESERVE", 500)
    planes = [texture(SHAPE, seed=i) for i in range(3)]
    data = encode(planes, order=order, layers=2, precincts=PRECINCTS, sop=True)
    compare(data)
    file = open_file("jpeg2000", locate(data))
    array = file.array(("image", 0, 0, "auto", False))
    array.read((Span(0, 3), Span(20, 50), Span(30, 60)))
    kept = tiles.get((array.collector.key, "packets", 0))
    if index._SMALL == 0:
        assert kept.complete
        assert int(kept.starts[-1] + kept.sizes[-1]) == len(data) - 2


def test_many_components():
    planes = [texture((40, 50), seed=i) for i in range(257)]
    data = encode(planes, tile=(32, 32))
    array = scichunk.from_jpeg2000(data, bands=[256, 3, 100])
    np.testing.assert_array_equal(array.compute(), np.stack([planes[256], planes[3], planes[100]]))
    assert scichunk.from_jpeg2000(data).shape == (257, 40, 50)


@pytest.mark.parametrize(("levels", "reversible"), [(n, r) for n in (0, 2, 5) for r in (True, False)])
def test_high_throughput(levels, reversible):
    import imagecodecs

    if not hasattr(imagecodecs, "htj2k_encode"):
        pytest.skip("this imagecodecs writes no HTJ2K")
    plane = texture(SHAPE, 12).astype("u2")
    data = imagecodecs.htj2k_encode(plane, reversible=reversible, tile=(64, 64), resolutions=levels)
    assert open_file("jpeg2000", locate(data)).header.high_throughput
    array = scichunk.from_jpeg2000(data)
    if reversible:
        np.testing.assert_array_equal(array[0].compute(), plane)
    compare(data)
    window = array[0, 70:75, 90:99].compute()  # OpenJPEG decodes windows to grey
    assert np.abs(window.astype(int) - decode(data)[0][70:75, 90:99]).max() <= (0 if reversible else 1)


def test_without_openjpeg(monkeypatch):
    plane = texture(SHAPE, 12)
    data = encode([plane], bits=12, tile=(64, 64))
    monkeypatch.setattr(openjpeg, "_load", lambda: None)
    array = scichunk.from_jpeg2000(data)
    np.testing.assert_array_equal(array[0, 20:90, 30:150].compute(), plane[20:90, 30:150])
    try:
        half = scichunk.from_jpeg2000(data, reduce=1).compute()
    except UnsupportedFeature as error:
        assert "skipres" in str(error)  # older ones know no levels
    else:
        assert half.shape == (1, 76, 99)
