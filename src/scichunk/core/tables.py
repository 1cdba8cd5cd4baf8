"""What every format hands over of a table: columns with their types, partitions, Arrow batches, NumPy columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Column", "Rows", "TableSource", "TableStream", "unique_names"]


@dataclass(frozen=True, slots=True)
class Rows:
    """One partition: rows ``[start, stop)``; or, where row numbers need a scan, -1 and -1 and a span of bytes."""

    start: int
    stop: int
    first_byte: int = 0
    last_byte: int = 0

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its Arrow type (frames) and its NumPy form (arrays)."""

    name: str
    """Unique within the table."""
    type: pa.DataType
    """In record batches, see :func:`scichunk.tables.arrow.arrow_type`."""
    dtype: np.dtype[Any]
    """In NumPy form, native byte order; object for cells of variable length (arrays, or str)."""
    cell: tuple[int, ...] | None = ()
    """Shape of a cell in NumPy's order: ``()`` one value (or text), None of variable length."""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    """What the file says of it: ``units``, ``description``, ``ucd``, ..."""
    encoding: Mapping[str, Any] = field(default_factory=dict)
    """How it is stored."""
    null: Any = None
    """Value that stands for null in the NumPy form, if the file declares one: ``_FillValue``."""
    raw: Column | None = None
    """Stored values, where the format itself says how they are scaled."""


class TableSource(Protocol):
    """The one thing that adapters see of a table in a file. Safe in threads."""

    @property
    def columns(self) -> Sequence[Column]:
        """All columns in file order."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The schema of the batches that :meth:`read_rows` returns without a projection."""
        ...

    @property
    def n_rows(self) -> int | None:
        """Number of rows if it is known without a scan."""
        ...

    @property
    def row_group(self) -> int:
        """Rows that are read and decoded together: the native chunk of a column."""
        ...

    @property
    def nbytes(self) -> int | None:
        """Encoded bytes of all rows, if known."""
        ...

    @property
    def codec(self) -> str:
        """How the rows are encoded, for people."""
        ...

    @property
    def reader(self) -> str:
        """``"indexed"``, or ``"reference: "`` and why."""
        ...

    @property
    def attrs(self) -> Mapping[str, Any]:
        """What the file says of the table as a whole."""
        ...

    def count_rows(self) -> int:
        """Return the exact number of rows; may scan the file once."""
        ...

    def partitions(self, nbytes: int) -> list[Rows]:
        """Cut the table into partitions of about ``nbytes`` encoded bytes: at least one, cheap, in order."""
        ...

    def read_rows(self, rows: Rows, columns: Sequence[str] | None = None) -> pa.RecordBatch:
        """Read a partition, or any rows where row numbers are known; only the columns named, in their order.

        Raises
        ------
        FormatError
            If the bytes are corrupt; ``part`` says where.
        SourceError
            If they cannot be fetched.
        """
        ...

    def read_column(self, name: str, start: int, stop: int, *, raw: bool = False) -> npt.NDArray[Any]:
        """Read rows of one column in NumPy form, shape ``(stop - start, *cell)``; ``raw``: as stored (``Column.raw``)."""
        ...


@dataclass(frozen=True, slots=True)
class TableStream:
    """A table on its way into a file."""

    columns: tuple[Column, ...]
    """Types of the batches; ``null`` is used where a format needs a value for it."""
    batches: Iterator[pa.RecordBatch]
    """All rows in order."""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    n_rows: int | None = None
    """If known beforehand."""


def unique_names(names: Sequence[str]) -> list[str]:
    """Name columns: ``colN`` (from 1) where there is no name, ``_2``, ``_3``... where one comes again.

    Examples
    --------
    >>> unique_names(["x", "", "x"])
    ['x', 'col2', 'x_2']
    """
    wanted = [name or f"col{i}" for i, name in enumerate(names, 1)]
    taken = set(wanted)
    found: list[str] = []
    seen: dict[str, int] = {}
    for name in wanted:
        count = seen.get(name, 0) + 1
        label = name
        if count > 1:
            while (label := f"{name}_{count}") in taken:
                count += 1
            taken.add(label)
        seen[name] = count
        found.append(label)
    return found
