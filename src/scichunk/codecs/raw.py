"""Uncompressed chunks: only the rows that a window needs are read, and copied once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.codecs.interleaved import place_bands
from scichunk.core.manifest import EncodedChunk
from scichunk.errors import FormatError

__all__ = ["RawCodec"]


@dataclass(frozen=True, slots=True)
class RawCodec:
    """Values as they lie in the file.

    Parameters
    ----------
    stored
        Type in the file, with its byte order.
    order
        The chunk's axes in the order in which they are stored, slowest first.
    padded
        Stored shape, in the chunk's axis order, where it is larger than a clipped chunk (edge tiles); None = as clipped.
    """

    stored: np.dtype[Any]
    order: tuple[int, ...]
    padded: tuple[int, ...] | None = None
    name: str = "uncompressed"
    partial: bool = True

    def subrange(self, shape: tuple[int, ...], window: tuple[slice, ...]) -> tuple[int, int]:
        """Bytes between the first and the last value of the window, whole rows of the slowest axis of more than one."""
        full = self.padded or shape
        size = self.stored.itemsize * math.prod(full)
        first = 0
        for axis in self.order:
            if full[axis] != 1:
                row = size // full[axis]
                return first + window[axis].start * row, first + window[axis].stop * row
        return first, first + size

    def decode(self, chunk: EncodedChunk, out: npt.NDArray[Any], window: tuple[slice, ...]) -> None:
        """Copy a window, swapping bytes on the way."""
        data, shape, _, skipped = chunk
        stored, inside = self.padded or shape, window
        need = math.prod(stored)
        if skipped or need * self.stored.itemsize != len(data):
            stored, inside = self._cut_rows(chunk, window)
            need = math.prod(stored)
            if need * self.stored.itemsize > len(data) or any(w.stop > n for w, n in zip(inside, stored, strict=True)):
                msg = f"{len(data)} bytes are too few for a chunk of shape {shape}"
                raise FormatError(msg)
        values = np.frombuffer(data, self.stored, need).reshape([stored[a] for a in self.order])
        values = values.transpose(_axes_of(self.order))
        self.put(out, values if out.shape == values.shape else values[inside])

    def _cut_rows(self, chunk: EncodedChunk, window: tuple[slice, ...]) -> tuple[tuple[int, ...], tuple[slice, ...]]:
        """Shape of the rows of the slowest axis that are there, and the window within them."""
        full, inside = list(self.padded or chunk.shape), list(window)
        for axis in self.order:
            if full[axis] != 1:
                row = self.stored.itemsize * math.prod(full) // full[axis]
                first = chunk.skipped // row
                full[axis] = len(chunk.data) // row
                inside[axis] = slice(window[axis].start - first, window[axis].stop - first, window[axis].step)
                break
        return tuple(full), tuple(inside)

    def put(self, out: npt.NDArray[Any], values: npt.NDArray[Any]) -> None:
        """Copy values of a window to the output."""
        if values.ndim == 3 and self.order[-1] == 0 and values.shape[0] > 1:
            place_bands(values.transpose(1, 2, 0), out)
        else:
            np.copyto(out, values, casting="equiv")


@cache
def _axes_of(order: tuple[int, ...]) -> tuple[int, ...]:
    """Where each axis of a chunk lies among those that are stored in this order."""
    return tuple(order.index(axis) for axis in range(len(order)))
