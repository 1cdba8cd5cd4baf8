"""Rows and cells of TABLEDATA markup, compiled by numba on first use.

Only the plain form is taken: rows of cells without attributes, CDATA or processing instructions, comments only between tags.
Whatever else comes is handed back for a real XML parser.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scichunk.codecs._numba import Flag, Int, inlined, inner_kernel, kernel
from scichunk.codecs.text.states import CELLS, CLASS, CLOSED, CUT, DONE, MARKUP

__all__ = ["count_rows", "find_row", "tokenize_rows"]

Bytes = npt.NDArray[np.uint8]
Spans = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]


@kernel
def count_rows(data: Bytes, prefix: Bytes) -> tuple[Int, Flag]:
    """Count the start tags of rows, and say whether anything but rows and cells may be in here.

    Parameters
    ----------
    data
        Markup; the last 32 bytes are only looked at as the end of what begins before them.
    prefix
        Of the namespace, with its colon.

    Returns
    -------
    rows : int
    unusual : bool
        Comments, CDATA sections, processing instructions, the end of the table or rows of another prefix may be in it.
    """
    rows, unusual = 0, False
    skip = prefix.size
    size = data.size - 32
    if skip == 0:
        found, odd = np.int64(0), np.uint8(0)
        for i in range(size):  # no branches: several bytes at a time
            tag = data[i] == 60
            after = data[i + 3]
            named = (data[i + 1] == 84) & (data[i + 2] == 82)
            found += tag & named & ((after == 62) | (after <= 32) | (after == 47))
            # "<!" and "<?" begin what may hide rows; "EDAT" is in the end tag of TABLEDATA, and in few other words; ":TR" in rows with a
            # prefix, which a table without one may have.
            odd |= (
                (tag & ((data[i + 1] == 33) | (data[i + 1] == 63)))
                | ((data[i] == 69) & (data[i + 1] == 68) & (data[i + 2] == 65) & (after == 84))
                | ((data[i] == 58) & named)
            )
        return found, odd != 0
    for i in range(size):
        if data[i] != 60:
            continue
        if data[i + 1] == 33 or data[i + 1] == 63 or data[i + 1] == 47:
            at = i + 2 + skip
            if data[i + 1] != 47 or not (
                at + 1 < data.size and data[at] == 84 and (data[at + 1] == 68 or data[at + 1] == 82)
            ):
                unusual = True
            continue
        letter = _start_letter(data, i, prefix)
        if letter == 82:
            rows += 1
        elif letter != 68:
            unusual = True
    return rows, unusual


@inner_kernel
def _start_letter(data: Bytes, at: Int, prefix: Bytes) -> Int:
    """Second letter of the start tag that begins here: R of a row, D of a cell; 0 if it is no ``T`` and a letter."""
    skip = prefix.size
    if at + skip + 3 >= data.size or data[at] != 60:
        return 0
    for k in range(skip):
        if data[at + 1 + k] != prefix[k]:
            return 0
    at += skip
    after = data[at + 3]
    return np.int64(data[at + 2]) if data[at + 1] == 84 and (after == 62 or after <= 32 or after == 47) else 0


@kernel
def find_row(data: Bytes, at: Int, skip: Int, prefix: Bytes) -> Int:
    """Find where the row starts that comes after ``skip`` others from a place on; -1 if it is not in the data."""
    for i in range(at, data.size):
        if data[i] == 60 and _start_letter(data, i, prefix) == 82:
            if skip == 0:
                return i
            skip -= 1
    return -1


@inlined
def _skip_space(data: Bytes, at: Int) -> Int:
    while at < data.size and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += 1
    return at


@inner_kernel
def _skip_tag(data: Bytes, at: Int, close: Int, letter: Int, prefix: Bytes) -> Int:
    """Return the place behind the tag ``T`` + letter (of a start tag: its ``>``, or ``/>``); -1: another, -2: data end, -3: attributes."""
    at += 1 + close
    for k in range(prefix.size):
        if at >= data.size:
            return -2
        if data[at] != prefix[k]:
            return -1
        at += 1
    if at + 2 >= data.size:
        return -2
    if data[at] != 84 or data[at + 1] != letter:
        return -1
    at += 2
    if data[at] == 62:
        return at + 1
    if data[at] > 32 and data[at] != 47:
        return -1
    at = _skip_space(data, at)
    if at < data.size and data[at] == 62:
        return at + 1
    if at + 1 >= data.size:
        return -2
    return at + 2 if data[at] == 47 and data[at + 1] == 62 and close == 0 else -3


@inner_kernel
def _skip_comment(data: Bytes, at: Int) -> Int:
    """Return the place behind a comment that begins here; -1 if it is none, -2 if the data end."""
    if at + 3 >= data.size:
        return -2
    if data[at + 1] != 33 or data[at + 2] != 45 or data[at + 3] != 45:
        return -1
    for i in range(at + 4, data.size - 2):
        # "--" within a comment is only allowed as its end (XML 1.0, section 2.5): expat says what is wrong.
        if data[i] == 45 and data[i + 1] == 45:
            return i + 3 if data[i + 2] == 62 else -1
    return -2


@inner_kernel
def _find_cell(data: Bytes, at: Int, prefix: Bytes) -> tuple[Int, Int, Int, Int]:
    """Find one cell that begins here: start and stop of its text, place behind it (or why not), and what is in the text."""
    plain = prefix.size == 0 and at + 3 < data.size
    inside = (
        at + 4
        if plain and data[at + 1] == 84 and data[at + 2] == 68 and data[at + 3] == 62
        else _skip_tag(data, at, np.int64(0), np.int64(68), prefix)
    )
    if inside < 0:
        return 0, 0, inside, np.uint8(0)
    if data[inside - 2] == 47:
        return inside, inside, inside, np.uint8(0)
    # unsigned: numba makes no provision for negative indices then
    mark, size, seen = np.uint64(inside), np.uint64(data.size), np.uint8(0)
    while mark < size and data[mark] != 60:
        seen |= CLASS[data[mark]]
        mark += np.uint64(1)
    end = np.int64(mark)
    if end + 1 >= data.size:
        return 0, 0, -2, np.uint8(0)
    if (
        plain
        and end + 4 < data.size
        and data[end + 1] == 47
        and data[end + 2] == 84
        and data[end + 3] == 68
        and data[end + 4] == 62
    ):
        return inside, end, end + 5, seen
    if data[end + 1] != 47:
        return 0, 0, -3, np.uint8(0)
    after = _skip_tag(data, end, np.int64(1), np.int64(68), prefix)
    return inside, end, -3 if after == -1 else after, seen


@inner_kernel
def _find_row(
    data: Bytes,
    at: Int,
    columns: Int,
    slots: Ints,
    prefix: Bytes,
    starts: Spans,
    stops: Spans,
    seen: Bytes,
    row: Int,
) -> tuple[Int, Int]:
    """Find the cells of one row from behind its start tag: place behind its end tag (or why not), and how many cells."""
    column = 0
    while True:
        at = _skip_space(data, at)
        if at + 1 >= data.size:
            return -2, column
        if data[at] != 60:
            return -1, column
        if data[at + 1] == 47:
            return _skip_tag(data, at, np.int64(1), np.int64(82), prefix), column
        start, stop, after, marks = _find_cell(data, at, prefix)
        if after == -1:
            after = _skip_comment(data, at)
            if after < 0:
                return after, column
            at = after
            continue
        if after < 0:
            return after, column
        if column < columns and slots[column] >= 0:
            slot = slots[column]
            starts[slot, row], stops[slot, row] = start, stop
            seen[slot] |= marks
        column += 1
        at = after


@kernel
def tokenize_rows(
    data: Bytes,
    at: Int,
    limit: Int,
    columns: Int,
    slots: Ints,
    prefix: Bytes,
    starts: Spans,
    stops: Spans,
    seen: Bytes,
) -> tuple[Int, Int, Int, Int]:
    """Find the cells of rows.

    Parameters
    ----------
    data
        Markup.
    at
        Where to begin: between rows.
    limit
        Rows that begin here or later are left.
    columns, slots
        Cells that every row has; for each of them the row of ``starts`` it goes to, -1 if it is not wanted.
    prefix
        Of the namespace.
    starts, stops, seen
        For the places of the texts, shape (wanted columns, most rows), and what is in those of each column.

    Returns
    -------
    rows, place, status, cells : int
        ``place`` is where the next row begins, or the one that cannot be taken; ``cells`` how many that one has.
    """
    most = starts.shape[1]
    row = 0
    while row < most:
        at = _skip_space(data, at)
        if at >= limit or at >= data.size:
            return row, at, DONE, 0
        if data[at] != 60:
            return row, at, MARKUP, 0
        inside = _skip_tag(data, at, np.int64(0), np.int64(82), prefix)
        if inside == -1:
            if at + 1 < data.size and data[at + 1] == 47:
                return row, at, CLOSED, 0
            after = _skip_comment(data, at)
            if after < 0:
                return row, at, CUT if after == -2 else MARKUP, 0
            at = after
            continue
        if inside < 0 or data[inside - 2] == 47:
            return row, at, CUT if inside == -2 else MARKUP, 0
        after, column = _find_row(data, inside, columns, slots, prefix, starts, stops, seen, row)
        if after < 0:
            return row, at, CUT if after == -2 else MARKUP, column
        if column != columns:
            return row, at, CELLS, column
        at = after
        row += 1
    return row, at, DONE, 0
