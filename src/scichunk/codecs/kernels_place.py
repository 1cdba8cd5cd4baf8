"""From decoded FITS tiles to the output array: casting, scaling, dequantising, compiled by numba on first use.

Tiles lie one after another in ``words``. The geometry of tile ``t`` is ``table[t]``: its place in ``words``, then for the array's
axes the tile's shape, the first position wanted, how many, and where they go. The output is flat and C-contiguous.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.codecs.jit import Int, kernel

__all__ = ["join", "place_cast", "place_dithered", "place_scaled"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@kernel
def join(
    raw: Bytes, starts: Ints, places: Ints, counts: Ints, size: Int, shuffled: bool, words: npt.NDArray[Any]
) -> None:
    """Put big-endian values of ``size`` bytes together; ``shuffled``: the bytes of a tile lie by significance (GZIP_2).

    One byte is unsigned, more are signed.
    """
    for t in range(starts.size):
        n = counts[t]
        if starts[t] < 0 or starts[t] + n * size > raw.size or places[t] < 0 or places[t] + n > words.size:
            continue
        source, target = raw[starts[t] : starts[t] + n * size], words[places[t] : places[t] + n]
        if size == 1:
            for x in range(n):
                target[x] = source[x]
        elif shuffled:
            for x in range(n):
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
def _row(geometry: Ints, axes: Int, row: Int, shape: Ints) -> tuple[Int, Int]:
    """Where a row of a tile's window begins: within the tile, and in the output."""
    inside, outside, step_in, step_out = 0, 0, 1, 1
    for axis in range(axes - 1, -1, -1):
        size, first = geometry[1 + axis], geometry[1 + axes + axis]
        count, target = geometry[1 + 2 * axes + axis], geometry[1 + 3 * axes + axis]
        at = 0
        if axis < axes - 1:
            at = row % count
            row //= count
        inside += (first + at) * step_in
        outside += (target + at) * step_out
        step_in *= size
        step_out *= shape[axis]
    return inside, outside


@kernel
def _fits(geometry: Ints, axes: Int, shape: Ints, words: Int, out: Int) -> bool:
    """Whether a tile's window lies within the tile, the words and the output."""
    pixels, whole = 1, 1
    for axis in range(axes):
        size, first = geometry[1 + axis], geometry[1 + axes + axis]
        count, target = geometry[1 + 2 * axes + axis], geometry[1 + 3 * axes + axis]
        if first < 0 or count < 1 or first + count > size or target < 0 or target + count > shape[axis]:
            return False
        pixels *= size
        whole *= shape[axis]
    return bool(geometry[0] >= 0 and geometry[0] + pixels <= words and whole <= out)


@kernel
def _rows(geometry: Ints, axes: Int) -> Int:
    rows = 1
    for axis in range(axes - 1):
        rows *= geometry[1 + 2 * axes + axis]
    return rows


@kernel
def place_cast(words: npt.NDArray[Any], table: Ints, shape: Ints, flip: Int, out: npt.NDArray[Any]) -> None:
    """Copy integers, wrapped to the output's type, with the bits of ``flip`` turned."""
    axes = shape.size
    for t in range(table.shape[0]):
        g = table[t]
        if not _fits(g, axes, shape, words.size, out.size):
            continue
        n = g[1 + 3 * axes - 1]
        for row in range(_rows(g, axes)):
            inside, outside = _row(g, axes, row, shape)
            source, target = words[g[0] + inside : g[0] + inside + n], out[outside : outside + n]
            if flip:
                for x in range(n):
                    target[x] = source[x] ^ flip
            else:
                for x in range(n):
                    target[x] = source[x]


@kernel
def place_scaled(
    words: npt.NDArray[Any],
    table: Ints,
    shape: Ints,
    scale: Any,
    zero: Any,
    blank: Int,
    has_blank: bool,
    out: npt.NDArray[Any],
) -> None:
    """Copy integers as floats: value * scale + zero in the output's precision (the type of scale and zero), blank as NaN."""
    axes = shape.size
    for t in range(table.shape[0]):
        g = table[t]
        if not _fits(g, axes, shape, words.size, out.size):
            continue
        n = g[1 + 3 * axes - 1]
        for row in range(_rows(g, axes)):
            inside, outside = _row(g, axes, row, shape)
            source, target = words[g[0] + inside : g[0] + inside + n], out[outside : outside + n]
            for x in range(n):
                target[x] = source[x]
            for x in range(n):
                target[x] = target[x] * scale
            for x in range(n):
                target[x] = target[x] + zero
            if has_blank:
                for x in range(n):
                    if source[x] == blank:
                        target[x] = np.nan


@kernel
def place_dithered(
    words: npt.NDArray[Any],
    table: Ints,
    shape: Ints,
    scales: Floats,
    zeros: Floats,
    blanks: Ints,
    has_blank: bool,
    seeds: Ints,
    dither: Int,
    noise: npt.NDArray[np.float32],
    out: npt.NDArray[Any],
) -> None:
    """Dequantise (FITS 4.0, section 10.2 and appendix I): (value - random + 0.5) * scale + zero in double precision.

    ``dither`` is 0 (none), 1 or 2 (SUBTRACTIVE_DITHER_n); ``seeds[t]`` is where tile ``t`` enters the table of random numbers.
    """
    axes = shape.size
    count = noise.size
    for t in range(table.shape[0]):
        g = table[t]
        if not _fits(g, axes, shape, words.size, out.size):
            continue
        n = g[1 + 3 * axes - 1]
        scale, zero, blank = scales[t], zeros[t], blanks[t]
        for row in range(_rows(g, axes)):
            inside, outside = _row(g, axes, row, shape)
            source, target = words[g[0] + inside : g[0] + inside + n], out[outside : outside + n]
            if dither:
                seed = seeds[t]
                at = np.int64(np.float64(noise[seed]) * 500.0)
                skip = inside
                while skip >= count - at:  # from the start of the tile to this row
                    skip -= count - at
                    seed = seed + 1 if seed + 1 < count else 0
                    at = np.int64(np.float64(noise[seed]) * 500.0)
                at += skip
                x = 0
                while x < n:  # runs up to the end of the table: loops without branches
                    m = min(n - x, count - at)
                    values, randoms, floats = source[x : x + m], noise[at : at + m], target[x : x + m]
                    for i in range(m):
                        floats[i] = (np.float64(values[i]) - np.float64(randoms[i]) + 0.5) * scale + zero
                    x += m
                    at += m
                    if at == count:
                        seed = seed + 1 if seed + 1 < count else 0
                        at = np.int64(np.float64(noise[seed]) * 500.0)
                if dither == 2:
                    for x in range(n):
                        if source[x] == -2147483646:  # exactly zero
                            target[x] = 0
            else:
                for x in range(n):
                    target[x] = np.float64(source[x]) * scale + zero
            if has_blank:
                for x in range(n):
                    if source[x] == blank:
                        target[x] = np.nan
