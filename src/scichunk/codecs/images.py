"""Blocks that are whole little images: JPEG, WEBP, LERC, JPEG XL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.errors import FormatError, LimitExceeded, ScichunkError

__all__ = ["ImageCodec"]

Array = npt.NDArray[Any]
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that begin a frame header (ITU-T T.81, table B.1)."""


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
    """

    codec: str
    dtype: np.dtype[Any]
    padded: tuple[int, int] | None = None
    outer: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False

    @property
    def name(self) -> str:
        """For people."""
        return self.codec.upper() + (f" in {self.outer.upper()}" if self.outer else "")

    def subrange(self, shape: tuple[int, ...], window: tuple[slice, ...]) -> None:
        """A compressed block is needed whole."""

    def decode_into(
        self,
        data: memoryview,
        out: Array,
        shape: tuple[int, ...],
        window: tuple[slice, ...],
        skipped: int,
        number: int,
    ) -> None:
        """Decode the image and copy the window."""
        del skipped, number
        height, width = self.padded or shape[1:]
        if self.codec == "jpeg":
            _check_frame(data, width)
        try:
            image = self._decode(data, (height, width, shape[0]))
        except (ScichunkError, MemoryError):
            raise
        except Exception as error:  # each codec of imagecodecs raises a class of its own
            msg = f"{self.name} data are corrupt: {error}"
            raise FormatError(msg) from error
        if image.ndim == 2:
            image = image[..., None]
        tall = image.shape[0] >= (shape[1] if self.codec == "jpeg" else height)
        if not tall or image.shape[1] != width or image.shape[2:] != (shape[0],) or image.dtype != self.dtype:
            msg = f"{self.name} data hold an image of {image.shape} {image.dtype}, not {(height, width, shape[0])} {self.dtype}"
            raise FormatError(msg)
        pixels = image[window[1], window[2], window[0]]
        for band in range(out.shape[0]):
            np.copyto(out[band], pixels[..., band])

    def _decode(self, data: memoryview, shape: tuple[int, int, int]) -> Array:
        import imagecodecs

        if self.codec == "lerc":
            return _lerc(self._unwrap(data), shape)
        name = "jpeg8" if self.codec == "jpeg" else self.codec
        image: Array = getattr(imagecodecs, f"{name}_decode")(data, **self.arguments)
        return image

    def _unwrap(self, data: memoryview) -> bytes | memoryview:
        import imagecodecs

        if not self.outer:
            return data
        found: bytes = getattr(imagecodecs, "zlib_decode" if self.outer == "deflate" else "zstd_decode")(data)
        return found


def _lerc(data: bytes | memoryview, shape: tuple[int, int, int]) -> Array:
    """Decode a LERC blob of (rows, columns, samples); invalid pixels are NaN in floats and 0 in integers, as GDAL gives them.

    A blob holds samples as depth (last axis) or, where their masks differ, as bands (first axis).
    """
    import imagecodecs

    image, masks = imagecodecs.lerc_decode(data, masks=True)
    image = _samples_last(np.asarray(image), shape)
    if masks is not None:
        valid = _samples_last(np.asarray(masks, bool), shape)
        if not valid.all():
            image[np.broadcast_to(~valid, image.shape)] = np.nan if image.dtype.kind == "f" else 0
    return image


def _samples_last(array: Array, shape: tuple[int, int, int]) -> Array:
    if array.ndim == 2:
        return array[..., None]
    return np.moveaxis(array, 0, -1) if array.shape != shape and array.shape == (shape[2], *shape[:2]) else array


def _check_frame(data: memoryview, width: int) -> None:
    """Compare the frame header of a JPEG with what is expected: a decoder makes room for 65,535 x 65,535 pixels if it says so.

    Raises
    ------
    FormatError
        If it has another number of columns.
    LimitExceeded
        If it is larger than ``options.max_chunk_bytes``.
    """
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in _FRAMES:
            rows, columns, samples = (
                int.from_bytes(data[at + 5 : at + 7], "big"),
                int.from_bytes(data[at + 7 : at + 9], "big"),
                data[at + 9],
            )
            limit = options.get().max_chunk_bytes
            if columns != width:
                msg = f"JPEG data hold an image of {rows} x {columns} pixels, not of {width} columns"
                raise FormatError(msg)
            if rows * columns * samples > limit:
                msg = f"JPEG data hold an image of {rows} x {columns} pixels, more than {limit} bytes (options.max_chunk_bytes)"
                raise LimitExceeded(msg)
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
