"""What rasterio says of a raster, as plain values."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np

from scichunk.errors import MetadataWarning
from scichunk.formats.geotiff.structure import Image
from scichunk.formats.geotiff.stub import TELLING, make_stub
from scichunk.metadata.affine import Affine6
from scichunk.sources.cache import LRU

__all__ = ["RasterMetadata", "fill_value", "read_metadata", "sidecars"]

_SIDECARS: Final = (".aux.xml", ".AUX.XML", ".msk", ".ovr")
_STEM_SIDECARS: Final = (
    ".aux.xml",
    ".tfw",
    ".TFW",
    ".tifw",
    ".tiffw",
    ".wld",
    ".tab",
    ".TAB",
    ".rpb",
    ".RPB",
    "_RPC.TXT",
    "_rpc.txt",
    ".IMD",
)
_IDENTITY: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class RasterMetadata:
    """Georeferencing and meaning of a raster, in rasterio's terms; one entry a band where it says so."""

    nodata: tuple[float | None, ...]
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
    gcps: str = ""
    """Ground control points as GeoJSON, the way rioxarray writes them."""
    gcps_crs_wkt: str = ""
    rpcs: Mapping[str, str] = field(default_factory=dict)


_known: LRU[RasterMetadata] = LRU(lambda: 256)


def sidecars(path: str) -> list[str]:
    """Files beside a local one that GDAL would read with it."""
    stem = os.path.splitext(path)[0]  # plain strings: this is on the way of every open
    names = [path + s for s in _SIDECARS] + [stem + s for s in _STEM_SIDECARS]
    return [n for n in dict.fromkeys(names) if os.path.exists(n)]


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
        found = _ask_gdal(path, None)
        if found is not None:
            return found
    if not TELLING.intersection(image.directory.tags):
        return _nothing(image)
    stub = make_stub(image)
    key = (stub,)
    known = _known.get(key)
    if known is None:
        known = _known.put(key, _ask_gdal(None, stub) or _nothing(image))
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


def _nothing(image: Image) -> RasterMetadata:
    n = image.samples
    return RasterMetadata((None,) * n, (1.0,) * n, (0.0,) * n, (None,) * n, (None,) * n, tags={"AREA_OR_POINT": "Area"})


def _ask_gdal(path: str | None, stub: bytes | None) -> RasterMetadata | None:
    import rasterio
    from rasterio.errors import RasterioError, RasterioIOError
    from rasterio.io import MemoryFile

    try:
        if path is not None:
            with rasterio.open(path, driver="GTiff") as dataset:
                return _collect(dataset)
        with MemoryFile(stub, ext=".tif") as memory, memory.open(driver="GTiff") as dataset:
            return _collect(dataset)
    except (RasterioError, RasterioIOError):  # tags that GDAL refuses as a whole: the pixels are served without them
        return None


def _collect(ds: Any) -> RasterMetadata:  # rasterio has no types
    n = ds.count
    crs = _try("coordinate system", lambda: ds.crs, None)
    gcps, gcps_crs = _try("ground control points", lambda: ds.gcps, ([], None))
    colormaps = {}
    interpretations = _try("colour interpretation", lambda: tuple(c.name for c in ds.colorinterp), ())
    for band, name in enumerate(interpretations, 1):
        if name == "palette" and (colors := _try("colour map", partial(ds.colormap, band), None)):
            colormaps[band] = colors
    rpcs = _try("RPCs", lambda: ds.rpcs, None)
    return RasterMetadata(
        nodata=_try("nodata", lambda: tuple(ds.nodatavals), (None,) * n),
        scales=_try("scales", lambda: tuple(float(s) for s in ds.scales), (1.0,) * n),
        offsets=_try("offsets", lambda: tuple(float(o) for o in ds.offsets), (0.0,) * n),
        units=_try("units", lambda: tuple(ds.units), (None,) * n),
        descriptions=_try("descriptions", lambda: tuple(ds.descriptions), (None,) * n),
        colorinterp=interpretations,
        crs_wkt=_try("coordinate system", crs.to_wkt, "") if crs else "",
        transform=_try("transform", lambda: tuple(float(v) for v in tuple(ds.transform)[:6]), _IDENTITY),
        tags=_try("tags", lambda: dict(ds.tags()), {}),
        band_tags=_try("band tags", lambda: tuple(dict(ds.tags(b)) for b in range(1, n + 1)), ()),
        colormaps=colormaps,
        gcps=_geojson(gcps) if gcps else "",
        gcps_crs_wkt=_try("coordinate system of the ground control points", gcps_crs.to_wkt, "")
        if gcps and gcps_crs
        else "",
        rpcs=_try("rpcs", lambda: dict(rpcs.to_gdal()), {}) if rpcs else {},
    )


def _try(name: str, get: Callable[[], Any], default: Any) -> Any:
    """One attribute of a dataset; what GDAL cannot give (a tag in no known encoding, ...) is left out, and said."""
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        return get()
    except (RasterioError, CPLE_BaseError, ValueError, KeyError, TypeError, OverflowError) as error:
        warnings.warn(f"{name} left out, GDAL cannot give it: {error}", MetadataWarning, stacklevel=2)
        return default


def _geojson(gcps: list[Any]) -> str:
    features = [
        {
            "type": "Feature",
            "properties": {"id": str(g.id), "info": str(g.info), "row": float(g.row), "col": float(g.col)},
            "geometry": {"type": "Point", "coordinates": [float(g.x), float(g.y), float(g.z or 0.0)]},
        }
        for g in gcps
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})
