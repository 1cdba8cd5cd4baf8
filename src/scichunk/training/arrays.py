"""What patches are cut from: arrays of files, and any array of xarray; windows of them go into buffers that are there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scichunk.adapters.lazy import LazyArray
from scichunk.adapters.opening import dims_of, lazy_array, open_any
from scichunk.adapters.reader import WindowReader, lazy_of
from scichunk.core.files import ArrayId, OpenFile
from scichunk.raster.affine import Affine6, shift_transform
from scichunk.raster.cf import Decoding
from scichunk.sources.base import public_url

__all__ = ["FileArray", "PatchArray", "XarrayArray", "as_array", "is_dataset", "is_labelled"]

Array = npt.NDArray[Any]
Window = Sequence[slice]
"""A slice of step 1 for each axis."""


class PatchArray(Protocol):
    """An array of one scene; safe in threads, and it pickles."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values that are read."""
        ...

    @property
    def chunks(self) -> tuple[int, ...]:
        """Length of the native chunks along each axis."""
        ...

    @property
    def phase(self) -> tuple[int, ...]:
        """How far the first position lies behind the border of a chunk, along each axis."""
        ...

    @property
    def decoding(self) -> Decoding | None:
        """What is still to be done to values that were read; its steps are those of the first axis, or one for all."""
        ...

    @property
    def transform(self) -> Affine6 | None:
        """Where the pixels of its last two axes lie; None if that is unknown."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether reading waits for a network."""
        ...

    @property
    def name(self) -> str:
        """What it is called, for messages and as the name of a scene."""
        ...

    def read_into(self, out: Array, window: Window) -> None:
        """Read a window into an array of its shape and of the type :attr:`dtype`, in C order."""
        ...

    def labelled(self) -> Any:
        """Return it as a lazy :class:`xarray.DataArray` with its coordinates."""
        ...


@dataclass(frozen=True)
class FileArray:
    """An array of a file, or a part of one, that is read without xarray."""

    lazy: LazyArray
    """Reads stored values."""
    key: tuple[int | slice | Array, ...]
    """What is picked along each axis of the file: integers drop the axis."""
    dims: tuple[str, ...]
    """Names of the axes that are left."""
    decoding: Decoding | None = None
    data: Any = None
    """The array of xarray that it was made from; None if it was made from a file."""
    whole: Affine6 | None = None
    """Where the pixels of the file lie, by its header; None if that is unknown."""

    @property
    def _axes(self) -> list[int]:
        """Axes of the file that are left."""
        return [a for a, k in enumerate(self.key) if not isinstance(k, int)]

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        whole = self.lazy.shape
        return tuple(_length(k, whole[a]) for a, k in enumerate(self.key) if not isinstance(k, int))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        return np.dtype(self.lazy.dtype)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Length of the native chunks along each axis."""
        native = self.lazy.chunks
        return tuple(max(1, min(native[a], n)) for a, n in zip(self._axes, self.shape, strict=True))

    @property
    def phase(self) -> tuple[int, ...]:
        """How far the first position lies behind the border of a chunk, along each axis."""
        native, keys = self.lazy.chunks, [(a, self.key[a]) for a in self._axes]
        return tuple((k.start or 0) % max(1, native[a]) if isinstance(k, slice) else 0 for a, k in keys)

    @property
    def transform(self) -> Affine6 | None:
        """Where the pixels lie, by the header of the file."""
        firsts = [k.start or 0 for k in self.key[-2:] if isinstance(k, slice)]
        if len(firsts) < 2:
            return None
        return None if self.whole is None else shift_transform(self.whole, firsts[1], firsts[0])

    @property
    def is_remote(self) -> bool:
        """Whether reading waits for a network."""
        return self.lazy.handle.location.local_path is None

    @property
    def name(self) -> str:
        """URL of the file."""
        return self.lazy.handle.location.url

    def read_into(self, out: Array, window: Window) -> None:
        """Read a window into an array of its shape."""
        whole, left = list(self.key), iter(window)
        for axis in self._axes:
            picked, wanted = self.key[axis], next(left)
            if isinstance(picked, slice):
                first = picked.start or 0
                whole[axis] = slice(first + wanted.start, first + wanted.stop)
            else:
                whole[axis] = np.asarray(picked)[wanted]
        self.lazy.read_into(out, tuple(whole))

    def labelled(self) -> Any:
        """Return it as a lazy array of xarray with its coordinates."""
        return _open_labelled(self.lazy, self.dims) if self.data is None else self.data


def _length(key: slice | Array, length: int) -> int:
    return len(range(*key.indices(length))) if isinstance(key, slice) else len(key)


@dataclass(frozen=True)
class XarrayArray:
    """Any array of xarray: in memory, of Dask, or of another engine."""

    data: Any
    decoding: None = None

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(str(d) for d in self.data.dims)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(int(n) for n in self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        kind: np.dtype[Any] = np.dtype(self.data.dtype)
        return kind

    @property
    def chunks(self) -> tuple[int, ...]:
        """Largest chunk along each axis: those of Dask, else those that the engine prefers, else the whole axis."""
        given = self.data.chunks
        if given is not None:
            return tuple(max(1, *map(int, sizes)) for sizes in given)
        preferred: Mapping[str, Any] = self.data.encoding.get("preferred_chunks", {})
        sizes = [preferred.get(d, n) for d, n in zip(self.dims, self.shape, strict=True)]
        most = [s if isinstance(s, int) else max(s) for s in sizes]
        return tuple(max(1, min(n, int(m))) for n, m in zip(self.shape, most, strict=True))

    @property
    def phase(self) -> tuple[int, ...]:
        """Chunks are taken to begin with the array."""
        return (0,) * len(self.shape)

    @property
    def transform(self) -> None:
        """Nobody knows where the pixels lie but who made the array."""
        return

    @property
    def is_remote(self) -> bool:
        """Whether reading waits for a network: nobody knows."""
        return False

    @property
    def name(self) -> str:
        """Name of the variable, or the file that it is from."""
        source = self.data.encoding.get("source")  # other engines write down the whole URL
        return public_url(str(source)) if source else str(self.data.name or "array")

    def read_into(self, out: Array, window: Window) -> None:
        """Read a window into an array of its shape."""
        part = self.data.variable[tuple(window)]
        if (
            part.chunks is not None
        ):  # blocks are read side by side already: threads within each would only wait for each other
            out[...] = part.data.compute(scheduler="synchronous")
        else:
            out[...] = part.values

    def labelled(self) -> Any:
        """Return the array itself."""
        return self.data


def is_labelled(obj: Any) -> bool:
    """Whether it is an array of xarray, without importing xarray."""
    return hasattr(obj, "dims") and hasattr(obj, "coords") and hasattr(obj, "variable")


def is_dataset(obj: Any) -> bool:
    """Whether it is a dataset of xarray."""
    return hasattr(obj, "data_vars") and hasattr(obj, "coords")


def as_array(
    obj: Any,
    *,
    mask_and_scale: bool = False,
    format: str | None = None,  # noqa: A002  # the word users know
    storage_options: Mapping[str, Any] | None = None,
) -> PatchArray:
    """Take what the user gives for the array of one scene: an array of xarray, a window reader, or the name of a file."""
    if is_labelled(obj):
        return _unwrap(obj) or XarrayArray(obj)
    if isinstance(obj, WindowReader):
        return _of_file(lazy_of(obj), None, mask_and_scale=mask_and_scale)
    opened = open_any(format, obj, storage_options)
    return _of_file(lazy_array(opened, {}, "patches"), opened.file, mask_and_scale=mask_and_scale)


def _of_file(lazy: LazyArray, file: Any, *, mask_and_scale: bool) -> PatchArray:
    handle = lazy.handle
    file = lazy.open_file() if file is None else file
    try:
        dims = dims_of(file, handle.array_id)
    except ValueError:  # axes without names: the last two are those of an image
        ndim = len(lazy.shape)
        dims = tuple({ndim - 2: "y", ndim - 1: "x"}.get(a, f"axis_{a}") for a in range(ndim))
    plain = FileArray(lazy, (slice(None),) * len(dims), dims, whole=_transform_of(file, handle.array_id))
    if not mask_and_scale:
        return plain
    decoded = _open_labelled(lazy, dims, decode=True)
    return _unwrap(decoded) or XarrayArray(decoded)


def _transform_of(file: OpenFile, array_id: ArrayId) -> Affine6 | None:
    grid = file.layout(array_id).grid
    return None if grid is None else grid.transform


def _open_labelled(lazy: LazyArray, dims: Sequence[str], *, decode: bool = False) -> Any:
    """Open an array of a file by xarray, with the coordinates of the variable that it is."""
    import xarray as xr
    from xarray.core.indexing import LazilyIndexedArray

    from scichunk.adapters.opening import Opened
    from scichunk.adapters.xarray.datasets import build_dataset
    from scichunk.adapters.xarray.lazy import LazyVariable
    from scichunk.adapters.xarray.variables import Decoders

    handle = lazy.handle
    plain = xr.Variable(dims, LazilyIndexedArray(LazyVariable(lazy)))
    file = lazy.open_file()
    found = _find_variable(file, handle.array_id)
    if found is None:
        return xr.DataArray(plain)
    group, var, stored = found
    flags = Decoders(mask_and_scale=decode or not stored, decode_times=decode)
    whole = build_dataset(Opened(handle.format, handle.location, file), group, None, flags, "auto")[var]
    part = whole if lazy.bands is None else whole.isel({dims[0]: list(lazy.bands)})
    return part if decode else part.copy(data=plain._data) if part.dims == plain.dims else xr.DataArray(plain)  # noqa: SLF001


def _find_variable(file: OpenFile, array_id: ArrayId) -> tuple[str, str, bool] | None:
    """Find the group and the name of an array, and whether it is what the file stores where the format itself scales.

    The user's words name one array in several ways (by reader, by the name or the number of an HDU): where none is named so, what has
    the same layout has the same coordinates.
    """

    def is_alike(other: ArrayId) -> bool:
        mine, theirs = file.layout(array_id), file.layout(other)
        return not (mine.difference(theirs) or mine.pointing_difference(theirs))

    for same in (lambda other: other == array_id, is_alike):
        for group in file.groups():
            for var in file.node(group).arrays:
                if same(var.array_id):
                    return group, var.name, var.raw is None
                if var.raw is not None and same(var.raw.array_id):
                    return group, var.name, True
    return None


def _unwrap(data: Any) -> FileArray | None:
    """Find the array of a file behind a lazy array of xarray, if it is one of ours that is only sliced."""
    from xarray.core import indexing

    from scichunk.adapters.xarray.lazy import LazyVariable

    inner, key = data.variable._data, None  # noqa: SLF001  # public access would read it
    while isinstance(inner, indexing.MemoryCachedArray | indexing.CopyOnWriteArray):
        inner = inner.array
    if isinstance(inner, indexing.LazilyIndexedArray):
        key, inner = inner.key.tuple, inner.array
    if key is None or not isinstance(inner, LazyVariable):
        return None
    lazy = inner.array
    parts = tuple(_plain_key(k, n) for k, n in zip(key, lazy.shape, strict=True))
    if any(p is None for p in parts):
        return None
    dims = tuple(str(d) for d in data.dims)
    raw = LazyArray(lazy.handle, lazy.bands, None, lazy.limits)
    whole = _transform_of(lazy.open_file(), lazy.handle.array_id)
    return FileArray(raw, parts, dims, _picked_steps(lazy.decoding, parts), data, whole)


def _plain_key(key: Any, length: int) -> Any:
    """Return an integer, a slice of step 1, or positions; None for what is better left to xarray."""
    if isinstance(key, slice):
        start, stop, step = key.indices(length)
        return slice(start, max(start, stop)) if step == 1 else np.arange(start, stop, step)
    if isinstance(key, np.ndarray):
        return key if key.ndim == 1 and key.dtype.kind in "iu" else None
    return int(key) % length if length else None


def _picked_steps(decoding: Decoding | None, key: Sequence[Any]) -> Decoding | None:
    """Keep the steps of the bands that are picked, where the bands differ."""
    if decoding is None or len(decoding.steps) == 1:
        return decoding
    bands = np.arange(len(decoding.steps))[key[0]]
    return replace(decoding, steps=tuple(decoding.steps[int(b)] for b in np.atleast_1d(bands)))
