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
    with np.errstate(all="ignore"):
        for r, found, place in _rows(words, out, (sources, targets, lengths)):
            t, inside = int(tiles[r]), int(insides[r])
            if not (0 <= t < seeds.size and 0 <= seeds[t] < noise.size and 0 <= inside <= words.size):
                continue
            random = _random(noise, int(seeds[t]), inside, found.size)
            values = (found.astype(np.float64) - random + 0.5) * scales[t] + zeros[t]
            values[found == exact] = 0.0
            values[found == blanks[t]] = np.nan
            out[place] = values


def _random(noise: npt.NDArray[np.float32], seed: int, skip: int, count: int) -> Floats:
    """Random numbers of a row that begins so many pixels behind the start of its tile."""
    at = int(float(noise[seed]) * 500.0)
    pieces: list[Floats] = []
    while count > 0:
        here = noise[at:]
        if skip < here.size:
            pieces.append(here[skip : skip + count].astype(np.float64))
            count -= pieces[-1].size
        skip = max(0, skip - here.size)
        seed = seed + 1 if seed + 1 < noise.size else 0
        at = int(float(noise[seed]) * 500.0)
    return np.concatenate([*pieces, np.empty(0)])
