"""Bounded caches, one copy per process. The only mutable state of modules in scichunk."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from scichunk import options, scratch

__all__ = ["LRU", "clear_caches", "files", "gate", "register", "tiles"]

T = TypeVar("T")

_lrus: weakref.WeakSet[LRU[Any]] = weakref.WeakSet()
_registered: list[Callable[[], object]] = []


def register(clear: Callable[[], object]) -> None:
    """Let :func:`clear_caches` empty a cache that is not an :class:`LRU`, such as one of ``functools``.

    Parameters
    ----------
    clear
        Called without arguments; it must be safe while other threads read.
    """
    _registered.append(clear)


def clear_caches() -> None:
    """Forget every opened file, decoded chunk, coordinate system and spare buffer that this process keeps.

    Arrays and datasets that are open stay valid: they open their files again when they are read. The list of formats and plug-ins is
    also made anew, so that a package that was installed meanwhile is found.
    """
    for lru in list(_lrus):
        lru.clear()
    for clear in _registered:
        clear()
    scratch.release()


class LRU(Generic[T]):
    """Least recently used values up to a total weight, safe in threads.

    Parameters
    ----------
    limit
        Called for the largest total weight, so that a change of options takes effect at once.
    weigh
        Weight of one value.
    """

    def __init__(self, limit: Callable[[], int], weigh: Callable[[T], int] = lambda _: 1) -> None:
        self._limit, self._weigh = limit, weigh
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()
        _lrus.add(self)

    def get(self, key: Hashable) -> T | None:
        """Return the value, now the most recently used, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Hashable, value: T) -> T:
        """Keep a value, drop the oldest beyond the limit; returns the value that is kept under the key."""
        with self._lock:
            if key in self._values:
                return self._values[key]
            weight, limit = self._weigh(value), self._limit()
            if weight <= limit:
                self._values[key] = value
                self._weight += weight
                while self._weight > limit:
                    self._weight -= self._weigh(self._values.popitem(last=False)[1])
            return value

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._weight = 0

    def __len__(self) -> int:
        return len(self._values)


files: LRU[object] = LRU(lambda: options.get().cached_files)
"""Opened files (source, structure, indexes) by format, url, options and fingerprint."""

tiles: LRU[object] = LRU(lambda: options.get().cached_tile_bytes, lambda a: int(getattr(a, "nbytes", 1)))
"""Decoded native chunks of which a read used only a part."""

_gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = weakref.WeakKeyDictionary()


def gate() -> asyncio.Semaphore:
    """Return the running event loop's bound on asynchronous reads in flight (``options.concurrency``)."""
    loop = asyncio.get_running_loop()
    if loop not in _gates:
        _gates[loop] = asyncio.Semaphore(options.get().concurrency)
    return _gates[loop]
