"""Codestreams of one tile of a larger image (ITU-T T.800, annex A): written, and what their own header changes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final

from scichunk.codecs.jpeg2000.codestream import (
    CODING_MARKERS,
    EOC,
    SOC,
    SOD,
    SOT,
    TILE_MARKERS,
    iterate_segments,
    order_segments,
    tile_header,
)
from scichunk.codecs.jpeg2000.parameters import MainHeader
from scichunk.errors import FormatError

__all__ = ["cut_size", "has_only_coding", "has_own_segments", "header_of_tile", "order_part", "tile_codestream"]

_PPM: Final = 0xFF60
_SOT_BYTES: Final = 12
_EOC: Final = 0xFFD9


def cut_size(header: MainHeader, area: tuple[int, int, int, int], tile_x: int, tile_x0: int = 0) -> bytes:
    """SIZ (A.5.1) of an image that is an area of the whole: one row of tiles from 0 on, ``tile_x`` wide, the first from ``tile_x0`` on."""
    x0, y0, x1, y1 = area
    return header.siz[:6] + struct.pack(">8I", x1, y1, x0, y0, tile_x, y1, tile_x0, 0) + header.siz[38:]


def tile_codestream(
    header: MainHeader, number: int, body: Sequence[bytes | memoryview], packed: Sequence[bytes]
) -> list[bytes | memoryview]:
    """Write, in pieces, a codestream of one tile that keeps its place on the reference grid, so that it decodes to the same samples.

    Parameters
    ----------
    header
        Main header of the whole.
    number
        Of the tile.
    body
        Its tile-parts, with tile number 0.
    packed
        Its chunks of PPM.
    """
    bounds = header.size.tile_bounds(number)
    # one tile from (0, 0) to the end of this one, the image beginning where this one does
    parts: list[bytes | memoryview] = [SOC, cut_size(header, bounds, bounds[2]), header.kept]
    data = b"".join(struct.pack(">I", len(p)) + p for p in packed)
    for i, at in enumerate(range(0, len(data), 65000)):
        piece = data[at : at + 65000]
        if i > 255:
            msg = "packed packet headers of one tile-part are too long"
            raise FormatError(msg)
        parts.append(struct.pack(">HHB", _PPM, len(piece) + 3, i) + piece)
    return [*parts, *body, EOC]


def order_part(part: memoryview) -> list[memoryview]:
    """Return what follows the SOT segment of a tile-part, in pieces: segments that say how it is decoded, as OpenJPEG understands them.

    Parameters
    ----------
    part
        From SOT on.

    Raises
    ------
    FormatError
        If its header is impossible.
    """
    if int.from_bytes(part[_SOT_BYTES : _SOT_BYTES + 2], "big") == SOD:
        return [part[_SOT_BYTES:]]
    found: list[tuple[int, memoryview]] = []
    at = _SOT_BYTES
    for marker, _, end in iterate_segments(_getter(part), at, len(part)):
        if marker in {SOT, SOD, _EOC}:
            break
        if marker in TILE_MARKERS:
            found.append((marker, part[at:end]))
        at = end
    return [*order_segments(found), part[at:]]


def _getter(data: memoryview) -> Callable[[int, int], memoryview]:
    """Return a function for bytes of a tile, which knows that these end."""

    def get(start: int, stop: int) -> memoryview:
        if stop > len(data):
            msg = "the tile ends within its header"
            raise FormatError(msg)
        return data[start:stop]

    return get


def header_of_tile(header: MainHeader, data: memoryview) -> MainHeader:
    """Return the header with what that of the tile changes: the same object where it changes nothing.

    Parameters
    ----------
    header
        Main header of the whole.
    data
        What :func:`tile_codestream` has written.

    Raises
    ------
    FormatError
        If it has no tile, or its header is impossible.
    """
    at = len(SOC) + len(header.siz) + len(header.kept)
    if header.packed:
        at = next((end - 2 for marker, _, end in iterate_segments(_getter(data), at, len(data)) if marker == SOT), at)
    if bytes(data[at + _SOT_BYTES : at + _SOT_BYTES + 2]) == b"\xff\x93":
        return header
    return tile_header(header, _getter(data), at + _SOT_BYTES, len(data))[0]


def has_only_coding(header: MainHeader) -> bool:
    """Whether a main header has nothing but coding parameters: of other segments OpenJPEG looks for the end among all that follows."""
    data = memoryview(header.kept + EOC)
    found = iterate_segments(lambda start, stop: data[start:stop], 0, len(data))
    return all(marker in CODING_MARKERS or end == len(data) for marker, _, end in found)


def has_own_segments(header: MainHeader, data: memoryview) -> bool:
    """Whether a tile-part of a codestream of one tile has marker segments, of whatever kind, between its SOT and its SOD.

    Parameters
    ----------
    header, data
        As those of :func:`header_of_tile`.
    """
    at = len(SOC) + len(header.siz) + len(header.kept)
    while int.from_bytes(data[at : at + 2], "big") == SOT:
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        if int.from_bytes(data[at + _SOT_BYTES : at + _SOT_BYTES + 2], "big") != SOD:
            return True
        at += max(length, _SOT_BYTES)
    return bytes(data[at : at + 2]) != EOC
