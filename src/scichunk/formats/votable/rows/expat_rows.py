"""Rows with unusual markup, read by expat: CDATA, attributes, references, anything that XML allows."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from xml.parsers import expat

import numpy as np
import numpy.typing as npt

from scichunk.errors import FormatError
from scichunk.formats.votable.document.structure import Field

__all__ = ["ExpatRows", "read_rows"]

Bytes = npt.NDArray[np.uint8]


class ExpatRows:
    """Handlers of expat: texts of the cells of whole rows."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.offsets: list[int] = []
        """Where each row begins."""
        self._stop = 0
        self._row: list[str] | None = None
        self._cell: list[str] | None = None
        self._base64 = False
        self._encoded: set[tuple[int, int]] = set()
        self._start = 0
        self.begun = False
        """Whether nothing has come since a start tag."""

    @property
    def encoded(self) -> set[tuple[int, int]]:
        """Row and column of the cells that are base64."""
        return self._encoded

    def start_element(self, name: str, attributes: dict[str, str], offset: int) -> None:
        """Take a start tag."""
        local, self.begun = name.rpartition(":")[2], True
        if local == "TR":
            self._row, self._start = [], offset
        elif local == "TD":
            self._cell = []
            self._base64 = attributes.get("encoding") == "base64"

    def end_element(self, name: str, offset: int) -> None:
        """Take an end tag that ends at a place."""
        local, self.begun = name.rpartition(":")[2], False
        if local == "TD" and self._cell is not None:
            if self._row is not None:
                if self._base64:
                    self._encoded.add((len(self.rows), len(self._row)))
                self._row.append("".join(self._cell))
            self._cell = None
        elif local == "TR" and self._row is not None:
            self.rows.append(self._row)
            self.offsets.append(self._start)
            self._row, self._stop = None, offset

    def keep_before(self, limit: int) -> int:
        """Drop the rows that begin at ``limit`` or later; returns where the first row begins that is not kept."""
        count = sum(p < limit for p in self.offsets)
        following = self.offsets[count:] or ([self._start] if self._row is not None else [self._stop])
        del self.rows[count:], self.offsets[count:]
        return following[0]

    def add_text(self, data: str) -> None:
        """Take characters."""
        self.begun = False
        if self._cell is not None:
            self._cell.append(data)


def read_rows(
    data: Bytes, limit: int, encoding: str, *, last: bool, error_at: Callable[[str, int], FormatError]
) -> tuple[ExpatRows, int]:
    """Read the rows that begin before ``limit``, as far as they are whole.

    Parameters
    ----------
    last
        The table ends with the data: nothing may be left open.
    error_at
        Makes the error of a message and a place in the data.

    Returns
    -------
    ExpatRows
    int
        Where the next row begins; the size of the data if there is none.

    Raises
    ------
    FormatError
        If it is not well-formed.
    """
    found = ExpatRows()
    parser = expat.ParserCreate("iso-8859-1" if encoding == "iso8859-1" else "utf-8")
    parser.buffer_text = True
    root = b"<r>"

    def start(name: str, attributes: dict[str, str]) -> None:
        found.start_element(name, attributes, parser.CurrentByteIndex - len(root))

    def end(name: str) -> None:
        at = parser.CurrentByteIndex - len(root)
        # Of an end tag the place is where it begins; of an empty element, whose start has just been told, it is where that ends.
        empty = text[max(0, at - 2) : at] == b"/>" and found.begun
        found.end_element(name, at if empty else at + len(name) + 3)

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, found.add_text
    text = data.tobytes()
    try:
        parser.Parse(root, False)
        parser.Parse(text, False)
        if last:
            parser.Parse(b"</r>", True)
    except expat.ExpatError as error:
        offset = parser.ErrorByteIndex - len(root)
        if not _is_end_of_table(text, offset):
            msg = f"not well-formed XML: {expat.ErrorString(error.code)}"
            raise error_at(msg, offset) from None
    return found, found.keep_before(limit)


def _is_end_of_table(text: bytes, offset: int) -> bool:
    """Whether the error is only that the table ends here."""
    return (
        re.match(rb".{0,2}</?(?:[\w.-]+:)?TABLEDATA\s*>", text[max(0, offset - 2) : offset + 64], re.DOTALL) is not None
    )


def decode_cell(text: str, field: Field) -> str:
    """Text form of a cell in base64 (VOTable 1.0, TD encoding)."""
    from scichunk.formats.votable.values.from_bytes import single_value

    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        msg = f"a cell is no base64: {error}"
        raise FormatError(msg) from None
    return single_value(field, data)


def pad_cells(cells: Sequence[str], size: int) -> list[str]:
    """Cut or fill up the cells of a row to as many as there are fields."""
    return [*cells[:size], *[""] * (size - len(cells))]
