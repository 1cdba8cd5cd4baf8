"""Coordinate reference systems as CF grid mapping attributes (CF conventions, appendix F)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from scichunk.lru import on_clear
from scichunk.raster.affine import Affine6

__all__ = ["axis_attrs", "grid_mapping"]


def grid_mapping(wkt: str, transform: Affine6 | None) -> dict[str, Any]:
    """Attributes of the variable ``spatial_ref``.

    Parameters
    ----------
    wkt
        The reference system; empty for none.
    transform
        Of the raster; written as GDAL's six numbers to ``GeoTransform``.
    """
    attrs: dict[str, Any] = dict(_cf(wkt)) if wkt else {}
    if transform is not None:
        a, b, c, d, e, f = transform
        attrs["GeoTransform"] = " ".join(repr(float(n)) for n in (c, a, b, f, d, e))
    return attrs


def axis_attrs(wkt: str) -> tuple[dict[str, str], dict[str, str]]:
    """Attributes of the x and y coordinates."""
    return _axes(wkt)


@lru_cache(256)
def _cf(wkt: str) -> dict[str, Any]:
    import pyproj
    from pyproj.exceptions import CRSError

    found: dict[str, Any] = {}
    try:
        found = pyproj.CRS.from_wkt(wkt).to_cf()
    except CRSError:
        found = {}  # GDAL knows systems that PROJ's reader refuses; the text itself is kept
    found["crs_wkt"] = wkt
    found["spatial_ref"] = wkt
    return found


@lru_cache(256)
def _axes(wkt: str) -> tuple[dict[str, str], dict[str, str]]:
    x, y = {"axis": "X"}, {"axis": "Y"}
    if not wkt:
        return x, y
    import pyproj
    from pyproj.exceptions import CRSError

    try:
        crs = pyproj.CRS.from_wkt(wkt)
    except CRSError:
        return x, y
    if crs.is_geographic:
        x |= {"long_name": "longitude", "standard_name": "longitude", "units": "degrees_east"}
        y |= {"long_name": "latitude", "standard_name": "latitude", "units": "degrees_north"}
    elif crs.is_projected:
        unit = crs.axis_info[0].unit_name if crs.axis_info else "metre"
        x |= {"long_name": "x coordinate of projection", "standard_name": "projection_x_coordinate", "units": unit}
        y |= {"long_name": "y coordinate of projection", "standard_name": "projection_y_coordinate", "units": unit}
    return x, y


on_clear(_cf.cache_clear)
on_clear(_axes.cache_clear)
