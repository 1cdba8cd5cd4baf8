"""Handles of reference libraries: lent to one thread at a time, a bounded number kept open for the next."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from scichunk import options
from scichunk.lru import on_clear
from scichunk.sources.local import close_idle_files

__all__ = ["HandlePool", "count_idle"]

_pools: weakref.WeakSet[HandlePool] = weakref.WeakSet()
_inherited: list[Any] = []
"""Handles of the parent process: closing or reading one here would move the position that both share."""


def count_idle() -> int:
    """Return how many handles of all pools are open and not lent."""
    return sum(pool.idle for pool in list(_pools))


class HandlePool:
    """Open handles by owner.

    A handle belongs to one thread only while it is lent, so that threads that end leave none behind.

    Parameters
    ----------
    close
        Closes a handle.
    """

    def __init__(self, close: Callable[[Any], None]) -> None:
        self._close = close
        self._idle: OrderedDict[int, tuple[Hashable, Any]] = OrderedDict()
        self._tickets = 0
        self._lock = threading.Lock()
        self._left: deque[Hashable] = deque()
        """Owners that are gone, as their finalisers have said."""
        _pools.add(self)

    @contextlib.contextmanager
    def lend(self, owner: Hashable, make: Callable[[], Any]) -> Iterator[Any]:
        """Lend a handle of an owner; one that fails in use is closed.

        Parameters
        ----------
        owner
            What the handle is of.
        make
            Opens another one; called where none is idle.
        """
        handle = self._take_handle(owner)
        if handle is None:
            handle = self._open_handle(make)
        try:
            yield handle
        # After an error nobody knows what state a handle is in; a reader that is cancelled counts too.
        except BaseException:
            self._close(handle)
            raise
        self._give_back(owner, handle)

    @property
    def idle(self) -> int:
        """How many handles are open and not lent."""
        return len(self._idle)

    def discard(self, owner: Hashable) -> None:
        """Close the idle handles of an owner."""
        with self._lock:
            gone = self._pop_handles([owner])
        self._close_all(gone)

    def leave(self, owner: Hashable) -> None:
        """Close the idle handles of an owner without waiting for anybody: for finalisers.

        They run where the garbage collector does: at any point of any thread, also of one that holds the lock of this pool. Whoever
        holds it closes the handles afterwards.
        """
        self._left.append(owner)
        self._close_all(())

    def _pop_handles(self, owners: list[Hashable]) -> list[Any]:
        """Take the handles of owners out; the lock is held."""
        tickets = [ticket for ticket, (whose, _) in self._idle.items() if whose in owners]
        return [self._idle.pop(ticket)[1] for ticket in tickets]

    def _close_all(self, handles: Iterable[Any]) -> None:
        """Close handles that were taken out, and those of owners that are gone, unless another thread can see to these."""
        for handle in handles:
            self._close(handle)
        while self._left and self._lock.acquire(blocking=False):
            try:
                gone = self._pop_handles([self._left.popleft() for _ in range(len(self._left))])
            finally:
                self._lock.release()
            for handle in gone:
                self._close(handle)

    def clear(self) -> None:
        """Close all idle handles."""
        with self._lock:
            gone = [handle for _, handle in self._idle.values()]
            self._idle.clear()
        self._close_all(gone)

    def _take_handle(self, owner: Hashable) -> Any:
        with self._lock:
            # The one that was given back last: what it read may still be cached.
            ticket = next((t for t in reversed(self._idle) if self._idle[t][0] == owner), None)
            handle = None if ticket is None else self._idle.pop(ticket)[1]
        self._close_all(())
        return handle

    def _give_back(self, owner: Hashable, handle: Any) -> None:
        gone = []
        with self._lock:
            self._tickets += 1
            self._idle[self._tickets] = owner, handle
            while len(self._idle) > options.get().cached_handles:
                gone.append(self._idle.popitem(last=False)[1][1])
        self._close_all(gone)

    def _open_handle(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except Exception as error:
            if not _is_out_of_descriptors(error):
                raise
        self.clear()
        close_idle_files()
        return make()

    def abandon(self) -> None:
        """Keep the parent's handles untouched in a forked child."""
        _inherited.extend(handle for _, handle in self._idle.values())
        self._idle, self._lock, self._left = OrderedDict(), threading.Lock(), deque()


def _is_out_of_descriptors(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the process has too many open files."""
    while error is not None:
        if getattr(error, "errno", None) == errno.EMFILE or os.strerror(errno.EMFILE) in str(error):
            return True
        error = error.__cause__
    return False


def _after_fork() -> None:
    for pool in list(_pools):
        pool.abandon()


def _close_all() -> None:
    for pool in list(_pools):
        pool.clear()


atexit.register(_close_all)  # while the libraries are still whole
on_clear(_close_all)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
