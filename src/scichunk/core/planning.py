"""From native chunks to dask chunks: whole tiles, merged to the size that dask likes. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scichunk.core.grid import ChunkGrid
from scichunk.errors import LimitExceeded, PerformanceWarning
from scichunk.warned import warn_caller

__all__ = ["auto_chunks", "preferred_chunks", "resolve_chunks", "sizes_by_name"]

_LARGEST_BYTES = 1 << 31
_MOST_CHUNKS = 1 << 26
"""Chunks that are merged to larger ones beyond this number (of 128 MiB: 8 PiB), where dask would take longer and longer to find one."""
_MOST_PREFERRED = 1 << 21
"""The same for arrays that xarray makes of chunks: at each compute dask lists all of them, in a microsecond and 200 bytes a chunk."""
_MOST_LENGTHS = 1 << 22
"""Most chunks along one axis: dask lists the length of each, in 50 bytes and a third of a microsecond (40 million: 2 GB, 14 s)."""
Chunks = tuple[tuple[int, ...], ...]


def preferred_chunks(grid: ChunkGrid, itemsize: int, *, whole: int = 1 << 20) -> tuple[int | tuple[int, ...], ...]:
    """Native chunks, with tiny ones merged: strips of a few rows become at least ``whole`` bytes.

    Parameters
    ----------
    grid
        Native chunks; regular on the axes to be merged.
    itemsize
        Bytes of one value.
    whole
        Least bytes of a chunk; more where there would be over two million chunks.

    Returns
    -------
    tuple of int, or of tuples of int
        A multiple of the native chunk on every axis, or the axis' length; the native chunks of irregular axes.
    """
    return _align_chunks(_grow_chunks(grid, itemsize, whole, _MOST_PREFERRED), grid)


def auto_chunks(grid: ChunkGrid, itemsize: int, target: int) -> tuple[int, ...]:
    """Multiples of the native chunk near ``target`` bytes, about square in the last two axes, all in one along the first.

    Parameters
    ----------
    grid
        Native chunks.
    itemsize
        Bytes of one value.
    target
        Bytes of a chunk, as in dask's ``array.chunk-size``.
    """
    return _grow_chunks(grid, itemsize, target, _MOST_CHUNKS)


def _align_chunks(sizes: tuple[int, ...], grid: ChunkGrid) -> tuple[int | tuple[int, ...], ...]:
    """Native chunks where an axis is irregular: chunks of one size would cut them."""
    return tuple(
        size if isinstance(edge, int) else tuple(int(b - a) for a, b in itertools.pairwise(edge))
        for size, edge in zip(sizes, grid.edges, strict=True)
    )


def _grow_chunks(grid: ChunkGrid, itemsize: int, target: int, most: int) -> tuple[int, ...]:
    """Double the shorter of the last two axes while the result stays within the target, or they are too many; then the leading axes."""
    # Nothing is to be read; but beside an axis of 0 a header can name any number, of which dask would list the chunks.
    if 0 in grid.shape:
        return tuple(n or 1 for n in grid.shape)
    target = max(target, math.prod(grid.shape) * itemsize // most)
    native = [max(1, n) for n in grid.chunk_shape]
    padded = itemsize  # bytes of all native chunks, each as long as the first
    for length, edge in zip(grid.shape, native, strict=True):
        padded *= -(-length // edge) * edge
    if 0 < padded <= target and not any(
        isinstance(edge, np.ndarray) for edge in grid.edges
    ):  # no need to grow step by step
        return grid.shape
    regular = [isinstance(edge, int) for edge in grid.edges]
    while math.prod(native) * itemsize > max(
        target, _LARGEST_BYTES
    ):  # absurd or hostile: better to decode a part than not at all
        longest = native.index(max(native))
        native[longest] = -(-native[longest] // 2)
    chunk = list(native)
    # The last two axes are those of images: square chunks serve windows best.
    order = [*range(len(chunk) - 1, max(len(chunk) - 3, -1), -1), *range(len(chunk) - 3, -1, -1)]
    growing = {axis for axis in order if regular[axis] and chunk[axis] < grid.shape[axis]}
    while growing:
        plane = [a for a in order[:2] if a in growing]
        axis = min(plane, key=lambda a: chunk[a]) if plane else next(a for a in order if a in growing)
        size = math.prod(chunk) * itemsize
        tiles = chunk[axis] // native[axis]
        # A thousandth more than the target, so that what is just above it is not halved.
        room = int(target * 1.001) // max(1, size // tiles)  # native chunks that fit along this axis, all else as it is
        all_tiles = -(-grid.shape[axis] // native[axis])
        wanted = min(tiles * 2, all_tiles)
        if room >= wanted:
            chunk[axis] = wanted * native[axis]
            if wanted == all_tiles:
                chunk[axis] = grid.shape[axis]
                growing.discard(axis)
        else:
            if room > tiles:
                chunk[axis] = min(room, all_tiles) * native[axis]
            growing.discard(axis)
    return tuple(min(c, n) if n else 1 for c, n in zip(chunk, grid.shape, strict=True))


def sizes_by_name(chunks: Any, dims: Sequence[str], grid: ChunkGrid, itemsize: int) -> Any:
    """Turn chunks by names of dimensions into those of each axis; what is not by names stays as it is.

    Parameters
    ----------
    chunks
        What the user asked for.
    dims
        Names of the axes.
    grid, itemsize
        Native chunks, and bytes of a value: axes that are not named get what xarray would give them.

    Raises
    ------
    ValueError
        For a dimension that is not there.
    """
    if not isinstance(chunks, Mapping) or not chunks:
        return chunks
    named = {int(d) if hasattr(d, "__index__") else d: size for d, size in chunks.items()}  # also integers of NumPy
    unknown = [d for d in named if d not in dims and not (isinstance(d, int) and -len(dims) <= d < len(dims))]
    if unknown:
        msg = f"chunks names dimensions that are not there: {unknown}; there are {list(dims)}"
        raise ValueError(msg)
    sizes = list(preferred_chunks(grid, itemsize))
    for dim, size in named.items():
        sizes[dim if isinstance(dim, int) else dims.index(dim)] = size
    return tuple(sizes)


def resolve_chunks(chunks: Any, grid: ChunkGrid, itemsize: int, target: int) -> Chunks:  # what dask takes
    """Turn what the user asked for into dask chunks; warn where they cut native chunks.

    Parameters
    ----------
    chunks
        ``"auto"``, True or None, a size for it (``"64MiB"``), ``"native"``, ``{}``, or anything that
        :func:`dask.array.core.normalize_chunks` takes.
    grid
        Native chunks.
    itemsize
        Bytes of one value.
    target
        Bytes of an automatic chunk.

    Returns
    -------
    tuple of tuples of int

    Raises
    ------
    LimitExceeded
        If they are more along an axis than dask can list.
    ValueError
        If they are none.
    """
    from dask.array.core import normalize_chunks
    from dask.utils import parse_bytes

    if chunks is None or chunks is True:
        chunks = "auto"
    if isinstance(chunks, str) and chunks not in {"auto", "native"}:
        try:
            chunks, target = "auto", parse_bytes(chunks)
        except ValueError:
            raise ValueError(_explain_wrong(chunks, grid)) from None
    if isinstance(chunks, Mapping) and not set(chunks) <= set(range(len(grid.shape))):  # dask would not look at them
        raise ValueError(_explain_wrong(chunks, grid))
    if isinstance(chunks, str) and chunks == "auto":
        sizes: Any = _align_chunks(auto_chunks(grid, itemsize, target), grid)
    elif (isinstance(chunks, str) and chunks == "native") or (isinstance(chunks, dict) and not chunks):
        sizes = tuple(
            edge if isinstance(edge, int) else tuple(int(b - a) for a, b in itertools.pairwise(edge))
            for edge in grid.edges
        )
        sizes = tuple(max(1, min(s, n)) if isinstance(s, int) else s for s, n in zip(sizes, grid.shape, strict=True))
    else:
        sizes = chunks
    _check_count(sizes, grid.shape)
    if sizes is not chunks:
        return tuple(_cut(size, length) for size, length in zip(sizes, grid.shape, strict=True))
    try:
        found: Chunks = normalize_chunks(
            sizes, grid.shape, limit=target, dtype=f"V{itemsize}", previous_chunks=auto_chunks(grid, itemsize, 0)
        )
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise ValueError(_explain_wrong(chunks, grid)) from error
    _warn_if_misaligned(found, grid, itemsize, target)
    return found


def _cut(size: int | tuple[int, ...], length: int) -> tuple[int, ...]:
    """Lengths of chunks along an axis, as dask lists them; it would look for what cannot be meant here at 35 microseconds a time."""
    if isinstance(size, tuple):
        return size or (0,)
    whole, rest = divmod(length, size)
    return (size,) * whole + ((rest,) if rest or not whole else ())


def _check_count(sizes: Any, shape: tuple[int, ...]) -> None:
    """Refuse lengths of chunks that would be repeated too often; anything else is looked at by dask."""
    if isinstance(sizes, int):
        sizes = (sizes,) * len(shape)
    pairs = sizes.items() if isinstance(sizes, Mapping) else enumerate(sizes) if isinstance(sizes, tuple | list) else ()
    for axis, size in pairs:
        if not (isinstance(axis, int) and isinstance(size, int) and 0 <= axis < len(shape)) or size < 1:
            continue
        count = -(-shape[axis] // size)
        if count > _MOST_LENGTHS:
            msg = (
                f"{count} chunks of {size} along axis {axis}, of which dask would list each; "
                'chunks="auto" or a size such as "64MiB" merges them'
            )
            raise LimitExceeded(msg)


def _explain_wrong(chunks: Any, grid: ChunkGrid) -> str:
    return (
        f'chunks must be "auto", "native", a size such as "64MiB", one length, lengths of each axis of the shape {grid.shape}, '
        f"or lengths by axis ({{0: 1, 1: 512}}), got {chunks!r}"
    )


def _warn_if_misaligned(chunks: Chunks, grid: ChunkGrid, itemsize: int, target: int) -> None:
    factor = 1.0
    for axis, sizes in enumerate(chunks):
        factor *= _count_repeats(sizes, grid, axis)
    if factor > 1.1:  # a tenth of the work done twice is not worth a word
        better = auto_chunks(grid, itemsize, target)
        msg = (
            f"these chunks cut the file's own chunks {grid.chunk_shape}: each is decoded {factor:.1f} times on average. "
            f"Better: chunks={better}, then .rechunk()."
        )
        warn_caller(msg, PerformanceWarning)


def _count_repeats(sizes: Sequence[int], grid: ChunkGrid, axis: int) -> float:
    """How many times the chunks of an axis are read on average."""
    if not grid.counts[axis]:
        return 1.0
    read, start = 0, 0
    for size in sizes:
        if size:
            read += grid.find(axis, start + size - 1) - grid.find(axis, start) + 1
        start += size
    return read / grid.counts[axis]
