"""Coordinate reference systems as CF grid mapping attributes (CF conventions, appendix F)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scichunk.lru import LRU, memory_of
from scichunk.raster.affine import Affine6

__all__ = ["CRSValue", "axis_attrs", "grid_mapping"]


def grid_mapping(wkt: str, transform: Affine6 | None) -> dict[str, Any]:
    """Attributes of the variable ``spatial_ref``.

    Parameters
    ----------
    wkt
        The reference system; empty for none.
    transform
        Of the raster; written as GDAL's six numbers to ``GeoTransform``.
    """
    attrs: dict[str, Any] = dict(_ask_once(_crs_attributes, wkt)) if wkt else {}
    if transform is not None:
        a, b, c, d, e, f = transform
        attrs["GeoTransform"] = " ".join(repr(float(n)) for n in (c, a, b, f, d, e))
    return attrs


@dataclass(frozen=True, slots=True, eq=False)
class CRSValue:
    """A reference system that equals another one if PROJ takes them for the same, however they are written."""

    wkt: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CRSValue) and (
            self.wkt == other.wkt or bool(_ask_once(_same_system, self.wkt, other.wkt))
        )

    def __hash__(self) -> int:
        return hash(bool(self.wkt))

    def __repr__(self) -> str:
        return self.wkt.split('"')[1] if self.wkt.count('"') > 1 else "none"


_known: LRU[Any] = LRU(
    lambda: 1 << 24, memory_of, weigh_key=memory_of, most=lambda: 512, name="coordinate reference systems"
)
"""What PROJ says of the texts of systems, by the function that asks it and the texts."""


def _ask_once(ask: Callable[..., Any], *texts: str) -> Any:
    found = _known.get((ask, *texts))
    return _known.put((ask, *texts), ask(*texts)) if found is None else found


def _same_system(one: str, other: str) -> bool:
    if not one or not other:
        return False
    import pyproj
    from pyproj.exceptions import CRSError

    try:
        return bool(pyproj.CRS.from_wkt(one).equals(pyproj.CRS.from_wkt(other), ignore_axis_order=True))
    except CRSError:  # GDAL knows systems that PROJ's reader refuses: of those only equal texts are the same
        return False


def axis_attrs(wkt: str) -> tuple[dict[str, str], dict[str, str]]:
    """Attributes of the x and y coordinates."""
    found: tuple[dict[str, str], dict[str, str]] = _ask_once(_axis_attributes, wkt)
    return found


def _crs_attributes(wkt: str) -> dict[str, Any]:
    import pyproj
    from pyproj.exceptions import CRSError

    found: dict[str, Any] = {}
    try:
        found = pyproj.CRS.from_wkt(wkt).to_cf()
    except (CRSError, KeyError):
        # GDAL knows systems that PROJ's reader refuses, and pyproj looks for parameters of projections that a system may leave
        # out, as those that are 0: the text itself is kept.
        found = {}
    found["crs_wkt"] = wkt
    found["spatial_ref"] = wkt
    return found


def _axis_attributes(wkt: str) -> tuple[dict[str, str], dict[str, str]]:
    """Derive CF attributes of x and y from the axes of a coordinate system."""
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
