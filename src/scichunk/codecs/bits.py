"""Bits, eight a byte: blocks of pixels (masks, and black-and-white images), and arrays of any lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.buffers import borrow_buffer
from scichunk.codecs.bytes import check_block, decompress
from scichunk.core.manifest import EncodedChunk
from scichunk.errors import FormatError

__all__ = ["BitCodec", "unpack_arrays"]


def unpack_arrays(data: npt.NDArray[np.uint8], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Unpack arrays of bits that lie one behind the other, each of which begins with a byte of its own.

    Parameters
    ----------
    data
        Their bytes, and no others.
    counts
        Bits of each array.

    Returns
    -------
    numpy.ndarray
        The bits without what fills up last bytes. At most three bytes for each bit are held on the way.
    """
    bits = np.unpackbits(data).view(np.bool_)
    ragged = counts % 8 != 0
    if not ragged.any():
        return bits
    ends = np.cumsum(-(-counts // 8) * 8)[ragged]
    # Indexes of 64 bits for each bit would be eight times of what is asked for: the borders of what is kept are added up instead.
    kept = np.zeros(bits.size + 1, np.int8)
    kept[0] = 1
    kept[ends - -counts[ragged] % 8] -= 1
    kept[ends] += 1
    return bits[np.cumsum(kept, dtype=np.int8, out=kept)[:-1].view(np.bool_)]


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
