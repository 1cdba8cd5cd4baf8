"""Nulls of integers that a document declares no value for: found by looking, so that arrays can mask them.

In TABLEDATA, BINARY2 and PARQUET any cell may be null, but an array of integers needs a value that stands for it. A value that no row has
is taken, once it is known that there are nulls at all: columns without any stay integers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.core.tables import Column, Rows, TableSource
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature
from scichunk.tables.arrow import arrow_type, to_numpy

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NAN", "Fill", "FilledTable", "filled", "find_fills", "outermost", "undeclared"]

Fill = int | str
"""A value that stands for null, or :data:`NAN`."""
NAN: Final = "nan"
"""No integer is left to stand for null, or none is wanted: the column becomes floating point."""
_SMALL: Final = 16
"""Bits of integers of which all values are kept in mind."""


def undeclared(columns: Sequence[Column]) -> list[str]:
    """Return the names of those columns of integers that declare no value for null."""
    return [c.name for c in columns if c.cell is not None and c.dtype.kind in "iu" and c.null is None]


def find_fills(table: TableSource) -> dict[str, Fill]:
    """Look at all rows; returns a value that does not occur for each column of integers that has nulls.

    Columns that cannot be read as a whole have none: the error is raised where their values are asked for, so that it stands in the
    way of no other column.

    Parameters
    ----------
    table
        Its rows are read once, the columns of :func:`undeclared` only.
    """
    names = undeclared(table.columns)
    try:
        return _look(table, names)
    except (FormatError, LimitExceeded, UnsupportedFeature):
        found: dict[str, Fill] = {}
        for name in names:
            with contextlib.suppress(FormatError, LimitExceeded, UnsupportedFeature):
                found |= _look(table, [name])
        return found


def _look(table: TableSource, names: list[str]) -> dict[str, Fill]:
    if not names:
        return {}
    dtypes = {c.name: c.dtype for c in table.columns}
    seen = {name: _Seen(dtypes[name]) for name in names}
    rows, step = table.count_rows(), max(1, table.row_group)
    for start in range(0, rows, step):
        batch = table.read_rows(Rows(start, min(rows, start + step)), names)
        for name, array in zip(names, batch.columns, strict=True):
            seen[name].add(array)
    return {name: known.fill() for name, known in seen.items() if known.nulls}


def outermost(columns: Sequence[Column], name: str) -> int:
    """Return what astropy stores for a null that a document has no value for: the lowest integer, the highest of unsigned ones."""
    info = np.iinfo(next(c.dtype for c in columns if c.name == name))
    return int(info.min or info.max)


class _Seen:
    """What values a column has."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype, self.nulls = dtype, 0
        info = np.iinfo(dtype)
        self._lowest, self._highest = int(info.min), int(info.max)
        self._least, self._most = self._highest, self._lowest
        small = dtype.itemsize * 8 <= _SMALL
        self._counts = np.zeros(self._highest - self._lowest + 1, bool) if small else None

    def add(self, array: pa.Array) -> None:
        """Look at some rows."""
        while hasattr(array.type, "value_type"):  # a null cell counts as one, its elements are none
            self.nulls += array.null_count
            array = array.flatten()
        self.nulls += array.null_count
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


class FilledTable:
    """A table whose nulls have values in arrays.

    Parameters
    ----------
    table
        The table.
    fills
        A value for each column that has nulls.
    """

    def __init__(self, table: TableSource, fills: Mapping[str, Fill]) -> None:
        self._table, self._fills = table, fills

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """All columns; those with nulls have a value for it, or are floating point."""
        return tuple(c if c.name not in self._fills else filled(c, self._fills[c.name]) for c in self._table.columns)

    def read_column(self, name: str, start: int, stop: int, *, raw: bool = False) -> npt.NDArray[Any]:
        """Read rows of one column in NumPy form."""
        if name not in self._fills or stop <= start:
            return self._table.read_column(name, start, stop, raw=raw)
        column = filled(next(c for c in self._table.columns if c.name == name), self._fills[name])
        array = self._table.read_rows(Rows(start, stop), [name]).column(0)
        return to_numpy(array if self._fills[name] != NAN else array.cast(column.type, safe=False), column)


def filled(column: Column, fill: Fill) -> Column:
    """Return a column with a value for null, or in floating point."""
    if isinstance(fill, int):
        return replace(column, null=column.dtype.type(fill))
    dtype = np.dtype("f8")
    return replace(column, type=arrow_type(dtype, column.cell), dtype=dtype)
