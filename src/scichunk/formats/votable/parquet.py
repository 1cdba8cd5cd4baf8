"""Parquet files that hold the rows of a VOTable, through pyarrow."""

from __future__ import annotations

import bisect
import io
import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.core.tables import Column, Rows
from scichunk.errors import FormatError, ScichunkError
from scichunk.sources import ByteSource, Location
from scichunk.tables.arrow import to_numpy, value_type

__all__ = ["ParquetTable"]


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
    """All rows of a Parquet file; partitions are row groups.

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
            with self._open() as file:
                self._metadata, self._found = file.metadata, file.schema_arrow
        except (OSError, ValueError) as error:
            raise self._corrupt(error) from error
        counts = [self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)]
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
        """Cut at row groups."""
        cuts, size = [0], 0
        for i in range(len(self._starts) - 1):
            size += int(self._metadata.row_group(i).total_byte_size)
            if size >= nbytes or i == len(self._starts) - 2:
                cuts.append(self._starts[i + 1])
                size = 0
        return [Rows(a, b) for a, b in itertools.pairwise(cuts) if b > a] or [Rows(0, 0)]

    def read_rows(self, rows: Rows, columns: Sequence[str] | None = None) -> Any:
        """Read rows as an Arrow record batch."""
        import pyarrow as pa

        names = [c.name for c in self.columns] if columns is None else list(columns)
        first = max(0, bisect.bisect_right(self._starts, rows.start) - 1)
        last = bisect.bisect_left(self._starts, rows.stop)
        try:
            with self._open(self._metadata) as file:
                found = file.read_row_groups(list(range(first, last)), columns=names, use_threads=False)
        except (OSError, ValueError) as error:
            raise self._corrupt(error) from error
        found = found.slice(rows.start - self._starts[first], rows.stop - rows.start).select(names).combine_chunks()
        arrays = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in found.columns]
        if not names:
            return pa.RecordBatch.from_struct_array(pa.array([{}] * (rows.stop - rows.start), pa.struct([])))
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([self.schema.field(n) for n in names]))

    def read_column(self, name: str, start: int, stop: int, *, raw: bool = False) -> npt.NDArray[Any]:
        """Read rows of one column as NumPy values."""
        del raw
        column = next(c for c in self.columns if c.name == name)
        return to_numpy(self.read_rows(Rows(start, stop), [name]).column(0), column)


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
