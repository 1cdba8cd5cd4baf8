"""The limit of what is decoded at once: one check for chunks as the grid has them, and for blocks as they are stored."""

from __future__ import annotations

from collections.abc import Callable

from scichunk import options
from scichunk.errors import LimitExceeded

__all__ = ["check_decoded"]


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
