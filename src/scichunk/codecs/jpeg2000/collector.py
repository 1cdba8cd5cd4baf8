"""Collecting of JPEG 2000 tiles: which bytes of its tile-parts a window of a tile needs, and a codestream made of them."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.jpeg2000 import openjpeg
from scichunk.codecs.jpeg2000.codec import JPEG2000Codec
from scichunk.codecs.jpeg2000.picked_packets import CachedRanges, TilePackets, TileRequest
from scichunk.codecs.jpeg2000.tile_codestream import order_part, tile_codestream
from scichunk.codecs.jpeg2000.tile_packets import USUAL, Thresholds, find_packets
from scichunk.codecs.jpeg2000.tile_parts import (
    SOT_BYTES,
    Codestream,
    TileParts,
    are_all_parts,
    are_in_order,
    count_lacking,
    find_parts,
    parse_sot,
)
from scichunk.core.cache import FileKey, tiles
from scichunk.core.staged import ChunkSteps
from scichunk.core.steps import Steps
from scichunk.errors import DataWarning, FormatError, located
from scichunk.sources import ByteSource
from scichunk.sources.base import public_url
from scichunk.warned import warn_caller

__all__ = ["PartTable", "TileCollector"]

_LARGE_TILE_BYTES: Final = 1 << 20
_TRUNCATED: Final = "the file is truncated, or lengths in it are corrupt"


class PartTable:
    """The tile-parts of a file, found on first use and shared by all its arrays."""

    def __init__(self, codestream: Codestream, source: ByteSource) -> None:
        self._codestream, self._source = codestream, source
        self._parts: TileParts | None = None
        self._lock = threading.Lock()

    @property
    def known(self) -> TileParts | None:
        """The tile-parts, if they have been looked for."""
        return self._parts

    @property
    def cached_bytes(self) -> int:
        """Memory of the places, once they are known."""
        parts = self._parts
        return 0 if parts is None else parts.first.nbytes + 3 * parts.starts.nbytes

    def get(self) -> TileParts:
        """Return the tile-parts."""
        with self._lock:  # one search a process; decoding holds no lock
            if self._parts is None:
                self._parts = self._find_parts(trust=True)
            return self._parts

    def distrust(self) -> TileParts:
        """Look for the tile-parts again, without TLM: it was wrong."""
        with self._lock:
            if self._parts is None or self._parts.found == "TLM":
                promised, self._parts = self._parts, self._find_parts(trust=False)
                if promised is not None and (np.diff(promised.first) > np.diff(self._parts.first)).any():
                    # tiles and tile-parts that TLM speaks of are lost, not empty, whatever ends the codestream before them
                    self._parts = replace(self._parts, complete=False)
            return self._parts

    def find_rows(self, parts: TileParts, tile: int) -> slice:
        """Find the tile-parts of a tile.

        Raises
        ------
        FormatError
            If one of them is the last of the codestream, and neither another nor EOC is where it is said to end: it holds other
            packets than were written, and nothing else would show it. OpenJPEG refuses it, too.
        """
        rows = parts.rows_of(tile)
        if parts.lost and (parts.serials[rows] == len(parts.serials) - 1).any():
            msg = "neither a tile-part nor the end of the codestream is where its last tile-part ends: lengths in it are corrupt"
            raise FormatError(msg)
        return rows

    def check_absent(self, parts: TileParts) -> None:
        """Let tiles without tile-parts be 0, as OpenJPEG has it, where the codestream ends properly.

        Warns
        -----
        DataWarning
            Since the standard wants a tile-part of each (A.4.2).

        Raises
        ------
        FormatError
            If it does not: then they are lost.
        """
        if not parts.complete:
            msg = f"is missing: {_TRUNCATED}"
            raise FormatError(msg)
        tiles = self._codestream.tiles
        msg = f"{parts.absent} of {tiles} tiles are not in the codestream; they are 0 [{public_url(self._source.url)}]"
        warn_caller(msg, DataWarning)

    def check_lacking(self, parts: TileParts, heads: list[memoryview]) -> None:
        """Let the tile-parts that there are make the tile, as OpenJPEG has it, where the codestream ends properly.

        Warns
        -----
        DataWarning
            If they are fewer than they say themselves (TNsot, A.4.2).

        Raises
        ------
        FormatError
            If they are, and the codestream does not end properly: then the others are lost. If they are not numbered one by one
            (TPsot): then they are not all of this tile.
        """
        if not are_in_order(heads):
            numbers = ", ".join(str(head[SOT_BYTES - 2]) for head in heads)
            msg = f"the tile-parts of a tile are numbered {numbers} (TPsot), not one by one: some are lost, or of another tile"
            raise FormatError(msg)
        lacking = count_lacking(heads)
        if not lacking:
            return
        if not parts.complete:
            msg = f"{lacking} of {lacking + len(heads)} tile-parts are missing: {_TRUNCATED}"
            raise FormatError(msg)
        msg = f"{lacking} of {lacking + len(heads)} tile-parts of a tile are not in the codestream; it is decoded without them"
        warn_caller(f"{msg} [{public_url(self._source.url)}]", DataWarning)

    def _find_parts(self, *, trust: bool) -> TileParts:
        with located(url=self._source.url):
            return find_parts(self._codestream, self._source, trust=trust)


@dataclass(frozen=True)
class TileCollector:
    """Collects tiles as codestreams of their own."""

    codec: JPEG2000Codec
    table: PartTable
    key: FileKey
    """Identity of the file within this process."""
    head: int
    """Bytes of a tile-part to read first, where only some of its packets are needed."""
    thresholds: Thresholds = USUAL

    def prepare(self) -> None:
        """Find the tile-parts."""
        self.table.get()

    def size(self, number: int) -> int:
        """Encoded bytes of a tile."""
        parts = self.table.get()
        rows = parts.rows_of(int(self.codec.tiles[number]))
        return int((parts.stops[rows] - parts.starts[rows]).sum())

    def collect(self, number: int, window: tuple[slice, ...]) -> ChunkSteps:
        """Collect a tile, or the packets of it that a window needs."""
        header, tile = self.codec.header, int(self.codec.tiles[number])
        parts = self.table.get()
        rows = self.table.find_rows(parts, tile)
        if rows.start < rows.stop and self._in_parts(number, window):
            body = yield from self._collect_packets(number, window, parts)
            if body is not None:
                return tile_codestream(header, tile, body, ())
        for again in (False, True):
            if rows.start == rows.stop:
                self.table.check_absent(parts)
                return None
            views = yield _part_ranges(parts, rows)
            theirs = _are_parts_of(views, tile, parts.serials[rows] == len(parts.serials) - 1)
            # A TLM may have given one of them to another tile.
            if theirs and (parts.found != "TLM" or (are_all_parts(views) and are_in_order(views))):
                break
            if again or parts.found != "TLM":
                msg = "no tile-part where one should be: the file has changed, or its lengths are corrupt"
                raise FormatError(msg)
            parts = self.table.distrust()
            rows = self.table.find_rows(parts, tile)
        self.table.check_lacking(parts, views)
        chosen: list[bytes] = []
        if header.packed:
            serials = parts.serials[rows].tolist()
            if max(serials) >= len(header.packed):
                msg = "packet headers (PPM) of this tile are missing"
                raise FormatError(msg)
            chosen = [header.packed[i] for i in serials]
        return tile_codestream(header, tile, _renumber_parts(views), chosen)

    def _in_parts(self, number: int, window: tuple[slice, ...]) -> bool:
        """Whether a window needs so little of its tile that single packets are worth looking for."""
        if self.codec.header.relocated or self.size(number) < self.thresholds.small_tile:
            return False
        if not openjpeg.shared_path():
            return False
        if self.codec.reduce:
            return True
        if not self.codec.partial:
            return False
        x0, y0, x1, y1 = self.codec.chunk_bounds(number, self.codec.components[0])
        _, rows, columns = window
        share = (rows.stop - rows.start) * (columns.stop - columns.start) / max(1, (x1 - x0) * (y1 - y0))
        return share < 0.7 or (share < 1 and self.size(number) > _LARGE_TILE_BYTES)

    def _collect_packets(
        self, number: int, window: tuple[slice, ...], parts: TileParts
    ) -> Steps[list[bytes | memoryview] | None]:
        """Collect the packets of a tile that a window needs; None where they cannot be told apart."""
        codec, header = self.codec, self.codec.header
        tile = int(codec.tiles[number])
        ranges = _part_ranges(parts, parts.rows_of(tile))
        area = codec.window_area(number, window) if codec.partial else header.size.tile_bounds(tile)
        wanted = tuple(codec.components[window[0]]) if codec.partial else codec.components
        whole = len(wanted) == len(header.size.components) and area == header.size.tile_bounds(tile)
        request, cached, key = (
            TileRequest(header, tile, area, codec.reduce, wanted, whole, parts.found == "TLM"),
            CachedRanges(),
            (self.key, "packets", tile),
        )
        found: object = tiles.get(key)
        if not isinstance(found, TilePackets):
            found = yield from find_packets(request, ranges, cached, head=self.head, thresholds=self.thresholds)
            if found is None:
                return None
            if found.complete:
                tiles.put(key, found)
        return (yield from found.collect(request, cached))


def _part_ranges(parts: TileParts, rows: slice) -> list[tuple[int, int]]:
    return list(zip(parts.starts[rows].tolist(), parts.stops[rows].tolist(), strict=True))


def _are_parts_of(views: list[memoryview], tile: int, last: npt.NDArray[np.bool_]) -> bool:
    """Whether the bytes are tile-parts of this tile, and as long as they say; only the last of a file may leave that out (A.4.2)."""
    for view, is_last in zip(views, last.tolist(), strict=True):
        found = parse_sot(view)
        if found is None or found[0] != tile or found[1] not in ({0, len(view)} if is_last else {len(view)}):
            return False
    return True


def _renumber_parts(views: list[memoryview]) -> list[bytes | memoryview]:
    """Tile-parts with tile number 0, their length written out, and of their segments those that say how they are decoded."""
    body: list[bytes | memoryview] = []
    for view in views:
        if len(view) > SOT_BYTES:
            rest = order_part(view)
            length = SOT_BYTES + sum(map(len, rest))
            body += [struct.pack(">HHHI", 0xFF90, 10, 0, length) + bytes(view[10:SOT_BYTES]), *rest]
    return body
