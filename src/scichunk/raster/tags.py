"""GDAL's metadata items as attributes that every storage takes."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import numpy as np

from scichunk.errors import MetadataWarning
from scichunk.raster.gdal import RasterMetadata
from scichunk.warned import warn_caller

__all__ = ["tag_attrs"]

_RESERVED: Final = frozenset({
    "_FillValue", "missing_value", "fill_value", "nodata", "nodatavals", "scale_factor", "add_offset", "scales", "offsets", "units",
    "long_name", "grid_mapping", "coordinates", "dtype", "_Unsigned", "_ARRAY_DIMENSIONS", "_NCProperties", "_Netcdf4Dimid",
    "_Netcdf4Coordinates", "_nc3_strict", "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST",
})  # fmt: skip
"""Names by which xarray, netCDF or Zarr mean something else, or which the variable says itself."""
_MOST_VALUES: Final = 1 << 20
"""Of items of bands: each name has a value for each band, be it empty."""
_LARGEST: Final = (1 << 63) - 1


def tag_attrs(metadata: RasterMetadata, bands: int) -> dict[str, Any]:
    """Return the items of the file, and of the bands: one value for one band, tuples for several.

    Parameters
    ----------
    metadata
        Of the raster.
    bands
        How many bands it has.

    Returns
    -------
    dict
        Numbers, texts, arrays of numbers, or tuples of numbers or of texts; under names that netCDF and Zarr take.

    Warns
    -----
    MetadataWarning
        If names times bands are too many.
    """
    attrs: dict[str, Any] = {}
    for item, text in metadata.tags.items():
        if (name := _attribute_name(item)) not in _RESERVED:
            attrs.setdefault(name, _parse_tag(text))
    names = list(dict.fromkeys(n for tags in metadata.band_tags for n in tags))
    kept = max(1, _MOST_VALUES // max(1, bands))
    if len(names) > kept:
        msg = f"items of {bands} bands left out: of {len(names)} names the first {kept} are kept, which have {_MOST_VALUES} values"
        warn_caller(msg, MetadataWarning)
    for item in names[:kept]:
        values = _make_alike([_parse_tag(tags[item]) if item in tags else "" for tags in metadata.band_tags])
        if (name := _attribute_name(item)) not in _RESERVED:
            attrs[name] = values[0] if bands == 1 else values  # what a band says of itself counts, as for rioxarray
    return attrs


def _attribute_name(name: str) -> str:
    """Name of an attribute: netCDF takes no slash and no control characters."""
    return "".join("_" if c == "/" or not c.isprintable() else c for c in name).strip() or "_"


def _parse_tag(text: str) -> Any:
    """A tag as rioxarray parses it: an integer, else a floating-point number, else an array of such in braces, else the text."""
    if text.startswith("{") and text.endswith("}"):
        try:
            values = [float(v) for v in text.strip("{}").split(",")]
        except ValueError:
            return text
        return np.array(values)
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            number = kind(text)
            return number if isinstance(number, float) or abs(number) <= _LARGEST else text
    return text


def _make_alike(values: list[Any]) -> tuple[Any, ...]:
    """Values of bands that one attribute can hold: all numbers, or all texts."""
    if all(isinstance(v, int | float) for v in values):
        return tuple(values)
    return tuple(v if isinstance(v, str) else str(v) for v in values)
