"""Which arrays a FITS file has, beside the columns of its tables."""

from __future__ import annotations

from dataclasses import dataclass

from scichunk.core.files import ArrayId

__all__ = ["HDUId", "Selector"]

Selector = int | str | tuple[str, int] | None
"""An HDU in the words of users: its number, EXTNAME, (EXTNAME, EXTVER), or None for the first of its kind."""


@dataclass(frozen=True, slots=True)
class HDUId(ArrayId):
    """The pixels of an image."""

    hdu: Selector = None
    reader: str = "auto"
    """``"auto"``, ``"indexed"`` or ``"reference"``."""
    raw: bool = False
    """Values as they are stored, without BSCALE, BZERO and BLANK."""
