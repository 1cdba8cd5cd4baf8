"""From structure to chunks: one tile each, found and collected when a read asks for them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.jpeg2000.codec import JPEG2000Codec, sample_type
from scichunk.codecs.jpeg2000.parameters import ceil_div
from scichunk.core.grid import ChunkGrid
from scichunk.core.manifest import ChunkManifest
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature
from scichunk.formats.jpeg2000.structure import Group, JPEG2000Structure

__all__ = ["build_index", "check_tiles", "group_type", "planning_grid"]

_LARGE_TILE_SAMPLES: Final = 1 << 24
"""Samples of a tile that is planned in parts."""
_PART_SAMPLES: Final = 2048
_FREE_RESOLUTIONS: Final = 1 << 20
"""Resolutions of components of all tiles together, of which OpenJPEG sets up each, in some microseconds: about ten seconds."""
_MOST_EMPTY: Final = 4


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


def check_tiles(structure: JPEG2000Structure) -> None:
    """Refuse components that have samples in few of very many tiles: OpenJPEG sets up all in each, and no byte of the file stands for that.

    Raises
    ------
    LimitExceeded
        If nearly all that would have to be set up is empty.
    """
    header, s = structure.header, structure.header.size
    if s.across * s.down * len(s.components) * 33 <= _FREE_RESOLUTIONS:  # as in nearly all files
        return
    everything = filled = 0
    for group in structure.groups:
        resolutions = sum(header.coding_of(c).levels + 1 for c in group.components)
        columns = _find_borders((s.tile_x0, s.tile_x, s.across), (s.x0, s.x1), group.dx, 0)[1]
        rows = _find_borders((s.tile_y0, s.tile_y, s.down), (s.y0, s.y1), group.dy, 0)[1]
        everything += s.across * s.down * resolutions
        filled += len(columns) * len(rows) * resolutions
    if everything > _FREE_RESOLUTIONS and everything > _MOST_EMPTY * filled:
        msg = f"{len(s.components)} components, most of which have no samples in most of {s.across * s.down} tiles"
        raise LimitExceeded(msg)


def build_index(structure: JPEG2000Structure, group: Group, reduce: int) -> tuple[ChunkManifest, JPEG2000Codec]:
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
    shape = structure.group_shape(group, reduce)
    if min(shape) < 1:
        msg = f"components {group.components} have no samples"
        raise FormatError(msg)
    s = header.size
    x, columns = _find_borders((s.tile_x0, s.tile_x, s.across), (s.x0, s.x1), group.dx, reduce)
    y, rows = _find_borders((s.tile_y0, s.tile_y, s.down), (s.y0, s.y1), group.dy, reduce)
    tiles = (rows[:, None] * s.across + columns[None, :]).reshape(-1)
    grid = ChunkGrid(shape, (shape[0], _chunk_lengths(y), _chunk_lengths(x)))
    codec = JPEG2000Codec(header, group.components, reduce, tiles, dtype)
    none = np.zeros(0, np.uint64)
    return ChunkManifest(grid, dtype, codec, none, none, label="tile"), codec


def planning_grid(grid: ChunkGrid, *, partial: bool) -> ChunkGrid:
    """Cut large tiles to parts that can be decoded one by one, and put small ones together where they are irregular."""
    bands, rows, columns = grid.chunk_shape
    large = partial and rows * columns * bands > _LARGE_TILE_SAMPLES
    edges: list[int | npt.NDArray[np.int64]] = []
    for axis in (1, 2):
        edge, length = grid.edges[axis], grid.shape[axis]
        if not isinstance(edge, int):
            edge = _merge_borders(edge)
        elif large and edge > _PART_SAMPLES and (grid.counts[axis] == 1 or edge % _PART_SAMPLES == 0):
            edge = min(_PART_SAMPLES, length)
        edges.append(edge)
    return ChunkGrid(grid.shape, (grid.edges[0], *edges))


def _merge_borders(borders: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Borders at least :data:`_PART_SAMPLES` apart, where the tiles are smaller than that."""
    kept = [int(borders[0])]
    for border in borders[1:-1].tolist():
        if border - kept[-1] >= _PART_SAMPLES:
            kept.append(border)
    return np.array([*kept, int(borders[-1])], np.int64)


def _find_borders(
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
    edges = np.clip(first + step * np.arange(count + 1, dtype=np.int64), low, high)
    samples = (edges + distance - 1) // distance
    found = (samples + (1 << reduce) - 1) >> reduce
    filled = np.flatnonzero(np.diff(found) > 0)
    return np.concatenate([found[filled], found[-1:]]) - ceil_div(ceil_div(low, distance), 1 << reduce), filled


def _chunk_lengths(borders: npt.NDArray[np.int64]) -> int | npt.NDArray[np.int64]:
    sizes = np.diff(borders)
    if (sizes[:-1] == sizes[0]).all() and sizes[-1] <= sizes[0]:
        return int(sizes[0])
    return borders
