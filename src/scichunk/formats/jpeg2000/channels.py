"""Channels instead of components: colours of a palette, channels in the order of their definition. Only where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.core.arrays import ArraySource
from scichunk.core.grid import ChunkGrid
from scichunk.core.selection import Axis, Positions, Span
from scichunk.errors import FormatError
from scichunk.formats.jpeg2000.boxes import ImageHeader

__all__ = ["ChannelArray", "find_channels"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: a component, and the column of the palette that it goes through (None: as it is)."""

    component: int
    column: int | None = None


def find_channels(image: ImageHeader, count: int) -> tuple[Channel, ...]:
    """Return the channels of an image (ITU-T T.800, I.5.3.4 to I.5.3.6), colours in the order of their association.

    Parameters
    ----------
    image
        What the file says.
    count
        Components of the codestream.

    Raises
    ------
    FormatError
        If the palette is for components that are not there.
    """
    found = [Channel(i) for i in range(count)]
    if image.palette is not None:
        absent = sorted({c for c, _, _ in image.palette.mapping if c >= count})
        if absent:
            msg = f"a palette (cmap) for components {absent} of {count}, counted from 0"
            raise FormatError(msg)
        found = [Channel(c, column if used else None) for c, used, column in image.palette.mapping]
    # Each colour changes places with what is where it belongs, in the order of the definitions: what is no colour ends up
    # where OpenJPEG has it (opj_jp2_apply_cdef).
    order, places = list(range(len(found))), list(range(len(found)))
    for number, kind, association in image.channels:
        if kind == 0 and number < len(found) and 0 < association <= len(found):
            here, there = places[number], association - 1
            other = order[there]
            order[here], order[there] = other, number
            places[other], places[number] = here, there
    return tuple(found[i] for i in order)


class ChannelArray:
    """An array of channels over one of components.

    Parameters
    ----------
    source
        The components.
    which
        The channels.
    table
        Of the palette, shape (entries, columns); None if there is none.
    """

    def __init__(self, source: ArraySource, which: tuple[Channel, ...], table: Array | None) -> None:
        self._source, self._which, self._table = source, which, table
        self.reader = source.reader
        self.shape = (len(which), *source.shape[1:])
        looked_up = any(c.column is not None for c in which)
        self.dtype: np.dtype[Any] = source.dtype
        if table is not None and looked_up:
            plain = any(c.column is None for c in which)
            self.dtype = np.result_type(table.dtype, source.dtype) if plain else table.dtype
        self.grid = ChunkGrid(self.shape, (len(which), *source.grid.edges[1:]))

    def read(self, axes: Sequence[Axis], out: Array | None = None) -> Array:
        """Read an orthogonal region."""
        picked, components, positions = self._needed_components(axes[0])
        raw = self._source.read((components, *axes[1:]))
        found = np.empty((len(picked), *raw.shape[1:]), self.dtype) if out is None else out
        self._fill_channels(found, raw, picked, positions)
        return found

    def read_points(self, points: dict[int, Positions], spans: dict[int, Axis]) -> Array:
        """Read pointwise on some axes."""
        if 0 not in points:
            picked, components, positions = self._needed_components(spans[0])
            raw = np.moveaxis(self._source.read_points(points, {**spans, 0: components}), 1, 0)
            found = np.empty((len(picked), *raw.shape[1:]), self.dtype)
            self._fill_channels(found, raw, picked, positions)
            return np.moveaxis(found, 0, 1)
        out = np.empty((len(points[0]), *(len(spans[a]) for a in sorted(spans))), self.dtype)
        for number, channel in enumerate(self._which):
            here = np.flatnonzero(points[0] == number)
            if here.size:
                some = {a: p[here] if a else np.full(here.size, channel.component, np.intp) for a, p in points.items()}
                out[here] = self._look_up(self._source.read_points(some, spans), channel)
        return out

    async def read_async(self, axes: Sequence[Axis]) -> Array:
        """Read without blocking the event loop."""
        picked, components, positions = self._needed_components(axes[0])
        raw = await self._source.read_async((components, *axes[1:]))
        found = np.empty((len(picked), *raw.shape[1:]), self.dtype)
        self._fill_channels(found, raw, picked, positions)
        return found

    def _needed_components(self, axis: Axis) -> tuple[list[Channel], Positions, list[int]]:
        positions = axis.positions() if isinstance(axis, Span) else axis
        picked = [self._which[int(i)] for i in positions]
        components = sorted({c.component for c in picked})
        return picked, np.array(components, np.intp), [components.index(c.component) for c in picked]

    def _fill_channels(self, out: Array, raw: Array, picked: list[Channel], positions: list[int]) -> None:
        for i, (channel, position) in enumerate(zip(picked, positions, strict=True)):
            out[i] = self._look_up(raw[position], channel)

    def _look_up(self, raw: Array, channel: Channel) -> Array:
        """Look up; an index beyond the table is its last entry, as in OpenJPEG."""
        if channel.column is None or self._table is None:
            return raw
        found: Array = self._table[np.clip(raw, 0, len(self._table) - 1), channel.column]
        return found
