"""What is said of cells and numbers, by kernels and by the libraries that serve small files alike."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "AMPERSAND",
    "CELLS",
    "CLASS",
    "CLOSED",
    "COMMENT",
    "CONTROL",
    "CUT",
    "DONE",
    "EMPTY",
    "GREATER",
    "HIGH",
    "MARKUP",
    "OTHER",
    "RETURN",
    "VALUE",
]

DONE, CUT, CLOSED, MARKUP, CELLS = 0, 1, 2, 3, 4
"""Why ``tokenize`` came back: enough rows; data end within a row; end tag of the table; unusual markup; wrong number of cells."""
AMPERSAND, RETURN, CONTROL, HIGH, GREATER = 1, 2, 4, 8, 16
"""What is in the texts of a column: ``&``, carriage returns, characters that XML forbids, bytes beyond ASCII, ``>``."""
VALUE, EMPTY, OTHER = 0, 1, 2
"""What became of a text that should be a number: a value, nothing to read, or left to Python."""

COMMENT: Final = rb"<!--(?:[^-]++|-(?!-))*+-->"
"""Pattern of a comment, in which two hyphens never meet (XML 1.0, section 2.5)."""


def _classes() -> npt.NDArray[np.uint8]:
    table = np.zeros(256, np.uint8)
    table[:32] = CONTROL
    # Of the characters below 32 XML allows tab, line feed and carriage return (XML 1.0, section 2.2).
    table[[9, 10]] = 0
    table[13] = RETURN
    table[38] = AMPERSAND
    table[62] = GREATER
    table[128:] = HIGH
    return table


CLASS: Final = _classes()
"""What each byte is."""
