"""What reads cost: requests, bytes, chunks and seconds, counted for whoever listens, and nothing at all where nobody does."""

from __future__ import annotations

import functools
import logging
import operator
import sys
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar, Token
from typing import Any, Final

__all__ = ["METRICS", "Sample", "add", "add_listener", "fetching", "log", "reading", "remove_listener", "timed"]

log: Final = logging.getLogger("scichunk")
"""Opening (DEBUG), other readers than ours and why, repeated requests, slow reads (INFO). It is silent until logging is set up."""
log.addHandler(logging.NullHandler())

METRICS: Final = (
    "reads", "requests", "asked", "fetched", "retries", "opened", "chunks", "hits", "decoded",
    "fetch_seconds", "decode_seconds", "place_seconds",
)  # fmt: skip
"""Reads of regions; requests to the storage; bytes asked for, and fetched with what lies between; requests that were repeated; files
opened; chunks decoded, and taken from the cache instead; bytes of values; seconds in three parts."""
_values_of = operator.attrgetter(*METRICS)
_SLOW_SECONDS: Final = 5.0


class Sample:
    """Counters of one read."""

    __slots__ = METRICS

    def __init__(self) -> None:
        self.reads = self.requests = self.asked = self.fetched = self.retries = self.opened = 0
        self.chunks = self.hits = self.decoded = 0
        self.fetch_seconds = self.decode_seconds = self.place_seconds = 0.0


Listener = Callable[[str, str, Sample], None]
"""Called after each read with the name of the format, the folder of the file, and the counters; in the thread that has read."""

_current: ContextVar[Sample | None] = ContextVar("scichunk_sample", default=None)
_listeners: tuple[Listener, ...] = ()


def add_listener(listener: Listener) -> None:
    """Let a function hear of each read of this process."""
    global _listeners  # noqa: PLW0603  # a tuple that is replaced as a whole, so that reads look at it without a lock
    _listeners = (*_listeners, listener)


def remove_listener(listener: Listener) -> None:
    """Let it hear no more."""
    global _listeners  # noqa: PLW0603
    _listeners = tuple(one for one in _listeners if one is not listener)


class _Nothing:
    """Counts nothing."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_exception: object) -> None:
        return None


_NOTHING: Final = _Nothing()


class _Reading:
    __slots__ = ("_begun", "_format", "_sample", "_token", "_url")

    def __init__(self, format_name: str, url: str) -> None:
        self._format, self._url, self._sample = format_name, url, Sample()
        self._begun = 0.0
        self._token: Token[Sample | None] | None = None

    def __enter__(self) -> None:
        self._begun, self._token = time.perf_counter(), _current.set(self._sample)

    def __exit__(self, *_exception: object) -> None:
        if self._token is not None:
            _current.reset(self._token)
        sample = self._sample
        sample.reads = 1
        # Neither messages of distributed nor SQLite take names that are no UTF-8: one of them would end its worker.
        dataset = (self._url.rpartition("/")[0] or self._url).encode("utf-8", "backslashreplace").decode()
        for listener in _listeners:
            listener(self._format, dataset, sample)
        metrics = sys.modules.get("distributed.metrics")
        if metrics is not None:
            _digest(metrics, self._format, dataset, sample)
        seconds = time.perf_counter() - self._begun
        if seconds > _SLOW_SECONDS:
            log.info(
                "a read of %s took %.1f s: %d bytes in %.1f s, %d chunks in %.1f s",
                self._url, seconds, sample.fetched, sample.fetch_seconds, sample.chunks, sample.decode_seconds,
            )  # fmt: skip


def _digest(metrics: Any, format_name: str, dataset: str, sample: Sample) -> None:
    """Hand the counters to the worker of distributed whose task this is; of a thread that is none, nothing is taken."""
    digest = metrics.context_meter.digest_metric
    for label, value in zip(_labels(format_name, dataset), _values_of(sample)):  # noqa: B905  # to be strict costs as much as a metric
        if value:
            digest(label, value, "scichunk")  # not in "seconds": distributed takes those out of the time of the task


@functools.lru_cache(1024)
def _labels(format_name: str, dataset: str) -> tuple[tuple[str, str, str, str], ...]:
    """Return what distributed calls each counter; kept, since a read has to cost microseconds."""
    return tuple(("scichunk", format_name, dataset, name) for name in METRICS)


def reading(format_name: str, url: str) -> _Nothing | _Reading:
    """Count what happens within the block, as one read of a file; a read within a read is part of it."""
    if _current.get() is not None:
        return _NOTHING
    if _listeners or "distributed.metrics" in sys.modules or log.isEnabledFor(logging.INFO):
        return _Reading(format_name, url)
    return _NOTHING


def add(name: str, amount: int) -> None:
    """Add to a counter of the read that goes on in this thread or task, which may be that of a thread that waits for it."""
    sample = _current.get()
    if sample is not None:
        setattr(sample, name, getattr(sample, name) + amount)


_fetches: Final[ContextVar[bool]] = ContextVar("scichunk_fetches", default=False)
"""Whether bytes are being fetched: what is asked of an archive for a member of it is no more that is asked for."""


class _Fetching:
    __slots__ = ("_begun", "_sample", "_token")

    def __init__(self, sample: Sample) -> None:
        self._sample, self._begun = sample, time.perf_counter()
        self._token: Token[bool] | None = None

    def __enter__(self) -> None:
        self._token = _fetches.set(True)

    def __exit__(self, *_exception: object) -> None:
        if self._token is not None:
            _fetches.reset(self._token)
        self._sample.fetch_seconds += time.perf_counter() - self._begun


def fetching(starts: Sequence[int], stops: Sequence[int]) -> _Nothing | _Fetching:
    """Count bytes that are asked for, and the seconds until they are there."""
    sample = _current.get()
    if sample is None or _fetches.get():
        return _NOTHING
    sample.asked += sum(stops) - sum(starts)
    return _Fetching(sample)


class _Timed:
    __slots__ = ("_begun", "_name", "_sample")

    def __init__(self, sample: Sample, name: str) -> None:
        self._sample, self._name, self._begun = sample, name, time.perf_counter()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_exception: object) -> None:
        before = getattr(self._sample, self._name)
        setattr(self._sample, self._name, before + time.perf_counter() - self._begun)


def timed(name: str) -> _Nothing | _Timed:
    """Add the seconds of the block to a counter."""
    sample = _current.get()
    return _NOTHING if sample is None else _Timed(sample, name)
