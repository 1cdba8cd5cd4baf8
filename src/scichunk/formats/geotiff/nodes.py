"""From structure and metadata to nodes, and to descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scichunk.core.arrays import ArraySource, IndexedArray
from scichunk.core.files import ArrayInfo, ArrayVar, Node
from scichunk.errors import ScichunkError
from scichunk.formats.geotiff.array_ids import MaskId, PageId
from scichunk.formats.geotiff.structure import Image
from scichunk.raster.affine import Affine6, scaled
from scichunk.raster.gdal import RasterMetadata
from scichunk.raster.variables import coordinates, crs_name
from scichunk.sources.base import public_url

if TYPE_CHECKING:
    from scichunk.formats.geotiff.file import GeoTIFFFile

__all__ = ["build", "codec_name", "describe", "transform_of"]


def build(
    variables: Sequence[ArrayVar], metadata: RasterMetadata, image: Image, full: Image, shape: tuple[int, ...]
) -> Node:
    """Add the coordinates."""
    transform = transform_of(metadata, image, full)
    return Node(tuple(variables), coordinates(metadata, transform, (shape[0], image.height, image.width)))


def transform_of(metadata: RasterMetadata, image: Image, full: Image) -> Affine6:
    """Transform of a page, or of a reduced image of it."""
    if image is full:
        return metadata.transform
    return scaled(metadata.transform, full.width / image.width, full.height / image.height)


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
        page, level = file.locate(group)
        image = file.image(page, level)
        rows, columns = image.block
        notes: dict[str, Any] = {"layout": "tiles" if image.tile else "strips", "block": [rows, columns]}
        shape: tuple[int, ...] = (image.samples, image.height, image.width)
        dtype, codec, stored = "?", "?", None
        native: tuple[int, ...] = (image.samples, rows, columns)
        try:
            source = file.array(PageId(page, level))
            shape, dtype, codec, reader = source.shape, str(source.dtype), codec_name(source, image), source.reader
            native = source.grid.chunk_shape
            if isinstance(source, IndexedArray):
                stored = int(source.index.lengths.sum())
                absent = int((source.index.lengths == 0).sum())
                notes |= {"absent": absent} if absent else {}
        except ScichunkError as error:
            reader = f"cannot be read: {error.message}"
        notes |= _mask_note(file, page, level)
        if page == 0 and level < 0:
            metadata = file.metadata(0)
            notes["crs"] = crs_name(metadata)
            notes["transform"] = list(metadata.transform)
        found.append(
            ArrayInfo(group, "band_data", ("band", "y", "x"), shape, dtype, native, codec, reader, stored, notes)
        )
    return found


def _mask_note(file: GeoTIFFFile, page: int, level: int) -> dict[str, Any]:
    """Say which mask an image has: within the file, or in an ``.msk`` beside it."""
    there = file.mask_image(page, level)
    if there is None:
        return {}
    source, image = there
    where = "this file" if source is file.source else public_url(source.url)
    try:
        array = file.array(MaskId(page, level))
    except ScichunkError as error:
        return {"mask": f"cannot be read: {error.message} [{where}]"}
    chunk = " x ".join(str(n) for n in array.grid.chunk_shape)
    return {
        "mask": f"{image.height} x {image.width}, chunks {chunk}, {codec_name(array, image)}, reader {array.reader}, in {where}"
    }
