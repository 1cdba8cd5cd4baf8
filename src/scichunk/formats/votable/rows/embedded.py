"""Tables whose rows are in a FITS or Parquet file: those are read as what they are, and the document's words put over them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.core import registry
from scichunk.core.cache import cached_bytes
from scichunk.core.files import TableFile, TableId
from scichunk.core.tables import Column, Rows, TableSource
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature
from scichunk.formats.votable.document.href import resolve_href
from scichunk.formats.votable.document.metadata import column_attributes, column_encoding
from scichunk.formats.votable.document.scan import Document
from scichunk.formats.votable.document.structure import Field, Table
from scichunk.formats.votable.values.column_part import declared_null
from scichunk.sources import Location
from scichunk.tables.arrow import dtype_of, mask_value, to_numpy, value_type
from scichunk.tables.nulls import without_value

__all__ = ["Overlay", "open_delegated"]


def open_delegated(location: Location, document: Document, table: Table) -> TableSource:
    """Open the file that a FITS or PARQUET element names or holds.

    Raises
    ------
    UnsupportedFeature
        If it lies where it must not be read.
    FormatError, SourceError
        If it cannot be read.
    """
    where = _find_target(location, document, table)
    if table.serialization == "FITS":
        inner: TableSource = _open_fits(where, table)
    else:
        from scichunk.formats.votable.rows.parquet import ParquetTable

        inner = ParquetTable(where)
    return Overlay(document, table, inner)


def _find_target(location: Location, document: Document, table: Table) -> Location:
    """Find the FITS or Parquet data of a table: within the document, or where its stream refers to."""
    stream = table.stream
    if stream is None or table.body is None:
        msg = f"a {table.serialization} element without a stream"
        raise FormatError(msg)
    if stream.href:
        return resolve_href(location, stream.href)
    body = document.bodies[table.body]
    size = body.stop - body.start
    if stream.encoding.lower() != "base64" or size > options.get().max_chunk_bytes:
        if stream.encoding.lower() == "base64":
            msg = f"a file of {size} bytes within the document (options.max_chunk_bytes)"
            raise LimitExceeded(msg)
        msg = f"a file within the document that is encoded as {stream.encoding!r}"
        raise UnsupportedFeature(msg)
    document.find_all()
    text = bytes(document.source.read_ranges([body.start], [body.stop])[0])
    try:
        return Location(base64.b64decode(b"".join(text.split()), validate=True))
    except (binascii.Error, ValueError) as error:
        msg = f"the file within the document is not base64: {error}"
        raise FormatError(msg) from None


def _open_fits(where: Location, table: Table) -> TableSource:
    file = cast("TableFile", registry.get_format("fits").open_file(where))
    return file.table(TableId(table.extension))


class Overlay:
    """A table of another format with names and attributes of the document.

    Parameters
    ----------
    document, table
        What is said of it.
    inner
        The table itself; fields and its columns belong together by name, or by position if there are as many of other names.
    """

    def __init__(self, document: Document, table: Table, inner: TableSource) -> None:
        self.document, self.table, self.inner = document, table, inner
        self.reader, self.codec = inner.reader, f"{table.serialization}, {inner.codec}"
        fields = table.fields
        by_name = {f.name: f for f in fields}
        if len(fields) == len(inner.columns) and by_name.keys() != {c.name for c in inner.columns}:
            self._fields: list[Field | None] = list(fields)
        else:
            self._fields = [by_name.get(c.name) for c in inner.columns]
        found = ((c, _null_of(c, f)) for c, f in zip(self.columns, self._fields, strict=True))
        self._nulls = {c.name: null for c, null in found if null is not None}
        """Values that the document declares to be null, by column."""

    @property
    def cached_bytes(self) -> int:
        """Memory of the file that it is in, where that is within the document."""
        return cached_bytes(self.inner)

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns."""
        return self._overlaid_columns

    @cached_property
    def _overlaid_columns(self) -> tuple[Column, ...]:
        return tuple(_overlay_column(c, f) for c, f in zip(self.inner.columns, self._fields, strict=True))

    @property
    def schema(self) -> Any:
        """The schema of the record batches."""
        return self._overlaid_schema

    @cached_property
    def _overlaid_schema(self) -> Any:
        import pyarrow as pa

        return pa.schema([(c.name, c.type) for c in self.columns])

    @property
    def n_rows(self) -> int | None:
        """Number of rows if known."""
        return self.inner.n_rows

    @property
    def row_group(self) -> int:
        """Rows read together."""
        return self.inner.row_group

    @property
    def nbytes(self) -> int | None:
        """Encoded bytes."""
        return self.inner.nbytes

    @property
    def attrs(self) -> Mapping[str, Any]:
        """What both files say."""
        return self._overlaid_attributes

    @cached_property
    def _overlaid_attributes(self) -> Mapping[str, Any]:
        attributes = self.document.attributes.of_table(self.table) | {"votable_header": self.document.header_text()}
        return dict(self.inner.attrs) | attributes

    def count_rows(self) -> int:
        """Return the number of rows."""
        return self.inner.count_rows()

    def partitions(self, nbytes: int) -> list[Rows]:
        """Cut as the other format does."""
        return self.inner.partitions(nbytes)

    def read_rows(self, rows: Rows, columns: Sequence[str] | None = None) -> Any:
        """Read rows as an Arrow record batch."""
        import pyarrow as pa

        names = None if columns is None else [self._inner_name(c) for c in columns]
        batch = self.inner.read_rows(rows, names)
        if columns is not None and not columns:
            return batch
        wanted = self.schema if columns is None else pa.schema([self.schema.field(c) for c in columns])
        arrays = [
            mask_value(a, self._nulls[n]) if n in self._nulls else a
            for n, a in zip(wanted.names, batch.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=wanted)

    def read_column(self, name: str, start: int, stop: int, *, raw: bool = False) -> npt.NDArray[Any]:
        """Read rows of one column as NumPy values."""
        inner = self._inner_name(name)
        column, null = self._columns_by_name[name], self._nulls.get(name)
        # A FITS table says false for undefined logicals here, and the nulls that arrays are filled with are found for rows only.
        if self.table.serialization == "FITS" and column.cell is not None and column.dtype.kind != "b":
            values = self.inner.read_column(inner, start, stop, raw=raw)
            if null is None:
                return values
            fill = np.nan if column.null is None else column.null
            return np.where(values == null, values.dtype.type(fill), values)
        if null is None and column.dtype.kind not in "iub":
            return self.inner.read_column(inner, start, stop, raw=raw)
        array = self.read_rows(Rows(start, stop), [name]).column(0)
        if column.null is None and column.dtype.kind in "iub" and _has_nulls(array):
            raise without_value(name, "scichunk.read_votable").at(
                url=self.document.source.url, part=f"rows {start} to {stop}"
            )
        return to_numpy(array, column)

    @cached_property
    def _columns_by_name(self) -> dict[str, Column]:
        return {c.name: c for c in reversed(self.columns)}

    @cached_property
    def _inner_names(self) -> dict[str, str]:
        pairs = zip(self.columns, self.inner.columns, strict=True)
        return {outer.name: inner.name for outer, inner in reversed(list(pairs))}

    def _inner_name(self, name: str) -> str:
        inner = self._inner_names.get(name)
        if inner is not None:
            return inner
        msg = f"there is no column {name!r}"
        raise FormatError(msg, url=self.document.source.url)


def _has_nulls(array: Any) -> bool:
    while hasattr(array.type, "value_type"):
        if array.null_count:
            return True
        array = array.flatten()
    return bool(array.null_count)


def _overlay_column(column: Column, field: Field | None) -> Column:
    if field is None:
        return column
    attrs = dict(column.attrs) | column_attributes(field)
    encoding = dict(column.encoding) | column_encoding(field)
    null, declared = column.null, _null_of(column, field)
    if null is None and column.dtype.kind in "iu":
        null = declared
    # What is stored as scaled integers cannot be compared with a value of the column, so it is read as what it means.
    raw = column.raw if declared is None else None
    return replace(column, name=field.name, attrs=attrs, encoding=encoding, null=null, raw=raw)


def _null_of(column: Column, field: Field | None) -> Any:
    """Value of a column that the document declares to be null; None if there is none, or the column cannot hold it."""
    declared = None if field is None else declared_null(field)
    if declared is None or np.isnan(declared):
        return None
    dtype = dtype_of(value_type(column.type))
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            value = dtype.type(declared)
        return value if np.isinf(value) == np.isinf(declared) else None
    if dtype.kind not in "iu" or np.isinf(declared) or int(declared) != declared:
        return None
    info = np.iinfo(dtype)
    return dtype.type(int(declared)) if info.min <= int(declared) <= info.max else None
