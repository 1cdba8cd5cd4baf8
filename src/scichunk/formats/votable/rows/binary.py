"""Rows of BINARY and BINARY2 streams whose sizes differ: an index of rows finds them (VOTable 1.5, sections 5.3 and 5.4)."""

from __future__ import annotations

import bisect
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs import ways
from scichunk.core.tables import Rows
from scichunk.errors import FormatError, LimitExceeded, located
from scichunk.formats.votable.document.structure import Field
from scichunk.formats.votable.rows.base64_stream import ByteStream
from scichunk.formats.votable.rows.fixed_rows import MOST_PARTITIONS, PIECE_BYTES, BinaryRows, FixedRows, Parts
from scichunk.formats.votable.values.column_part import ColumnPart
from scichunk.formats.votable.values.diagnostics import Diagnostics, Policy
from scichunk.formats.votable.values.from_bytes import cell_bytes, pad_items

__all__ = ["VariableRows", "open_rows"]

Bytes = npt.NDArray[np.uint8]


class VariableRows(BinaryRows):
    """Rows whose sizes differ: an index has the place of the first row of each piece, as far as anyone needed it."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._row_offsets, self._rows = [0], [0]
        self._end = -1
        self._bad = ""
        self._lock = threading.Lock()
        self._none = np.full(len(self.fields), -1, np.int64)
        self.units = np.ones(len(self.fields), np.int64)
        """What the lengths of arrays are divided by."""
        self._choose_units()
        if self.stream.size <= 1 << 20 and self.stream.near:
            self.count_rows()

    def _choose_units(self) -> None:
        """Find out what the lengths of arrays such as ``2x*`` count: items (astropy) or elements (STILTS).

        The standard speaks of items and can be read both ways; what fits to the stream is right.
        """
        elements = np.array([_count_elements(f) for f in self.fields], np.int64)
        if not (elements[self.numbers < 0] > 1).any():
            return
        reach = self._reach_of_rows(self.bits, self.units)
        if reach >= min(self.stream.size, PIECE_BYTES):
            return
        units = np.where(self.numbers < 0, elements, 1)
        bits = np.where(units > 1, [f.bits for f in self.fields], self.bits)
        # A length of the wrong kind leads to bytes of a value, which are most often a length beyond the bytes at hand: of a stream
        # that is longer nobody knows whether they follow. The last row of the right kind is cut off too, but far behind.
        if self._reach_of_rows(bits, units) > 2 * max(0, reach):
            self.bits, self.units = bits, units

    def _reach_of_rows(self, bits: Any, units: Any) -> int:
        """How far the beginning of the stream can be rows; -1 where it cannot, and where a short one ends otherwise than with a row."""
        walk_rows = ways.choose("text.votable_rows").walk_rows
        size = min(self.stream.size, PIECE_BYTES)
        data = self.stream.read(0, size)
        slots = np.arange(len(self.fields))
        most = min(1 << 12, max(16, (1 << 22) // len(self.fields)))  # rows at a time: there may be very many fields
        counts = np.zeros((len(self.fields) + 1, most), np.int64)
        at = rows = 0
        while True:
            found, at, bad = walk_rows(data, at, size, self.masks, bits, self.numbers, slots, counts.copy(), counts)
            rows += found
            if bad >= 0 or (counts[:-1, :found] % units[:, None] != 0).any():
                return -1
            if bad == -2:
                return int(at) if size < self.stream.size and rows > 0 else -1
            if at >= size:
                return size if size < self.stream.size or self.declared in {None, rows} else -1

    @property
    def cached_bytes(self) -> int:
        """Memory of the stream, and of the places of rows."""
        return super().cached_bytes + 160 * len(self._row_offsets)

    @property
    def n_rows(self) -> int | None:
        """Number of rows if they have been counted."""
        return self._rows[-1] if self._end >= 0 else None

    def count_rows(self) -> int:
        """Count them."""
        self._extend_index(lambda: False)
        return self._rows[-1]

    def row_group(self) -> int:
        """Rows of some MB."""
        rows = self.n_rows
        return max(1, rows * (1 << 22) // max(1, self.stream.size)) if rows else 10_000

    def partitions(self, nbytes: int) -> list[Rows]:
        """Spans of bytes; with row numbers once rows have been counted."""
        size = max(1, min(nbytes, 1 << 30))
        count = max(1, min(-(-self.stream.stored // size), MOST_PARTITIONS))
        cuts = [self.stream.size * i // count for i in range(count + 1)]
        if self._end < 0:
            return [Rows(-1, -1, a, b) for a, b in itertools.pairwise(cuts)]
        rows = [self._rows[max(0, bisect.bisect_right(self._row_offsets, c) - 1)] for c in cuts[:-1]] + [self._rows[-1]]
        found = [Rows(a, b) for a, b in itertools.pairwise(rows) if b > a]
        return found or [Rows(0, 0)]

    def read(self, rows: Rows, wanted: Sequence[int], policy: Policy) -> Parts:
        """Decode a partition, or any rows by number; for each wanted field its parts."""
        if rows.start < 0:
            self._extend_index(lambda: self._row_offsets[-1] >= rows.last_byte)
            i = max(0, bisect.bisect_right(self._row_offsets, rows.first_byte) - 1)
            # By bytes: a row belongs to the partition in which it begins.
            limit, left = min(rows.last_byte, self.stream.size), 1 << 62
            wanted_from, skip = rows.first_byte, 0
        else:
            self._extend_index(lambda: self._rows[-1] >= rows.stop)
            i = max(0, bisect.bisect_right(self._rows, rows.start) - 1)
            limit, left = self.stream.size, min(rows.stop, self._rows[-1]) - rows.start
            wanted_from, skip = 0, rows.start - self._rows[i]
        if self._end >= 0:
            limit = min(limit, self._end)
        at, row = self._row_offsets[i], self._rows[i]
        if at < wanted_from or skip:
            at, row = self._skip_rows(at, row, wanted_from, skip)
        ways.announce("binary", min(max(0, limit - at), left * self.stream.size // max(1, self._rows[-1])))
        parts = self._decode_rows(at, row, wanted, policy, limit=limit, left=left)
        if self._end >= 0 and (rows.last_byte >= self.stream.size if rows.start < 0 else rows.stop >= self._rows[-1]):
            self._check_end(policy)
        return parts

    def _check_end(self, policy: Policy) -> None:
        if self._bad:
            what = f"{self._bad} in row {self._rows[-1]}, byte {self._end} of the stream"
            with located(url=self.url):
                self.diagnostics.refuse(policy, "partial row", "", f"row {self._rows[-1]}", what)
        else:
            self.report_leftover(self._rows[-1], self.stream.size - self._end, policy)

    def _extend_index(self, enough: Callable[[], bool]) -> None:
        """Extend the index."""
        if self._end >= 0 or enough():
            return
        with self._lock:
            size = self.piece
            while self._end < 0 and not enough():
                at = self._row_offsets[-1]
                rows, after, bad = self._count_rows(at, size)
                # What lies behind a row of an impossible length cannot be told: the table ends before it.
                if bad >= 0:
                    self._bad = f"field {self.fields[bad].name!r} has an impossible length"
                if bad >= 0 or (at + size >= self.stream.size and (bad == -2 or after >= self.stream.size or not rows)):
                    if rows:
                        self._rows.append(self._rows[-1] + rows)
                        self._row_offsets.append(after)
                    self._end = after
                elif rows:
                    self._rows.append(self._rows[-1] + rows)
                    self._row_offsets.append(after)
                    size = self.piece
                else:
                    size = self._larger_piece(size, at)

    def _larger_piece(self, size: int, at: int) -> int:
        if size > options.get().max_chunk_bytes // 2:
            msg = f"a row of more than {size} bytes (options.max_chunk_bytes)"
            raise LimitExceeded(msg, url=self.url, part=f"{self.diagnostics.part}, byte {at} of the stream")
        return size * 2

    def _count_rows(self, at: int, size: int) -> tuple[int, int, int]:
        """Count the rows of a piece."""
        walk_rows = ways.choose("text.votable_rows").walk_rows
        self.stream.prove(at + size)
        data = self.stream.read(at, max(at, min(at + size, self.stream.size)))
        # A row has at least its null flags, and four bytes for the length of each array.
        most = max(1, data.size // max(1, self.masks + int((self.numbers < 0).sum()) * 4)) + 1
        offsets = np.empty((1, min(most, 1 << 20)), np.int64)
        rows, after, bad = walk_rows(
            data, 0, data.size, self.masks, self.bits, self.numbers, self._none, offsets, offsets
        )
        return rows, at + after, bad

    def _skip_rows(self, at: int, row: int, offset: int, rows: int) -> tuple[int, int]:
        """Go on to the first row at a place or behind it, or over some rows."""
        walk_rows = ways.choose("text.votable_rows").walk_rows
        size = self.piece
        while at < offset or rows:
            data = self.stream.read(at, min(at + size, self.stream.size))
            starts = np.empty((1, rows or 1 << 16), np.int64)
            limit = max(0, offset - at) if offset else data.size
            found, after, _ = walk_rows(
                data, 0, min(limit, data.size), self.masks, self.bits, self.numbers, self._none, starts, starts
            )
            if not found:
                if at + size >= self.stream.size:
                    break
                size = self._larger_piece(size, at)
                continue
            at, row = at + after, row + found
            rows = max(0, rows - found)
        return at, row

    def _decode_rows(self, at: int, row: int, wanted: Sequence[int], policy: Policy, *, limit: int, left: int) -> Parts:
        """Decode rows from a place on, up to a place and at most ``left`` of them."""
        walk_rows = ways.choose("text.votable_rows").walk_rows
        slots = self._none.copy()
        slots[list(wanted)] = np.arange(len(wanted))
        parts: Parts = [[] for _ in wanted]
        size, most = self.piece, max(16, (1 << 16) // max(1, len(wanted)))
        while at < limit and left > 0:
            data = self.stream.read(at, min(at + size, self.stream.size))
            here, end = 0, 0
            while here < min(limit - at, data.size) and left > 0:
                starts = np.empty((len(wanted) + 1, min(most, left)), np.int64)
                counts = np.empty_like(starts)
                found, here, bad = walk_rows(
                    data, here, min(limit - at, data.size), self.masks, self.bits, self.numbers, slots, starts, counts
                )
                if found:
                    fresh = self._decode_fields(
                        data, starts[:, :found], counts[:, :found], wanted, policy=policy, first=row
                    )
                    for of_column, part in zip(parts, fresh, strict=True):
                        of_column.append(part)
                    row, left, end = row + found, left - found, here
                if bad != -1 or not found:
                    break
            if not end:
                if at + size >= self.stream.size:
                    break
                size = self._larger_piece(size, at)
                continue
            at, size = at + end, self.piece
        return parts

    def _decode_fields(
        self, data: Bytes, starts: Any, counts: Any, wanted: Sequence[int], *, policy: Policy, first: int
    ) -> list[ColumnPart]:
        """Decode the wanted fields of rows whose places are known, from row ``first`` on."""
        kernels = ways.choose("text.votable_rows")
        rows = starts.shape[1]
        flags = np.empty((rows, self.masks), np.uint8)
        _require_bytes(kernels.gather_values(data, starts[-1], self.masks, flags.reshape(-1)))
        parts = []
        for slot, column in enumerate(wanted):
            number, bits = int(self.numbers[column]), int(self.bits[column])
            if number >= 0:
                size = (bits * number + 7) // 8
                raw = np.empty((rows, size), np.uint8)
                _require_bytes(kernels.gather_values(data, starts[slot], size, raw.reshape(-1)))
                items = None
            else:
                units = int(self.units[column])
                items = counts[slot] // units
                sizes = (items * units * bits + 7) >> 3
                raw = np.empty(int(sizes.sum()), np.uint8)
                _require_bytes(kernels.gather_ranges(data, starts[slot], sizes, raw))
                if units > 1 and self.fields[column].datatype == "bit":
                    raw = pad_items(raw, items, units)
            part = self.part_of(column, raw, items, flags=flags, policy=policy, first=first)
            if items is not None and (torn := counts[slot] != items * self.units[column]).any():
                self._refuse_torn(column, torn, policy, first)
                part.row_null = torn if part.row_null is None else part.row_null | torn
            parts.append(part)
        return parts

    def _refuse_torn(self, column: int, torn: npt.NDArray[np.bool_], policy: Policy, first: int) -> None:
        """Say that a length, which counts elements, ends within an item."""
        where = f"row {first + int(torn.argmax())}"
        what = f"a length that is no multiple of the {self.units[column]} elements of an item"
        self.diagnostics.refuse(policy, "not a value", self.fields[column].name, where, what)


def _require_bytes(there: bool) -> None:  # what a kernel says
    """Raise unless a kernel found the bytes that the walk over the rows has promised."""
    if not there:
        msg = "fields that lie outside of their rows"
        raise FormatError(msg)


def _count_elements(field: Field) -> int:
    """Elements of an item of a field of variable length."""
    size = field.shape.size * max(1, field.shape.text or 1) if field.shape.variable else 1
    return max(1, size)


def open_rows(
    stream: ByteStream, fields: Sequence[Field], diagnostics: Diagnostics, *, masked: bool, declared: int | None
) -> FixedRows | VariableRows:
    """Open the rows of a stream; ``masked``: each row begins with null flags (BINARY2)."""
    fixed = all(cell_bytes(f)[1] >= 0 for f in fields)
    return (FixedRows if fixed else VariableRows)(stream, fields, diagnostics, masked=masked, declared=declared)
