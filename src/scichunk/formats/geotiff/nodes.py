"""From structure and metadata to the shape that rioxarray users know: variables, coordinates, attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scichunk.errors import ScichunkError
from scichunk.formats.geotiff.metadata import RasterMetadata
from scichunk.formats.geotiff.structure import Image
from scichunk.metadata.affine import RotatedAxis, is_rotated, pixel_centres, scaled
from scichunk.metadata.crs import axis_attrs, grid_mapping
from scichunk.model import ArrayInfo, ArrayVar, Coordinate, Node, Place
from scichunk.reading import ArraySource, IndexedArray

if TYPE_CHECKING:
    from scichunk.formats.geotiff.open import GeoTIFFFile

__all__ = ["band_data", "build", "describe"]


def band_data(source: ArraySource, place: Place, metadata: RasterMetadata, image: Image) -> ArrayVar:
    """Make the variable ``band_data(band, y, x)``."""
    bands = source.shape[0]
    attrs: dict[str, Any] = _tag_attrs(metadata, bands)
    cf = [_cf(metadata, band, source.dtype) for band in range(bands)] if len(metadata.nodata) == bands else [{}] * bands
    uniform = all(_same(c, cf[0]) for c in cf)
    if uniform:
        attrs |= cf[0]
    else:
        attrs |= {"nodatavals": metadata.nodata, "scales": metadata.scales, "offsets": metadata.offsets}
        attrs["nodatavals"] = tuple(np.nan if n is None else n for n in metadata.nodata)
    for name, values in (("long_name", metadata.descriptions), ("units", metadata.units)):
        if any(values):
            same = len(set(values)) == 1
            attrs[name] = values[0] if same else tuple(v or "" for v in values)
    if metadata.colorinterp:
        attrs["colorinterp"] = metadata.colorinterp[0] if bands == 1 else metadata.colorinterp
    for band, colors in metadata.colormaps.items():
        name = "colormap" if bands == 1 else f"colormap_{band}"
        attrs[name] = [list(colors[value]) for value in sorted(colors)]
    shared = {} if uniform else {k: v for k, v in cf[0].items() if all(k in c and _same({k: v}, {k: c[k]}) for c in cf)}
    encoding = {**shared, "grid_mapping": "spatial_ref", "reader": source.reader, "codec": codec_name(source, image)}
    return ArrayVar("band_data", ("band", "y", "x"), place, source, attrs, encoding, () if uniform else tuple(cf))


def build(
    variables: Sequence[ArrayVar], metadata: RasterMetadata, image: Image, full: Image, shape: tuple[int, ...]
) -> Node:
    """Add the coordinates ``band, y, x, spatial_ref`` (or ``yc, xc`` where the raster is rotated)."""
    transform = metadata.transform
    if image is not full:
        transform = scaled(transform, full.width / image.width, full.height / image.height)
    coords: dict[str, Coordinate] = {"band": Coordinate(("band",), np.arange(1, shape[0] + 1))}
    x_attrs, y_attrs = axis_attrs(metadata.crs_wkt)
    if is_rotated(transform):
        size = (image.height, image.width)
        coords["xc"] = Coordinate(("y", "x"), RotatedAxis(transform, size, "x"), x_attrs)
        coords["yc"] = Coordinate(("y", "x"), RotatedAxis(transform, size, "y"), y_attrs)
    else:
        x, y = pixel_centres(transform, image.width, image.height)
        coords["x"] = Coordinate(("x",), x, x_attrs)
        coords["y"] = Coordinate(("y",), y, y_attrs)
    mapping = grid_mapping(metadata.crs_wkt, transform)
    if metadata.gcps:
        mapping["gcps"] = metadata.gcps
        if metadata.gcps_crs_wkt:
            mapping["gcps_crs_wkt"] = metadata.gcps_crs_wkt
    if metadata.rpcs:
        mapping["rpcs"] = " ".join(f"{k}={v};" for k, v in metadata.rpcs.items())
    coords["spatial_ref"] = Coordinate((), np.array(0), mapping)
    return Node(tuple(variables), coords)


def codec_name(source: ArraySource, image: Image) -> str:
    """How the pixels are encoded, for people."""
    if isinstance(source, IndexedArray):
        return source.index.codec.name
    known = {1: "uncompressed", 2: "CCITT RLE", 3: "CCITT T.4", 4: "CCITT T.6", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "DEFLATE",
             32946: "DEFLATE", 32773: "PACKBITS", 34925: "LZMA", 50000: "ZSTD", 50001: "WEBP"}  # fmt: skip
    return known.get(image.compression, f"compression {image.compression}")


def describe(file: GeoTIFFFile) -> list[ArrayInfo]:
    """Describe the arrays of all groups; one that cannot be read says why."""
    found = []
    for group in file.groups():
        page, level = file.place(group)
        image = file.image(page, level)
        rows, columns = image.block
        notes: dict[str, Any] = {"layout": "tiles" if image.tile else "strips", "block": [rows, columns]}
        shape: tuple[int, ...] = (image.samples, image.height, image.width)
        dtype, codec, stored = "?", "?", None
        native: tuple[int, ...] = (image.samples, rows, columns)
        try:
            source = file.array(("page", page, level, "auto"))
            shape, dtype, codec, reader = source.shape, str(source.dtype), codec_name(source, image), source.reader
            native = source.grid.chunk_shape
            if isinstance(source, IndexedArray):
                stored = int(source.index.lengths.sum())
                absent = int((source.index.lengths == 0).sum())
                notes |= {"absent": absent} if absent else {}
        except ScichunkError as error:
            reader = f"cannot be read: {error.message}"
        if page == 0 and level < 0:
            metadata = file.metadata(0)
            notes["crs"] = _crs_name(metadata)
            notes["transform"] = list(metadata.transform)
        found.append(
            ArrayInfo(group, "band_data", ("band", "y", "x"), shape, dtype, native, codec, reader, stored, notes)
        )
    return found


def _crs_name(metadata: RasterMetadata) -> str:
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
