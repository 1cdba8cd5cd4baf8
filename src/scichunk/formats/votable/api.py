"""The public functions of VOTable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Never

from scichunk.adapters.dask.arrays import from_file
from scichunk.adapters.dask.frames import read_table
from scichunk.adapters.opening import open_any
from scichunk.adapters.tables import write_table

if TYPE_CHECKING:
    import os

    import dask.array as da
    import dask.dataframe as dd
    from astropy.io.votable.tree import VOTableFile

__all__ = ["from_votable", "read_votable", "votable_header", "write_votable"]


def from_votable(
    url: Any,
    column: str,
    *,
    table: int | str = 0,
    chunks: Any = "auto",
    storage_options: Mapping[str, Any] | None = None,
) -> da.Array:
    """Read one column of a VOTable lazily.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes; compressed as a whole (.gz, ...) or not.
    column
        Its name.
    table
        Position in document order, counted from 0, or its ID or name.
    chunks
        ``"auto"`` merges groups of rows up to dask's ``array.chunk-size``; ``{}`` or ``"native"`` keeps groups of some MB of
        the file; or sizes by names of dimensions, ``"64MiB"``, or
        anything that :func:`dask.array.from_array` takes.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.

    Returns
    -------
    dask.array.Array
        Shape ``(row, *cell)``, native byte order; object for texts and for arrays of variable length. Nulls are NaN in floating
        point, and the declared value in integers; integers and booleans with nulls for which none is declared become floating point
        with NaN, and a ``DataWarning`` says so. Rows of TABLEDATA and rows of varying size are counted, once.

    Raises
    ------
    FormatError
        If it is no VOTable, is corrupt, or has no such table or column.
    UnsupportedFeature
        If it cannot be decoded.
    SourceError
        If it is missing or cannot be read.
    LimitExceeded
        If it is beyond :mod:`scichunk.options`.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.from_votable("gaia.vot", "parallax").mean().compute()  # doctest: +SKIP
    """
    return from_file(url, format="votable", column=column, table=table, chunks=chunks, storage_options=storage_options)


def read_votable(
    url: Any,
    *,
    table: int | str = 0,
    columns: Sequence[str] | None = None,
    blocksize: int | str | None = "64MiB",
    on_error: str = "raise",
    astropy_compat: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    **others: Never,
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
        Bytes of the file that make one partition, as a number or a text (``"64 MiB"``); None for one partition.
    on_error
        ``"raise"``, or ``"null"`` for values that cannot be read; that also keeps the whole rows of a truncated document.
    astropy_compat
        Lose what astropy loses: zeros for empty integers of old versions, clipped integers, cut and trimmed texts.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    **others
        None: an unknown keyword is an error that lists the right ones.

    Returns
    -------
    dask.dataframe.DataFrame
        Types of pyarrow: nullable integers and booleans, ``string``, ``fixed_size_list`` (nested if there are several axes),
        ``list`` for variable arrays, structs of ``real`` and ``imag``. Nulls are those of VALUES, empty cells, ``?`` and BINARY2
        flags. Divisions are known for rows of fixed size and small files. :func:`scichunk.columns` has the units.

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
    return read_table(
        url,
        format="votable",
        table=table,
        columns=columns,
        blocksize=blocksize,
        on_error=on_error,
        astropy_compat=astropy_compat,
        storage_options=storage_options,
        **others,
    )


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
    file: Any = open_any("votable", url, storage_options).file
    found: VOTableFile = file.header()
    return found


def write_votable(
    obj: Any,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    name: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write a table as a VOTable (BINARY2), rows as they come; the file appears when it is complete.

    Parameters
    ----------
    obj
        ``xarray.Dataset`` whose variables share their first dimension, dask or pandas ``DataFrame``, or pyarrow ``Table``.
    path
        A path, or a URL that fsspec can write to. Links are followed, and a file that is replaced keeps its mode.
    overwrite
        Replace a file that is there.
    name
        Of the table; by default that of the attributes.
    storage_options
        Passed to fsspec.

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
    write_table("votable", obj, path, overwrite=overwrite, name=name, storage_options=storage_options)
