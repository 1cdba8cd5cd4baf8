"""Where the rows of a TABLEDATA body are: counted block by block, as far as anyone needs."""

from __future__ import annotations

import bisect
import itertools
import re
import threading
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs import ways
from scichunk.formats.votable.document.markup import (
    SLACK_BYTES,
    Body,
    Span,
    blanked,
    find_oddities,
    is_near,
    read_bytes,
)
from scichunk.formats.votable.document.scan import Document

__all__ = ["RowIndex"]

_BLOCK_BYTES: Final = 1 << 18
_AHEAD_BYTES: Final = 1 << 24
_ANY_ROW: Final = re.compile(rb"<(?:[^\x00-\x20<>/:!?]+:)?TR(?=[\x00-\x20/>])")
"""A row with whatever prefix: that of its table may differ, if both stand for one namespace."""
_LONG_PREFIX_BYTES: Final = SLACK_BYTES - 8
"""Beyond this a start tag is longer than what kernels see of a row that begins at the end of a block."""


class RowIndex:
    """Rows before each block of a body, comments and the like, and the proof that the body has not ended before.

    Parameters
    ----------
    document
        Its document.
    body
        The body; its end is corrected when the true one is met.
    """

    def __init__(self, document: Document, body: Body) -> None:
        self.document, self.body = document, body
        self.prefix = np.frombuffer(body.prefix, np.uint8)
        self.odd: list[Span] = []
        """Comments, CDATA sections and processing instructions so far."""
        self._mixed = len(body.prefix) > _LONG_PREFIX_BYTES
        """Whether rows were met that kernels do not find, since they have another prefix."""
        self._ahead = 0, np.empty(0, np.uint8)
        self._starts = [body.start]
        self._rows = [0]
        self._lock = threading.Lock()

    @property
    def near(self) -> bool:
        """Whether looking at all bytes costs little."""
        return is_near(self.document.source)

    @property
    def cached_bytes(self) -> int:
        """Memory of the places, and of what was read ahead."""
        return 80 * len(self._starts) + 136 * len(self.odd) + self._ahead[1].nbytes

    @property
    def done(self) -> bool:
        """Whether all rows are counted."""
        return self._starts[-1] >= self.body.stop

    @property
    def n_rows(self) -> int:
        """Rows counted so far."""
        return self._rows[-1]

    def count_rows(self) -> int:
        """Count all rows."""
        self.count_up_to(self.body.stop)
        return self._rows[-1]

    def count_up_to(self, offset: int) -> None:
        """Count up to a place at least."""
        if self._starts[-1] >= min(offset, self.body.stop):
            return
        with self._lock:
            while self._starts[-1] < min(offset, self.body.stop):
                self._count_block()

    def advance_rows(self, rows: int) -> None:
        """Count at least so many rows, if there are."""
        with self._lock:
            while self._rows[-1] < rows and not self.done:
                self._count_block()

    def place_before_row(self, row: int) -> tuple[int, int]:
        """Return a place at or before a row, and the rows before that place; they have been counted."""
        # Rows and starts grow together, without a lock here: rows are appended first, so a start is never without its rows.
        i = max(0, bisect.bisect_right(self._rows, row) - 1)
        return self._starts[i], self._rows[i]

    def place_before_offset(self, offset: int) -> tuple[int, int]:
        """Return the last counted place up to ``offset``, and the rows before it."""
        i = max(0, bisect.bisect_right(self._starts, offset) - 1)
        return self._starts[i], self._rows[i]

    def offset_outside(self, offset: int) -> int:
        """Return the place itself, or the end of the comment or the like that it lies in."""
        i = bisect.bisect_right(self.odd, (offset, 1 << 62)) - 1
        return self.odd[i][1] if i >= 0 and self.odd[i][0] < offset < self.odd[i][1] else offset

    def blank_oddities(self, data: npt.NDArray[np.uint8], start: int) -> npt.NDArray[np.uint8]:
        """Return bytes that begin at ``start``, with blanks for comments and the like that were met so far: they may hold rows."""
        spans = self.odd[max(0, bisect.bisect_right(self.odd, (start, 1 << 62)) - 1) :]
        inside = [(max(0, first - start), last - start) for first, last in spans if first < start + data.size]
        return blanked(data, [(first, last) for first, last in inside if last > 0])

    def find_row(self, data: npt.NDArray[np.uint8], skip: int) -> int:
        """Find where the row starts that comes after ``skip`` others; -1 if it is not in the data."""
        # Of a file that is far away nobody has looked through all rows: there, only the first one is looked for, which is near.
        if self._mixed or not (skip or self.near):
            rows = _ANY_ROW.finditer(data.tobytes())
            found = next(itertools.islice(rows, skip, None), None)
            return -1 if found is None else found.start()
        return int(ways.choose("text.cells").find_row(data, 0, skip, self.prefix))

    def rows_within(self, data: npt.NDArray[np.uint8], size: int) -> int:
        """Count the rows that begin within the first ``size`` bytes; of what follows the beginning at least is there, or the file ends."""
        if self._mixed:
            return sum(found.start() < size for found in _ANY_ROW.finditer(data.tobytes()))
        return int(ways.choose("text.cells").count_rows(pad_bytes(data, size)[: size + SLACK_BYTES], self.prefix)[0])

    def _look_for_others(self, data: npt.NDArray[np.uint8]) -> None:
        """Look for rows of another prefix than that of the table."""
        text, own = data.tobytes(), b"<" + self.body.prefix + b"TR"
        if self.body.prefix or b":TR" in text:
            self._mixed = self._mixed or any(found[0] != own for found in _ANY_ROW.finditer(text))

    def _count_block(self) -> None:
        """Count the rows of the next block; what is unusual in it is found, and left out."""
        count_rows = ways.choose("text.cells").count_rows
        source, body, at = self.document.source, self.body, self._starts[-1]
        end = min(at + _BLOCK_BYTES, body.stop)
        rows, unusual = count_rows(pad_bytes(self._fetch_bytes(at, end + SLACK_BYTES), end - at), self.prefix)
        after = end
        if unusual or self._mixed:
            spans: list[Span] = []
            closed, resume = find_oddities(source, body, (at, end), source.fingerprint.size, spans)
            # The end tag of the body was met earlier than the end of the document had promised: other tables follow.
            if closed >= 0:
                end = after = closed
                body.stop, body.exact = closed, True
                self.document.complete = False
            after = max(after, resume)
            self.odd += spans
            # The block is counted again without what looks like rows within comments.
            stop = min(after + 8 * SLACK_BYTES, source.fingerprint.size)
            data = self.blank_oddities(read_bytes(source, at, stop), at)
            self._look_for_others(data)
            rows = self.rows_within(data, after - at)
        # the place first: others look without the lock
        self._rows.append(self._rows[-1] + rows)
        self._starts.append(after)

    def _fetch_bytes(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        """Bytes as far as there are any; of files that are far away many at once."""
        source = self.document.source
        stop = min(stop, source.fingerprint.size)
        if self.near:
            return read_bytes(source, start, stop)
        first, data = self._ahead
        if start < first or stop > first + data.size:
            first, data = start, read_bytes(source, start, min(start + _AHEAD_BYTES, source.fingerprint.size)).copy()
            self._ahead = first, data
        return data[start - first : stop - first]


def pad_bytes(data: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Append zeros where the file ends within the slack."""
    missing = size + SLACK_BYTES - data.size
    return data if missing <= 0 else np.concatenate([data, np.zeros(missing, np.uint8)])
