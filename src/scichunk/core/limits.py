"""Limits of what headers may say: what is decoded at once, as the grid has it and as it is stored, and numbers of axes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from scichunk import options
from scichunk.errors import LimitExceeded, UnsupportedFeature

__all__ = ["check_axes", "check_decoded", "is_computable_unit"]

_MOST_AXES: Final = 64
"""Of an array of NumPy."""
_HUGE_POWER: Final = re.compile(
    r"(?:\*\*|\^|(?<=\d)[+-])[\s({]*+(?:[+-][\s({]*+)?\d{5,}|[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207a\u207b]{5,}"
)
"""A power of five digits or more, as units spell it: ``10**99999``, ``10^99999``, ``10+99999`` (FITS 4.0, section 4.3), or raised."""


_MOST_UNIT_CHARACTERS: Final = 256
"""astropy compares each word of a unit that it does not know with all it knows, which takes milliseconds a word."""


def is_computable_unit(text: str) -> bool:
    """Whether a unit is one that astropy may be asked for: of ``10**999999999`` it would compute all digits, which takes hours."""
    return len(text) <= _MOST_UNIT_CHARACTERS and _HUGE_POWER.search(text) is None


def check_axes(what: str, count: int) -> None:
    """Refuse an array of more axes than NumPy can have; ``what`` begins the message: "an image".

    Raises
    ------
    UnsupportedFeature
        If there are more.
    """
    if count > _MOST_AXES:
        msg = f"{what} of {count} axes; NumPy has at most {_MOST_AXES}"
        raise UnsupportedFeature(msg)


def check_decoded(what: str, size: int, *, url: str | None = None, part: Callable[[], str] | None = None) -> None:
    """Refuse what a header promises beyond ``options.max_chunk_bytes``, before anything is allocated for it.

    Parameters
    ----------
    what
        Begins the message: "a decoded tile".
    size
        Its bytes.
    url, part
        Where it is; ``part`` is called for the message only.

    Raises
    ------
    LimitExceeded
        If it is larger.
    """
    limit = options.get().max_chunk_bytes
    if size > limit:
        msg = f"{what} of {size} bytes is beyond the limit of {limit} (options.max_chunk_bytes)"
        raise LimitExceeded(msg, url=url, part=part() if part else None)
