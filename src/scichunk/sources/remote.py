"""What every source behind a network shares: coalescing, concurrency, checks, retries with back-off.

Subclasses say how one range is fetched; the coroutines run on the one event loop thread that fsspec keeps per process,
so that synchronous and asynchronous readers share connections.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import fsspec.asyn

from scichunk import options
from scichunk.errors import MissingFile, ScichunkError, SourceError
from scichunk.sources.base import Fingerprint, check_ranges
from scichunk.sources.ranges import Fetch, plan_ranges

__all__ = ["RemoteSource"]

T = TypeVar("T")


class RemoteSource(ABC):
    """Base of the sources that fetch ranges over a network."""

    url: str
    key: str
    fingerprint: Fingerprint
    is_cheap = False

    def __init__(self, url: str) -> None:
        self.url = self.key = url
        self._head = memoryview(b"")
        self._slots: asyncio.Semaphore | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def batch_bytes(self) -> int:
        """All ranges of a chunk at once: latency rules."""
        return 1 << 62

    @abstractmethod
    async def fetch(self, start: int, stop: int) -> bytes:
        """Get one range; raise SourceError where trying again is no use, any other exception where it may help."""

    def head(self) -> memoryview:
        """Return the first bytes, read when the source was opened."""
        return self._head

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read ranges in one concurrent, coalesced batch."""
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        return self._run(self._batch(starts, stops))

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`, for any event loop."""
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        work = asyncio.run_coroutine_threadsafe(self._batch(starts, stops), fsspec.asyn.get_loop())
        return await asyncio.wrap_future(work)

    def close(self) -> None:  # noqa: B027  # sources that hold something of their own may say how to let it go
        """Do nothing: connections belong to the process."""

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, fsspec.asyn.get_loop()).result()

    async def _batch(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        views = [memoryview(b"")] * len(starts)
        wanted: list[int] = []
        for i, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            if stop <= len(self._head):
                views[i] = self._head[start:stop]
            else:
                wanted.append(i)
        limits = options.get()
        fetches = plan_ranges(
            [starts[i] for i in wanted], [stops[i] for i in wanted], gap=limits.range_gap, max_size=limits.range_max
        )
        bodies = await asyncio.gather(*(self._patient(f) for f in fetches), return_exceptions=True)
        for fetch, body in zip(fetches, bodies, strict=True):
            if isinstance(body, BaseException):
                raise body
            view = memoryview(body)
            for member in fetch.members:
                i = wanted[member]
                views[i] = view[starts[i] - fetch.start : stops[i] - fetch.start]
        return views

    async def _patient(self, fetch: Fetch) -> bytes:
        """One fetch, tried again after transient failures."""
        limits = options.get()
        if self._slots is None:
            self._slots = asyncio.Semaphore(limits.concurrency)
        part = f"bytes {fetch.start} to {fetch.stop}"
        last: BaseException | None = None
        for attempt in range(limits.retries + 1):
            if attempt:
                await asyncio.sleep(limits.retry_wait * 2 ** (attempt - 1) * random.uniform(0.75, 1.25))  # noqa: S311
            try:
                async with self._slots:
                    body = await asyncio.wait_for(self.fetch(fetch.start, fetch.stop), limits.timeout)
            except ScichunkError as error:
                raise error.at(url=self.url, part=part) from None
            except FileNotFoundError:
                msg = "no such file or object"
                raise MissingFile(msg, url=self.url, part=part) from None
            except PermissionError as error:
                msg = f"access denied: {error}"
                raise SourceError(msg, url=self.url, part=part) from error
            except Exception as error:  # noqa: BLE001  # whatever a file system raises; raised again below
                last = error
                continue
            if len(body) == fetch.stop - fetch.start:
                return body
            last = OSError(f"{len(body)} bytes came instead of {fetch.stop - fetch.start}")
        msg = f"cannot be read: {type(last).__name__}: {last}"
        raise SourceError(msg, url=self.url, part=part, tried=f"{limits.retries + 1} times") from last
