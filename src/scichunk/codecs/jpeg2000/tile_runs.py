"""Codestreams of several tiles that lie side by side (ITU-T T.800, annex A), of codestreams of one tile each.

One call of a library for small tiles costs less than one for each of them: a quarter of a millisecond a tile goes into setting it up.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from scichunk.buffers import borrow_buffer
from scichunk.codecs.jpeg2000.codestream import CODING_MARKERS, EOC, SOC, SOD, SOT
from scichunk.codecs.jpeg2000.parameters import MainHeader
from scichunk.codecs.jpeg2000.tile_parts import SOT_BYTES

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
    header: MainHeader, tiles: Sequence[int], codestreams: Sequence[Sequence[bytes | memoryview]]
) -> memoryview | None:
    """Write one codestream of tiles that keep their places on the reference grid, into a buffer of this thread.

    Parameters
    ----------
    header
        Main header of the whole.
    tiles
        Their numbers: see :func:`run_bounds`.
    codestreams
        Of each, in pieces, as :func:`scichunk.codecs.jpeg2000.tile_codestream.tile_codestream` writes them.

    Returns
    -------
    memoryview or None
        None where a tile is not plain: with packet headers or unknown segments in the main header, with segments of its own, or with
        tile-parts whose numbers or lengths do not add up. A decoder may take what is wrong in one of many tiles otherwise than in a
        single one.
    """
    bounds, siz = run_bounds(header, tiles), header.siz
    if header.packed or bounds is None or not _has_known_segments(header.kept):
        return None
    x0, y0, x1, y1 = bounds
    left = header.size.tile_x0 + tiles[0] % header.size.across * header.size.tile_x
    main = SOC + siz[:6] + struct.pack(">8I", x1, y1, x0, y0, header.size.tile_x, y1, left, 0) + siz[38:] + header.kept
    bodies = [pieces[3:-1] for pieces in codestreams]  # without SOC, SIZ and the rest of the main header, and EOC
    out = memoryview(borrow_buffer("pieces", len(main) + sum(len(p) for body in bodies for p in body) + len(EOC)))
    out[: len(main)] = main
    at = len(main)
    for number, body in enumerate(bodies):
        start = at
        for piece in body:
            out[at : at + len(piece)] = piece
            at += len(piece)
        if not _renumber_parts(out[start:at], number):
            return None
    out[at:] = EOC
    return out


def _has_known_segments(kept: bytes) -> bool:
    """Whether a main header has nothing but coding parameters: of others OpenJPEG looks for the end among all that follows."""
    at = 0
    while at < len(kept):
        if int.from_bytes(kept[at : at + 2], "big") not in CODING_MARKERS:
            return False
        at += 2 + int.from_bytes(kept[at + 2 : at + 4], "big")
    return at == len(kept)


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
