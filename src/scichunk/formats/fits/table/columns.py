"""Fields of fixed size: their types, and from rows of bytes to values (FITS 4.0, section 7.3.3)."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.codecs import ways
from scichunk.core.tables import Column
from scichunk.errors import FormatError, LimitExceeded
from scichunk.formats.fits.cards import CARD_BYTES, Cards
from scichunk.formats.fits.table.keywords import attribute_of, column_number
from scichunk.formats.fits.table.layout import TEXT, TableField
from scichunk.tables.arrow import arrow_type

__all__ = [
    "NAMES",
    "Rows2D",
    "column_of",
    "convert_numbers",
    "decode_text",
    "decode_texts",
    "element_type",
    "header_attrs",
    "text_cells",
    "values_of",
]

Array = npt.NDArray[Any]
Rows2D = tuple[npt.NDArray[np.uint8], int]
"""Bytes of rows, shape (rows, width), C-contiguous, and the first byte of a field within a row."""

_STORED: Final = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16"}
_MOST_CHARACTERS: Final = ((1 << 31) - 1) // 4
"""Of a text: NumPy counts its bytes, four for each, with 32 bits."""
_MOST_ELEMENTS: Final = (1 << 31) - 1
"""Of an axis of a cell: Arrow counts them with 32 bits."""
NAMES: Final = {
    "TUNIT": "units", "TCOMM": "description", "TUCD": "ucd", "TBUCD": "ucd", "TUTYP": "utype", "TXTYP": "xtype", "TDISP": "display",
}  # fmt: skip


def column_of(field: TableField, attrs: dict[str, Any]) -> Column:
    """Make the column of a field; ``attrs``: what the header says of it.

    Raises
    ------
    LimitExceeded
        If there is no type of so long texts or lists.
    """
    if field.text > _MOST_CHARACTERS or max(field.cell or (), default=0) > _MOST_ELEMENTS:
        msg = f"column {field.name!r} has cells of form {field.form!r}, which are larger than any type"
        raise LimitExceeded(msg)
    encoding: dict[str, Any] = {"tform": field.form}
    if field.codec and field.codec != TEXT:
        encoding["zctyp"] = field.codec
    dtype = element_type(field)
    cell, raw = field.cell, None
    null = _null_value(field, dtype)
    if cell is None:
        if isinstance(field.null, int):
            attrs = attrs | {"null": field.null}
        kind: Any = arrow_type(np.dtype(object)) if field.code == "A" else arrow_type(dtype, None)
        return Column(field.name, kind, np.dtype(object), None, attrs, encoding | _linear_scaling(field))
    if field.scaled:
        encoding |= _linear_scaling(field)
        if field.codec != TEXT:
            stored = np.dtype(_STORED[field.code]).newbyteorder("=")
            blank = _null_value(field, stored)
            linear = {"scale_factor": float(field.scale), "add_offset": float(field.zero)}
            raw = Column(field.name, arrow_type(stored, cell), stored, cell, attrs | linear, encoding, blank)
        null = None
    kind = arrow_type(dtype, cell)
    return Column(field.name, kind, dtype, cell, attrs, encoding, null, raw)


def _linear_scaling(field: TableField) -> dict[str, Any]:
    settings = (("tscal", field.scale, 1), ("tzero", field.zero, 0), ("tnull", field.null, None))
    return {name: value for name, value, default in settings if value != default}


def element_type(field: TableField) -> np.dtype[Any]:
    """Type of single values, native byte order."""
    if field.code == "A":
        return np.dtype(f"U{max(1, field.text)}")
    if field.code in "LX":
        return np.dtype(bool)
    if field.codec == TEXT:
        # As astropy: the smallest integer that holds as many digits.
        size = 2 if field.repeat <= 4 else 8 if field.repeat > 9 else 4
        plain = {"I": f"i{size}", "J": "i8"}.get(field.code, "f8")
        return np.dtype("f8" if field.scaled else plain)
    stored = np.dtype(_STORED[field.code]).newbyteorder("=")
    if field.scaled:
        return np.dtype("c16" if stored.kind == "c" else "f8")
    if field.flip:
        return np.dtype(f"{'i' if field.code == 'B' else 'u'}{stored.itemsize}")
    return stored


def _null_value(field: TableField, dtype: np.dtype[Any]) -> Any:
    """Return the value that stands for null among values of a type, if it can occur (TNULL is a stored value)."""
    if field.codec == TEXT:
        return _null_of_texts(field, dtype)
    null = field.null if isinstance(field.null, int) and field.code in "BIJK" else None
    if null is not None and field.flip:
        null += int(field.zero)
    if null is None or dtype.kind not in "iu" or not np.iinfo(dtype).min <= null <= np.iinfo(dtype).max:
        return None
    return dtype.type(null)


def _null_of_texts(field: TableField, dtype: np.dtype[Any]) -> Any:
    """Return what stands for the text TNULL of an ASCII table: its number, or the lowest of the type where it is none of that type."""
    if field.null is None or dtype.kind != "i":
        return None
    info = np.iinfo(dtype)
    try:
        null = int(str(field.null))
    except ValueError:
        null = int(info.min)
    return dtype.type(null if info.min <= null <= info.max else info.min)


def header_attrs(cards: Cards, fields: tuple[TableField, ...]) -> list[dict[str, Any]]:
    """What a header says of each column: unit, description, UCD, display, time and world coordinates, ranges."""
    found: dict[int, dict[str, Any]] = {f.number: {} for f in fields}
    names = {f.number: f.name for f in fields}
    # Each keyword once: its value may be a text that goes on for many cards.
    texts = (cards.text[at : at + 8].decode("latin-1").rstrip() for at in range(0, len(cards.text), CARD_BYTES))
    for key in dict.fromkeys(texts):
        number = column_number(key)
        known = None if number is None else found.get(number)
        label = None if known is None else attribute_of(key, names)
        if known is None or label is None:
            continue
        label, value = NAMES.get(label, label), cards.get(key)
        if value is not None and label not in known and value != "":
            known[label] = int(value) if isinstance(value, bool) else value.strip() if isinstance(value, str) else value
    return [found[f.number] for f in fields]


def convert_numbers(field: TableField, rows: Rows2D, out: Array, mask: Array | None, *, raw: bool = False) -> None:
    """Convert the numbers, logicals or bits of rows.

    Parameters
    ----------
    field
        Of fixed size, not text.
    rows
        Where they are.
    out
        Shape (rows, *cell), C-contiguous, of :func:`element_type` (``raw``: as stored).
    mask
        Same shape; set where the value is null; None if nobody asks.
    """
    data, first = rows
    part = data[:, first : first + field.width]
    flat = out.reshape(len(part), math.prod(out.shape[1:]))
    n = flat.shape[1]
    marks = None if mask is None else mask.reshape(flat.shape)
    if not n or not len(part):
        return
    if field.code == "L":
        # T, F, or a zero byte for null (section 7.3.3.1).
        np.equal(part[:, :n], ord("T"), out=flat)
        if marks is not None:
            np.not_equal(part[:, :n], ord("F"), out=marks)
            np.logical_and(marks, ~flat, out=marks)
        return
    if field.code == "X":
        flat[...] = np.unpackbits(part, axis=1, count=n).view(bool)
        return
    stored = np.dtype(_STORED[field.code])
    values = part[:, : n * stored.itemsize].view(stored)
    _convert_values(field, values, flat, marks, raw=raw)


def _convert_values(field: TableField, values: Array, out: Array, mask: Array | None, *, raw: bool) -> None:
    """Convert stored numbers of the file's byte order to values."""
    null = field.null if isinstance(field.null, int) and field.code in "BIJK" else None
    blanks = None
    if null is not None and (mask is not None or (field.scaled and not raw)):
        info = np.iinfo(values.dtype)
        if info.min <= null <= info.max:
            blanks = values == null
            if mask is not None:
                mask[...] = blanks
    if raw or not (field.flip or field.scaled):
        np.copyto(out, values)
    elif field.flip:
        # TZERO of 2**63 is no int64: the highest bit is turned instead of adding it (table 19).
        unsigned = out.view(f"u{out.dtype.itemsize}")
        np.copyto(unsigned, values.view(values.dtype.str.replace("i", "u")))
        np.bitwise_xor(unsigned, unsigned.dtype.type(field.flip), out=unsigned)
    else:
        np.copyto(out, values, casting="unsafe")
        with np.errstate(all="ignore"):
            if field.scale != 1:
                np.multiply(out, field.scale, out)
            if field.zero != 0:
                np.add(out, field.zero, out)
        if blanks is not None:
            out[blanks] = np.nan


def values_of(field: TableField, flat: npt.NDArray[np.uint8]) -> Array:
    """Convert elements that lie one after another (in a heap, already in native byte order); shape (elements,).

    As in astropy there are no nulls: integers that equal TNULL are handed out as they are, and a logical is true or not. Bytes
    0 and 1 are what astropy up to 7.2 wrote for logicals.
    """
    if field.code == "L":
        found: Array = (flat == ord("T")) | (flat == 1)
        return found
    stored = np.dtype(_STORED[field.code]).newbyteorder("=")
    values = flat.view(stored)
    dtype = element_type(field)
    if not (field.flip or field.scaled):
        return values
    out = np.empty(values.shape, dtype)
    _convert_values(field, values, out, None, raw=False)
    return out


def text_cells(field: TableField, rows: Rows2D, out: Array) -> None:
    """Convert texts to ``out`` of shape (rows, *cell) and kind U: up to a NUL, without trailing blanks (section 7.3.3.1)."""
    fits_columns = ways.choose("text.fits_columns")

    data, first = rows
    count = math.prod(out.shape[1:])
    if not field.text or not out.size:
        out[...] = ""
        return
    wide = out.reshape(len(data), count).view(np.uint32).reshape(len(data), count, -1)
    state = fits_columns.widen_texts(data.reshape(-1), data.shape[1], first, field.text, wide)
    if state == -2:
        msg = f"column {field.name!r} lies outside its rows"
        raise FormatError(msg)
    if state:
        out.reshape(-1)[:] = decode_texts(field, rows, count)


def decode_texts(field: TableField, rows: Rows2D, count: int) -> list[str]:
    """Decode texts one by one, where some are beyond ASCII: that FITS does not allow, but files have it."""
    data, first = rows
    size = field.text
    return [decode_text(bytes(r[first + i * size : first + (i + 1) * size])) for r in data for i in range(count)]


def decode_text(raw: bytes) -> str:
    """Decode one text: UTF-8 if it is, else Latin-1."""
    cut = raw.partition(b"\0")[0].rstrip(b" ")
    try:
        return cut.decode()
    except UnicodeDecodeError:
        return cut.decode("latin-1")
