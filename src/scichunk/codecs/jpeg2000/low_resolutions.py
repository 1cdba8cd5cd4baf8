"""The packets of the low resolutions of a tile, where they come first and are few: in plain numbers, which take less than small arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from scichunk.codecs.jpeg2000.packet_walk import WalkTables, make_tables
from scichunk.codecs.jpeg2000.packets import Area
from scichunk.codecs.jpeg2000.parameters import Coding, MainHeader
from scichunk.lru import LRU, memory_of

__all__ = ["count_prefix", "tabulate_low"]

_FEW: Final = 16
Blocks = tuple[tuple[int, int], ...]
"""Code-blocks across and down in each band of a precinct."""
_MOST_PACKETS: Final = 1 << 12
"""Packets of a table that is kept: 16 components of 10 resolutions and 25 layers have as many."""
_tables: LRU[WalkTables] = LRU(
    lambda: 1 << 24,
    lambda tables: tables.nbytes,
    weigh_key=memory_of,
    most=lambda: 256,
    name="tables of JPEG 2000 packets",
)


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


def tabulate_low(header: MainHeader, tile: Area, reduce: int) -> WalkTables | None:
    """Tabulate a walk over the packets that :func:`count_prefix` counts, if each resolution is one precinct.

    Tiles of one shape mostly have the same table, which is made once: it takes as long as OpenJPEG takes to skip what is not wanted.

    Parameters
    ----------
    header
        Of the tile, whose low resolutions come first.
    tile
        (x0, y0, x1, y1) on the reference grid.
    reduce
        How many times the image is halved.

    Returns
    -------
    WalkTables or None
        None where there are several precincts, where components differ in how they are cut, or where packets are many.
    """
    parts, codings = header.size.components, [header.coding_of(i) for i in range(len(header.size.components))]
    dx, dy, precincts = parts[0].dx, parts[0].dy, codings[0].precincts
    if any((p.dx, p.dy) != (dx, dy) for p in parts) or any(c.precincts != precincts for c in codings):
        return None
    area = (-(-tile[0] // dx), -(-tile[1] // dy), -(-tile[2] // dx), -(-tile[3] // dy))
    same = [c is codings[0] for c in codings]
    shapes: list[tuple[Blocks, ...]] = []
    for resolution in range(codings[0].levels - reduce + 1):
        halved = codings[0].levels - resolution
        left, top, right, bottom = ((v + (1 << halved) - 1) >> halved for v in area)
        if right <= left or bottom <= top:
            continue
        px, py = precincts[resolution]
        if (right - 1) >> px != left >> px or (bottom - 1) >> py != top >> py:
            return None
        first = tuple(_count_blocks(codings[0], resolution, area, (left >> px, top >> py)))
        shapes.append(
            tuple(
                first if alike else tuple(_count_blocks(c, resolution, area, (left >> px, top >> py)))
                for c, alike in zip(codings, same, strict=True)
            )
        )
    if len(shapes) * len(codings) * header.layers > _MOST_PACKETS:
        return None
    key = (header.order, header.layers, tuple(c.block_style for c in codings), tuple(shapes))
    return _tables.get(key) or _tables.put(key, _tabulate(*key))


def _count_blocks(coding: Coding, resolution: int, area: Area, precinct: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Count the code-blocks of a precinct in each band (B.7)."""
    shrink = int(resolution > 0)
    level = coding.levels - resolution + shrink
    for kind in range(1, 4) if resolution else (0,):  # LL 0, HL 1, LH 2, HH 3
        sides = []
        for axis, block in enumerate((coding.block_x, coding.block_y)):
            up = (1 << level) - 1 - (((kind >> axis) & 1) << level >> 1)
            wide = coding.precincts[resolution][axis] - shrink
            if wide < 0:  # precincts of a sample have none in the bands
                sides.append(0)
                continue
            first = max(precinct[axis] << wide, (area[axis] + up) >> level)
            last = min((precinct[axis] + 1) << wide, (area[axis + 2] + up) >> level)
            size = min(block, wide)
            sides.append(((last + (1 << size) - 1) >> size) - (first >> size) if last > first else 0)
        yield (sides[0], sides[1]) if all(sides) else (0, 0)


def _tabulate(order: str, layers: int, styles: tuple[int, ...], shapes: tuple[tuple[Blocks, ...], ...]) -> WalkTables:
    """Make the tables of packets in an order of progression (B.12.1); ``shapes`` has the precincts by resolution and component."""
    precincts = [bands for components in shapes for bands in components]
    rows = np.array([(*sides, 0, 0) for bands in precincts for sides in bands], np.int64).reshape(-1, 4)
    ends = np.cumsum([len(bands) for bands in precincts], dtype=np.int64)
    span = np.stack([ends - np.array([len(bands) for bands in precincts], np.int64), ends], axis=1)
    across = len(styles)
    pairs = [
        (across * resolution + component, layer)
        for resolution in range(len(shapes))
        for layer, component in (
            [(n, c) for c in range(across) for n in range(layers)]
            if order == "RPCL"
            else [(n, c) for n in range(layers) for c in range(across)]
        )
    ]
    table = np.array(pairs, np.int64).reshape(-1, 2)
    which, layer = np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])
    return make_tables(which, layer, span, rows, np.array(styles * len(shapes), np.int64))
