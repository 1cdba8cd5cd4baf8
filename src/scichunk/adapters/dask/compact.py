"""Dask arrays whose pickles do not grow with the number of chunks: lengths that repeat are said once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

from dask.blockwise import Blockwise
from dask.layers import ArraySliceDep

__all__ = ["compact"]


class Lengths(tuple[int, ...]):
    """Lengths of chunks along an axis; those that repeat are pickled once."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_runs, (tuple((n, len(list(same))) for n, same in itertools.groupby(self)),)


def _from_runs(runs: tuple[tuple[int, int], ...]) -> Lengths:
    return Lengths(itertools.chain(*((n,) * count for n, count in runs)))


def compact(array: Any) -> Any:
    """Let the graph of an array made by :func:`dask.array.from_array` pickle to few bytes.

    Dask pickles the length and the beginning of every chunk along each axis: for a cube of a million planes 7 MB with each window.
    """
    layer: Any = array.dask.layers[array.name]
    if isinstance(layer, Blockwise):
        layer = cast("Any", layer)  # dask's own annotations say that nothing in it changes
        chunks = tuple(Lengths(lengths) for lengths in array.chunks)
        for name, dep in layer.io_deps.items():
            if type(dep) is ArraySliceDep:
                layer.io_deps[name] = CompactSlices(chunks)
        if layer.collection_annotations:  # for the pictures of notebooks
            layer.collection_annotations["chunks"] = chunks
    return array


class CompactSlices(ArraySliceDep):  # type: ignore[misc]  # dask has no types
    """Slices by numbers of chunks, as dask's own; where chunks begin is added up when the first is asked for."""

    def __init__(self, chunks: tuple[Lengths, ...]) -> None:  # not that of dask, which adds up at once
        self.chunks, self.numblocks, self.produces_tasks = chunks, tuple(len(c) for c in chunks), False
        self._starts: Sequence[tuple[int, ...]] | None = None

    @property
    def starts(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]  # an attribute there
        """Where the chunks of each axis begin, and where the last one ends."""
        if self._starts is None:
            self._starts = tuple((0, *itertools.accumulate(lengths)) for lengths in self.chunks)
        return self._starts

    def __reduce__(self) -> tuple[Any, ...]:
        return CompactSlices, (self.chunks,)
