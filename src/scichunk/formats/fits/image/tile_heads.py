"""What compressed tiles say of their own size, before astropy's decoders in C take it on trust."""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs import ways
from scichunk.codecs.hcompress_codes import huffman_table
from scichunk.codecs.tile_scratch import hcompress_scratch
from scichunk.core.grid import ChunkGrid
from scichunk.errors import FormatError, located
from scichunk.formats.fits.image.manifest import read_places, tile_shape
from scichunk.formats.fits.structure import HDU
from scichunk.formats.fits.table.layout import read_layout
from scichunk.sources import ByteSource

__all__ = ["TileHeads"]

_STEP_BYTES: Final = 1 << 20
_MOST_PIXEL_BYTES: Final = 8
_HCOMPRESS: Final = struct.Struct(">Hii")
"""Its mark, and the rows and columns of the tile (cfitsio, fits_hdecompress)."""
_HCOMPRESS_MARK: Final = 0xDD99
_PLIO_HEAD_WORDS: Final = 7
"""Words before the instructions; a list of the old kind, whose third word is positive, has three (IRAF, plio)."""


class TileHeads:
    """Compares the tiles of a window with what astropy makes room for.

    Its decoder of HCOMPRESS_1 writes as many pixels as a tile says that it has, and knows no end of its bytes, that of PLIO_1
    reads as many words, and GZIP is
    decompressed without any bound.

    Parameters
    ----------
    hdu
        A compressed image.
    source
        The file.
    """

    def __init__(self, hdu: HDU, source: ByteSource) -> None:
        self._hdu, self._source = hdu, source
        self._algorithm = str(hdu.cards.get("ZCMPTYPE") or "").strip().upper()

    @cached_property
    def _end(self) -> int:
        """Where the heap ends, or the file."""
        return min(read_layout(self._hdu).heap_end, self._source.fingerprint.size)

    @cached_property
    def _chunk_grid(self) -> ChunkGrid:
        return ChunkGrid(self._hdu.shape, tile_shape(self._hdu))

    @cached_property
    def _tile_ranges(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
        return read_places(self._hdu, self._source, self._chunk_grid.size)

    def check(self, window: tuple[slice, ...]) -> None:
        """Look at the tiles of a window, ascending slices.

        Raises
        ------
        FormatError
            If a tile holds more than its pixels.
        """
        grid, (starts, lengths, kinds) = self._chunk_grid, self._tile_ranges
        spans = [
            range(grid.find(axis, s.start), grid.find(axis, s.stop - 1) + 1 if s.stop > s.start else 0)
            for axis, s in enumerate(window)
        ]
        for position in itertools.product(*spans):
            number = grid.flat(position)
            shape = tuple(stop - start for start, stop in itertools.starmap(grid.bounds, enumerate(position)))
            start, stop = int(starts[number]), int(starts[number] + lengths[number])
            look = _CHECKS.get(self._algorithm if kinds[number] == 0 else "GZIP_1")
            if look is None:
                continue
            with located(url=self._source.url, part=f"tile {number}"):
                if stop > self._end:  # astropy would hand its decoders what lies before the end
                    msg = f"bytes {start} to {stop} reach beyond the heap of the table, or the file, which ends at {self._end}"
                    raise FormatError(msg)
                look(self._source, start, stop, shape)


def _check_gzip(source: ByteSource, start: int, stop: int, shape: tuple[int, ...]) -> None:
    """Go through all members, whose content is not kept."""
    limit, total, stream = _MOST_PIXEL_BYTES * math.prod(shape), 0, zlib.decompressobj(31)
    data = bytes(source.read_ranges([start], [stop])[0])
    try:
        while data:
            total += len(stream.decompress(data, _STEP_BYTES))
            if total > limit:
                msg = f"gzip data hold more than {limit} bytes, for {math.prod(shape)} pixels"
                raise FormatError(msg)
            # What is decompressed is dropped at once: only its length counts.
            data = stream.unconsumed_tail
            if stream.eof:
                data, stream = stream.unused_data, zlib.decompressobj(31)
    except zlib.error:  # astropy says what is wrong, if it reads that far
        return


def _check_hcompress(source: ByteSource, start: int, stop: int, shape: tuple[int, ...]) -> None:
    data = bytes(source.read_ranges([start], [stop])[0])
    if len(data) < _HCOMPRESS.size:
        msg = f"HCOMPRESS data of {len(data)} bytes"
        raise FormatError(msg)
    mark, rows, columns = _HCOMPRESS.unpack_from(data)
    if mark != _HCOMPRESS_MARK:  # which astropy looks at
        return
    # The decoder writes as many pixels as the data say, into room for those of the tile.
    if min(rows, columns) < 1 or rows * columns != math.prod(shape):
        msg = f"HCOMPRESS data of {rows} x {columns} pixels in a tile of {shape}"
        raise FormatError(msg)
    # It knows no end of the codes either, and would read on in memory that is not theirs: ours has gone through them first.
    status, one = np.empty(1, np.int64), np.ones(1, np.int64)
    ways.announce("fits image", 4 * rows * columns)
    sides = one * rows, one * columns
    ways.choose("hcompress").decode_hcompress(
        np.frombuffer(data, np.uint8), one * 0, one * len(data), one * 0, *sides, huffman_table(),
        *hcompress_scratch(*sides, rows * columns), np.empty(rows * columns, np.int32), status,
    )  # fmt: skip
    if status[0]:
        msg = f"HCOMPRESS data of {len(data)} bytes are corrupt"
        raise FormatError(msg)


def _check_plio(source: ByteSource, start: int, stop: int, _shape: tuple[int, ...]) -> None:
    data = bytes(source.read_ranges([start], [min(stop, start + 2 * _PLIO_HEAD_WORDS)])[0])
    words = np.frombuffer(data[: len(data) // 2 * 2], ">i2").astype(np.int64)
    there = (stop - start) // 2
    old = words.size > 2 and words[2] > 0
    if there < (3 if old else _PLIO_HEAD_WORDS):
        msg = f"PLIO data of {there} words"
        raise FormatError(msg)
    # The length of the new kind stands in two words of 15 bits.
    count = int(words[2] if old else (words[4] << 15) + words[3])
    if not 0 <= count <= there or (not old and words[1] < 0):
        msg = f"PLIO data of {there} words, which say that they are {count}"
        raise FormatError(msg)


_CHECKS: Final[dict[str, Any]] = {
    "GZIP_1": _check_gzip,
    "GZIP_2": _check_gzip,
    "HCOMPRESS_1": _check_hcompress,
    "PLIO_1": _check_plio,
}
