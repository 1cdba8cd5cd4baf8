"""``to_qtable`` and ``write_*``: from datasets and frames to astropy and to files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scichunk.adapters.table_input import table_stream
from scichunk.core import registry
from scichunk.core.handles import open_file
from scichunk.core.tables import Column
from scichunk.sources import locate
from scichunk.tables.arrow import dtype_of, to_numpy, value_type

if TYPE_CHECKING:
    import pyarrow as pa
    from astropy.io.votable.tree import VOTableFile
    from astropy.table import QTable

__all__ = ["to_qtable", "votable_header", "write_fits_table", "write_votable"]


def write_fits_table(
    obj: Any, path: str | os.PathLike[str], *, overwrite: bool = False, extname: str | None = None
) -> None:
    """Write a table as a binary table of a FITS file, rows as they come; the file appears when it is complete.

    Parameters
    ----------
    obj
        ``xarray.Dataset`` whose variables share their first dimension, dask or pandas ``DataFrame``, or pyarrow ``Table``.
    path
        On this machine.
    overwrite
        Replace a file that is there.
    extname
        EXTNAME of the table; by default that of the attributes.

    Raises
    ------
    UnsupportedFeature
        If FITS has no form for the type of a column: lists of texts, dates, decimals, ...
    FormatError
        If a value would be read back as null.
    SourceError
        If the file exists, or cannot be written.
    TypeError
        If ``obj`` is none of these.

    Warns
    -----
    MetadataWarning
        If an attribute has no form in a FITS header.

    Notes
    -----
    Values, nulls and attributes survive: unsigned integers and signed bytes by the TZERO convention, nulls of integers as
    TNULL (that of the source, else a value that does not occur), undefined logicals, complex numbers, arrays of fixed size
    with TDIM, arrays of variable length in the heap. Attributes ``units``, ``description``, ``ucd`` and keywords such as
    ``TLMIN`` go to the columns; ``fits_header`` brings back COMMENT, HISTORY and all other cards. Texts lose trailing
    blanks, as FITS has them (FITS 4.0, section 7.3.3.1).

    Examples
    --------
    >>> import scichunk
    >>> stars = scichunk.read_fits_table("catalogue.fits")  # doctest: +SKIP
    >>> scichunk.write_fits_table(stars[stars.mag < 15], "bright.fits")  # doctest: +SKIP
    """
    registry.get("fits").write_table(table_stream(obj), path, overwrite=overwrite, extname=extname)


def write_votable(obj: Any, path: str | os.PathLike[str], *, overwrite: bool = False, name: str | None = None) -> None:
    """Write a table as a VOTable (BINARY2), rows as they come; the file appears when it is complete.

    Parameters
    ----------
    obj
        ``xarray.Dataset`` whose variables share their first dimension, dask or pandas ``DataFrame``, or pyarrow ``Table``.
    path
        On this machine.
    overwrite
        Replace a file that is there.
    name
        Of the table; by default that of the attributes.

    Raises
    ------
    UnsupportedFeature
        If VOTable has no form for the type of a column.
    FormatError
        If a value has none: integers beyond 2**63 - 1.
    SourceError
        If the file exists, or cannot be written.
    TypeError
        If ``obj`` is none of these.

    Notes
    -----
    Values, nulls and metadata survive: every null has its flag, the attribute ``votable_header`` of datasets brings back all
    that the document said (other tables without their data), with FIELD elements unchanged where the columns are. Without it
    attributes of columns become those of FIELD, and attributes of the table PARAM elements. Texts are ``char`` if all of them
    are ASCII, else ``unicodeChar``.

    Examples
    --------
    >>> import scichunk
    >>> stars = scichunk.read_votable("gaia.vot")  # doctest: +SKIP
    >>> scichunk.write_votable(stars[stars.parallax > 10], "near.vot")  # doctest: +SKIP
    """
    registry.get("votable").write_table(table_stream(obj), path, overwrite=overwrite, name=name)


def votable_header(url: Any, *, storage_options: Mapping[str, Any] | None = None) -> VOTableFile:
    """Read a VOTable without its rows, as astropy's objects: units, coordinate systems, groups, params, annotations.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.

    Returns
    -------
    astropy.io.votable.tree.VOTableFile
        Its tables have no rows.

    Raises
    ------
    FormatError
        If it is no VOTable, is corrupt or declares entities, or astropy cannot read its header.
    SourceError
        If it is missing or cannot be read.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.votable_header("gaia.vot").get_field_by_id_or_name("parallax").unit  # doctest: +SKIP
    """
    file: Any = open_file("votable", locate(url, storage_options))
    found: VOTableFile = file.header()
    return found


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
        Columns with a unit that astropy knows are quantities, nulls are masked, descriptions and other attributes are kept.

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
        made.add_column(_column(column, array), name=column.name)
    return QTable(made)


def _column(column: Column, array: pa.Array) -> Any:
    """One column, masked where it has nulls."""
    from astropy import units
    from astropy.table import Column as Plain
    from astropy.table import MaskedColumn

    values, mask = _values(column, array)
    attrs = dict(column.attrs)
    unit, description = attrs.pop("units", None), attrs.pop("description", None)
    given: dict[str, Any] = {"description": description, "meta": attrs}
    if unit:
        given["unit"] = units.Unit(str(unit), parse_strict="silent")
    if mask is not None and mask.any():
        return MaskedColumn(values, mask=mask, **given)
    return Plain(values, **given)


def _values(column: Column, array: pa.Array) -> tuple[Any, Any]:
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
