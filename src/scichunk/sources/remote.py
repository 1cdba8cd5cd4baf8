"""What every source behind a network shares: opening, coalescing, concurrency, time-outs, tries, versions, and forks.

Subclasses say how the head of a file is fetched and how one range is; the coroutines run on the one event loop thread that fsspec
keeps per process, so that synchronous and asynchronous readers share connections.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import fsspec.asyn

from scichunk import counters, options
from scichunk.errors import ScichunkError, SourceError
from scichunk.options import Options
from scichunk.sources.base import Fingerprint, Head, check_ranges, public_url, secret_texts, tag_with_head
from scichunk.sources.ranges import Fetch, plan_ranges
from scichunk.sources.retrying import RetriedRequest, TryAgain

__all__ = ["RemoteSource", "changed_error", "keep_over_fork"]

T = TypeVar("T")

_MAX_SIZE_BYTES: Final = (1 << 63) - 1


class RemoteSource(ABC):
    """Base of the sources that fetch ranges over a network.

    Subclasses implement :meth:`fetch_head` and :meth:`fetch_range`, may implement :meth:`connect`, :meth:`check` and
    :meth:`take_version`, and call :meth:`open_now` when they are complete. Each of these raises :class:`SourceError` where trying
    again is of no use, and any other exception where it may help.

    Parameters
    ----------
    url
        The file as the user named it, with its secrets.
    storage_options
        What else the user gave, whose texts are masked in messages of others.
    """

    url: str
    key: str
    fingerprint: Fingerprint
    is_cheap = False
    level = 0
    """As of :class:`~scichunk.sources.retrying.RetriedRequest`."""

    def __init__(self, url: str, storage_options: Any = None) -> None:
        self._secret_url = url
        self._hidden = tuple(secret_texts(storage_options))
        self.url = self.key = public_url(url)
        self._known = memoryview(b"")
        self._version = ""
        self._maker = os.getpid()
        self._connected = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def batch_bytes(self) -> int:
        """All ranges of a chunk at once: latency rules."""
        return 1 << 62

    @property
    def is_forked(self) -> bool:
        """Whether this is a forked child of the process in which the source was made."""
        return os.getpid() != self._maker

    async def connect(self) -> None:  # noqa: B027  # not all have connections of their own
        """Make what belongs to one process; called before the first request, and again in a forked child."""

    @abstractmethod
    async def fetch_head(self, limits: Options) -> Head:
        """Get the first bytes of the file, and its length and version."""

    @abstractmethod
    async def fetch_range(self, start: int, stop: int, limits: Options) -> bytes:
        """Get one range of the version that was opened."""

    def take_version(self, tag: str) -> None:  # noqa: B027  # not needed where no request has a condition
        """Take a version that was found without :meth:`fetch_head` as the one that was opened."""

    async def check(self) -> None:  # noqa: B027  # not needed where each answer says its version
        """Raise SourceError if the file has changed; called after each batch."""

    @property
    def cached_bytes(self) -> int:
        """What is known of the file: its head, or all of it."""
        return len(self._known)

    def head(self) -> memoryview:
        """Return the first bytes, read when the source was opened."""
        return self._known[: options.get().head_bytes]

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read ranges in one concurrent, coalesced batch."""
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        if all(stop <= len(self._known) for stop in stops):
            return [self._known[start:stop] for start, stop in zip(starts, stops, strict=True)]
        with counters.fetching(starts, stops):
            return self._run_work(self._read_batch(starts, stops, options.get()))

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`, for any event loop."""
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        with counters.fetching(starts, stops):
            work = asyncio.run_coroutine_threadsafe(
                self._read_batch(starts, stops, options.get()), fsspec.asyn.get_loop()
            )
            return await asyncio.wrap_future(work)

    def close(self) -> None:  # noqa: B027  # sources that hold something of their own may say how to let it go
        """Do nothing: connections belong to the process."""

    def open_now(self, known: Head | None = None) -> None:
        """Fetch the head and take down the version.

        Parameters
        ----------
        known
            The head of the version that is wanted, if another process has fetched it: then nothing is asked of the storage.

        Raises
        ------
        MissingFile, SourceError
            If there is no such file, or it cannot be reached.
        """
        if known is None:
            self._run_work(self._open_head(options.get()))
        else:
            self.take_version(known.tag)
            self._take_head(known)

    def keep(self, whole: bytes) -> None:
        """Take the content of the whole file from memory from now on."""
        self._known = memoryview(whole)

    def accepts(self, size: int | None, tag: str) -> bool:
        """Whether an answer is of the version that was opened, as far as can be told: None and "" stand for what is not said.

        Where no version was named when the file was opened, as by a proxy that has dropped it, the first that is named later counts.
        """
        if not self._version and tag and size in {None, self.fingerprint.size}:
            self._version = tag
            self.take_version(tag)
        return size in {None, self.fingerprint.size} and (not self._version or tag == self._version)

    def _run_work(self, work: Coroutine[Any, Any, T]) -> T:
        loop = fsspec.asyn.get_loop()
        if threading.current_thread() is fsspec.asyn.iothread[0]:  # it would wait for itself
            work.close()
            msg = "cannot be read in the thread of fsspec's event loop, as by a coroutine that runs there: read in another thread"
            raise SourceError(msg, url=self.url)
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # after Ctrl-C, nobody waits for the answers any more
            raise

    def _make_request(self, verb: str, part: str | None = None) -> RetriedRequest:
        return RetriedRequest(self._secret_url, self.url, part, verb, self._hidden, self.level)

    async def _open_head(self, limits: Options) -> None:
        async def attempt() -> Head:
            await self._connect_once()
            return await self.fetch_head(limits)

        found = await self._make_request("opened").persist(attempt, limits)
        if not 0 <= found.size <= _MAX_SIZE_BYTES:
            msg = f"the server says that the file has {found.size} bytes"
            raise SourceError(msg, url=self.url)
        self._take_head(found)

    def _take_head(self, found: Head) -> None:
        self._known, self._version = memoryview(found.data), found.tag
        # A server without ETag and Last-Modified names no version; the digest of the head notices at least what changes there.
        self.fingerprint = Fingerprint(found.size, found.tag or tag_with_head("", found.data))

    async def _connect_once(self) -> None:
        if self._connected != os.getpid():
            await self.connect()
            self._connected = os.getpid()

    async def _read_batch(self, starts: Sequence[int], stops: Sequence[int], limits: Options) -> list[memoryview]:
        """Read ranges: from memory as far as they are known, the others together."""
        views = [memoryview(b"")] * len(starts)
        wanted: list[int] = []
        for i, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            if stop <= len(self._known):
                views[i] = self._known[start:stop]
            elif start < stop:
                wanted.append(i)
        if not wanted:
            return views
        fetches = plan_ranges(
            [starts[i] for i in wanted], [stops[i] for i in wanted], gap=limits.range_gap, max_size=limits.range_max
        )
        bodies = await self._fetch_together(fetches, limits)
        for fetch, body in zip(fetches, bodies, strict=True):
            view = memoryview(body)
            for member in fetch.members:
                i = wanted[member]
                views[i] = view[starts[i] - fetch.start : stops[i] - fetch.start]
        # Storages whose answers do not say their version are asked for it after the batch: what came before is of the old one, or all.
        await self._make_request("read").persist(self.check, limits)
        return views

    async def _fetch_together(self, fetches: Sequence[Fetch], limits: Options) -> list[bytes]:
        """Make all fetches at once; the first that fails for good ends the others."""
        tasks = [asyncio.ensure_future(self._fetch_range(f, limits)) for f in fetches]
        failure: ScichunkError | None = None
        try:
            return await asyncio.gather(*tasks)
        except ScichunkError as error:
            failure = error
        finally:
            for task in tasks:
                task.cancel()
            # Tasks that were cancelled still end their connections; nobody would ask for their errors, and asyncio would print them.
            await asyncio.gather(*tasks, return_exceptions=True)
        raise await self._explain_failure(failure, limits)

    async def _explain_failure(self, failure: ScichunkError, limits: Options) -> ScichunkError:
        """Return the error of a changed file if that is why a range could not be read: the file may have become shorter."""
        try:
            await self._make_request("read", failure.part).persist(self.check, replace(limits, retries=0))
        except ScichunkError as error:
            return error if error.message == changed_error().message else failure
        return failure

    async def _fetch_range(self, fetch: Fetch, limits: Options) -> bytes:
        async def attempt() -> bytes:
            await self._connect_once()
            body = await self.fetch_range(fetch.start, fetch.stop, limits)
            if len(body) != fetch.stop - fetch.start:
                msg = f"{len(body)} bytes came instead of {fetch.stop - fetch.start}"
                raise TryAgain(msg)
            return body

        part = f"bytes {fetch.start} to {fetch.stop}"
        if not self.level:  # else those of what the archive lies in are counted
            counters.add("requests", 1)
            counters.add("fetched", fetch.stop - fetch.start)
        return await self._make_request("read", part).persist(attempt, limits)


def changed_error() -> SourceError:
    """Return the error of a file that is no longer what was opened."""
    msg = "the file has changed since it was opened; open it again"
    return SourceError(msg)


_connections: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_kept_connections: list[Any] = []
_inherited: list[Any] = []


def keep_over_fork(connection: Any) -> None:
    """Let a forked child keep an object that holds connections of its parent, without using it.

    If the child let go of it, the object would close its sockets and take them from the event loop, whose selector the child shares
    with its parent: the parent would wait for answers that it is never told of.
    """
    _connections[id(connection)] = connection


def _before_fork() -> None:
    _kept_connections.extend(_connections.values())


def _after_fork_in_parent() -> None:
    _kept_connections.clear()


def _after_fork_in_child() -> None:
    _inherited.extend(_kept_connections)
    _kept_connections.clear()
    _connections.clear()
    for connection in list(_inherited):
        connector = getattr(connection, "connector", None)
        if connector is not None and hasattr(
            connection, "detach"
        ):  # a session of aiohttp: nothing is left to close at exit
            _inherited.append(connector)
            connection.detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
