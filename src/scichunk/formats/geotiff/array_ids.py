"""Which arrays a GeoTIFF has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scichunk.core.files import ArrayId

__all__ = ["NO_OVERVIEW", "DecodedId", "ImageId", "MaskId", "PageId"]

NO_OVERVIEW: Final = -1


@dataclass(frozen=True, slots=True)
class ImageId(ArrayId):
    """An image: a page, or an overview of it."""

    page: int
    """Counted from 0, without overviews and masks."""
    overview: int = NO_OVERVIEW

    def __str__(self) -> str:
        return f"page {self.page}" + (f", overview {self.overview}" if self.overview != NO_OVERVIEW else "")


@dataclass(frozen=True, slots=True)
class PageId(ImageId):
    """The stored pixels of an image."""

    reader: str = "auto"
    """``"auto"``, ``"indexed"`` or ``"reference"``."""


@dataclass(frozen=True, slots=True)
class DecodedId(ImageId):
    """The pixels of an image, with NaN where a mask or an alpha band says that there is no data."""


@dataclass(frozen=True, slots=True)
class MaskId(ImageId):
    """The mask of an image."""

    def __str__(self) -> str:
        return f"mask of {ImageId.__str__(self)}"
