"""From pixels and metadata of a raster to the shape that rioxarray users know: shared by the raster formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from scichunk.core.arrays import ArraySource
from scichunk.core.files import ArrayId, ArrayVar, Coordinate
from scichunk.core.layout import Grid, Layout
from scichunk.raster.affine import Affine6, RotatedAxis, is_rotated, pixel_centres
from scichunk.raster.cf import Decoding, decoded_dtype, step_from
from scichunk.raster.crs import CRSValue, axis_attrs, grid_mapping
from scichunk.raster.gdal import RasterMetadata
from scichunk.raster.masked import BandMasksArray, MaskedArray, NodataValuesArray
from scichunk.raster.points import is_placed_by_points
from scichunk.raster.tags import tag_attrs

__all__ = [
    "DEFAULT_NAMING",
    "Masked",
    "Naming",
    "band_data",
    "coordinates",
    "crs_name",
    "is_masked",
    "masked_source",
    "raster_layout",
]

_CF_KEYS: Final = ("_FillValue", "scale_factor", "add_offset", "scales", "offsets", "nodatavals", "band_nodata")


@dataclass(frozen=True, slots=True)
class Naming:
    """What a variable and its dimensions are called."""

    variable: str
    dims: tuple[str, str, str]


DEFAULT_NAMING: Final = Naming("band_data", ("band", "y", "x"))
"""The names that rioxarray users know."""


@dataclass(frozen=True, slots=True)
class Masked:
    """Where a raster says by a mask or an alpha band that there is no data."""

    array_id: ArrayId
    """Of the decoded array with NaN there."""
    source: ArraySource


def alpha_band(metadata: RasterMetadata, bands: int, dtype: np.dtype[Any]) -> int | None:
    """Position of an alpha band that GDAL lets count: the second of two, or the fourth of four, where no band has nodata.

    It must be of unsigned integers of 8 or 16 bits; of other types GDAL takes all pixels for valid (``GDALRasterBand::GetMaskFlags``).
    """
    if (
        dtype.str[1:] not in {"u1", "u2"}
        or bands not in {2, 4}
        or len(metadata.colorinterp) != bands
        or metadata.colorinterp[-1] != "alpha"
    ):
        return None
    return bands - 1 if all(n is None for n in metadata.nodata[: bands - 1]) else None


def nodata_values(metadata: RasterMetadata, bands: int) -> tuple[float, ...] | None:
    """Values of GDAL's metadata item NODATA_VALUES, by which a pixel is empty where all bands have theirs."""
    try:
        found = tuple(float(v) for v in metadata.tags.get("NODATA_VALUES", "").split())
    except ValueError:
        return None
    return found if bands and len(found) == bands else None


def is_masked(metadata: RasterMetadata, bands: int, dtype: np.dtype[Any]) -> bool:
    """Whether something else than nodata says where a raster has no data, a mask aside."""
    return alpha_band(metadata, bands, dtype) is not None or nodata_values(metadata, bands) is not None


def masked_source(pixels: ArraySource, metadata: RasterMetadata, mask: ArraySource | None = None) -> MaskedArray:
    """Make the decoded array of a raster with a mask, which takes the place of nodata, or with an alpha band."""
    bands, alpha = pixels.shape[0], None
    values = nodata_values(metadata, bands)
    if mask is None and values is not None:
        mask = NodataValuesArray(pixels, values)
    if mask is None:
        alpha = alpha_band(metadata, bands, pixels.dtype)
    # Without either nodata counts, since the file lies among others that have a mask; and in bands of which the mask says nothing.
    known = mask.covered if isinstance(mask, BandMasksArray) else (mask is not None or alpha is not None,) * bands
    cf = _cf_of_bands(metadata, bands, pixels.dtype)
    plain = [{n: v for n, v in c.items() if not (k and n == "_FillValue")} for c, k in zip(cf, known, strict=True)]
    steps = tuple(step_from(c, decoded_dtype(pixels.dtype, c)) for c in plain)
    dtype = np.result_type(*(s.dtype for s in steps))
    uniform = all(s == steps[0] for s in steps)
    return MaskedArray(pixels, Decoding(dtype.str, steps[:1] if uniform else steps), mask, alpha)


def band_data(
    source: ArraySource,
    array_id: ArrayId,
    metadata: RasterMetadata,
    codec: str,
    naming: Naming = DEFAULT_NAMING,
    *,
    masked: Masked | None = None,
) -> ArrayVar:
    """Make a variable of bands, rows and columns.

    Parameters
    ----------
    source
        The pixels.
    array_id
        Of the array in its file.
    metadata
        Of the raster, one entry a band.
    codec
        How the pixels are encoded, for people.
    naming
        What the variable and its dimensions are called.
    masked
        The decoded pixels with NaN where a mask or an alpha band says so, if there is one.
    """
    bands = source.shape[0]
    attrs: dict[str, Any] = tag_attrs(metadata, bands)
    cf = _cf_of_bands(metadata, bands, source.dtype)
    uniform = all(_are_equal(c, cf[0]) for c in cf)
    if uniform:
        attrs |= cf[0]
    else:  # the value that bands share may be masked; a scale without its offset would be wrong
        fill = {
            k: v
            for k, v in cf[0].items()
            if k == "_FillValue" and all(k in c and _are_equal({k: v}, {k: c[k]}) for c in cf)
        }
        attrs |= fill | _differing_attributes(metadata)
    for key, values in (("long_name", metadata.descriptions), ("units", metadata.units)):
        if any(values):
            same = len(set(values)) == 1
            attrs[key] = values[0] if same else tuple(v or "" for v in values)
    if metadata.colorinterp:
        attrs["colorinterp"] = metadata.colorinterp[0] if bands == 1 else metadata.colorinterp
    for band, colors in metadata.colormaps.items():  # as JSON text: netCDF has no attributes of two dimensions
        table = json.dumps([list(colors[value]) for value in sorted(colors)])
        attrs["colormap" if bands == 1 else f"colormap_{band}"] = table
    encoding: dict[str, Any] = {"grid_mapping": "spatial_ref", "reader": source.reader, "codec": codec}
    complex_integers = metadata.dtype.startswith("complex_int")  # NumPy has none, but rioxarray writes them again
    encoding["rasterio_dtype"] = metadata.dtype if complex_integers else str(source.dtype)
    plain = ArrayVar(naming.variable, naming.dims, array_id, source, attrs, encoding, () if uniform else tuple(cf))
    if masked is None:
        return plain
    left = {k: v for k, v in attrs.items() if k not in _CF_KEYS}
    if any(
        "_FillValue" in c for c in cf
    ):  # what the file declares says nothing of decoded values, in which NaN is missing
        encoding = encoding | {"_FillValue": np.dtype(masked.source.dtype).type(np.nan)}
    return ArrayVar(naming.variable, naming.dims, masked.array_id, masked.source, left, encoding, raw=plain)


def _differing_attributes(metadata: RasterMetadata) -> dict[str, Any]:
    """Scales, offsets and nodata of bands that differ in them, as tuples.

    rioxarray takes the first of ``nodatavals`` for that of all bands, so they have another name where the first band has none.
    """
    found: dict[str, Any] = {}
    if any(s != 1 for s in metadata.scales) or any(o != 0 for o in metadata.offsets):
        found |= {"scales": metadata.scales, "offsets": metadata.offsets}
    if any(n is not None for n in metadata.nodata):
        name = "band_nodata" if metadata.nodata[0] is None else "nodatavals"
        found[name] = tuple(np.nan if n is None else n for n in metadata.nodata)
    return found


def _cf_of_bands(metadata: RasterMetadata, bands: int, dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    if len(metadata.nodata) != bands:
        return [{} for _ in range(bands)]
    return [_band_attributes(metadata, band, dtype) for band in range(bands)]


def coordinates(
    metadata: RasterMetadata,
    transform: Affine6,
    shape: tuple[int, ...],
    naming: Naming = DEFAULT_NAMING,
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
    naming
        What the dimensions are called.
    """
    band, y_name, x_name = naming.dims
    bands, height, width = shape
    coords: dict[str, Coordinate] = {band: Coordinate((band,), np.arange(1, bands + 1))}
    wkt = metadata.crs_wkt or metadata.gcps_crs_wkt
    x_attrs, y_attrs = axis_attrs(wkt)
    if is_placed_by_points(metadata):
        pass  # pixels lie where the control points say: numbers of columns and rows would look like coordinates
    elif is_rotated(transform):
        coords["xc"] = Coordinate((y_name, x_name), RotatedAxis(transform, (height, width), "x"), x_attrs)
        coords["yc"] = Coordinate((y_name, x_name), RotatedAxis(transform, (height, width), "y"), y_attrs)
    else:
        x, y = pixel_centres(transform, width, height)
        coords[x_name] = Coordinate((x_name,), x, x_attrs)
        coords[y_name] = Coordinate((y_name,), y, y_attrs)
    mapping = grid_mapping(wkt, transform)
    if metadata.gcps:
        mapping["gcps"] = metadata.gcps
        if metadata.gcps_crs_wkt:
            mapping["gcps_crs_wkt"] = metadata.gcps_crs_wkt
    if metadata.rpcs:
        mapping["rpcs"] = metadata.rpcs
    coords["spatial_ref"] = Coordinate((), np.array(0), mapping)
    return coords


def raster_layout(source: ArraySource, metadata: RasterMetadata, transform: Affine6) -> Layout:
    """What must agree for rasters of several files to be stacked.

    Parameters
    ----------
    source
        The pixels, with axes (band, y, x).
    metadata
        Of the raster, one entry a band.
    transform
        Of these pixels, which may be a reduced image.
    """
    bands, height, width = source.shape
    cf = (
        [_band_attributes(metadata, band, source.dtype) for band in range(bands)]
        if len(metadata.nodata) == bands
        else []
    )
    meaning = {
        "coordinate system": CRSValue(metadata.crs_wkt),
        "nodata": [c.get("_FillValue") for c in cf],
        "scale and offset": [(c.get("scale_factor"), c.get("add_offset")) for c in cf],
        "units": metadata.units,
        "ground control points": metadata.gcps,
        "RPCs": metadata.rpcs,
    }
    fills = {c.get("_FillValue") for c in cf}
    fill = fills.pop() if len(fills) == 1 else None
    return Layout(source.shape, str(source.dtype), Grid(transform, width, height), meaning, fill=fill)


def crs_name(metadata: RasterMetadata) -> str:
    """Name of the coordinate system, for people."""
    wkt = metadata.crs_wkt
    return wkt.split('"')[1] if wkt.count('"') > 1 else "none"


def _band_attributes(metadata: RasterMetadata, band: int, dtype: np.dtype[Any]) -> dict[str, Any]:
    """CF attributes of one band; a nodata value beyond the type is no fill value."""
    found: dict[str, Any] = {}
    nodata = metadata.nodata[band]
    if nodata is not None:
        if dtype.kind in "fc":  # of complex numbers a complex one, since Zarr takes no other
            with np.errstate(over="ignore"):
                found["_FillValue"] = dtype.type(nodata)
        elif np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max:  # which NaN is not
            found["_FillValue"] = dtype.type(int(nodata))  # without its fraction, as GDAL compares it
    scale, offset = metadata.scales[band], metadata.offsets[band]
    if scale != 1.0 or offset != 0.0:
        if dtype.itemsize <= (
            4 if dtype.kind == "f" else 2 if dtype.kind in "iu" else 0
        ):  # both in single precision make xarray decode to float32
            found |= {"scale_factor": np.float32(scale), "add_offset": np.float32(offset)}
        else:
            found |= {"scale_factor": scale} if scale != 1.0 else {}
            found |= {"add_offset": offset} if offset != 0.0 else {}
    return found


def _are_equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(v == b[k] or (v != v and b[k] != b[k]) for k, v in a.items())  # noqa: PLR0124
