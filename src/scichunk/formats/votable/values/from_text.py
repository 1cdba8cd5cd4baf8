"""From the texts of cells to values (VOTable 1.5, section 5.1); kernels for what is plain, Python for the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs import ways
from scichunk.codecs.text import states
from scichunk.errors import FormatError, LimitExceeded
from scichunk.formats.votable.document.structure import Field
from scichunk.formats.votable.values.column_part import Array, ColumnPart, Mask, declared_null
from scichunk.formats.votable.values.diagnostics import Diagnostics, Policy, Report

__all__ = ["CellTexts", "convert_text"]

Spans = npt.NDArray[np.int32]
_MANY_ELEMENTS: Final = 1 << 23
_BITS: Final = re.compile(r"[01,\x00-\x20]*")
_INTEGER: Final = re.compile(r"[+-]?\d+")
_FLOAT: Final = re.compile(r"[+-]?((\d++(\.\d*+)?|\.\d++)([eE][+-]?\d++)?|(?i:infinity))", re.ASCII)


def _numbers() -> ModuleType:
    return ways.choose("text.numbers")


def _texts() -> ModuleType:
    return ways.choose("text.texts")


@dataclass(slots=True)
class CellTexts:
    """The cells of one field in some rows: places in a buffer."""

    data: npt.NDArray[np.uint8]
    starts: Spans
    stops: Spans
    seen: int
    """What is in them, see :mod:`scichunk.codecs.text.states`."""
    where: Callable[[int], str]
    """Says where a row is."""
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        """Make the buffer one that cannot be written to: kernels are compiled for one kind of array."""
        self.data = self.data.view()
        self.data.flags.writeable = False

    def cell_text(self, row: int) -> str:
        """Return one cell."""
        return self.data[self.starts[row] : self.stops[row]].tobytes().decode("utf-8", "replace")


class _Context:
    """What all converters need to know."""

    def __init__(self, field: Field, policy: Policy, diagnostics: Diagnostics) -> None:
        self.field, self.policy, self.diagnostics = field, policy, diagnostics

    def add(self, kind: str, count: int, where: str) -> None:
        self.diagnostics.add(kind, self.field.name, count, where)

    def refuse(self, where: str, found: str) -> None:
        what = f"{found[:60]!r} is no {self.field.datatype}"
        self.diagnostics.refuse(self.policy, "not a value", self.field.name, where, what)


def convert_text(field: Field, given: CellTexts, policy: Policy, diagnostics: Diagnostics) -> ColumnPart:
    """Read the values of some rows.

    Raises
    ------
    FormatError
        If a text is no value of the field's type (or, by the policy, that becomes null).
    """
    context = _Context(field, policy, diagnostics)
    if given.seen & states.CONTROL:
        given = _check_printable(context, given)
    if given.seen & (states.AMPERSAND | states.RETURN) and not field.is_text:
        given = _resolve_references(given)
    if field.is_text:
        return _convert_texts(context, given)
    if field.datatype == "bit" and (field.shape.item or field.shape.variable):
        return _convert_bits(context, given)
    shape, rows = field.shape, given.starts.size
    # A complex number is two texts (section 5.1), so it is read as an array of floats and joined afterwards.
    pair = 2 if field.kind in {"c8", "c16"} else 1
    # The common case, one number a cell, needs no search for tokens.
    if not shape.item and not shape.variable and pair == 1:
        values, null = _convert_numbers(context, given)
        return ColumnPart(rows, values, null)
    counts = np.empty(rows, np.int32)
    total, comma = _texts().count_tokens(given.data, given.starts, given.stops, counts)
    if comma >= 0:
        context.add("comma", 1, given.where(comma))
    # Elements are separated by white space (section 5.1); commas are what some services write, and are told of.
    size = pair * shape.size
    row_null = counts == 0
    if shape.variable:
        row_null = _check_items(context, given, counts, size)
        total = int(counts.sum(dtype=np.int64))
    elif pair == 2 and not shape.item:
        _check_pairs(context, given, counts)
    elif ((counts != size) & ~row_null).any():
        bad = np.flatnonzero((counts != size) & ~row_null)
        context.add("array length", bad.size, given.where(int(bad[0])))
    count = total if shape.variable else rows * size
    _check_size(count, total, given)
    firsts, lasts = np.empty(count, np.int32), np.empty(count, np.int32)
    _texts().split_tokens(given.data, given.starts, given.stops, -1 if shape.variable else size, firsts, lasts)
    inner = _Inner(given, counts if shape.variable else None, size)
    values, null = _convert_numbers(context, replace(given, starts=firsts, stops=lasts, where=inner.where))
    if pair == 2:
        values = np.ascontiguousarray(values).view(field.kind)
        null = None if null is None else null.reshape(-1, 2).any(axis=1)
    if shape.variable:
        offsets = np.zeros(rows + 1, np.int32)
        np.cumsum(counts // np.int64(max(1, size)), out=offsets[1:])
        return ColumnPart(rows, values, null, row_null if row_null.any() else None, None, offsets)
    return ColumnPart(rows, values, null, row_null if row_null.any() else None)


def _check_size(count: int, there: int, given: CellTexts) -> None:
    """Refuse to make far more elements than are there: a short document may declare arrays of any size."""
    if count > _MANY_ELEMENTS and count > 64 * there:
        msg = f"{count} elements are declared where {there} are"
        raise LimitExceeded(msg, part=given.where(0))


class _Inner:
    """Says where the row of an element is."""

    def __init__(self, given: CellTexts, counts: Spans | None, size: int) -> None:
        self._given, self._counts, self._size = given, counts, size

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        return np.cumsum(np.asarray(self._counts), dtype=np.int64)

    def where(self, element: int) -> str:
        if self._counts is None:
            return self._given.where(element // self._size)
        return self._given.where(int(np.searchsorted(self._ends, element, "right")))


def _refuse_length(context: _Context, given: CellTexts, row: int, found: int, wanted: str) -> None:
    what = f"{found} elements where {wanted} are declared"
    context.diagnostics.refuse(context.policy, "array length", context.field.name, given.where(row), what)


def _check_items(context: _Context, given: CellTexts, counts: Spans, size: int) -> Mask:
    """Refuse, or empty, rows that are no whole items of ``size`` elements, which may be none; returns which they are."""
    wrong: Mask = counts % np.int64(size) != 0 if size else counts != 0
    rows = np.flatnonzero(wrong)
    for row in rows.tolist():
        _refuse_length(context, given, row, int(counts[row]), f"a multiple of {size}")
    _empty_rows(given, counts, rows)
    return wrong


def _check_pairs(context: _Context, given: CellTexts, counts: Spans) -> None:
    """A complex number has two parts; a single NaN is null, as for astropy."""
    wrong = [
        r for r in np.flatnonzero((counts != 2) & (counts != 0)).tolist() if given.cell_text(r).strip().lower() != "nan"
    ]
    for row in wrong:
        _refuse_length(context, given, row, int(counts[row]), "2")
    _empty_rows(given, counts, np.array(wrong, np.int64))


def _empty_rows(given: CellTexts, counts: Spans, rows: npt.NDArray[np.int64]) -> None:
    """Take away the texts of rows that were refused, and their elements: where errors become null, nothing is left of them."""
    if rows.size:
        given.stops = given.stops.copy()
        given.stops[rows] = given.starts[rows]
        counts[rows] = 0


def _check_printable(context: _Context, given: CellTexts) -> CellTexts:
    """Refuse characters that XML forbids (XML 1.0, section 2.2), or replace them."""
    data = given.data.copy()
    bad = (data < 32) & (data != 9) & (data != 10) & (data != 13)
    first = next((i for i in range(given.starts.size) if bad[given.starts[i] : given.stops[i]].any()), -1)
    if first < 0:  # in a row that was not taken
        return replace(given, seen=given.seen & ~states.CONTROL)
    what = "a control character that XML forbids"
    context.diagnostics.refuse(context.policy, "encoding", context.field.name, given.where(first), what)
    # "?" has one byte, so that the places of all cells stay.
    data[bad] = 63
    return replace(given, data=data, seen=given.seen & ~states.CONTROL)


def _resolve_references(given: CellTexts) -> CellTexts:
    """Replace XML references in the cells."""
    data, offsets = _unescape(given)
    return replace(given, data=data, starts=offsets[:-1], stops=offsets[1:], seen=given.seen & states.HIGH)


def _copy(given: CellTexts) -> tuple[npt.NDArray[np.uint8], Spans]:
    """Put the texts of the cells one behind the other, as they are."""
    data = np.empty(int((given.stops - given.starts).sum()), np.uint8)
    offsets = np.empty(given.starts.size + 1, np.int32)
    _texts().copy_texts(given.data, given.starts, given.stops, data, offsets)
    return data, offsets


def _unescape(given: CellTexts) -> tuple[npt.NDArray[np.uint8], Spans]:
    out = np.empty(int((given.stops - given.starts).sum()), np.uint8)
    offsets = np.empty(given.starts.size + 1, np.int32)
    used = _texts().unescape_texts(given.data, given.starts, given.stops, out, offsets)
    if used < 0:
        msg = f"an entity that is not defined in {given.cell_text(-1 - used)[:60]!r}"
        raise FormatError(msg, part=given.where(-1 - used))
    return out[:used], offsets


def _convert_numbers(context: _Context, given: CellTexts) -> tuple[Array, Mask | None]:
    """Values and nulls of single numbers or booleans."""
    field, rows = context.field, given.starts.size
    state = np.empty(rows, np.uint8)
    if field.kind == "?":
        flags = np.empty(rows, np.bool_)
        others = _numbers().parse_booleans(given.data, given.starts, given.stops, flags, state)
        if others:
            for i, found in _iterate_others(given, state):
                context.refuse(given.where(i), found)
                state[i] = states.EMPTY
        return flags, _null_mask(state)
    if field.kind in {"u1", "i2", "i4", "i8"}:
        return _convert_integers(context, given, state)
    # Floats are read as doubles and rounded once more, as astropy does.
    found_ = np.empty(rows, np.float64)
    if _numbers().parse_floats(given.data, given.starts, given.stops, found_, state):
        _odd_floats(context, given, found_, state)
    kind = "f4" if field.kind in {"f4", "c8"} else "f8"
    with np.errstate(over="ignore"):
        values: Array = found_.astype(kind, copy=False)
    null = _null_mask(state)
    declared = declared_null(field)
    if declared is not None and not np.isnan(declared):
        null = _join_masks(null, values == declared)
    return values, null


def _iterate_others(given: CellTexts, state: npt.NDArray[np.uint8]) -> Iterator[tuple[int, str]]:
    for i in np.flatnonzero(state == states.OTHER).tolist():
        yield i, given.cell_text(i).strip()


def _null_mask(state: npt.NDArray[np.uint8]) -> Mask | None:
    null = state == states.EMPTY
    return null if null.any() else None


def _join_masks(null: Mask | None, more: Mask) -> Mask | None:
    return null if not more.any() else (more if null is None else null | more)


def _odd_floats(context: _Context, given: CellTexts, values: Array, state: npt.NDArray[np.uint8]) -> None:
    """Numbers of more digits than the kernel takes, other ways to write infinity, and what is no number."""
    bad, first = 0, ""
    for i, found in _iterate_others(given, state):
        if _FLOAT.fullmatch(found):
            values[i], state[i] = float(found), states.VALUE
        else:
            state[i] = states.EMPTY
            bad, first = bad + 1, first or given.where(i)
    if bad:
        context.add("no number", bad, first)


def _convert_integers(context: _Context, given: CellTexts, state: npt.NDArray[np.uint8]) -> tuple[Array, Mask | None]:
    """Convert cells to integers; what is beyond the type becomes null or the nearest, and is counted."""
    field, policy = context.field, context.policy
    dtype = np.dtype(field.kind)
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    wide = np.empty(given.starts.size, np.int64)
    others = _numbers().parse_integers(given.data, given.starts, given.stops, low, high, wide, state)
    beyond: list[int] = []
    nearest: list[int] = []
    for i, found in _iterate_others(given, state) if others else ():
        value = _parse_integer(found)
        state[i] = states.EMPTY
        if value is None:
            if found.lower() != "nan":
                context.refuse(given.where(i), found)
        elif low <= value <= high:
            wide[i], state[i] = value, states.VALUE
        # Unsigned bytes below 0 and hexadecimals beyond the type become the nearest; other integers beyond it are null, and told of.
        elif policy.astropy_compat or (value < 0 and low == 0) or found[:2] in {"0x", "0X"}:
            wide[i], state[i] = min(max(value, low), high), states.VALUE
            nearest.append(i)
        else:
            beyond.append(i)
    for kind, rows in (("integer range", beyond), ("integer nearest", nearest)):
        if rows:
            context.add(kind, len(rows), given.where(rows[0]))
    values: Array = wide.astype(dtype, copy=False)
    null = None if policy.astropy_compat and not policy.version_1_3 else _null_mask(state)
    declared = declared_null(field)
    return values, null if declared is None else _join_masks(null, values == declared)


def _parse_integer(found: str) -> int | None:
    """What the kernel leaves: hexadecimal (VOTable 1.5, section 5.1), many digits."""
    if found.lower().startswith("0x"):
        try:
            return int(found, 16) if "_" not in found else None
        except ValueError:
            return None
    # Python takes quadratic time for very long integers, and refuses them from 4300 digits on.
    return int(found) if _INTEGER.fullmatch(found) and found.isascii() and len(found) < 4000 else None


def _convert_bits(context: _Context, given: CellTexts) -> ColumnPart:
    """Convert cells of arrays of bits, which are written as digits 0 and 1."""
    shape, rows = context.field.shape, given.starts.size
    counts = np.empty(rows, np.int32)
    total, bad = _texts().count_digits(given.data, given.starts, given.stops, counts)
    refused = _refuse_digits(context, given, counts, bad)
    if shape.variable:
        refused |= _check_items(context, given, counts, shape.size)
        out = np.empty(int(counts.sum(dtype=np.int64)), np.bool_)
        _texts().parse_bits(given.data, given.starts, given.stops, -1, out)
        offsets = np.zeros(rows + 1, np.int32)
        np.cumsum(counts // max(1, shape.size), out=offsets[1:])
        return ColumnPart(rows, out, None, refused if refused.any() else None, None, offsets)
    # An empty cell of an array of fixed length is null.
    empty = counts == 0
    wrong = np.flatnonzero((counts != shape.size) & ~empty)
    if wrong.size:
        context.add("array length", wrong.size, given.where(int(wrong[0])))
    _check_size(rows * shape.size, total, given)
    out = np.empty(rows * shape.size, np.bool_)
    _texts().parse_bits(given.data, given.starts, given.stops, shape.size, out)
    return ColumnPart(rows, out, None, empty if empty.any() else None)


def _refuse_digits(context: _Context, given: CellTexts, counts: Spans, first: int) -> Mask:
    """Refuse, or empty, rows from the ``first`` on (-1: none) that hold anything but digits; returns which they are."""
    wrong = np.zeros(counts.size, np.bool_)
    for row in range(first, counts.size) if first >= 0 else ():
        if not _BITS.fullmatch(text := given.cell_text(row)):
            context.refuse(given.where(row), text)
            wrong[row] = True
    _empty_rows(given, counts, np.flatnonzero(wrong))
    return wrong


def _convert_texts(context: _Context, given: CellTexts) -> ColumnPart:
    """Convert cells to texts in UTF-8, which the length of the field limits."""
    field, rows = context.field, given.starts.size
    report = Report(field.name, context.policy, context.diagnostics, given.where)
    if given.seen & states.HIGH and given.encoding != "utf-8":
        from scichunk.formats.votable.values.strings import to_utf8

        # Before references are resolved, which stand for any character and become UTF-8, whatever the document is in.
        data, offsets = to_utf8(*_copy(given), given.encoding, report)
        given = replace(given, data=data, starts=offsets[:-1], stops=offsets[1:], encoding="utf-8")
    data, offsets = _unescape(given) if given.seen & (states.AMPERSAND | states.RETURN) else _copy(given)
    if given.seen & states.GREATER and b"]]>" in given.data.tobytes():
        for row in range(rows):
            if "]]>" in given.cell_text(row):
                context.diagnostics.refuse(
                    context.policy, "encoding", field.name, given.where(row), "']]>', which XML forbids in text"
                )
    if given.seen & states.HIGH:
        from scichunk.formats.votable.values.strings import to_utf8

        data, offsets = to_utf8(data, offsets, given.encoding, report)
    shape = field.shape
    if shape.item or shape.variable:
        from scichunk.formats.votable.values.strings import split_texts

        return split_texts(field, data, offsets, report)
    if shape.text or context.policy.astropy_compat:
        from scichunk.formats.votable.values.strings import check_length

        data, offsets = check_length(field, data, offsets, report)
    return ColumnPart(rows, data, None, None, offsets)
