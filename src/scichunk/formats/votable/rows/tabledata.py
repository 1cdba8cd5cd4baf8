"""Rows of a TABLEDATA body: markup to columns, piece by piece."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs import ways
from scichunk.codecs.text import states
from scichunk.core.limits import check_decoded
from scichunk.core.tables import Rows
from scichunk.errors import FormatError, LimitExceeded, located
from scichunk.formats.votable.document.markup import SLACK_BYTES, Body, read_bytes, without_oddities
from scichunk.formats.votable.document.scan import Document
from scichunk.formats.votable.document.structure import Field
from scichunk.formats.votable.rows.expat_rows import decode_cell, pad_cells, read_rows
from scichunk.formats.votable.rows.fixed_rows import MOST_PARTITIONS
from scichunk.formats.votable.rows.row_index import RowIndex
from scichunk.formats.votable.values.column_part import ColumnPart
from scichunk.formats.votable.values.diagnostics import Diagnostics, Policy
from scichunk.formats.votable.values.from_text import CellTexts, convert_text

__all__ = ["TableData"]

_PIECE_BYTES: Final = 1 << 20
"""Markup that is read and decoded together: it and its cells stay in the processor's cache."""
_MOST_PIECE_BYTES: Final = 1 << 26
_BEFORE_BYTES: Final = 1 << 16
"""Markup before a place far away that is looked at, so that one within a comment is known as such."""
_MOST_CELLS: Final = 1 << 16
_LEAST_ROWS: Final = 64
"""Rows that are worth the calls to decode them, be they ever so wide."""
_CELL_BYTES: Final = 16
"""Markup of a cell, about."""
_PLACE_BYTES: Final = 4

Bytes = npt.NDArray[np.uint8]
Parts = list[list[ColumnPart]]


def _cells() -> ModuleType:
    return ways.choose("text.cells")


class TableData:
    """The rows of one body.

    Parameters
    ----------
    document
        Its document.
    body
        Where they are.
    fields
        All of the table.
    diagnostics
        Gets what is not as it should be.
    """

    def __init__(self, document: Document, body: Body, fields: Sequence[Field], diagnostics: Diagnostics) -> None:
        self.document, self.body, self.fields, self.diagnostics = document, body, tuple(fields), diagnostics
        self.index = RowIndex(document, body)
        if body.exact and body.stop - body.start <= 1 << 22 and self.index.near:
            self.index.count_rows()

    @property
    def n_rows(self) -> int | None:
        """Number of rows if they have been counted."""
        return self.index.n_rows if self.index.done else None

    @property
    def cached_bytes(self) -> int:
        """Memory of the places of rows."""
        return self.index.cached_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of the body."""
        return self.body.stop - self.body.start

    def count_rows(self) -> int:
        """Count them."""
        return self.index.count_rows()

    def row_group(self) -> int:
        """Rows of some MB."""
        rows = self.n_rows
        return max(1, rows * (1 << 22) // max(1, self.nbytes)) if rows else 10_000

    def partitions(self, nbytes: int) -> list[Rows]:
        """Spans of bytes, with row numbers where rows have been counted."""
        size = max(1, min(nbytes, 1 << 30))
        start, stop = self.body.start, self.body.stop
        count = max(1, min(-(-(stop - start) // size), MOST_PARTITIONS))
        # Cuts fall anywhere: a partition begins with the first row that starts behind its cut, and its last row may reach over the next.
        cuts = [start + (stop - start) * i // count for i in range(count + 1)]
        if not self.index.done:
            return [Rows(-1, -1, a, b) for a, b in itertools.pairwise(cuts)]
        # Counted rows have known numbers at the borders of blocks only, so cuts go back to these.
        places = [self.index.place_before_offset(c) for c in cuts[:-1]] + [(stop, self.index.n_rows)]
        found = [Rows(before, after, a, b) for (a, before), (b, after) in itertools.pairwise(places) if after > before]
        return found or [Rows(0, 0, stop, stop)]

    def read(self, rows: Rows, wanted: Sequence[int], policy: Policy) -> Parts:
        """Decode a partition, or any rows by number; for each wanted field its parts."""
        self._check_decoded(min(rows.stop, self.index.n_rows if self.index.done else 0) - rows.start, wanted)
        if rows.last_byte > rows.first_byte or rows.start < 0:
            return self._read_span(rows, wanted, policy)
        index = self.index
        index.advance_rows(rows.stop)
        offset, before = index.place_before_row(rows.start)
        count = min(rows.stop, index.n_rows) - rows.start
        ways.announce("tabledata", (self.body.stop - offset) * max(0, count) // max(1, index.n_rows - before))
        run = _SpanReader(self, offset, self.body.stop, wanted, policy, first=rows.start, count=max(0, count))
        if offset > self.body.start:  # blocks end anywhere, mostly within a row
            run.seek_row()
        return run.decode_all(rows.start - before)

    def _check_decoded(self, rows: int, wanted: Sequence[int]) -> None:
        """Refuse rows before they are decoded: empty cells of arrays that are declared long take up what is declared."""
        kinds = [f for f in (self.fields[k] for k in wanted) if not f.shape.variable]
        # Of texts, where each begins.
        size = sum(f.shape.size * (_PLACE_BYTES if f.is_text else np.dtype(f.kind).itemsize) for f in kinds)
        part = self.diagnostics.part
        check_decoded(f"the values of {rows} rows", rows * size, url=self.document.source.url, part=lambda: part)

    def _read_span(self, rows: Rows, wanted: Sequence[int], policy: Policy) -> Parts:
        index, body = self.index, self.body
        before = max(0, rows.start)
        if index.near:
            index.count_up_to(rows.last_byte)  # proves that the table has not ended before
        start, stop = index.offset_outside(rows.first_byte), min(rows.last_byte, body.stop)
        known = index.near or rows.start >= 0
        ways.announce("tabledata", max(0, stop - start))
        run = _SpanReader(self, min(start, stop), stop, wanted, policy, first=before if known else -1, count=-1)
        # The row before belongs to the partition before.
        if start > body.start:
            run.seek_row()
        if index.near and rows.start < 0:
            run.find_row_number()
        return run.decode_all(0)


class _SpanReader:
    """Decodes rows one behind the other.

    Parameters
    ----------
    table, start, stop
        Which bytes of which body.
    wanted, policy
        Which fields, and what becomes of values that cannot be read.
    first
        Number of the first row; -1 if it is not known.
    count
        Rows at most; -1 for all.
    """

    def __init__(
        self, table: TableData, start: int, stop: int, wanted: Sequence[int], policy: Policy, *, first: int, count: int
    ) -> None:
        self.table, self.offset, self.stop, self.policy = table, start, stop, policy
        self.wanted, self.first, self.left = list(wanted), first, count
        self.source, self.body, self.prefix = table.document.source, table.body, table.index.prefix
        self.slots = np.full(len(table.fields), -1, np.int64)
        self.slots[self.wanted] = np.arange(len(self.wanted))
        self.parts: Parts = [[] for _ in self.wanted]
        self.rows = self.decoded = 0
        largest = max((table.fields[k].shape.size for k in self.wanted), default=1)
        # So many rows that the tables of their cells stay small, and that arrays within cells do too.
        count = max(1, len(self.wanted))
        rows = max(16, min(_LEAST_ROWS, (1 << 23) // count), _MOST_CELLS // count)
        self.most = max(1, min(rows, (1 << 22) // max(1, largest)))
        wide = min(_LEAST_ROWS * _CELL_BYTES * count, _MOST_PIECE_BYTES, options.get().max_chunk_bytes // 4)
        far = min(self.source.batch_bytes, stop - start + (1 << 16)) if not table.index.near else 0
        self.piece = max(_PIECE_BYTES, wide, far)
        self._relative = first < 0
        self._whole = start == table.body.start and stop == table.body.stop

    def seek_row(self) -> None:
        """Go to the first row that begins at the place or behind it."""
        index = self.table.index
        while self.offset < self.stop:
            before = 0 if index.near else min(_BEFORE_BYTES, self.offset - self.body.start)
            data = read_bytes(self.source, self.offset - before, min(self.body.stop, self.offset + self.piece))
            data = index.blank_oddities(data, self.offset) if index.near else without_oddities(data)[before:]
            found = index.find_row(data, 0)
            if found >= 0:
                self.offset += found
                return
            if self.offset + data.size >= self.body.stop:
                self.offset = self.body.stop
                return
            # A start tag may lie across the border of two pieces.
            self.offset += max(1, data.size - 8 * SLACK_BYTES)

    def find_row_number(self) -> None:
        """Find out which row the next one is."""
        at, rows = self.table.index.place_before_offset(self.offset)
        if self.offset > at:
            data = read_bytes(self.source, at, min(self.offset + 8 * SLACK_BYTES, self.source.fingerprint.size))
            rows += self.table.index.rows_within(self.table.index.blank_oddities(data, at), self.offset - at)
        self.first, self._relative = rows, False

    def decode_all(self, skip: int) -> Parts:
        """Decode all rows but the first ``skip``."""
        size = self.piece
        while self.offset < self.stop and self.left:
            end = min(self.body.stop, self.offset + size)
            data = read_bytes(self.source, self.offset, end)
            before = self.offset
            if skip:
                rows = self.table.index.blank_oddities(data, self.offset)
                at = self.table.index.find_row(rows, skip)
                if at < 0:
                    size = self._enlarge_piece(size, end)
                    continue
                skip = 0
                self.offset += at
                data = data[at:]
            self._decode_piece(data, end == self.body.stop)
            size = self._enlarge_piece(size, end) if self.offset == before else self.piece
        return self.parts

    def _enlarge_piece(self, size: int, end: int) -> int:
        """A piece in which no row ends must grow."""
        if end >= self.body.stop:
            self._report_unfinished()
            return size
        if size > min(options.get().max_chunk_bytes, 1 << 31) // 2:  # places are 32-bit integers
            msg = f"a row of more than {size} bytes (options.max_chunk_bytes)"
            raise LimitExceeded(msg, url=self.source.url, part=self._describe_place(self.offset))
        return size * 2

    def _report_unfinished(self) -> None:
        """The last row has no end: an error, unless the whole rows are wanted."""
        if self.policy.on_error == "raise" or not self.body.cut:
            msg = "the last row has no end"
            raise self._make_error(msg, self.offset)
        self.table.diagnostics.add("partial row", "", 1, self._describe_place(self.offset))
        self.offset = self.body.stop

    def _decode_piece(self, data: Bytes, last: bool) -> None:
        """Decode the rows that are whole in some markup; moves the place to the first that is not."""
        columns = len(self.slots)
        at, base = 0, self.offset
        limit = min(self.stop - base, 1 << 31)
        while at < data.size and self.left:
            rows = min(self.most, self.left) if self.left > 0 else self.most
            starts = np.empty((len(self.wanted), rows), np.int32)
            stops = np.empty_like(starts)
            seen = np.zeros(len(self.wanted), np.uint8)
            count, at, status, cells = _cells().tokenize_rows(
                data, at, limit, columns, self.slots, self.prefix, starts, stops, seen
            )
            if count:
                self._decode_cells(data, starts[:, :count], stops[:, :count], seen, base)
            self.offset = base + at
            if status == states.DONE:
                if count < rows:
                    return
                continue
            if status == states.CUT:
                if last and not count:
                    self._report_unfinished()
                return
            if status == states.CLOSED and self._ends_table(data[at:]):
                return
            # What the fast tokenizer does not know (CDATA, attributes, other tags) is read by expat, row by row, from where it stopped.
            if status == states.CELLS:
                self._check_cells(cells, base + at)
            moved = self._decode_with_expat(data[at:], limit - at, base + at, last=last)
            at += moved
            self.offset = base + at
            if not moved:
                if last:  # expat found nothing open, nor any row
                    self.offset = self.body.stop
                return

    def _decode_cells(
        self, data: Bytes, starts: npt.NDArray[np.int32], stops: npt.NDArray[np.int32], seen: Bytes, base: int
    ) -> None:
        where = self._make_locator(starts, base)
        encoding = self.table.document.encoding
        for slot, column in enumerate(self.wanted):
            texts = CellTexts(data, starts[slot], stops[slot], int(seen[slot]), where, encoding)
            self._add_column(slot, column, texts)
        self._advance_rows(starts.shape[1])

    def _add_column(self, slot: int, column: int, texts: CellTexts) -> None:
        with located(url=self.source.url, part=self.table.diagnostics.part):
            part = convert_text(self.table.fields[column], texts, self.policy, self.table.diagnostics)
            self.parts[slot].append(part)
            self.decoded += part.values.nbytes + (part.texts.nbytes if part.texts is not None else 0)
            if self.decoded > options.get().max_chunk_bytes:
                msg = f"more than {options.get().max_chunk_bytes} bytes of values in one partition (options.max_chunk_bytes)"
                raise LimitExceeded(msg)

    def _advance_rows(self, count: int) -> None:
        self.rows += count
        if self.left > 0:
            self.left -= count

    def _make_locator(self, starts: npt.NDArray[np.int32], base: int) -> Callable[[int], str]:
        first = self.rows + max(0, self.first)

        def where(row: int) -> str:
            return (
                f"row {first + row}{' of the partition' if self._relative else ''}, byte {base + int(starts[0, row])}"
            )

        return where

    def _decode_with_expat(self, data: Bytes, limit: int, base: int, *, last: bool) -> int:
        """Decode rows with expat; returns how far."""
        found, moved = read_rows(
            data,
            limit,
            self.table.document.encoding,
            last=last and not self.body.cut,
            error_at=lambda message, offset: self._make_error(message, base + offset),
        )
        # Rows that were parsed beyond those that are wanted are given back: the place is that of the first of them.
        rows = found.rows if self.left < 0 else found.rows[: self.left]
        if len(rows) < len(found.rows):
            moved = found.offsets[len(rows)]
        fields = self.table.fields
        for number, cells in enumerate(rows):
            if len(cells) != len(fields):
                self._check_cells(len(cells), base + found.offsets[number])
                rows[number] = pad_cells(cells, len(fields))
        for row, column in found.encoded:
            if row < len(rows) and column < len(fields) and self.slots[column] >= 0:
                rows[row][column] = decode_cell(rows[row][column], fields[column])
        first, places = self.rows + max(0, self.first), found.offsets
        for slot, column in enumerate(self.wanted):
            encoded = [row[column].encode() for row in rows]
            cuts = np.zeros(len(rows) + 1, np.int32)
            np.cumsum([len(e) for e in encoded], out=cuts[1:])
            buffer = np.frombuffer(b"".join(encoded), np.uint8)
            seen = states.HIGH if buffer.size and int(buffer.max()) > 127 else 0
            texts = CellTexts(buffer, cuts[:-1], cuts[1:], seen, lambda r: f"row {first + r}, byte {base + places[r]}")
            self._add_column(slot, column, texts)
        self._advance_rows(len(rows))
        return moved

    def _check_cells(self, cells: int, offset: int) -> None:
        what = f"{cells} cells for {len(self.table.fields)} fields"
        with located(url=self.source.url):
            self.table.diagnostics.refuse(self.policy, "cells", "", self._describe_place(offset), what)

    def _ends_table(self, data: Bytes) -> bool:
        """Whether an end tag is that of the table: it was thought to end later."""
        head = data[:64].tobytes()
        if not head.startswith(b"</" + self.body.prefix + self.body.name.encode()):
            return False
        self.table.document.find_all()
        if not self._whole:
            msg = (
                "the table ends here and others follow, which was not known when the file was opened; "
                "open it again in this process, or with a larger options.scan_bytes"
            )
            raise self._make_error(
                msg,
                self.offset,
            )
        self.offset = self.stop
        return True

    def _describe_place(self, offset: int) -> str:
        number = f"row {self.rows + max(0, self.first)}{' of the partition' if self._relative else ''}"
        return f"{number}, byte {offset}"

    def _make_error(self, message: str, offset: int) -> FormatError:
        return FormatError(
            message, url=self.source.url, part=f"{self.table.diagnostics.part}, {self._describe_place(offset)}"
        )
