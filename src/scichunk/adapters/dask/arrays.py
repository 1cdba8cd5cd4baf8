"""``from_*``: one lazy dask array from one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from scichunk.adapters.lazy import LazyArray
from scichunk.core.files import Place
from scichunk.core.grid import ChunkGrid
from scichunk.core.handles import Handle, open_file
from scichunk.core.planning import resolve_chunks
from scichunk.sources import locate

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Reader", "from_fits", "from_geotiff", "from_jpeg2000", "from_votable", "to_dask"]

Reader = Literal["auto", "indexed", "reference"]


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
    _check_reader(reader)
    place = ("page", page, -1 if overview is None else _checked_overview(overview), reader)
    return _open_array("geotiff", url, place, bands, chunks, storage_options)


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
        file's own; or anything that :func:`dask.array.from_array` takes.
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
    _check_reader(reader)
    which = tuple(hdu) if isinstance(hdu, list) else hdu
    return _open_array("fits", url, ("hdu", which, reader, bool(raw)), None, chunks, storage_options)


def from_jpeg2000(
    url: Any,
    *,
    reduce: int = 0,
    bands: Sequence[int] | None = None,
    chunks: Any = "auto",
    storage_options: Mapping[str, Any] | None = None,
    reader: Reader = "auto",
    expand: bool = False,
) -> da.Array:
    """Read the pixels of a JPEG 2000 image lazily.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes: JP2, JPX, JPH or a raw codestream.
    reduce
        How many times the image is halved: the wavelet's own levels, of which only the bytes are read.
    bands
        Components counted from 0, in the order wanted; None for all.
    chunks
        ``"auto"`` merges whole tiles up to dask's ``array.chunk-size``; ``{}`` or ``"native"`` keeps the file's own (parts of
        2048 x 2048 of larger tiles); or anything that :func:`dask.array.from_array` takes.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    reader
        ``"auto"`` and ``"indexed"`` read tile by tile, ``"reference"`` through glymur.
    expand
        Colours of a palette and channels in the order of their definition, instead of the components as they are stored.

    Returns
    -------
    dask.array.Array
        Shape (band, y, x), the values of a full decode by OpenJPEG; the smallest of (u)int8, 16, 32 that holds the deepest
        component, signed if one is. Components are transformed to colours only where the codestream itself says so.

    Raises
    ------
    FormatError
        If it is no JPEG 2000 file, is corrupt, or cannot be halved so often.
    UnsupportedFeature
        If its components differ in size and ``bands`` does not pick those of one, or nothing here can decode it.
    SourceError
        If it is missing or cannot be read.
    LimitExceeded
        If its header promises sizes beyond :mod:`scichunk.options`.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.from_jpeg2000("T32TQM_B03.jp2", reduce=4).max().compute()  # doctest: +SKIP
    """
    _check_reader(reader)

    def find(file: Any) -> tuple[Place, Sequence[int] | None]:
        found: tuple[Place, Sequence[int] | None] = file.place(bands, int(reduce), reader, expand=bool(expand))
        return found

    return _open_array("jpeg2000", url, find, bands, chunks, storage_options)


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
        the file; or anything that :func:`dask.array.from_array` takes.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.

    Returns
    -------
    dask.array.Array
        Shape ``(row, *cell)``, native byte order; object for texts and for arrays of variable length. Nulls are NaN in floating
        point, the declared value in integers, else the lowest integer (255 of unsigned bytes), with a ``DataWarning``. Rows of
        TABLEDATA and rows of varying size are counted, once.

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
    return _open_array("votable", url, ("column", table, column, False), None, chunks, storage_options)


def _checked_overview(overview: int) -> int:
    if overview < 0:
        msg = f"overview counts from 0, got {overview}"
        raise ValueError(msg)
    return int(overview)


def _check_reader(reader: str) -> None:
    if reader not in {"auto", "indexed", "reference"}:
        msg = f'reader must be "auto", "indexed" or "reference", got {reader!r}'
        raise ValueError(msg)


def _open_array(
    format_name: str,
    url: Any,
    place: Place | Callable[[Any], tuple[Place, Sequence[int] | None]],
    bands: Sequence[int] | None,
    chunks: Any,
    storage_options: Mapping[str, Any] | None,
) -> da.Array:
    """Open an array by its place, or by what finds place and bands in the opened file."""
    location = locate(url, storage_options)
    file = open_file(format_name, location)
    if callable(place):
        place, bands = place(file)
    source = file.array(place)
    picked = None
    if bands is not None:
        picked = tuple(range(source.shape[0])[int(b)] for b in np.atleast_1d(np.asarray(bands, int)))
    lazy = LazyArray(Handle(format_name, location, file.fingerprint, place), picked)
    return to_dask(lazy, chunks)


def to_dask(lazy: LazyArray, chunks: Any) -> da.Array:
    """Wrap a reader: one task a chunk, the reader inlined, no lock."""
    import dask.array as da
    import dask.config
    from dask.base import tokenize
    from dask.utils import parse_bytes

    grid = lazy.source.grid
    if lazy.bands is not None:
        edge = grid.edges[0]
        grid = ChunkGrid(
            lazy.shape, (max(1, min(edge, len(lazy.bands))) if isinstance(edge, int) else 1, *grid.edges[1:])
        )
    target = parse_bytes(dask.config.get("array.chunk-size"))
    found = resolve_chunks(chunks, grid, lazy.dtype.itemsize, target)
    url = lazy.handle.location.url
    stem = url.rstrip("/").rpartition("/")[2].partition("?")[0][:40]
    name = f"{lazy.handle.format}-{stem}-{tokenize(lazy, found)}"
    return da.from_array(
        lazy,
        chunks=cast("Any", found),  # dask's annotation knows only "auto"
        name=name,
        lock=False,
        asarray=False,
        fancy=True,
        inline_array=True,
        meta=np.empty((0,) * len(found), lazy.dtype),
    )
