"""Silence for the warnings of the libraries that we call, in the calling thread only.

``warnings.catch_warnings`` is not for code that runs in threads: it exchanges the filters of the whole process, so that blocks which
overlap put back the wrong ones, and what other threads warn of meanwhile is lost. Here a filter stands in the list for as long as any
thread is in a quiet section, and matches in those threads alone: the place of the pattern for the module's name, of which ``warnings``
only ever calls ``match``, is taken by an object that answers for the thread.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

__all__ = ["library_lock", "quiet"]

# Methods written in C: while warnings goes through its filters, no other thread gets its turn, so the list does not change meanwhile.
_NOTHING: Final[Callable[[Any], bool]] = frozenset[str]().__contains__
_ANYTHING: Final[Callable[[Any], bool]] = frozenset[str]().isdisjoint


class _ThisThread(threading.local):
    """A pattern that matches any module in the threads that are in a quiet section, and none in all others."""

    match: Callable[[Any], bool] = _NOTHING
    depth = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _ThisThread, ()  # joblib sends the filters of a process to its workers; there this matches nothing


class _Filter:
    """The filter of one category of warnings, and who needs it."""

    def __init__(self, category: type[Warning]) -> None:
        self.here = _ThisThread()
        self.item: Any = ("ignore", None, category, self.here, 0)
        self.users = 0
        self.lists: list[list[Any]] = []
        """Lists of filters that it was put into: a ``catch_warnings`` of somebody else may have exchanged them since."""

    def enter(self) -> None:
        """Begin a section of this thread, or one within it."""
        with _state.lock:
            self.users += 1
            current: Any = warnings.filters
            if not current or current[0] is not self.item:  # also if the user's filters were changed since
                current.insert(0, self.item)
                self.lists.append(current)
        self.here.depth += 1
        self.here.match = _ANYTHING  # of this thread

    def leave(self) -> None:
        """End a section; the last one of all threads takes the filter away."""
        self.here.depth -= 1
        if not self.here.depth:
            del self.here.match
        with _state.lock:
            self.users -= 1
            if self.users:
                return
            lists: list[Any] = [*self.lists, warnings.filters]
            self.lists.clear()
            for filters in lists:
                with contextlib.suppress(ValueError):
                    while True:
                        filters.remove(self.item)


class _QuietState:
    def __init__(self) -> None:
        self.filters: dict[type[Warning], _Filter] = {}
        self.renew_locks()

    def renew_locks(self) -> None:
        """Make new locks: another thread of a parent that was forked may have held them."""
        self.lock = threading.Lock()
        self.alone = threading.RLock()

    def filter_of(self, category: type[Warning]) -> _Filter:
        with self.lock:
            return self.filters.setdefault(category, _Filter(category))


_state: Final = _QuietState()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_state.renew_locks)


class quiet:  # noqa: N801  # reads as a statement: with quiet()
    """A context manager in which this thread does not warn.

    Our own warnings are raised outside of it, or are of another category: they would be lost, too.

    Parameters
    ----------
    category
        Class of the warnings that are dropped.
    """

    __slots__ = ("_filter",)

    def __init__(self, category: type[Warning] = Warning) -> None:
        self._filter = _state.filter_of(category)

    def __enter__(self) -> None:
        self._filter.enter()

    def __exit__(self, *exception: object) -> None:
        self._filter.leave()


def library_lock() -> AbstractContextManager[bool]:
    """Return the lock under which astropy and glymur are called.

    They are not safe in threads, for reasons of their own; and they use ``catch_warnings`` themselves, so that it must be one lock for
    all of them.
    """
    return _state.alone
