"""How a file wants the values of a column to be printed, as format strings of Python. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["python_format"]

_FORTRAN: Final = re.compile(r"(E[NS]|[IBOZFEGD])(\d{1,3})(?:\.(\d{1,3}))?(?:E\d+)?")
_INTEGERS: Final = {"I": "d", "B": "b", "O": "o", "Z": "x"}
_PRECISION: Final = re.compile(r"([EF]?)(\d{1,3})")


def python_format(kind: str, attrs: Mapping[str, Any], encoding: Mapping[str, Any]) -> str | None:
    """Return the format of a column, as astropy's tables give it.

    Parameters
    ----------
    kind
        Of the column's dtype, one letter.
    attrs
        Of the column: ``display`` is TDISP (FITS 4.0, section 7.3.4).
    encoding
        Of the column: ``precision`` and ``width`` are those of a FIELD (VOTable 1.5, section 4.1), of floats.

    Returns
    -------
    str or None
        For :meth:`str.format`; None if the file asks for none, or for one that does not suit the values.
    """
    fortran = _FORTRAN.fullmatch(str(attrs.get("display", "")).strip())
    if fortran:
        letter, width, digits = fortran[1], int(fortran[2]), fortran[3]
        if letter in _INTEGERS:
            return f"{{:{width}{_INTEGERS[letter]}}}" if kind in "iu" else None
        if digits is None or kind not in "iuf":
            return None
        return f"{{:{width}.{int(digits)}{'e' if letter not in 'FG' else letter.lower()}}}"
    precision = _PRECISION.fullmatch(str(encoding.get("precision", "")).strip())
    if precision is None or kind != "f":
        return None
    wide = re.fullmatch(r"0*(\d{0,3})", str(encoding.get("width", "")).strip())
    return f"{{:{wide[1] if wide else ''}.{int(precision[2])}{'g' if precision[1] == 'E' else 'f'}}}"
