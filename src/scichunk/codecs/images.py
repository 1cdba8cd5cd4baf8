"""Blocks that are whole little images: JPEG, WEBP, LERC, JPEG XL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.bytes import check_block, decompress_at_most
from scichunk.codecs.image_heads import check_sampling, check_size
from scichunk.codecs.interleaved import place_bands
from scichunk.core.manifest import EncodedChunk
from scichunk.errors import FormatError, ScichunkError

__all__ = ["ImageCodec"]

Array = npt.NDArray[Any]
_LERC_SLACK_BYTES: Final = 1 << 16
"""Room for headers; pixels that LERC cannot compress are stored as they are, with a mask of less than their size."""


@dataclass(frozen=True, slots=True)
class ImageCodec:
    """Blocks of shape (rows, columns, samples) that an image codec of imagecodecs decodes.

    Parameters
    ----------
    codec
        ``"jpeg"``, ``"webp"``, ``"lerc"`` or ``"jpegxl"``.
    dtype
        Of the values.
    padded
        Stored (rows, columns) of tiles; None for strips.
    outer
        Codec of bytes around it (``"deflate"`` or ``"zstd"`` around LERC); empty for none.
    arguments
        Further arguments of the decoder (``tables``, ``colorspace``, ...).
    strips
        Strips of a band; 0 of tiles.
    """

    codec: str
    dtype: np.dtype[Any]
    padded: tuple[int, int] | None = None
    outer: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    strips: int = 0
    partial: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return self.codec.upper() + (f" in {self.outer.upper()}" if self.outer else "")

    def decode(self, chunk: EncodedChunk, out: Array, window: tuple[slice, ...]) -> None:
        """Decode the image and copy the window."""
        data, shape = chunk.data, chunk.shape
        height, width = self.padded or shape[1:]
        pixel_bytes = shape[0] * self.dtype.itemsize
        check_block(height * width * pixel_bytes)
        if self.outer:
            data = decompress_at_most(self.outer, data, 2 * height * width * pixel_bytes + _LERC_SLACK_BYTES)
        check_size(self.codec, data, width, pixel_bytes)
        if self.arguments.get("colorspace") == "RGB":
            check_sampling(data)
        try:
            image = self._decode_image(data, (height, width, shape[0]))
        except (ScichunkError, MemoryError):
            raise
        except Exception as error:  # each codec of imagecodecs raises a class of its own
            msg = f"{self.name} data are corrupt: {error}"
            raise FormatError(msg) from error
        if image.ndim == 2:
            image = image[..., None]
        tall = self._is_tall(image.shape[0], chunk, height)
        if not tall or image.shape[1] != width or image.shape[2:] != (shape[0],) or image.dtype != self.dtype:
            msg = f"{self.name} data hold an image of {image.shape} {image.dtype}, not {(height, width, shape[0])} {self.dtype}"
            raise FormatError(msg)
        place_bands(image[window[1], window[2], window[0]], out)

    def _is_tall(self, rows: int, chunk: EncodedChunk, height: int) -> bool:
        """Whether an image has the rows of its block, by the rules of libtiff."""
        if self.codec != "jpeg":
            return rows == height
        # Of JPEG only the rows that are seen need be there, and the last strip may go on behind the last row of the image.
        last = self.strips > 0 and chunk.number % self.strips == self.strips - 1
        return chunk.shape[1] <= rows and (rows <= height or last)

    def _decode_image(self, data: memoryview, shape: tuple[int, int, int]) -> Array:
        import imagecodecs

        if self.codec == "lerc":
            return _decode_lerc(data, shape, **self.arguments)
        if self.codec == "jpeg":
            image: Array = imagecodecs.jpeg8_decode(data, **self.arguments)
        else:
            decode = imagecodecs.webp_decode if self.codec == "webp" else imagecodecs.jpegxl_decode
            image = decode(data, index=0, **self.arguments)  # the first frame: of very many, all would be decoded
        return image


def _decode_lerc(data: memoryview, shape: tuple[int, int, int], *, alpha: bool = False) -> Array:
    """Decode a LERC blob of (rows, columns, samples); invalid pixels are NaN in floats and 0 in integers, as GDAL gives them.

    A blob holds samples as depth (last axis) or, where their masks differ, as bands (first axis). Where the last sample is an
    ``alpha`` of nothing but 0 and 255, libtiff stores it as the mask, which the blob lacks if all of it is 255.
    """
    import imagecodecs

    image, masks = imagecodecs.lerc_decode(data, masks=True)
    image = _samples_last(np.asarray(image), shape)
    valid = None if masks is None else _samples_last(np.asarray(masks, bool), shape)
    if valid is not None and not valid.all():
        image[np.broadcast_to(~valid, image.shape)] = np.nan if image.dtype.kind == "f" else 0
    if alpha and image.shape == (*shape[:2], shape[2] - 1):
        opaque = np.full((*shape[:2], 1), 255, image.dtype)
        if valid is not None:
            opaque[~valid[..., :1]] = 0
        image = np.concatenate([image, opaque], axis=2)
    return image


def _samples_last(array: Array, shape: tuple[int, int, int]) -> Array:
    if array.ndim == 2:
        return array[..., None]
    return np.moveaxis(array, 0, -1) if array.shape != shape and array.shape == (shape[2], *shape[:2]) else array
