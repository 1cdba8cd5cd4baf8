"""Parts of tiles: only the packets that a window at a resolution needs are read, empty ones stand for the others.

Their lengths come from PLT where those of each tile-part add up, and the headers of the packets that are read say the same, else
from the headers of packets, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.jpeg2000.codestream import tile_header
from scichunk.codecs.jpeg2000.low_resolutions import count_prefix, tabulate_low
from scichunk.codecs.jpeg2000.packet_walk import PacketWalk, WalkTables, can_walk_at_once, is_walkable, tabulate_walk
from scichunk.codecs.jpeg2000.packets import Packets, decode_lengths, order_packets
from scichunk.codecs.jpeg2000.parameters import MainHeader
from scichunk.codecs.jpeg2000.picked_packets import (
    CachedRanges,
    LowPackets,
    MissingBytes,
    TilePackets,
    TileRequest,
)
from scichunk.codecs.jpeg2000.tile_parts import SOT_BYTES, are_all_parts, are_in_order, count_lacking, parse_sot
from scichunk.core.steps import Ranges, Steps
from scichunk.errors import FormatError

__all__ = ["NEAR", "USUAL", "Thresholds", "find_packets"]

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_HEAD_BYTES: Final = 1 << 12
"""Bytes at the start of a tile-part that hold its header, and PLT of some hundred packets."""
_MOST_TRIES: Final = 24
_MOST_PARTS: Final = 255
"""Tile-parts of a tile: their number (TPsot) has 8 bits, and 255 is reserved (A.4.2). Each is looked for among all that was read."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Sizes in bytes that decide how the packets of a tile are looked for."""

    small_tile: int = 1 << 14
    """Tiles of fewer bytes are read whole."""
    unlisted_tile: int = 0
    """Tiles of fewer bytes whose packets have no lengths (PLT) are read whole, if a reduced image is wanted of all of it, and the walk
    has no table that serves for other tiles too."""
    large_tile: int = 1 << 22
    """Tiles of more bytes are worth a walk over all their packets, which is kept."""
    walk_window: int = 1 << 26
    """A walk holds so many bytes at a time."""
    packet_header: int = 1 << 20
    """No packet has a longer header."""


USUAL: Final = Thresholds()
NEAR: Final = Thresholds(unlisted_tile=1 << 21)
"""For files on this machine. To tabulate a walk takes about 1 ms of NumPy a tile, more than OpenJPEG takes to skip what is not wanted.
With a table that is there (:func:`~scichunk.codecs.jpeg2000.low_resolutions.tabulate_low`) it takes less: 121 tiles of 1 MB, halved
four times, take 93 ms of processor time with the walk and 102 without."""


def find_packets(
    request: TileRequest,
    ranges: Ranges,
    cached: CachedRanges,
    *,
    head: int = _HEAD_BYTES,
    thresholds: Thresholds = USUAL,
) -> Steps[TilePackets | LowPackets | None]:
    """Find the packets of a tile, as far as a request needs them.

    Parameters
    ----------
    request
        What is wanted.
    ranges
        The tile-parts of the tile.
    cached
        Takes up what is read.
    head
        Least bytes of a tile-part to read first.
    thresholds
        Sizes that decide between the ways to find them.

    Returns
    -------
    TilePackets, LowPackets or None
        None where reading the whole tile is better, or the only way.
    """
    if len(ranges) > _MOST_PARTS:
        return None
    header, total = request.header, sum(b - a for a, b in ranges)
    tile = header.size.tile_bounds(request.tile)
    low = count_prefix(header, tile, request.reduce) if request.whole and len(ranges) == 1 else None
    packets = None
    if low is None:
        packets = order_packets(header, tile)
        if packets is None:
            return None
        share = _estimate_share(packets, request)
    else:
        share = 1.5 / 4**request.reduce
    wanted = head + (int(1.5 * share * total) if share < 0.5 else 0)
    yield from _read_into_cache(cached, [(a, min(b, a + (head if i else wanted))) for i, (a, b) in enumerate(ranges)])
    found = yield from _read_tile_headers(request, ranges, cached)
    if found is None:
        return None
    header, kept, bodies, lengths = found
    if request.whole and request.reduce and total < thresholds.unlisted_tile and not any(lengths):
        quick = low is not None and share < 0.5 and is_walkable(header) and header is request.header
        if not (quick and can_walk_at_once() and tabulate_low(header, tile, request.reduce) is not None):
            return None
    if low is not None and header is request.header:
        first = _find_lowest(low, request, kept, bodies[0], lengths[0])
        if first is None and is_walkable(header) and share < 0.5:
            first = yield from _lowest_by_walk(low, request, kept, bodies[0], cached)
        if first is not None:
            return first
    if packets is None or header is not request.header:
        packets = order_packets(header, tile)
        if packets is None or header.relocated:
            return None
    whole = _by_lengths(packets, kept, bodies, lengths)
    if whole is not None or not is_walkable(header):
        return whole
    share = _estimate_share(packets, request)
    if share <= 0.5:
        return (yield from _by_walk(packets, request, kept, bodies, cached))
    if total < thresholds.large_tile:
        return None
    return (yield from _by_whole_walk(packets, kept, bodies, thresholds))


def _find_lowest(
    low: tuple[int, int], request: TileRequest, kept: bytes, body: tuple[int, int], plt: list[bytes]
) -> LowPackets | None:
    """Find the low resolutions that come first, by PLT; None if there is none, or it does not add up."""
    needed, count = low
    sizes = _read_plt_lengths(plt, body[1] - body[0])
    if sizes is None or len(sizes) != count:
        return None
    sizes = sizes[:needed]
    stop = body[0] + int(sizes.sum())
    tables = _tabulate_low(request) if is_walkable(request.header) else None
    said = None
    if tables is not None and len(tables.which) == needed and tables.is_worth(stop - body[0]):
        said = (tables, sizes)
    return LowPackets(body[0], stop, kept, count - needed, request.header.eph, said=said)


def _tabulate_low(request: TileRequest) -> WalkTables | None:
    """Tabulate a walk over the packets of the low resolutions; None if there are too many."""
    header, tile = request.header, request.header.size.tile_bounds(request.tile)
    found = tabulate_low(header, tile, request.reduce)
    if found is not None:
        return found
    packets = order_packets(header, tile, request.reduce)
    return None if packets is None else tabulate_walk(packets)


def _lowest_by_walk(
    low: tuple[int, int], request: TileRequest, kept: bytes, body: tuple[int, int], cached: CachedRanges
) -> Steps[LowPackets | None]:
    """Find the low resolutions that come first, by the headers of their packets."""
    first, stop = body
    tables = _tabulate_low(request)
    if tables is None or len(tables.which) != low[0] or not tables.is_worth(stop - first):
        return None
    reach = _HEAD_BYTES
    for _ in range(_MOST_TRIES):
        there = _longest_cached(cached, first, stop)
        done, status, used = PacketWalk(tables).walk_bytes(there, 0)
        if done == low[0]:
            return LowPackets(first, first + used, kept, low[1] - low[0], request.header.eph)
        if status == 2 or first + len(there) >= stop:
            return None
        reach = max(reach * 2, 2 * len(there))
        yield from _read_into_cache(cached, [(first, min(stop, first + reach))])
    return None


def _read_plt_lengths(plt: list[bytes], size: int) -> IntArray | None:
    """Read the lengths of packets by PLT, if they add up."""
    found = decode_lengths(plt)
    found = found[found > 0]  # some writers fill the segment up with zeros; a packet has at least one byte
    return found if int(found.sum()) == size else None


def _estimate_share(packets: Packets, request: TileRequest) -> float:
    """Estimate which part of the bytes lies before the end of the last packet that is needed."""
    needed = np.flatnonzero(packets.find_needed(request.area, request.reduce, request.components))
    return float(packets.estimate_weights()[: needed[-1] + 1].sum()) if needed.size else 0.0


def _read_into_cache(cached: CachedRanges, ranges: Ranges) -> Steps[None]:
    views = yield ranges
    for (start, _), view in zip(ranges, views, strict=True):
        cached.put(start, bytes(view))


def _read_tile_headers(
    request: TileRequest, ranges: Ranges, cached: CachedRanges
) -> Steps[tuple[MainHeader, bytes, Ranges, list[list[bytes]]] | None]:
    """Read the headers of all tile-parts: what they say together, their segments, where the packets lie, their PLT segments."""
    reach = _HEAD_BYTES
    for _ in range(_MOST_TRIES):
        header, kept = request.header, b""
        heads: list[bytes | memoryview] = []
        bodies: Ranges = []
        lengths: list[list[bytes]] = []
        missing: Ranges = []
        reach *= 4
        for start, stop in ranges:
            try:
                head = cached.get(start, start + SOT_BYTES)
                found = parse_sot(head)
                if found is None or found[0] != request.tile or found[1] not in {0, stop - start}:
                    return None
                header, first, segments, plt = tile_header(header, cached.get, start + SOT_BYTES, stop)
            except MissingBytes:  # of all tile-parts together: of hundreds, each would take a round of reading
                missing.append((start, min(stop, start + reach)))
                continue
            except FormatError:
                return None  # read as a whole it may be clearer what is wrong
            kept += b"".join(segments)
            heads.append(head)
            bodies.append((first, stop))
            lengths.append(plt)
        if not missing:
            # Where some are missing, TLM is wrong or the file is damaged, which is told where the whole tile is read.
            lost = count_lacking(heads) or not are_in_order(heads) or (request.by_tlm and not are_all_parts(heads))
            return None if lost else (header, kept, bodies, lengths)
        yield from _read_into_cache(cached, missing)
    return None


def _by_lengths(packets: Packets, kept: bytes, bodies: Ranges, lengths: list[list[bytes]]) -> TilePackets | None:
    """Find packets by PLT; None if there is none, or it does not add up."""
    starts, sizes = [], []
    for (first, stop), plt in zip(bodies, lengths, strict=True):
        found = _read_plt_lengths(plt, stop - first)
        if found is None:
            return None
        sizes.append(found)
        starts.append(first + np.cumsum(found) - found)
    size = np.concatenate(sizes)
    if len(size) != len(packets):
        return None
    return TilePackets(packets, np.concatenate(starts), size, kept, complete=True, by_plt=True)


def _by_whole_walk(packets: Packets, kept: bytes, bodies: Ranges, thresholds: Thresholds) -> Steps[TilePackets | None]:
    """Find packets by the headers of all packets of a large tile, some of its bytes at a time."""
    tables = _tabulate_if_worth(packets, bodies)
    if tables is None:
        return None
    walk, starts, done = PacketWalk(tables), np.zeros(len(packets), np.int64), 0
    for group in _group_bodies(bodies, thresholds.walk_window):
        views = yield [(first, min(stop, first + thresholds.walk_window)) for first, stop in group]
        for (first, stop), window in zip(group, views, strict=True):
            at, begun, view = first, done, window
            while True:
                end = at + len(view)
                done, status, used = walk.walk_bytes(view, done, 0 if end == stop else thresholds.packet_header)
                at += used
                if status or not used:
                    return None
                if at >= stop:
                    break
                view = (yield [(at, min(stop, at + thresholds.walk_window))])[0]
            if at != stop:
                return None
            starts[begun:done] = first + np.cumsum(walk.sizes[begun:done]) - walk.sizes[begun:done]
    if done < len(packets):
        return None
    return TilePackets(packets, starts, walk.sizes, kept, complete=True)


def _group_bodies(bodies: Ranges, most: int) -> Iterator[Ranges]:
    """Put tile-parts together that are read in one round, up to so many bytes; larger ones, which are read on, come alone."""
    group: Ranges = []
    for first, stop in bodies:
        if group and sum(b - a for a, b in group) + stop - first > most:
            yield group
            group = []
        if stop > first:
            group.append((first, stop))
    if group:
        yield group


def _by_walk(
    packets: Packets, request: TileRequest, kept: bytes, bodies: Ranges, cached: CachedRanges
) -> Steps[TilePackets | None]:
    """Find packets by their headers, reading on until all that are needed have been met."""
    needed = np.flatnonzero(packets.find_needed(request.area, request.reduce, request.components))
    last = int(needed[-1]) if needed.size else -1
    reach, tables = _HEAD_BYTES, _tabulate_if_worth(packets, bodies)
    if tables is None:
        return None
    for _ in range(_MOST_TRIES):
        walk, starts, done, end = PacketWalk(tables), np.zeros(len(packets), np.int64), 0, 0
        more: tuple[int, int] | None = None
        end = 0
        for first, stop in bodies:
            there, before = _longest_cached(cached, first, stop), done
            done, status, used = walk.walk_bytes(there, before)
            starts[before:done] = first + np.cumsum(walk.sizes[before:done]) - walk.sizes[before:done]
            end = first + used
            if done > last:
                break
            if status == 2 or (first + len(there) >= stop and end != stop):
                return None
            if end < stop:
                reach = max(reach * 2, 2 * len(there))
                more = (first, min(stop, first + reach))
                break
        if done > last or more is None:
            complete = done == len(packets) and end == bodies[-1][1]
            return TilePackets(packets, starts[:done], walk.sizes[:done], kept, complete=complete)
        yield from _read_into_cache(cached, [more])
    return None


def _tabulate_if_worth(packets: Packets, bodies: Ranges) -> WalkTables | None:
    """Tabulate a walk; None where it would cost more than reading the whole tile."""
    tables = tabulate_walk(packets)
    return tables if tables.is_worth(sum(stop - first for first, stop in bodies)) else None


def _longest_cached(cached: CachedRanges, first: int, stop: int) -> memoryview:
    """Return all bytes from an offset on that have been read."""
    best = memoryview(b"")
    for start, data in cached.pieces():
        if start <= first < start + len(data):
            found = memoryview(data)[first - start : stop - start]
            best = found if len(found) > len(best) else best
    return best
