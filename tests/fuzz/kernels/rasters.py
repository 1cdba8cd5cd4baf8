"""Kernels of images: packets of JPEG 2000, the floating point predictor of TIFF."""

from __future__ import annotations

import random
from functools import cache

import numpy as np

from tests.fuzz.kernels.guard import Memory
from tests.fuzz.mutate.octets import mutate
from tests.fuzz.seeds import seeds


@cache
def tiles() -> list[tuple[object, bytes, bytes]]:
    """Packets of the first tile-part of some codestreams: what they are, and their bytes."""
    from scichunk.codecs.jpeg2000.packets import order_packets
    from scichunk.formats.jpeg2000.file import open_file
    from scichunk.sources import locate
    from tests.fuzz.mutate.jpeg2000 import SOD, segments

    found = []
    for name in sorted(seeds("jpeg2000")):
        if not name.endswith(".j2k") or name.startswith(("ppm", "ppt", "poc")):
            continue
        data = seeds("jpeg2000")[name]
        header = open_file(locate(data)).header
        at, _, size = next(s for s in segments(data, 0) if s[1] == SOD)
        found.append((order_packets(header, header.size.tile_bounds(0)), data[at + 2 : at + size], name.encode()))
    return found


def packets(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs.jpeg2000 import packet_headers
    from scichunk.codecs.jpeg2000.packet_walk import PacketWalk, tabulate_walk
    from scichunk.codecs.small import packet_headers as stand_in

    what, body, _ = rng.choice(tiles())
    walk = PacketWalk(tabulate_walk(what))
    if rng.random() < 0.1:
        walk.walk_bytes(mutate(body, rng), 0, rng.choice((0, 0, 50)))
        return 1
    data = memory.bytes(mutate(body, rng))
    guarded = []
    for array in walk.state:
        copy = memory.empty(array.size, "i8").reshape(array.shape)
        copy[:] = array
        guarded.append(copy)
    tables = tabulate_walk(what)[:5]
    reserve = rng.choice((0, 0, 50))
    found = packet_headers.walk_packets(data, 0, *tables, *guarded, reserve, memory.empty(4, "i8"))
    if rng.random() < 0.02:
        wanted = stand_in.walk_packets(data, 0, *tables, *walk.state, reserve, np.zeros(4, np.int64))
        done = wanted[0]
        if tuple(map(int, found)) != wanted or not np.array_equal(guarded[2][:done], walk.sizes[:done]):
            raise AssertionError(f"{found}, without compiled code {wanted}")
    return 1


def predictor(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs import float_predictor as kernels
    from scichunk.codecs.predictors import predictor_constants

    size, rows, columns, samples = (
        rng.choice((2, 4, 8)),
        rng.randrange(1, 5),
        rng.randrange(1, 70),
        rng.choice((1, 1, 3)),
    )
    n = columns * samples
    raw = np.frombuffer(rng.randbytes(rows * n * size), np.uint8).reshape(rows, n * size)
    data, out = (
        memory.bytes(raw.tobytes()).reshape(raw.shape),
        memory.empty(rows * n, f"u{size}").reshape(rows, columns, samples),
    )
    constants = predictor_constants(np.dtype(f"u{size}"))
    kernels.undo_predictor(data, memory.empty(n, f"u{size}"), constants, out)
    sums = raw.reshape(rows, -1, samples).cumsum(axis=1, dtype=np.uint8).reshape(rows, size, n)
    want = np.ascontiguousarray(sums.transpose(0, 2, 1)).view(f">u{size}").reshape(out.shape)
    if not np.array_equal(out, want):
        raise AssertionError(f"{size} bytes, shape {out.shape}")
    return 1


def bands(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs import bands as kernels

    size, rows, columns, samples = rng.choice((1, 2)), rng.randrange(5), rng.randrange(70), rng.choice((2, 3, 3, 4, 5))
    n = rows * columns * samples
    raw = np.frombuffer(rng.randbytes(n * size), f"u{size}").reshape(rows, columns, samples)
    data = memory.bytes(raw.tobytes()).view(f"u{size}").reshape(raw.shape)
    out = memory.empty(n, f"u{size}").reshape(samples, rows, columns)
    if rng.random() < 0.2:
        data, raw, out = data[::-1], raw[::-1], out[::-1]
    if kernels.split_bands(data, out) != (samples in {3, 4}):
        raise AssertionError(f"{samples} samples")
    if samples in {3, 4} and not np.array_equal(out, raw.transpose(2, 0, 1)):
        raise AssertionError(f"{size} bytes, shape {raw.shape}")
    others = (data[:, ::2], data[..., ::-1], data.transpose(1, 0, 2), data[1:], data[..., :2], data[:, 1:])
    if rows > 1 and columns > 2:
        for other in others:
            if kernels.split_bands(other, out) and other.shape[:2] != out.shape[1:]:
                raise AssertionError(f"shapes {other.shape} and {out.shape}")
    return 2


def differences(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs import differences as kernels

    size, height, width = rng.choice((1, 2, 4)), rng.randrange(4), rng.choice((rng.randrange(70), rng.randrange(600)))
    n = height * width
    raw = np.frombuffer(rng.randbytes(n * size), f"u{size}").reshape(height, width, 1)
    data = memory.bytes(raw.tobytes()).view(f"u{size}").reshape(raw.shape)
    out = memory.empty(n, f"u{size}").reshape(raw.shape)
    if rng.random() < 0.2:
        data, raw, out = data[::-1], raw[::-1], out[::-1]
    if not kernels.undo_differences(data, out) or not np.array_equal(out, raw.cumsum(1, dtype=raw.dtype)):
        raise AssertionError(f"{size} bytes, shape {raw.shape}")
    if height > 1 and width > 2:
        for other in (
            data[:, ::2],
            data[:, ::-1],
            data.transpose(1, 0, 2),
            data[1:],
            data[:, 1:],
            data.repeat(2, axis=2),
        ):
            if kernels.undo_differences(other, out) and other.shape != out.shape:
                raise AssertionError(f"shapes {other.shape} and {out.shape}")
    return 2


ALL = {f.__name__: f for f in (packets, predictor, bands, differences)}
