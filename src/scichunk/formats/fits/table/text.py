"""Fields of ASCII tables: from texts to numbers (FITS 4.0, section 7.2.5)."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from scichunk.errors import FormatError
from scichunk.formats.fits.table.columns import element_type
from scichunk.formats.fits.table.layout import TableField

__all__ = ["parse_texts"]

_EXPONENT: Final = re.compile(r"([\d.])([+-]\d+)$")


def parse_texts(field: TableField, texts: Any, first_row: int) -> Any:
    """Convert fields to numbers; those that equal TNULL are null.

    A blank integer is 0 (FITS 4.0, section 7.2.5), as in astropy and cfitsio; a blank number with a point is null, which astropy
    gives as NaN. A real number without a point has one before its last digits, as many as TFORM says (the same section, which
    deprecates it), as in cfitsio.

    Parameters
    ----------
    field
        Its column.
    texts
        Arrow array of strings without trailing blanks.
    first_row
        Number of the first row, for errors.

    Raises
    ------
    FormatError
        Naming the row that holds no number.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    stripped = pc.ascii_trim_whitespace(texts)
    if field.null is not None:
        null = str(field.null)[: field.width]
        texts = pc.if_else(pc.equal(stripped, null), pa.scalar(None, pa.string()), texts)
        stripped = pc.if_else(pc.equal(stripped, null), pa.scalar(None, pa.string()), stripped)
    if field.code == "A":
        return texts
    dtype = element_type(field)
    kind = pa.from_numpy_dtype(dtype if field.code in "IJ" and not field.scaled else "f8")
    blank = pa.scalar("0" if field.code in "IJ" else None, pa.string())
    stripped = pc.if_else(pc.equal(stripped, ""), blank, stripped)
    plain = pc.utf8_ltrim(stripped, "+")
    if field.code not in "IJ":
        plain = pc.replace_substring(pc.ascii_upper(plain), "D", "E")
    try:
        found = pc.cast(plain, kind)
    except pa.ArrowInvalid:
        found = pa.array([_parse_number(field, t, first_row + i) for i, t in enumerate(stripped.to_pylist())], kind)
    if field.decimals:
        found = _place_points(field, plain, found)
    if field.scaled:
        if field.scale != 1:
            found = pc.multiply(found, float(field.scale))
        if field.zero != 0:
            found = pc.add(found, float(field.zero))
    return found


def _place_points(field: TableField, texts: Any, numbers: Any) -> Any:
    """Divide numbers that have no point by the power of ten that their form says."""
    import pyarrow.compute as pc

    points = pc.match_substring(texts, ".")
    if pc.all(points).as_py() is not False:
        return numbers
    without = pc.and_(pc.invert(points), pc.match_substring_regex(texts, "[0-9]"))  # not infinities
    return pc.if_else(without, pc.divide(numbers, float(f"1e{field.decimals}")), numbers)


def _parse_number(field: TableField, text: str | None, row: int) -> Any:
    """One number, as lenient as Fortran."""
    if text is None:
        return None
    plain = text.upper().replace("_", "?")  # Python passes over underscores between digits
    try:
        if field.code in "IJ" and not field.scaled:
            return _within(int(plain.replace(" ", "")), element_type(field))
        return float(_EXPONENT.sub(r"\1E\2", plain.replace("D", "E")))
    except (ValueError, OverflowError):
        msg = f"{text[:40]!r} is no number of form {field.form} that {element_type(field)} holds"
        raise FormatError(msg, part=f"column {field.name!r}, row {row}") from None


def _within(value: int, dtype: np.dtype[Any]) -> int:
    """Return an integer that a type can hold; OverflowError if it cannot."""
    info = np.iinfo(dtype)
    if not info.min <= value <= info.max:
        raise OverflowError
    return value
