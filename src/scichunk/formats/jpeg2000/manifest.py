"""From structure to chunks: one tile each, found and collected when a read asks for them."""

from __future__ import annotations

import struct
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs import openjpeg
from scichunk.codecs.codestream import ceil_div
from scichunk.codecs.jpeg2000 import TileCodec, sample_type
from scichunk.codecs.tilestream import tile_codestream
from scichunk.core.cache import FileKey, tiles
from scichunk.core.grid import ChunkGrid
from scichunk.core.manifest import ChunkManifest
from scichunk.core.staged import Steps
from scichunk.errors import FormatError, UnsupportedFeature, located
from scichunk.formats.jpeg2000.structure import Group, Structure
from scichunk.formats.jpeg2000.tile_packets import USUAL, Held, Request, Thresholds, TilePackets, find_packets
from scichunk.formats.jpeg2000.tiles import SOT_BYTES, TileParts, find_parts, parse_sot
from scichunk.sources import ByteSource

__all__ = ["PartTable", "TileCollector", "build_index", "group_type", "planning_grid"]

_LARGE_TILE: Final = 1 << 24
"""Samples of a tile that is planned in parts."""
_PART: Final = 2048
_BIG: Final = 1 << 20


def group_type(group: Group) -> np.dtype[Any]:
    """Type that holds all components of a group.

    Raises
    ------
    UnsupportedFeature
        For components that OpenJPEG's 32-bit integers do not hold.
    """
    mixed = any(group.signed)
    deepest = max(b + (mixed and not s) for b, s in zip(group.bits, group.signed, strict=True))
    if deepest > 31:
        msg = f"components of {max(group.bits)} bits"
        raise UnsupportedFeature(msg)
    return sample_type(deepest, signed=mixed)


def build_index(structure: Structure, group: Group, reduce: int) -> tuple[ChunkManifest, TileCodec]:
    """Make grid and codec of a group of components.

    Raises
    ------
    FormatError
        If it cannot be halved so often.
    UnsupportedFeature
        If only the reference reader can decode it.
    """
    header = structure.header
    levels = header.levels
    if not 0 <= reduce <= levels:
        msg = f"it can be halved {levels} times, not {reduce}"
        raise FormatError(msg)
    dtype = group_type(group)
    shape = structure.shape(group, reduce)
    if min(shape) < 1:
        msg = f"components {group.components} have no samples"
        raise FormatError(msg)
    s = header.size
    x, columns = _borders((s.tile_x0, s.tile_x, s.across), (s.x0, s.x1), group.dx, reduce)
    y, rows = _borders((s.tile_y0, s.tile_y, s.down), (s.y0, s.y1), group.dy, reduce)
    tiles = (rows[:, None] * s.across + columns[None, :]).reshape(-1)
    grid = ChunkGrid(shape, (shape[0], _edge(y), _edge(x)))
    codec = TileCodec(header, group.components, reduce, tiles, dtype)
    none = np.zeros(0, np.uint64)
    return ChunkManifest(grid, dtype, codec, none, none, noun="tile"), codec


def planning_grid(grid: ChunkGrid, *, partial: bool) -> ChunkGrid:
    """Cut large tiles to parts that can be decoded one by one, and put small ones together where they are irregular."""
    bands, rows, columns = grid.chunk_shape
    large = partial and rows * columns * bands > _LARGE_TILE
    edges: list[int | npt.NDArray[np.int64]] = []
    for axis in (1, 2):
        edge, length = grid.edges[axis], grid.shape[axis]
        if not isinstance(edge, int):
            edge = _merged(edge)
        elif large and edge > _PART and (grid.counts[axis] == 1 or edge % _PART == 0):
            edge = min(_PART, length)
        edges.append(edge)
    return ChunkGrid(grid.shape, (grid.edges[0], *edges))


def _merged(borders: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Borders at least :data:`_PART` apart, where the tiles are smaller than that."""
    kept = [int(borders[0])]
    for border in borders[1:-1].tolist():
        if border - kept[-1] >= _PART:
            kept.append(border)
    return np.array([*kept, int(borders[-1])], np.int64)


def _borders(
    tiles: tuple[int, int, int], image: tuple[int, int], distance: int, reduce: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Borders of tiles in samples from 0, and the tiles between them; tiles without samples are left out.

    Parameters
    ----------
    tiles
        Along one axis of the reference grid: where the first begins, its size, and how many there are.
    image
        Where the image begins and ends.
    distance, reduce
        Of the samples on the reference grid, and how many times they are halved.
    """
    (first, step, count), (low, high) = tiles, image
    places = np.clip(first + step * np.arange(count + 1, dtype=np.int64), low, high)
    samples = (places + distance - 1) // distance
    found = (samples + (1 << reduce) - 1) >> reduce
    filled = np.flatnonzero(np.diff(found) > 0)
    return np.concatenate([found[filled], found[-1:]]) - ceil_div(ceil_div(low, distance), 1 << reduce), filled


def _edge(borders: npt.NDArray[np.int64]) -> int | npt.NDArray[np.int64]:
    sizes = np.diff(borders)
    if (sizes[:-1] == sizes[0]).all() and sizes[-1] <= sizes[0]:
        return int(sizes[0])
    return borders


class PartTable:
    """The tile-parts of a file, found on first use and shared by all its arrays."""

    def __init__(self, structure: Structure, source: ByteSource) -> None:
        self._structure, self._source = structure, source
        self._parts: TileParts | None = None
        self._lock = threading.Lock()

    @property
    def known(self) -> TileParts | None:
        """The tile-parts, if they have been looked for."""
        return self._parts

    @property
    def held_bytes(self) -> int:
        """Memory of the places, once they are known."""
        parts = self._parts
        return 0 if parts is None else parts.first.nbytes + 3 * parts.starts.nbytes

    def get(self) -> TileParts:
        """Return the tile-parts."""
        with self._lock:  # one search a process; decoding holds no lock
            if self._parts is None:
                self._parts = self._find(trust=True)
            return self._parts

    def distrust(self) -> TileParts:
        """Look for the tile-parts again, without TLM: it was wrong."""
        with self._lock:
            if self._parts is None or self._parts.found == "TLM":
                self._parts = self._find(trust=False)
            return self._parts

    def _find(self, *, trust: bool) -> TileParts:
        with located(url=self._source.url):
            return find_parts(self._structure, self._source, trust=trust)


@dataclass(frozen=True)
class TileCollector:
    """Collects tiles as codestreams of their own."""

    structure: Structure
    codec: TileCodec
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
        rows = parts.of(int(self.codec.tiles[number]))
        return int((parts.stops[rows] - parts.starts[rows]).sum())

    def collect(self, number: int, window: tuple[slice, ...]) -> Steps:
        """Collect a tile, or the packets of it that a window needs."""
        header, tile = self.structure.header, int(self.codec.tiles[number])
        parts = self.table.get()
        rows = parts.of(tile)
        if rows.start < rows.stop and self._in_parts(number, window):
            body = yield from self._collect_packets(number, window, _ranges(parts, rows))
            if body is not None:
                return tile_codestream(header, tile, body, ())
        for again in (False, True):
            if rows.start == rows.stop:
                self._check_absent(parts)
                return None
            views = yield _ranges(parts, rows)
            if _agree(views, tile):
                break
            if again or parts.found != "TLM":
                msg = "no tile-part where one should be: the file has changed, or its lengths are corrupt"
                raise FormatError(msg)
            parts = self.table.distrust()
            rows = parts.of(tile)
        chosen: list[bytes] = []
        if header.packed:
            serials = parts.serials[rows].tolist()
            if max(serials) >= len(header.packed):
                msg = "packet headers (PPM) of this tile are missing"
                raise FormatError(msg)
            chosen = [header.packed[i] for i in serials]
        return tile_codestream(header, tile, _moved(views), chosen)

    def _in_parts(self, number: int, window: tuple[slice, ...]) -> bool:
        """Whether a window needs so little of its tile that single packets are worth looking for."""
        if self.structure.header.relocated or self.size(number) < self.thresholds.small_tile:
            return False
        if not openjpeg.shared_path():
            return False
        if self.codec.reduce:
            return True
        if not self.codec.partial:
            return False
        x0, y0, x1, y1 = self.codec.bounds(number, self.codec.components[0])
        _, rows, columns = window
        share = (rows.stop - rows.start) * (columns.stop - columns.start) / max(1, (x1 - x0) * (y1 - y0))
        return share < 0.7 or (share < 1 and self.size(number) > _BIG)

    def _collect_packets(
        self, number: int, window: tuple[slice, ...], ranges: list[tuple[int, int]]
    ) -> Generator[list[tuple[int, int]], list[memoryview], list[bytes | memoryview] | None]:
        codec, header = self.codec, self.structure.header
        tile = int(codec.tiles[number])
        area = codec.area(number, window) if codec.partial else header.size.tile(tile)
        wanted = tuple(codec.components[window[0]]) if codec.partial else codec.components
        whole = len(wanted) == len(header.size.components) and area == header.size.tile(tile)
        request, held, key = (
            Request(header, tile, area, codec.reduce, wanted, whole),
            Held(),
            (self.key, "packets", tile),
        )
        found: object = tiles.get(key)
        if not isinstance(found, TilePackets):
            found = yield from find_packets(request, ranges, held, head=self.head, thresholds=self.thresholds)
            if found is None:
                return None
            if found.complete:
                tiles.put(key, found)
        return (yield from found.collect(request, held))

    def _check_absent(self, parts: TileParts) -> None:
        if not parts.complete:
            msg = "is missing: the file is truncated, or lengths in it are corrupt"
            raise FormatError(msg)


def _ranges(parts: TileParts, rows: slice) -> list[tuple[int, int]]:
    return list(zip(parts.starts[rows].tolist(), parts.stops[rows].tolist(), strict=True))


def _agree(views: list[memoryview], tile: int) -> bool:
    """Whether the bytes are tile-parts of this tile, and as long as they say."""
    for view in views:
        found = parse_sot(view)
        if found is None or found[0] != tile or found[1] not in {0, len(view)}:
            return False
    return True


def _moved(views: list[memoryview]) -> list[bytes | memoryview]:
    """Tile-parts with tile number 0 and their length written out."""
    body: list[bytes | memoryview] = []
    for view in views:
        if len(view) > SOT_BYTES:
            head = struct.pack(">HHHI", 0xFF90, 10, 0, len(view)) + bytes(view[10:SOT_BYTES])
            body += [head, view[SOT_BYTES:]]
    return body
