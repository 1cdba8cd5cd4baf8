"""The public functions of JPEG 2000."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scichunk.adapters.dask.arrays import Reader, from_file

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["from_jpeg2000"]


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
        2048 x 2048 of larger tiles); or sizes by names of dimensions, ``"64MiB"``, or
        anything that :func:`dask.array.from_array` takes.
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
    return from_file(
        url,
        format="jpeg2000",
        reduce=reduce,
        bands=bands,
        chunks=chunks,
        storage_options=storage_options,
        reader=reader,
        expand=expand,
    )
