"""Rows of BINARY and BINARY2 streams: fixed ones by arithmetic, others by an index of rows (VOTable 1.5, sections 5.3 and 5.4)."""

from __future__ import annotations

import bisect
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs import ways
from scichunk.core.cache import held_bytes
from scichunk.core.tables import Rows
from scichunk.errors import FormatError, LimitExceeded, located
from scichunk.formats.votable.document.structure import Field
from scichunk.formats.votable.rows.base64_stream import ByteStream
from scichunk.formats.votable.values.column_part import Part
from scichunk.formats.votable.values.diagnostics import Findings, Policy, Report
from scichunk.formats.votable.values.from_bytes import cell_bytes, convert, pad_items

__all__ = ["FixedRows", "VariableRows", "open_rows"]

_PIECE: Final = 1 << 20
Bytes = npt.NDArray[np.uint8]
Parts = list[list[Part]]


class _BinaryRows:
    """What both kinds share."""

    def __init__(
        self, stream: ByteStream, fields: Sequence[Field], findings: Findings, *, masked: bool, declared: int | None
    ) -> None:
        self.stream, self.fields, self.findings, self.url = stream, tuple(fields), findings, findings.url
        self.declared = declared
        self.masks = (len(self.fields) + 7) // 8 if masked else 0
        sizes = [cell_bytes(f) for f in self.fields]
        self.bits = np.array([s[0] for s in sizes], np.int64)
        self.numbers = np.array([s[1] for s in sizes], np.int64)
        self.piece = max(_PIECE, min(stream.batch_bytes, 1 << 25)) if not stream.near else _PIECE

    @property
    def held_bytes(self) -> int:
        """Memory of the stream."""
        return held_bytes(self.stream)

    @property
    def nbytes(self) -> int:
        """Encoded bytes."""
        return self.stream.stored

    def part_of(self, column: int, raw: Any, counts: Any = None, *, flags: Bytes, policy: Policy, first: int) -> Part:
        """Convert the bytes of one field, and mark its nulls; ``flags``: null flags of the rows, shape (rows, masks)."""
        field = self.fields[column]
        report = Report(field.name, policy, self.findings, lambda i: f"row {first + i}")
        with located(url=self.url, part=f"{self.findings.part}, field {field.name!r}"):
            part = convert(field, raw, counts, flags.shape[0], report)
        if self.masks:
            null = flags[:, column >> 3] & (128 >> (column & 7)) != 0
            if null.any():
                part.row_null = null if part.row_null is None else part.row_null | null
        return part

    def leftover(self, rows: int, bytes_left: int, policy: Policy) -> None:
        """Say what is behind the last whole row, or what is missing."""
        if bytes_left and self.declared != rows:
            what = f"the stream ends within row {rows}, {bytes_left} bytes after its beginning: it is truncated"
            with located(url=self.url):
                self.findings.refuse(policy, "partial row", "", f"row {rows}", what)
        elif bytes_left:
            self.findings.add("partial row", "", 1, f"row {rows}")
        elif self.declared is not None and self.declared != rows:
            self.findings.add("rows", "", abs(self.declared - rows), f"{rows} rows, declared {self.declared}")


class FixedRows(_BinaryRows):
    """Rows of one size: every row is found by arithmetic."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        sizes = (self.bits * self.numbers + 7) // 8
        self.starts = (self.masks + np.cumsum(sizes) - sizes).tolist()
        self.sizes = sizes.tolist()
        self.width = int(self.masks + sizes.sum())
        if self.declared is not None and self.declared * self.width == self.stream.size:
            self.stream.trust()
        if self.width > options.get().max_chunk_bytes:
            msg = f"rows of {self.width} bytes (options.max_chunk_bytes)"
            raise LimitExceeded(msg, url=self.url, part=self.findings.part)

    @property
    def n_rows(self) -> int | None:
        """Number of rows."""
        return self.stream.size // self.width if self.width else 0

    def count_rows(self) -> int:
        """Return the number of rows."""
        return int(self.n_rows or 0)

    def row_group(self) -> int:
        """Rows of some MB."""
        return max(1, (1 << 22) // max(1, self.width))

    def partitions(self, nbytes: int) -> list[Rows]:
        """Cut into equal numbers of rows."""
        rows = self.count_rows()
        size = max(1, int(min(nbytes, 1 << 30) * (self.stream.size / max(1, self.stream.stored))) // max(1, self.width))
        count = max(1, -(-rows // size))
        cuts = [rows * i // count for i in range(count + 1)]
        return [Rows(a, b) for a, b in itertools.pairwise(cuts)]

    def read(self, rows: Rows, wanted: Sequence[int], policy: Policy) -> Parts:
        """Decode rows; for each wanted field its parts."""
        ways.announce("binary", (rows.stop - rows.start) * self.width)
        self.stream.prove(rows.stop * self.width)
        total = self.count_rows()
        if rows.stop >= total:
            self.leftover(total, self.stream.size - total * self.width, policy)
        parts: Parts = [[] for _ in wanted]
        step = max(1, self.piece // self.width)
        stop = min(rows.stop, total)
        for first in range(rows.start, stop, step):
            count = min(step, stop - first)
            data = self.stream.read(first * self.width, (first + count) * self.width).reshape(count, self.width)
            flags = data[:, : self.masks]
            for slot, column in enumerate(wanted):
                at = self.starts[column]
                raw = data[:, at : at + self.sizes[column]]
                parts[slot].append(self.part_of(column, raw, flags=flags, policy=policy, first=first))
        return parts


class VariableRows(_BinaryRows):
    """Rows whose sizes differ: an index has the place of the first row of each piece, as far as anyone needed it."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._places, self._rows = [0], [0]
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
        elements = np.array([_elements(f) for f in self.fields], np.int64)
        if not (elements[self.numbers < 0] > 1).any():
            return
        reach = self._reach(self.bits, self.units)
        if reach >= min(self.stream.size, _PIECE):
            return
        units = np.where(self.numbers < 0, elements, 1)
        bits = np.where(units > 1, [f.bits for f in self.fields], self.bits)
        # A length of the wrong kind leads to bytes of a value, which are most often a length beyond the bytes at hand: of a stream
        # that is longer nobody knows whether they follow. The last row of the right kind is cut off too, but far behind.
        if self._reach(bits, units) > 2 * max(0, reach):
            self.bits, self.units = bits, units

    def _reach(self, bits: Any, units: Any) -> int:
        """How far the beginning of the stream can be rows; -1 where it cannot, and where a short one ends otherwise than with a row."""
        walk = ways.choose("text.votable_rows").walk
        size = min(self.stream.size, _PIECE)
        data = self.stream.read(0, size)
        slots = np.arange(len(self.fields))
        most = min(1 << 12, max(16, (1 << 22) // len(self.fields)))  # rows at a time: there may be very many fields
        counts = np.zeros((len(self.fields) + 1, most), np.int64)
        at = rows = 0
        while True:
            found, at, bad = walk(data, at, size, self.masks, bits, self.numbers, slots, counts.copy(), counts)
            rows += found
            if bad >= 0 or (counts[:-1, :found] % units[:, None] != 0).any():
                return -1
            if bad == -2:
                return int(at) if size < self.stream.size and rows > 0 else -1
            if at >= size:
                return size if size < self.stream.size or self.declared in {None, rows} else -1

    @property
    def held_bytes(self) -> int:
        """Memory of the stream, and of the places of rows."""
        return super().held_bytes + 160 * len(self._places)

    @property
    def n_rows(self) -> int | None:
        """Number of rows if they have been counted."""
        return self._rows[-1] if self._end >= 0 else None

    def count_rows(self) -> int:
        """Count them."""
        self._advance(lambda: False)
        return self._rows[-1]

    def row_group(self) -> int:
        """Rows of some MB."""
        rows = self.n_rows
        return max(1, rows * (1 << 22) // max(1, self.stream.size)) if rows else 10_000

    def partitions(self, nbytes: int) -> list[Rows]:
        """Spans of bytes; with row numbers once rows have been counted."""
        size = max(1, min(nbytes, 1 << 30))
        count = max(1, -(-self.stream.stored // size))
        cuts = [self.stream.size * i // count for i in range(count + 1)]
        if self._end < 0:
            return [Rows(-1, -1, a, b) for a, b in itertools.pairwise(cuts)]
        rows = [self._rows[max(0, bisect.bisect_right(self._places, c) - 1)] for c in cuts[:-1]] + [self._rows[-1]]
        found = [Rows(a, b) for a, b in itertools.pairwise(rows) if b > a]
        return found or [Rows(0, 0)]

    def read(self, rows: Rows, wanted: Sequence[int], policy: Policy) -> Parts:
        """Decode a partition, or any rows by number; for each wanted field its parts."""
        if rows.start < 0:
            self._advance(lambda: self._places[-1] >= rows.last_byte)
            i = max(0, bisect.bisect_right(self._places, rows.first_byte) - 1)
            limit, left = min(rows.last_byte, self.stream.size), 1 << 62
            wanted_from, skip = rows.first_byte, 0
        else:
            self._advance(lambda: self._rows[-1] >= rows.stop)
            i = max(0, bisect.bisect_right(self._rows, rows.start) - 1)
            limit, left = self.stream.size, min(rows.stop, self._rows[-1]) - rows.start
            wanted_from, skip = 0, rows.start - self._rows[i]
        if self._end >= 0:
            limit = min(limit, self._end)
        at, row = self._places[i], self._rows[i]
        if at < wanted_from or skip:
            at, row = self._skip(at, row, wanted_from, skip)
        ways.announce("binary", self._bytes_of(at, limit, left))
        parts = self._decode(at, row, wanted, policy, limit=limit, left=left)
        if self._end >= 0 and (rows.last_byte >= self.stream.size if rows.start < 0 else rows.stop >= self._rows[-1]):
            self._check_end(policy)
        return parts

    def _bytes_of(self, at: int, limit: int, left: int) -> int:
        """About how many bytes some rows have."""
        return min(max(0, limit - at), left * self.stream.size // max(1, self._rows[-1]))

    def _check_end(self, policy: Policy) -> None:
        if self._bad:
            what = f"{self._bad} in row {self._rows[-1]}, byte {self._end} of the stream"
            with located(url=self.url):
                self.findings.refuse(policy, "partial row", "", f"row {self._rows[-1]}", what)
        else:
            self.leftover(self._rows[-1], self.stream.size - self._end, policy)

    def _advance(self, enough: Callable[[], bool]) -> None:
        """Extend the index."""
        if self._end >= 0 or enough():
            return
        with self._lock:
            size = self.piece
            while self._end < 0 and not enough():
                at = self._places[-1]
                rows, after, bad = self._walk(at, size)
                if bad >= 0:
                    self._bad = f"field {self.fields[bad].name!r} has an impossible length"
                if bad >= 0 or (at + size >= self.stream.size and (bad == -2 or after >= self.stream.size or not rows)):
                    if rows:
                        self._rows.append(self._rows[-1] + rows)
                        self._places.append(after)
                    self._end = after
                elif rows:
                    self._rows.append(self._rows[-1] + rows)
                    self._places.append(after)
                    size = self.piece
                else:
                    size = self._larger(size, at)

    def _larger(self, size: int, at: int) -> int:
        if size > options.get().max_chunk_bytes // 2:
            msg = f"a row of more than {size} bytes (options.max_chunk_bytes)"
            raise LimitExceeded(msg, url=self.url, part=f"{self.findings.part}, byte {at} of the stream")
        return size * 2

    def _walk(self, at: int, size: int) -> tuple[int, int, int]:
        """Count the rows of a piece."""
        walk = ways.choose("text.votable_rows").walk
        self.stream.prove(at + size)
        data = self.stream.read(at, max(at, min(at + size, self.stream.size)))
        most = max(1, data.size // max(1, self.masks + int((self.numbers < 0).sum()) * 4)) + 1
        places = np.empty((1, min(most, 1 << 20)), np.int64)
        rows, after, bad = walk(data, 0, data.size, self.masks, self.bits, self.numbers, self._none, places, places)
        return rows, at + after, bad

    def _skip(self, at: int, row: int, place: int, rows: int) -> tuple[int, int]:
        """Go on to the first row at a place or behind it, or over some rows."""
        walk = ways.choose("text.votable_rows").walk
        size = self.piece
        while at < place or rows:
            data = self.stream.read(at, min(at + size, self.stream.size))
            starts = np.empty((1, rows or 1 << 16), np.int64)
            limit = max(0, place - at) if place else data.size
            found, after, _ = walk(
                data, 0, min(limit, data.size), self.masks, self.bits, self.numbers, self._none, starts, starts
            )
            if not found:
                if at + size >= self.stream.size:
                    break
                size = self._larger(size, at)
                continue
            at, row = at + after, row + found
            rows = max(0, rows - found)
        return at, row

    def _decode(self, at: int, row: int, wanted: Sequence[int], policy: Policy, *, limit: int, left: int) -> Parts:
        """Decode rows from a place on, up to a place and at most ``left`` of them."""
        walk = ways.choose("text.votable_rows").walk
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
                found, here, bad = walk(
                    data, here, min(limit - at, data.size), self.masks, self.bits, self.numbers, slots, starts, counts
                )
                if found:
                    fresh = self._take(data, starts[:, :found], counts[:, :found], wanted, policy=policy, first=row)
                    for of_column, part in zip(parts, fresh, strict=True):
                        of_column.append(part)
                    row, left, end = row + found, left - found, here
                if bad != -1 or not found:
                    break
            if not end:
                if at + size >= self.stream.size:
                    break
                size = self._larger(size, at)
                continue
            at, size = at + end, self.piece
        return parts

    def _take(
        self, data: Bytes, starts: Any, counts: Any, wanted: Sequence[int], *, policy: Policy, first: int
    ) -> list[Part]:
        """Decode the wanted fields of rows whose places are known, from row ``first`` on."""
        kernels = ways.choose("text.votable_rows")
        rows = starts.shape[1]
        flags = np.empty((rows, self.masks), np.uint8)
        _need(kernels.gather(data, starts[-1], self.masks, flags.reshape(-1)))
        parts = []
        for slot, column in enumerate(wanted):
            number, bits = int(self.numbers[column]), int(self.bits[column])
            if number >= 0:
                size = (bits * number + 7) // 8
                raw = np.empty((rows, size), np.uint8)
                _need(kernels.gather(data, starts[slot], size, raw.reshape(-1)))
                items = None
            else:
                units = int(self.units[column])
                items = counts[slot] // units
                sizes = (items * units * bits + 7) >> 3
                raw = np.empty(int(sizes.sum()), np.uint8)
                _need(kernels.gather_ranges(data, starts[slot], sizes, raw))
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
        self.findings.refuse(policy, "not a value", self.fields[column].name, where, what)


def _need(there: bool) -> None:  # what a kernel says
    """Raise unless a kernel found the bytes that the walk over the rows has promised."""
    if not there:
        msg = "fields that lie outside of their rows"
        raise FormatError(msg)


def _elements(field: Field) -> int:
    """Elements of an item of a field of variable length."""
    size = field.shape.size * max(1, field.shape.text or 1) if field.shape.variable else 1
    return max(1, size)


def open_rows(
    stream: ByteStream, fields: Sequence[Field], findings: Findings, *, masked: bool, declared: int | None
) -> FixedRows | VariableRows:
    """Open the rows of a stream; ``masked``: each row begins with null flags (BINARY2)."""
    fixed = all(cell_bytes(f)[1] >= 0 for f in fields)
    return (FixedRows if fixed else VariableRows)(stream, fields, findings, masked=masked, declared=declared)
