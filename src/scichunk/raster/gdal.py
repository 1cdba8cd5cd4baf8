"""Georeferencing and meaning of rasters, as rasterio says it: shared by the formats that GDAL reads too."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from scichunk.core.renamed import old_names
from scichunk.errors import MetadataWarning, NotGeoreferencedWarning
from scichunk.quiet import quiet
from scichunk.raster.affine import Affine6
from scichunk.warned import warn_caller

__all__ = ["RasterMetadata", "ask_gdal", "check_placed", "empty_metadata"]

_IDENTITY: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class RasterMetadata:
    """Georeferencing and meaning of a raster, in rasterio's terms; one entry a band where it says so."""

    nodata: tuple[float | None, ...]
    """Integers of 64 bits are exact, where the format can say them."""
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    descriptions: tuple[str | None, ...]
    colorinterp: tuple[str, ...] = ()
    crs_wkt: str = ""
    transform: Affine6 = _IDENTITY
    tags: Mapping[str, str] = field(default_factory=dict)
    band_tags: tuple[Mapping[str, str], ...] = ()
    colormaps: Mapping[int, Mapping[int, tuple[int, int, int, int]]] = field(default_factory=dict)
    """By band number, counted from 1: RGBA by value."""
    dtype: str = ""
    """Type of the first band as GDAL names it, where that says more than NumPy's type: ``complex_int16``."""
    gcps: str = ""
    """Ground control points as GeoJSON, the way rioxarray writes them."""
    gcps_crs_wkt: str = ""
    rpcs: str = ""
    """Rational polynomial coefficients as JSON, the way rioxarray writes them."""


def check_placed(metadata: RasterMetadata, url: str) -> None:
    """Look whether a raster that has a coordinate system also says where it lies.

    Warns
    -----
    NotGeoreferencedWarning
        If it has neither a transform nor control points nor RPC coefficients. Pictures that name no system either are none of a place.
    """
    if metadata.crs_wkt and metadata.transform == _IDENTITY and not metadata.gcps and not metadata.rpcs:
        msg = f"it has a coordinate system, but no transform, control points or RPCs: x and y count pixels [{url}]"
        warn_caller(msg, NotGeoreferencedWarning)


def empty_metadata(bands: int) -> RasterMetadata:
    """Return metadata that say nothing of some bands."""
    return RasterMetadata(
        (None,) * bands,
        (1.0,) * bands,
        (0.0,) * bands,
        (None,) * bands,
        (None,) * bands,
        tags={"AREA_OR_POINT": "Area"},
    )


__getattr__ = old_names(__name__, {"nothing": "empty_metadata"})


def ask_gdal(
    driver: str, stub: bytes, name: str = "", beside: Mapping[str, bytes] = MappingProxyType({})
) -> RasterMetadata | None:
    """Let GDAL interpret the stub of a file; None if it refuses it as a whole.

    GDAL is never given the folder of a file: it opens whatever lies there under names that it knows, and would wait for ever for a
    pipe among them.

    Parameters
    ----------
    driver
        Name of GDAL's driver.
    stub
        The file without its pixels.
    name
        What the file is called, by which GDAL finds what lies beside it.
    beside
        Content of files beside it, by name.

    Warns
    -----
    MetadataWarning
        If it refuses the stub, or for what it cannot give: the pixels are served without that.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.io import MemoryFile

    folder = uuid.uuid4().hex
    try:
        # Many images are no maps.
        with quiet(NotGeoreferencedWarning), contextlib.ExitStack() as opened:
            for other, content in beside.items():
                opened.enter_context(MemoryFile(content, dirname=folder, filename=_as_utf8(other)))
            memory = opened.enter_context(MemoryFile(stub, dirname=folder, filename=_as_utf8(name) or "stub"))
            with memory.open(driver=driver) as dataset:
                return _collect_metadata(dataset)
    except (RasterioError, CPLE_BaseError, ValueError) as error:  # ValueError: texts in no known encoding
        warn_caller(f"metadata left out, GDAL refuses them: {error}", MetadataWarning)
        return None


def _as_utf8(name: str) -> str:
    """A name that GDAL takes, whatever bytes it has on the disk."""
    return name.encode("utf-8", "replace").decode()


def _collect_metadata(ds: Any) -> RasterMetadata:  # rasterio has no types
    """Return what an opened rasterio dataset says of itself.

    Warns
    -----
    MetadataWarning
        For what GDAL cannot give.
    """
    n = ds.count
    crs = _get_or_warn("coordinate system", lambda: ds.crs, None)
    gcps, gcps_crs = _get_or_warn("ground control points", lambda: ds.gcps, ([], None))
    rpcs = _get_or_warn("RPCs", lambda: ds.rpcs, None)
    if rpcs and not crs and not gcps:
        from rasterio.crs import CRS

        crs = CRS.from_epsg(4326)  # the coefficients are of longitude and latitude in WGS 84, as in rioxarray
    colormaps = {}
    interpretations = _get_or_warn("colour interpretation", lambda: tuple(c.name for c in ds.colorinterp), ())
    for band, name in enumerate(interpretations, 1):
        if name == "palette" and (colors := _get_or_warn("colour map", partial(ds.colormap, band), None)):
            colormaps[band] = colors
    return RasterMetadata(
        nodata=_get_or_warn("nodata", lambda: tuple(ds.nodatavals), (None,) * n),
        scales=_get_or_warn("scales", lambda: tuple(float(s) for s in ds.scales), (1.0,) * n),
        offsets=_get_or_warn("offsets", lambda: tuple(float(o) for o in ds.offsets), (0.0,) * n),
        units=_get_or_warn("units", lambda: tuple(ds.units), (None,) * n),
        descriptions=_get_or_warn("descriptions", lambda: tuple(ds.descriptions), (None,) * n),
        colorinterp=interpretations,
        crs_wkt=_get_or_warn("coordinate system", crs.to_wkt, "") if crs else "",
        transform=_get_or_warn("transform", lambda: tuple(float(v) for v in tuple(ds.transform)[:6]), _IDENTITY),
        tags=_get_or_warn("tags", lambda: dict(ds.tags()), {}),
        band_tags=_get_or_warn("band tags", lambda: _band_tags(ds), ()),
        colormaps=colormaps,
        dtype=str(ds.dtypes[0]) if n else "",
        gcps=_gcps_to_geojson(gcps) if gcps else "",
        gcps_crs_wkt=_get_or_warn("coordinate system of the ground control points", gcps_crs.to_wkt, "")
        if gcps and gcps_crs
        else "",
        rpcs=_get_or_warn("rpcs", lambda: json.dumps(rpcs.to_dict()), "") if rpcs else "",
    )


def _band_tags(ds: Any) -> tuple[dict[str, str], ...]:
    nothing: dict[str, str] = {}  # of most bands, of which there may be 65,535
    return tuple(dict(ds.tags(band)) or nothing for band in range(1, ds.count + 1))


def _get_or_warn(name: str, get: Callable[[], Any], default: Any) -> Any:
    """One attribute of a dataset; what GDAL cannot give (a tag in no known encoding, ...) is left out, and said."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        return get()
    except (RasterioError, CPLE_BaseError, ValueError, LookupError, TypeError, OverflowError) as error:
        warn_caller(f"{name} left out, GDAL cannot give it: {error}", MetadataWarning)
        return default


def _gcps_to_geojson(gcps: list[Any]) -> str:
    features = [
        {
            "type": "Feature",
            "properties": {"id": g.id, "info": g.info, "row": g.row, "col": g.col},
            "geometry": {"type": "Point", "coordinates": [g.x, g.y] if g.z is None else [g.x, g.y, g.z]},
        }
        for g in gcps
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})
