"""The public functions of FITS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Never

from scichunk.adapters.dask.arrays import Reader, from_file
from scichunk.adapters.dask.frames import read_table
from scichunk.adapters.dask.stacks import from_files
from scichunk.adapters.headers import Errors, Headers
from scichunk.adapters.tables import write_table

if TYPE_CHECKING:
    import os

    import dask.array as da
    import dask.dataframe as dd

__all__ = ["from_fits", "from_fits_files", "read_fits_table", "write_fits_table"]


def from_fits(
    url: Any,
    *,
    hdu: int | str | tuple[str, int] | None = None,
    chunks: Any = "auto",
    raw: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    reader: Reader = "auto",
) -> da.Array:
    """Read the pixels of a FITS image lazily.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes; compressed as a whole (.gz, .bz2, ...) or not.
    hdu
        Number, EXTNAME, or (EXTNAME, EXTVER); None for the first HDU with an image.
    chunks
        ``"auto"`` merges whole tiles, rows or planes up to dask's ``array.chunk-size``; ``{}`` or ``"native"`` keeps the
        file's own; or sizes by names of dimensions, ``"64MiB"``, or
        anything that :func:`dask.array.from_array` takes.
    raw
        Stored values, without BSCALE, BZERO and BLANK.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    reader
        ``"auto"``, ``"indexed"`` (own decoders only) or ``"reference"`` (astropy only).

    Returns
    -------
    dask.array.Array
        Axes in NumPy's order (reversed NAXIS), native byte order; values and type of ``astropy.io.fits``: unsigned
        integers by the BZERO convention, else scaled values in floating point with BLANK as NaN (FITS 4.0, sections 4.4.2.5
        and 5.2.5).

    Raises
    ------
    FormatError
        If it is no FITS file, is corrupt, or has no such image.
    UnsupportedFeature
        If the reader cannot decode it.
    SourceError
        If it is missing or cannot be read.
    LimitExceeded
        If its headers promise sizes beyond :mod:`scichunk.options`.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.from_fits("cube.fits", hdu="SCI").mean(axis=0).compute()  # doctest: +SKIP
    """
    return from_file(
        url, format="fits", hdu=hdu, chunks=chunks, raw=raw, storage_options=storage_options, reader=reader
    )


def from_fits_files(
    urls: Sequence[Any] | str,
    *,
    hdu: int | str | tuple[str, int] | None = None,
    chunks: Any = "auto",
    raw: bool = False,
    headers: Headers = "all",
    errors: Errors = "raise",
    fill: float | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> da.Array:
    """Stack the images of many FITS files of one shape lazily.

    Parameters
    ----------
    urls
        Paths or fsspec URLs, in the order of the result; or a pattern with ``*``.
    hdu, raw
        As in :func:`scichunk.from_fits`.
    chunks
        ``"auto"`` (one file a chunk, or several where they are small), ``"native"`` or ``{}`` (one file a chunk), or
        what dask takes for ``(file, *axes)``.
    headers
        ``"all"`` reads every header now, in parallel, and compares them; ``"first"`` trusts that all files are like the first.
    errors
        What becomes of files that cannot be read or are not aligned: ``"raise"``, or ``"warn"`` and ``"ignore"``, which keep the
        position of such a file and fill it.
    fill
        Value in place of files that cannot be read; by default the declared nodata, else NaN.
    storage_options
        For fsspec.

    Returns
    -------
    dask.array.Array
        Shape ``(file, *axes)``, the axes of the image in NumPy's order.

    Raises
    ------
    FormatError
        If a file is corrupt, or its image not like the first: the message names it and the difference.
    SourceError
        If a file is missing or cannot be read.
    """
    return from_files(
        urls,
        format="fits",
        hdu=hdu,
        raw=raw,
        chunks=chunks,
        headers=headers,
        errors=errors,
        fill=fill,
        storage_options=storage_options,
    )


def read_fits_table(
    url: Any,
    *,
    hdu: int | str | tuple[str, int] | None = None,
    columns: Sequence[str] | None = None,
    blocksize: int | str | None = "64MiB",
    storage_options: Mapping[str, Any] | None = None,
    **others: Never,
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
        Bytes of the file that make one partition, as a number or a text (``"64 MiB"``); None for one partition.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    **others
        None: an unknown keyword is an error that lists the right ones.

    Returns
    -------
    dask.dataframe.DataFrame
        Types of pyarrow. Integers that equal TNULL and undefined logicals are null; arrays are ``fixed_size_list`` (TDIM:
        nested) or ``list``; complex numbers are structs of ``real`` and ``imag``; texts are ``string`` without trailing
        blanks. Scaled columns (TSCAL, TZERO) are float64, unsigned integers by the TZERO convention stay integers
        (FITS 4.0, section 7.3). The index counts the rows of the table, divisions are known.
        :func:`scichunk.columns` has unit and description of the columns.

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
    TypeError, ValueError
        If a keyword is unknown, or has an impossible value.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.read_fits_table("catalogue.fits")[["ra", "dec"]].mean().compute()  # doctest: +SKIP
    """
    return read_table(
        url, format="fits", hdu=hdu, columns=columns, blocksize=blocksize, storage_options=storage_options, **others
    )


def write_fits_table(
    obj: Any,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    extname: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Write a table as a binary table of a FITS file, rows as they come; the file appears when it is complete.

    Parameters
    ----------
    obj
        ``xarray.Dataset`` whose variables share their first dimension, dask or pandas ``DataFrame``, or pyarrow ``Table``.
    path
        A path, or a URL that fsspec can write to. Links are followed, and a file that is replaced keeps its mode.
    overwrite
        Replace a file that is there.
    extname
        EXTNAME of the table; by default that of the attributes.
    storage_options
        Passed to fsspec.

    Raises
    ------
    UnsupportedFeature
        If FITS has no form for the type of a column: lists of texts, dates, decimals, ...
    FormatError
        If a value would be read back as null.
    SourceError
        If the file exists, or cannot be written.
    TypeError
        If ``obj`` is none of these.

    Warns
    -----
    MetadataWarning
        If an attribute has no form in a FITS header.

    Notes
    -----
    Values, nulls and attributes survive: unsigned integers and signed bytes by the TZERO convention, nulls of integers as
    TNULL (that of the source, else a value that does not occur), undefined logicals, complex numbers, arrays of fixed size
    with TDIM, arrays of variable length in the heap. Attributes ``units``, ``description``, ``ucd`` and keywords such as
    ``TLMIN`` go to the columns; ``fits_header`` brings back COMMENT, HISTORY and all other cards. Texts lose trailing
    blanks, as FITS has them (FITS 4.0, section 7.3.3.1).

    Examples
    --------
    >>> import scichunk
    >>> stars = scichunk.read_fits_table("catalogue.fits")  # doctest: +SKIP
    >>> scichunk.write_fits_table(stars[stars.mag < 15], "bright.fits")  # doctest: +SKIP
    """
    write_table("fits", obj, path, overwrite=overwrite, extname=extname, storage_options=storage_options)
