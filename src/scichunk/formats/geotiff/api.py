"""The public functions of GeoTIFF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scichunk.adapters.dask.arrays import Reader, from_file
from scichunk.adapters.dask.stacks import from_files
from scichunk.adapters.headers import Errors, Headers

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["from_geotiff", "from_geotiffs"]


def from_geotiff(
    url: Any,
    *,
    page: int = 0,
    overview: int | None = None,
    bands: Sequence[int] | None = None,
    chunks: Any = "auto",
    storage_options: Mapping[str, Any] | None = None,
    reader: Reader = "auto",
) -> da.Array:
    """Read the pixels of a GeoTIFF lazily.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes.
    page
        Which image of a multi-page file, counted from 0; overviews and masks do not count.
    overview
        Which reduced image, 0 being the first; None for full resolution.
    bands
        Positions counted from 0, in the order wanted; None for all.
    chunks
        ``"auto"`` merges whole tiles up to dask's ``array.chunk-size``; ``{}`` or ``"native"`` keeps the file's own; or
        sizes by names of dimensions, ``"64MiB"``, or
        anything that :func:`dask.array.from_array` takes.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    reader
        ``"auto"``, ``"indexed"`` (own decoders only) or ``"reference"`` (rasterio only).

    Returns
    -------
    dask.array.Array
        Shape (band, y, x), the file's values and type in native byte order, equal to ``rasterio.open(url).read()``.

    Raises
    ------
    FormatError
        If it is no TIFF file, is corrupt, or has no such page or overview.
    UnsupportedFeature
        If the reader cannot decode it.
    SourceError
        If it is missing or cannot be read.
    LimitExceeded
        If its header promises sizes beyond :mod:`scichunk.options`.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.from_geotiff("scene.tif", bands=[3, 2, 1]).mean(axis=(1, 2)).compute()  # doctest: +SKIP
    """
    return from_file(
        url,
        format="geotiff",
        page=page,
        overview=overview,
        bands=bands,
        chunks=chunks,
        storage_options=storage_options,
        reader=reader,
    )


def from_geotiffs(
    urls: Sequence[Any] | str,
    *,
    page: int = 0,
    overview: int | None = None,
    chunks: Any = "auto",
    headers: Headers = "all",
    errors: Errors = "raise",
    fill: float | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> da.Array:
    """Stack the pixels of many GeoTIFF files of one shape lazily.

    Parameters
    ----------
    urls
        Paths or fsspec URLs, in the order of the result; or a pattern with ``*``.
    page, overview
        As in :func:`scichunk.from_geotiff`.
    chunks
        ``"auto"`` (one file a chunk, or several where they are small), ``"native"`` or ``{}`` (one file a chunk), or
        what dask takes for (file, band, y, x).
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
        Shape (file, band, y, x).

    Raises
    ------
    FormatError
        If a file is corrupt, or not aligned with the first: the message names it and the difference.
    SourceError
        If a file is missing or cannot be read.
    """
    return from_files(
        urls,
        format="geotiff",
        page=page,
        overview=overview,
        chunks=chunks,
        headers=headers,
        errors=errors,
        fill=fill,
        storage_options=storage_options,
    )
