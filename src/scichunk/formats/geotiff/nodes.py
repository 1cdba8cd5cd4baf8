"""From structure and metadata to nodes, and to descriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scichunk.core.arrays import ArraySource, IndexedArray
from scichunk.core.files import ArrayInfo, ArrayVar, Node
from scichunk.errors import ScichunkError
from scichunk.formats.geotiff.structure import TIFFImage
from scichunk.raster.affine import Affine6, scale_transform
from scichunk.raster.gdal import RasterMetadata
from scichunk.raster.points import count_other_pixels, is_placed_by_points
from scichunk.raster.variables import coordinates

__all__ = ["build_node", "codec_name", "describe_array", "describe_mask", "place_image"]


def build_node(
    variables: Sequence[ArrayVar], metadata: RasterMetadata, image: TIFFImage, full: TIFFImage, shape: tuple[int, ...]
) -> Node:
    """Add the coordinates."""
    mine, transform = place_image(metadata, image, full)
    return Node(tuple(variables), coordinates(mine, transform, (shape[0], image.height, image.width)))


def place_image(metadata: RasterMetadata, image: TIFFImage, full: TIFFImage) -> tuple[RasterMetadata, Affine6]:
    """Metadata and transform of a page, or of a reduced image of it."""
    if image is full:
        return metadata, metadata.transform
    by_x, by_y = full.width / image.width, full.height / image.height
    mine = count_other_pixels(metadata, (by_x, 0.0, 0.0, 0.0, by_y, 0.0))
    placed = is_placed_by_points(metadata)
    return mine, metadata.transform if placed else scale_transform(metadata.transform, by_x, by_y)


def codec_name(source: ArraySource, image: TIFFImage) -> str:
    """How the pixels are encoded, for people."""
    if isinstance(source, IndexedArray):
        return source.index.codec.name
    known = {1: "uncompressed", 2: "CCITT RLE", 3: "CCITT T.4", 4: "CCITT T.6", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "DEFLATE",
             32946: "DEFLATE", 32773: "PACKBITS", 34925: "LZMA", 50000: "ZSTD", 50001: "WEBP"}  # fmt: skip
    return known.get(image.compression, f"compression {image.compression}")


def describe_array(
    group: str, image: TIFFImage, open_pixels: Callable[[], ArraySource], notes: Mapping[str, Any]
) -> ArrayInfo:
    """Describe the pixels of an image; those that cannot be read say why."""
    rows, columns = image.block
    attributes: dict[str, Any] = {"layout": "tiles" if image.tile else "strips", "block": [rows, columns]}
    shape: tuple[int, ...] = (image.samples, image.height, image.width)
    dtype, codec, stored = "?", "?", None
    native: tuple[int, ...] = (image.samples, rows, columns)
    try:
        source = open_pixels()
        shape, dtype, codec, reader = source.shape, str(source.dtype), codec_name(source, image), source.reader
        native = source.grid.chunk_shape
        if isinstance(source, IndexedArray):
            stored, absent = source.index.totals() or (None, 0)
            attributes |= {"absent": absent} if absent else {}
    except ScichunkError as error:
        reader = f"cannot be read: {error.message}"
    attributes |= notes
    return ArrayInfo(group, "band_data", ("band", "y", "x"), shape, dtype, native, codec, reader, stored, attributes)


def describe_mask(image: TIFFImage, where: str, open_mask: Callable[[], ArraySource]) -> str:
    """Describe the mask of an image, and where it is: within the file, or beside it."""
    try:
        array = open_mask()
    except ScichunkError as error:
        return f"cannot be read: {error.message} [{where}]"
    chunk = " x ".join(str(n) for n in array.grid.chunk_shape)
    codec = codec_name(array, image)
    return f"{image.height} x {image.width}, chunks {chunk}, {codec}, reader {array.reader}, in {where}"
