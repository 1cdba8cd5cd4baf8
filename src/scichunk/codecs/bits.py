"""Blocks of pixels of one bit: masks, and black-and-white images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.buffers import borrow_buffer
from scichunk.codecs.bytes import check_block, decompress
from scichunk.core.manifest import EncodedChunk
from scichunk.errors import FormatError

__all__ = ["BitCodec"]


@dataclass(frozen=True, slots=True)
class BitCodec:
    """Blocks of shape (1, rows, columns), eight pixels a byte, each row beginning with a byte (TIFF 6.0, section 3).

    Parameters
    ----------
    codec
        One of :data:`scichunk.codecs.bytes.BYTE_CODECS`; empty for bytes as they are.
    padded
        Stored (rows, columns) of tiles; None for strips, which end with the image.
    value
        Of a set bit.
    """

    codec: str
    padded: tuple[int, int] | None = None
    value: int = 1
    partial: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.codec.upper() or 'uncompressed'}, 1 bit"

    def decode(self, chunk: EncodedChunk, out: npt.NDArray[Any], window: tuple[slice, ...]) -> None:
        """Decompress and unpack."""
        data, shape = chunk.data, chunk.shape
        height, width = self.padded or shape[1:]
        check_block(height * width)  # a byte for each pixel, once unpacked
        line = -(-width // 8)
        if self.codec:
            block = borrow_buffer("block", height * line)
            decompress(self.codec, data, block, shape[1] * line)
        else:
            block = np.frombuffer(data, np.uint8)
            if block.size < shape[1] * line:  # the rows below the image need not be there
                msg = f"{block.size} bytes are too few for {shape[1]} rows of {width} bits"
                raise FormatError(msg)
        _, rows, columns = window
        bits = np.unpackbits(block[: shape[1] * line].reshape(-1, line)[rows], axis=1, count=width)[:, columns]
        np.multiply(bits, self.value, out=out[0], casting="unsafe")
