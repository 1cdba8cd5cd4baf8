"""What serves small FITS files against the kernels: the same pixels, texts and refusals, for sound and for damaged input."""

import itertools
from functools import partial

import numpy as np
import pytest
from astropy.io.fits.hdu.compressed import _codecs as codecs
from hypothesis import given, settings
from hypothesis import strategies as st

from scichunk.codecs import plio, quantize
from scichunk.codecs.small import fits_columns as small_columns
from scichunk.codecs.small import hcompress as small_hcompress
from scichunk.codecs.small import plio as small_plio
from scichunk.codecs.small import quantize as small_quantize
from scichunk.codecs.small import rice as small_rice
from scichunk.codecs.text import fits_columns
from tests.tile_kernels import decode_hcompress, decode_rice

MANY = settings(max_examples=150, deadline=None)


@st.composite
def images(draw, largest=40):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    scale = draw(st.sampled_from([0, 1, 50, 3000, 10**6, 2**30]))
    image = rng.normal(0, 1, shape) * scale if draw(st.booleans()) else rng.poisson(min(scale, 50), shape)
    return np.clip(image, -(2**31), 2**31 - 1).astype(np.int32)


@st.composite
def damaged(draw, stream):
    """The stream as it is, or with some bytes changed, or cut."""
    data = bytearray(stream)
    for _ in range(draw(st.sampled_from([0, 0, 1, 3]))):
        if data:
            data[draw(st.integers(0, min(30, len(data) - 1)) | st.integers(0, len(data) - 1))] = draw(
                st.integers(0, 255)
            )
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.integers(0, 3)) == 0 else bytes(data)


def _decoded(way, streams, sizes, *more):
    """Pixels and state of tiles that lie one behind the other, with bytes between them."""
    data, offsets = b"\xff\xff", []
    for stream in streams:
        offsets.append(len(data))
        data += stream + b"\xa5"
    places = np.cumsum(sizes) - sizes
    out, status = np.full(int(sum(sizes)), -5, np.int32), np.full(len(streams), 9, np.int64)
    table = [np.array(c, np.int64) for c in (offsets, [len(s) for s in streams], places)]
    way(np.frombuffer(data, np.uint8), *table, *more, out, status)
    return status.tolist(), [
        out[p : p + n].tolist() for p, n, bad in zip(places, sizes, status, strict=True) if not bad
    ]


@MANY
@given(st.data())
def test_rice(data):
    size, block = data.draw(st.sampled_from([1, 2, 4])), data.draw(st.sampled_from([16, 32, 7, 1]))
    streams, sizes = [], []
    for image in data.draw(st.lists(images(20), min_size=1, max_size=3)):
        kind = {1: "u1", 2: "i2", 4: "i4"}[size]
        stream = codecs.Rice1(blocksize=block, bytepix=size, tilesize=image.size).encode(image.ravel().astype(kind))
        streams.append(data.draw(damaged(stream)))
        sizes.append(image.size)
    counts = np.array(sizes, np.int64)
    assert _decoded(decode_rice, streams, sizes, counts, block, size) == _decoded(
        small_rice.decode_rice, streams, sizes, counts, block, size
    )


@MANY
@given(st.binary(max_size=60), st.integers(0, 90), st.sampled_from([1, 2, 4, 3]), st.sampled_from([32, 16, 5, 0, -1]))
def test_rice_of_any_bytes(stream, count, size, block):
    counts = np.array([count], np.int64)
    assert _decoded(decode_rice, [stream], [count], counts, block, size) == _decoded(
        small_rice.decode_rice, [stream], [count], counts, block, size
    )


@MANY
@given(st.data())
def test_hcompress(data):
    image = data.draw(images(33).filter(lambda i: min(i.shape) > 3))
    rows, columns = image.shape
    encoder = codecs.HCompress1(scale=data.draw(st.sampled_from([0, 1, 3])), smooth=0, bytepix=4, nx=rows, ny=columns)
    stream = data.draw(damaged(bytes(encoder.encode(image))))
    shape = np.array([rows], np.int64), np.array([columns], np.int64)
    assert _decoded(decode_hcompress, [stream], [image.size], *shape) == _decoded(
        partial(decode_hcompress, kernels=small_hcompress), [stream], [image.size], *shape
    )


@MANY
@given(
    st.integers(0, 9),
    st.integers(0, 9),
    st.binary(max_size=120),
    st.tuples(*3 * [st.integers(0, 63)]),
    st.sampled_from([0, 1, 7, 2**31 - 1, 2**31]),
)
def test_hcompress_of_any_bytes(rows, columns, body, planes, scale):
    head = (
        b"\xdd\x99"
        + b"".join(n.to_bytes(4, "big") for n in (rows, columns, scale))
        + body[:8].ljust(8, b"\x80")
        + bytes(planes)
    )
    shape = np.array([rows], np.int64), np.array([columns], np.int64)
    size = [rows * columns]
    assert _decoded(decode_hcompress, [head + body], size, *shape) == _decoded(
        partial(decode_hcompress, kernels=small_hcompress), [head + body], size, *shape
    )


_words = st.lists(
    st.integers(0, 0xFFFF) | st.sampled_from([0x4003, 0x5004, 0x0002, 0x2001, 0x3001, 0x6001, 0x7002, 0x1005, 0x0000]),
    max_size=20,
)


@MANY
@given(_words, st.sampled_from([0, 7, 3, -1]), st.integers(-1, 1), st.booleans(), st.integers(0, 50))
def test_plio(words, first, more, old, count):
    head = [0, 0, len(words) + 3 + more] if old else [0, 7 + first % 7, -100, len(words) + 7 + more, 0, 0, 0]
    stream = np.array([w & 0xFFFF for w in head + words], ">u2").tobytes()
    counts = np.array([count], np.int64)
    assert _decoded(plio.decode_plio, [stream], [count], counts) == _decoded(
        small_plio.decode_plio, [stream], [count], counts
    )


_place = st.one_of(st.integers(-1, 30), st.sampled_from([2**63 - 1, -(2**63)]))


@MANY
@given(st.lists(st.tuples(_place, _place, _place), max_size=5), st.data())
def test_values_at_their_places(rows, data):
    sources, targets, lengths = (np.array([r[i] for r in rows], np.int64) for i in range(3))
    kind = data.draw(st.sampled_from([np.int32, np.int64]))
    words = np.array(
        data.draw(st.lists(st.sampled_from([0, 1, -1, -2147483646, 2**31 - 1, -(2**31), 12345, 77]), max_size=25)), kind
    )
    pairs = (quantize, small_quantize)
    for out_kind in ("u1", "i2", "u2", "i4", "u4", "i8", "u8"):
        flip = data.draw(st.sampled_from([0, 128, 1 << 15, 1 << 31, -(1 << 63)]))
        outs = [np.full(25, 3, out_kind) for _ in pairs]
        for way, out in zip(pairs, outs, strict=True):
            way.place_cast(words, sources, targets, lengths, np.int64(flip), out)
        assert outs[0].tobytes() == outs[1].tobytes()
    tiles = np.array([data.draw(st.integers(-1, 3)) for _ in rows], np.int64)
    insides = np.array([data.draw(st.integers(-1, 26)) for _ in rows], np.int64)
    seeds = np.array([data.draw(st.integers(-1, 60)) for _ in range(3)], np.int64)
    floats = np.array(data.draw(st.lists(st.floats(width=32), min_size=3, max_size=3)))
    blanks = np.array([77, 1 << 40, -1], np.int64)
    noise = np.random.default_rng(1).random(60).astype(np.float32) / 9
    for out_kind in (np.float32, np.float64):
        scale, zero = out_kind(data.draw(st.floats(width=32))), out_kind(data.draw(st.floats(width=32)))
        has_blank = data.draw(st.booleans())
        outs = [np.full((2, 25), 3, out_kind) for _ in pairs]
        for way, out in zip(pairs, outs, strict=True):
            way.place_scaled(words, sources, targets, lengths, scale, zero, np.int64(77), has_blank, out[0])
            table = (
                tiles,
                insides,
                sources,
                targets,
                lengths,
                floats,
                floats[::-1].copy(),
                blanks,
                seeds,
                -2147483646,
                noise,
            )
            way.place_dithered(words, *table, out[1])
        np.testing.assert_array_equal(
            outs[0].view(f"i{out.itemsize}")[~np.isnan(outs[0])], outs[1].view(f"i{out.itemsize}")[~np.isnan(outs[1])]
        )
        assert (np.isnan(outs[0]) == np.isnan(outs[1])).all()


class _Counted(np.ndarray):
    """An array that counts how often it is looked into."""

    looks = 0

    def __getitem__(self, key):
        type(self).looks += 1
        return np.asarray(self)[key]


def _dequantised(place, noise, rows, pixels):
    """One tile of ones, whose scale is 1; ``rows`` are pairs of first pixel and length."""
    insides, lengths = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    one, out = np.ones(1), np.full(pixels, np.nan)
    tiles, none = np.zeros_like(insides), np.array([1 << 40])
    words = np.ones(pixels, np.int32)
    place(words, tiles, insides, insides, insides, lengths, one, 0 * one, none, np.array([3]), 1 << 40, noise, out)
    return out


@pytest.mark.parametrize("place", [quantize.place_dithered.py_func, small_quantize.place_dithered])
def test_way_through_random_numbers_is_gone_once(place):
    pixels = 3000
    noise = np.random.default_rng(1).random(60).astype(np.float32) / 9
    counted = noise.view(_Counted)
    before = _Counted.looks
    found = _dequantised(place, counted, [(i, 1) for i in range(pixels)], pixels)
    assert _Counted.looks - before <= 5 * pixels
    np.testing.assert_array_equal(found, _dequantised(place, noise, [(0, pixels)], pixels))


@MANY
@given(st.lists(st.integers(0, 400), max_size=30), st.randoms())
def test_rows_in_any_order_take_the_numbers_of_their_pixels(cuts, random):
    noise = np.random.default_rng(1).random(60).astype(np.float32) / 9
    bounds = sorted({0, *cuts, 400})
    rows = [(a, b - a) for a, b in itertools.pairwise(bounds)]
    random.shuffle(rows)
    for way in (quantize, small_quantize):
        whole = _dequantised(way.place_dithered, noise, [(0, 400)], 400)
        np.testing.assert_array_equal(_dequantised(way.place_dithered, noise, rows, 400), whole)


@MANY
@given(
    st.binary(max_size=64), st.lists(st.tuples(_place, _place, _place), max_size=4), st.integers(0, 9), st.booleans()
)
def test_bytes_put_together(raw, tiles, size, shuffled):
    starts, places, counts = (np.array([t[i] for t in tiles], np.int64) for i in range(3))
    for kind in (np.int32, np.int64):
        outs = [np.full(20, 3, kind) for _ in range(2)]
        for way, out in zip((quantize, small_quantize), outs, strict=True):
            way.join_values(np.frombuffer(raw, np.uint8), starts, places, counts, size, shuffled, out)
        assert outs[0].tobytes() == outs[1].tobytes()


_letters = st.lists(st.sampled_from([b"a", b" ", b"\0", b"\xe9", b"z", b"A"]), max_size=60).map(b"".join)
_odd = st.one_of(st.integers(-1, 12), st.sampled_from([2**63 - 1, 2**62, -(2**62)]))


@MANY
@given(_letters, st.integers(0, 20), _odd, st.integers(0, 3), _odd, st.integers(0, 4), st.integers(0, 6))
def test_texts_of_rows(raw, width, offset, count, size, rows, at):
    data = np.frombuffer(raw, np.uint8)
    ways = fits_columns, small_columns
    results = []
    for way in ways:
        out, ends = np.zeros(70, np.uint8), np.zeros(rows * max(1, count), np.int32)
        found = way.trim_rows(data, width, offset, count, size, out, ends, at)
        bits = np.zeros((rows, min(8, max(0, size))), np.uint8)
        there = bool(way.reverse_bits(data, width, offset, bits))
        wide = np.full((rows, count, 7), 9, np.uint32)
        state = way.widen_texts(data, width, offset, size, wide)
        results.append((found, out[at:found].tobytes() if found > at else b"", ends.tolist() if found >= 0 else [],
                        there, bits.tolist() if there else [], state, wide.tolist() if state == 0 else []))  # fmt: skip
    assert results[0] == results[1]


@pytest.mark.parametrize("way", [fits_columns, small_columns])
def test_texts_end_where_32_bits_can_say_it(way):
    data, ends = np.frombuffer(b"abcdefgh" * 4, np.uint8), np.zeros(4, np.int32)
    out, most = np.empty((1 << 31) + 100, np.uint8), (1 << 31) - 1  # of which nearly nothing is written
    assert way.trim_rows(data, 8, 0, 1, 8, out, ends, most - 31) == -2
    assert way.trim_rows(data, 8, 0, 1, 8, out, ends, most - 32) == most
    assert ends.tolist() == [most - 24, most - 16, most - 8, most]


@MANY
@given(
    _letters,
    st.lists(st.tuples(_odd, _odd), max_size=4),
    st.sampled_from([1, 2, 4, 8, 3, 16, 0, -1]),
    st.integers(0, 20),
)
def test_texts_and_elements_of_heaps(raw, pairs, size, room):
    data = np.frombuffer(raw, np.uint8)
    starts, counts = np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)
    total = sum(c * size for c in counts.tolist() if 0 <= c < 50 and size > 0)
    results = []
    for way in (fits_columns, small_columns):
        out, ends = np.zeros(room, np.uint8), np.zeros(len(pairs), np.int32)
        found = way.trim_texts(data, starts, counts, out, ends)
        elements = np.zeros(total, np.uint8)
        there = bool(way.gather_elements(data, starts, counts, size, elements))
        results.append(
            (
                found,
                out[: max(0, found)].tobytes(),
                ends.tolist() if found >= 0 else [],
                there,
                elements.tobytes() if there else b"",
            )
        )
    assert results[0] == results[1]
