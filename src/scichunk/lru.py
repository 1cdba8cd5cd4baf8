"""Bounded caches of this process: one thread makes a value while others wait, and a forked child begins anew."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from scichunk.errors import ScichunkError

__all__ = ["LRU", "clear_caches", "generation", "memory_of", "named_caches", "on_clear"]

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


def _weigh_one(_value: object) -> int:
    return 1


def _forget_nothing(_key: object) -> int:
    return 0


def memory_of(value: Any) -> int:
    """Return the memory of texts, numbers, arrays and of what is made of them, by going through it: for small things."""
    size, left = 0, [value]
    while left:
        value = left.pop()
        size += sys.getsizeof(value)
        if isinstance(value, Mapping):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, tuple | list | frozenset):
            left += value
        elif dataclasses.is_dataclass(value):
            left += [getattr(value, field.name) for field in dataclasses.fields(value)]
    return size


class LRU(Generic[T]):
    """Least recently used values up to a total weight, safe in threads; one thread makes a value, others wait for it.

    Parameters
    ----------
    limit
        Called for the largest total weight, so that a change of options takes effect at once.
    weigh
        Weight of one value, in bytes; by default each weighs 1, so that they are counted.
    let_go
        Called with each value that falls out or is dropped, without any lock held.
    weigh_key
        What the key of a value adds to its weight.
    name
        What it holds, for :func:`scichunk.cache_info`; caches without a name are not told.
    most
        Called for the largest number of values, where their weight is not their number.
    grows
        Values grow while they are used: one is weighed again when another one is asked for. The one that was used last stays,
        whatever it weighs, unless nothing may be kept: each of its uses would make it anew.
    """

    def __init__(
        self,
        limit: Callable[[], int],
        weigh: Callable[[T], int] = _weigh_one,
        let_go: Callable[[T], None] | None = None,
        *,
        weigh_key: Callable[[Any], int] = _forget_nothing,
        name: str = "",
        most: Callable[[], int] | None = None,
        grows: bool = False,
    ) -> None:
        self._limit, self._weigh, self._let_go = limit, weigh, let_go
        self._weigh_key, self.name, self._most, self._grows = weigh_key, name, most, grows
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._weights: dict[Hashable, int] = {}
        self._weight = 0
        self._used: tuple[Hashable, T | None] = (None, None)
        """The value that may have grown since it was weighed, with its key."""
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight] = {}
        self._left: deque[Hashable] = deque()
        """Keys that finalisers have left."""
        _all.add(self)

    def get(self, key: Hashable) -> T | None:
        """Return the value, now the most recently used, or None."""
        with self._lock:
            value, gone = self._get_and_shrink(key)
        if gone:
            self._release_values(gone)
        if self._left:
            self._forget_left()
        return value

    def _get_and_shrink(self, key: Hashable) -> tuple[T | None, Sequence[T]]:
        """The value, and those that fall out since the one that was used before has grown. The lock is held."""
        value = self._values.get(key)
        if value is None:
            return None, ()
        self._values.move_to_end(key)
        # Opened files grow while they are read (headers, indexes): the one that was used before is weighed when another is used.
        if not self._grows or value is self._used[1]:
            return value, ()
        self._weigh_used()
        self._used = key, value
        return value, self._take_oldest() if self._weight > self._limit() else ()

    def _weigh_used(self) -> None:
        """Weigh the value that was used last again. The lock is held."""
        key, value = self._used
        if value is not None:
            weight = self._weigh(value) + self._weigh_key(key)
            self._weight += weight - self._weights[key]
            self._weights[key] = weight

    def _take_oldest(self) -> Sequence[T]:
        """Take out the oldest beyond the limits. The lock is held."""
        limit, most = self._limit(), None if self._most is None else self._most()
        if self._weight <= limit and (most is None or len(self._values) <= most):  # nearly always
            return ()
        gone: list[T] = []
        while self._values and (self._weight > limit or (most is not None and len(self._values) > most)):
            # The value that is in use is never dropped for its own size: it would be made again by each read.
            if self._grows and len(self._values) == 1 and limit and most != 0:
                break
            gone.append(cast("T", self._pop_locked(next(iter(self._values)))))
        return gone

    def put(self, key: Hashable, value: T) -> T:
        """Keep a value, drop the oldest beyond the limit; returns the value that is kept under the key."""
        weight = 1 if self._weigh is _weigh_one else self._weigh(value) + self._weigh_key(key)
        gone: Sequence[T] = ()
        with self._lock:
            # Another thread was faster: all share its value, so that what hangs on the object (open handles) exists once.
            known = self._values.get(key)
            if known is not None:
                return known
            if self._grows:
                self._weigh_used()
                self._used = key, value
            if self._grows or weight <= self._limit():
                self._values[key], self._weights[key] = value, weight
                self._weight += weight
                gone = self._take_oldest()
        if gone:
            self._release_values(gone)
        if self._left:
            self._forget_left()
        return value

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value; the first thread that finds none makes it, the others wait and share it, or its error.

        A thread that asks again for what it is making, makes it itself.
        """
        mine = flight = None
        with self._lock:
            known, gone = self._get_and_shrink(key)
            if known is None:
                mine = _Flight()
                flight = self._flights.setdefault(key, mine)
                if flight is not mine and flight.done is None:
                    flight.done = threading.Event()
        if mine is None or flight is None:  # it is known
            self._release_values(gone)
            return cast("T", known)
        if flight is not mine:
            return self._await_flight(flight, key, make)
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
            else:  # nobody asks for the error; it, its traceback, this frame and the flight would hold each other, and all that
                mine.error = None  # other frames of the traceback hold, until the garbage collector comes
        return cast("T", mine.value)

    def _await_flight(self, flight: _Flight, key: Hashable, make: Callable[[], T]) -> T:
        # Making a value asks for itself (a document that refers to itself): waiting would be for ever.
        if flight.owner == threading.get_ident():
            return make()
        cast("threading.Event", flight.done).wait()
        if isinstance(flight.error, Exception):
            raise _copy_error(flight.error)
        if flight.error is not None:  # that thread was asked to end, and not this one
            return self.get_or_make(key, make)
        return cast("T", flight.value)

    def drop(self, is_meant: Callable[[Hashable], bool]) -> None:
        """Forget the values of some keys."""
        with self._lock:
            gone = [cast("T", self._pop_locked(key)) for key in [k for k in self._values if is_meant(k)]]
        self._release_values(gone)

    def pop(self, key: Hashable) -> T | None:
        """Take a value out, without letting it go."""
        with self._lock:
            value = self._pop_locked(key)
        if self._left:
            self._forget_left()
        return value

    def _pop_locked(self, key: Hashable) -> T | None:
        value = self._values.pop(key, None)
        if value is not None:
            self._weight -= self._weights.pop(key)
            if value is self._used[1]:
                self._used = None, None
        return value

    def leave(self, key: Hashable) -> None:
        """Forget a value without waiting for anybody, without letting it go: for finalisers.

        They run where the garbage collector does: at any point of any thread, also of one that holds the lock of this cache. Then the
        value is forgotten with the next call that has the lock.
        """
        if key in self._values:
            self._left.append(key)
            self._forget_left()

    def _forget_left(self) -> None:
        """Forget what finalisers have left, unless the lock is held."""
        # A finaliser may run in the thread that holds the lock, at any point: it must not wait for it.
        while self._left and self._lock.acquire(blocking=False):
            gone = []
            try:
                while self._left:
                    gone.append(self._pop_locked(self._left.popleft()))
            finally:
                self._lock.release()
            del gone  # outside of the lock: values may have finalisers too

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            gone = list(self._values.values())
            self._values.clear()
            self._weights.clear()
            self._weight, self._used = 0, (None, None)
        self._release_values(gone)

    def abandon(self) -> None:
        """Start anew in a forked child: locks and flights belong to threads that are not there."""
        self._values, self._flights, self._weights, self._weight = OrderedDict(), {}, {}, 0
        self._lock, self._left, self._used = threading.Lock(), deque(), (None, None)

    def _release_values(self, gone: Sequence[T]) -> None:
        if self._let_go is not None:
            for value in gone:
                self._let_go(value)

    def __len__(self) -> int:
        return len(self._values)

    def usage(self) -> tuple[int, int, int | None, int | None]:
        """Return the number of values and their weight, and the most of both: of those that are counted, neither weight is known.

        Returns
        -------
        entries, weight : int
            All values are weighed anew where they grow; 0 for those that are counted.
        most_entries, most_weight : int or None
        """
        with self._lock:
            if self._weigh is _weigh_one:
                return len(self._values), 0, self._limit(), None
            if self._grows:
                self._weights = {key: self._weigh(value) + self._weigh_key(key) for key, value in self._values.items()}
                self._weight = sum(self._weights.values())
            return len(self._values), self._weight, None if self._most is None else self._most(), self._limit()


def named_caches() -> list[LRU[Any]]:
    """Return the caches of this process that have a name."""
    return sorted((cache for cache in list(_all) if cache.name), key=lambda cache: cache.name)


def _copy_error(error: BaseException) -> BaseException:
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
