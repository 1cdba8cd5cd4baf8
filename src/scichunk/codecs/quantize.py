"""From decoded FITS tiles to the output array: casting, scaling, dequantising, compiled by numba on first use.

Tiles lie one after another in ``words``; the output is flat. What goes where is planned before (:func:`plan_rows`): row ``r`` is
``lengths[r]`` values from ``sources[r]`` in ``words`` to ``targets[r]`` in ``out``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import Flag, Int, inlined, kernel

__all__ = ["join_values", "place_cast", "place_dithered", "place_scaled"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@inlined
def _lies_inside(start: Int, count: Int, size: Int) -> Flag:
    """Whether values lie within an array; by a difference, since a sum of numbers near 2**63 wraps around and seems to lie inside."""
    return start >= 0 and count >= 0 and count <= size and start <= size - count


@kernel
def join_values(
    raw: Bytes, starts: Ints, targets: Ints, counts: Ints, size: Int, shuffled: bool, words: npt.NDArray[Any]
) -> None:
    """Put big-endian values of ``size`` bytes together; ``shuffled``: the bytes of a tile lie by significance (GZIP_2).

    One byte is unsigned, more are signed; of more than eight there are none.
    """
    if size < 1 or size > 8:
        return
    for t in range(starts.size):
        n = counts[t]
        if (
            size < 1
            or n > raw.size // size
            or not _lies_inside(starts[t], n * size, raw.size)
            or not _lies_inside(targets[t], n, words.size)
        ):
            continue
        source, target = raw[starts[t] : starts[t] + n * size], words[targets[t] : targets[t] + n]
        if size == 1:
            for x in range(n):
                target[x] = source[x]
        elif shuffled:
            for x in range(n):
                # The first plane has the signs.
                target[x] = np.int8(source[x])
            for b in range(1, size):
                plane = source[b * n : (b + 1) * n]
                for x in range(n):
                    target[x] = (target[x] << 8) | plane[x]
        elif size == 2:
            for x in range(n):
                target[x] = np.int16((np.uint16(source[2 * x]) << 8) | np.uint16(source[2 * x + 1]))
        elif size == 4:
            for x in range(n):
                high = (np.uint32(source[4 * x]) << 24) | (np.uint32(source[4 * x + 1]) << 16)
                target[x] = np.int32(high | (np.uint32(source[4 * x + 2]) << 8) | np.uint32(source[4 * x + 3]))
        else:
            for x in range(n):
                value = np.int64(0)
                for b in range(size):
                    value = (value << 8) | np.int64(source[size * x + b])
                target[x] = value


@kernel
def place_cast(
    words: npt.NDArray[Any], sources: Ints, targets: Ints, lengths: Ints, flip: Int, out: npt.NDArray[Any]
) -> None:
    """Copy integers, wrapped to the output's type, with the bits of ``flip`` turned."""
    for r in range(sources.size):
        source, target, n = sources[r], targets[r], lengths[r]
        if not _lies_inside(source, n, words.size) or not _lies_inside(target, n, out.size):
            continue
        for x in range(n):
            out[np.uint64(target + x)] = words[np.uint64(source + x)] ^ flip


@kernel
def place_scaled(
    words: npt.NDArray[Any],
    sources: Ints,
    targets: Ints,
    lengths: Ints,
    scale: Any,
    zero: Any,
    blank: Int,
    has_blank: bool,
    out: npt.NDArray[Any],
) -> None:
    """Copy integers as floats: value * scale + zero in the output's precision (the type of scale and zero), blank as NaN."""
    for r in range(sources.size):
        source, target, n = sources[r], targets[r], lengths[r]
        if not _lies_inside(source, n, words.size) or not _lies_inside(target, n, out.size):
            continue
        for x in range(n):
            word = words[np.uint64(source + x)]
            value = out.dtype.type(word) * scale + zero
            out[np.uint64(target + x)] = np.nan if has_blank & (word == blank) else value


@kernel
def place_dithered(
    words: npt.NDArray[Any],
    tiles: Ints,
    insides: Ints,
    sources: Ints,
    targets: Ints,
    lengths: Ints,
    scales: Floats,
    zeros: Floats,
    blanks: Ints,
    seeds: Ints,
    exact: Int,
    noise: npt.NDArray[np.float32],
    out: npt.NDArray[Any],
) -> None:
    """Dequantise (FITS 4.0, section 10.2 and appendix I): (value - random + 0.5) * scale + zero in double precision.

    Row ``r`` begins at the value ``insides[r]`` of tile ``tiles[r]``, whose scale, zero, blank (NaN) and seed, where it enters the
    table of random numbers, are those of its tile. ``exact`` becomes 0.
    """
    count = noise.size
    # Where the last row began: rows of a tile follow each other, so that the way to the next begins there.
    tile, reached, start_at = np.int64(-1), np.int64(0), np.int64(0)
    start_seed: Int = np.int64(0)
    for r in range(sources.size):
        t, source, target, n = tiles[r], sources[r], targets[r], lengths[r]
        if not (_lies_inside(source, n, words.size) and _lies_inside(target, n, out.size) and 0 <= t < seeds.size):
            continue
        if not (0 <= seeds[t] < count and 0 <= insides[r] <= words.size):  # a row begins within its tile
            continue
        scale, zero, blank = scales[t], zeros[t], blanks[t]
        if t != tile or insides[r] < reached:
            tile, reached, start_seed = t, np.int64(0), seeds[t]
            start_at = np.int64(np.float64(noise[start_seed]) * 500.0)
        # Appendix I: a tile begins in the table at 500 times its first random number, and goes on with the next seed at the end. Windows
        # begin within a tile, so the values before them are counted, though they are not computed.
        skip = insides[r] - reached
        while skip >= count - start_at:
            skip -= count - start_at
            start_seed = start_seed + 1 if start_seed + 1 < count else 0
            start_at = np.int64(np.float64(noise[start_seed]) * 500.0)
        start_at += skip
        reached, seed, at = insides[r], start_seed, start_at
        x = 0
        while x < n:  # runs up to the end of the table: loops without branches
            m = min(n - x, count - at)
            for i in range(m):
                word = words[np.uint64(source + x + i)]
                value = (np.float64(word) - np.float64(noise[np.uint64(at + i)]) + 0.5) * scale + zero
                value = 0.0 if word == exact else value
                out[np.uint64(target + x + i)] = np.nan if word == blank else value
            x += m
            seed = seed + 1 if seed + 1 < count else 0
            at = np.int64(np.float64(noise[seed]) * 500.0)
