"""Tile-compressed FITS images (FITS 4.0, section 10): all tiles of a batch in a few calls without the GIL."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.buffers import KEPT_BYTES, borrow_buffer
from scichunk.codecs import ways
from scichunk.codecs.gzip_members import gunzip_into
from scichunk.codecs.hcompress_codes import huffman_table
from scichunk.codecs.scaling import Scaling
from scichunk.codecs.tile_scratch import hcompress_scratch, pad_words
from scichunk.core.batches import Batch, WindowRows, iter_rows, join_axes, plan_rows
from scichunk.core.manifest import EncodedChunk
from scichunk.errors import FormatError, located

__all__ = ["ALGORITHMS", "GZIPPED", "UNCOMPRESSED", "TiledImageCodec"]

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.int64]

ALGORITHMS: Final = ("RICE_1", "PLIO_1", "HCOMPRESS_1", "GZIP_1", "GZIP_2", "NOCOMPRESS")
GZIPPED: Final = 1
"""A tile in GZIP_COMPRESSED_DATA."""
UNCOMPRESSED: Final = 2
"""A tile in UNCOMPRESSED_DATA."""
_EXACT_ZERO: Final = -2147483646
"""What SUBTRACTIVE_DITHER_2 stores for 0 (FITS 4.0, section 10.2.1)."""
_NO_VALUE: Final = 1 << 40
"""No 32-bit integer."""
_BYTES: Final = ("GZIP_1", "GZIP_2", "NOCOMPRESS")
_ROWS: Final = 1 << 16  # of a tile, or of all, planned at once: of narrow tiles the plan is larger than the pixels
_GROUP_BYTES: Final = 1 << 20  # decoded bytes at a time: stay in the processor's cache


@dataclass(frozen=True, slots=True)
class TiledImageCodec:
    """Tiles of one image; tables have one entry for each tile."""

    algorithm: str
    """One of :data:`ALGORITHMS`."""
    stored: np.dtype[Any]
    """Of ZBITPIX, native byte order."""
    scaling: Scaling
    """BSCALE, BZERO and BLANK of the image."""
    block: int = 32
    """RICE: pixels of a block."""
    pixel_bytes: int = 4
    """RICE: bytes of a stored integer."""
    kinds: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8), repr=False)
    """0, :data:`GZIPPED` or :data:`UNCOMPRESSED`."""
    scales: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    """ZSCALE, if values are quantised."""
    zeros: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    """ZZERO."""
    blanks: IntArray | None = field(default=None, repr=False)
    """ZBLANK."""
    dither: int = 0
    """0 none, 1 or 2: SUBTRACTIVE_DITHER_n."""
    seed: int = 1
    """ZDITHER0."""
    partial: bool = False

    @property
    def name(self) -> str:
        """For people."""
        quantised = "" if self.scales is None else f", quantised{f' with dither {self.dither}' if self.dither else ''}"
        return self.algorithm + quantised

    def decode(self, chunk: EncodedChunk, out: Array, window: tuple[slice, ...]) -> None:
        """Decode one tile, whole, and copy the window."""
        data, shape, number, _ = chunk
        whole = np.empty(shape, self.scaling.dtype)
        size = np.array([shape], np.int64)
        zero = np.zeros_like(size)
        batch = Batch(np.array([number], np.int64), size, zero, size, zero)
        self.decode_batch(batch, np.frombuffer(data, np.uint8), np.zeros(1, np.int64), np.array([len(data)]), whole)
        out[...] = whole[window]

    def decode_batch(
        self, batch: Batch, data: npt.NDArray[np.uint8], offsets: IntArray, lengths: IntArray, out: Array
    ) -> None:
        """Decode tiles to their places.

        Parameters
        ----------
        batch
            The tiles, and the window of each that is wanted.
        data
            Their bytes; tile ``i`` is ``data[offsets[i] : offsets[i] + lengths[i]]``.
        out
            Of ``scaling.dtype``, C-contiguous.

        Raises
        ------
        FormatError
            Naming the tile that is corrupt.
        """
        kinds = self.kinds[batch.numbers]
        sizes = batch.shapes.prod(axis=1)
        ways.announce("fits image", 4 * int(sizes.sum()))
        # Exceptions (tiles that the algorithm could not hold) are few, and lie in columns of their own (section 10.1.3).
        slow = np.flatnonzero(kinds) if self._in_groups else np.arange(len(batch))
        fast = np.flatnonzero(kinds == 0) if self._in_groups else slow[:0]
        plain, shape = join_axes(batch, out.shape)
        few = int(plain.counts[:, :-1].prod(axis=1).sum()) <= _ROWS
        rows = plan_rows(plain, shape) if few else None
        for group in _split_by_bytes(fast, int(sizes.max()) * max(4, self.stored.itemsize)):
            tiles = data, offsets[group], lengths[group], sizes[group]
            if self.algorithm not in _BYTES:
                words, targets = self._decode_integers(batch[group], *tiles)
            elif (joined := self._join_values(*tiles)) is not None:
                words, targets = joined
            else:  # values of another length than expected: one by one
                slow = np.union1d(slow, np.arange(len(batch))[group])
                continue
            mine = iter_rows(plain[group], shape, _ROWS) if rows is None else [rows.rows_of(group.start, group.stop)]
            self._put_values(batch[group], mine, words, targets, out)
        for i in slow:
            encoded = data[offsets[i] : offsets[i] + lengths[i]]
            with located(part=f"tile {batch.numbers[i]}"):
                self._place_one(batch[slice(i, i + 1)], encoded, int(kinds[i]), out)

    @property
    def _in_groups(self) -> bool:
        """Whether tiles that are not exceptions are decoded many at a time."""
        if self.algorithm not in _BYTES or self.stored.kind != "f" or self.scales is not None:
            return True
        return self.blanks is None and self.scaling.plain

    def _join_values(
        self, data: npt.NDArray[np.uint8], offsets: IntArray, lengths: IntArray, sizes: IntArray
    ) -> tuple[Array, IntArray] | None:
        """Decode tiles of bytes to integers (or the bits of floats); None if one has not the expected length."""
        import imagecodecs

        size = 4 if self.scales is not None else self.stored.itemsize
        targets = np.cumsum(sizes) - sizes
        raw = borrow_buffer("inflated", size * int(sizes.sum()))
        parts = zip(offsets.tolist(), lengths.tolist(), (targets * size).tolist(), (sizes * size).tolist(), strict=True)
        for offset, length, target, nbytes in parts:
            encoded, part = data[offset : offset + length], raw[target : target + nbytes]
            if self.algorithm == "NOCOMPRESS":
                if length != nbytes:
                    return None
                part[:] = encoded
                continue
            try:
                found = imagecodecs.gzip_decode(encoded, out=memoryview(part))
            except (imagecodecs.GzipError, ValueError):  # ValueError: no gzip header; decoded one by one, it is named
                return None
            if len(found) != nbytes:
                return None
        words = borrow_buffer("words", (8 if size == 8 else 4) * int(sizes.sum())).view(
            np.int64 if size == 8 else np.int32
        )
        ways.choose("quantize").join_values(
            raw, targets * size, targets, sizes, size, self.algorithm == "GZIP_2", words
        )
        return words, targets

    def _decode_integers(
        self, batch: Batch, data: npt.NDArray[np.uint8], offsets: IntArray, lengths: IntArray, sizes: IntArray
    ) -> tuple[npt.NDArray[np.int32], IntArray]:
        """Decode tiles to integers, one after another."""
        targets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        words = borrow_buffer("words", 4 * int(sizes.sum())).view(np.int32)
        status = np.empty(len(sizes), np.int64)
        if self.algorithm == "RICE_1":
            size = self.pixel_bytes
            ways.choose("rice").decode_rice(
                pad_words(data), offsets, lengths, targets, sizes, self.block, size, words, status
            )
        elif self.algorithm == "PLIO_1":
            ways.choose("plio").decode_plio(data, offsets, lengths, targets, sizes, words, status)
        else:
            rows, columns = _two_dimensional(batch.shapes)
            with located(part=lambda: f"tile {batch.numbers[sizes.argmax()]}"):
                scratch = hcompress_scratch(rows, columns, words.size)
            ways.choose("hcompress").decode_hcompress(
                data,
                offsets,
                lengths,
                targets,
                rows,
                columns,
                huffman_table(),
                *scratch,
                words,
                status,
            )
        if status.any():
            bad = int(status.argmax())
            msg = f"{self.algorithm} data of {lengths[bad]} bytes are corrupt"
            raise FormatError(msg, part=f"tile {batch.numbers[bad]}")
        return words, targets

    def _put_values(
        self, batch: Batch, plan: Iterable[WindowRows], words: Array, targets: IntArray, out: Array
    ) -> None:
        """Cast, scale or dequantise integers."""
        for rows in plan:
            self._put_rows(batch, rows, words, targets, out.reshape(-1))
        if self.stored.kind == "f":
            self._rescale_floats(batch, out)

    def _put_rows(self, batch: Batch, rows: WindowRows, words: Array, targets: IntArray, flat: Array) -> None:
        quantize = ways.choose("quantize")
        table = targets[rows.chunks] + rows.insides, rows.targets, rows.lengths
        scaling = self.scaling
        if self.stored.kind == "f" and self.scales is None and self.algorithm in _BYTES:  # the bits of floats
            quantize.place_cast(words, *table, np.int64(0), flat.view(words.dtype))
        elif self.stored.kind == "f":
            one = np.ones(len(batch))
            scales = one if self.scales is None else self.scales[batch.numbers]
            zeros = one * 0 if self.zeros is None else self.zeros[batch.numbers]
            none = np.full(len(batch), _NO_VALUE, np.int64)
            blanks = none if self.blanks is None else self.blanks[batch.numbers]
            exact = _EXACT_ZERO if self.dither == 2 else _NO_VALUE
            # Tiles are counted from 1 in appendix I, as is ZDITHER0; there are 10000 random numbers.
            seeds = (batch.numbers + self.seed % 10_000 - 1) % 10_000
            noise = _make_noise() if self.dither else _no_noise()
            quantize.place_dithered(
                words, rows.chunks, rows.insides, *table, scales, zeros, blanks, seeds, exact, noise, flat
            )
        elif flat.dtype.kind == "f":
            with np.errstate(over="ignore"):  # beyond 32 bits they are infinite
                scale, zero = flat.dtype.type(scaling.scale), flat.dtype.type(scaling.offset)
            known = scaling.blank is not None and abs(scaling.blank) < 1 << 63  # no stored integer is beyond
            blank = np.int64(scaling.blank if scaling.blank is not None and known else 0)
            quantize.place_scaled(words, *table, scale, zero, blank, known, flat)
        else:
            # Unsigned integers are stored with the highest bit turned (table 11): to turn it back is to add BZERO, without overflow.
            flip = np.uint64(scaling.flip).astype(np.int64)
            quantize.place_cast(words, *table, flip, flat)

    def _rescale_floats(self, batch: Batch, out: Array) -> None:
        """Apply BSCALE and BZERO of an image of floats: rare, so tile by tile."""
        if self.scaling.plain:
            return
        for first, count in zip(batch.targets, batch.counts, strict=True):
            part = out[tuple(slice(f, f + n) for f, n in zip(first, count, strict=True))]
            self.scaling.apply(part.copy(), part)

    def _place_one(self, batch: Batch, encoded: npt.NDArray[np.uint8], kind: int, out: Array) -> None:
        """Decode a tile of bytes: gzip, or as it is."""
        shape = tuple(batch.shapes[0])
        values = self._view_values(encoded, kind, math.prod(shape)).reshape(shape)
        number = int(batch.numbers[0])
        if kind == 0 and self.scales is not None:
            words = np.ascontiguousarray(values.reshape(-1), np.int32)
            rows = iter_rows(*join_axes(batch, out.shape), _ROWS)
            self._put_values(batch, rows, words, np.zeros(1, np.int64), out)
            return
        inside = tuple(slice(f, f + n) for f, n in zip(batch.firsts[0], batch.counts[0], strict=True))
        target = tuple(slice(f, f + n) for f, n in zip(batch.targets[0], batch.counts[0], strict=True))
        values, part = values[inside], out[target]
        if self.stored.kind != "f" and values.dtype.newbyteorder("=") != self.stored:
            values = values.astype(self.stored)
        self.scaling.apply(values, part)
        if kind == 0 and self.blanks is not None and self.stored.kind == "f":
            part[values == self.blanks[number]] = np.nan

    def _view_values(self, encoded: npt.NDArray[np.uint8], kind: int, pixels: int) -> Array:
        """View the bytes of a tile as values; their type follows from their number."""
        algorithm = {0: self.algorithm, GZIPPED: "GZIP_1", UNCOMPRESSED: "NOCOMPRESS"}[kind]
        floats = self.stored.kind == "f" and (kind != 0 or self.scales is None)
        # No keyword says how wide the integers of a gzipped tile are: it follows from their number.
        sizes = sorted({self.stored.itemsize, 1, 2, 4, 8}, key=lambda n: n != self.stored.itemsize)
        if kind == 0 and self.scales is not None:
            sizes = [4, 1, 2]  # what floats are quantised to (FITS 4.0, section 10.2)
        if algorithm == "NOCOMPRESS":
            raw = encoded
        else:
            most = max(sizes) if not floats else self.stored.itemsize
            raw = _gunzip_tile(encoded, pixels * most)
        size = next((n for n in sizes if raw.size == n * pixels), 0)
        if not size:
            msg = f"{raw.size} bytes are not a whole number of values for {pixels} pixels"
            raise FormatError(msg)
        # Bytes are shuffled by significance before gzip (section 10.4.2).
        if algorithm == "GZIP_2":
            raw = np.ascontiguousarray(raw.reshape(size, pixels).T).reshape(-1)
        code = "f" if floats and size > 2 else "u" if size == 1 else "i"
        return raw.view(f">{code}{size}")


def _gunzip_tile(encoded: npt.NDArray[np.uint8], most: int) -> npt.NDArray[np.uint8]:
    """Inflate a gzip stream of at most ``most`` bytes into scratch memory."""
    out = borrow_buffer("inflated", most)
    return out[: gunzip_into(encoded, out)]


def _two_dimensional(shapes: IntArray) -> tuple[IntArray, IntArray]:
    """Rows and columns of tiles; axes of length 1 do not count."""
    if shapes.shape[1] == 2:
        return np.ascontiguousarray(shapes[:, 0]), np.ascontiguousarray(shapes[:, 1])
    rows, columns = np.ones(len(shapes), np.int64), np.ones(len(shapes), np.int64)
    for i, shape in enumerate(shapes):
        long = [n for n in shape if n != 1]
        if len(long) > 2:
            msg = f"HCOMPRESS tiles have two dimensions, not {tuple(shape)}"
            raise FormatError(msg)
        rows[i], columns[i] = [1, 1, *long][-2:]
    return rows, columns


def _split_by_bytes(which: IntArray, nbytes: int) -> list[slice]:
    """Split tiles of ``nbytes`` into consecutive runs of about :data:`_GROUP_BYTES` bytes; of even numbers, for decoders of pairs."""
    least = 2 if nbytes <= KEPT_BYTES // 2 else 1  # two together, unless that takes memory that is not kept
    step = max(least, _GROUP_BYTES // nbytes // 2 * 2)
    runs = np.split(which, np.flatnonzero(np.diff(which) != 1) + 1)
    bounds = [(int(run[0]), int(run[-1]) + 1) for run in runs if run.size]
    return [slice(i, min(i + step, end)) for first, end in bounds for i in range(first, end, step)]


@cache
def _make_noise() -> npt.NDArray[np.float32]:
    """Make the random numbers of FITS 4.0, appendix I; complete before any thread sees them."""
    values, seed = [], 1.0
    for _ in range(10_000):
        # The generator of Park and Miller, as the appendix gives it: seeds stay below 2**31, so that doubles hold all products exactly.
        product = 16807.0 * seed
        seed = product - 2147483647.0 * int(product / 2147483647.0)
        values.append(seed / 2147483647.0)
    return np.array(values, np.float32)


@cache
def _no_noise() -> npt.NDArray[np.float32]:
    """Return what stands for no random numbers: value - 0.5 + 0.5 is exact."""
    return np.full(10_000, 0.5, np.float32)
