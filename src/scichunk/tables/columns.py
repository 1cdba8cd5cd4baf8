"""One column of a table as an array: what serves dask arrays and xarray variables through the common machinery."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from scichunk.core.arrays import ArraySource, WindowArray
from scichunk.core.grid import ChunkGrid
from scichunk.core.layout import Layout
from scichunk.core.tables import Column, TableSource
from scichunk.errors import FormatError

__all__ = ["ColumnArray", "column_layout"]


class ColumnArray(WindowArray):
    """A column in NumPy form: axes ``(row, *cell)``, chunks of :attr:`TableSource.row_group` rows.

    Parameters
    ----------
    table
        Its table; the rows are counted if their number is not known.
    name
        Name of the column.
    raw
        Stored values, where the format scales them.
    column
        The column itself, where the caller has it: tables of many thousand columns are not searched for each of them.

    Raises
    ------
    FormatError
        If there is no such column.
    """

    def __init__(self, table: TableSource, name: str, *, raw: bool = False, column: Column | None = None) -> None:
        self.column = _find_column(table, name) if column is None else column
        form = self.column.raw if raw and self.column.raw is not None else self.column
        cell = form.cell or ()
        shape = (table.count_rows(), *cell)
        grid = ChunkGrid(shape, (max(1, table.row_group), *(max(1, n) for n in cell)))

        def read(window: tuple[slice, ...]) -> npt.NDArray[Any]:
            rows = window[0]
            found = table.read_column(name, rows.start, rows.stop, raw=raw)
            return found[(slice(None), *window[1:])]

        super().__init__(grid, form.dtype, table.reader, read)


def _find_column(table: TableSource, name: str) -> Column:
    for column in table.columns:
        if column.name == name:
            return column
    there = ", ".join(c.name for c in table.columns[:20])
    msg = f"there is no column {name!r}; the table has {there}{', ...' if len(table.columns) > 20 else ''}"
    raise FormatError(msg)


def column_layout(table: TableSource, source: ArraySource, name: str, *, raw: bool = False) -> Layout:
    """What must agree for columns of several files to be stacked."""
    column = _find_column(table, name)
    form = column.raw if raw and column.raw is not None else column
    named = {"unit": "units", "scale": "scale_factor", "offset": "add_offset"}
    meaning = {word: form.attrs.get(key) for word, key in named.items()} | {"null": form.null}
    return Layout(source.shape, str(source.dtype), None, meaning, fill=form.null)
