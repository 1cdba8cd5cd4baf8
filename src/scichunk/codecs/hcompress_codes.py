"""Huffman codes of HCOMPRESS (FITS 4.0, section 10.4.4)."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

__all__ = ["huffman_table"]

# Keys are (bits, code): the fixed Huffman code of the reference implementation, by Richard White. It is in no header. A value says
# which of the four pixels of a 2 x 2 block are set; single pixels are the most frequent ones, hence the shortest.
_CODES = {(3, c): 1 << c for c in range(4)}
_CODES |= {(4, 8): 3, (4, 9): 5, (4, 10): 10, (4, 11): 12, (4, 12): 15}
_CODES |= {(5, 26): 6, (5, 27): 7, (5, 28): 9, (5, 29): 11, (5, 30): 13, (6, 62): 0, (6, 63): 14}


@cache
def huffman_table() -> npt.NDArray[np.uint8]:
    """Tabulate for each 6 bits ahead the code's value, and its length in the upper four bits."""
    table = np.zeros(64, np.uint8)
    for (length, code), value in _CODES.items():
        first = code << (6 - length)
        table[first : first + (1 << (6 - length))] = value | (length << 4)
    return table
