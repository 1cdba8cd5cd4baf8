"""Which arrays a JPEG 2000 file has."""

from __future__ import annotations

from dataclasses import dataclass

from scichunk.core.files import ArrayId

__all__ = ["DecodedId", "ImageId"]


@dataclass(frozen=True, slots=True)
class ImageId(ArrayId):
    """The samples of a group of components of one size."""

    group: int = 0
    reduce: int = 0
    """How many times they are halved."""
    reader: str = "auto"
    """``"auto"``, ``"indexed"`` or ``"reference"``."""
    expand: bool = False
    """Channels instead of components: palettes applied."""


@dataclass(frozen=True, slots=True)
class DecodedId(ImageId):
    """The samples, with NaN where the alpha channel says that there is no data."""
