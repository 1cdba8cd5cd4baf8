"""``read_table``: one lazy dask dataframe from one table, or from the tables of many files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from scichunk import counters, options
from scichunk.adapters.columns import check_alike, find_other_unit, frame_attrs
from scichunk.adapters.dask.filters import Filters, check_filters, filter_rows, nest_filters
from scichunk.adapters.files import Files, work_together
from scichunk.adapters.opening import Opened, expand_names, open_any
from scichunk.core.files import ArrayId, TableFile
from scichunk.core.handles import TableHandle, open_file
from scichunk.core.selectors import names_of
from scichunk.core.tables import Rows, TableSource
from scichunk.errors import DataWarning, FormatError, PerformanceWarning, located
from scichunk.sources import Fingerprint, Location, locate
from scichunk.tables.arrow import without_nan
from scichunk.warned import warn_caller

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd
    import pyarrow as pa

__all__ = ["read_table", "to_frame"]

_LIGHT_BYTES = 1 << 20
_UNBOUNDED = 1 << 62


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
        Names of the columns wanted, each once, in that order; None for all. A selection made later (``df[["ra", "dec"]]``) reaches the
        decoder as well.
    filters
        Rows wanted: ``[("mag", "<", 15), ("flag", "in", [1, 2])]``, all of which must hold; or a list of such lists, of which one
        must, as in :func:`pyarrow.parquet.read_table`. A null compares as False, but is ``not in`` any list.
    blocksize
        Bytes of the file that make one partition, as a number or a text (``"64 MiB"``); None for one partition a file.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    **selectors
        Which table: the words of the format (``hdu``, ``table``, ...); ``FormatSpec.selectors`` lists them.

    Returns
    -------
    dask.dataframe.DataFrame
        Types of pyarrow. The index counts the rows of each file's table. :func:`scichunk.columns` has unit and description of
        the columns.

    Raises
    ------
    FormatError
        If it is of no known format, is corrupt, or has no such table or column; if the tables of many files differ in their columns.
    SourceError
        If it is missing or cannot be read.
    LimitExceeded
        If its headers promise sizes beyond :mod:`scichunk.options`.
    UnsupportedFeature
        If a filter is by a column of complex numbers, or of several values in a cell.
    TypeError, ValueError
        If a selector is not one of the format, or has an impossible value; if no column is named, or one twice; if a column cannot be
        compared with the value of a filter.

    Warns
    -----
    DataWarning
        If a later file has a column in another unit than the first: its values are left as they are.

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
    given = opened.selectors(selectors, "table", "read_table")
    array_id = cast("TableFile", opened.file).find_table(**given)
    size, wanted = _checked_size(blocksize), _Wanted(columns, filters, given)
    if len(names) == 1:
        return _frame_of_file(opened, array_id, wanted, size)
    return _frame_of_files(opened, [locate(n, storage_options) for n in names], array_id, wanted, size)


class _Wanted:
    """Which columns and rows the user wants, of which table."""

    def __init__(self, columns: Sequence[str] | None, filters: Filters, selectors: Mapping[str, Any]) -> None:
        self.columns = names_of("columns", columns)
        self._check_names()
        self.filters = nest_filters(filters)
        self.selectors = selectors

    def _check_names(self) -> None:
        """Raise ValueError for no name, where dask asks a reader for all columns, and for one twice, of which a frame has one."""
        if self.columns is not None and (not self.columns or len({*self.columns}) < len(self.columns)):
            msg = f"columns must name each column that is wanted once, or be None for all, got {self.columns}"
            raise ValueError(msg)

    def check(self, table: TableSource, url: str) -> None:
        """Raise FormatError for names that the table does not have."""
        there = [c.name for c in table.columns]
        if getattr(table, "ignores_case", False):
            self._spell_names(there)
            self._check_names()
        names = [*(self.columns or ()), *(name for group in self.filters or () for name, *_ in group)]
        missing = [n for n in dict.fromkeys(names) if n not in there]
        if missing:
            msg = f"there are no columns {missing}; the table has {', '.join(there)}"
            raise FormatError(msg, url=url)
        if self.filters:
            with located(url=url):
                check_filters(table.schema, self.filters)

    def _spell_names(self, there: Sequence[str]) -> None:
        """Spell names as the table does, where exactly one column differs by upper and lower case alone."""
        alike: dict[str, list[str]] = {}
        for name in there:
            alike.setdefault(name.upper(), []).append(name)

        def own(name: str) -> str:
            found = alike.get(name.upper(), []) if isinstance(name, str) and name not in there else []
            return found[0] if len(found) == 1 else name

        if self.columns is not None:
            self.columns = [own(name) for name in self.columns]
        for group in self.filters or ():
            group[:] = [(own(name), word, value) for name, word, value in group]


def _checked_size(blocksize: Any) -> int | None:
    """Bytes of a partition; None for one partition a file."""
    from dask.utils import parse_bytes

    if blocksize is None:
        return None
    if isinstance(blocksize, bool) or not isinstance(blocksize, str | int | float | np.integer | np.floating):
        msg = f'blocksize must be a number of bytes, a text such as "64 MiB", or None, got {blocksize!r}'
        raise TypeError(msg)
    try:
        size = float(parse_bytes(blocksize) if isinstance(blocksize, str) else blocksize)
    except (ValueError, OverflowError):
        msg = f'blocksize must be a number of bytes, a text such as "64 MiB", or None, got {blocksize!r}'
        raise ValueError(msg) from None
    if not 1 <= size < _UNBOUNDED:
        msg = f"blocksize must be positive, got {blocksize!r}"
        raise ValueError(msg)
    return int(size)


def _cut_table(table: TableSource, size: int | None) -> list[Rows]:
    """Cut a table; where no size is given, what it cuts for other reasons is put together again."""
    parts = table.partitions(_UNBOUNDED if size is None else size)
    if size is not None or len(parts) <= 1:
        return parts
    first, last = parts[0], parts[-1]
    return [Rows(first.start, last.stop, first.first_byte, last.last_byte)]


class ReadRows:
    """Reads one partition of one table as a pandas frame; what travels in the graph: a handle of a few hundred bytes."""

    def __init__(self, handle: TableHandle, filters: Any = None, limits: options.Snapshot | None = None) -> None:
        self.handle, self.filters = handle, filters
        self.limits = options.take_snapshot() if limits is None else limits

    def __call__(self, part: tuple[int, int, int, int], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read rows; dask hands in the columns that are used."""
        with options.frozen(self.limits), counters.reading(self.handle.format, self.handle.location.url):
            return to_frame(self.handle.resolve(), Rows(*part), columns, self.filters)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        h = self.handle
        mark = (h.fingerprint.size, h.fingerprint.tag)
        return ("scichunk", h.format, h.location.key, *mark, h.array_id, self.filters, self.limits)

    def __reduce__(self) -> tuple[Any, ...]:
        h = self.handle
        return _rebuild_reader, (
            h.format,
            h.location,
            (h.fingerprint.size, h.fingerprint.tag),
            h.array_id,
            (self.filters, self.limits),
        )


def _rebuild_reader(
    format_name: str, location: Location, mark: tuple[int, str], array_id: ArrayId, how: Any
) -> ReadRows:
    return ReadRows(TableHandle(format_name, location, Fingerprint(*mark), array_id), *how)


class ReadManyRows:
    """Reads one partition of the tables of many files."""

    def __init__(
        self, format_name: str, files: Files, array_id: ArrayId, filters: Any, limits: options.Snapshot | None = None
    ) -> None:
        self.format_name, self.files, self.array_id, self.filters = format_name, files, array_id, filters
        self.limits = options.take_snapshot() if limits is None else limits

    def __call__(self, part: tuple[int, int, int, int, int], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read rows; the first number says of which file."""
        location, mark = self.files.unpack()[part[0]]
        with options.frozen(self.limits), counters.reading(self.format_name, location.url):
            table = cast("TableFile", open_file(self.format_name, location, mark)).table(self.array_id)
            return to_frame(table, Rows(*part[1:]), columns, self.filters)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return ("scichunk", self.format_name, self.files.__dask_tokenize__(), self.array_id, self.filters, self.limits)

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadManyRows, (self.format_name, self.files, self.array_id, self.filters, self.limits)


def _frame_of_file(opened: Opened, array_id: ArrayId, wanted: _Wanted, size: int | None) -> dd.DataFrame:
    read = ReadRows(TableHandle(opened.format, opened.location, opened.file.fingerprint, array_id), wanted.filters)
    table = read.handle.resolve()
    wanted.check(table, opened.location.url)
    parts = _cut_table(table, size)
    divisions = None if wanted.filters else _find_divisions(parts)
    spans = [(p.start, p.stop, p.first_byte, p.last_byte) for p in parts]
    return _from_map(read, spans, opened, table, columns=wanted.columns, divisions=divisions)


class _Seen(NamedTuple):
    """What looking at one of many files has shown."""

    version: Fingerprint
    parts: Sequence[tuple[int, ...]]
    turned: bool
    """Whether its columns are in another order than those of the first."""
    unit: str
    """The first column in another unit, in words."""


def _frame_of_files(
    opened: Opened, locations: list[Location], array_id: ArrayId, wanted: _Wanted, size: int | None
) -> dd.DataFrame:
    """Make one frame of the tables of many files, which must have the same columns."""
    if not all(isinstance(loc.target, str) for loc in locations):
        msg = "many files are named by paths or URLs"
        raise TypeError(msg)
    first = cast("TableFile", opened.file).table(array_id)
    wanted.check(first, opened.location.url)

    names = [c.name for c in first.columns]

    def look(number: int) -> _Seen:
        location = locations[number]
        file = opened.file if number == 0 else open_file(opened.format, location)
        with located(url=location.url):
            cast("TableFile", file).find_table(**wanted.selectors)  # which warns of tables that a service has cut
            table = cast("TableFile", file).table(array_id)
            check_alike(first, table, opened.location.url)
            parts = _cut_table(table, size)
            turned = [c.name for c in table.columns] != names
        spans = [(number, p.start, p.stop, p.first_byte, p.last_byte) for p in parts]
        return _Seen(file.fingerprint, spans, turned, find_other_unit(first, table))

    found = work_together(look, range(len(locations)), remote=locations[0].local_path is None)
    files = Files.pack(locations, [seen.version for seen in found])
    parts = [part for seen in found for part in seen.parts]
    other = next(((location, seen.unit) for location, seen in zip(locations, found, strict=True) if seen.unit), None)
    if other is not None:
        msg = f"{other[1]}, in the first file, and numbers are put together as they are [{other[0].url}]"
        warn_caller(msg, DataWarning)
    read = ReadManyRows(opened.format, files, array_id, wanted.filters)
    # Without names each file's own order would count, and dask takes columns by their place: for arrays, CSV files and new names.
    columns = names if wanted.columns is None and any(seen.turned for seen in found) else wanted.columns
    return _from_map(read, parts, opened, first, columns=columns)


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
    if opened.location.is_content and len(parts) > 1 and nbytes > _LIGHT_BYTES:
        msg = (
            f"{nbytes >> 20} MiB are given as content, not by name, and travel with each of {len(parts)} partitions to other "
            "processes: give a path or URL where there are some"
        )
        warn_caller(msg, PerformanceWarning)
    stem = opened.location.url.rstrip("/").rpartition("/")[2].partition("?")[0][:40]
    return dd.from_map(
        read,
        parts,
        meta=_Meta(_make_empty(table)),
        divisions=divisions,
        label=f"{opened.format}-{stem}",
        columns=columns,
    )


def _find_divisions(parts: Sequence[Rows]) -> tuple[int, ...] | None:
    """First row of each partition, and the last row; None where row numbers are not known."""
    if any(p.start < 0 or p.stop <= p.start for p in parts):
        return None
    return (*(p.start for p in parts), parts[-1].stop - 1)


def to_frame(table: TableSource, rows: Rows, columns: Sequence[str] | None = None, filters: Any = None) -> pd.DataFrame:
    """Read rows as a pandas frame; the index counts rows of the table, or of the partition where those are not known."""
    first = max(0, rows.start)
    if not filters:
        return _make_frame(without_nan(table.read_rows(rows, columns)), table, first)
    names = [c.name for c in table.columns] if columns is None else list(columns)
    needed = dict.fromkeys([*names, *(name for group in filters for name, *_ in group)])
    batch = without_nan(table.read_rows(rows, list(needed)))
    kept, places = filter_rows(batch, filters)
    return _make_frame(kept.select(names), table, places + first)


class _Meta:
    """An empty frame that dask takes as it is.

    Of a frame itself dask makes a copy, column by column in quadratic time, and digests it for the name of the collection: 8 s of 20,000
    columns. Nobody else holds this one, and the reader's token says all that the names of columns could.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        _register_meta()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Meta, (self.frame,)

    def __dask_tokenize__(self) -> str:
        return "scichunk meta"


@cache
def _register_meta() -> None:
    """Tell dask what the meta of a :class:`_Meta` is: see "Extend Dask DataFrame" in its documentation."""
    from dask.dataframe.dispatch import make_meta_dispatch

    make_meta_dispatch.register(_Meta, lambda meta, index=None: meta.frame)  # noqa: ARG005  # dask gives it by name


def _make_empty(table: TableSource) -> pd.DataFrame:
    """No rows, all types."""
    import pyarrow as pa

    batch = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in table.schema], schema=table.schema)
    return _make_frame(batch, table, 0)


def _make_frame(batch: pa.RecordBatch, table: TableSource, index: Any) -> pd.DataFrame:
    """Make a frame; ``index`` is the number of the first row, or of each."""
    import pandas as pd

    columns = zip(batch.schema.names, batch.columns, strict=True)
    arrays = {name: pd.arrays.ArrowExtensionArray(array) for name, array in columns}
    numbers = pd.RangeIndex(index, index + batch.num_rows) if isinstance(index, int) else pd.Index(index)
    frame = pd.DataFrame(arrays, copy=False, index=numbers)
    frame.attrs = frame_attrs(table, batch.schema.names)
    return frame
