"""Which array or table of which file: small values that travel to workers, and the file's structure once per process there."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Final, cast

from scichunk import counters
from scichunk.core import registry
from scichunk.core.arrays import ArraySource
from scichunk.core.cache import FileKey, files, forget_file
from scichunk.core.files import ArrayId, OpenFile, TableFile
from scichunk.core.guard import Guarded
from scichunk.core.tables import TableSource
from scichunk.errors import SourceError, guarded
from scichunk.options import opening_limits
from scichunk.sources import ByteSource, Fingerprint, Location
from scichunk.sources.base import leading_bytes
from scichunk.sources.local import changed_message
from scichunk.sources.whole_file import expand_source, find_compression

__all__ = ["Handle", "Share", "TableHandle", "open_file"]

_HEAD_BYTES: Final = 4096
"""As many are handed to ``sniff``."""


def open_file(
    format_name: str,
    location: Location,
    expected: Fingerprint | None = None,
    source: ByteSource | None = None,
    *,
    keep: bool = True,
) -> OpenFile:
    """Open a file, or take it from this process' cache; threads that ask for one file at the same time open it once.

    Parameters
    ----------
    format_name
        Name of the format.
    location
        The file.
    expected
        The version that is wanted: a cached structure of it will do. None looks at the file first.
    source
        Its source, if that is open already.
    keep
        Whether the cache takes it; who looks at more files than the cache holds would only push everything out of it.

    Raises
    ------
    SourceError
        If it is missing, or no longer the version that is expected.
    """
    # A file that was opened with other limits may lack pages, or give what is refused here.
    limits = opening_limits()
    # In a worker the version is known: what is cached is found without asking the storage.
    if expected is not None:
        key = (FileKey(location.key, expected), format_name, limits)
        return cast("OpenFile", files.get_or_make(key, lambda: _open_version(format_name, location, expected, source)))
    spec = registry.get_format(format_name)
    source = source or location.open()
    version = spec.version(location, source.fingerprint)
    key = (FileKey(location.key, version), format_name, limits)
    if not keep:
        return cast("OpenFile | None", files.get(key)) or _make_file(format_name, location, version, source)
    return cast("OpenFile", files.get_or_make(key, lambda: _make_file(format_name, location, version, source)))


def _open_version(format_name: str, location: Location, expected: Fingerprint, source: ByteSource | None) -> OpenFile:
    source = source or location.open(expected)
    version = registry.get_format(format_name).version(location, source.fingerprint)
    if version != expected:
        raise SourceError(changed_message(expected, version), url=source.url)
    return _make_file(format_name, location, version, source)


def _make_file(format_name: str, location: Location, version: Fingerprint, source: ByteSource) -> OpenFile:
    spec, head = registry.get_format(format_name), leading_bytes(source, _HEAD_BYTES)
    counters.log.debug("opening %s as %s", source.url, format_name)
    counters.add("opened", 1)
    with guarded(source.url):
        packed = find_compression(head) is not None and not spec.sniff(head)  # else the format takes it as it is
        file = spec.open_file(location, source=expand_source(source) if packed else source)
    file.fingerprint, file.alone = version, version == source.fingerprint
    return cast("OpenFile", Guarded(file, source.url))


_shares: Counter[FileKey] = Counter()
_left: deque[FileKey] = deque()
"""Shares that the garbage collector has taken: it runs at any point of any thread, also where the lock is held."""
_lock = threading.Lock()


class Share:
    """A dataset's share of an opened file: when the last one is closed, the file is closed and forgotten.

    A dataset that is gone without having been closed has no share any more, but its file stays in the cache.

    Parameters
    ----------
    location, fingerprint
        Of the file.
    """

    def __init__(self, location: Location, fingerprint: Fingerprint) -> None:
        self._key: FileKey | None = None
        self._take(FileKey(location.key, fingerprint))

    def _take(self, key: FileKey) -> None:
        """Count one share more."""
        self._key = key
        with _lock:
            _shares[key] += 1
        _count_gone_shares()

    def close(self) -> None:
        """Give the share up; once."""
        _count_gone_shares()
        key, self._key = self._key, None
        if key is not None:
            with _lock:
                last = _take_from(key)
            if last:
                forget_file(key)

    def __del__(self) -> None:
        key, self._key = self._key, None
        if key is not None:
            _left.append(key)
            _count_gone_shares()

    def __reduce__(self) -> tuple[Any, ...]:
        # Datasets are pickled with what closes them: what arrives must be counted before it can be given up.
        return _share_again, (self._key,)


def _share_again(key: FileKey | None) -> Share:
    """Make the share of a dataset that was copied by pickle; none of one that was closed."""
    found = Share.__new__(Share)
    found._key = None  # noqa: SLF001  # of this module
    if key is not None:
        found._take(key)  # noqa: SLF001
    return found


def _take_from(key: FileKey) -> bool:
    """Count one share less; whether it was the last one. The lock is held."""
    _shares[key] -= 1
    if _shares[key] > 0:
        return False
    del _shares[key]
    return True


def _count_gone_shares() -> None:
    """Count the shares that are gone, unless the lock is held: then whoever comes next does."""
    while _left and _lock.acquire(blocking=False):
        try:
            while _left:
                _take_from(_left.popleft())
        finally:
            _lock.release()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603  # it may have been held by a thread that is not there any more
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True, slots=True)
class Handle:
    """An array by name."""

    format: str
    location: Location
    fingerprint: Fingerprint
    array_id: ArrayId

    def open(self) -> OpenFile:
        """Return the file, opening it in this process if need be."""
        return open_file(self.format, self.location, self.fingerprint)

    def resolve(self) -> ArraySource:
        """Return the array, opening the file in this process if need be."""
        return self.open().array(self.array_id)


@dataclass(frozen=True, slots=True)
class TableHandle:
    """A table by name."""

    format: str
    location: Location
    fingerprint: Fingerprint
    array_id: ArrayId

    def resolve(self) -> TableSource:
        """Return the table, opening the file in this process if need be."""
        file = open_file(self.format, self.location, self.fingerprint)
        return cast("TableFile", file).table(self.array_id)
