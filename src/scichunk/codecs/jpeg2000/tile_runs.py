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
) -> list[bytes | memoryview] | None:
    """Write one codestream, in pieces, of tiles that keep their places on the reference grid.

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
    list of bytes or memoryview, or None
        None where a tile is not plain: with segments of its own, or with tile-parts whose numbers or lengths do not add up. A decoder
        may take what is wrong in one of many tiles otherwise than in a single one.
    """
    size = header.size
    left = size.tile_x0 + first % size.across * size.tile_x
    joined: list[bytes | memoryview] = [SOC + cut_size(header, area, size.tile_x, left) + header.kept]
    for number, pieces in enumerate(codestreams):
        parts = _renumber_parts(pieces[3:-1], number)  # without SOC, SIZ and the rest of the main header, and EOC
        if parts is None:
            return None
        joined += parts
    return [*joined, EOC]


def _renumber_parts(pieces: Pieces, number: int) -> list[bytes | memoryview] | None:
    """Give tile-parts another tile number, and say how many they are (A.4.2); None where they are not as they should be."""
    found: list[bytes | memoryview] = []
    heads: list[tuple[int, bytes]] = []
    left = 0
    for i, piece in enumerate(pieces):
        if not left:
            head = bytes(piece[:SOT_BYTES])
            if len(head) < SOT_BYTES or head[:2] != _SOT or head[10] != len(heads):
                return None
            behind = b"".join(bytes(part[:2]) for part in (piece[SOT_BYTES:], *pieces[i + 1 : i + 2]))
            if not heads and behind[:2] != _SOD:
                return None
            left = int.from_bytes(head[6:10], "big")
            heads.append((len(found), head))
            found.append(b"")
        if len(piece) > left:
            return None
        left -= len(piece)
        found.append(piece[SOT_BYTES:] if heads[-1][0] == len(found) - 1 else piece)
    if left or not 1 <= len(heads) <= 255:
        return None
    for place, head in heads:
        if head[11] not in {0, len(heads)}:
            return None
        found[place] = head[:4] + struct.pack(">H", number) + head[6:11] + bytes([len(heads)])
    return found
