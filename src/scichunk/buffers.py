"""Warm memory: reading into fresh pages costs more than the copy itself."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.lru import on_clear

__all__ = [
    "KEPT_BYTES",
    "LARGE_BYTES",
    "allocate_result",
    "borrow_buffer",
    "cached_blocks",
    "count_freed",
    "release_memory",
]

KEPT_BYTES = 1 << 26
"""Larger scratch buffers are given back at once."""

LARGE_BYTES = 1 << 25
"""Results above this are recycled here. Below, the C library does so: this is the largest block that glibc keeps when it is freed."""

Array = npt.NDArray[Any]
Bytes = npt.NDArray[np.uint8]
BLOCK_BYTES = 1 << 16  # values

_local = threading.local()
_freed: deque[Bytes] = deque()


def borrow_buffer(name: str, nbytes: int) -> Bytes:
    """Lend a buffer of this thread until the next call with the same name.

    Parameters
    ----------
    name
        Who asks; two names never share memory.
    nbytes
        Length wanted.

    Returns
    -------
    ndarray of uint8, shape (nbytes,)
        Uninitialised.
    """
    # The thread would keep it until it ends.
    if nbytes > KEPT_BYTES:
        return np.empty(nbytes, np.uint8)
    buffers: dict[str, Bytes] = _local.__dict__
    buffer = buffers.get(name)
    if buffer is None or buffer.size < nbytes:
        # With room to spare: else each that is a little longer than all before it would lie in fresh pages.
        buffer = buffers[name] = np.empty(min(max(nbytes + nbytes // 4, 1 << 16), KEPT_BYTES), np.uint8)
    return buffer[:nbytes]


def allocate_result(shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Make an array for a result: the caller's for good, in memory of an earlier one that is gone if there is any.

    Parameters
    ----------
    shape
        Length of each axis.
    dtype
        Type of the elements.

    Returns
    -------
    ndarray
        Uninitialised, C order.
    """
    kind = np.dtype(dtype)
    nbytes = math.prod(shape) * kind.itemsize
    if nbytes <= LARGE_BYTES or kind.hasobject:
        return np.empty(tuple(shape), kind)
    lease = _Lease(_reuse_memory(nbytes))
    return np.asarray(lease)[:nbytes].view(kind).reshape(tuple(shape))


def release_memory() -> None:
    """Give back the memory of freed results, and the buffers that this thread borrowed."""
    _freed.clear()
    _local.__dict__.clear()


def count_freed() -> tuple[int, int]:
    """Return how many freed results are kept for the next ones, and their bytes."""
    kept = [buffer.size for buffer in _freed.copy()]
    return len(kept), sum(kept)


def cached_blocks(source: Array, out: Array) -> Iterator[tuple[Array, Array]]:
    """Split two arrays of one shape into parts that stay in the processor's cache from one pass to the next."""
    if source.size <= BLOCK_BYTES or not source.ndim:
        yield source, out
    elif source.flags.c_contiguous and out.flags.c_contiguous:
        values, target = source.reshape(-1), out.reshape(-1)
        for first in range(0, values.size, BLOCK_BYTES):
            yield values[first : first + BLOCK_BYTES], target[first : first + BLOCK_BYTES]
    elif len(source) == 1:
        yield from cached_blocks(source[0], out[0])
    else:
        rows = max(1, BLOCK_BYTES // (source.size // len(source)))
        for first in range(0, len(source), rows):
            yield source[first : first + rows], out[first : first + rows]


def _reuse_memory(nbytes: int) -> Bytes:
    """Freed memory of about this size, else fresh. No lock: finalisers run at any point, in any thread."""
    for _ in range(len(_freed)):
        try:
            buffer = _freed.popleft()
        except IndexError:
            break
        # A quarter at most is wasted; a chunk and its neighbour at the edge differ by more, and wait for one of their own size.
        if nbytes <= buffer.size <= nbytes + nbytes // 4:
            return buffer
        _freed.append(buffer)
    return np.empty(nbytes, np.uint8)


def _trim_freed() -> None:
    """Let go of the oldest beyond ``options.warm_bytes``."""
    limit = options.get().warm_bytes
    # Copies of a deque are atomic, and so are append and popleft: no lock, which a finaliser could not wait for.
    while sum(b.size for b in _freed.copy()) > limit:
        try:
            _freed.popleft()
        except IndexError:
            break


class _Lease:
    """Memory that goes back to the pool with the last array upon it."""

    __slots__ = ("_buffer",)

    def __init__(self, buffer: Bytes) -> None:
        self._buffer = buffer

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._buffer.__array_interface__

    def __del__(self, put: Callable[[Bytes], None] = _freed.append, trim: Callable[[], None] = _trim_freed) -> None:
        put(self._buffer)  # both are bound now: modules empty while Python ends
        trim()


on_clear(release_memory)
