"""What tells images apart at little cost: bytes of the tags that say where pixels lie, what they mean, and how they are decoded."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from scichunk.errors import FormatError
from scichunk.formats.geotiff.ifd import LAYOUT
from scichunk.formats.geotiff.structure import TIFFImage
from scichunk.formats.geotiff.stub import choose_tags

__all__ = ["sign_decoding", "sign_image"]

_ALIGNED: Final = (338, 33550, 33922, 34264, 34735, 34736, 34737, 42113, 50844)
"""ExtraSamples, ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GeoDoubleParams, GeoAsciiParams, GDAL_NODATA,
RPCs."""
_PLAIN_ITEM: Final = re.compile(
    rb"<Item name=\"(?!NODATA_VALUES\")[^\"<>&]*\"(?: sample=\"\d{1,9}\")?(?: role=\"description\")?"
    rb"(?: domain=\"(?!(?i:rpc)\")[^\"<>&]*\")?>[^<>]*</Item>\s*"
)
"""An item of GDAL's XML that is written as GDAL writes it, has no role but that of a description and is none of RPCs: it changes no
value, and places no pixel."""
_DECODING: Final = (
    338,
    42112,
    *sorted(LAYOUT - {254, 255, 273, 279, 288, 289, 297, 324, 325, 330, 513, 514, 34665, 34853, 40965}),
)
"""Tags by which GDAL chooses type, shape and colours: places and numbers of pages are not among them."""
_MOST_BYTES: Final = 1 << 20
"""Of the values of such a tag; images with longer ones equal none."""


def sign_decoding(image: TIFFImage) -> tuple[object, ...] | None:
    """Collect what images have in common that GDAL decodes to one type, shape and set of colours; None where that is unknown."""
    d, found = image.directory, list[object]([image.directory.order])
    for code in _DECODING:
        tag = d.tags.get(code)
        if tag is None:
            continue
        if tag.nbytes > _MOST_BYTES:
            return None
        try:
            value = tag.entry if tag.nbytes <= d.room else blake2b(d.raw_bytes(code), digest_size=16).digest()
        except FormatError:  # the values lie outside of the file: GDAL says what it makes of that
            return None
        found.append((code, tag.type, tag.count, value))
    return tuple(found)


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
