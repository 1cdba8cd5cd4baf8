"""Bounded caches of this process: one thread makes a value while others wait, and a forked child begins anew."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar, cast

from scichunk.errors import ScichunkError

__all__ = ["LRU", "clear_caches", "generation", "on_clear"]

T = TypeVar("T")


class _Flight:
    """A value that one thread is making and others may wait for."""

    __slots__ = ("done", "error", "owner", "value")

    def __init__(self) -> None:
        self.owner = threading.get_ident()
        self.done: threading.Event | None = None
        """Made by the first thread that waits: most values are made without one."""
        self.value: Any = None
        self.error: BaseException | None = None


_all: weakref.WeakSet[LRU[Any]] = weakref.WeakSet()


class LRU(Generic[T]):
    """Least recently used values up to a total weight, safe in threads; one thread makes a value, others wait for it.

    Parameters
    ----------
    limit
        Called for the largest total weight, so that a change of options takes effect at once.
    weigh
        Weight of one value.
    let_go
        Called with each value that falls out or is dropped, without any lock held.
    """

    def __init__(
        self,
        limit: Callable[[], int],
        weigh: Callable[[T], int] = lambda _: 1,
        let_go: Callable[[T], None] | None = None,
    ) -> None:
        self._limit, self._weigh, self._let_go = limit, weigh, let_go
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight] = {}
        self._left: deque[Hashable] = deque()
        """Keys that finalisers have left."""
        _all.add(self)

    def get(self, key: Hashable) -> T | None:
        """Return the value, now the most recently used, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
        if self._left:
            self._tidy()
        return value

    def put(self, key: Hashable, value: T) -> T:
        """Keep a value, drop the oldest beyond the limit; returns the value that is kept under the key."""
        weight, limit, gone = self._weigh(value), self._limit(), []
        with self._lock:
            if key in self._values:
                return self._values[key]
            if weight <= limit:
                self._values[key] = value
                self._weight += weight
                while self._weight > limit:
                    oldest = self._values.popitem(last=False)[1]
                    self._weight -= self._weigh(oldest)
                    gone.append(oldest)
        self._release(gone)
        if self._left:
            self._tidy()
        return value

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value; the first thread that finds none makes it, the others wait and share it, or its error.

        A thread that asks again for what it is making, makes it itself.
        """
        with self._lock:
            known = self._values.get(key)
            if known is not None:
                self._values.move_to_end(key)
                return known
            mine = _Flight()
            flight = self._flights.setdefault(key, mine)
            if flight is not mine and flight.done is None:
                flight.done = threading.Event()
        if flight is not mine:
            return self._wait(flight, make)
        try:
            mine.value = self.put(key, make())
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._lock:
                self._flights.pop(key, None)
            if mine.done is not None:
                mine.done.set()
        return cast("T", mine.value)

    def _wait(self, flight: _Flight, make: Callable[[], T]) -> T:
        if flight.owner == threading.get_ident():
            return make()
        cast("threading.Event", flight.done).wait()
        if flight.error is not None:
            raise _copied(flight.error)
        return cast("T", flight.value)

    def drop(self, is_meant: Callable[[Hashable], bool]) -> None:
        """Forget the values of some keys."""
        with self._lock:
            gone = [self._values.pop(key) for key in [k for k in self._values if is_meant(k)]]
            self._weight -= sum(self._weigh(v) for v in gone)
        self._release(gone)

    def pop(self, key: Hashable) -> T | None:
        """Take a value out, without letting it go."""
        with self._lock:
            value = self._pop(key)
        if self._left:
            self._tidy()
        return value

    def _pop(self, key: Hashable) -> T | None:
        value = self._values.pop(key, None)
        if value is not None:
            self._weight -= self._weigh(value)
        return value

    def leave(self, key: Hashable) -> None:
        """Forget a value without waiting for anybody, without letting it go: for finalisers.

        They run where the garbage collector does: at any point of any thread, also of one that holds the lock of this cache. Then the
        value is forgotten with the next call that has the lock.
        """
        self._left.append(key)
        self._tidy()

    def _tidy(self) -> None:
        """Forget what finalisers have left, unless the lock is held."""
        while self._left and self._lock.acquire(blocking=False):
            gone = []
            try:
                while self._left:
                    gone.append(self._pop(self._left.popleft()))
            finally:
                self._lock.release()
            del gone  # outside of the lock: values may have finalisers too

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            gone = list(self._values.values())
            self._values.clear()
            self._weight = 0
        self._release(gone)

    def abandon(self) -> None:
        """Start anew in a forked child: locks and flights belong to threads that are not there."""
        self._values, self._flights, self._weight = OrderedDict(), {}, 0
        self._lock, self._left = threading.Lock(), deque()

    def _release(self, gone: list[T]) -> None:
        if self._let_go is not None:
            for value in gone:
                self._let_go(value)

    def __len__(self) -> int:
        return len(self._values)


def _copied(error: BaseException) -> BaseException:
    """An error for another thread: one object raised in several would collect the tracebacks of all."""
    if not isinstance(error, ScichunkError):
        return error
    copy = type(error)(error.message, url=error.url, part=error.part, tried=error.tried)
    copy.__cause__ = error.__cause__
    return copy


_generation = [0]


def generation() -> int:
    """Return a number that is another one in a forked child: what was opened before the fork must be opened again."""
    return _generation[0]


_clearers: list[Callable[[], None]] = []


def on_clear(clear: Callable[[], None]) -> None:
    """Have something called by :func:`clear_caches`: modules that keep what is no :class:`LRU` register it here."""
    _clearers.append(clear)


def clear_caches() -> None:
    """Forget all that this process keeps of files, and close what is open for it.

    Arrays and datasets that were made before go on: they open their files again when they are read.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.clear_caches()
    """
    for cache in list(_all):
        cache.clear()
    for clear in _clearers:
        clear()


def _after_fork() -> None:
    _generation[0] += 1
    for cache in list(_all):
        cache.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
