"""What rasterio says of a raster, as plain values."""

from __future__ import annotations

import math
import re
from typing import Any, Final

import numpy as np

from scichunk.formats.geotiff.structure import Image
from scichunk.formats.geotiff.stub import TELLING, make_stub
from scichunk.lru import LRU
from scichunk.raster.gdal import RasterMetadata, ask_gdal, nothing

__all__ = ["fill_value", "read_metadata"]

_NUMBER: Final = re.compile(r"[+-]?(\d{1,400}(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?inf|nan", re.ASCII | re.IGNORECASE)
"""What GDAL takes of the text of nodata: the number that it begins with (CPLAtof)."""
_known: LRU[RasterMetadata] = LRU(lambda: 256)


def read_metadata(image: Image, path: str | None) -> RasterMetadata:
    """Let GDAL interpret the tags of a directory.

    Parameters
    ----------
    image
        The directory.
    path
        A local file that has files beside it: opened itself, so that they count.
    """
    if path is not None:
        found = ask_gdal("GTiff", path)
        if found is not None:
            return found
    if not TELLING.intersection(image.directory.tags):
        return nothing(image.samples)
    stub = make_stub(image)
    key = (stub,)
    known = _known.get(key)
    if known is None:
        known = _known.put(key, ask_gdal("GTiff", stub) or nothing(image.samples))
    return known


def fill_value(image: Image, dtype: np.dtype[Any]) -> int | float | complex:
    """Value of absent tiles: nodata (tag 42113) clamped to the type, as GDAL fills them, else 0."""
    found = _NUMBER.match(image.directory.text(42113).strip().replace(",", "."))
    if found is None:
        return 0
    text = found[0]
    number: float = int(text) if dtype.kind in "iu" and text.lstrip("+-").isdigit() else float(text)
    if dtype.kind in "fc":
        return float(number)
    if number != number:  # noqa: PLR0124  # NaN in integers
        return 0
    limits = np.iinfo(dtype)
    if abs(number) == math.inf:
        return int(limits.max if number > 0 else limits.min)
    nearest = (
        number if isinstance(number, int) else math.trunc(number + math.copysign(0.5, number))
    )  # halves away from 0
    return int(min(max(nearest, limits.min), limits.max))
