"""Rows of binary and ASCII tables, and their heaps: which bytes are read, and when."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs import ways
from scichunk.errors import FormatError, LimitExceeded
from scichunk.formats.fits.table.columns import Rows2D, element_type
from scichunk.formats.fits.table.layout import SIZES, TableField, TableLayout
from scichunk.sources import ByteSource

__all__ = [
    "GROUP_BYTES",
    "Block",
    "HeapCells",
    "decoded_bytes",
    "nbytes_of",
    "plain_blocks",
    "read_descriptors",
    "read_heap",
    "rows_in_group",
    "stored_descriptors",
    "to_native",
]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

GROUP_BYTES: Final = 1 << 21
"""Bytes of rows that are decoded together: they stay in the processor's cache."""
_LEAST_BYTES: Final = 4096
"""Rows that are worth the calls to decode them, be they ever so wide: neighbouring columns share the cache."""
_BATCH_BYTES: Final = 1 << 26
"""Most bytes that are fetched at once."""
_FAR_BYTES: Final = 1 << 16  # bytes of a row that are worth a request of their own to leave out
_MOST_PIECES: Final = 4096


@dataclass(frozen=True, slots=True)
class HeapCells:
    """Arrays of variable length: where each begins in ``data``, and how many elements it has."""

    data: Bytes
    starts: Ints
    counts: Ints


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows; valid until the next one is asked for."""

    start: int
    stop: int
    rows: dict[int, Rows2D]
    """By number of the field."""
    heaps: dict[int, HeapCells]


def rows_in_group(layout: TableLayout, fields: Sequence[TableField], nbytes: int) -> int:
    """Rows of about ``nbytes``, with their part of the heap."""
    # The heap is taken to be spread evenly over the rows: its descriptors are not known yet.
    each = max(1, layout.width)
    if layout.rows and any(f.descriptor for f in fields):
        each += max(0, layout.heap_end - layout.heap) // layout.rows
    return max(1, nbytes // each)


def plain_blocks(
    source: ByteSource, layout: TableLayout, fields: Sequence[TableField], start: int, stop: int
) -> Iterator[Block]:
    """Read rows ``[start, stop)`` block by block.

    Raises
    ------
    FormatError
        If rows, or what their descriptors point to, lie outside the file.
    """
    heaped = [f for f in fields if f.descriptor and f.cell is None]
    group = max(
        rows_in_group(layout, fields, GROUP_BYTES), min(_LEAST_BYTES, rows_in_group(layout, fields, _BATCH_BYTES // 2))
    )
    each = max(group, rows_in_group(layout, fields, max(1, min(source.batch_bytes, _BATCH_BYTES))))
    low, high = _fetched_span(layout, fields)
    for first in range(start, stop, each):
        last = min(first + each, stop)
        cuts = [*range(first, last, group), last]
        pieces: Iterable[Bytes] = _fetch_rows(source, layout, cuts, low, high)
        if heaped:  # reading the heap overwrites the buffer that rows are read into
            pieces = [rows.copy() for rows in pieces]
        for (begin, end), rows in zip(itertools.pairwise(cuts), pieces, strict=True):
            heaps = {}
            if heaped:
                found = {f.number: read_descriptors(f, (rows, f.offset - low), begin, layout) for f in heaped}
                heaps = read_heap(source, heaped, found)
            yield Block(begin, end, {f.number: (rows, f.offset - low) for f in fields}, heaps)


def _fetched_span(layout: TableLayout, fields: Sequence[TableField]) -> tuple[int, int]:
    """The part of each row that is fetched: all of it unless that would be far more than is wanted."""
    low = min((f.offset for f in fields), default=0)
    high = max((f.offset + f.width for f in fields), default=0)
    return (low, high) if layout.width - (high - low) >= _FAR_BYTES else (0, layout.width)


def _fetch_rows(source: ByteSource, layout: TableLayout, cuts: list[int], low: int, high: int) -> Iterator[Bytes]:
    """Rows between the cuts, shape (rows, high - low)."""
    width, size = layout.width, source.fingerprint.size
    if layout.data + cuts[-1] * width > size:
        there = max(0, (size - layout.data) // width)
        msg = f"row {max(cuts[0], there)} lies outside the file: it ends in row {there} of {layout.rows}"
        raise FormatError(msg)
    if (low, high) == (0, width):
        ends = [layout.data + c * width for c in cuts]
        views = source.read_ranges(ends[:-1], ends[1:])
        for view, first, last in zip(views, cuts[:-1], cuts[1:], strict=True):
            yield np.frombuffer(view, np.uint8).reshape(last - first, width)
        return
    for first, last in itertools.pairwise(cuts):
        out = np.empty((last - first, high - low), np.uint8)
        for at in range(first, last, _MOST_PIECES):
            rows = range(at, min(at + _MOST_PIECES, last))
            starts = [layout.data + r * width + low for r in rows]
            for row, view in zip(rows, source.read_ranges(starts, [s + high - low for s in starts]), strict=True):
                out[row - first] = np.frombuffer(view, np.uint8)
        yield out


def stored_descriptors(field: TableField, rows: Rows2D) -> tuple[Ints, Ints]:
    """Return counts of elements and offsets in the heap as the descriptors have them, in native order, unchecked; shape (rows,)."""
    data, at = rows
    word = (
        ">u4" if field.descriptor == 8 else ">i8"
    )  # signed by the standard; beyond 2 GB writers use the sign as a bit
    pair = data[:, at : at + field.descriptor].view(word).astype(np.int64)
    return np.ascontiguousarray(pair[:, 0]), np.ascontiguousarray(pair[:, 1])


def read_descriptors(field: TableField, rows: Rows2D, first_row: int, layout: TableLayout) -> tuple[Ints, Ints]:
    """Check array descriptors (FITS 4.0, section 7.3.5).

    Returns
    -------
    counts, starts
        Elements, and first byte in the file; shape (rows,).

    Raises
    ------
    FormatError
        Naming the row whose array is outside the heap.
    """
    counts, offsets = stored_descriptors(field, rows)
    size = SIZES[field.code]
    room = max(0, layout.heap_end - layout.heap)
    # In elements, so that no product of a hostile count overflows.
    most = room // size * (8 if field.code == "X" else 1)
    bad = (counts < 0) | (counts > most) | ((counts > 0) & ((offsets < 0) | (offsets > room)))
    length = nbytes_of(field, np.where(bad, 0, counts))
    bad |= (counts > 0) & (offsets + length > room)
    if bad.any():
        row = int(bad.argmax())
        msg = f"the array of {counts[row]} elements at byte {offsets[row]} lies outside the heap of {room} bytes"
        raise FormatError(msg, part=f"column {field.name!r}, row {first_row + row}")
    return counts, np.where(counts > 0, offsets, 0) + layout.heap


def nbytes_of(field: TableField, counts: Ints) -> Ints:
    """Bytes of arrays in the heap."""
    found: Ints = -(-counts // 8) if field.code == "X" else counts * SIZES[field.code]
    return found


def decoded_bytes(field: TableField, counts: Ints) -> int:
    """Bytes of arrays of variable length in memory, where bits take a byte each, and scaled integers a double."""
    size = 1 if field.code == "A" else element_type(field).itemsize
    return int(counts.sum(dtype=np.float64)) * size  # no int64, which counts of hostile descriptors could overflow


def read_heap(
    source: ByteSource, fields: Sequence[TableField], found: dict[int, tuple[Ints, Ints]]
) -> dict[int, HeapCells]:
    """Fetch the arrays of several columns in one batch of merged ranges.

    Parameters
    ----------
    fields
        The columns.
    found
        Counts and first bytes of their arrays by number of the field.

    Raises
    ------
    LimitExceeded
        If there are more bytes than ``options.max_chunk_bytes``: descriptors may share their bytes.
    """
    lengths = {f.number: nbytes_of(f, found[f.number][0]) for f in fields}
    total = int(sum(n.sum(dtype=np.float64) for n in lengths.values()))  # hostile lengths may overflow int64
    limit = options.get().max_chunk_bytes
    if total > limit:
        rows = len(next(iter(lengths.values())))
        msg = f"arrays of variable length of {total} bytes in {rows} rows, more than {limit} (options.max_chunk_bytes)"
        raise LimitExceeded(msg)
    starts = np.concatenate([found[f.number][1] for f in fields])
    sizes = np.concatenate([lengths[f.number] for f in fields])
    used = np.flatnonzero(sizes)
    order = used[np.argsort(starts[used], kind="stable")]
    begins, ends = _merge_ranges(starts[order], (starts + sizes)[order], total)
    views = source.read_ranges(begins.tolist(), ends.tolist()) if begins.size else []
    parts = [np.frombuffer(v, np.uint8) for v in views]
    data = parts[0] if len(parts) == 1 else np.concatenate([*parts, np.empty(0, np.uint8)])
    positions = np.concatenate([[0], np.cumsum(ends - begins)])[:-1]
    cells: dict[int, HeapCells] = {}
    for f in fields:
        counts, at = found[f.number]
        if begins.size:
            piece = np.clip(np.searchsorted(begins, at, side="right") - 1, 0, None)
            inside = at - begins[piece] + positions[piece]
        else:
            inside = at
        cells[f.number] = HeapCells(data, np.where(lengths[f.number] > 0, inside, 0), counts)
    return cells


def _merge_ranges(first: Ints, last: Ints, total: int) -> tuple[Ints, Ints]:
    """Merge ascending ranges; gaps are read along unless they come to far more than is wanted."""
    if not first.size:
        return first, last
    # Arrays may overlap, or lie within another: writers share equal ones.
    last = np.maximum.accumulate(last)
    # With gaps first; without, where they would make us read more than four times of what is wanted.
    for gap in (options.get().range_gap, 0):
        breaks = np.flatnonzero(first[1:] > last[:-1] + gap) + 1
        begins, ends = first[np.append(0, breaks)], last[np.append(breaks - 1, len(last) - 1)]
        if int((ends - begins).sum()) <= max(4 * total, _BATCH_BYTES):
            break
    return begins, ends


def to_native(field: TableField, cells: HeapCells) -> Bytes:
    """Bytes of all elements one after another, in native byte order."""
    fits_columns = ways.choose("text.fits_columns")

    nbytes = nbytes_of(field, cells.counts)
    size = {"C": 4, "M": 8}.get(field.code, SIZES[field.code])
    out = np.empty(int(nbytes.sum()), np.uint8)
    if not fits_columns.gather_elements(cells.data, cells.starts, nbytes // size, size, out):
        msg = f"arrays of column {field.name!r} lie outside the heap"
        raise FormatError(msg)
    return out
