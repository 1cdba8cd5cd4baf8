"""From the bytes of binary rows to values (VOTable 1.5, sections 2.1 and 5.3)."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs.bits import unpack_arrays
from scichunk.errors import LimitExceeded
from scichunk.formats.votable.document.structure import Field
from scichunk.formats.votable.values.column_part import ColumnPart, Mask, declared_null
from scichunk.formats.votable.values.diagnostics import Diagnostics, Policy, Report
from scichunk.formats.votable.values.strings import check_length, pack_texts, split_texts, to_utf8
from scichunk.tables.arrow import offsets_of

__all__ = ["cell_bytes", "convert_bytes", "pad_items", "single_value"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

_TRUE = np.zeros(256, np.bool_)
_TRUE[[*b"Tt1"]] = True
_KNOWN = _TRUE.copy()
_KNOWN[[*b"Ff0"]] = True
_BLANK = np.zeros(256, np.bool_)
# Logicals in binary are characters (section 2.1): T, t, 1; F, f, 0; and for null a NUL, a blank, or "?".
_BLANK[[0, *b" ?"]] = True


def cell_bytes(field: Field) -> tuple[int, int]:
    """Bits of what a row counts of a field (an element, or an item of fixed shape), and how many there are; -1: it says so itself.

    Raises
    ------
    LimitExceeded
        If that is beyond ``options.max_chunk_bytes``: rows are measured by products of these numbers, which must stay small.
    """
    bits, number = _cell_bits(field)
    limit = options.get().max_chunk_bytes
    if bits > 8 * limit:
        msg = f"cells of {bits // 8} bytes, more than {limit} (options.max_chunk_bytes)"
        raise LimitExceeded(msg, part=f"field {field.name!r}")
    return bits, number


def _cell_bits(field: Field) -> tuple[int, int]:
    shape = field.shape
    if field.is_text:
        if shape.empty:
            return 0, 1
        if shape.text == 0:
            return field.bits, -1
        size = field.bits * max(1, shape.text or 1) * shape.size
        return size, -1 if shape.variable else 1
    size = field.bits * shape.size
    if field.datatype == "bit" and (shape.item or not shape.variable):
        size = -(-size // 8) * 8  # a whole number of bytes each
    return size, -1 if shape.variable else 1


def convert_bytes(field: Field, raw: Any, counts: Ints | None, rows: int, report: Report) -> ColumnPart:
    """Read the values of some rows.

    Parameters
    ----------
    raw
        Of cells of fixed size, an array of bytes of shape (rows, bytes), strided or not, in memory that others write to next; else all
        bytes one behind the other, in memory of their own.
    counts
        Elements or items of each row, where they vary.
    report
        Gets what is no value of the field's type.
    """
    if field.is_text:
        return _convert_texts(field, raw, counts, report)
    offsets = None
    if counts is not None:
        if int(counts.sum()) * max(1, field.shape.size) >= 1 << 31:
            msg = f"{int(counts.sum())} items in {rows} rows"
            raise LimitExceeded(msg, part=report.where(0))
        offsets = offsets_of(counts)
    if field.datatype == "bit":
        return ColumnPart(rows, _convert_bits(field, raw, counts), None, None, None, offsets)
    if field.datatype == "boolean":
        flat = np.ascontiguousarray(raw).reshape(-1)
        values, null = _convert_logicals(
            flat, replace(report, where=lambda i: report.where(_row_of(i, field, offsets)))
        )
        return ColumnPart(rows, values, null, None, None, offsets)
    values = _convert_numbers(field, raw)
    declared = declared_null(field)
    if declared is None or (values.dtype.kind == "f" and np.isnan(declared)):
        return ColumnPart(rows, values, None, None, None, offsets)
    mask: Mask = values == declared
    return ColumnPart(rows, values, mask if mask.any() else None, None, None, offsets)


def _row_of(element: int, field: Field, offsets: npt.NDArray[np.int32] | None) -> int:
    item = element // field.shape.size
    return item if offsets is None else int(np.searchsorted(offsets[1:], item, "right"))


def _convert_numbers(field: Field, raw: Bytes) -> npt.NDArray[Any]:
    """Native numbers of big-endian bytes; rows may lie apart."""
    dtype = np.dtype(field.kind)
    # The bytes of the two halves of a complex number are swapped each for itself.
    part = np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype
    return raw.view(part.newbyteorder(">")).astype(part).reshape(-1).view(dtype)


def _convert_logicals(raw: Bytes, report: Report) -> tuple[npt.NDArray[np.bool_], Mask | None]:
    values: npt.NDArray[np.bool_] = _TRUE[raw]
    null = ~_KNOWN[raw]
    if null.any():
        bad = np.flatnonzero(null & ~_BLANK[raw])
        if bad.size:
            report.refuse("not a value", int(bad[0]), f"byte 0x{int(raw[bad[0]]):02x} is no boolean")
        return values, null
    return values, None


def _convert_bits(field: Field, raw: Bytes, counts: Ints | None) -> npt.NDArray[np.bool_]:
    """Bits, the first in the top bit; a single bit is any that is set, since services put it at either end."""
    shape = field.shape
    if counts is None or shape.item:
        if not shape.item:
            single: npt.NDArray[np.bool_] = np.ascontiguousarray(raw).reshape(-1) != 0
            return single
        flat = np.ascontiguousarray(raw).reshape(-1, -(-shape.size // 8))
        whole: npt.NDArray[np.bool_] = np.unpackbits(flat, axis=1, count=shape.size).reshape(-1).view(np.bool_)
        return whole
    return unpack_arrays(raw, counts)


def pad_items(raw: Bytes, items: Ints, size: int) -> Bytes:
    """Give each item of ``size`` bits whole bytes of its own, as :func:`convert_bytes` takes them.

    Where lengths count elements, all bits of a cell lie without gaps; where they count items, each item is padded.
    """
    return np.packbits(unpack_arrays(raw, items * size).reshape(-1, size), axis=1).reshape(-1)


def _convert_texts(field: Field, raw: Bytes, counts: Ints | None, report: Report) -> ColumnPart:
    """Convert cells of characters, cut at their first NUL, to UTF-8."""
    shape, width = field.shape, field.bits // 8
    # A copy, since Arrow keeps the bytes: those of fixed size still lie in the scratch memory of a thread or the source's own.
    flat = np.array(raw, order="C") if counts is None else np.ascontiguousarray(raw)
    single = not shape.item and not shape.variable
    if not single and not shape.empty:
        return _convert_arrays_of_texts(field, flat, counts, report)
    if counts is None:
        rows = flat.shape[0]
        sizes = np.full(rows, flat.shape[1] if flat.ndim == 2 else 0, np.int64)
        if single:
            flat, sizes = _before_nul(flat, width)
    else:
        rows = counts.size
        sizes = counts * width
    data, offsets = _decode_texts(flat.reshape(-1), offsets_of(sizes), width, report)
    if not single:
        return split_texts(field, data, offsets, report)
    if shape.text or report.policy.astropy_compat:
        data, offsets = check_length(field, data, offsets, report)
    return ColumnPart(rows, data, None, None, offsets)


def _decode_texts(
    data: Bytes, offsets: npt.NDArray[np.int32], width: int, report: Report
) -> tuple[Bytes, npt.NDArray[np.int32]]:
    """Make UTF-8 of texts of characters of one or two bytes."""
    if width == 2:
        return _from_utf16(data, offsets)
    if data.size and int(data.max()) > 127:
        return to_utf8(data, offsets, "binary", report)
    return data, offsets


def _convert_arrays_of_texts(field: Field, flat: Bytes, counts: Ints | None, report: Report) -> ColumnPart:
    """Cut cells into texts, which NULs and blanks end.

    This is done before anything is decoded: in a stream the declared length counts bytes, or pairs of them, of which a character may
    take several.
    """
    shape, width = field.shape, field.bits // 8
    cells = flat.reshape(-1, width * max(1, shape.text or 1))
    data, sizes = _before_nul(cells, width, trimmed=True)
    rows, items = (flat.shape[0], None) if counts is None else (counts.size, offsets_of(counts))
    of_texts = replace(report, where=lambda i: report.where(_row_of(i, field, items)))
    values, texts = _decode_texts(data, offsets_of(sizes), width, of_texts)
    return ColumnPart(rows, values, None, None, texts, items)


def _before_nul(cells: Bytes, width: int, *, trimmed: bool = False) -> tuple[Bytes, Ints]:
    """What stands before the first NUL of each cell, one behind the other, and its bytes; ``trimmed``: without blanks at its end."""
    rows, size = cells.shape
    if not size:
        return cells.reshape(-1), np.zeros(rows, np.int64)
    # A NUL ends a text before its declared length.
    zero = cells == 0 if width == 1 else (cells[:, ::2] == 0) & (cells[:, 1::2] == 0)
    ends = np.where(zero.any(axis=1), zero.argmax(axis=1), size // width).astype(np.int64) * width
    if trimmed:
        blank = cells == 32 if width == 1 else (cells[:, ::2] == 0) & (cells[:, 1::2] == 32)
        kept = ~blank & (np.arange(0, size, width) < ends[:, None])
        ends = np.where(kept.any(axis=1), size // width - kept[:, ::-1].argmax(axis=1), 0).astype(np.int64) * width
    if rows and int(ends.min()) == size:
        return cells.reshape(-1), ends
    return cells[np.arange(size) < ends[:, None]], ends


def _from_utf16(data: Bytes, offsets: npt.NDArray[np.int32]) -> tuple[Bytes, npt.NDArray[np.int32]]:
    """UTF-8 of big-endian UTF-16; a lone surrogate becomes U+FFFD."""
    high, low = data[::2], data[1::2]
    # Nearly all texts are ASCII: the lower bytes are UTF-8 as they are.
    if not high.any() and not (low > 127).any():
        return np.ascontiguousarray(low), offsets // 2
    whole, cuts = data.tobytes(), offsets.tolist()
    return pack_texts([whole[a:b].decode("utf-16-be", "replace") for a, b in itertools.pairwise(cuts)])


def single_value(field: Field, data: bytes) -> str:
    """Text of one value in binary."""
    from scichunk.errors import FormatError

    bits, number = cell_bytes(field)
    raw = np.frombuffer(data, np.uint8)
    counts = None
    if number < 0:
        if raw.size < 4:
            msg = "a binary value ends too early"
            raise FormatError(msg)
        counts = np.array([int.from_bytes(data[:4], "big")])
        raw, number = raw[4:], int(counts[0])
    need = -(-bits * number // 8)
    if need > raw.size:
        msg = "a binary value ends too early"
        raise FormatError(msg)
    cells = raw[:need] if counts is not None else raw[:need].reshape(1, -1)
    # The declared null is a text like any other here: cells in the form of text are compared with it afterwards.
    plain = replace(field, null=None)
    part = convert_bytes(plain, cells, counts, 1, Report(field.name, Policy(), Diagnostics("", ""), str))
    if field.is_text and (field.shape.item or field.shape.variable):
        part = replace(part, offsets=None, rows=part.texts.size - 1 if part.texts is not None else 0)
    values = part.to_arrow(()).to_pylist() if part.offsets is None else part.to_arrow(())[0].as_py()
    if field.is_text:  # those of arrays have one length, so that they can be told apart
        return "".join(value.ljust(field.shape.text or 1) for value in values) if part.rows > 1 else "".join(values)
    return " ".join(map(_element_text, values))


def _element_text(value: Any) -> str:
    """Text of an element; what is neither true nor false is a question mark."""
    if value is None:
        return "?"
    if isinstance(value, dict):
        return f"{value['real']} {value['imag']}"
    return str(int(value) if isinstance(value, bool) else value)
