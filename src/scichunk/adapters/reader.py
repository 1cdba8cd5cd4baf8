"""``reader``: windows of an array as NumPy arrays, without Dask and xarray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scichunk.adapters.lazy import LazyArray
from scichunk.adapters.opening import dims_of, lazy_array, open_any
from scichunk.core.handles import Share

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["WindowReader", "lazy_of", "reader"]

Array = npt.NDArray[Any]


def reader(
    url: Any,
    *,
    format: str | None = None,  # noqa: A002  # the word users know
    storage_options: Mapping[str, Any] | None = None,
    **selectors: Any,
) -> WindowReader:
    """Open an array of a file of any format for reading windows of it, without Dask and xarray.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes.
    format
        Name of the format, see :func:`scichunk.list_formats`; by default found by the first bytes of the file, then by its name.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    **selectors
        Which array: the words of the format (``page``, ``hdu``, ``column``, ``bands``, ``reader``, ...), as for :func:`scichunk.from_file`.

    Returns
    -------
    WindowReader
        Indexed like a NumPy array; many threads may read from one at once, and it pickles to a few hundred bytes.

    Raises
    ------
    FormatError
        If it is of no known format, is corrupt, or has no such array.
    UnsupportedFeature
        If the reader cannot decode it.
    SourceError
        If it is missing or cannot be read.
    LimitExceeded
        If its header promises sizes beyond :mod:`scichunk.options`.
    TypeError, ValueError
        If a selector is not one of the format, or has an impossible value.

    Examples
    --------
    >>> import scichunk
    >>> with scichunk.reader("scene.tif", bands=[2, 1, 0]) as scene:  # doctest: +SKIP
    ...     patch = scene[:, 512:768, 1024:1280]
    """
    opened = open_any(format, url, storage_options)
    return WindowReader(lazy_array(opened, selectors, "reader"))


class WindowReader:
    """An array of a file, of which windows are read as NumPy arrays.

    What is decoded and only partly wanted is kept for the next window, up to the option ``cached_tile_bytes`` in this process.

    Parameters
    ----------
    lazy
        Where the array lies.
    """

    __slots__ = ("_lazy", "_share")

    def __init__(self, lazy: LazyArray) -> None:
        self._lazy = lazy
        handle = lazy.handle
        self._share = Share(handle.location, handle.fingerprint)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return self._lazy.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._lazy.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values, in native byte order."""
        return self._lazy.dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the file's own chunks: windows along their edges decode nothing that they do not need."""
        return self._lazy.chunks

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes, as xarray shows them.

        Raises
        ------
        ValueError
            If the axes have no names.
        """
        return dims_of(self._lazy.open_file(), self._lazy.handle.array_id)

    @property
    def backend(self) -> str:
        """``"indexed"`` for the own decoder, or ``"reference: "`` and why the reference library reads."""
        return self._lazy.source.reader

    def __getitem__(self, key: Any) -> Array:
        """Read what an index picks: integers, slices of any step, and index arrays, which apply axis by axis.

        Returns
        -------
        ndarray
            Of the shape that NumPy's basic indexing gives; a new array.

        Raises
        ------
        IndexError
            If the index lies outside of the array.
        FormatError
            If a chunk is corrupt.
        SourceError
            If bytes cannot be fetched, or the file is not the one any more that was opened.
        """
        return self._lazy[key]

    async def aget(self, key: Any) -> Array:
        """Read as indexing does, without blocking the event loop."""
        return await self._lazy.aget(key)

    def read(self, key: Any = ..., out: Array | None = None) -> Array:
        """Read as indexing does, into an array that is there already.

        Parameters
        ----------
        key
            As in indexing.
        out
            Takes the values: of the shape of the result and of the type :attr:`dtype`; a new array if None.

        Returns
        -------
        ndarray
            ``out``, where it is given.

        Raises
        ------
        ValueError
            If ``out`` is not of that shape and type, or is read-only.
        """
        if out is None:
            return self._lazy[key]
        self._lazy.read_into(out, key)
        return out

    def points(self, keys: Sequence[Any]) -> Array:
        """Read pixel by pixel: index arrays, one an axis, are broadcast against each other.

        Parameters
        ----------
        keys
            An index array, integer or slice for each axis.

        Returns
        -------
        ndarray
            The axes of the index arrays first, then those of the slices.
        """
        return self._lazy.points(keys)

    def close(self) -> None:
        """Give up the file: it is closed when nobody else has it open. Reading opens it again."""
        self._share.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, *, copy: bool | None = None) -> Array:
        if copy is False:
            msg = "the values are in a file: an array of them is always a copy"
            raise ValueError(msg)
        return np.asarray(self[...], dtype)

    def __repr__(self) -> str:
        handle = self._lazy.handle
        return f"<scichunk.WindowReader {handle.location.url} {self.shape} {self.dtype}, chunks {self.chunks}, {self.backend}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._lazy,)


def lazy_of(reader: WindowReader) -> LazyArray:
    """Return where the array of a window reader lies, for adapters that read it in other ways."""
    return reader._lazy  # noqa: SLF001  # of this module
