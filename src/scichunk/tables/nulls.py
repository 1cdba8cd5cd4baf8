"""Nulls for which a file declares no value: found by looking, so that arrays can mask them.

In many forms of tables any cell may be null, but an array of integers needs a value that stands for it, and one of booleans has none.
Once it is known that there are nulls at all, integers get a value that no row has, and booleans become the integers 0 and 1 with -1 for
null; columns without nulls stay as they are. What is said here holds for the whole column, so that all chunks have one type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt

from scichunk.core.files import ColumnId
from scichunk.core.tables import Column, Rows, TableSource
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature
from scichunk.tables.arrow import arrow_type, to_numpy

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "LOGICAL",
    "NAN",
    "REFUSED",
    "Fill",
    "FilledColumnId",
    "fill_nulls",
    "filled_column",
    "find_fills",
    "find_undeclared",
    "without_value",
]

Fill = int | str
"""A value that stands for null, or :data:`NAN`, or :data:`REFUSED`."""
NAN: Final = "nan"
"""No integer is left to stand for null, or none is wanted: the column becomes floating point."""
REFUSED: Final = "refused"
"""None was found, or nobody looked: a null that is met is an error."""
LOGICAL: Final = "logical"
"""Key of the encoding of booleans that are stored as integers, so that writers make booleans of them again."""
_NULL: Final = -1
"""What stands for null among booleans."""
_SMALL_BITS: Final = 16
"""Bits of integers of which all values are kept in mind."""
_MOST_READS: Final = 64
"""How often rows are read in search of the columns that cannot be: where a row is malformed, none can."""


@dataclass(frozen=True, slots=True)
class FilledColumnId(ColumnId):
    """A column, with a value for nulls that the file has none for; it travels here, so that workers do not look for it again."""

    fill: Fill | None = None

    @property
    def fills(self) -> dict[str, Fill]:
        """What :func:`fill_nulls` takes."""
        return {} if self.fill is None else {self.column: self.fill}


def find_undeclared(columns: Sequence[Column], kinds: str) -> list[str]:
    """Return the names of those columns of the given kinds of dtype (``iu``, ``b``) that declare no value for null."""
    return [c.name for c in columns if c.cell is not None and c.dtype.kind in kinds and c.null is None]


def find_fills(table: TableSource, names: list[str]) -> dict[str, Fill]:
    """Look at all rows; returns a value that does not occur for each column that has nulls.

    Columns that cannot be read as a whole have none: the error is raised where their values are asked for, so that it stands in the
    way of no other column. Which they are is found by halving, in so many reads at most: columns that are left then are
    :data:`REFUSED`.

    Parameters
    ----------
    table
        Its rows are read once, if all can be read.
    names
        The columns wanted, of integers or booleans.
    """
    found: dict[str, Fill] = {}
    groups, reads = [names], 0
    while groups:
        group = groups.pop()
        if reads >= _MOST_READS:
            found |= dict.fromkeys(group, REFUSED)
            continue
        reads += 1
        try:
            found |= _look_for_nulls(table, group)
        except (FormatError, LimitExceeded, UnsupportedFeature):
            half = len(group) // 2
            groups += [group[half:], group[:half]] if half else []
    return found


def _look_for_nulls(table: TableSource, names: list[str]) -> dict[str, Fill]:
    if not names:
        return {}
    dtypes = {c.name: c.dtype for c in table.columns}
    seen = {name: _Booleans() if dtypes[name].kind == "b" else _Integers(dtypes[name]) for name in names}
    rows, step = table.count_rows(), max(1, table.row_group)
    for start in range(0, rows, step):
        batch = table.read_rows(Rows(start, min(rows, start + step)), names)
        for name, array in zip(names, batch.columns, strict=True):
            seen[name].add(array)
    return {name: known.fill() for name, known in seen.items() if known.nulls}


def _count_nulls(array: pa.Array) -> int:
    """Nulls of all levels: a null cell counts as one, its elements are none."""
    found = array.null_count
    while hasattr(array.type, "value_type"):
        array = array.flatten()
        found += array.null_count
    return int(found)


class _Booleans:
    """Whether a column of booleans has nulls."""

    nulls = 0

    def add(self, array: pa.Array) -> None:
        """Look at some rows."""
        self.nulls += _count_nulls(array)

    def fill(self) -> Fill:
        """Return what stands for null."""
        return _NULL


class _Integers:
    """What values a column of integers has."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype, self.nulls = dtype, 0
        info = np.iinfo(dtype)
        self._lowest, self._highest = int(info.min), int(info.max)
        self._least, self._most = self._highest, self._lowest
        small = dtype.itemsize * 8 <= _SMALL_BITS
        self._counts = np.zeros(self._highest - self._lowest + 1, bool) if small else None

    def add(self, array: pa.Array) -> None:
        """Look at some rows."""
        self.nulls += _count_nulls(array)
        while hasattr(array.type, "value_type"):
            array = array.flatten()
        values = array.drop_null().to_numpy(zero_copy_only=False)
        if self._counts is not None:
            self._counts[values.astype(np.int64) - self._lowest] = True
        elif values.size:
            self._least, self._most = min(self._least, int(values.min())), max(self._most, int(values.max()))

    def fill(self) -> Fill:
        """Return a value that does not occur."""
        if self._counts is not None:
            free = np.flatnonzero(~self._counts)
            if not free.size:
                return NAN
            return int(free[0 if self.dtype.kind == "i" else -1]) + self._lowest
        if self._least > self._lowest:
            return self._lowest
        return self._highest if self._most < self._highest else NAN


def without_value(name: str, frames: str) -> FormatError:
    """Make the error of a column that turns out to have nulls when it is read; ``frames``: the function that reads it as a frame."""
    return FormatError(
        f"column {name!r} has nulls and declares no value for them, and the table was not looked through for nulls (it is long, far away, "
        "one of a stack whose first file has none, or cannot be read as a whole): "
        f"read it as a frame, by {frames}, or open the file with a larger options.scan_bytes"
    )


def fill_nulls(table: TableSource, fills: Mapping[str, Fill]) -> TableSource:
    """Return a table whose nulls have values in arrays; the same one if there is nothing to do.

    Parameters
    ----------
    table
        The table.
    fills
        A value for each column that has nulls.
    """
    return cast("TableSource", _FilledTable(table, fills)) if fills else table


class _FilledTable:
    """A table whose nulls have values in arrays."""

    def __init__(self, table: TableSource, fills: Mapping[str, Fill]) -> None:
        self._table, self._fills = table, fills

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns; those with nulls have a value for it, or are floating point."""
        return tuple(
            c if c.name not in self._fills else filled_column(c, self._fills[c.name]) for c in self._table.columns
        )

    def read_column(self, name: str, start: int, stop: int, *, raw: bool = False) -> npt.NDArray[Any]:
        """Read rows of one column in NumPy form."""
        if name not in self._fills or stop <= start:
            return self._table.read_column(name, start, stop, raw=raw)
        column = filled_column(next(c for c in self._table.columns if c.name == name), self._fills[name])
        array = self._table.read_rows(Rows(start, stop), [name]).column(0)
        if self._fills[name] == REFUSED:
            if _count_nulls(array):
                raise without_value(name, "scichunk.read_table").at(part=f"rows {start} to {stop}")
        elif column.dtype.kind in "iu" and LOGICAL not in column.encoding:
            _check_free(column, array)
        return to_numpy(array if array.type == column.type else array.cast(column.type, safe=False), column)


def _check_free(column: Column, array: pa.Array) -> None:
    """Refuse a value for null that occurs: in a stack it is one that does not occur in the first file."""
    import pyarrow.compute as pc

    while hasattr(array.type, "value_type"):
        array = array.flatten()
    if pc.any(pc.equal(array, column.null.item())).as_py():
        msg = (
            f"column {column.name!r} declares no value for null; {column.null}, which stands for it in the first file of the stack, occurs "
            "here: read the files as frames, by scichunk.read_table"
        )
        raise FormatError(msg)


def filled_column(column: Column, fill: Fill) -> Column:
    """Return a column with a value for null, or in floating point."""
    if fill == REFUSED:
        return column
    if fill == NAN:  # what xarray makes of integers of that size
        dtype: np.dtype[Any] = np.dtype("f4" if column.dtype.itemsize <= 2 else "f8")
        return replace(column, type=arrow_type(dtype, column.cell), dtype=dtype)
    if column.dtype.kind != "b":
        return replace(column, null=column.dtype.type(fill))
    dtype, encoding = np.dtype("i1"), {**column.encoding, LOGICAL: True}
    return replace(column, type=arrow_type(dtype, column.cell), dtype=dtype, null=dtype.type(fill), encoding=encoding)
