"""``to_qtable`` and ``write_table``: from datasets and frames to astropy and to files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from scichunk.adapters.table_input import table_stream
from scichunk.core import registry
from scichunk.core.limits import is_computable_unit
from scichunk.core.tables import Column
from scichunk.tables.arrow import dtype_of, to_numpy, value_type
from scichunk.tables.display import python_format

if TYPE_CHECKING:
    import pyarrow as pa
    from astropy.table import QTable

__all__ = ["to_qtable", "write_table"]


def write_table(format_name: str, obj: Any, path: str | os.PathLike[str], **options: Any) -> None:
    """Write a table in a format that has a writer.

    Parameters
    ----------
    format_name
        Of the format.
    obj
        ``xarray.Dataset`` whose variables share their first dimension, dask or pandas ``DataFrame``, or pyarrow ``Table``.
    path
        A path, or a URL that fsspec can write to.
    **options
        ``overwrite``, and what the format's writer takes.
    """
    registry.get_format(format_name).write_table(table_stream(obj), path, **options)


def to_qtable(obj: Any) -> QTable:
    """Turn a table into an :class:`astropy.table.QTable` with units.

    Parameters
    ----------
    obj
        ``xarray.Dataset``, dask or pandas ``DataFrame`` (of :func:`read_fits_table` or :func:`read_votable`, whose
        ``attrs["columns"]`` hold the units), or pyarrow ``Table``; it is computed.

    Returns
    -------
    astropy.table.QTable
        Columns with a unit that astropy knows are quantities, nulls are masked; descriptions, formats and other attributes are kept.

    Raises
    ------
    TypeError
        If ``obj`` is none of these.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.to_qtable(scichunk.read_fits_table("catalogue.fits").head(100))["ra"].to("hourangle")  # doctest: +SKIP
    """
    import pyarrow as pa
    from astropy.table import QTable, Table

    stream = table_stream(obj)
    batches = list(stream.batches)
    table = pa.Table.from_batches(batches) if batches else None
    made = Table(meta=dict(stream.attrs))
    for column in stream.columns:
        array = table[column.name].combine_chunks() if table is not None else pa.array([], column.type)
        made.add_column(_make_column(column, array), name=column.name)
    return QTable(made)


def _make_column(column: Column, array: pa.Array) -> Any:
    """One column, masked where it has nulls."""
    from astropy import units
    from astropy.table import Column as Plain
    from astropy.table import MaskedColumn

    values, mask = _split_nulls(column, array)
    attrs = dict(column.attrs)
    unit, description = attrs.pop("units", None), attrs.pop("description", None)
    # Quantities are floating point, for which the formats of integers are none.
    kind = "f" if unit and values.dtype.kind in "iu" else values.dtype.kind
    display = python_format(kind, column.attrs, column.encoding)
    given: dict[str, Any] = {"description": description, "meta": attrs, "format": display}
    if unit:
        known = is_computable_unit(str(unit))
        given["unit"] = units.Unit(str(unit), parse_strict="silent") if known else units.UnrecognizedUnit(str(unit))
    if mask is not None and mask.any():
        return MaskedColumn(values, mask=mask, **given)
    return Plain(values, **given)


def _split_nulls(column: Column, array: pa.Array) -> tuple[Any, Any]:
    """NumPy values, and where they are null."""
    import pyarrow as pa

    kind = array.type
    if pa.types.is_temporal(value_type(kind)):
        return array.to_numpy(zero_copy_only=False), np.asarray(array.is_null())
    cell: list[int] = []
    flat = array
    while pa.types.is_fixed_size_list(flat.type):
        cell.append(flat.type.list_size)
        flat = flat.fill_null([None] * flat.type.list_size).flatten() if flat.null_count else flat.flatten()
    inner = flat.type
    shape = (len(array), *cell)
    if pa.types.is_string(inner) or pa.types.is_large_string(inner):
        texts: Iterable[Any] = ("" if t is None else t for t in flat.to_pylist())
        values = np.array([*texts, ""], str)[:-1].reshape(shape)
    elif hasattr(inner, "value_type"):
        return to_numpy(array, Column(column.name, kind, np.dtype(object), None)), np.asarray(array.is_null())
    else:
        values = to_numpy(flat, Column(column.name, inner, dtype_of(inner))).reshape(shape)
    return values, np.asarray(flat.is_null()).reshape(shape)
