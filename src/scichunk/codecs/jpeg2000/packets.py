"""Packets of JPEG 2000 tiles: their order, their place in the image, their lengths (ITU-T T.800, annex B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs import ways
from scichunk.codecs.jpeg2000.parameters import (
    BLOCK_X,
    BLOCK_Y,
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

__all__ = ["MOST_PACKETS", "PacketWalk", "Packets", "count_prefix", "decode_lengths", "is_walkable", "order_packets"]

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Area = tuple[int, int, int, int]

MOST_PACKETS: Final = 1 << 20
_FEW: Final = 16
_MARGIN_SAMPLES: Final = 8
"""Samples around a window, at each resolution, that its wavelet needs: three of a band are six, and rounding."""
# columns of the table of precincts
_ROW, _NUMBER, _Y, _X, _LEFT, _TOP, _RIGHT, _BOTTOM = range(8)


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
        row = table[:, _ROW]
        found = inside[row]
        if area != self.tile:
            x0, y0, x1, y1 = (v >> r[:, STEP] for v in _component_bounds(area, r))
            found &= (table[:, _RIGHT] > (x0 - _MARGIN_SAMPLES)[row]) & (table[:, _LEFT] < (x1 + _MARGIN_SAMPLES)[row])
            found &= (table[:, _BOTTOM] > (y0 - _MARGIN_SAMPLES)[row]) & (table[:, _TOP] < (y1 + _MARGIN_SAMPLES)[row])
        return found[self.which]

    def estimate_weights(self) -> npt.NDArray[np.float64]:
        """About how the bytes of the tile are shared out: by samples, those of low resolutions counting more."""
        t = self.precincts
        samples = (t[:, _RIGHT] - t[:, _LEFT]) * (t[:, _BOTTOM] - t[:, _TOP]) + 1.0
        weight = samples * (1 + self.header.resolutions[t[:, _ROW], STEP] / 4)
        shares: npt.NDArray[np.float64] = weight / weight.sum() / max(1, self.header.layers)
        return shares[self.which]


def count_prefix(header: MainHeader, tile: Area, reduce: int) -> tuple[int, int] | None:
    """Packets of the low resolutions of a tile, and of all; None unless the former come first in the codestream."""
    parts = header.size.components
    first = header.order in {"RLCP", "RPCL"} or (header.order == "LRCP" and header.layers == 1)
    if not first or header.progressions or len(parts) > _FEW:
        return None
    low, count, levels = 0, 0, header.coding_of(0).levels
    for i, part in enumerate(parts):  # plain numbers: some are handled faster than small arrays
        coding = header.coding_of(i)
        if coding.levels != levels:
            return None
        x0, x1 = -(-tile[0] // part.dx), -(-tile[2] // part.dx)
        y0, y1 = -(-tile[1] // part.dy), -(-tile[3] // part.dy)
        for r, (px, py) in enumerate(coding.precincts):
            up = (1 << (levels - r)) - 1
            left, right, top, bottom = ((v + up) >> (levels - r) for v in (x0, x1, y0, y1))
            if right > left and bottom > top:
                n = (((right + (1 << px) - 1) >> px) - (left >> px)) * (((bottom + (1 << py) - 1) >> py) - (top >> py))
                count += n
                low += n if r <= levels - reduce else 0
    return low * header.layers, count * header.layers


def _component_bounds(area: Area, r: IntArray) -> list[IntArray]:
    """Samples of each component of an area on the reference grid (B.3)."""
    return [(v + r[:, d] - 1) // r[:, d] for v, d in zip(area, (DX, DY) * 2, strict=True)]


class _Grids:
    """The grids of precincts of a tile, for each component and resolution (B.5, B.6)."""

    def __init__(self, header: MainHeader, tile: Area) -> None:
        self.r = r = header.resolutions
        round_up = (1 << r[:, STEP]) - 1
        self.left, self.top, self.right, self.bottom = (
            (v + round_up) >> r[:, STEP] for v in _component_bounds(tile, r)
        )
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
        rows = np.flatnonzero(inside[table[:, _ROW]])
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
    component, resolution = r[table[:, _ROW], COMPONENT], r[table[:, _ROW], RESOLUTION]
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
    table[:, _ROW], table[:, _NUMBER] = row, number
    # The position by which a precinct is sorted is that of its corner on the reference grid; of those that the tile cuts, the
    # tile's own corner (B.12.1.3).
    table[:, _Y] = np.where(j << py < top, tile[1], (j << (py + r[:, STEP])) * r[:, DY])
    table[:, _X] = np.where(i << px < left, tile[0], (i << (px + r[:, STEP])) * r[:, DX])
    table[:, _LEFT], table[:, _TOP] = np.maximum(i << px, left), np.maximum(j << py, top)
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


class PacketWalk:
    """Lengths of a tile's packets, from their headers; one object walks once."""

    def __init__(self, packets: Packets) -> None:
        self._packets = packets
        self.sizes, self.bodies = np.zeros(len(packets), np.int64), np.zeros(len(packets), np.int64)
        self._bands, self._rows, blocks, nodes = _tabulate_blocks(packets)
        styles = [packets.header.coding_of(int(c)).block_style for c in range(len(packets.header.size.components))]
        component = packets.header.resolutions[packets.precincts[:, _ROW], COMPONENT]
        self._styles = np.array(styles, np.int64)[component]
        self._blocks = np.zeros((blocks, 3), np.int64)
        self._trees = np.zeros((4, nodes), np.int64)
        # Values of tag trees that are not known yet lie above each threshold (B.10.2).
        self._trees[1] = self._trees[3] = 1 << 30

    def walk_bytes(self, data: bytes | memoryview, first: int, reserve: int = 0) -> tuple[int, int, int]:
        """Walk over the packets in some bytes; see :func:`scichunk.codecs.jpeg2000.packet_headers.walk_packets`."""
        kernels = ways.load_kernels("jpeg2000.packet_headers")
        done, status, at = kernels.walk_packets(
            np.frombuffer(data, np.uint8), first, self._packets.which, self._packets.layers, self._bands, self._rows,
            self._styles, self._blocks, self._trees, self.sizes, self.bodies, reserve, np.zeros(4, np.int64),
        )  # fmt: skip
        return int(done), int(status), int(at)


def is_walkable(header: MainHeader) -> bool:
    """Whether headers of packets can be followed here: those of HTJ2K with several layers or mixed blocks cannot."""
    for c in range(len(header.size.components)):
        style = header.coding_of(c).block_style
        if style & 0xC0 and (header.layers > 1 or style & 0xC0 != 0x40):
            return False
    return True


def _tabulate_blocks(packets: Packets) -> tuple[IntArray, IntArray, int, int]:
    """Code-blocks of each precinct in each band (B.7, B.9): the tables of the walk, number of blocks, of nodes."""
    r, table = packets.header.resolutions, packets.precincts
    row = table[:, _ROW]
    low = r[row, RESOLUTION] == 0
    bands = np.where(low, 1, 3)
    ends = np.cumsum(bands)
    rows = np.zeros((int(ends[-1]), 4), np.int64)
    corners = _component_bounds(packets.tile, r)
    shrink = (r[:, RESOLUTION] > 0).astype(np.int64)
    level = r[:, STEP] + shrink
    for band in range(3):
        here = np.flatnonzero(~low) if band else np.arange(len(table))
        # Bands of a resolution above the lowest are HL, LH, HH, in this order in a packet (B.9).
        kind = (band + 1) * shrink  # LL 0, HL 1, LH 2, HH 3
        half = (1 << level) >> 1
        sides = []
        for axis, shift, size, block, edge in ((0, 0, PX, BLOCK_X, _LEFT), (1, 1, PY, BLOCK_Y, _TOP)):
            offset = ((kind >> shift) & 1) * half
            first, last = ((c - offset + (1 << level) - 1) >> level for c in (corners[axis], corners[axis + 2]))
            index = table[here, edge] >> r[row[here], size]
            sides.append(
                _count_blocks_across(
                    index, (r[:, size] - shrink)[row[here]], first[row[here]], last[row[here]], r[row[here], block]
                )
            )
        none = (sides[0] == 0) | (sides[1] == 0)
        at = ends[here] - bands[here] + band
        rows[at, 0], rows[at, 1] = np.where(none, 0, sides[0]), np.where(none, 0, sides[1])
    counts = rows[:, 0] * rows[:, 1]
    rows[:, 2] = np.cumsum(counts) - counts
    nodes, w, h = np.zeros(len(rows), np.int64), rows[:, 0].copy(), rows[:, 1].copy()
    # Levels of a tag tree: each has half as many nodes along each side.
    for _ in range(33):
        nodes += w * h
        more = (w > 1) | (h > 1)
        w, h = np.where(more, (w + 1) >> 1, 0), np.where(more, (h + 1) >> 1, 0)
        if not more.any():
            break
    rows[:, 3] = np.cumsum(nodes) - nodes
    return np.stack([ends - bands, ends], axis=1), rows, int(counts.sum()), int(nodes.sum())


def _count_blocks_across(index: IntArray, size: IntArray, low: IntArray, high: IntArray, block: IntArray) -> IntArray:
    """Code-blocks of precincts along one axis of a band; none where precincts are too small to have any there."""
    wide = np.maximum(size, 0)
    first = np.maximum(index << wide, low)
    last = np.minimum((index + 1) << wide, high)
    step = np.minimum(block, wide)
    return np.where((last > first) & (size >= 0), ((last + (1 << step) - 1) >> step) - (first >> step), 0)
