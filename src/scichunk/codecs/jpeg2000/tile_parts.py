"""Where the tile-parts lie: by TLM, else from one to the next, over networks in parallel chains that find their place again."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.jpeg2000.parameters import MainHeader
from scichunk.errors import FormatError, LimitExceeded
from scichunk.sources import ByteSource

__all__ = [
    "SOT_BYTES",
    "Codestream",
    "TileParts",
    "are_all_parts",
    "are_in_order",
    "count_lacking",
    "find_parts",
    "parse_sot",
]

IntArray = npt.NDArray[np.int64]

SOT_BYTES: Final = 12
_SOT: Final = struct.Struct(">HHHIBB")
# SOT with its length, which is always 10 (A.4.2).
_MARK: Final = b"\xff\x90\0\x0a"
_MOST_PARTS: Final = 1 << 20
_WINDOW_BYTES: Final = 1 << 16
_MOST_CHAINS: Final = 16
_SEARCH_BYTES: Final = 1 << 19


@dataclass(frozen=True, slots=True)
class Codestream:
    """A codestream within a file: a JPEG 2000 file, or any other that holds one."""

    header: MainHeader = field(repr=False)
    start: int
    """First byte, that of SOC."""
    stop: int
    """First byte behind it."""

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.header.size.across * self.header.size.down


@dataclass(frozen=True, slots=True)
class TileParts:
    """Tile-parts sorted by tile; those of tile ``i`` are rows ``first[i]`` to ``first[i + 1]``. Pickles to 20 bytes a part."""

    first: IntArray
    starts: IntArray
    """First byte of each SOT."""
    stops: IntArray
    serials: IntArray
    """Position in file order, which is that of PPM."""
    complete: bool
    """Whether the codestream ends properly: then a tile without parts is 0, else it is lost."""
    absent: int
    """Tiles without parts."""
    found: str
    """``"TLM"`` or ``"tile-parts"``."""
    lost: bool = False
    """Whether something else than a tile-part or EOC follows the last one, so that its length is not to be believed."""

    def rows_of(self, tile: int) -> slice:
        """Rows of a tile."""
        return slice(int(self.first[tile]), int(self.first[tile + 1]))


def parse_sot(data: bytes | memoryview) -> tuple[int, int] | None:
    """(tile, length) of a SOT segment (A.4.2); None if it is none."""
    if len(data) < SOT_BYTES:
        return None
    marker, size, tile, length, _, _ = _SOT.unpack(bytes(data[:SOT_BYTES]))
    return (tile, length) if marker == 0xFF90 and size == 10 else None


def are_all_parts(heads: Iterable[bytes | memoryview]) -> bool:
    """Whether tile-parts are as many as their SOT segments say that the tile has (TNsot, A.4.2), as far as they say it."""
    counts = [bytes(head[SOT_BYTES - 1 : SOT_BYTES]) for head in heads]
    return set(counts) <= {b"\x00", bytes([min(len(counts), 255)])}


def are_in_order(heads: Sequence[bytes | memoryview]) -> bool:
    """Whether the tile-parts of a tile are numbered from 0 on by their SOT segments (TPsot, A.4.2)."""
    return [head[SOT_BYTES - 2] for head in heads] == list(range(len(heads)))


def count_lacking(heads: Sequence[bytes | memoryview]) -> int:
    """Count the tile-parts that the SOT segments of a tile speak of (TNsot, A.4.2) and that are not there."""
    said = max((head[SOT_BYTES - 1] for head in heads), default=0)
    return max(0, said - len(heads))


def find_parts(codestream: Codestream, source: ByteSource, *, trust: bool = True) -> TileParts:
    """Find all tile-parts.

    Parameters
    ----------
    codestream
        Where it lies, and its main header.
    source
        The file.
    trust
        Use TLM, if it has all tiles and its lengths end at EOC.

    Raises
    ------
    FormatError
        If there is no tile-part at all.
    """
    first = codestream.start + codestream.header.length
    tiles, lengths = codestream.header.lengths.T
    # Every tile has a tile-part (A.4.2): a TLM that leaves one out may have another in its place, and nobody would look there.
    all_there = np.array_equal(np.unique(tiles), np.arange(codestream.tiles))
    if trust and all_there and _ends_well(codestream, source, first + int(lengths.sum())):
        stops = first + np.cumsum(lengths)
        return _make_table(codestream, tiles, stops - lengths, stops, complete=True, found="TLM")
    known = {} if source.is_cheap or codestream.tiles <= _MOST_CHAINS else _follow_chains(codestream, source, first)
    return _hop_parts(codestream, source, first, known)


def _ends_well(codestream: Codestream, source: ByteSource, end: int) -> bool:
    """Whether EOC is where the tile-parts are said to end."""
    if end + 2 == codestream.stop:
        return True  # a wrong TLM that ends there is noticed when a tile is read
    return end + 2 < codestream.stop and bytes(source.read_ranges([end], [end + 2])[0]) == b"\xff\xd9"


def _hop_parts(codestream: Codestream, source: ByteSource, at: int, known: dict[int, tuple[int, int]]) -> TileParts:
    """Go from one tile-part to the next by its length."""
    stop, size = codestream.stop, source.fingerprint.size
    tiles: list[int] = []
    starts: list[int] = []
    stops: list[int] = []
    base, window, ahead = 0, memoryview(b""), SOT_BYTES
    complete = last = lost = False
    while at + 2 <= size and len(tiles) < _MOST_PARTS:  # also where the box is said to be shorter, as in OpenJPEG
        found = known.get(at)
        if found is None:
            if not base <= at or at + SOT_BYTES > base + len(window):
                base, window = at, memoryview(bytes(source.read_ranges([at], [min(size, at + ahead)])[0]))
            part = window[at - base : at - base + SOT_BYTES]
            if bytes(part[:2]) == b"\xff\xd9":
                complete = True
                break
            found = parse_sot(part)
            if found is None:
                # Two bytes at the end of the file may be anything, and a box may follow the codestream where it has no EOC.
                lost = bytes(part[:2]) != _MARK[:2] and at + 2 < size and at != stop
                break
        tile, length = found
        if length == 0:  # up to EOC, which is said of the last tile-part only (A.4.2)
            length = stop - at - (2 if _ends_with_eoc(source, stop) else 0)
            last = True
        # The least by the standard is 14, SOT and SOD (A.4.2); 12, that of SOT alone, is let pass.
        if tile >= codestream.tiles or (length < 14 and length != SOT_BYTES):
            break
        # Small tile-parts come in crowds: read on, so that some of the next headers are there already.
        ahead = _WINDOW_BYTES if length < _WINDOW_BYTES // 8 else SOT_BYTES
        tiles.append(tile)
        starts.append(at)
        stops.append(at + length)
        at += length
        if last:  # of a tile-part that is not the last it is wrong: the tiles behind it are lost
            complete = len(set(tiles)) == codestream.tiles
            break
    if len(tiles) >= _MOST_PARTS:
        msg = f"more than {_MOST_PARTS} tile-parts"
        raise LimitExceeded(msg)
    if not tiles:
        msg = f"no tile-part at byte {at}"
        raise FormatError(msg)
    # EOC within the last tile-part, where no packet has its bytes (B.10.1): something before it is missing.
    end = min(stop, size)
    lost = lost or (not complete and end - 2 < at <= end and _ends_with_eoc(source, end))
    table = _make_table(
        codestream, np.array(tiles), np.array(starts), np.array(stops), complete=complete, found="tile-parts"
    )
    return replace(table, lost=lost)


def _ends_with_eoc(source: ByteSource, stop: int) -> bool:
    return bytes(source.read_ranges([stop - 2], [stop])[0]) == b"\xff\xd9"


def _make_table(
    codestream: Codestream, tiles: IntArray, starts: IntArray, stops: IntArray, *, complete: bool, found: str
) -> TileParts:
    # Stable: tile-parts of one tile stay in the order of the file, which is that of their packets (A.4.2).
    order = np.argsort(tiles, kind="stable")
    first = np.searchsorted(tiles[order], np.arange(codestream.tiles + 1))
    absent = int(np.count_nonzero(np.diff(first) == 0))
    return TileParts(
        first.astype(np.int64), starts[order], stops[order], order.astype(np.int64), complete, absent, found
    )


def _follow_chains(codestream: Codestream, source: ByteSource, first: int) -> dict[int, tuple[int, int]]:
    """Tile-parts by place, found by several chains at once, one request for all of them a round.

    Each begins at the first SOT behind its place: in the data of packets no byte behind FF is above 8F (B.10.1). What is
    found elsewhere (in a comment) does no harm, since only what the first chain leads to counts.
    """
    stop = min(codestream.stop, source.fingerprint.size)
    count = min(_MOST_CHAINS, max(2, codestream.tiles // 5))
    step = (stop - first) // count
    known: dict[int, tuple[int, int]] = {}
    window = max(_WINDOW_BYTES, min(_SEARCH_BYTES, (stop - first) // codestream.tiles // 4))
    heads = [first, *_resynchronise(source, [first + i * step for i in range(1, count)], step, stop, window)]
    origins = set(heads)
    # Bounded by tiles, since each round goes on by a tile-part at least; with more parts than that the rest is hopped over.
    for _ in range(codestream.tiles + 1):
        heads = [h for h in heads if h not in known and h + SOT_BYTES <= stop]
        if not heads:
            break
        views = source.read_ranges(heads, [h + SOT_BYTES for h in heads])
        following = []
        for head, view in zip(heads, views, strict=True):
            found = parse_sot(view)
            if found is None or found[1] < SOT_BYTES:
                continue
            known[head] = found
            if head + found[1] not in origins:
                following.append(head + found[1])
        heads = list(dict.fromkeys(following))
    return known


def _resynchronise(source: ByteSource, offsets: list[int], step: int, stop: int, window: int) -> list[int]:
    """Find the first SOT behind each place, looking at a part of the way in each round; none where there is none."""
    found: list[int] = []
    looking = [(p, p + step) for p in offsets]
    while looking:
        views = source.read_ranges([a for a, _ in looking], [min(a + window + 3, stop) for a, _ in looking])
        left = []
        for (at, end), view in zip(looking, views, strict=True):
            position = bytes(view).find(_MARK)
            if position >= 0:
                found.append(at + position)
            elif at + window < min(end, stop - 3):
                left.append((at + window, end))
        looking = left
    return found
