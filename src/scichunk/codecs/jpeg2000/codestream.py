"""Headers of JPEG 2000 codestreams (ITU-T T.800, annex A): bytes to facts, every loop bounded."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from scichunk.codecs.jpeg2000.parameters import HT_BLOCKS, Coding, Component, MainHeader, Progression, Size
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature

__all__ = [
    "CODING_MARKERS",
    "EOC",
    "SOC",
    "SOD",
    "SOT",
    "TILE_MARKERS",
    "iterate_segments",
    "main_header",
    "order_segments",
    "tile_header",
]

SOC: Final = b"\xff\x4f"
EOC: Final = b"\xff\xd9"
SOT: Final = 0xFF90
SOD: Final = 0xFF93
_SIZ, _CAP, _COD, _COC, _RGN, _QCD, _QCC, _POC = 0xFF51, 0xFF50, 0xFF52, 0xFF53, 0xFF5E, 0xFF5C, 0xFF5D, 0xFF5F
_TLM, _PLM, _PLT, _PPM, _PPT = 0xFF55, 0xFF57, 0xFF58, 0xFF60, 0xFF61
_COM: Final = 0xFF64
CODING_MARKERS: Final = frozenset({_COD, _COC, _RGN, _QCD, _QCC, _POC})
"""Markers of segments that say how tiles are coded (A.6)."""
_KEPT: Final = CODING_MARKERS | {_CAP}
"""Of a main header, in the codestream of each tile: lengths and packed headers of all tiles would be wrong there, and of what says
nothing of the coding, unknown segments among it, OpenJPEG reads some otherwise than by their lengths."""
_PLACES: Final = {_COC: 1, _QCC: 1, _POC: 2}
_MOST_KEPT_BYTES: Final = 1 << 16
_MOST_KEPT_OF_COMPONENT: Final = 1 << 9
"""COC, QCC and RGN of a component have 245 bytes at most (A.6.2, A.6.3, A.6.5)."""
_PART_2: Final = range(0xFF70, 0xFF7A)
"""From DCO to ATK (T.801, A.3): other offsets, decompositions, wavelets, transforms of components, and non-linear ones."""
TILE_MARKERS: Final = CODING_MARKERS | {_PPT} | frozenset(_PART_2)
"""Markers of segments that say how a tile-part is decoded (A.2), or are refused. Decoders are to step over unknown ones, which OpenJPEG
refuses, as it does the whole tile for a PLT that makes no sense."""
_MOST_LENGTHS: Final = 1 << 20
"""Of tile-parts, in TLM: as many as are looked for without it."""
_MOST_SEGMENTS: Final = 40_000  # COC and QCC of 16384 components, and what else there is
_MOST_PROGRESSIONS: Final = 31
"""Of one tile, in all POC together: OpenJPEG takes more for an error."""
_ORDERS: Final = ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")

Piece = TypeVar("Piece", bytes, memoryview)
Get = Callable[[int, int], memoryview]
"""Bytes ``[start, stop)`` of a codestream; a FormatError where there are none."""


def iterate_segments(get: Get, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Marker segments ``(marker, first byte of its parameters, end)``; ends with SOT, SOD or EOC.

    Raises
    ------
    FormatError
        Where there is no marker, or a length is impossible.
    """
    at = start
    for _ in range(_MOST_SEGMENTS):
        marker = int.from_bytes(get(at, at + 2), "big")
        if marker in {SOT, SOD, 0xFFD9}:
            yield marker, at + 2, at + 2
            return
        # Every marker begins with FF (A.1); anything else means that a length before was wrong.
        if marker < 0xFF01:
            msg = f"no marker at byte {at}, but {marker:04X}"
            raise FormatError(msg)
        if 0xFF30 <= marker <= 0xFF3F or marker == 0xFF4F:  # without parameters (A.1)
            yield marker, at + 2, at + 2
            at += 2
            continue
        length = int.from_bytes(get(at + 2, at + 4), "big")
        if length < 2 or at + 2 + length > stop:
            msg = f"marker {marker:04X} at byte {at} with {length} bytes"
            raise FormatError(msg)
        yield marker, at + 4, at + 2 + length
        at += 2 + length
    msg = f"more than {_MOST_SEGMENTS} marker segments in one header"
    raise LimitExceeded(msg)


def main_header(get: Get, start: int, stop: int) -> MainHeader:
    """Parse the main header of the codestream at ``[start, stop)``.

    Raises
    ------
    FormatError
        If it is none, or impossible.
    """
    if bytes(get(start, start + 2)) != SOC:
        msg = f"no codestream at byte {start}: it begins with {bytes(get(start, start + 2)).hex()}"
        raise FormatError(msg)
    kept: list[tuple[int, bytes]] = []
    tlm: dict[int, bytes] = {}
    ppm: dict[int, bytes] = {}
    overrides: dict[int, Coding] = {}
    # TLM and PPM may come in several segments, in any order: they are put together by their index (A.7.1, A.7.4).
    header, siz, at, marker = None, b"", start + 2, 0
    for marker, first, end in iterate_segments(get, start + 2, stop):
        at = end - 2
        if marker in {SOT, SOD, 0xFFD9}:
            break
        body = bytes(get(first, end))
        whole = struct.pack(">H", marker) + (struct.pack(">H", len(body) + 2) + body if end > first else b"")
        if marker == _SIZ:
            if (
                header is not None
            ):  # there is one (A.5.1): decoders would go by the second, what is made of the first by the first
                msg = f"a second SIZ at byte {first - 4}"
                raise FormatError(msg)
            header, siz = MainHeader(_parse_size(body)), whole
            continue
        if header is None:
            msg = f"marker {marker:04X} before SIZ"
            raise FormatError(msg)
        if marker == _TLM and body:
            tlm.setdefault(body[0], body[1:])
        elif marker == _PPM and body:
            ppm.setdefault(body[0], body[1:])
        if marker in _KEPT:
            kept.append((marker, whole))
        header = _apply_segment(header, marker, body, overrides)
    if header is None or marker != SOT:
        msg = f"the main header ends at byte {at} without a tile"
        raise FormatError(msg)
    _check_kept(sum(len(whole) for _, whole in kept), len(header.size.components))
    return replace(
        header, length=at - start, siz=siz, overrides=overrides, kept=b"".join(order_segments(kept)),
        lengths=_tile_lengths(tlm), packed=_join_packed_headers(ppm), relocated=bool(ppm),
    )  # fmt: skip


def order_segments(segments: Iterable[tuple[int, Piece]]) -> list[Piece]:
    """Put the segments of one header, with their markers, in an order in which OpenJPEG understands them.

    They may come in any order (A.3), and what is said of one component is stronger than what is said of all (A.6). OpenJPEG
    forgets COC where COD comes behind it, QCC where QCD does, and counts the layers of POC by the COD that it has seen.
    """
    return [whole for _, whole in sorted(segments, key=lambda segment: _PLACES.get(segment[0], 0))]


def _check_kept(nbytes: int, components: int) -> None:
    """Refuse coding parameters of more bytes than there can be: each tile is decoded with all of them."""
    if nbytes > _MOST_KEPT_BYTES + _MOST_KEPT_OF_COMPONENT * components:
        msg = f"coding parameters of {nbytes} bytes for {components} components"
        raise LimitExceeded(msg)


def tile_header(
    header: MainHeader, get: Get, start: int, stop: int
) -> tuple[MainHeader, int, list[bytes], list[bytes]]:
    """Parse the header of a tile-part behind its SOT segment.

    Returns
    -------
    tuple
        The header with what this one says, the first byte of data, the segments to keep, and the PLT segments' parameters.
    """
    kept: list[tuple[int, bytes]] = []
    plt: dict[int, bytes] = {}
    overrides: dict[int, Coding] = {}
    for marker, first, end in iterate_segments(get, start, stop):
        if marker == SOD:
            if overrides:
                header = replace(header, overrides={**header.overrides, **overrides})
            return header, end, order_segments(kept), [plt[i] for i in sorted(plt)]
        if marker in {SOT, 0xFFD9}:
            break
        body = bytes(get(first, end))
        if marker == _PLT and body:
            plt[body[0] if body[0] not in plt else len(plt)] = body[1:]
        if marker in {_PLT, _COM}:
            continue
        if marker == _COD and header.overrides:  # COD of a tile is stronger than COC of the main header (A.6.1)
            header = replace(header, overrides={})
        header = _apply_segment(header, marker, body, overrides)
        if marker == _PPT:
            header = replace(header, relocated=True)
        if marker in TILE_MARKERS:
            kept.append((marker, struct.pack(">HH", marker, len(body) + 2) + body))
    msg = "a tile-part header without data"
    raise FormatError(msg)


def _apply_segment(header: MainHeader, marker: int, body: bytes, overrides: dict[int, Coding]) -> MainHeader:
    """Take over what one marker segment says; COC goes to ``overrides``, of which there may be thousands."""
    if marker in _PART_2:
        msg = f"marker {marker:04X}: an extension of Part 2 that changes how samples are decoded"
        raise UnsupportedFeature(msg)
    try:
        if marker == _COD:
            layers, style = struct.unpack(">H", body[2:4])[0], body[0]
            if not layers:
                msg = "a coding style of 0 layers"
                raise FormatError(msg)
            # Of Part 2 (T.801): other transforms, and code-blocks that begin elsewhere. OpenJPEG refuses them, OpenJPH leaves them out.
            if body[4] > 1 or style & ~0x07:
                msg = f"a component transform of kind {body[4]}" if body[4] > 1 else f"a coding style of 0x{style:02X}"
                raise UnsupportedFeature(msg)
            order = _ORDERS[body[1]]
            coding = _parse_coding(body[5:], user=bool(style & 1))
            return replace(
                header, order=order, layers=layers, transform=bool(body[4]),
                sop=bool(style & 2), eph=bool(style & 4), coding=coding,
                high_throughput=header.high_throughput or bool(coding.block_style & HT_BLOCKS),
            )  # fmt: skip
        if marker == _COC:
            wide = len(header.size.components) > 256
            coding = _parse_coding(body[2 + wide :], user=bool(body[1 + wide] & 1))
            overrides[int.from_bytes(body[: 1 + wide], "big")] = coding
            return replace(header, high_throughput=True) if coding.block_style & HT_BLOCKS else header
        if marker == _POC:
            return replace(header, progressions=_add_progressions(header, body))
        if marker == _CAP:
            return replace(
                header, high_throughput=header.high_throughput or bool(int.from_bytes(body[:4], "big") & 0x00020000)
            )
        if marker == _COM and body[:2] == b"\0\1":
            return replace(header, comments=(*header.comments[:15], body[2:].decode("latin-1")))
    except (IndexError, struct.error) as error:
        msg = f"marker {marker:04X} with impossible parameters"
        raise FormatError(msg) from error
    return header


def _parse_size(body: bytes) -> Size:
    """Parse SIZ (A.5.1), and refuse sizes that no image has."""
    if len(body) < 39:
        msg = f"SIZ of {len(body)} bytes"
        raise FormatError(msg)
    _, x1, y1, x0, y0, tile_x, tile_y, tile_x0, tile_y0, count = struct.unpack(">H8IH", body[:36])
    if not 1 <= count <= 16384 or len(body) < 36 + 3 * count:
        msg = f"SIZ of {len(body)} bytes for {count} components"
        raise FormatError(msg)
    components = tuple(
        Component((depth & 0x7F) + 1, bool(depth & 0x80), dx, dy)
        for depth, dx, dy in struct.iter_unpack(">BBB", body[36 : 36 + 3 * count])
    )
    size = Size(x0, y0, x1, y1, tile_x, tile_y, tile_x0, tile_y0, components)
    if (
        not (tile_x and tile_y)
        or not (tile_x0 <= x0 < x1 and tile_y0 <= y0 < y1)
        or not (tile_x0 + tile_x > x0 and tile_y0 + tile_y > y0)
        or max(x1, y1) > 0x7FFFFFFF
    ):
        msg = f"an impossible image: columns {x0} to {x1}, rows {y0} to {y1}, tiles of {tile_x} x {tile_y} from ({tile_x0}, {tile_y0})"
        raise FormatError(msg)
    if any(not (c.dx and c.dy) or c.bits > 38 for c in components):
        msg = "components with impossible depth or distance of samples"
        raise FormatError(msg)
    if size.across * size.down > 65535:
        msg = f"{size.across} x {size.down} tiles; at most 65535 can be numbered"
        raise FormatError(msg)
    return size


def _parse_coding(body: bytes, *, user: bool) -> Coding:
    levels, block_x, block_y, style, kernel = body[0], (body[1] & 15) + 2, (body[2] & 15) + 2, body[3], body[4]
    if levels > 32 or block_x > 10 or block_y > 10 or block_x + block_y > 12:
        msg = f"{levels} levels, code-blocks of 2^{block_x} x 2^{block_y}"
        raise FormatError(msg)
    precincts = tuple((body[5 + r] & 15, body[5 + r] >> 4) for r in range(levels + 1)) if user else ((15, 15),) * (levels + 1)  # fmt: skip
    return Coding(levels, block_x, block_y, style, kernel == 1, precincts)


def _add_progressions(header: MainHeader, body: bytes) -> tuple[Progression, ...]:
    """Progressions of a header with those of POC (A.6.6): each costs a look at all packets of the tile."""
    count = len(header.size.components)
    form = struct.Struct(">BBHBBB" if count < 257 else ">BHHBHB")
    total = len(header.progressions) + len(body) // form.size
    if total > _MOST_PROGRESSIONS:
        msg = f"{total} progressions (POC); OpenJPEG reads {_MOST_PROGRESSIONS}"
        raise LimitExceeded(msg)
    found = list(header.progressions)
    for at in range(0, len(body) - form.size + 1, form.size):
        r0, c0, layers, r1, c1, order = form.unpack(body[at : at + form.size])
        if count < 257 and c1 == 0:
            c1 = 256
        found.append(Progression(_ORDERS[order], r0, c0, layers, r1, min(c1, count)))
    return tuple(found)


def _tile_lengths(bodies: Mapping[int, bytes]) -> npt.NDArray[np.int64]:
    """Tile-parts in file order; a segment that makes no sense voids all, since nothing after it can be placed."""
    none, found, total = np.zeros((0, 2), np.int64), list[npt.NDArray[np.int64]](), 0
    for number in sorted(bodies):
        body = bodies[number]
        kind = body[0] if body else 0xFF
        index, wide = (kind >> 4) & 3, 4 if kind & 0x40 else 2
        step = index + wide
        total += (len(body) - 1) // step
        if kind == 0xFF or index == 3 or (len(body) - 1) % step or total > _MOST_LENGTHS:
            return none
        entries = np.frombuffer(body[1:], np.uint8).reshape(-1, step).astype(np.int64)
        powers = 1 << 8 * np.arange(3, -1, -1)
        tiles = entries[:, :index] @ powers[4 - index :] if index else np.full(len(entries), -1)
        found.append(np.stack([tiles, entries[:, index:] @ powers[4 - wide :]], axis=1))
    lengths = np.concatenate([none, *found])
    if (lengths[:, 0] < 0).all():  # one tile-part for each tile, in order
        lengths[:, 0] = np.arange(len(lengths))
    return lengths


def _join_packed_headers(bodies: Mapping[int, bytes]) -> tuple[bytes, ...]:
    data: bytes = b"".join(bodies[i] for i in sorted(bodies))
    found: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 4 + length > len(data):
            msg = "packed packet headers (PPM) end early"
            raise FormatError(msg)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return tuple(found)
