"""Lengths of packets from their headers, one after the other (ITU-T T.800, B.10), and the code-blocks that the headers speak of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scichunk.codecs import ways
from scichunk.codecs.jpeg2000.packets import LEFT, ROW, TOP, Packets, component_bounds
from scichunk.codecs.jpeg2000.parameters import (
    BLOCK_X,
    BLOCK_Y,
    COMPONENT,
    HT_BLOCKS,
    PX,
    PY,
    RESOLUTION,
    STEP,
    MainHeader,
)

__all__ = ["PacketWalk", "WalkTables", "can_walk_at_once", "is_walkable", "number_blocks", "tabulate_walk"]

IntArray = npt.NDArray[np.int64]
_KERNELS = "jpeg2000.packet_headers"


class WalkTables(NamedTuple):
    """What a walk must know of a tile."""

    which: IntArray
    """Precinct of each packet, in the order of the codestream."""
    layers: IntArray
    """Layer of each packet."""
    bands: IntArray
    """First row and last but one of ``rows`` for each precinct."""
    rows: IntArray
    """For each band of each precinct: code-blocks across and down, number of the first, first node of its tag trees."""
    styles: IntArray
    """Style of the code-blocks of each precinct."""
    blocks: int
    """How many there are."""
    nodes: int
    """How many nodes tag trees have."""


class PacketWalk:
    """Lengths of a tile's packets, from their headers; one object walks once."""

    def __init__(self, tables: WalkTables) -> None:
        self._tables = tables
        count = len(tables.which)
        self.sizes, self.bodies = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._blocks = np.zeros((tables.blocks, 3), np.int64)
        self._trees = np.zeros((4, tables.nodes), np.int64)
        # Values of tag trees that are not known yet lie above each threshold (B.10.2).
        self._trees[1::2] = 1 << 30

    @property
    def state(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """What the kernel changes: blocks, trees, sizes of packets and of their bodies."""
        return self._blocks, self._trees, self.sizes, self.bodies

    def walk_bytes(self, data: bytes | memoryview, first: int, reserve: int = 0) -> tuple[int, int, int]:
        """Walk over the packets in some bytes; see :func:`scichunk.codecs.jpeg2000.packet_headers.walk_packets`."""
        kernels = ways.load_kernels(_KERNELS)
        which, layers, bands, rows, styles, _, _ = self._tables
        done, status, at = kernels.walk_packets(
            np.frombuffer(data, np.uint8),
            first,
            which,
            layers,
            bands,
            rows,
            styles,
            *self.state,
            reserve,
            np.zeros(4, np.int64),
        )
        return int(done), int(status), int(at)


def can_walk_at_once() -> bool:
    """Whether the kernel need not be compiled, nor numba be loaded."""
    return ways.find_objects(_KERNELS) is not None


def is_walkable(header: MainHeader) -> bool:
    """Whether headers of packets can be followed here: those of HTJ2K with several layers or mixed blocks cannot."""
    for c in range(len(header.size.components)):
        style = header.coding_of(c).block_style
        if style & 0xC0 and (header.layers > 1 or style & 0xC0 != HT_BLOCKS):
            return False
    return True


def tabulate_walk(packets: Packets) -> WalkTables:
    """Tabulate the code-blocks of each precinct in each band (B.7, B.9)."""
    header = packets.header
    r, table = header.resolutions, packets.precincts
    row = table[:, ROW]
    low = r[row, RESOLUTION] == 0
    bands = np.where(low, 1, 3)
    ends = np.cumsum(bands)
    rows = np.zeros((int(ends[-1]), 4), np.int64)
    corners = component_bounds(packets.tile, r)
    shrink = (r[:, RESOLUTION] > 0).astype(np.int64)
    level = r[:, STEP] + shrink
    for band in range(3):
        here = np.flatnonzero(~low) if band else np.arange(len(table))
        # Bands of a resolution above the lowest are HL, LH, HH, in this order in a packet (B.9).
        kind = (band + 1) * shrink  # LL 0, HL 1, LH 2, HH 3
        half = (1 << level) >> 1
        sides = []
        for axis, shift, size, block, edge in ((0, 0, PX, BLOCK_X, LEFT), (1, 1, PY, BLOCK_Y, TOP)):
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
    blocks, nodes = number_blocks(rows)
    styles = np.array([header.coding_of(c).block_style for c in range(len(header.size.components))], np.int64)
    span = np.stack([ends - bands, ends], axis=1)
    return WalkTables(packets.which, packets.layers, span, rows, styles[r[row, COMPONENT]], blocks, nodes)


def number_blocks(rows: IntArray) -> tuple[int, int]:
    """Number the code-blocks and nodes of tag trees of all bands, by the blocks across and down; returns how many there are."""
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
    return int(counts.sum()), int(nodes.sum())


def _count_blocks_across(index: IntArray, size: IntArray, low: IntArray, high: IntArray, block: IntArray) -> IntArray:
    """Code-blocks of precincts along one axis of a band; none where precincts are too small to have any there."""
    wide = np.maximum(size, 0)
    first = np.maximum(index << wide, low)
    last = np.minimum((index + 1) << wide, high)
    step = np.minimum(block, wide)
    return np.where((last > first) & (size >= 0), ((last + (1 << step) - 1) >> step) - (first >> step), 0)
