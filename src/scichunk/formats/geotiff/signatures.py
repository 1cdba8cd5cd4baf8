"""What tells files of a stack apart at little cost: bytes of the tags that say where pixels lie and what they mean."""

from __future__ import annotations

import re
from typing import Final

from scichunk.formats.geotiff.structure import TIFFImage
from scichunk.formats.geotiff.stub import choose_tags

__all__ = ["sign_image"]

_ALIGNED: Final = (338, 33550, 33922, 34264, 34735, 34736, 34737, 42113, 50844)
"""ExtraSamples, ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GeoDoubleParams, GeoAsciiParams, GDAL_NODATA,
RPCs."""
_PLAIN_ITEM: Final = re.compile(
    rb"<Item name=\"(?!NODATA_VALUES\")[^\"<>&]*\"(?: sample=\"\d{1,9}\")?(?: role=\"description\")?"
    rb"(?: domain=\"[^\"<>&]*\")?>[^<>]*</Item>\s*"
)
"""An item of GDAL's XML that is written as GDAL writes it and has no role but that of a description: it changes no value."""


def sign_image(image: TIFFImage, full: TIFFImage) -> list[object]:
    """Collect what images must have in common so that their layouts need not be compared.

    Parameters
    ----------
    image, full
        A page or a reduced image, and the page that it belongs to.
    """
    d = full.directory
    found: list[object] = [image.samples, image.height, image.width, image.bits, image.sample_format, d.order]
    found += [full.height, full.width]  # of which the pixels of a reduced image have their size
    given = choose_tags(d)[0]
    found += [d.raw_bytes(code) if code in given else None for code in _ALIGNED]
    # Of GDAL's XML only what may change values, however it is written: statistics and dates differ between files that belong together.
    found.append(_PLAIN_ITEM.sub(b"", d.raw_bytes(42112)) if 42112 in given else None)
    return found
