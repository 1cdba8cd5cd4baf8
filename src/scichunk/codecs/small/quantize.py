"""From decoded FITS tiles to the output array by NumPy: a stand-in for :mod:`scichunk.codecs.quantize`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["join_values", "place_cast", "place_dithered", "place_scaled"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]


def _inside(start: int, count: int, size: int) -> bool:
    return start >= 0 and 0 <= count <= size and start <= size - count


def join_values(raw: Bytes, starts: Ints, places: Ints, counts: Ints, size: int, shuffled: bool, words: Values) -> None:
    """Put big-endian values of ``size`` bytes together; ``shuffled``: the bytes of a tile lie by significance (GZIP_2)."""
    if not 1 <= size <= 8:
        return
    for start, place, n in zip(starts.tolist(), places.tolist(), counts.tolist(), strict=True):
        if n > raw.size // size or not _inside(start, n * size, raw.size) or not _inside(place, n, words.size):
            continue
        source = raw[start : start + n * size]
        planes = source.reshape(size, n) if shuffled else source.reshape(n, size).T
        signed = size > 1 and (shuffled or size in {2, 4})
        value = planes[0].astype(np.int8 if signed else np.uint8).astype(np.int64)
        for plane in planes[1:]:
            value = (value << 8) | plane
        words[place : place + n] = value.astype(words.dtype)


def _rows(words: Values, out: Values, table: tuple[Ints, Ints, Ints]) -> Iterator[tuple[int, Values, slice]]:
    """Number, values and place of each row that lies inside."""
    for r, (source, target, n) in enumerate(zip(*(column.tolist() for column in table), strict=True)):
        if _inside(source, n, words.size) and _inside(target, n, out.size):
            yield r, words[source : source + n], slice(target, target + n)


def place_cast(words: Values, sources: Ints, targets: Ints, lengths: Ints, flip: int, out: Values) -> None:
    """Copy integers, wrapped to the output's type, with the bits of ``flip`` turned."""
    for _, found, place in _rows(words, out, (sources, targets, lengths)):
        out[place] = (found.astype(np.int64) ^ np.int64(flip)).astype(out.dtype)


def place_scaled(
    words: Values,
    sources: Ints,
    targets: Ints,
    lengths: Ints,
    scale: Any,
    zero: Any,
    blank: int,
    has_blank: bool,
    out: Values,
) -> None:
    """Copy integers as floats: value * scale + zero in the output's precision (the type of scale and zero), blank as NaN."""
    with np.errstate(all="ignore"):
        for _, found, place in _rows(words, out, (sources, targets, lengths)):
            out[place] = found.astype(out.dtype) * scale + zero
            if has_blank:
                out[place][found == blank] = np.nan


def place_dithered(
    words: Values,
    tiles: Ints,
    insides: Ints,
    sources: Ints,
    targets: Ints,
    lengths: Ints,
    scales: Floats,
    zeros: Floats,
    blanks: Ints,
    seeds: Ints,
    exact: int,
    noise: npt.NDArray[np.float32],
    out: Values,
) -> None:
    """Dequantise (FITS 4.0, section 10.2 and appendix I): (value - random + 0.5) * scale + zero in double precision."""
    random = _Random(noise)
    with np.errstate(all="ignore"):
        for r, found, place in _rows(words, out, (sources, targets, lengths)):
            t, inside = int(tiles[r]), int(insides[r])
            if not (0 <= t < seeds.size and 0 <= seeds[t] < noise.size and 0 <= inside <= words.size):
                continue
            numbers = random.take(t, int(seeds[t]), inside, found.size)
            values = (found.astype(np.float64) - numbers + 0.5) * scales[t] + zeros[t]
            values[found == exact] = 0.0
            values[found == blanks[t]] = np.nan
            out[place] = values


class _Random:
    """Random numbers of rows; the way to a row of a tile begins where the row before it began."""

    def __init__(self, noise: npt.NDArray[np.float32]) -> None:
        self.noise = noise
        self.tile, self.reached, self.seed, self.at = -1, 0, 0, 0

    def take(self, tile: int, seed: int, inside: int, count: int) -> Floats:
        """Take as many as a row has pixels, which begins so many behind the start of its tile."""
        if tile != self.tile or inside < self.reached:
            self.tile, self.reached, self.seed, self.at = tile, 0, seed, self._begin(seed)
        skip = inside - self.reached
        while skip >= self.noise.size - self.at:
            skip -= self.noise.size - self.at
            self.seed, self.at = self._next(self.seed)
        self.reached, self.at = inside, self.at + skip
        seed, at, pieces = self.seed, self.at, [np.empty(0)]
        while count > 0:
            pieces.append(self.noise[at : at + count].astype(np.float64))
            count -= pieces[-1].size
            seed, at = self._next(seed)
        return np.concatenate(pieces)

    def _begin(self, seed: int) -> int:
        return int(float(self.noise[seed]) * 500.0)

    def _next(self, seed: int) -> tuple[int, int]:
        seed = seed + 1 if seed + 1 < self.noise.size else 0
        return seed, self._begin(seed)
