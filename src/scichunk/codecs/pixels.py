"""Losslessly compressed blocks of pixels, with the predictors of TIFF."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.buffers import borrow_buffer
from scichunk.codecs.bytes import check_block, decompress
from scichunk.codecs.interleaved import place_bands
from scichunk.codecs.predictors import undo_float, undo_horizontal
from scichunk.core.manifest import EncodedChunk

__all__ = ["PixelCodec"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PixelCodec:
    """Blocks of shape (rows, columns, samples), compressed as a whole.

    Parameters
    ----------
    codec
        One of :data:`scichunk.codecs.bytes.BYTE_CODECS`.
    stored
        Type in the file, with its byte order.
    predictor
        1 none, 2 horizontal, 3 floating point.
    padded
        Stored (rows, columns) of tiles; None for strips, which end with the image.
    """

    codec: str
    stored: np.dtype[Any]
    predictor: int = 1
    padded: tuple[int, int] | None = None
    partial: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return self.codec.upper() + (f", predictor {self.predictor}" if self.predictor > 1 else "")

    def decode(self, chunk: EncodedChunk, out: Array, window: tuple[slice, ...]) -> None:
        """Decompress, undo the predictor into the output where that is possible, else into scratch memory."""
        data, shape = chunk.data, chunk.shape
        samples = shape[0]
        height, width = self.padded or shape[1:]
        line = width * samples * self.stored.itemsize
        size = height * line
        check_block(size)
        if (
            self.predictor == 1
            and out.nbytes == size
            and samples == 1
            and out.flags.c_contiguous
            and self.stored.isnative
        ):
            decompress(self.codec, data, out.reshape(-1).view(np.uint8))
            return
        # Scratch memory of the thread: fresh pages for each block would have to be paid for again and again (see buffers.py).
        block = borrow_buffer("block", size)
        decompress(
            self.codec, data, block, shape[1] * line
        )  # some writers leave out the rows below the image, as GDAL allows
        _, rows, columns = window
        plain = columns.start == 0 and columns.step == 1 and rows.step == 1 and window[0] == slice(0, samples, 1)
        if self.predictor == 1:
            pixels = block.view(self.stored).reshape(height, width, samples)
            place_bands(pixels[rows, columns, window[0]], out)
        elif self.predictor == 2:
            # Differences are those of integers as wide as a sample: of complex numbers, both halves are one, and are swapped as one.
            words = block.view(f"u{self.stored.itemsize}").reshape(height, width, samples)
            pixels = words[rows.start : rows.stop, : columns.stop]
            if not self.stored.isnative:
                pixels.byteswap(inplace=True)
            if plain:
                undo_horizontal(pixels, out.transpose(1, 2, 0))
            else:
                whole = _borrow_array(pixels.shape, self.stored.newbyteorder("="))
                undo_horizontal(pixels, whole)
                place_bands(whole[:: rows.step, columns, window[0]], out)
        else:
            lines = block.reshape(height, -1)[rows.start : rows.stop]
            if plain and columns.stop == width:
                undo_float(lines, out.transpose(1, 2, 0))
            else:
                whole = _borrow_array((len(lines), width, samples), self.stored.newbyteorder("="))
                undo_float(lines, whole)
                place_bands(whole[:: rows.step, columns, window[0]], out)


def _borrow_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return borrow_buffer("predicted", math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)
