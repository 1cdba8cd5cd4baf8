"""``read_table``: one lazy dask dataframe from one table, or from the tables of many files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scichunk import options
from scichunk.adapters.files import Files, together
from scichunk.adapters.opening import Opened, expand_names, open_any
from scichunk.core.files import Place, TableFile
from scichunk.core.handles import TableHandle, open_file
from scichunk.core.tables import Rows, TableSource
from scichunk.errors import FormatError, PerformanceWarning, located
from scichunk.sources import Fingerprint, Location, locate

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd
    import pyarrow as pa

__all__ = ["COLUMNS", "read_table", "to_frame"]

COLUMNS = "columns"
"""Key of ``DataFrame.attrs`` that holds the attributes of columns by name: units, description, ..."""
_LIGHT = 1 << 20
_OPERATORS = ("=", "==", "!=", "<", "<=", ">", ">=", "in", "not in")
Filters = Sequence[Any] | None
"""``[(column, operator, value), ...]``, all of which must hold; or a list of such lists, of which one must."""


def read_table(
    url: Any,
    *,
    format: str | None = None,  # noqa: A002  # the word users know
    columns: Sequence[str] | None = None,
    filters: Filters = None,
    blocksize: int | str | None = "64MiB",
    storage_options: Mapping[str, Any] | None = None,
    **selectors: Any,
) -> dd.DataFrame:
    """Read a table of a file of any format lazily, or the tables of many files as one.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes; or a list of paths or URLs, or a pattern with ``*``.
    format
        Name of the format, see :func:`scichunk.list_formats`; by default found by the first bytes of the file, then by its name.
    columns
        Names of the columns wanted, in that order; None for all. A selection made later (``df[["ra", "dec"]]``) reaches the
        decoder as well.
    filters
        Rows wanted: ``[("mag", "<", 15), ("flag", "in", [1, 2])]``, all of which must hold; or a list of such lists, of which one
        must, as in :func:`pyarrow.parquet.read_table`. A null compares as False.
    blocksize
        Bytes of the file that make one partition; None for one partition a file.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    **selectors
        Which table: the words of the format (``hdu``, ``table``, ...); ``FormatSpec.selectors`` lists them.

    Returns
    -------
    dask.dataframe.DataFrame
        Types of pyarrow. The index counts the rows of each file's table. ``df.attrs["columns"]`` of computed frames has unit and
        description of the columns.

    Raises
    ------
    FormatError
        If it is of no known format, is corrupt, or has no such table or column; if the tables of many files differ in their columns.
    SourceError
        If it is missing or cannot be read.
    LimitExceeded
        If its headers promise sizes beyond :mod:`scichunk.options`.
    TypeError, ValueError
        If a selector is not one of the format, or has an impossible value.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.read_table("night_*.fits", columns=["ra", "mag"], filters=[("mag", "<", 15)]).compute()  # doctest: +SKIP
    """
    several = isinstance(url, str | os.PathLike | list | tuple | set | frozenset)
    names = expand_names(url, storage_options) if several else [url]
    if not names:
        msg = "no files to read"
        raise ValueError(msg)
    opened = open_any(format, names[0], storage_options)
    if not hasattr(opened.file, "find_table"):  # files come in a guard, through which a protocol does not look
        msg = f"files of the format {opened.format} hold no tables: scichunk.from_file reads arrays"
        raise FormatError(msg, url=opened.location.url)
    place = cast("TableFile", opened.file).find_table(**opened.selectors(selectors, "table", "read_table"))
    size = _checked_size(blocksize)
    if len(names) == 1:
        return _one(opened, place, _Wanted(columns, filters), size)
    return _many(opened, [locate(n, storage_options) for n in names], place, _Wanted(columns, filters), size)


class _Wanted:
    """Which columns and rows the user wants."""

    def __init__(self, columns: Sequence[str] | None, filters: Filters) -> None:
        self.columns = [columns] if isinstance(columns, str) else None if columns is None else list(columns)
        self.filters = _nested(filters)

    def check(self, table: TableSource, url: str) -> None:
        """Raise FormatError for names that the table does not have."""
        there = [c.name for c in table.columns]
        names = [*(self.columns or ()), *(name for group in self.filters or () for name, *_ in group)]
        missing = [n for n in dict.fromkeys(names) if n not in there]
        if missing:
            msg = f"there are no columns {missing}; the table has {', '.join(there)}"
            raise FormatError(msg, url=url)


def _nested(filters: Filters) -> list[list[tuple[str, str, Any]]] | None:
    """Filters as a list of lists."""
    if not filters:
        return None
    found: list[list[tuple[str, str, Any]]]
    try:
        groups: Any = [filters] if isinstance(filters[0], tuple) or isinstance(filters[0][0], str) else filters
        found = [[(name, word, value) for name, word, value in group] for group in groups]
    except (TypeError, ValueError, IndexError):
        found = [[("", "", None)]]  # no word of these, hence told below
    if any(not isinstance(name, str) or word not in _OPERATORS for group in found for name, word, _ in group):
        words = ", ".join(_OPERATORS)
        msg = f'filters are [(column, operator, value), ...], for example [("mag", "<", 15)], with {words}; got {filters!r}'
        raise ValueError(msg)
    return found


def _checked_size(blocksize: int | str | None) -> int:
    from dask.utils import parse_bytes

    if blocksize is None:
        return 1 << 62
    size = int(parse_bytes(blocksize))
    if size < 1:
        msg = f"blocksize must be positive, got {blocksize!r}"
        raise ValueError(msg)
    return size


class ColumnAttrs(dict[str, dict[str, Any]]):
    """Attributes of columns by name; pandas copies ``attrs`` deeply with every selection, so these stay one object."""

    def __deepcopy__(self, memo: dict[int, Any]) -> ColumnAttrs:
        return self


class ReadRows:
    """Reads one partition of one table as a pandas frame; what travels in the graph: a handle of a few hundred bytes."""

    def __init__(self, handle: TableHandle, filters: Any = None, limits: options.Snapshot | None = None) -> None:
        self.handle, self.filters = handle, filters
        self.limits = options.snapshot() if limits is None else limits

    def __call__(self, part: tuple[int, int, int, int], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read rows; dask hands in the columns that are used."""
        with options.frozen(self.limits):
            return to_frame(self.handle.resolve(), Rows(*part), columns, self.filters)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        h = self.handle
        mark = (h.fingerprint.size, h.fingerprint.tag)
        return ("scichunk", h.format, h.location.key, *mark, h.place, self.filters, self.limits)

    def __reduce__(self) -> tuple[Any, ...]:
        h = self.handle
        return _rebuild, (
            h.format,
            h.location,
            (h.fingerprint.size, h.fingerprint.tag),
            h.place,
            (self.filters, self.limits),
        )


def _rebuild(format_name: str, location: Location, mark: tuple[int, str], place: Place, how: Any) -> ReadRows:
    return ReadRows(TableHandle(format_name, location, Fingerprint(*mark), place), *how)


class ReadManyRows:
    """Reads one partition of the tables of many files."""

    def __init__(
        self, format_name: str, files: Files, place: Place, filters: Any, limits: options.Snapshot | None = None
    ) -> None:
        self.format_name, self.files, self.place, self.filters = format_name, files, place, filters
        self.limits = options.snapshot() if limits is None else limits
        self._unpacked: list[tuple[Location, Fingerprint | None]] | None = None

    def __call__(self, part: tuple[int, int, int, int, int], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read rows; the first number says of which file."""
        if self._unpacked is None:
            self._unpacked = self.files.unpack()
        location, mark = self._unpacked[part[0]]
        with options.frozen(self.limits):
            table = cast("TableFile", open_file(self.format_name, location, mark)).table(self.place)
            return to_frame(table, Rows(*part[1:]), columns, self.filters)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return ("scichunk", self.format_name, self.files.__dask_tokenize__(), self.place, self.filters, self.limits)

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadManyRows, (self.format_name, self.files, self.place, self.filters, self.limits)


def _one(opened: Opened, place: Place, wanted: _Wanted, size: int) -> dd.DataFrame:
    read = ReadRows(TableHandle(opened.format, opened.location, opened.file.fingerprint, place), wanted.filters)
    table = read.handle.resolve()
    wanted.check(table, opened.location.url)
    parts = table.partitions(size)
    divisions = None if wanted.filters else _divisions(parts)
    spans = [(p.start, p.stop, p.first_byte, p.last_byte) for p in parts]
    return _from_map(read, spans, opened, table, columns=wanted.columns, divisions=divisions)


def _many(opened: Opened, locations: list[Location], place: Place, wanted: _Wanted, size: int) -> dd.DataFrame:
    if not all(isinstance(loc.target, str) for loc in locations):
        msg = "many files are named by paths or URLs"
        raise TypeError(msg)
    first = cast("TableFile", opened.file).table(place)
    wanted.check(first, opened.location.url)

    def look(number: int) -> tuple[Fingerprint, list[tuple[int, ...]]]:
        location = locations[number]
        file = opened.file if number == 0 else open_file(opened.format, location)
        with located(url=location.url):
            table = cast("TableFile", file).table(place)
            _check_alike(first, table, opened.location.url)
            parts = table.partitions(size)
        return file.fingerprint, [(number, p.start, p.stop, p.first_byte, p.last_byte) for p in parts]

    found = together(look, range(len(locations)), remote=locations[0].local_path is None)
    files = Files.pack(locations, [mark for mark, _ in found])
    parts = [part for _, some in found for part in some]
    read = ReadManyRows(opened.format, files, place, wanted.filters)
    return _from_map(read, parts, opened, first, columns=wanted.columns)


def _from_map(
    read: Any,
    parts: Sequence[Any],
    opened: Opened,
    table: TableSource,
    *,
    columns: Sequence[str] | None,
    divisions: tuple[int, ...] | None = None,
) -> dd.DataFrame:
    """Make a dataframe with one partition for each of ``parts``, which ``read`` is called with."""
    import dask.dataframe as dd

    nbytes = opened.file.fingerprint.size
    if opened.location.is_content and len(parts) > 1 and nbytes > _LIGHT:
        msg = (
            f"{nbytes >> 20} MiB are given as content, not by name, and travel with each of {len(parts)} partitions to other "
            "processes: give a path or URL where there are some"
        )
        warnings.warn(msg, PerformanceWarning, stacklevel=4)
    stem = opened.location.url.rstrip("/").rpartition("/")[2].partition("?")[0][:40]
    return dd.from_map(
        read,
        parts,
        meta=_empty(table),
        divisions=divisions,
        label=f"{opened.format}-{stem}",
        columns=columns,
    )


def _check_alike(first: TableSource, other: TableSource, first_url: str) -> None:
    """Raise FormatError unless two tables have the same columns, in any order."""
    mine, theirs = ({c.name: str(c.type) for c in t.columns} for t in (first, other))
    for name in dict.fromkeys([*mine, *theirs]):
        if mine.get(name) != theirs.get(name):
            kinds = theirs.get(name, "missing"), mine.get(name, "missing")
            msg = f"its table is not like that of the first file, {first_url}: the column {name!r} is {kinds[0]}, there {kinds[1]}"
            raise FormatError(msg)


def _divisions(parts: Sequence[Rows]) -> tuple[int, ...] | None:
    """First row of each partition, and the last row; None where row numbers are not known."""
    if any(p.start < 0 or p.stop <= p.start for p in parts):
        return None
    return (*(p.start for p in parts), parts[-1].stop - 1)


def to_frame(table: TableSource, rows: Rows, columns: Sequence[str] | None = None, filters: Any = None) -> pd.DataFrame:
    """Read rows as a pandas frame; the index counts rows of the table, or of the partition where those are not known."""
    first = max(0, rows.start)
    if not filters:
        return _frame(table.read_rows(rows, columns), table, first)
    import pyarrow as pa
    from pyarrow.parquet import filters_to_expression

    names = [c.name for c in table.columns] if columns is None else list(columns)
    needed = dict.fromkeys([*names, *(name for group in filters for name, *_ in group)])
    batch = table.read_rows(rows, list(needed))
    numbers = pa.array(np.arange(first, first + batch.num_rows))
    kept = pa.Table.from_batches([batch]).append_column(_ROW, numbers).filter(filters_to_expression(filters))
    index = kept.column(_ROW).to_numpy()
    kept = kept.select(names).combine_chunks()
    arrays = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in kept.columns]
    return _frame(pa.RecordBatch.from_arrays(arrays, schema=kept.schema), table, index)


_ROW = "number of the row"


def _empty(table: TableSource) -> pd.DataFrame:
    """No rows, all types."""
    import pyarrow as pa

    batch = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in table.schema], schema=table.schema)
    return _frame(batch, table, 0)


def _frame(batch: pa.RecordBatch, table: TableSource, index: Any) -> pd.DataFrame:
    """Make a frame; ``index`` is the number of the first row, or of each."""
    import pandas as pd

    columns = zip(batch.schema.names, batch.columns, strict=True)
    arrays = {name: pd.arrays.ArrowExtensionArray(array) for name, array in columns}
    numbers = pd.RangeIndex(index, index + batch.num_rows) if isinstance(index, int) else pd.Index(index)
    frame = pd.DataFrame(arrays, copy=False, index=numbers)
    wanted = set(batch.schema.names)
    attrs = {c.name: {k: _plain(v) for k, v in c.attrs.items()} for c in table.columns if c.name in wanted and c.attrs}
    frame.attrs = {COLUMNS: ColumnAttrs(attrs)}
    return frame


def _plain(value: Any) -> Any:
    """Values that pandas can compare when it merges the attributes of frames."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
