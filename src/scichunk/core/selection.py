"""The only indexing algebra of scichunk: what a key selects, and which piece of which chunk goes where.

A selection of one axis is a :class:`Span` (ascending, stepped) or an array of positions (any order, repeats allowed). A
region is orthogonal (one selection for each axis), or pointwise on some axes (as NumPy's vectorised indexing).
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scichunk.core.grid import ChunkGrid

__all__ = ["Piece", "Region", "Span", "outer_pieces", "parse_key", "piece_groups", "point_pieces", "where_true"]

Positions = npt.NDArray[np.intp]
_AT_ONCE: Final = 1 << 14
"""Pieces that are planned together: a piece takes a kilobyte until it is read, and chunks may have a pixel each."""


@dataclass(frozen=True, slots=True)
class Span:
    """Positions ``start, start + step, ...`` below ``stop``; ``step >= 1``."""

    start: int
    stop: int
    step: int = 1

    def __len__(self) -> int:
        return max(0, -(-(self.stop - self.start) // self.step))

    def positions(self) -> Positions:
        """Return the positions as an array."""
        return np.arange(self.start, self.stop, self.step, dtype=np.intp)


Axis = Span | Positions
Selector = slice | Positions


@dataclass(frozen=True, slots=True)
class Region:
    """An orthogonal selection, and what makes the values read look as the key asked."""

    axes: tuple[Axis, ...]
    """One ascending span or one array of positions for each axis."""
    finish: tuple[slice | int, ...]
    """Applied to what was read: 0 drops an axis that an integer picked, ``[::-1]`` turns a negative step."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what is read, before ``finish``."""
        return tuple(len(a) for a in self.axes)

    @property
    def plain(self) -> bool:
        """Whether ``finish`` changes nothing."""
        return all(f == slice(None) for f in self.finish)


class Piece(NamedTuple):
    """What one chunk gives to the output."""

    chunk: tuple[int, ...]
    source: tuple[Selector, ...]
    """Selection within the chunk, orthogonal (or pointwise, see :func:`point_pieces`)."""
    target: tuple[Selector, ...]
    """Where it goes in the output."""
    shape: tuple[int, ...]
    """Of the chunk, clipped to the array."""
    plain: bool
    """Whether there are slices alone."""
    complete: bool
    """Whether it is all of the chunk, as it lies, by slices."""


Part = tuple[int, Selector, Selector, int, bool]
"""What a piece is along one axis: chunk, source, target, length of the chunk, and whether the source is all of it, as it lies."""


def parse_key(key: Any, shape: Sequence[int]) -> Region:  # anything that can stand in square brackets
    """Normalise a key of integers, slices, one-dimensional integer or boolean arrays, and ``...``.

    Arrays are orthogonal: each applies to its own axis.

    Raises
    ------
    IndexError
        If there are too many indices, or one is out of bounds.
    TypeError
        If a part is none of these kinds.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    given = sum(p is not Ellipsis for p in parts)
    if len(parts) > given + 1:
        msg = "an index can only have one ellipsis (...)"
        raise IndexError(msg)
    if given > len(shape):
        msg = f"too many indices: {given} for {len(shape)} dimensions"
        raise IndexError(msg)
    # ``in`` compares arrays element by element, so they are left out.
    if Ellipsis in [p for p in parts if not isinstance(p, np.ndarray | list)]:
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - given)
    parts += [slice(None)] * (len(shape) - len(parts))
    axes: list[Axis] = []
    finish: list[slice | int] = []
    for part, length in zip(parts, shape, strict=True):
        axis, after = _parse_axis(part, int(length))
        axes.append(axis)
        finish.append(after)
    return Region(tuple(axes), tuple(finish))


def _parse_axis(part: Any, length: int) -> tuple[Axis, slice | int]:
    """Normalise the key of one axis; return what to read, and what to do with it afterwards."""
    if isinstance(part, slice):
        start, stop, step = part.indices(length)
        size = len(range(start, stop, step))
        if step > 0:
            return Span(start, start + (size - 1) * step + 1 if size else start, step), slice(None)
        # Read upwards, and turned round when all is there: chunks are read in the order of the file.
        last = start + (size - 1) * step
        return Span(last, start + 1 if size else last, -step), slice(None, None, -1)
    if isinstance(part, list | tuple | np.ndarray):
        return _parse_positions(np.asarray(part), length)
    msg = f"an index must be an integer, slice, array or ..., not {type(part).__name__}"
    if isinstance(part, bool):  # would be the integer 0 or 1, where NumPy means another axis by it
        raise TypeError(msg)
    try:
        index = operator.index(part)
    except TypeError:
        raise TypeError(msg) from None
    _check_bounds(index, index, length)
    index %= length
    return Span(index, index + 1), 0


def _parse_positions(array: npt.NDArray[Any], length: int) -> tuple[Axis, slice | int]:
    if array.ndim == 0:
        return _parse_axis(array.item(), length)
    array = where_true(array, length)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        msg = f"an index array must hold integers along one dimension, got {array.dtype} {array.shape}"
        raise IndexError(msg)
    positions = array.astype(np.intp)
    if positions.size:
        _check_bounds(int(positions.min()), int(positions.max()), length)
        positions[positions < 0] += length
    return positions, slice(None)


def where_true(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """Return the positions that a boolean array chooses of an axis; other arrays as they are.

    Raises
    ------
    IndexError
        If a boolean array is not as long as the axis.
    """
    if array.dtype.kind != "b":
        return array
    if array.shape != (length,):
        msg = f"boolean index of shape {array.shape} for an axis of {length}"
        raise IndexError(msg)
    return np.flatnonzero(array)


def _check_bounds(low: int, high: int, length: int) -> None:
    if low < -length or high >= length:
        msg = f"index {high if high >= length else low} is out of bounds for an axis of {length}"
        raise IndexError(msg)


def _split_axis(grid: ChunkGrid, axis: int, selection: Axis) -> list[Part]:
    """Pieces of one axis: one for each chunk that the selection touches."""
    if isinstance(selection, Span):
        return _in_one_chunk(grid, axis, selection) or list(_split_span(grid, axis, selection))
    chunks = grid.find_many(axis, selection)
    order = np.argsort(chunks, kind="stable")
    found: list[Part] = []
    for group in np.split(order, np.flatnonzero(np.diff(chunks[order])) + 1) if order.size else []:
        chunk = int(chunks[group[0]])
        first, end = grid.bounds(axis, chunk)
        found.append((chunk, selection[group] - first, group, end - first, False))
    return found


def _in_one_chunk(grid: ChunkGrid, axis: int, span: Span) -> list[Part] | None:
    """The only piece of a span that lies within one chunk of a regular axis, as nearly all do in small files."""
    edge, size = grid.edges[axis], len(span)
    if not isinstance(edge, int) or not size:
        return None
    chunk, inside = divmod(span.start, edge)
    last = inside + (size - 1) * span.step
    if last >= edge:
        return None
    length = min(edge, grid.shape[axis] - chunk * edge)
    return [(chunk, slice(inside, last + 1, span.step), slice(0, size), length, size == length and span.step == 1)]


def _split_span(grid: ChunkGrid, axis: int, span: Span) -> Iterator[Part]:
    done, size = 0, len(span)
    while done < size:
        position = span.start + done * span.step
        chunk = grid.find(axis, position)
        first, end = grid.bounds(axis, chunk)
        count = min(-(-(end - position) // span.step), size - done)
        inside = position - first
        source = slice(inside, inside + (count - 1) * span.step + 1, span.step)
        yield chunk, source, slice(done, done + count), end - first, count == end - first and span.step == 1
        done += count


def outer_pieces(grid: ChunkGrid, axes: Sequence[Axis]) -> list[Piece]:
    """Split an orthogonal region by chunks, in C order of the chunks where the selections ascend."""
    if not axes:
        return [Piece((), (), (), (), plain=True, complete=True)]
    parts = [_split_axis(grid, axis, selection) for axis, selection in enumerate(axes)]
    return list(_combine_parts(parts, axes))


def piece_groups(grid: ChunkGrid, axes: Sequence[Axis]) -> Iterable[Sequence[Piece]]:
    """Split a region as :func:`outer_pieces` does, into groups of pieces, of which one is made at a time."""
    if grid.size <= _AT_ONCE:  # nearly always
        return (outer_pieces(grid, axes),)
    return _iterate_groups(_iterate_pieces(grid, axes))


def _iterate_groups(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    while group := list(itertools.islice(pieces, _AT_ONCE)):
        yield group


def _iterate_pieces(grid: ChunkGrid, axes: Sequence[Axis]) -> Iterator[Piece]:
    """Make the pieces one by one; along the first axis of several chunks, of which strips may have millions, too."""
    lead = 0
    parts: list[list[Part]] = []
    while lead < len(axes) - 1 and len(first := _first_parts(grid, lead, axes[lead])) < 2:
        parts.append(first)
        lead += 1
    rest = [_split_axis(grid, axis, axes[axis]) for axis in range(lead + 1, len(axes))]
    selection = axes[lead]
    along = _split_span(grid, lead, selection) if isinstance(selection, Span) else _split_axis(grid, lead, selection)
    for part in along:
        yield from _combine_parts([*parts, [part], *rest], axes)


def _first_parts(grid: ChunkGrid, axis: int, selection: Axis) -> list[Part]:
    """The first two pieces of an axis."""
    whole = _split_span(grid, axis, selection) if isinstance(selection, Span) else _split_axis(grid, axis, selection)
    return list(itertools.islice(whole, 2))


def _combine_parts(parts: Sequence[Sequence[Part]], axes: Sequence[Axis]) -> Iterator[Piece]:
    plain = all(isinstance(selection, Span) for selection in axes)
    for combination in itertools.product(*parts):
        chunk, source, target, shape, all_of = zip(*combination, strict=True)
        yield Piece(chunk, source, target, shape, plain, False not in all_of)


def point_pieces(grid: ChunkGrid, points: dict[int, Positions], spans: dict[int, Axis]) -> list[Piece]:
    """Split a selection that is pointwise on some axes and orthogonal on the others.

    Parameters
    ----------
    points
        For each pointwise axis its positions, all of one length n.
    spans
        The selection of every other axis.

    Returns
    -------
    list of Piece
        The output has shape ``(n, *lengths of spans in axis order)``: ``target[0]`` are positions along n. The arrays in
        ``source`` at the pointwise axes belong together element by element.
    """
    axes = sorted(points)
    counts = grid.counts
    # Points that lie in one chunk are read together, in whatever order they were given.
    joint = np.ravel_multi_index(tuple(grid.find_many(a, points[a]) for a in axes), tuple(counts[a] for a in axes))
    order = np.argsort(joint, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(joint[order])) + 1) if order.size else []
    others = sorted(spans)
    parts = [_split_axis(grid, a, spans[a]) for a in others]
    found: list[Piece] = []
    for group in groups:
        at = dict(zip(axes, (int(grid.find(a, int(points[a][group[0]]))) for a in axes), strict=True))
        inside = {a: points[a][group] - grid.bounds(a, at[a])[0] for a in axes}
        for combination in itertools.product(*parts):
            mine = dict(zip(others, combination, strict=True))
            chunk = tuple(mine[a][0] if a in mine else at[a] for a in range(len(counts)))
            source: tuple[Selector, ...] = tuple(mine[a][1] if a in mine else inside[a] for a in range(len(counts)))
            bounds = [grid.bounds(a, i) for a, i in enumerate(chunk)]
            shape = tuple([stop - start for start, stop in bounds])
            found.append(
                Piece(chunk, source, (group, *(c[2] for c in combination)), shape, plain=False, complete=False)
            )
    return found
