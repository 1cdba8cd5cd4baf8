"""Rows and cells of TABLEDATA markup by NumPy: a stand-in for :mod:`scichunk.codecs.text.cells`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs.text.states import CELLS, CLASS, CLOSED, COMMENT, CUT, DONE, MARKUP

__all__ = ["count_rows", "find_row", "tokenize_rows"]

Bytes = npt.NDArray[np.uint8]
Spans = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]

_ROW, _CELL, _CELL_END, _ROW_END, _EMPTY, _OTHER = range(6)
_SPACE: Final = re.compile(rb"[ \n\r\t]*")
_BETWEEN: Final = re.compile(rb"(?:[ \n\r\t]++|" + COMMENT + rb")*+")
"""White space and whole comments: there may be hundreds of thousands, of which each would cost microseconds."""
_CLASSES: Final = tuple(CLASS.tolist())
_MARKS: Final = CLASS.tobytes()


def _allowed() -> npt.NDArray[np.bool_]:
    """Which tag may follow which, within a plain row and from one to the next."""
    table = np.zeros((6, 6), np.bool_)
    for before, after in (
        (_ROW, (_CELL, _EMPTY, _ROW_END)),
        (_CELL, (_CELL_END,)),
        (_CELL_END, (_CELL, _EMPTY, _ROW_END)),
        (_EMPTY, (_CELL, _EMPTY, _ROW_END)),
        (_ROW_END, (_ROW,)),
    ):
        table[before, after] = True
    return table


_FOLLOWS: Final = _allowed()
_FILLED: Final = ~np.isin(np.arange(256), [9, 10, 13, 32])
"""What is no white space of XML."""


@lru_cache(maxsize=16)
def _starts(prefix: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"<" + re.escape(prefix) + rb"TR(?=[\x00-\x20/>])")


@lru_cache(maxsize=16)
def _odd(prefix: bytes) -> re.Pattern[bytes]:
    """Markup of a document with a prefix that is neither of rows nor of cells with it, as the kernel looks for it."""
    return re.compile(
        rb"<(?:[!?]|/(?!(?s:.{%d})T[DR])|(?![!?/]|%sT[DR][\x00-\x20/>]))" % (len(prefix), re.escape(prefix))
    )


def _is_odd(text: bytes, size: int, prefix: bytes) -> bool:
    """Whether markup that is neither of rows nor of cells begins before a place."""
    if prefix:
        found = _odd(prefix).search(text)
        return found is not None and found.start() < size
    # four searches for a text take a tenth of the time of one for a pattern with a choice
    marks = b"<!", b"<?", b"EDAT", b":TR"
    return any(mark[1:] in text and text.find(mark, 0, size + len(mark) - 1) >= 0 for mark in marks)


def count_rows(data: Bytes, prefix: Bytes) -> tuple[int, bool]:
    """Count the start tags of rows, and say whether anything but rows and cells may be in here."""
    name, text = prefix.tobytes(), data.tobytes()
    size = len(text) - 32
    if size <= 0:
        return 0, False
    stop = min(len(text), size + len(name) + 4)
    tag = b"<%sTR" % name
    rows = text.count(tag + b">", 0, size + len(tag))
    if text.count(tag, 0, stop) != rows:  # some have attributes, or white space, or are other tags
        rows = sum(m.start() < size for m in _starts(name).finditer(text, 0, stop))
    return rows, _is_odd(text, size, name)


def find_row(data: Bytes, at: int, skip: int, prefix: Bytes) -> int:
    """Where the row starts that comes after ``skip`` others from a place on; -1 if it is not in the data."""
    for found in _starts(prefix.tobytes()).finditer(data.tobytes(), at):
        if skip == 0:
            return found.start()
        skip -= 1
    return -1


class _Plain:
    """The rows of some markup that have nothing unusual, found all at once.

    Parameters
    ----------
    data, columns, prefix
        As for :func:`tokenize_rows`.
    """

    def __init__(self, data: Bytes, columns: int, prefix: bytes) -> None:
        opens = np.flatnonzero(data == 60)
        opens = opens[opens < data.size - len(prefix) - 3]  # those behind are cut off
        kinds, ends = _kinds(data, opens, np.frombuffer(prefix, np.uint8))
        bad = ~_FOLLOWS[kinds[:-1], kinds[1:]]
        gaps = np.flatnonzero(
            (opens[1:] > ends[:-1]) & (kinds[:-1] != _CELL)
        )  # between a row's cells, and between rows
        bad[gaps[_filled(data, ends[gaps], opens[gaps + 1])]] = True
        broken = np.concatenate([[0], np.cumsum(bad)])
        last = np.flatnonzero(kinds == _ROW_END)
        first = np.flatnonzero(kinds == _ROW)
        place = np.searchsorted(last, first)
        first, place = first[place < last.size], place[place < last.size]
        last = last[place]
        is_cell = (kinds == _CELL) | (kinds == _EMPTY)
        before = np.concatenate([[0], np.cumsum(is_cell)])
        good = (broken[last] == broken[first]) & (before[last] - before[first] == columns)
        first, last = first[good], last[good]
        self.begins: Ints = opens[first]
        self.ends: Ints = ends[last]
        self._cells = np.flatnonzero(is_cell)
        self._first = before[first]
        self._opens, self._inside, self._kinds = opens, ends, kinds
        joined = (first[1:] == last[:-1] + 1) & ~bad[last[:-1]]
        breaks = np.flatnonzero(~joined) + 1
        self._runs = np.append(breaks, first.size)
        """Where each run of rows, one directly behind the other, ends."""

    def run(self, place: int) -> tuple[int, int]:
        """Rows, first and behind the last, from the one on that begins at a place as far as nothing stands between; none: equal."""
        k = int(np.searchsorted(self.begins, place))
        if k == self.begins.size or self.begins[k] != place:
            return k, k
        return k, int(self._runs[np.searchsorted(self._runs, k, "right")])

    def texts(self, first: int, last: int, columns: int) -> tuple[Ints, Ints]:
        """Start and stop of the texts of rows, shape (columns, rows)."""
        cells = self._cells[self._first[first:last, None] + np.arange(columns)].T
        starts = self._inside[cells]
        following = np.minimum(cells + 1, self._opens.size - 1)
        return starts, np.where(self._kinds[cells] == _EMPTY, starts, self._opens[following])


def _filled(data: Bytes, starts: Ints, stops: Ints) -> npt.NDArray[np.bool_]:
    """Whether anything but white space stands in spans of the data."""
    filled = np.zeros(starts.size, np.bool_)
    longest = int((stops - starts).max(initial=0))
    if longest > 64:  # so long are few in a document, and the sums take the time of one pass over all of it
        before = np.concatenate([[0], np.cumsum(_FILLED[data], dtype=np.int64)])
        return before[stops] > before[starts]
    for k in range(longest):
        at = starts + k
        filled |= (at < stops) & _FILLED[data[np.minimum(at, data.size - 1)]]
    return filled


def _kinds(data: Bytes, opens: Ints, prefix: Bytes) -> tuple[Ints, Ints]:
    """Which tags begin at some places, and where they end; only those without any white space are known."""
    padded = np.concatenate([data, np.zeros(4, np.uint8)])
    closes = padded[opens + 1] == 47
    at = opens + 1 + closes
    named = np.ones(opens.size, np.bool_)
    for letter in prefix:
        named &= padded[at] == letter
        at += 1
    # Four letters are looked up at once, since looking up is what takes the time.
    letters = np.ndarray(data.size + 1, "<u4", padded, strides=(1,))[at]
    three = letters & 0xFFFFFF
    row, cell = named & (three == _letters(b"TR>")), named & (three == _letters(b"TD>"))
    kinds = np.full(opens.size, _OTHER)
    kinds[row] = _ROW
    kinds[cell] = _CELL
    kinds[row & closes] = _ROW_END
    kinds[cell & closes] = _CELL_END
    empty = named & ~closes & (letters == _letters(b"TD/>"))
    kinds[empty] = _EMPTY
    return kinds, np.minimum(at + 3 + empty, data.size)


def _letters(text: bytes) -> int:
    return int.from_bytes(text, "little")


def _space(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _between(text: bytes, at: int, limit: int) -> int:
    """Place behind the white space that begins here, and behind the comments too if that is no further than the limit."""
    found = _BETWEEN.match(text, at)
    return found.end() if found and found.end() <= limit else _space(text, at)


def _tag(text: bytes, at: int, close: int, letter: int, prefix: bytes) -> int:
    """Place behind the tag ``T`` + letter (of a start tag: its ``>``, or ``/>``); -1: another, -2: data end, -3: attributes."""
    at += 1 + close
    size = len(text)
    for expected in prefix:
        if at >= size:
            return -2
        if text[at] != expected:
            return -1
        at += 1
    if at + 2 >= size:
        return -2
    if text[at] != 84 or text[at + 1] != letter:
        return -1
    at += 2
    if text[at] == 62:
        return at + 1
    if text[at] > 32 and text[at] != 47:
        return -1
    at = _space(text, at)
    if at < size and text[at] == 62:
        return at + 1
    if at + 1 >= size:
        return -2
    return at + 2 if text[at] == 47 and text[at + 1] == 62 and close == 0 else -3


def _comment(text: bytes, at: int) -> int:
    """Place behind a comment that begins here; -1 if it is none, -2 if the data end."""
    if at + 3 >= len(text):
        return -2
    if text[at + 1 : at + 4] != b"!--":
        return -1
    found = text.find(b"--", at + 4, len(text) - 1)
    if found < 0:
        return -2
    return found + 3 if text[found + 2] == 62 else -1


def _cell(text: bytes, at: int, prefix: bytes) -> tuple[int, int, int]:
    """One cell that begins here: start and stop of its text, and the place behind it (or why not)."""
    inside = _tag(text, at, 0, 68, prefix)
    if inside < 0:
        return 0, 0, inside
    if text[inside - 2] == 47:
        return inside, inside, inside
    end = text.find(b"<", inside)
    if end < 0 or end + 1 >= len(text):
        return 0, 0, -2
    if text[end + 1] != 47:
        return 0, 0, -3
    after = _tag(text, end, 1, 68, prefix)
    return inside, end, -3 if after == -1 else after


def _row(text: bytes, at: int, prefix: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Texts of one row from behind its start tag: place behind its end tag (or why not), and where they are."""
    cells: list[tuple[int, int]] = []
    while True:
        at = _space(text, at)
        if at + 1 >= len(text):
            return -2, cells
        if text[at] != 60:
            return -1, cells
        if text[at + 1] == 47:
            return _tag(text, at, 1, 82, prefix), cells
        start, stop, after = _cell(text, at, prefix)
        if after == -1:
            after = _comment(text, at)
            if after < 0:
                return after, cells
            at = after
            continue
        if after < 0:
            return after, cells
        cells.append((start, stop))
        at = after


def tokenize_rows(
    data: Bytes,
    at: int,
    limit: int,
    columns: int,
    slots: Ints,
    prefix: Bytes,
    starts: Spans,
    stops: Spans,
    seen: Bytes,
) -> tuple[int, int, int, int]:
    """Find the cells of rows."""
    text, name, most = data.tobytes(), prefix.tobytes(), starts.shape[1]
    plain = _Plain(data, columns, name)
    wanted = np.flatnonzero(slots[:columns] >= 0)
    row = 0
    while row < most:
        at = _between(text, at, limit)
        if at >= limit or at >= len(text):
            return row, at, DONE, 0
        first, last = plain.run(at)
        last = min(last, first + most - row, int(np.searchsorted(plain.begins, limit)))
        if last > first:
            begins, ends = plain.texts(first, last, columns)
            to = slice(row, row + last - first)
            starts[slots[wanted], to], stops[slots[wanted], to] = begins[wanted], ends[wanted]
            _look(data, slots, (begins, ends), seen)
            row, at = row + last - first, int(plain.ends[last - 1])
            continue
        if text[at] != 60:
            return row, at, MARKUP, 0
        inside = _tag(text, at, 0, 82, name)
        if inside == -1:
            if text[at + 1 : at + 2] == b"/":
                return row, at, CLOSED, 0
            after = _comment(text, at)
            if after < 0:
                return row, at, CUT if after == -2 else MARKUP, 0
            at = after
            continue
        if inside < 0 or text[inside - 2] == 47:
            return row, at, CUT if inside == -2 else MARKUP, 0
        after, cells = _row(text, inside, name)
        for column, (start, stop) in enumerate(cells[:columns]):
            slot = slots[column]
            if slot >= 0:
                starts[slot, row], stops[slot, row] = start, stop
                for byte in set(text[start:stop]):
                    seen[slot] |= _CLASSES[byte]
        if after < 0:
            return row, at, CUT if after == -2 else MARKUP, len(cells)
        if len(cells) != columns:
            return row, at, CELLS, len(cells)
        at = after
        row += 1
    return row, at, DONE, 0


def _look(data: Bytes, slots: Ints, texts: tuple[Ints, Ints], seen: Bytes) -> None:
    """Say what is in the texts of each column; these are of one row behind the other."""
    begins, ends = (part.T.reshape(-1) for part in texts)
    if not begins.size:
        return
    base = int(begins[0])
    marks = np.frombuffer(data[base : int(ends[-1])].tobytes().translate(_MARKS), np.uint8)
    places = np.flatnonzero(marks != 0) + base
    cell = np.searchsorted(begins, places, "right") - 1
    inside = places < ends[cell]
    slot = slots[cell[inside] % texts[0].shape[0]]
    kept: Any = slot >= 0
    np.bitwise_or.at(seen, slot[kept], marks[places[inside][kept] - base])
