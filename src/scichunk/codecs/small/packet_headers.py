"""Lengths of JPEG 2000 packets from their headers (ITU-T T.800, B.10): a stand-in for :mod:`scichunk.codecs.jpeg2000.packet_headers`."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["walk_packets"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Table = list[list[int]]

_ENDED, _CORRUPT = 1, 2
_MOST_PASSES: Final = 109
_MOST_LENGTH_BITS: Final = 32
_MOST_PLANES: Final = 80
_FAR: Final = 40
_SOP, _EPH = b"\xff\x91", b"\xff\x92"


class _StopError(Exception):
    """No header can be read: the bytes end, or are corrupt."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Bits:
    """Bits of a header; after a byte FF the first bit of the next is stuffed (B.10.1)."""

    __slots__ = ("_byte", "_data", "_left", "at")

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self.at = data, at
        self._left = self._byte = 0

    def bit(self) -> int:
        if not self._left:
            if self.at >= len(self._data):
                raise _StopError(_ENDED)
            self._left = 7 if self._byte == 0xFF else 8
            self._byte = self._data[self.at]
            self.at += 1
        self._left -= 1
        return (self._byte >> self._left) & 1

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = (value << 1) | self.bit()
        return value

    def end(self) -> int:
        """Go behind the header: none ends with FF, a byte of stuffing follows, whatever bits were left."""
        if self._byte == 0xFF:
            self.at += 1
        if self.at > len(self._data):
            raise _StopError(_ENDED)
        if self._data[self.at : self.at + 2] == _EPH:
            self.at += 2
        return self.at


class _Tree:
    """A tag tree (B.10.2), whose levels lie one behind the other in the tables of bounds and of values."""

    __slots__ = ("_first", "_low", "_sides", "_value")

    def __init__(self, low: list[int], value: list[int], first: int, wide: int, high: int) -> None:
        self._low, self._value, self._first = low, value, first
        self._sides = [(wide, high)]
        while wide > 1 or high > 1:
            wide, high = (wide + 1) >> 1, (high + 1) >> 1
            self._sides.append((wide, high))

    def is_below(self, bits: _Bits, x: int, y: int, threshold: int) -> bool:
        """Whether the value of a leaf is below a threshold."""
        low, value, node, path = self._low, self._value, self._first, []
        for level, (wide, high) in enumerate(self._sides):
            path.append(node + (y >> level) * wide + (x >> level))
            node += wide * high
        known = 0
        for node in reversed(path):
            known = max(known, low[node])
            try:
                while known < threshold and known < value[node]:
                    if bits.bit():
                        value[node] = known
                    else:
                        known += 1
            finally:
                low[node] = known
        return value[path[0]] < threshold

    def is_beyond(self, layer: int) -> bool:
        """Whether the value of the root is known to lie above."""
        root = self._first + sum(wide * high for wide, high in self._sides[:-1])
        return self._low[root] > layer and self._value[root] > layer


class _Walk:
    """The headers of packets, one after the other."""

    def __init__(self, data: memoryview, rows: Table, blocks: Table, trees: Table, *, reserve: int) -> None:
        self._data, self._rows, self._blocks, self._trees, self._reserve = data, rows, blocks, trees, reserve

    def read_packet(self, at: int, span: list[int], layer: int, style: int) -> tuple[int, int]:
        """Read a header; returns where the packet ends, and the bytes of its code-blocks."""
        if at + 6 <= len(self._data) and self._data[at : at + 2] == _SOP:
            at += 6
        bits, total = _Bits(self._data, at), 0
        if bits.bit():
            for band in range(*span):
                total += self._read_band(bits, self._rows[band], layer, style)
        end = bits.end() + total
        if end > len(self._data) and not self._reserve:
            raise _StopError(_ENDED)
        return end, total

    def _read_band(self, bits: _Bits, row: list[int], layer: int, style: int) -> int:
        """Bytes that a packet holds of one band."""
        wide, high, block, node = row
        if not (wide and high):
            return 0
        included = _Tree(self._trees[0], self._trees[1], node, wide, high)
        planes = _Tree(self._trees[2], self._trees[3], node, wide, high)
        total = 0
        for y in range(high):
            for x in range(wide):
                state = self._blocks[block]
                there = bool(bits.bit()) if state[0] else included.is_below(bits, x, y, layer + 1)
                if there:
                    if not state[0]:
                        state[0] = self._skip_planes(bits, planes, x, y)
                    total += _read_block(bits, style, _read_passes(bits), state)
                # Where the root says that no block is included yet, the others have no bits, and there may be millions of them.
                if block == row[2] and not there and included.is_beyond(layer):
                    return 0
                block += 1
        return total

    @staticmethod
    def _skip_planes(bits: _Bits, planes: _Tree, x: int, y: int) -> int:
        """Pass over the number of zero bit-planes; returns the first Lblock."""
        for count in range(1, _MOST_PLANES + 1):
            if planes.is_below(bits, x, y, count):
                return 3
        raise _StopError(_CORRUPT)


def _read_passes(bits: _Bits) -> int:
    """Number of new coding passes (table B.4)."""
    if not bits.bit():
        return 1
    if not bits.bit():
        return 2
    for count, first in ((2, 3), (5, 6)):
        found = bits.bits(count)
        if found < (1 << count) - 1:
            return first + found
    return 37 + bits.bits(7)


def _passes_of_segment(style: int, before: int) -> int:
    """Most passes of the segment that follows one with room for ``before`` (0: the first) (B.10.7, D.6, D.4)."""
    if style & 64:  # HT: the cleanup pass, then the two others
        return 2 if before else 1
    if style & 4:
        return 1
    if style & 1:
        return 10 if not before else 2 if before in {1, 10} else 1
    return _MOST_PASSES


def _read_block(bits: _Bits, style: int, passes: int, state: list[int]) -> int:
    """Bytes of a code-block's contribution (B.10.7). ``state``: Lblock, passes in the segment, its room."""
    while bits.bit():
        state[0] += 1
        if state[0] > _MOST_LENGTH_BITS:
            raise _StopError(_CORRUPT)
    total = 0
    while passes > 0:
        if state[1] >= state[2]:
            state[1:] = 0, _passes_of_segment(style, state[2])
        now = min(passes, state[2] - state[1])
        count = state[0] + now.bit_length() - 1
        if count > _MOST_LENGTH_BITS:
            raise _StopError(_CORRUPT)
        total += bits.bits(count)
        if total >> _FAR:
            raise _StopError(_CORRUPT)
        state[1] += now
        passes -= now
    return total


def walk_packets(
    data: Bytes,
    first: int,
    precincts: Ints,
    layers: Ints,
    bands: Ints,
    rows: Ints,
    styles: Ints,
    blocks: Ints,
    trees: Ints,
    sizes: Ints,
    bodies: Ints,
    reserve: int,
    state: Ints,
) -> tuple[int, int, int]:
    """Find the lengths of packets that lie one behind the other; what is handed over and returned is as in the kernel."""
    at = 0
    if state.size < 4:
        return first, _CORRUPT, at
    known_blocks, known_trees = blocks.tolist(), trees.tolist()
    walk = _Walk(memoryview(data), rows.tolist(), known_blocks, known_trees, reserve=reserve)
    spans, which, of_layer, of_style = bands.tolist(), precincts.tolist(), layers.tolist(), styles.tolist()
    packet, status, start = first, 0, 0
    try:
        while packet < len(which) and at + reserve < data.size:
            start, precinct = at, which[packet]
            at, total = walk.read_packet(at, spans[precinct], of_layer[packet], of_style[precinct])
            sizes[packet], bodies[packet] = at - start, total
            packet += 1
    except _StopError as error:
        status, at = error.status, start
    blocks[...], trees[...] = known_blocks, known_trees
    return packet, status, at
