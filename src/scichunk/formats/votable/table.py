"""Tables of VOTable documents as a :class:`~scichunk.core.tables.TableSource`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scichunk.core.cache import cached_bytes
from scichunk.core.tables import Column, Rows
from scichunk.errors import FormatError
from scichunk.formats.votable.document.metadata import column_attributes, column_encoding
from scichunk.formats.votable.document.scan import Document
from scichunk.formats.votable.document.structure import Field, Table
from scichunk.formats.votable.values.column_part import ColumnPart, column_of, join_arrow
from scichunk.formats.votable.values.diagnostics import Diagnostics, Policy
from scichunk.tables.arrow import rows_alone
from scichunk.tables.nulls import without_value

__all__ = ["EmptyRows", "RowReader", "VOTable"]

Parts = list[list[ColumnPart]]


class RowReader(Protocol):
    """The rows of one serialization."""

    @property
    def n_rows(self) -> int | None:
        """Number of rows if known."""
        ...

    @property
    def nbytes(self) -> int:
        """Encoded bytes."""
        ...

    def count_rows(self) -> int:
        """Count the rows."""
        ...

    def row_group(self) -> int:
        """Rows to be read together."""
        ...

    def partitions(self, nbytes: int, /) -> list[Rows]:
        """Cut into parts of about so many encoded bytes."""
        ...

    def read(self, rows: Rows, wanted: Sequence[int], policy: Policy, /) -> Parts:
        """Decode rows; for each wanted field its parts."""
        ...


class EmptyRows:
    """A table without data, or without fields."""

    n_rows: int | None = 0
    nbytes = 0

    def count_rows(self) -> int:
        """Return 0."""
        return 0

    def row_group(self) -> int:
        """Return 1."""
        return 1

    def partitions(self, _nbytes: int) -> list[Rows]:
        """Return one, of no rows."""
        return [Rows(0, 0)]

    def read(self, _rows: Rows, wanted: Sequence[int], _policy: Policy) -> Parts:
        """Return nothing."""
        return [[] for _ in wanted]


class VOTable:
    """One table.

    Parameters
    ----------
    document, table
        Where it is and what is said of it.
    rows
        Reads its rows.
    policy
        What becomes of values that cannot be read.
    diagnostics
        What was not as it should be, so far.
    """

    reader = "indexed"

    def __init__(
        self, document: Document, table: Table, rows: RowReader, policy: Policy, diagnostics: Diagnostics
    ) -> None:
        self.document, self.table, self.rows, self.policy, self.diagnostics = document, table, rows, policy, diagnostics

    @property
    def cached_bytes(self) -> int:
        """Memory that reading rows takes for good: places of rows, streams that were decoded."""
        return cached_bytes(self.rows)

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields."""
        return self.table.fields

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns in document order."""
        return self._made_columns

    @cached_property
    def _made_columns(self) -> tuple[Column, ...]:
        return tuple(column_of(f, column_attributes(f), column_encoding(f)) for f in self.fields)

    @property
    def schema(self) -> Any:
        """The schema of the record batches."""
        return self._made_schema

    @cached_property
    def _made_schema(self) -> Any:
        import pyarrow as pa

        return pa.schema([(c.name, c.type) for c in self.columns])

    @property
    def n_rows(self) -> int | None:
        """Number of rows if they have been counted, or follow from sizes."""
        return self.rows.n_rows

    @property
    def row_group(self) -> int:
        """Rows of some MB."""
        return self.rows.row_group()

    @property
    def nbytes(self) -> int:
        """Encoded bytes."""
        return self.rows.nbytes

    @property
    def codec(self) -> str:
        """Serialization, and how its stream is encoded."""
        stream = self.table.stream
        return f"{self.table.serialization or 'no data'}{f', {stream.encoding}' if stream and stream.encoding else ''}"

    @property
    def attrs(self) -> Mapping[str, Any]:
        """What the document says, and ``votable_warnings``: what in its header is not as the standard has it."""
        return self._attributes | ({"votable_warnings": list(self.table.notes)} if self.table.notes else {})

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        return self.document.attributes.of_table(self.table) | {"votable_header": self.document.header_text()}

    def count_rows(self) -> int:
        """Return the number of rows; those of TABLEDATA and of rows of varying size are counted, once."""
        return self.rows.count_rows()

    def partitions(self, nbytes: int) -> list[Rows]:
        """Cut into parts of about ``nbytes`` encoded bytes, without reading them."""
        return self.rows.partitions(nbytes)

    def read_rows(self, rows: Rows, columns: Sequence[str] | None = None) -> Any:
        """Read rows as an Arrow record batch.

        Raises
        ------
        FormatError
            If they are corrupt; the message says in which row and at which byte.
        """
        import pyarrow as pa

        wanted = list(range(len(self.fields))) if columns is None else [self._find_number(c) for c in columns]
        if not wanted and self.fields:
            count = sum(p.rows for p in self.rows.read(rows, [0], self.policy)[0])
            return rows_alone(count)
        distinct = list(dict.fromkeys(wanted))
        parts = self.rows.read(rows, distinct, self.policy)
        arrays = {
            k: join_arrow(p, self.fields[k].shape.item, self.columns[k].type)
            for k, p in zip(distinct, parts, strict=True)
        }
        schema = pa.schema([self.schema.field(k) for k in wanted])
        return pa.RecordBatch.from_arrays([arrays[k] for k in wanted], schema=schema)

    def read_column(
        self,
        name: str,
        start: int,
        stop: int,
        *,
        raw: bool = False,  # noqa: ARG002  # nothing is scaled
    ) -> npt.NDArray[Any]:
        """Read rows of one column as NumPy values; nulls become NaN, or the declared value.

        Raises
        ------
        FormatError
            If an integer or boolean is null for which no value is declared.
        """
        number = self._find_number(name)
        column, field = self.columns[number], self.fields[number]
        parts = self.rows.read(Rows(start, stop), [number], self.policy)[0] if stop > start else []
        found, lost = [], 0
        for part in parts:
            values, count = part.to_numpy(column, field)
            found.append(values)
            lost += count
        if lost:
            raise without_value(name, "scichunk.read_votable").at(
                url=self.document.source.url, part=f"{self.diagnostics.part}, rows {start} to {stop}"
            )
        if sum(len(f) for f in found) != stop - start:
            msg = f"rows {start} to {stop} are not all there"
            raise FormatError(msg, url=self.document.source.url, part=self.diagnostics.part)
        if not found:
            return np.empty((0, *(column.cell or ())), column.dtype)
        return found[0] if len(found) == 1 else np.concatenate(found)

    @cached_property
    def _numbers_by_name(self) -> dict[str, int]:
        return {field.name: number for number, field in reversed(list(enumerate(self.fields)))}

    def _find_number(self, name: str) -> int:
        number = self._numbers_by_name.get(name)
        if number is not None:
            return number
        msg = f"there is no column {name!r}; the table has {', '.join(f.name for f in self.fields[:20])}"
        raise FormatError(msg, url=self.document.source.url, part=self.diagnostics.part)
