"""What rasterio says of a raster, as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from scichunk.formats.geotiff.structure import Image
from scichunk.formats.geotiff.stub import TELLING, make_stub
from scichunk.lru import LRU
from scichunk.raster.gdal import RasterMetadata, ask_gdal, empty_metadata

__all__ = ["fill_value", "read_metadata"]

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
        return empty_metadata(image.samples)
    stub = make_stub(image)
    key = (stub,)
    known = _known.get(key)
    if known is None:
        known = _known.put(key, ask_gdal("GTiff", stub) or empty_metadata(image.samples))
    return known


def fill_value(image: Image, dtype: np.dtype[Any]) -> int | float | complex:
    """Value of absent tiles: nodata (tag 42113) clamped to the type, as GDAL fills them, else 0."""
    text = image.directory.text(42113).strip().replace(",", ".")
    if not text:
        return 0
    try:
        number: float = int(text) if dtype.kind in "iu" and text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return 0
    if dtype.kind in "fc":
        return float(number)
    if number != number:  # noqa: PLR0124  # NaN in integers
        return 0
    limits = np.iinfo(dtype)
    return (
        int(min(max(number, limits.min), limits.max))
        if abs(number) != float("inf")
        else int(limits.max if number > 0 else limits.min)
    )
