"""Buffers that end, or begin, where memory ends: a step outside is a crash, and not a wrong value far away."""

from __future__ import annotations

import ctypes
import mmap
import random

import numpy as np

WILD = (-1, 0, 1, 5, (1 << 31) - 1, 1 << 31, -(1 << 31), 1 << 32, 1 << 40, 1 << 60, -(1 << 60), 1 << 62, (1 << 63) - 2, (1 << 63) - 1,
        -(1 << 63))  # fmt: skip
"""Integers at which sums, products and conversions of 64 bits go wrong."""
_PAGE = mmap.PAGESIZE
_LIBC = ctypes.CDLL(None, use_errno=True)


class Guarded:
    """Memory between two pages that cannot be touched (mmap and mprotect)."""

    def __init__(self, nbytes: int) -> None:
        self._size = -(-nbytes // _PAGE) * _PAGE
        self._map = mmap.mmap(-1, self._size + 2 * _PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for page in (start, start + _PAGE + self._size):
            if _LIBC.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        self._bytes = np.frombuffer((ctypes.c_char * self._size).from_address(start + _PAGE), np.uint8)

    def take(self, nbytes: int, rng: random.Random) -> np.ndarray:
        """Bytes at one end or the other; what is in them is left from before."""
        if nbytes > self._size:
            raise ValueError(nbytes)
        return self._bytes[self._size - nbytes :] if rng.random() < 0.7 else self._bytes[:nbytes]


_POOL = tuple(Guarded(1 << 21) for _ in range(8))


class Memory:
    """The buffers of one call, each guarded.

    Parameters
    ----------
    rng
        Draws which end a buffer lies at.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._next = rng, 0

    def empty(self, count: int, dtype: str = "u1") -> np.ndarray:
        kind = np.dtype(dtype)
        buffer = _POOL[self._next]
        self._next += 1
        return buffer.take(count * kind.itemsize, self._rng).view(kind)

    def bytes(self, data: bytes) -> np.ndarray:
        found = self.empty(len(data))
        found[:] = np.frombuffer(data, np.uint8)
        return found

    def wild(self, *usual: int) -> int:
        """One of the usual integers; now and then any that arithmetic goes wrong with."""
        return self._rng.choice(usual if self._rng.random() < 0.8 else WILD)

    def array(self, values: list[int], dtype: str = "i8") -> np.ndarray:
        found = self.empty(len(values), dtype)
        found[:] = values
        return found
