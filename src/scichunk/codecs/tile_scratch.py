"""What decoders of tiles want beside the tiles: memory to work in, and bytes behind short data."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.core.limits import check_decoded

__all__ = ["HcompressScratch", "hcompress_scratch", "pad_words"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
HcompressScratch = tuple[Ints, Ints, Bytes, Bytes, npt.NDArray[np.uint64]]
"""Two images of coefficients, two of codes with room behind them, the state of the reader of bits."""
_WORD_BYTES: Final = 8
_ROOM: Final = 4
_PIXEL_BYTES: Final = 18
"""Of all that decoding HCOMPRESS wants for a pixel."""


def pad_words(data: Bytes) -> Bytes:
    """Return data of 8 bytes at least, which the decoder of RICE_1 loads at once."""
    return data if data.size >= _WORD_BYTES else np.pad(data, (0, _WORD_BYTES - data.size))


def hcompress_scratch(rows: Ints, columns: Ints, most: int) -> HcompressScratch:
    """Make what decoding HCOMPRESS tiles needs, one after another.

    Parameters
    ----------
    rows, columns
        Of each tile.
    most
        Pixels of the result: a tile that is larger is refused, and needs nothing.

    Raises
    ------
    LimitExceeded
        If that is beyond ``options.max_chunk_bytes``: it is several times as large as the tile, which may be of very few bytes.
    """
    sides = [(r, c) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if r > 0 < c and r * c <= most]
    pixels = max((r * c for r, c in sides), default=1)
    check_decoded("memory to decode HCOMPRESS_1", _PIXEL_BYTES * pixels)
    images = np.empty(pixels, np.int64), np.empty(pixels, np.int64)
    codes = np.empty(pixels + _ROOM, np.uint8), np.empty(pixels + _ROOM, np.uint8)
    return (*images, *codes, np.empty(4, np.uint64))
