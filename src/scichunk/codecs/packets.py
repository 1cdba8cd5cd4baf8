"""Packets of JPEG 2000 tiles: their order, their place in the image, their lengths (ITU-T T.800, annex B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.codestream import MainHeader, Progression, ceil_div

__all__ = ["MOST_PACKETS", "PacketWalk", "Packets", "decode_lengths", "order_packets", "walkable"]

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Area = tuple[int, int, int, int]

MOST_PACKETS: Final = 1 << 20
_MARGIN: Final = 8
"""Samples around a window, at each resolution, that its wavelet needs: three of a band are six, and rounding."""
# columns of the table of precincts
_COMPONENT, _RESOLUTION, _NUMBER, _Y, _X, _LEFT, _TOP, _RIGHT, _BOTTOM = range(9)


@dataclass(frozen=True)
class Packets:
    """The packets of one tile in the order of the codestream."""

    header: MainHeader = field(repr=False)
    """Of the tile."""
    tile: Area
    precincts: IntArray = field(repr=False)
    """Table: component, resolution, number, y and x on the reference grid, left, top, right, bottom at the resolution."""
    which: IntArray = field(repr=False)
    """Row in ``precincts`` of each packet."""
    layers: IntArray = field(repr=False)

    def __len__(self) -> int:
        return len(self.which)

    @property
    def nbytes(self) -> int:
        """Memory."""
        return self.precincts.nbytes + self.which.nbytes + self.layers.nbytes

    def needed(self, area: Area, reduce: int, components: Sequence[int]) -> BoolArray:
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
        table = self.precincts
        wanted = set(components)
        if self.header.transform and min(wanted) < 3:
            wanted |= {0, 1, 2}
        found = np.zeros(len(table), np.bool_)
        for c in sorted(wanted):
            part, levels = self.header.size.components[c], self.header.of(c).levels
            x0, x1 = ceil_div(area[0], part.dx), ceil_div(area[2], part.dx)
            y0, y1 = ceil_div(area[1], part.dy), ceil_div(area[3], part.dy)
            for r in range(levels - reduce + 1):
                step = levels - r
                here = (table[:, _COMPONENT] == c) & (table[:, _RESOLUTION] == r)
                here &= (table[:, _RIGHT] > (x0 >> step) - _MARGIN) & (table[:, _LEFT] < (x1 >> step) + _MARGIN)
                here &= (table[:, _BOTTOM] > (y0 >> step) - _MARGIN) & (table[:, _TOP] < (y1 >> step) + _MARGIN)
                found |= here
        return found[self.which]

    def weights(self) -> npt.NDArray[np.float64]:
        """About how the bytes of the tile are shared out: by samples, those of low resolutions counting more."""
        t = self.precincts
        samples = (t[:, _RIGHT] - t[:, _LEFT]) * (t[:, _BOTTOM] - t[:, _TOP]) + 1.0
        depth = np.array([self.header.of(int(c)).levels for c in t[:, _COMPONENT]]) - t[:, _RESOLUTION]
        weight = samples * (1 + depth / 4)
        return (weight / weight.sum() / max(1, self.header.layers))[self.which]


def order_packets(header: MainHeader, tile: Area) -> Packets | None:
    """Put the packets of a tile in order; None if there are too many to be worth it.

    Parameters
    ----------
    header
        Of the tile.
    tile
        (x0, y0, x1, y1) on the reference grid.
    """
    tables = [_precincts(header, tile, c) for c in range(len(header.size.components))]
    count = sum(n for n, _ in tables)
    if not 0 < count * max(1, header.layers) <= MOST_PACKETS:
        return None
    table = np.concatenate([build() for _, build in tables])
    layers = header.layers
    volumes = header.progressions or (Progression(header.order, 0, 0, layers, 33, len(header.size.components)),)
    done = np.zeros(len(table), np.int64)  # layers of each precinct that have come
    which, layer = [], []
    for volume in volumes:
        inside = (table[:, _RESOLUTION] >= volume.first_resolution) & (table[:, _RESOLUTION] < volume.last_resolution)
        inside &= (table[:, _COMPONENT] >= volume.first_component) & (table[:, _COMPONENT] < volume.last_component)
        rows = np.flatnonzero(inside)
        last = min(volume.layers, layers)
        row = np.repeat(rows, last)
        number = np.tile(np.arange(last, dtype=np.int64), len(rows))
        new = number >= done[row]
        row, number = row[new], number[new]
        order = _sort(volume.order, table[row], number)
        which.append(row[order])
        layer.append(number[order])
        done[rows] = np.maximum(done[rows], last)
    return Packets(header, tile, table, np.concatenate(which), np.concatenate(layer))


def _sort(order: str, table: IntArray, layer: IntArray) -> IntArray:
    """Positions in the order of a progression (B.12.1)."""
    c, r, k, y, x = (table[:, i] for i in (_COMPONENT, _RESOLUTION, _NUMBER, _Y, _X))
    keys = {
        "LRCP": (layer, r, c, k),
        "RLCP": (r, layer, c, k),
        "RPCL": (r, y, x, c, k, layer),
        "PCRL": (y, x, c, r, k, layer),
        "CPRL": (c, y, x, r, k, layer),
    }[order]
    return np.lexsort(keys[::-1])


def _precincts(header: MainHeader, tile: Area, component: int) -> tuple[int, Any]:
    """Number of a component's precincts in a tile (B.6), and what builds their table."""
    part, coding = header.size.components[component], header.of(component)
    x0, y0, x1, y1 = (ceil_div(v, d) for v, d in zip(tile, (part.dx, part.dy) * 2, strict=True))
    grids = []
    count = 0
    for r in range(coding.levels + 1):
        step = coding.levels - r
        left, top, right, bottom = (ceil_div(v, 1 << step) for v in (x0, y0, x1, y1))
        if right <= left or bottom <= top:
            continue
        px, py = coding.precincts[r]
        columns, rows = (left >> px, ceil_div(right, 1 << px)), (top >> py, ceil_div(bottom, 1 << py))
        count += (columns[1] - columns[0]) * (rows[1] - rows[0])
        grids.append((r, step, px, py, columns, rows, (left, top, right, bottom)))

    def build() -> IntArray:
        found = [np.zeros((0, 9), np.int64)]
        for r, step, px, py, columns, rows, (left, top, right, bottom) in grids:
            j, i = (a.reshape(-1) for a in np.meshgrid(np.arange(*rows), np.arange(*columns), indexing="ij"))
            y = np.where(j << py < top, tile[1], (j << (py + step)) * part.dy)
            x = np.where(i << px < left, tile[0], (i << (px + step)) * part.dx)
            found.append(
                np.stack([
                    np.full(len(i), component), np.full(len(i), r), np.arange(len(i)), y, x,
                    np.maximum(i << px, left), np.maximum(j << py, top),
                    np.minimum((i + 1) << px, right), np.minimum((j + 1) << py, bottom),
                ], axis=1)
            )  # fmt: skip
        return np.concatenate(found)

    return count, build


def decode_lengths(bodies: Sequence[bytes]) -> IntArray:
    """Packet lengths of PLT segments (A.7.3): seven bits a byte, the first bit says that more follow."""
    data = np.frombuffer(b"".join(bodies), np.uint8).astype(np.int64)
    ends = np.flatnonzero(data < 128)
    widths = np.diff(ends, prepend=-1)
    if widths.size and widths.max() > 5:
        return np.zeros(0, np.int64)
    values = np.zeros(len(ends), np.int64)
    for back in range(int(widths.max(initial=0))):
        there = widths > back
        values[there] |= (data[ends[there] - back] & 127) << (7 * back)
    return values


class PacketWalk:
    """Lengths of a tile's packets, from their headers; one object walks once."""

    def __init__(self, packets: Packets) -> None:
        self._packets = packets
        self.sizes = np.zeros(len(packets), np.int64)
        self._bands, self._rows, blocks, nodes = _blocks(packets)
        styles = [packets.header.of(int(c)).block_style for c in range(len(packets.header.size.components))]
        self._styles = np.array(styles, np.int64)[packets.precincts[:, _COMPONENT]]
        self._blocks = np.zeros((blocks, 3), np.int64)
        self._trees = np.zeros((4, nodes), np.int64)
        self._trees[1] = self._trees[3] = 1 << 30

    def walk(self, data: bytes | memoryview, first: int) -> tuple[int, int]:
        """Walk over the packets in some bytes; see :func:`scichunk.codecs.kernels_packets.walk`."""
        from scichunk.codecs import kernels_packets

        done, status = kernels_packets.walk(
            np.frombuffer(data, np.uint8), first, self._packets.which, self._packets.layers,
            self._bands, self._rows, self._styles, self._blocks, self._trees, self.sizes,
        )  # fmt: skip
        return int(done), int(status)


def walkable(header: MainHeader) -> bool:
    """Whether headers of packets can be followed here: those of HTJ2K with several layers or mixed blocks cannot."""
    for c in range(len(header.size.components)):
        style = header.of(c).block_style
        if style & 0xC0 and (header.layers > 1 or style & 0xC0 != 0x40):
            return False
    return True


def _blocks(packets: Packets) -> tuple[IntArray, IntArray, int, int]:
    """Code-blocks of each precinct in each band (B.7, B.9): the tables of the walk, number of blocks, of nodes."""
    header, table = packets.header, packets.precincts
    bands = np.where(table[:, _RESOLUTION] == 0, 1, 3)
    ends = np.cumsum(bands)
    rows = np.zeros((int(ends[-1]), 4), np.int64)
    for c in range(len(header.size.components)):
        part, coding = header.size.components[c], header.of(c)
        corners = [ceil_div(v, d) for v, d in zip(packets.tile, (part.dx, part.dy) * 2, strict=True)]
        for r in range(coding.levels + 1):
            here = np.flatnonzero((table[:, _COMPONENT] == c) & (table[:, _RESOLUTION] == r))
            if not here.size:
                continue
            px, py = coding.precincts[r]
            level = coding.levels - r + (1 if r else 0)
            shrink = 1 if r else 0
            i, j = table[here, _LEFT] >> px, table[here, _TOP] >> py
            for band in range(3 if r else 1):
                kind = band + 1 if r else 0  # LL 0, HL 1, LH 2, HH 3
                offsets = [(kind & 1) << (level - 1) if r else 0, (kind >> 1) << (level - 1) if r else 0] * 2
                b = [ceil_div(v - o, 1 << level) for v, o in zip(corners, offsets, strict=True)]
                wide = _across(i, px - shrink, b[0], b[2], coding.block_x)
                high = _across(j, py - shrink, b[1], b[3], coding.block_y)
                at = ends[here] - bands[here] + band
                none = (wide == 0) | (high == 0)
                rows[at, 0] = np.where(none, 0, wide)
                rows[at, 1] = np.where(none, 0, high)
    counts = rows[:, 0] * rows[:, 1]
    rows[:, 2] = np.cumsum(counts) - counts
    nodes, w, h = np.zeros(len(rows), np.int64), rows[:, 0].copy(), rows[:, 1].copy()
    for _ in range(33):
        nodes += w * h
        more = (w > 1) | (h > 1)
        w, h = np.where(more, (w + 1) >> 1, 0), np.where(more, (h + 1) >> 1, 0)
        if not more.any():
            break
    rows[:, 3] = np.cumsum(nodes) - nodes
    return np.stack([ends - bands, ends], axis=1), rows, int(counts.sum()), int(nodes.sum())


def _across(index: IntArray, size: int, low: int, high: int, block: int) -> IntArray:
    """Code-blocks of precincts along one axis of a band."""
    if size < 0:
        return np.zeros(len(index), np.int64)
    first = np.maximum(index << size, low)
    last = np.minimum((index + 1) << size, high)
    step = min(block, size)
    return np.where(last > first, ((last + (1 << step) - 1) >> step) - (first >> step), 0)
