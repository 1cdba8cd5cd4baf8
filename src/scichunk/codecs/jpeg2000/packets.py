"""Packets of JPEG 2000 tiles: their order, their place in the image, their lengths (ITU-T T.800, annex B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.jpeg2000.parameters import (
    COMPONENT,
    DX,
    DY,
    LEVELS,
    PX,
    PY,
    RESOLUTION,
    STEP,
    MainHeader,
    Progression,
)  # fmt: skip

__all__ = [
    "LEFT",
    "MOST_PACKETS",
    "ROW",
    "TOP",
    "Area",
    "Packets",
    "component_bounds",
    "decode_lengths",
    "order_packets",
]

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Area = tuple[int, int, int, int]

MOST_PACKETS: Final = 1 << 20
_MARGIN_SAMPLES: Final = 8
"""Samples around a window, at each resolution, that its wavelet needs: three of a band are six, and rounding."""
ROW, _NUMBER, _Y, _X, LEFT, TOP, _RIGHT, _BOTTOM = range(8)
"""Columns of the table of precincts."""


@dataclass(frozen=True)
class Packets:
    """The packets of one tile in the order of the codestream."""

    header: MainHeader = field(repr=False)
    """Of the tile."""
    tile: Area
    precincts: IntArray = field(repr=False)
    """Table: row in ``header.resolutions``, number, y and x on the reference grid, left, top, right, bottom at the resolution."""
    which: IntArray = field(repr=False)
    """Row in ``precincts`` of each packet."""
    layers: IntArray = field(repr=False)

    def __len__(self) -> int:
        return len(self.which)

    @property
    def nbytes(self) -> int:
        """Memory."""
        return self.precincts.nbytes + self.which.nbytes + self.layers.nbytes

    def pick(self, chosen: BoolArray) -> Packets:
        """Return some of the packets, and of the precincts only theirs."""
        used, which = np.unique(self.which[chosen], return_inverse=True)
        return Packets(self.header, self.tile, self.precincts[used], which.astype(np.int64), self.layers[chosen])

    def find_needed(self, area: Area, reduce: int, components: Sequence[int]) -> BoolArray:
        """Which packets a window needs.

        Parameters
        ----------
        area
            (x0, y0, x1, y1) on the reference grid.
        reduce
            How many times the image is halved.
        components
            The components wanted.
        """
        r, table = self.header.resolutions, self.precincts
        wanted = set(components)
        # The component transform (G.2, G.3) mixes the first three.
        if self.header.transform and min(wanted) < 3:
            wanted |= {0, 1, 2}
        inside = (r[:, RESOLUTION] <= r[:, LEVELS] - reduce) & np.isin(r[:, COMPONENT], sorted(wanted))
        row = table[:, ROW]
        found = inside[row]
        if area != self.tile:
            x0, y0, x1, y1 = (v >> r[:, STEP] for v in component_bounds(area, r))
            found &= (table[:, _RIGHT] > (x0 - _MARGIN_SAMPLES)[row]) & (table[:, LEFT] < (x1 + _MARGIN_SAMPLES)[row])
            found &= (table[:, _BOTTOM] > (y0 - _MARGIN_SAMPLES)[row]) & (table[:, TOP] < (y1 + _MARGIN_SAMPLES)[row])
        return found[self.which]

    def estimate_weights(self) -> npt.NDArray[np.float64]:
        """About how the bytes of the tile are shared out: by samples, those of low resolutions counting more."""
        t = self.precincts
        samples = (t[:, _RIGHT] - t[:, LEFT]) * (t[:, _BOTTOM] - t[:, TOP]) + 1.0
        weight = samples * (1 + self.header.resolutions[t[:, ROW], STEP] / 4)
        shares: npt.NDArray[np.float64] = weight / weight.sum() / max(1, self.header.layers)
        return shares[self.which]


def component_bounds(area: Area, r: IntArray) -> list[IntArray]:
    """Return the samples of each component of an area on the reference grid (B.3)."""
    return [(v + r[:, d] - 1) // r[:, d] for v, d in zip(area, (DX, DY) * 2, strict=True)]


class _Grids:
    """The grids of precincts of a tile, for each component and resolution (B.5, B.6)."""

    def __init__(self, header: MainHeader, tile: Area) -> None:
        self.r = r = header.resolutions
        round_up = (1 << r[:, STEP]) - 1
        self.left, self.top, self.right, self.bottom = ((v + round_up) >> r[:, STEP] for v in component_bounds(tile, r))
        self.column, self.row = self.left >> r[:, PX], self.top >> r[:, PY]
        self.columns = ((self.right + (1 << r[:, PX]) - 1) >> r[:, PX]) - self.column
        rows = ((self.bottom + (1 << r[:, PY]) - 1) >> r[:, PY]) - self.row
        self.counts = np.where((self.right > self.left) & (self.bottom > self.top), self.columns * rows, 0)


def order_packets(header: MainHeader, tile: Area, reduce: int = 0) -> Packets | None:
    """Put the packets of a tile in order; None if there are too many to be worth it.

    Parameters
    ----------
    header
        Of the tile.
    tile
        (x0, y0, x1, y1) on the reference grid.
    reduce
        Leave out the packets that an image halved so often does not need.
    """
    table = _tabulate_precincts(header, tile, reduce)
    if table is None:
        return None
    layers, r = header.layers, header.resolutions
    # Without POC there is one progression over all (A.6.1); 33 is beyond the last resolution, of which there are 33 at most.
    volumes = header.progressions or (Progression(header.order, 0, 0, layers, 33, len(header.size.components)),)
    done = np.zeros(len(table), np.int64)  # layers of each precinct that have come
    which, layer = [], []
    for volume in volumes:
        inside = (r[:, RESOLUTION] >= volume.first_resolution) & (r[:, RESOLUTION] < volume.last_resolution)
        inside &= (r[:, COMPONENT] >= volume.first_component) & (r[:, COMPONENT] < volume.last_component)
        rows = np.flatnonzero(inside[table[:, ROW]])
        last = min(volume.layers, layers)
        row = np.repeat(rows, last)
        number = np.tile(np.arange(last, dtype=np.int64), len(rows))
        # A packet is not sent again: where volumes overlap, each begins with the layers that are still to come (B.12.2).
        new = number >= done[row]
        row, number = row[new], number[new]
        order = _sort_packets(volume.order, r, table[row], number)
        which.append(row[order])
        layer.append(number[order])
        done[rows] = np.maximum(done[rows], last)
    return Packets(header, tile, table, np.concatenate(which), np.concatenate(layer))


def _sort_packets(order: str, r: IntArray, table: IntArray, layer: IntArray) -> IntArray:
    """Positions in the order of a progression (B.12.1)."""
    k, y, x = table[:, _NUMBER], table[:, _Y], table[:, _X]
    component, resolution = r[table[:, ROW], COMPONENT], r[table[:, ROW], RESOLUTION]
    keys = {
        # The nested loops of B.12.1.1 to B.12.1.5, from the outermost in.
        "LRCP": (layer, resolution, component, k),
        "RLCP": (resolution, layer, component, k),
        "RPCL": (resolution, y, x, component, k, layer),
        "PCRL": (y, x, component, resolution, k, layer),
        "CPRL": (component, y, x, resolution, k, layer),
    }[order]
    return np.lexsort(keys[::-1])


def _tabulate_precincts(header: MainHeader, tile: Area, reduce: int) -> IntArray | None:
    """Table of the precincts of a tile; None if there are too many."""
    g = _Grids(header, tile)
    if reduce:
        g.counts *= g.r[:, RESOLUTION] <= g.r[:, LEVELS] - reduce
    if (
        not 0 < g.counts.sum(dtype=np.float64) * max(1, header.layers) <= MOST_PACKETS
    ):  # of integers the sum may wrap around
        return None
    total = int(g.counts.sum())
    row = np.repeat(np.arange(len(g.r)), g.counts)
    number = np.arange(total) - (np.cumsum(g.counts) - g.counts)[row]
    r = g.r[row]
    i, j = g.column[row] + number % g.columns[row], g.row[row] + number // g.columns[row]
    left, top, px, py = g.left[row], g.top[row], r[:, PX], r[:, PY]
    table = np.empty((total, 8), np.int64)
    table[:, ROW], table[:, _NUMBER] = row, number
    # The position by which a precinct is sorted is that of its corner on the reference grid; of those that the tile cuts, the
    # tile's own corner (B.12.1.3).
    table[:, _Y] = np.where(j << py < top, tile[1], (j << (py + r[:, STEP])) * r[:, DY])
    table[:, _X] = np.where(i << px < left, tile[0], (i << (px + r[:, STEP])) * r[:, DX])
    table[:, LEFT], table[:, TOP] = np.maximum(i << px, left), np.maximum(j << py, top)
    table[:, _RIGHT] = np.minimum((i + 1) << px, g.right[row])
    table[:, _BOTTOM] = np.minimum((j + 1) << py, g.bottom[row])
    return table


def decode_lengths(bodies: Sequence[bytes]) -> IntArray:
    """Packet lengths of PLT segments (A.7.3): seven bits a byte, the first bit says that more follow."""
    joined = b"".join(bodies)
    if len(joined) < 200:
        return _few_lengths(joined)
    data = np.frombuffer(joined, np.uint8).astype(np.int64)
    ends = np.flatnonzero(data < 128)
    widths = np.diff(ends, prepend=-1)
    # Five groups of seven bits hold any length that a codestream can have.
    if widths.size and widths.max() > 5:
        return np.zeros(0, np.int64)
    values = np.zeros(len(ends), np.int64)
    for back in range(int(widths.max(initial=0))):
        there = widths > back
        values[there] |= (data[ends[there] - back] & 127) << (7 * back)
    return values


def _few_lengths(data: bytes) -> IntArray:
    found, value = [], 0
    for byte in data:
        value = (value << 7) | (byte & 127)
        if byte < 128:
            found.append(value)
            value = 0
        elif value >> 35:
            return np.zeros(0, np.int64)
    return np.array(found, np.int64)
