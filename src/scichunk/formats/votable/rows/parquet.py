"""Parquet files that hold the rows of a VOTable, through pyarrow."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.core.cache import cached_bytes
from scichunk.core.tables import Column, Rows
from scichunk.errors import FormatError, LimitExceeded, ScichunkError
from scichunk.formats.votable.rows.parquet_columns import (
    decoded_bytes,
    first_invalid,
    holds_texts,
    is_valid,
    plain_schema,
)
from scichunk.formats.votable.rows.parquet_footer import Leaf, check_footer
from scichunk.sources import Location
from scichunk.sources.as_file import SourceFile
from scichunk.tables.arrow import rows_alone, to_numpy, value_type

__all__ = ["ParquetTable"]


_BATCH_BYTES: Final = 1 << 24
_LOOSE_ROWS: Final = 1 << 13
"""Rows decoded at once where values vary in size: a long one that is stored once may stand in each of them."""
_PHYSICAL_BYTES: Final = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12, "BYTE_ARRAY": 4}
_MOST_PARTITIONS: Final = 1 << 20


class ParquetTable:
    """All rows of a Parquet file; partitions are row groups, or parts of large ones.

    A row group may hold any number of rows in next to no bytes, since equal values are stored once. Therefore sizes are estimated from
    the number of rows and the width of their types before anything is read, and rows are decoded in batches.

    Raises
    ------
    FormatError
        If it is no Parquet file.
    """

    reader, codec = "indexed", "row groups"

    def __init__(self, where: Location) -> None:
        self._source = where.open()
        self._url = self._source.url
        try:
            with self._open_file() as file:
                self._metadata, self._found = file.metadata, plain_schema(file.schema_arrow)
        except ScichunkError:  # some are ValueErrors
            raise
        except (OSError, ValueError, NotImplementedError) as error:
            raise self._corrupt_error(error) from error
        self._check_schema()
        check_footer(self._source, _leaves_of(self._metadata))
        counts = [self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)]
        self._starts = [0, *itertools.accumulate(counts)]
        if min([0, *counts]) < 0 or self._starts[-1] != self._metadata.num_rows:
            msg = f"row groups of {self._starts[-1]} rows in a file of {self._metadata.num_rows}"
            raise FormatError(msg, url=self._url)
        self.n_rows: int | None = self._starts[-1]
        self.nbytes: int | None = self._source.fingerprint.size
        widest = max(1, *(self._row_bytes(i, None) for i in range(len(counts))), 1)
        self.row_group = max(1, min(max(counts, default=1), options.get().max_chunk_bytes // widest))

    def _check_schema(self) -> None:
        """Raise an error for columns that cannot be told apart, or of types that cannot be."""
        import pyarrow as pa

        twice = [name for name, count in Counter(self._found.names).items() if count > 1]
        if twice:
            msg = f"the Parquet data have several columns of the name {twice[0]!r}"
            raise FormatError(msg, url=self._url)
        for field in self._found:
            kind = field.type
            while pa.types.is_fixed_size_list(kind):
                if kind.list_size < 0:
                    msg = f"the column {field.name!r} of the Parquet data has lists of {kind.list_size} items"
                    raise FormatError(msg, url=self._url)
                kind = kind.value_type

    @property
    def cached_bytes(self) -> int:
        """Memory of the source."""
        return cached_bytes(self._source)

    @cached_property
    def _leaf_columns(self) -> list[str]:
        """For each stored column, the name of the column of the table that it belongs to."""
        names, found = iter(self._found.names), []
        name = next(names, "")
        for i in range(self._metadata.num_columns):
            path = self._metadata.schema.column(i).path
            while path != name and not path.startswith(f"{name}."):
                following = next(names, None)
                if following is None:
                    msg = f"the column {path!r} belongs to none of the table"
                    raise FormatError(msg, url=self._url)
                name = following
            found.append(name)
        return found

    def _row_bytes(self, group: int, names: Sequence[str] | None) -> int:
        """Bytes of a decoded row: of values of fixed size by their type, of others by what the row group says of them."""
        metadata = self._metadata.row_group(group)
        width = sum(_fixed_bytes(f.type) for f in self._found if names is None or f.name in names)
        loose = {f.name for f in self._found if not _fixed_bytes(f.type) and (names is None or f.name in names)}
        stored = 0
        for i, name in enumerate(self._leaf_columns if loose else ()):
            if name in loose:
                column = metadata.column(i)  # of lists, each value counts, also where equal ones are stored once
                values = column.num_values * _PHYSICAL_BYTES.get(column.physical_type, 0)
                stored += max(0, column.total_uncompressed_size, values)
        return int(max(1, width + 8 * len(loose) + stored // max(1, metadata.num_rows)))

    def _check_size(self, rows: Rows, names: Sequence[str], groups: range) -> int:
        """Compare what rows take up decoded, and pages, which are decoded whole, with the limit; returns the rows of a batch."""
        limit, width = options.get().max_chunk_bytes, max([1, *(self._row_bytes(i, names) for i in groups)])
        size = (rows.stop - rows.start) * width
        for i in groups:
            metadata, wanted = self._metadata.row_group(i), set(names)
            columns = [metadata.column(k) for k, name in enumerate(self._leaf_columns) if name in wanted]
            size = max([size, *(c.total_uncompressed_size for c in columns)])
        if size > limit:
            msg = f"rows {rows.start} to {rows.stop} of {size} bytes, more than {limit} (options.max_chunk_bytes)"
            raise LimitExceeded(msg, url=self._url)
        fixed = all(_fixed_bytes(f.type) for f in self._found if f.name in names)
        return int(min(max(1, min(_BATCH_BYTES, limit) // width), 1 << 20 if fixed else _LOOSE_ROWS))

    def _repeated_texts(self, names: Sequence[str], groups: range) -> list[str]:
        """Columns of texts that are stored once each, and named by number in the rows."""
        import pyarrow as pa

        texts = {f.name for f in self._found if pa.types.is_string(f.type) or pa.types.is_binary(f.type)} & set(names)
        places = [k for k, name in enumerate(self._leaf_columns) if name in texts] if texts else []
        return [
            self._leaf_columns[k]
            for k in places
            if any(self._metadata.row_group(i).column(k).has_dictionary_page for i in groups)
        ]

    def _open_file(self, metadata: Any = None, texts: Sequence[str] = ()) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = pa.PythonFile(SourceFile(self._source), mode="r")
        return pq.ParquetFile(file, metadata=metadata, read_dictionary=list(texts) or None)

    def _corrupt_error(self, error: Exception) -> FormatError:
        return FormatError(f"Parquet data are corrupt or not readable: {error}", url=self._url)

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns in file order."""
        return self._found_columns

    @cached_property
    def _found_columns(self) -> tuple[Column, ...]:
        return tuple(_column_of_field(f) for f in self._found)

    @property
    def schema(self) -> Any:
        """The schema of the record batches."""
        import pyarrow as pa

        return pa.schema([(c.name, c.type) for c in self.columns])

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Nothing; the document says it."""
        return {}

    def count_rows(self) -> int:
        """Return the number of rows."""
        return int(self.n_rows or 0)

    def partitions(self, nbytes: int) -> list[Rows]:
        """Cut at row groups, and those that hold at least twice as much as wanted, or more than the limit, into equal parts."""
        cuts, size, limit = [0], 0, options.get().max_chunk_bytes
        wanted = max(1, min(nbytes, limit))
        for i, (first, last) in enumerate(itertools.pairwise(self._starts)):
            here = (last - first) * self._row_bytes(i, None)
            pieces = max(here // wanted, -(-here // limit))
            if len(cuts) + pieces > _MOST_PARTITIONS:
                msg = f"more than {_MOST_PARTITIONS} partitions of {wanted} bytes"
                raise LimitExceeded(msg, url=self._url)
            if pieces > 1 or size + here > limit:
                cuts.append(first)
                cuts += [first + (last - first) * k // pieces for k in range(1, pieces)]
                size = 0
            size += here if pieces <= 1 else 0
            if pieces > 1 or size >= wanted or i == len(self._starts) - 2:
                cuts.append(last)
                size = 0
        return [Rows(a, b) for a, b in itertools.pairwise(cuts) if b > a] or [Rows(0, 0)]

    def read_rows(self, rows: Rows, columns: Sequence[str] | None = None) -> Any:
        """Read rows as an Arrow record batch.

        Raises
        ------
        LimitExceeded
            If they take up more than ``options.max_chunk_bytes``.
        """
        import pyarrow as pa

        names = [c.name for c in self.columns] if columns is None else list(columns)
        first = max(0, bisect.bisect_right(self._starts, rows.start) - 1)
        groups = range(first, bisect.bisect_left(self._starts, rows.stop))
        batch_rows = self._check_size(rows, names, groups)
        if not names:
            return rows_alone(rows.stop - rows.start)
        schema = pa.schema([self.schema.field(n) for n in names])
        batches = list(self._iterate_batches(rows, names, groups, batch_rows))
        found = pa.Table.from_batches(batches).combine_chunks() if batches else schema.empty_table()
        arrays = [c.combine_chunks() for c in found.columns]
        return pa.RecordBatch.from_arrays(
            [a.chunk(0) if isinstance(a, pa.ChunkedArray) else a for a in arrays], schema=schema
        )

    def _iterate_batches(self, rows: Rows, names: Sequence[str], groups: range, batch_rows: int) -> Iterator[Any]:
        """Record batches of rows; those before the first are decoded and dropped."""
        import pyarrow as pa

        at, size, limit = self._starts[groups.start], 0, options.get().max_chunk_bytes
        try:
            with self._open_file(self._metadata, self._repeated_texts(names, groups)) as file:
                for batch in file.iter_batches(batch_rows, list(groups), columns=names, use_threads=False):
                    low, high = max(0, rows.start - at), min(batch.num_rows, rows.stop - at)
                    at += batch.num_rows
                    if low >= high:
                        continue
                    part = batch.slice(low, high - low).select(names)
                    size += sum(map(decoded_bytes, part.columns))
                    if size > limit:  # texts that are stored once and used very often
                        msg = f"rows {rows.start} to {at} of {size} bytes, more than {limit} (options.max_chunk_bytes)"
                        raise LimitExceeded(msg, url=self._url)
                    yield self._decode_columns(part, at - batch.num_rows + low)
                    if at >= rows.stop:
                        return
        except (ScichunkError, MemoryError):  # some are ValueErrors, or errors of Arrow
            raise
        except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
            raise self._corrupt_error(error) from error
        if at < rows.stop:
            msg = f"the file ends in row {at} of {self.n_rows}"
            raise FormatError(msg, url=self._url)

    def _decode_columns(self, part: Any, first: int) -> Any:
        """Make columns of their types, and look whether texts are texts, which Arrow itself does not."""
        import pyarrow as pa

        columns = []
        for name, column in zip(part.schema.names, part.columns, strict=True):
            kind = self._found.field(name).type
            plain = column if column.type == kind else column.cast(kind)
            stored = column.dictionary if pa.types.is_dictionary(column.type) else column
            if holds_texts(kind) and not (is_valid(stored) or is_valid(plain)):
                row = f"row {first + first_invalid(plain)}, " if not hasattr(kind, "value_type") else ""
                msg = "a text that is no UTF-8"
                raise FormatError(msg, url=self._url, part=f"{row}column {name!r} of the Parquet data")
            columns.append(plain)
        return pa.RecordBatch.from_arrays(columns, names=part.schema.names)

    def read_column(
        self,
        name: str,
        start: int,
        stop: int,
        *,
        raw: bool = False,  # noqa: ARG002  # nothing is scaled
    ) -> npt.NDArray[Any]:
        """Read rows of one column as NumPy values."""
        column = next(c for c in self.columns if c.name == name)
        return to_numpy(self.read_rows(Rows(start, stop), [name]).column(0), column)


def _fixed_bytes(kind: Any) -> int:
    """Bytes of a value of fixed size, 0 for any other."""
    import pyarrow as pa

    count = 1
    while pa.types.is_fixed_size_list(kind):
        count *= kind.list_size
        kind = kind.value_type
    if pa.types.is_primitive(kind):
        return int(max(1, count * kind.bit_width // 8))
    return int(count * kind.byte_width) if pa.types.is_fixed_size_binary(kind) else 0


def _leaves_of(metadata: Any) -> list[Leaf]:
    columns = (metadata.schema.column(i) for i in range(metadata.num_columns))
    return [(c.max_repetition_level, c.max_definition_level, c.physical_type == "BYTE_ARRAY") for c in columns]


def _column_of_field(field: Any) -> Column:
    import pyarrow as pa

    kind = field.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind) or pa.types.is_struct(kind):
        return Column(field.name, kind, np.dtype(object), None)
    cell: list[int] = []
    inner = kind
    while pa.types.is_fixed_size_list(inner):
        cell.append(inner.list_size)
        inner = inner.value_type
    simple = pa.types.is_primitive(inner) and not pa.types.is_temporal(inner)
    dtype = np.dtype(value_type(inner).to_pandas_dtype()) if simple else np.dtype(object)
    return Column(field.name, kind, dtype, tuple(cell))
