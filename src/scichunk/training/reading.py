"""Reads blocks ahead in threads, in the order of a plan, and hands out views of their patches."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.adapters.files import thread_pool
from scichunk.training.layers import Layer

__all__ = ["BlockBuffers", "KeptBlocks", "Places", "ReadAhead", "follow"]

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Box = tuple[int, tuple[int, ...], tuple[int, ...]]
"""A scene, and its first and last corner in the first layer."""


@dataclass(frozen=True)
class ReadAhead:
    """How a plan is followed."""

    threads: int
    """Blocks that are read at the same time."""
    ahead: int
    """Blocks that are read before they are needed."""


@dataclass(frozen=True)
class Places:
    """What is to be cut, in order."""

    scenes: Ints
    corners: Ints
    visits: Ints
    """Which visit of a block each is cut from, counted from any number in the order of first use."""


class BlockBuffers:
    """Memory of blocks that are used up, for the next ones: pages that are fresh cost more than what is copied into them."""

    def __init__(self) -> None:
        self._free: list[npt.NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[BlockBuffers], tuple[()]]:
        return type(self), ()  # memory stays where it is

    def take(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Lend memory of at least this size."""
        with self._lock:
            fitting = [i for i, b in enumerate(self._free) if b.size >= nbytes]
            if fitting:
                return self._free.pop(min(fitting, key=lambda i: self._free[i].size))
            if self._free:  # it is too small: what takes its place will serve for both
                self._free.pop()
        return np.empty(nbytes, np.uint8)

    def give(self, buffers: Sequence[npt.NDArray[np.uint8]]) -> None:
        """Take memory back; no view of it may be in use."""
        with self._lock:
            self._free += buffers


@dataclass(frozen=True)
class _Block:
    """What was read of one box, for each layer."""

    windows: tuple[tuple[slice, ...], ...]
    values: tuple[Array, ...]
    memory: tuple[npt.NDArray[np.uint8], ...]

    @property
    def nbytes(self) -> int:
        """Memory of all layers."""
        return sum(m.size for m in self.memory)


class KeptBlocks:
    """Blocks that are kept for later epochs, as many as fit; in memory they cost nothing but the copy of their patches.

    The first ones stay: of what is gone through again and again, the ones that were used last are those that are needed last.

    Parameters
    ----------
    limit
        Most bytes; 0 keeps none.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit, self.nbytes = limit, 0
        self._blocks: dict[Box, _Block] = {}
        self._held: set[int] = set()
        """Numbers of the blocks that are kept: to go through these would fail where another thread keeps one more meanwhile."""
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[KeptBlocks], tuple[int]]:
        return type(self), (self.limit,)  # memory stays where it is

    def get(self, box: Box) -> _Block | None:
        """Return a block, or None."""
        return self._blocks.get(box)

    def offer(self, box: Box, block: _Block) -> None:
        """Keep a block if there is room."""
        with self._lock:
            if box not in self._blocks and self.nbytes + block.nbytes <= self.limit:
                self._blocks[box] = block
                self._held.add(id(block))  # none is ever let go, so that no other object gets its number
                self.nbytes += block.nbytes

    def has(self, block: _Block) -> bool:
        """Whether a block is kept, so that its memory is not free."""
        return id(block) in self._held


def follow(
    layers: Sequence[Layer],
    size: Sequence[int],
    places: Places,
    reading: ReadAhead,
    memory: tuple[BlockBuffers, KeptBlocks],
) -> Iterator[tuple[Array, ...]]:
    """Yield the stored values of each patch, one array a layer.

    They are views of memory that is used again: what is to be kept must be copied before the next patch is asked for.

    Parameters
    ----------
    layers, size
        Of the patches.
    places
        Where they lie, in order.
    reading
        Threads, and how many blocks are read ahead.
    memory
        For the blocks, and those that are kept.
    """
    buffers, kept = memory
    if not len(places.visits):
        return
    visits = places.visits
    order = np.argsort(visits, kind="stable")
    starts = np.flatnonzero(np.diff(visits[order], prepend=-1))
    groups = deque(np.split(order, starts[1:]))  # the patches of each visit, in the order of first use
    names = deque(visits[order][starts].tolist())
    left = {name: len(group) for name, group in zip(names, groups, strict=True)}
    live: dict[int, Future[_Block]] = {}

    def read(which: Ints) -> _Block:
        scenes, corners = places.scenes[which], places.corners[which]
        first, last = corners.min(axis=0), corners.max(axis=0) + np.asarray(size)
        box = (int(scenes[0]), tuple(first.tolist()), tuple(last.tolist()))
        known = kept.get(box)
        if known is None:
            known = _read_block(layers, box, buffers)
            kept.offer(box, known)
        return known

    with thread_pool(max(1, reading.threads), "scichunk-patches") as pool:

        def launch(name: int) -> None:
            """Have the blocks read up to some visits beyond this one."""
            while names and names[0] <= name + reading.ahead:
                live[names.popleft()] = pool.submit(read, groups.popleft())

        try:
            newest = -1
            corners, visit_list = places.corners.tolist(), visits.tolist()
            for corner, visit in zip(corners, visit_list, strict=True):
                if visit > newest:
                    newest = visit
                    launch(visit)
                block = live[visit].result()
                yield tuple(
                    _cut(layer, corner, window, values)
                    for layer, window, values in zip(layers, block.windows, block.values, strict=True)
                )
                left[visit] -= 1
                if not left[visit]:
                    gone = live.pop(visit).result()
                    if not kept.has(gone):
                        buffers.give(gone.memory)
        finally:
            for waiting in live.values():
                waiting.cancel()


def _read_block(layers: Sequence[Layer], box: Box, buffers: BlockBuffers) -> _Block:
    """Read the box that holds some patches, of all layers."""
    scene, first, last = box
    windows, values, memory = [], [], []
    for layer in layers:
        window = layer.window(scene, first, last)
        shape = tuple(w.stop - w.start for w in window)
        nbytes = math.prod(shape) * layer.dtype.itemsize
        lent = buffers.take(nbytes)
        out = lent[:nbytes].view(layer.dtype).reshape(shape)
        layer.arrays[scene].read_into(out, window)
        windows.append(window)
        values.append(out)
        memory.append(lent)
    return _Block(tuple(windows), tuple(values), tuple(memory))


def _cut(layer: Layer, corner: Sequence[int], window: Sequence[slice], values: Array) -> Array:
    key = [slice(None)] * values.ndim
    for axis, factor, first, length in zip(layer.axes, layer.factors, corner, layer.size, strict=True):
        if axis is not None:
            begin = int(first * factor) - window[axis].start
            key[axis] = slice(begin, begin + length)
    return values[tuple(key)]
