"""Which mask an image has, and which plane of it is whose band's: as GDAL finds them, within the file or in one beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from scichunk.formats.geotiff.structure import REDUCED, TIFFImage
from scichunk.sources import ByteSource

__all__ = ["Mask", "MaskFile", "alpha_dtype", "find_internal", "may_have_alpha"]

_PER_DATASET: Final = 2
"""``GMF_PER_DATASET``: one mask serves all bands."""
_INTEGER: Final = re.compile(r"\s*[+-]?\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask of an image."""

    source: ByteSource
    image: TIFFImage
    """Its directory."""
    planes: tuple[int | None, ...]
    """Of each band of the image, the sample of the mask that is for it; None where the mask says nothing of it."""

    @property
    def is_shared(self) -> bool:
        """Whether one plane is for all bands."""
        return set(self.planes) == {0}

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions of its array."""
        return ("y", "x") if self.is_shared else ("band", "y", "x")


def may_have_alpha(image: TIFFImage) -> bool:
    """Whether tags may speak of an alpha band or of NODATA_VALUES, which say where there are data: cheap, and often wrong."""
    tags = image.directory.tags
    return (image.samples in {2, 4} and 338 in tags) or b"NODATA_VALUES" in image.directory.raw_bytes(42112)


def alpha_dtype(image: TIFFImage) -> np.dtype[Any]:
    """Type of the samples where an alpha band of them counts, which has unsigned integers of 8 or 16 bits; else some other type."""
    unsigned = image.sample_format in {(1,), (4,)} and image.bits in {(8,), (16,)}
    return np.dtype(f"u{image.bits[0] // 8}" if unsigned else "f8")


def find_internal(source: ByteSource, masks: Iterable[TIFFImage], image: TIFFImage, *, reduced: bool) -> Mask | None:
    """Return the mask of an image among those of its page: one of its size, of bytes or bits, and of one sample or as many as it has.

    Parameters
    ----------
    source
        Where they are.
    masks
        Directories of masks.
    image
        The image.
    reduced
        Whether that is a reduced image, whose masks are flagged as reduced, too.
    """
    for mask in masks:
        mine = bool(mask.subfile & REDUCED) == reduced and (mask.width, mask.height) == (image.width, image.height)
        if mine and max(mask.bits) <= 8 and mask.sample_format != (2,) and mask.samples in {1, image.samples}:
            return Mask(source, mask, tuple(range(image.samples)) if mask.samples > 1 else (0,) * image.samples)
    return None


class MaskFile:
    """An ``.msk`` file: masks, and what its metadata items ``INTERNAL_MASK_FLAGS_n`` say of band n (``GDALDefaultOverviews``).

    Parameters
    ----------
    images
        Directories and their sources: the mask, and its reduced versions.
    tags
        Metadata of the file.
    """

    def __init__(self, images: Sequence[tuple[ByteSource, TIFFImage]], tags: Mapping[str, str]) -> None:
        self.images, self._tags = images, tags

    def find(self, image: TIFFImage) -> Mask | None:
        """Return the mask of an image: that of its size, if it says something of one of its bands."""
        for source, mask in self.images:
            if (mask.width, mask.height) == (image.width, image.height):
                planes = tuple(self._find_plane(band, mask.samples) for band in range(image.samples))
                return None if set(planes) == {None} else Mask(source, mask, planes)
        return None

    def _find_plane(self, band: int, samples: int) -> int | None:
        """Plane of a band: none without flags, the first where they say that it is for all bands, else that of its number."""
        text = self._tags.get(f"INTERNAL_MASK_FLAGS_{band + 1}")
        if text is None:
            return None
        found = _INTEGER.match(text)  # 0 where the text is no number, as in C's atoi
        if found is not None and int(found[0]) & _PER_DATASET:
            return 0
        return band if band < samples else None
