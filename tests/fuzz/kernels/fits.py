"""Kernels of FITS: tiles of RICE, HCOMPRESS and PLIO, their way into the output, and the texts and heaps of tables."""

from __future__ import annotations

import random
from functools import cache

import numpy as np

from tests.fuzz.kernels.guard import WILD, Memory
from tests.fuzz.mutate.octets import mutate


@cache
def _pixels(size: int) -> list[np.ndarray]:
    noise = np.random.default_rng(3)
    dtype = {1: "i1", 2: "i2", 4: "i4"}[size]
    return [
        values.astype(dtype)
        for n in (1, 2, 3, 17, 32, 33, 64, 100, 255, 900)
        for values in (
            np.cumsum(noise.integers(-3, 4, n)),
            noise.integers(-(1 << 31), 1 << 31, n),
            np.full(n, 7),
            noise.normal(0, 300, n),
        )
    ]


@cache
def _rice(size: int) -> list[tuple[bytes, int, int]]:
    import imagecodecs

    return [(bytes(imagecodecs.rcomp_encode(p, nblock=b)), len(p), b) for p in _pixels(size) for b in (16, 32)]


def rice(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs import rice as rice_codec

    size = rng.choice((1, 2, 4))
    block = rng.choice((16, 32))
    tiles = [t for t in rng.sample(_rice(size), 8) if t[2] == block][:3] or [_rice(size)[0]]
    bodies = [t[0] if rng.random() < 0.2 else mutate(t[0], rng) for t in tiles]
    counts = [t[1] if rng.random() < 0.9 else rng.randrange(1200) for t in tiles]
    lengths = [len(b) for b in bodies]
    offsets, places = [sum(lengths[:i]) for i in range(len(bodies))], [sum(counts[:i]) for i in range(len(bodies))]
    total = sum(counts)
    if rng.random() < 0.1:
        rng.choice((offsets, lengths, places, counts))[rng.randrange(len(bodies))] = rng.choice(WILD)
    block = rng.choice((7, 33, *WILD)) if rng.random() < 0.05 else block
    size = rng.choice((0, 3, 5, 8, *WILD)) if rng.random() < 0.02 else size
    data, out = memory.bytes(b"".join(bodies)), memory.empty(total, "i4")
    status = np.zeros(len(bodies), np.int64)
    rice_codec.decode_rice(
        data, np.array(offsets), np.array(lengths), np.array(places), np.array(counts), block, size, out, status
    )
    return len(bodies)


@cache
def _hcompress() -> list[tuple[bytes, tuple[int, int]]]:
    from astropy.io.fits.hdu.compressed import _codecs

    noise, found = np.random.default_rng(4), []
    for shape in ((4, 4), (8, 8), (16, 16), (5, 7), (33, 31), (40, 10)):
        for values in (noise.integers(0, 1000, shape), np.cumsum(noise.integers(-3, 4, shape), 1), np.full(shape, 5)):
            for scale in (0, 4):
                codec = _codecs.HCompress1(scale=scale, smooth=False, bytepix=4, nx=shape[0], ny=shape[1])
                found.append((bytes(codec.encode(values.astype("i4"))), shape))
    return found


@cache
def _table() -> np.ndarray:
    from scichunk.codecs.hcompress_codes import huffman_table

    return huffman_table()


def hcompress(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs import hcompress as hcompress_codec

    body, (rows, columns) = rng.choice(_hcompress())
    changed = mutate(body, rng)
    changed = body[:22] + changed[22:] if rng.random() < 0.5 else changed  # most of the header as it is
    out = memory.empty(rows * columns, "i4")
    if rng.random() < 0.05:
        rows, columns = rng.choice((columns, *WILD)), rng.choice((rows, *WILD))
    data = memory.bytes(changed)
    begin, size, first = memory.wild(0, 0, 0), memory.wild(data.size), memory.wild(0, 0, 0)
    table = (np.array([n]) for n in (begin, size, first, rows, columns))
    pixels = out.size if rng.random() < 0.9 else rng.randrange(max(1, out.size))
    scratch = [
        memory.empty(n, kind)
        for n, kind in ((pixels, "i8"), (pixels, "i8"), (pixels + 4, "u1"), (pixels + 4, "u1"), (4, "u8"))
    ]
    hcompress_codec.decode_hcompress(data, *table, _table(), *scratch, out, np.zeros(1, np.int64))
    return 1


@cache
def _plio() -> list[tuple[bytes, int]]:
    from astropy.io.fits.hdu.compressed import _codecs

    noise = np.random.default_rng(5)
    lines = [
        v
        for n in (10, 100, 900)
        for v in (noise.integers(0, 5, n), np.repeat(noise.integers(0, 3000, n // 10), 10), np.zeros(n))
    ]
    return [(bytes(_codecs.PLIO1(tilesize=len(v)).encode(v.astype("i4"))), len(v)) for v in lines]


def plio(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs import plio

    body, count = rng.choice(_plio())
    data, out = memory.bytes(mutate(body, rng)), memory.empty(count, "i4")
    table = (np.array([n]) for n in (memory.wild(0), memory.wild(data.size), memory.wild(0), memory.wild(count)))
    plio.decode_plio(data, *table, out, np.zeros(1, np.int64))
    return 1


def place(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs import quantize as kernels

    n, rows = rng.randrange(1, 300), rng.randrange(1, 6)
    size, words = rng.choice((1, 2, 4, 8)), memory.empty(n, "i8")
    wild = [rng.choice((0, 0, 1, 5, n - 1, n, n // 2, *WILD)) for _ in range(4 * rows)]
    sources, targets, lengths, counts = (np.array(wild[i * rows : (i + 1) * rows]) for i in range(4))
    wide = memory.wild(size)
    kernels.join_values(memory.bytes(rng.randbytes(n)), sources, targets, counts, wide, rng.random() < 0.5, words)
    out, ints = memory.empty(n, rng.choice(("f4", "f8"))), memory.empty(n, "i4")
    kernels.place_cast(words, sources, targets, lengths, np.int64(0), memory.empty(n, "i8"))
    one = out.dtype.type(1.5)
    kernels.place_scaled(ints, sources, targets, lengths, one, one, 3, rng.random() < 0.5, out)
    noise = memory.array([0.0] * 40, "f4")
    noise[:] = [rng.random() * 0.07 for _ in range(40)]
    floats = np.ones(rows)
    seeds = np.array([rng.choice((0, 39, 7, 40, -1, 1 << 40)) for _ in range(rows)])
    near = np.array([memory.wild(0, 1, 39, 40, 41, 500) for _ in range(rows)])
    tiles = np.array([memory.wild(0, rows - 1) for _ in range(rows)])
    blanks = np.full(rows, 1 << 40)
    kernels.place_dithered(
        ints, tiles, near, sources, targets, lengths, floats, floats, blanks, seeds, -2147483646, noise, out
    )
    return 4


def rows(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs.text import fits_columns as kernels

    n, width = rng.randrange(20), rng.randrange(40)
    body = bytes(c & 127 for c in rng.randbytes(n * width)) if rng.random() < 0.7 else rng.randbytes(n * width)
    body = body[: rng.randrange(len(body) + 1)] if rng.random() < 0.2 else body
    data = memory.bytes(body)
    offset, count = rng.choice((0, 1, 5, width, *WILD)), rng.choice((0, 1, 2, 3))
    size = rng.choice((0, 1, 4, 8, 1 << 33, 1 << 61, -1))
    total = n * count * (size if 0 <= size < 100 else 1)
    ends = memory.empty(n * count, "i4")
    kernels.trim_rows(data, width, offset, count, size, memory.empty(total), ends, memory.wild(0, 0, 1))
    k = rng.randrange(10)
    starts = np.array([rng.choice((0, 1, 5, len(body), len(body) - 1, *WILD)) for _ in range(k)], np.int64)
    lengths = np.array([rng.choice((0, 1, 5, 5, len(body), *WILD)) for _ in range(k)], np.int64)
    total = int(np.clip(lengths, 0, 200).sum())
    kernels.trim_texts(data, starts, lengths, memory.empty(total), memory.empty(k, "i4"))
    size = rng.choice((1, 2, 3, 4, 8))
    kernels.gather_elements(data, starts, lengths, memory.wild(size), memory.empty(total * size))
    deep, most = rng.choice((1, 2)), rng.choice((0, 1, 8))
    kernels.widen_texts(
        data, width, offset, memory.wild(0, 1, 8), memory.empty(n * deep * most, "u4").reshape(n, deep, most)
    )
    kernels.reverse_bits(data, width, offset, memory.empty(n * 3).reshape(n, 3))
    return 5


def scale(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs import integer_scaling as kernels

    n, size = rng.randrange(300), rng.choice((2, 4))
    raw = memory.empty(n * size)
    raw[:] = np.frombuffer(rng.randbytes(n * size), np.uint8)
    flip = 1 << (8 * size - 1)
    out = memory.empty(n, f"u{size}")
    kernels.flip_bit(raw.view(f"u{size}"), np.dtype(f"u{size}").type(flip), out)
    if not np.array_equal(out, raw.view(f">u{size}") ^ np.uint64(flip)):
        raise AssertionError("flipped bits differ")
    floats, stored = memory.empty(n, "f8"), raw.view(f"i{size}")
    kernels.scale_integers(stored, 0.5, 3.0, np.dtype(f"i{size}").type(0), False, floats)
    if not np.array_equal(floats, raw.view(f">i{size}") * 0.5 + 3.0):
        raise AssertionError("scaled values differ")
    return 2


ALL = {f.__name__: f for f in (rice, hcompress, plio, place, rows, scale)}
