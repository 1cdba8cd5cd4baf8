"""``read_*``: one lazy dask dataframe from one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scichunk import options
from scichunk.core.handles import TableHandle, open_file
from scichunk.core.tables import Rows, TableSource
from scichunk.errors import FormatError
from scichunk.sources import Fingerprint, Location, locate

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd
    import pyarrow as pa

__all__ = ["COLUMNS", "read_fits_table", "read_votable", "to_frame"]

COLUMNS = "columns"
"""Key of ``DataFrame.attrs`` that holds the attributes of columns by name: units, description, ..."""


def read_fits_table(
    url: Any,
    *,
    hdu: int | str | tuple[str, int] | None = None,
    columns: Sequence[str] | None = None,
    blocksize: int | str = "64MiB",
    storage_options: Mapping[str, Any] | None = None,
) -> dd.DataFrame:
    """Read a table of a FITS file lazily: binary, ASCII or tile-compressed.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes; compressed as a whole (.gz, .bz2, ...) or not.
    hdu
        Number, EXTNAME, or (EXTNAME, EXTVER); None for the first table.
    columns
        Names of the columns wanted, in that order; None for all. A selection made later (``df[["ra", "dec"]]``) reaches the
        decoder as well.
    blocksize
        Bytes of the file that make one partition.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.

    Returns
    -------
    dask.dataframe.DataFrame
        Types of pyarrow. Integers that equal TNULL and undefined logicals are null; arrays are ``fixed_size_list`` (TDIM:
        nested) or ``list``; complex numbers are structs of ``real`` and ``imag``; texts are ``string`` without trailing
        blanks. Scaled columns (TSCAL, TZERO) are float64, unsigned integers by the TZERO convention stay integers
        (FITS 4.0, section 7.3). The index counts the rows of the table, divisions are known.
        ``df.attrs["columns"]`` has unit and description of the columns.

    Raises
    ------
    FormatError
        If it is no FITS file, is corrupt, or has no such table or column.
    UnsupportedFeature
        If the table is stored in a way that is not known.
    SourceError
        If it is missing or cannot be read.
    LimitExceeded
        If its headers promise sizes beyond :mod:`scichunk.options`.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.read_fits_table("catalogue.fits")[["ra", "dec"]].mean().compute()  # doctest: +SKIP
    """
    which = tuple(hdu) if isinstance(hdu, list) else hdu
    return _read_table("fits", url, ("table", which), columns, blocksize, storage_options)


def read_votable(
    url: Any,
    *,
    table: int | str = 0,
    columns: Sequence[str] | None = None,
    blocksize: int | str = "64MiB",
    on_error: str = "raise",
    astropy_compat: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> dd.DataFrame:
    """Read a table of a VOTable document lazily, in any serialization.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes; compressed as a whole (.gz, ...) or not.
    table
        Position in document order, counted from 0, or its ID or name.
    columns
        Names of the columns wanted, in that order; None for all. A selection made later (``df[["ra", "dec"]]``) reaches the
        decoder as well.
    blocksize
        Bytes of the file that make one partition.
    on_error
        ``"raise"``, or ``"null"`` for values that cannot be read; that also keeps the whole rows of a truncated document.
    astropy_compat
        Lose what astropy loses: zeros for empty integers of old versions, clipped integers, cut and trimmed texts.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.

    Returns
    -------
    dask.dataframe.DataFrame
        Types of pyarrow: nullable integers and booleans, ``string``, ``fixed_size_list`` (nested if there are several axes),
        ``list`` for variable arrays, structs of ``real`` and ``imag``. Nulls are those of VALUES, empty cells, ``?`` and BINARY2
        flags. Divisions are known for rows of fixed size and small files. ``attrs["columns"]`` of pandas frames has the units.

    Raises
    ------
    FormatError
        If it is no VOTable, is corrupt, declares entities, or has no such table or column.
    UnsupportedFeature
        If a datatype is not known, or the data lie elsewhere (``options.follow_hrefs``).
    SourceError
        If it is missing or cannot be read.
    LimitExceeded
        If it is beyond :mod:`scichunk.options`.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.read_votable("gaia.vot")[["ra", "dec"]].mean().compute()  # doctest: +SKIP
    """
    if on_error not in {"raise", "null"}:
        msg = f'on_error must be "raise" or "null", got {on_error!r}'
        raise ValueError(msg)
    place = ("table", table, on_error, bool(astropy_compat))
    return _read_table("votable", url, place, columns, blocksize, storage_options)


class ColumnAttrs(dict[str, dict[str, Any]]):
    """Attributes of columns by name; pandas copies ``attrs`` deeply with every selection, so these stay one object."""

    def __deepcopy__(self, memo: dict[int, Any]) -> ColumnAttrs:
        return self


class ReadRows:
    """Reads one partition as a pandas frame; what travels in the graph: a handle of a few hundred bytes.

    Parameters
    ----------
    handle
        Which table of which file.
    limits
        The options that hold while it reads; None for those in force now.
    """

    def __init__(self, handle: TableHandle, limits: options.Snapshot | None = None) -> None:
        self.handle = handle
        self.limits = options.snapshot() if limits is None else limits

    def __call__(self, part: tuple[int, int, int, int], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read rows; dask hands in the columns that are used."""
        with options.frozen(self.limits):
            return to_frame(self.handle.resolve(), Rows(*part), columns)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        h = self.handle
        token = ("scichunk", h.format, h.location.key, h.fingerprint.size, h.fingerprint.tag, h.place)
        return (*token, self.limits) if self.limits else token

    def __reduce__(self) -> tuple[Any, ...]:
        h = self.handle
        return _rebuild, (h.format, h.location, (h.fingerprint.size, h.fingerprint.tag), h.place, self.limits)


def _rebuild(
    format_name: str,
    location: Location,
    mark: tuple[int, str],
    place: tuple[Any, ...],
    limits: options.Snapshot = (),
) -> ReadRows:
    return ReadRows(TableHandle(format_name, location, Fingerprint(*mark), place), limits)


def _read_table(
    format_name: str,
    url: Any,
    place: tuple[Any, ...],
    columns: Sequence[str] | None,
    blocksize: int | str,
    storage_options: Mapping[str, Any] | None,
) -> dd.DataFrame:
    """Make the frame of any format's table."""
    import dask.dataframe as dd
    from dask.utils import parse_bytes

    location = locate(url, storage_options)
    file = open_file(format_name, location)
    read = ReadRows(TableHandle(format_name, location, file.fingerprint, place))
    table = read.handle.resolve()
    wanted = _checked(table, columns, location.url)
    size = int(parse_bytes(blocksize))
    if size < 1:
        msg = f"blocksize must be positive, got {blocksize!r}"
        raise ValueError(msg)
    parts = table.partitions(size)
    stem = location.url.rstrip("/").rpartition("/")[2].partition("?")[0][:40]
    return dd.from_map(
        read,
        [(p.start, p.stop, p.first_byte, p.last_byte) for p in parts],
        meta=_empty(table, None),
        divisions=_divisions(parts),
        label=f"{format_name}-{stem}",
        columns=wanted,
    )


def _checked(table: TableSource, columns: Sequence[str] | None, url: str) -> list[str] | None:
    if columns is None:
        return None
    wanted = [columns] if isinstance(columns, str) else list(columns)
    there = {c.name for c in table.columns}
    missing = [c for c in wanted if c not in there]
    if missing:
        msg = f"there are no columns {missing}; the table has {', '.join(c.name for c in table.columns)}"
        raise FormatError(msg, url=url)
    return wanted


def _divisions(parts: Sequence[Rows]) -> tuple[int, ...] | None:
    """First row of each partition, and the last row; None where row numbers are not known."""
    if any(p.start < 0 or p.stop <= p.start for p in parts):
        return None
    return (*(p.start for p in parts), parts[-1].stop - 1)


def to_frame(table: TableSource, rows: Rows, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read rows as a pandas frame; the index counts rows of the table, or of the partition where those are not known."""
    batch = table.read_rows(rows, columns)
    return _frame(batch, table, max(0, rows.start))


def _empty(table: TableSource, columns: Sequence[str] | None) -> pd.DataFrame:
    """No rows, all types."""
    import pyarrow as pa

    schema = table.schema if columns is None else pa.schema([table.schema.field(c) for c in columns])
    batch = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
    return _frame(batch, table, 0)


def _frame(batch: pa.RecordBatch, table: TableSource, first: int) -> pd.DataFrame:
    import pandas as pd

    columns = zip(batch.schema.names, batch.columns, strict=True)
    arrays = {name: pd.arrays.ArrowExtensionArray(array) for name, array in columns}
    frame = pd.DataFrame(arrays, copy=False, index=pd.RangeIndex(first, first + batch.num_rows))
    wanted = set(batch.schema.names)
    said = {c.name: {k: _plain(v) for k, v in c.attrs.items()} for c in table.columns if c.name in wanted and c.attrs}
    frame.attrs = {COLUMNS: ColumnAttrs(said)}
    return frame


def _plain(value: Any) -> Any:
    """Values that pandas can compare when it merges the attributes of frames."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
