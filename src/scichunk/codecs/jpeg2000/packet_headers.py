"""Lengths of JPEG 2000 packets from their headers (ITU-T T.800, B.10), compiled by numba on first use.

Only headers are looked at; the data of code-blocks are stepped over. Every read is checked against the end of the bytes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import Int, inner_kernel, kernel

__all__ = ["walk_packets"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

# reader state: next byte, bits left in the current one, the current byte, 1 after the end of the bytes
_POS, _LEFT, _BYTE, _SHORT = 0, 1, 2, 3
_FAR = 40
"""Bits of a length that is beyond any file."""
_MOST_PASSES = 109
"""Of a code-block of 37 bit-planes, the most that there are (E.1, D.3): where headers say more, OpenJPEG begins another segment."""
# columns of the table of precincts in bands
_WIDE, _HIGH, _BLOCK, _NODE = 0, 1, 2, 3


@inner_kernel
def _read_bit(data: Bytes, state: Ints) -> Int:
    """Next bit; after a byte FF the first bit of the next is stuffed (B.10.1)."""
    if state[_LEFT] == 0:
        if state[_POS] >= data.size:
            state[_SHORT] = 1
            return 0
        state[_LEFT] = 7 if state[_BYTE] == 0xFF else 8
        state[_BYTE] = data[state[_POS]]
        state[_POS] += 1
    state[_LEFT] -= 1
    return (state[_BYTE] >> state[_LEFT]) & 1


@inner_kernel
def _read_bits(data: Bytes, state: Ints, count: Int) -> Int:
    value = 0
    for _ in range(count):
        value = (value << 1) | _read_bit(data, state)
    return value


@inner_kernel
def _is_below_threshold(
    data: Bytes, state: Ints, low: Ints, value: Ints, first: Int, wide: Int, high: Int, x: Int, y: Int, threshold: Int
) -> bool:
    """Whether the value of a leaf of a tag tree is below a threshold (B.10.2); its levels lie one behind the other."""
    levels, w, h = 1, wide, high
    while w > 1 or h > 1:
        w, h, levels = (w + 1) >> 1, (h + 1) >> 1, levels + 1
    known = 0
    node = first
    for level in range(levels - 1, -1, -1):
        node, w, h = first, wide, high
        for _ in range(level):
            node += w * h
            w, h = (w + 1) >> 1, (h + 1) >> 1
        node += (y >> level) * w + (x >> level)
        known = max(known, int(low[node]))
        while known < threshold and known < value[node] and not state[_SHORT]:
            if _read_bit(data, state):
                value[node] = known
            else:
                known += 1
        low[node] = known
    return bool(value[node] < threshold)


@inner_kernel
def _find_root(first: Int, wide: Int, high: Int) -> Int:
    """Last node of a tag tree."""
    node, w, h = first, wide, high
    while w > 1 or h > 1:
        node += w * h
        w, h = (w + 1) >> 1, (h + 1) >> 1
    return node


@inner_kernel
def _read_passes(data: Bytes, state: Ints) -> Int:
    """Number of new coding passes (table B.4)."""
    if not _read_bit(data, state):
        return 1
    if not _read_bit(data, state):
        return 2
    n = _read_bits(data, state, np.int64(2))
    if n < 3:
        return 3 + n
    n = _read_bits(data, state, np.int64(5))
    if n < 31:
        return 6 + n
    return 37 + _read_bits(data, state, np.int64(7))


@inner_kernel
def _passes_of_segment(style: Int, before: Int) -> Int:
    """Most passes of the segment that follows one with room for ``before`` (0: the first) (B.10.7, D.6, D.4)."""
    if style & 64:  # HT: the cleanup pass, then the two others
        return 1 if before == 0 else 2
    if style & 4:
        return 1
    if style & 1:
        if before == 0:
            return 10
        return 2 if before in (1, 10) else 1
    return _MOST_PASSES


@inner_kernel
def _read_block_bytes(data: Bytes, state: Ints, style: Int, block: Int, passes: Int, blocks: Ints) -> Int:
    """Bytes of a code-block's contribution (B.10.7). ``blocks``: Lblock, passes in the segment, its room."""
    while _read_bit(data, state):
        blocks[block, 0] += 1
        if blocks[block, 0] > 32:
            state[_SHORT] = 2
            return 0
    total = 0
    while passes > 0 and not state[_SHORT]:
        if blocks[block, 1] >= blocks[block, 2]:
            blocks[block, 2] = _passes_of_segment(style, blocks[block, 2])
            blocks[block, 1] = 0
        now = min(passes, blocks[block, 2] - blocks[block, 1])
        log = 0
        while (now >> (log + 1)) > 0:
            log += 1
        if blocks[block, 0] + log > 32:
            state[_SHORT] = 2
            return 0
        total += _read_bits(data, state, blocks[block, 0] + log)
        if total >> _FAR:  # of one block: the sum of a packet's blocks does not wrap around
            state[_SHORT] = 2
            return 0
        blocks[block, 1] += now
        passes -= now
    return total


@inner_kernel
def _read_band(data: Bytes, state: Ints, row: Ints, layer: Int, style: Int, blocks: Ints, trees: Ints) -> Int:
    """Bytes that a packet holds of one band."""
    wide, high, block, node = row[_WIDE], row[_HIGH], row[_BLOCK], row[_NODE]
    total = 0
    for y in range(high):
        for x in range(wide):
            if blocks[block, 0] == 0:
                there = _is_below_threshold(data, state, trees[0], trees[1], node, wide, high, x, y, layer + 1)
            else:
                there = _read_bit(data, state) == 1
            if there and not state[_SHORT]:
                if blocks[block, 0] == 0:
                    planes = 1
                    while not _is_below_threshold(data, state, trees[2], trees[3], node, wide, high, x, y, planes):
                        planes += 1
                        if state[_SHORT] or planes > 80:
                            state[_SHORT] = max(state[_SHORT], 2 * (planes > 80))
                            return 0
                    blocks[block, 0] = 3
                passes = _read_passes(data, state)
                total += _read_block_bytes(data, state, style, block, passes, blocks)
            if state[_SHORT]:
                return 0
            # Where the root says that no block is included yet, the others have no bits, and there may be millions of them.
            if block == row[_BLOCK] and not there:
                root = _find_root(node, wide, high)
                if trees[0, root] > layer and trees[1, root] > layer:
                    return 0
            block += 1
    return total


@inner_kernel
def _read_packet_header(
    data: Bytes,
    at: Int,
    state: Ints,
    first: Int,
    last: Int,
    layer: Int,
    style: Int,
    rows: Ints,
    blocks: Ints,
    trees: Ints,
) -> Int:
    """Read the header of a packet (B.10.8); returns the bytes of its code-blocks, ``state`` is behind the header."""
    if at + 6 <= data.size and data[at] == 0xFF and data[at + 1] == 0x91:  # SOP
        at += 6
    state[_POS], state[_LEFT], state[_BYTE], state[_SHORT] = at, 0, 0, 0
    total = 0
    if _read_bit(data, state):
        for band in range(first, last):
            total += _read_band(data, state, rows[band], layer, style, blocks, trees)
            if state[_SHORT]:
                return 0
    # No header ends with FF: a byte of stuffing follows, whatever bits were left.
    if state[_BYTE] == 0xFF and not state[_SHORT]:
        state[_POS] += 1
    if state[_POS] > data.size:
        state[_SHORT] = max(1, state[_SHORT])
        return 0
    at = state[_POS]
    if at + 2 <= data.size and data[at] == 0xFF and data[at + 1] == 0x92:  # EPH
        state[_POS] += 2
    return total


@kernel
def walk_packets(
    data: Bytes,
    first: Int,
    precincts: Ints,
    layers: Ints,
    bands: Ints,
    rows: Ints,
    styles: Ints,
    blocks: Ints,
    trees: Ints,
    sizes: Ints,
    bodies: Ints,
    reserve: Int,
    state: Ints,
) -> tuple[Int, Int, Int]:
    """Find the lengths of packets that lie one behind the other.

    Parameters
    ----------
    data
        Bytes from the start of packet ``first``.
    first
        Number of that packet.
    precincts, layers
        Of each packet.
    bands
        For each precinct the first of its rows, and one past the last.
    rows
        For each precinct in a band: code-blocks across and down, first block, first node of its trees.
    styles
        Code-block style of each precinct.
    blocks, trees
        State: for each block Lblock (0: not yet included), passes in the segment, its room; lower bounds and values of the
        nodes of inclusion, the same of zero bit-planes.
    sizes, bodies
        Filled: bytes of each packet, and of its code-blocks.
    reserve
        0 if ``data`` reach the end of the tile-part; else a packet is only begun where so many bytes are left, and the last may end
        beyond the data.
    state
        Four values to work with.

    Returns
    -------
    tuple of int
        Packets done; 0 if all are, or the bytes end with one (or in the reserve), 1 if they end within one, 2 if corrupt; where the
        next begins.
    """
    at = 0
    if state.size < 4:
        return first, 2, at
    for packet in range(first, precincts.size):
        if at + reserve >= data.size:
            return packet, 0, at
        start, precinct = at, precincts[packet]
        low, high, style = bands[precinct, 0], bands[precinct, 1], styles[precinct]
        total = _read_packet_header(data, at, state, low, high, layers[packet], style, rows, blocks, trees)
        at = state[_POS] + total
        if state[_SHORT]:
            return packet, state[_SHORT], start
        if at > data.size and reserve == 0:
            return packet, 1, start
        sizes[packet], bodies[packet] = at - start, total
    return precincts.size, 0, at
