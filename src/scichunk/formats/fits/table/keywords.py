"""Keywords with the number of a column in them, and the attributes that they become (FITS 4.0, sections 7.3 and 8.2).

Where the number is the end of a keyword, the attribute is named without it: TCTYP2 is ``TCTYP``. Elsewhere a small ``n`` stands for it,
which no keyword has: TCTY2A is ``TCTYnA``, 1V5_3 is ``1Vn_3``. A matrix has the numbers of two columns; the second becomes the column's
name, since numbers change when columns are left out: TP2_3 is ``TPn_Y``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["STRUCTURAL", "attribute_of", "column_number", "is_column_keyword", "keyword_of"]

STRUCTURAL: Final = {"TTYPE", "TFORM", "TDIM", "TSCAL", "TZERO", "TNULL", "TBCOL", "ZFORM", "ZCTYP"}
_OTHERS: Final = {"NAXIS", "ZNAXIS", "ZTILE", "TFIELDS", "THEAP"}
_WORLD: Final = {
    "WCSN", "WCAX", "LONP", "LATP", "RADE", "EQUI", "SPEC", "SOBS", "SSRC", "VSYS", "ZSOU", "VANG", "RFRQ", "RWAV",
    "OBSGX", "OBSGY", "OBSGZ", "MJDOB", "MJDA", "DOBS", "DAVG",
}  # fmt: skip
"""World coordinates of a column (FITS 4.0, table 22) whose keywords begin like any other."""
_MOST_NAME: Final = 1 << 10
"""Characters of the name of a column that become part of an attribute's."""
_KEYWORD: Final = re.compile(
    r"(?P<stem>\d*[A-Z]+)(?P<number>\d+)(?P<alternate>[A-Z]?)"
    r"|(?P<matrix>T(?:PC?|CD?))(?P<row>\d+)_(?P<column>\d+)(?P<version>[A-Z]?)"
    r"|(?P<setting>(?:T|\d)P?[VS])(?P<of>\d+)_(?P<rest>(?:\d+|X)[A-Z]?)"
)
_ATTRIBUTE: Final = re.compile(
    rf"(?P<stem>T[A-Z]{{2,5}}|\d{{1,2}}[A-Z]{{2,5}}|{'|'.join(sorted(_WORLD))})(?:n(?P<alternate>[A-Z]))?"
    r"|(?P<matrix>T(?:PC?|CD?))n(?P<version>[A-Z]?)_(?P<column>.*)"
    r"|(?P<setting>(?:T|\d)P?[VS])n_(?P<rest>(?:\d+|X)[A-Z]?)",
    re.DOTALL,
)


def is_column_keyword(key: str) -> bool:
    """Whether a keyword has the number of a column in it: TUNIT1, TCTY2A, 1CTYP3, TPC1_2, 1V3_1, LONP2."""
    return column_number(key) is not None


def column_number(key: str) -> int | None:
    """The number of the column that a keyword belongs to."""
    parsed = _KEYWORD.fullmatch(key)
    if parsed is None:
        return None
    stem = parsed["stem"]
    if stem is None:
        return int(parsed["row"] or parsed["of"])
    known = stem not in _OTHERS and (stem[0] == "T" or stem[0].isdecimal() or stem in _WORLD or stem in STRUCTURAL)
    return int(parsed["number"]) if known else None


def attribute_of(key: str, names: Mapping[int, str]) -> str | None:
    """The attribute for a keyword, None for those of storage; ``names``: of the columns, by number."""
    parsed = _KEYWORD.fullmatch(key)
    if parsed is None or parsed["stem"] in STRUCTURAL:
        return None
    if parsed["stem"]:
        return str(parsed["stem"]) + (f"n{parsed['alternate']}" if parsed["alternate"] else "")
    if parsed["setting"]:
        return f"{parsed['setting']}n_{parsed['rest']}"
    other = names.get(int(parsed["column"]))
    # Each of thousands of keywords would have a copy of a name of megabytes.
    return (
        None if other is None or len(other) > _MOST_NAME else f"{parsed['matrix']}n{parsed['version']}_{_plain(other)}"
    )


def keyword_of(attribute: str, number: int, numbers: Mapping[str, int]) -> str | None:
    """The keyword for an attribute of a column; ``numbers``: of the columns, by name.

    None if the attribute is not made of a keyword, belongs to a column that is not there, or would be longer than a keyword.
    """
    parsed = _ATTRIBUTE.fullmatch(attribute)
    if parsed is None:
        return None
    if parsed["stem"]:
        key = f"{parsed['stem']}{number}{parsed['alternate'] or ''}"
    elif parsed["setting"]:
        key = f"{parsed['setting']}{number}_{parsed['rest']}"
    else:
        other = next((n for name, n in numbers.items() if _plain(name) == parsed["column"]), None)
        key = "" if other is None else f"{parsed['matrix']}{number}_{other}{parsed['version']}"
    return key if 0 < len(key) <= 8 else None


def _plain(name: str) -> str:
    """The name of a column as part of an attribute: netCDF has no slashes in those, nor variables in trees."""
    return name.replace("/", "_")
