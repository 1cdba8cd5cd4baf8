"""What is wanted of a tile, what was read of it so far, and the packets that were found: collected as one tile-part."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.codecs.jpeg2000.packet_walk import PacketWalk, WalkTables, is_walkable, tabulate_walk
from scichunk.codecs.jpeg2000.packets import Area, Packets
from scichunk.codecs.jpeg2000.parameters import MainHeader
from scichunk.codecs.jpeg2000.tile_parts import SOT_BYTES
from scichunk.core.steps import Steps

__all__ = ["CachedRanges", "LowPackets", "MissingBytes", "TilePackets", "TileRequest"]

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TileRequest:
    """What is wanted of a tile."""

    header: MainHeader
    """Of the codestream."""
    tile: int
    area: Area
    """On the reference grid."""
    reduce: int
    components: tuple[int, ...]
    whole: bool
    """Whether all of the tile is wanted, and all components."""
    by_tlm: bool = False
    """Whether TLM says where the tile-parts lie."""


class MissingBytes(Exception):
    """More bytes are needed."""


class CachedRanges:
    """Bytes that have been read, by place in the file."""

    def __init__(self) -> None:
        self._pieces: dict[int, bytes] = {}

    def put(self, start: int, data: bytes) -> None:
        """Keep bytes; those from the same start are replaced."""
        self._pieces[start] = data

    def pieces(self) -> list[tuple[int, bytes]]:
        """Return all of them."""
        return list(self._pieces.items())

    def get(self, start: int, stop: int) -> memoryview:
        """Return bytes; raises :class:`MissingBytes` where they have not been read."""
        for first, data in self._pieces.items():
            if first <= start and stop <= first + len(data):
                return memoryview(data)[start - first : stop - first]
        raise MissingBytes


@dataclass(frozen=True)
class TilePackets:
    """Where the packets of a tile lie."""

    packets: Packets
    starts: IntArray = field(repr=False)
    """First byte of each packet in the file; as many as are known."""
    sizes: IntArray = field(repr=False)
    kept: bytes = field(repr=False)
    """Marker segments of its tile-part headers."""
    complete: bool
    """Whether all packets are known, so that other windows can use this too."""
    by_plt: bool = False
    """Whether PLT says where they lie, and their headers are still to be asked."""

    @property
    def nbytes(self) -> int:
        """Memory."""
        return self.packets.nbytes + self.starts.nbytes + self.sizes.nbytes + len(self.kept)

    def collect(self, request: TileRequest, cached: CachedRanges) -> Steps[list[bytes | memoryview] | None]:
        """Read what a request needs, and write it as one tile-part of tile 0; None where PLT and the headers of packets contradict."""
        known = len(self.starts)
        needed = self.packets.find_needed(request.area, request.reduce, request.components)[:known]
        broken = np.ones(known, np.bool_)
        broken[1:] = (needed[1:] != needed[:-1]) | (self.starts[1:] != self.starts[:-1] + self.sizes[:-1])
        firsts = np.flatnonzero(broken)
        lasts = np.append(firsts[1:], known) - 1
        pieces: list[Any] = []
        wanted: list[int] = []
        missing: list[tuple[int, int, int]] = []
        empty = b"\0\xff\x92" if self.packets.header.eph else b"\0"
        for i, j in zip(firsts.tolist(), lasts.tolist(), strict=True):
            if not needed[i]:
                pieces.append(empty * (j - i + 1))
                continue
            start, stop = int(self.starts[i]), int(self.starts[j] + self.sizes[j])
            wanted.append(len(pieces))
            try:
                pieces.append(cached.get(start, stop))
            except MissingBytes:
                missing.append((len(pieces), start, stop))
                pieces.append(b"")
        pieces.append(
            empty * (len(self.packets) - known)
        )  # OpenJPEG takes the end of the bytes for an error where EPH is used
        if missing:
            views = yield [(a, b) for _, a, b in missing]
            for (position, _, _), view in zip(missing, views, strict=True):
                pieces[position] = view
        if self.by_plt and not self._agree([pieces[i] for i in wanted], needed):
            return None
        return _tile_part(self.kept, pieces)

    def _agree(self, pieces: list[Any], needed: BoolArray) -> bool:
        """Whether the headers of the packets that were read say what PLT says.

        OpenJPEG follows the headers: where one is damaged, or PLT is wrong, what it makes of some packets is not what it makes of all.
        """
        if not (needed.any() and is_walkable(self.packets.header)):
            return True
        tables = tabulate_walk(self.packets.pick(needed))
        size = sum(map(len, pieces))
        return not tables.is_worth(size) or PacketWalk(tables).has_sizes(b"".join(pieces), self.sizes[needed])


@dataclass(frozen=True, slots=True)
class LowPackets:
    """The low resolutions of a tile, where they come first: one range, and how many packets follow."""

    start: int
    stop: int
    kept: bytes
    others: int
    eph: bool
    complete: bool = False
    said: tuple[WalkTables, IntArray] | None = None
    """What their headers must say, where PLT says how long they are: a walk over them, and their sizes."""

    def collect(self, _request: TileRequest, cached: CachedRanges) -> Steps[list[bytes | memoryview] | None]:
        """Read them, and write them as one tile-part of tile 0; None where PLT and the headers of packets contradict."""
        try:
            piece = cached.get(self.start, self.stop)
        except MissingBytes:
            piece = (yield [(self.start, self.stop)])[0]
        if self.said is not None and not PacketWalk(self.said[0]).has_sizes(piece, self.said[1]):
            return None
        return _tile_part(self.kept, [piece, (b"\0\xff\x92" if self.eph else b"\0") * self.others])


def _tile_part(kept: bytes, pieces: list[Any]) -> list[bytes | memoryview]:
    length = SOT_BYTES + len(kept) + 2 + sum(len(p) for p in pieces)
    return [struct.pack(">HHHIBB", 0xFF90, 10, 0, length, 0, 1), kept, b"\xff\x93", *pieces]
