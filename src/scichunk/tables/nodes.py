"""Tables as nodes of a tree: a variable for each column, cells as further dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from scichunk.core.files import ArrayId, ArrayInfo, ArrayVar, Node
from scichunk.core.tables import Column, TableSource
from scichunk.tables.columns import ColumnArray

__all__ = ["cell_dims", "table_info", "table_node", "variable_names"]

ROW = "row"
_CHUNK_BYTES: Final = 1 << 27
_OBJECT_BYTES: Final = 64  # bytes of a text or a short array, for planning


def table_node(
    table: TableSource, array_id: Callable[[str, bool], ArrayId], attrs: Mapping[str, Any] | None = None
) -> Node:
    """Make the node of a table.

    Parameters
    ----------
    table
        Its rows are counted if their number is not known.
    array_id
        Called with the name of a column and whether stored values are wanted; what ``OpenFile.array`` takes.
    attrs
        Of the dataset; by default those of the table.
    """
    dims, names = cell_dims(table.columns), variable_names(table.columns)
    rows = _rows_together(table)
    arrays = tuple(
        _make_variable(table, c, array_id, name=names[c.name], dims=(ROW, *dims[c.name]), rows=rows)
        for c in table.columns
    )
    return Node(arrays, {}, dict(table.attrs if attrs is None else attrs))


def variable_names(columns: Sequence[Column]) -> dict[str, str]:
    """Name the variables of columns: as those, but without ``/``, which trees do not take, and arrays never as the dimension."""
    taken = {c.name for c in columns} | {ROW}
    found: dict[str, str] = {}
    for column in columns:
        name = column.name
        if "/" in name or (name == ROW and column.cell != ()):
            name = name.replace("/", "_") or "_"
            while name in taken:
                name += "_"
            taken.add(name)
        found[column.name] = name
    return found


def _rows_together(table: TableSource) -> int:
    """Rows of a dask chunk, the same for all columns: whole row groups, about 128 MB of all columns together."""
    each = sum(
        _OBJECT_BYTES if c.cell is None or c.dtype.kind == "O" else c.dtype.itemsize * math.prod(c.cell)
        for c in table.columns
    )
    groups = max(1, _CHUNK_BYTES // max(1, each * table.row_group))
    return max(1, min(table.row_group * groups, table.count_rows()))


def _make_variable(
    table: TableSource,
    column: Column,
    array_id: Callable[[str, bool], ArrayId],
    *,
    name: str,
    dims: tuple[str, ...],
    rows: int,
) -> ArrayVar:
    """Make the variable of a column, with its cells as further dimensions."""
    raw = None
    chunks = {ROW: rows} | {d: max(1, n) for d, n in zip(dims[1:], column.cell or (), strict=True)}
    encoding = {"reader": table.reader, "codec": table.codec, "preferred_chunks": chunks}
    if name != column.name:
        encoding["column"] = column.name
    if column.cell is None:
        encoding["dtype"] = _UNSTORABLE % (name, name)
    if column.raw is not None:
        form, where = column.raw, array_id(column.name, True)
        source = ColumnArray(table, column.name, raw=True, column=column)
        raw = ArrayVar(name, dims, where, source, _column_attributes(form), encoding | dict(form.encoding))
    source = ColumnArray(table, column.name, column=column)
    encoding |= dict(column.encoding)
    return ArrayVar(name, dims, array_id(column.name, False), source, _column_attributes(column), encoding, raw=raw)


_UNSTORABLE: Final = (
    "%r holds cells of variable length and neither netCDF nor Zarr has these: leave it out by ds.drop_vars(%r) or write the table as "
    "Parquet or in its own format"
)
"""Stands where writers look for a type. They quote what is none, so that their error says which column it is, and what helps; a comma
would make a list of types of it."""


def _column_attributes(column: Column) -> dict[str, Any]:
    found = dict(column.attrs)
    if column.null is not None:
        found["_FillValue"] = column.null
    return found


def cell_dims(columns: Sequence[Column]) -> dict[str, tuple[str, ...]]:
    """Name the dimensions of cells: ``<column>_1``, ``<column>_2``, ...; no name is that of a column."""
    taken = {ROW, *(c.name for c in columns)}
    found: dict[str, tuple[str, ...]] = {}
    for column in columns:
        names = []
        for i in range(1, len(column.cell or ()) + 1):
            name = f"{column.name}_{i}"
            while name in taken:
                name += "_"
            taken.add(name)
            names.append(name)
        found[column.name] = tuple(names)
    return found


def column_dims(table: TableSource, column: str) -> tuple[str, ...]:
    """Name the dimensions of a column: the rows, and those of its cells."""
    return (ROW, *cell_dims(table.columns)[column])


def table_info(table: TableSource, group: str, name: str, notes: Mapping[str, Any] | None = None) -> ArrayInfo:
    """Describe a table, without counting rows."""
    known = table.n_rows is not None
    dims = (ROW,) if known else ()
    shape = (int(table.n_rows or 0),) if known else ()
    native = (min(table.row_group, *shape),) if known else ()
    columns = {c.name: f"{c.type}{f' [{unit}]' if (unit := c.attrs.get('units')) else ''}" for c in table.columns}
    notes_of_table = {**(notes or {}), **({} if known else {"rows": "not counted"}), "columns": columns}
    kind = f"{len(table.columns)} columns"
    return ArrayInfo(group, name, dims, shape, kind, native, table.codec, table.reader, table.nbytes, notes_of_table)
