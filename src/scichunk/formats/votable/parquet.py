"""Parquet files that hold the rows of a VOTable, through pyarrow."""

from __future__ import annotations

import bisect
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.core.tables import Column, Rows
from scichunk.errors import FormatError, LimitExceeded, ScichunkError
from scichunk.sources import ByteSource, Location
from scichunk.tables.arrow import to_numpy, value_type

__all__ = ["ParquetTable"]

_MOST_PARTS: Final = 1 << 16
_TEXT: Final = 4
"""Bytes of an offset, which every text has."""
_MANY_ROWS: Final = 1 << 16
"""Rows that pyarrow decodes at once."""
_FEW_ROWS: Final = 1 << 12
"""Likewise, where a dictionary may give each row a text of any length."""


class _File(io.RawIOBase):
    """A source as a file, for pyarrow."""

    def __init__(self, source: ByteSource) -> None:
        self._source, self._at = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._source.fingerprint.size)[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = self._source.fingerprint.size
        stop = end if size < 0 else min(end, self._at + size)
        start, self._at = min(self._at, stop), stop
        return bytes(self._source.read_ranges([start], [stop])[0])


class ParquetTable:
    """All rows of a Parquet file; partitions are row groups, or parts of large ones.

    Raises
    ------
    FormatError
        If it is no Parquet file, or its numbers of rows do not agree.
    """

    reader, codec = "indexed", "row groups"

    def __init__(self, where: Location) -> None:
        self._source = where.open()
        self._url = self._source.url
        try:
            with self._open() as file:
                self._metadata, self._found = file.metadata, file.schema_arrow
        except (OSError, ValueError) as error:
            raise self._corrupt(error) from error
        counts = [self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)]
        if min(counts, default=0) < 0 or sum(counts) != self._metadata.num_rows:
            msg = f"row groups of {sum(counts)} rows in all, but there are {self._metadata.num_rows}"
            raise FormatError(msg, url=self._url)
        self._starts = [0, *np.cumsum(counts, dtype=np.int64).tolist()]
        self.n_rows: int | None = self._metadata.num_rows
        self.nbytes: int | None = self._source.fingerprint.size
        self.row_group = max([1, *counts])

    def _open(self, metadata: Any = None) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = pa.PythonFile(_File(self._source), mode="r")
        return pq.ParquetFile(file, metadata=metadata)

    def _corrupt(self, error: Exception) -> ScichunkError:
        if isinstance(error, ScichunkError):
            return error
        return FormatError(f"Parquet data are corrupt or not readable: {error}", url=self._url)

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns in file order."""
        return self._columns

    @cached_property
    def _columns(self) -> tuple[Column, ...]:
        return tuple(_column(f) for f in self._found)

    @property
    def schema(self) -> Any:
        """Of the record batches."""
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
        """Cut at row groups, and within those of more bytes: as stored, or as they come into memory if that is more."""
        cuts, size = [0], 0
        most = max(1, _MOST_PARTS // max(1, len(self._starts)))
        width = sum(_row_bytes(c) for c in self.columns)
        for i, (start, stop) in enumerate(itertools.pairwise(self._starts)):
            here = max(int(self._metadata.row_group(i).total_byte_size), width * (stop - start))
            if size and size + here > nbytes:
                cuts.append(start)
                size = 0
            parts = min(max(1, -(-here // nbytes)), most, max(1, stop - start))
            cuts += [start + (stop - start) * k // parts for k in range(1, parts)]
            size += here // parts
            if size >= nbytes or stop == self._starts[-1]:
                cuts.append(stop)
                size = 0
        return [Rows(a, b) for a, b in itertools.pairwise(cuts) if b > a] or [Rows(0, 0)]

    def read_rows(self, rows: Rows, columns: Sequence[str] | None = None) -> Any:
        """Read rows as an Arrow record batch.

        Raises
        ------
        FormatError
            If the data are corrupt.
        LimitExceeded
            If a column has more bytes than ``options.max_chunk_bytes`` in these rows, as declared or as it turns out.
        """
        import pyarrow as pa

        names = [c.name for c in self.columns] if columns is None else list(columns)
        count = rows.stop - rows.start
        groups = range(
            max(0, bisect.bisect_right(self._starts, rows.start) - 1), bisect.bisect_left(self._starts, rows.stop)
        )
        self._check_sizes(names, groups, count)
        schema = pa.schema([self.schema.field(n) for n in names])
        if not names:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * count, pa.struct([])))
        parts = self._batches(rows, groups, names) if count else []
        found = (pa.Table.from_batches(parts) if parts else schema.empty_table()).combine_chunks()
        arrays = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in found.columns]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _check_sizes(self, names: Sequence[str], groups: range, count: int) -> None:
        """Refuse what is declared to be too large before pyarrow makes room for it."""
        limit = options.get().max_chunk_bytes
        wanted = [c for c in self.columns if c.name in set(names)]
        size = max((_row_bytes(c) for c in wanted), default=1) * count
        if size > limit:
            msg = f"{count} rows have columns of {size} bytes, more than {limit} (options.max_chunk_bytes)"
            raise LimitExceeded(msg, url=self._url)
        for i in groups:
            group = self._metadata.row_group(i)
            for k in range(group.num_columns):
                column = group.column(k)
                name = column.path_in_schema.partition(".")[0]
                if column.total_uncompressed_size > limit and name in names:
                    msg = f"a column of {column.total_uncompressed_size} bytes, more than {limit} (options.max_chunk_bytes)"
                    raise LimitExceeded(msg, url=self._url, part=f"row group {i}, column {name!r}")

    def _batches(self, rows: Rows, groups: range, names: list[str]) -> list[Any]:
        """Record batches of the rows; what encodings and dictionaries make of few bytes is counted as it comes."""
        limit, found = options.get().max_chunk_bytes, []
        sizes = dict.fromkeys(names, 0)
        at = self._starts[groups.start]
        step = _FEW_ROWS if any(c.dtype == object for c in self.columns if c.name in sizes) else _MANY_ROWS
        try:
            with self._open(self._metadata) as file:
                for batch in file.iter_batches(step, row_groups=list(groups), columns=names, use_threads=False):
                    first, last = max(rows.start - at, 0), min(rows.stop - at, batch.num_rows)
                    at += batch.num_rows
                    if last <= first:
                        continue
                    found.append(batch.slice(first, last - first).select(names))
                    for name, column in zip(names, found[-1].columns, strict=True):
                        sizes[name] += column.nbytes
                        if sizes[name] > limit:
                            msg = (
                                f"more than {limit} bytes in rows {rows.start} to {rows.stop} (options.max_chunk_bytes)"
                            )
                            raise LimitExceeded(msg, url=self._url, part=f"column {name!r}")
                    if at >= rows.stop:
                        break
        except (OSError, ValueError) as error:
            raise self._corrupt(error) from error
        if at < rows.stop:
            msg = f"its row groups end in row {at} of {rows.stop}"
            raise FormatError(msg, url=self._url)
        return found

    def read_column(self, name: str, start: int, stop: int, *, raw: bool = False) -> npt.NDArray[Any]:
        """Read rows of one column as NumPy values."""
        del raw
        column = next(c for c in self.columns if c.name == name)
        return to_numpy(self.read_rows(Rows(start, stop), [name]).column(0), column)


def _row_bytes(column: Column) -> int:
    """Bytes of one row in memory; of texts and arrays of variable length, the least."""
    if column.dtype == object:
        return _TEXT
    return max(1, math.prod(column.cell or ()) * column.dtype.itemsize)


def _column(field: Any) -> Column:
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
