"""Lengths of packets from their headers, one after the other (ITU-T T.800, B.10), and the code-blocks that the headers speak of."""

from __future__ import annotations

from types import ModuleType
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scichunk import options
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

__all__ = ["PacketWalk", "WalkTables", "can_walk_at_once", "is_walkable", "make_tables", "most_blocks", "tabulate_walk"]

IntArray = npt.NDArray[np.int64]
_KERNELS = "jpeg2000.packet_headers"
_MOST_BLOCKS: Final = 1 << 22
_VISIT_BYTES: Final = 128
"""A code-block without a kernel takes 8.5 us, as so many bytes of other data do (:data:`scichunk.codecs.ways._SHARE`)."""
_FEW_VISITS: Final = 1 << 18
"""Code-blocks that are looked at without a kernel at most, whoever compiles it at the moment: in about as long as that takes."""
_FREE_VISITS: Final = 1 << 24
"""Blocks that a walk may look at, of all packets together, beside one for each byte of the tile: about half a second."""


def most_blocks() -> int:
    """Code-blocks and precincts that one tile may have: OpenJPEG keeps a structure for each, a walk 70 bytes."""
    return min(_MOST_BLOCKS, options.get().max_chunk_bytes >> 8)


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
    visits: int
    """Code-blocks of all packets together, each counted once a layer."""

    @property
    def nbytes(self) -> int:
        """Memory."""
        return sum(array.nbytes for array in self[:5])

    def is_worth(self, nbytes: int) -> bool:
        """Whether a walk costs little beside so many bytes of a tile: each block costs memory, and a look at it in each layer.

        An empty packet is one byte, and so is one that includes none of its blocks, or a few: the bytes of a tile are no bound.
        """
        return self.blocks <= most_blocks() and self.visits <= _FREE_VISITS + nbytes


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
        return self._walk_by(ways.load_kernels(_KERNELS), data, first, reserve)

    def has_sizes(self, data: bytes | memoryview, sizes: IntArray) -> bool:
        """Whether some bytes are the packets, and no more, and their headers say these sizes; for a few nothing is compiled."""
        ways.announce("packets", _VISIT_BYTES * self._tables.visits)
        kernels = (ways.choose if self._tables.visits <= _FEW_VISITS else ways.load_kernels)(_KERNELS)
        done, status, used = self._walk_by(kernels, data, 0, 0)
        return done == len(sizes) and not status and used == len(data) and bool((self.sizes == sizes).all())

    def _walk_by(self, kernels: ModuleType, data: bytes | memoryview, first: int, reserve: int) -> tuple[int, int, int]:
        which, layers, bands, rows, styles = self._tables[:5]
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
    styles = np.array([header.coding_of(c).block_style for c in range(len(header.size.components))], np.int64)
    span = np.stack([ends - bands, ends], axis=1)
    return make_tables(packets.which, packets.layers, span, rows, styles[r[row, COMPONENT]])


def make_tables(which: IntArray, layers: IntArray, bands: IntArray, rows: IntArray, styles: IntArray) -> WalkTables:
    """Make the tables of a walk, and number in ``rows`` the code-blocks and nodes of all bands, by the blocks across and down."""
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
    each = np.add.reduceat(counts, bands[:, 0], dtype=np.float64)  # of integers the sum may wrap around
    blocks, visits = int(each.sum()), int(each[which].sum())
    return WalkTables(which, layers, bands, rows, styles, blocks, int(nodes.sum(dtype=np.float64)), visits)


def _count_blocks_across(index: IntArray, size: IntArray, low: IntArray, high: IntArray, block: IntArray) -> IntArray:
    """Code-blocks of precincts along one axis of a band; none where precincts are too small to have any there."""
    wide = np.maximum(size, 0)
    first = np.maximum(index << wide, low)
    last = np.minimum((index + 1) << wide, high)
    step = np.minimum(block, wide)
    return np.where((last > first) & (size >= 0), ((last + (1 << step) - 1) >> step) - (first >> step), 0)
