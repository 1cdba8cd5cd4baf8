"""Limits of what headers may say: what is decoded at once, as the grid has it and as it is stored, and numbers of axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from scichunk import options
from scichunk.errors import LimitExceeded, UnsupportedFeature

__all__ = ["check_axes", "check_decoded"]

_MOST_AXES: Final = 64
"""Of an array of NumPy."""


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
