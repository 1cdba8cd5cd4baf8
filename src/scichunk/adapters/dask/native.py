"""The reader behind a dask array, and its native chunks: what ``reduce`` and ``map_chunks`` go through inside a task."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt

from scichunk.adapters.dask.mapped import MappedArray
from scichunk.adapters.dask.stacks import StackArray
from scichunk.adapters.lazy import LazyArray
from scichunk.core.grid import ChunkGrid

__all__ = ["Borders", "Native", "boxes", "cut_axis", "find_reader", "readers_of", "reading_steps"]

Array = npt.NDArray[Any]
Borders = tuple[int, ...] | range
"""Where the pieces of an axis begin, and where the last one ends."""
_LOCAL_BYTES: Final = 4 << 20
"""Decoded bytes that a task reads at once of local files: they stay in the processor's cache."""
_REMOTE_BYTES: Final = 32 << 20
"""The same of remote files, where several requests have to be in flight."""


class Native(Protocol):
    """What reads an array of ours, indexed like a NumPy array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its values."""
        ...

    @property
    def grid(self) -> ChunkGrid:
        """Native chunks."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether its files lie elsewhere than on this machine."""
        ...

    def __getitem__(self, key: Any) -> Array:
        """Read a region."""
        ...


def find_reader(array: Any) -> Native | None:
    """Return the reader whose chunks a dask array hands out unchanged; None if it is not an array of ours, or was computed from one."""
    from dask.array.core import Array as DaskArray

    if not isinstance(array, DaskArray):
        return None
    found = _unwrap(_object_of_layer(array.dask.layers, array.name))
    return found if found is not None and (found.shape, found.dtype) == (array.shape, array.dtype) else None


def readers_of(collection: Any) -> list[tuple[str, Native, tuple[tuple[int, ...], ...]]]:
    """Return all readers in the graph of a collection, those of decoded times too: name of the layer, reader, and chunks of dask."""
    from dask.layers import ArraySliceDep

    layers: Mapping[str, Any] = getattr(collection.__dask_graph__(), "layers", {})  # other packages' graphs have none
    found = []
    for name, layer in layers.items():
        reader = _unwrap(_object_of_layer(layers, name), decoded=True)
        if reader is not None:
            dep = next(d for d in layer.io_deps.values() if isinstance(d, ArraySliceDep))
            found.append((name, reader, dep.chunks))
    return found


def _object_of_layer(layers: Mapping[str, Any], name: str) -> Any:
    """Return what the tasks of a layer index, as it was handed to :func:`dask.array.from_array`; None if they do something else."""
    from dask.array.core import getter, getter_nofancy
    from dask.blockwise import Blockwise
    from dask.layers import ArraySliceDep

    layer = layers.get(name)
    if not isinstance(layer, Blockwise):
        return None
    function = getattr(layer.task, "func", None)
    if function is not getter and function is not getter_nofancy:  # one of somebody else need not have a hash
        return None
    given = [thing for thing, indices in layer.indices if indices is None]
    if len(given) != 1 or not any(isinstance(dep, ArraySliceDep) for dep in layer.io_deps.values()):
        return None
    inner = given[0]
    other = layers.get(str(getattr(inner, "key", inner)))
    if other is not None and len(other) == 1:  # inline_array=False: the reader is a node of its own
        inner = next(iter(other.values()))
    return getattr(inner, "value", inner)


def _unwrap(thing: Any, *, decoded: bool = False) -> Native | None:
    """Take off what xarray has put around a reader; None if a selection is among it, or no reader of ours.

    With ``decoded`` functions are taken off, too, so that the reader has other values than what is around it.
    """
    wrappers = (object,) if decoded else _wrappers()
    for _ in range(20):  # xarray has five wrappers
        if isinstance(thing, LazyArray | StackArray | MappedArray):
            return cast("Native", thing)
        inner = getattr(thing, "array", None) if isinstance(thing, wrappers) else None
        if inner is None:
            return None
        key = getattr(getattr(thing, "key", None), "tuple", ())
        if not all(isinstance(k, slice) for k in key):
            return None
        lengths = zip(key, getattr(inner, "shape", ()), strict=False)
        if any(k.indices(n) != (0, n, 1) for k, n in lengths):
            return None
        thing = inner
    return None


def _wrappers() -> tuple[type, ...]:
    """What hands out the values of an array as they are; others, which decode times as they are read, have an array in them too."""
    if "xarray" not in sys.modules:
        return ()
    from xarray.core.indexing import ImplicitToExplicitIndexingAdapter

    from scichunk.adapters.xarray.lazy import LazyVariable
    from scichunk.adapters.xarray.tokens import WRAPPERS

    return ImplicitToExplicitIndexingAdapter, *WRAPPERS, LazyVariable


def cut_axis(grid: ChunkGrid, axis: int, parts: int) -> list[tuple[int, int]]:
    """Split the native chunks of an axis into runs of about equal numbers; first and one past the last chunk of each."""
    edges = np.linspace(0, grid.counts[axis], parts + 1).astype(np.int64).tolist()
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]


def reading_steps(reader: Native, runs: Sequence[tuple[int, int]]) -> tuple[Borders, ...]:
    """Where a task that reads runs of native chunks takes a breath: as many chunks at once as are worth it, in file order."""
    grid = reader.grid
    chunk = math.prod(grid.chunk_shape) * reader.dtype.itemsize
    room = max(1, (_REMOTE_BYTES if reader.is_remote else _LOCAL_BYTES) // max(1, chunk))
    found: list[Borders] = []
    for axis in reversed(range(len(runs))):
        (first, last), edge = runs[axis], grid.edges[axis]
        step = min(last - first, room)
        room //= step
        stop = grid.bounds(axis, last - 1)[1]
        numbers = range(first, last, step)
        # A range pickles to a few bytes, whatever its length.
        found.append(
            range(first * edge, last * edge + 1, step * edge)
            if isinstance(edge, int) and last * edge == stop and (last - first) % step == 0
            else (*(grid.bounds(axis, n)[0] for n in numbers), stop)
        )
    return tuple(reversed(found))


def boxes(borders: Sequence[Borders]) -> Iterator[tuple[slice, ...]]:
    """Yield the regions between borders, in C order."""
    pieces = ([slice(a, b) for a, b in itertools.pairwise(axis)] for axis in borders)
    yield from itertools.product(*pieces)
