"""Codestreams of several tiles that lie side by side (ITU-T T.800, annex A), of codestreams of one tile each.

One call of a library for small tiles costs less than one for each of them: to set it up takes some 70 microseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from scichunk.codecs.jpeg2000.codestream import EOC, SOC, SOD, SOT
from scichunk.codecs.jpeg2000.parameters import MainHeader
from scichunk.codecs.jpeg2000.tile_codestream import cut_size
from scichunk.codecs.jpeg2000.tile_parts import SOT_BYTES
from scichunk.core.manifest import Pieces
from scichunk.core.staged import join_pieces

__all__ = ["join_tiles", "run_bounds"]

_SOT, _SOD = struct.pack(">H", SOT), struct.pack(">H", SOD)


def run_bounds(header: MainHeader, tiles: Sequence[int]) -> tuple[int, int, int, int] | None:
    """Return (x0, y0, x1, y1) of tiles on the reference grid; None unless they lie side by side, from the left to the right."""
    size = header.size
    first, last = tiles[0], tiles[-1]
    if list(tiles) != list(range(first, last + 1)) or first // size.across != last // size.across:
        return None
    x0, y0, _, y1 = size.tile_bounds(first)
    return x0, y0, size.tile_bounds(last)[2], y1


def join_tiles(
    header: MainHeader, first: int, area: tuple[int, int, int, int], codestreams: Sequence[Pieces]
) -> memoryview | None:
    """Write one codestream of tiles that keep their places on the reference grid, into a buffer of this thread.

    Parameters
    ----------
    header
        Main header of the whole, which has nothing but coding parameters.
    first, area
        Number of the first tile, and what all cover: see :func:`run_bounds`.
    codestreams
        Of each, in pieces, as :func:`scichunk.codecs.jpeg2000.tile_codestream.tile_codestream` writes them.

    Returns
    -------
    memoryview or None
        None where a tile is not plain: with segments of its own, or with tile-parts whose numbers or lengths do not add up. A decoder
        may take what is wrong in one of many tiles otherwise than in a single one.
    """
    size = header.size
    left = size.tile_x0 + first % size.across * size.tile_x
    bodies = [pieces[3:-1] for pieces in codestreams]  # without SOC, SIZ and the rest of the main header, and EOC
    main = SOC + cut_size(header, area, size.tile_x, left) + header.kept
    joined = join_pieces([main, *(piece for body in bodies for piece in body), EOC])
    at = len(main)
    for number, body in enumerate(bodies):
        stop = at + sum(len(piece) for piece in body)
        if not _renumber_parts(joined[at:stop], number):
            return None
        at = stop
    return joined


def _renumber_parts(parts: memoryview, number: int) -> bool:
    """Give tile-parts another tile number, and say how many they are (A.4.2); False where they are not as they should be."""
    at, starts = 0, list[int]()
    while at < len(parts):
        head = bytes(parts[at : at + SOT_BYTES + 2])
        if len(head) < SOT_BYTES + 2 or head[:2] != _SOT or head[10] != len(starts):
            return False
        if not starts and head[SOT_BYTES:] != _SOD:
            return False
        starts.append(at)
        at += max(int.from_bytes(head[6:10], "big"), SOT_BYTES + 2)
    if at != len(parts) or not 1 <= len(starts) <= 255:
        return False
    for start in starts:
        if parts[start + 11] not in {0, len(starts)}:
            return False
        parts[start + 4 : start + 6] = struct.pack(">H", number)
        parts[start + 11] = len(starts)
    return True
