"""From pixels and metadata of a raster to the shape that rioxarray users know: shared by the raster formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scichunk.core.arrays import ArraySource
from scichunk.core.files import ArrayVar, Coordinate, Place
from scichunk.raster.affine import Affine6, RotatedAxis, is_rotated, pixel_centres
from scichunk.raster.crs import axis_attrs, grid_mapping
from scichunk.raster.gdal import RasterMetadata

__all__ = ["band_data", "coordinates", "crs_name"]


def band_data(
    source: ArraySource,
    place: Place,
    metadata: RasterMetadata,
    codec: str,
    name: str = "band_data",
    dims: tuple[str, str, str] = ("band", "y", "x"),
) -> ArrayVar:
    """Make a variable of bands, rows and columns.

    Parameters
    ----------
    source
        The pixels.
    place
        Of the array in its file.
    metadata
        Of the raster, one entry a band.
    codec
        How the pixels are encoded, for people.
    name, dims
        What the variable and its dimensions are called.
    """
    bands = source.shape[0]
    attrs: dict[str, Any] = _tag_attrs(metadata, bands)
    cf = [_cf(metadata, band, source.dtype) for band in range(bands)] if len(metadata.nodata) == bands else [{}] * bands
    uniform = all(_same(c, cf[0]) for c in cf)
    if uniform:
        attrs |= cf[0]
    else:
        attrs |= {"nodatavals": metadata.nodata, "scales": metadata.scales, "offsets": metadata.offsets}
        attrs["nodatavals"] = tuple(np.nan if n is None else n for n in metadata.nodata)
    for key, values in (("long_name", metadata.descriptions), ("units", metadata.units)):
        if any(values):
            same = len(set(values)) == 1
            attrs[key] = values[0] if same else tuple(v or "" for v in values)
    if metadata.colorinterp:
        attrs["colorinterp"] = metadata.colorinterp[0] if bands == 1 else metadata.colorinterp
    for band, colors in metadata.colormaps.items():
        attrs["colormap" if bands == 1 else f"colormap_{band}"] = [list(colors[value]) for value in sorted(colors)]
    shared = {} if uniform else {k: v for k, v in cf[0].items() if all(k in c and _same({k: v}, {k: c[k]}) for c in cf)}
    encoding = {**shared, "grid_mapping": "spatial_ref", "reader": source.reader, "codec": codec}
    return ArrayVar(name, dims, place, source, attrs, encoding, () if uniform else tuple(cf))


def coordinates(
    metadata: RasterMetadata,
    transform: Affine6,
    shape: tuple[int, ...],
    dims: tuple[str, str, str] = ("band", "y", "x"),
) -> dict[str, Coordinate]:
    """Coordinates ``band, y, x, spatial_ref`` (or ``yc, xc`` where the raster is rotated).

    Parameters
    ----------
    metadata
        Of the raster.
    transform
        Of these pixels, which may be a reduced image.
    shape
        (bands, rows, columns).
    dims
        What the dimensions are called.
    """
    band, y_name, x_name = dims
    bands, height, width = shape
    coords: dict[str, Coordinate] = {band: Coordinate((band,), np.arange(1, bands + 1))}
    x_attrs, y_attrs = axis_attrs(metadata.crs_wkt)
    if is_rotated(transform):
        coords["xc"] = Coordinate((y_name, x_name), RotatedAxis(transform, (height, width), "x"), x_attrs)
        coords["yc"] = Coordinate((y_name, x_name), RotatedAxis(transform, (height, width), "y"), y_attrs)
    else:
        x, y = pixel_centres(transform, width, height)
        coords[x_name] = Coordinate((x_name,), x, x_attrs)
        coords[y_name] = Coordinate((y_name,), y, y_attrs)
    mapping = grid_mapping(metadata.crs_wkt, transform)
    if metadata.gcps:
        mapping["gcps"] = metadata.gcps
        if metadata.gcps_crs_wkt:
            mapping["gcps_crs_wkt"] = metadata.gcps_crs_wkt
    if metadata.rpcs:
        mapping["rpcs"] = " ".join(f"{k}={v};" for k, v in metadata.rpcs.items())
    coords["spatial_ref"] = Coordinate((), np.array(0), mapping)
    return coords


def crs_name(metadata: RasterMetadata) -> str:
    """Name of the coordinate system, for people."""
    wkt = metadata.crs_wkt
    return wkt.split('"')[1] if wkt.count('"') > 1 else "none"


def _cf(metadata: RasterMetadata, band: int, dtype: np.dtype[Any]) -> dict[str, Any]:
    """CF attributes of one band; a nodata value that the type cannot hold is no fill value."""
    found: dict[str, Any] = {}
    nodata = metadata.nodata[band]
    if nodata is not None:
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                found["_FillValue"] = dtype.type(nodata)
        elif dtype.kind == "c":
            found["_FillValue"] = np.dtype(f"f{dtype.itemsize // 2}").type(nodata)
        elif nodata == nodata and float(nodata).is_integer() and np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max:  # noqa: PLR0124
            found["_FillValue"] = dtype.type(int(nodata))
    if metadata.scales[band] != 1.0:
        found["scale_factor"] = metadata.scales[band]
    if metadata.offsets[band] != 0.0:
        found["add_offset"] = metadata.offsets[band]
    return found


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(v == b[k] or (v != v and b[k] != b[k]) for k, v in a.items())  # noqa: PLR0124


def _tag_attrs(metadata: RasterMetadata, bands: int) -> dict[str, Any]:
    """Tags of the file, and of the bands: one value for one band, tuples for several."""
    attrs: dict[str, Any] = {
        k: v
        for k, v in metadata.tags.items()
        if k not in {"_FillValue", "scale_factor", "add_offset", "units", "long_name"}
    }
    names = dict.fromkeys(k for tags in metadata.band_tags for k in tags)
    for name in names:
        values = tuple(tags.get(name, "") for tags in metadata.band_tags)
        if name not in attrs and name not in {"_FillValue", "scale_factor", "add_offset", "units", "long_name"}:
            attrs[name] = values[0] if bands == 1 else values
    return attrs
