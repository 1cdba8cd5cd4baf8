"""``scichunk.columns``: what a file says of the columns of a frame, without computing anything."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from scichunk.core.tables import TableSource
from scichunk.errors import FormatError

__all__ = ["COLUMNS", "TABLE", "Columns", "check_alike", "columns", "find_other_unit", "frame_attrs"]

COLUMNS: Final = "columns"
"""Key of ``DataFrame.attrs`` that holds the attributes of columns by name: units, description, ..."""
TABLE: Final = "table"
"""Key of ``DataFrame.attrs`` that holds the short attributes of the table as a whole."""
_MOST_CHARACTERS: Final = 1000
"""Characters of a text that travels with every partition; headers are longer."""
_WIDTH_CHARACTERS: Final = 60


class Columns(Mapping[str, Mapping[str, Any]]):
    """Attributes of columns by name, in the order of the frame; prints as a table.

    Parameters
    ----------
    found
        Attributes of each column: ``units``, ``description``, ``ucd``, ...; empty where the file says nothing.
    types
        Type of each column, for people.
    attrs
        Of the table as a whole.
    """

    def __init__(
        self, found: Mapping[str, Mapping[str, Any]], types: Mapping[str, str], attrs: Mapping[str, Any]
    ) -> None:
        self._found, self.types, self.attrs = dict(found), dict(types), dict(attrs)

    @property
    def units(self) -> dict[str, str]:
        """Units by name, of those columns that have one, as they are written in the file."""
        return {name: str(attributes["units"]) for name, attributes in self._found.items() if "units" in attributes}

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _table_rows(self) -> list[tuple[str, str, str, str]]:
        return [
            (
                str(name),
                self.types.get(name, ""),
                str(attributes.get("units", "")),
                str(attributes.get("description", "")),
            )
            for name, attributes in self._found.items()
        ]

    def __repr__(self) -> str:
        rows = [("column", "type", "units", "description"), *self._table_rows()]
        short = [tuple(_shorten(cell) for cell in row) for row in rows]
        widths = [max(len(row[i]) for row in short) for i in range(3)]
        lines = [
            "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]).rstrip() for row in short
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{h}</th>" for h in ("column", "type", "units", "description"))
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self._table_rows()
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def columns(frame: Any) -> Columns:
    """Return what the file says of each column of a table: units, description, UCD, ...; nothing is computed.

    Parameters
    ----------
    frame
        Dask or pandas ``DataFrame`` or ``Series`` that came from :func:`scichunk.read_table` or one of its sisters, filtered,
        projected, joined, or computed; or an ``xarray.Dataset`` of a table.

    Returns
    -------
    Columns
        A mapping of each column's name to its attributes, empty for columns that no file knows; ``.units`` has the units alone,
        ``.attrs`` what the file says of the table as a whole.

    Raises
    ------
    TypeError
        If ``frame`` is none of these.

    Notes
    -----
    Attributes belong to names: a column that was renamed has none, and one that was replaced has those of the old one. pandas
    drops the attributes of computed frames in some operations (``concat`` of frames whose attributes differ); those of lazy frames
    are found in what they are made of.

    Examples
    --------
    >>> import scichunk
    >>> stars = scichunk.read_table("gaia.vot")  # doctest: +SKIP
    >>> scichunk.columns(stars[stars.parallax > 10])["parallax"]["units"]  # doctest: +SKIP
    'mas'
    """
    if hasattr(frame, "data_vars") and hasattr(frame, "coords"):
        names = {str(name): variable for name, variable in frame.data_vars.items()}
        types = {name: str(v.dtype) for name, v in names.items()}
        return Columns({name: dict(v.attrs) for name, v in names.items()}, types, frame.attrs)
    meta = getattr(frame, "_meta", frame)
    kinds = _column_types(meta)
    if kinds is None:
        msg = f"expected a dask or pandas DataFrame or Series, or a Dataset, got {type(frame).__name__}"
        raise TypeError(msg)
    types = kinds
    found: dict[str, Mapping[str, Any]] = {}
    table: Mapping[str, Any] = {}
    for attrs in _iterate_sources(frame, meta):
        known = attrs.get(COLUMNS)
        if isinstance(known, Mapping):
            found |= {name: dict(known[name]) for name in types if name in known and name not in found}
            table = table or attrs.get(TABLE) or {}
        if len(found) == len(types):
            break
    return Columns({name: found.get(name, {}) for name in types}, types, table)


def _column_types(meta: Any) -> dict[str, str] | None:
    """Types of the columns of a pandas object by name; None if it is none."""
    import pandas as pd

    if isinstance(meta, pd.DataFrame):
        return {name: str(dtype) for name, dtype in zip(meta.columns, meta.dtypes, strict=True)}
    return {str(meta.name): str(meta.dtype)} if isinstance(meta, pd.Series) else None


def _iterate_sources(frame: Any, meta: Any) -> Iterator[Mapping[str, Any]]:
    """Attributes of a frame, then of what it is made of: some operations of pandas drop them, as joins do."""
    yield meta.attrs
    expression = getattr(frame, "expr", None)
    for part in expression.walk() if expression is not None else ():
        attrs = getattr(getattr(part, "_meta", None), "attrs", None)
        if attrs:
            yield attrs


def check_alike(first: TableSource, other: TableSource, first_url: str) -> None:
    """Raise FormatError unless two tables have the same columns, in any order."""
    mine, theirs = ({c.name: str(c.type) for c in t.columns} for t in (first, other))
    for name in dict.fromkeys([*mine, *theirs]):
        if mine.get(name) != theirs.get(name):
            kinds = theirs.get(name, "missing"), mine.get(name, "missing")
            msg = f"its table is not like that of the first file, {first_url}: the column {name!r} is {kinds[0]}, there {kinds[1]}"
            raise FormatError(msg)


def find_other_unit(first: TableSource, other: TableSource) -> str:
    """Say which column of a table has another unit than in the first one, and which; empty if none has.

    A column that says nothing of its unit differs from none: many files name them in some tables only.
    """
    known = {c.name: str(c.attrs["units"]) for c in first.columns if "units" in c.attrs}
    for column in other.columns:
        unit = str(column.attrs.get("units", ""))
        if unit and unit != known.get(column.name, unit):
            return f"the column {column.name!r} is in {unit!r} here and in {known[column.name]!r}"
    return ""


class _Shared(dict[str, Any]):
    """Attributes that stay one object: pandas copies ``attrs`` deeply with every selection, which took most of its time."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


def frame_attrs(table: TableSource, names: Iterable[str]) -> dict[str, Any]:
    """Make the ``attrs`` of a frame with some columns of a table; all values go into JSON, as Parquet wants them."""
    wanted = set(names)
    found = {
        c.name: {k: _make_plain(v) for k, v in c.attrs.items()} for c in table.columns if c.name in wanted and c.attrs
    }
    whole = {
        k: _make_plain(v)
        for k, v in table.attrs.items()
        if not k.endswith("_header") and len(str(v)) <= _MOST_CHARACTERS
    }
    return {COLUMNS: _Shared(found)} | ({TABLE: _Shared(whole)} if whole else {})


def _make_plain(value: Any) -> Any:
    """Numbers and texts, or lists of them: pandas compares the attributes of frames that it joins, and Parquet holds JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return _make_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_make_plain(v) for v in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _shorten(text: str) -> str:
    return text if len(text) <= _WIDTH_CHARACTERS else text[: _WIDTH_CHARACTERS - 3] + "..."
