"""The identity of a file in this process, and the caches whose keys begin with it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from scichunk import options
from scichunk.lru import LRU
from scichunk.sources.base import ByteSource, Fingerprint

__all__ = ["FileKey", "cached_bytes", "files", "forget_file", "key_of", "read_gate", "tiles"]


@dataclass(frozen=True, slots=True)
class FileKey:
    """One version of one file, reached with certain credentials: what everything that is cached of a file begins with."""

    location: str
    """:attr:`scichunk.sources.Location.key`."""
    version: Fingerprint

    def __hash__(self) -> int:
        return hash(self.location)  # kept by the text; few versions of one file are ever in a cache


def key_of(source: ByteSource) -> FileKey:
    """Return the identity of an opened source."""
    return FileKey(source.key, source.fingerprint)


def _close_file(file: object) -> None:
    close = getattr(file, "close", None)
    if close is not None:  # files of plug-ins may hold nothing open
        close()


_LEAST_BYTES: Final = 1 << 14
"""What an opened file of a few tags takes, measured; files of plug-ins that do not say what they hold count as that."""


def cached_bytes(thing: object) -> int:
    """Return what something says of its memory, see :attr:`scichunk.core.files.OpenFile.cached_bytes`; 0 if it says nothing."""
    return int(getattr(thing, "cached_bytes", 0))


files: LRU[object] = LRU(
    lambda: options.get().cached_file_bytes,
    lambda file: _LEAST_BYTES + cached_bytes(file),
    let_go=_close_file,
    name="opened files",
    most=lambda: options.get().cached_files,
    grows=True,
)
"""Opened files (source, structure, indexes) by :class:`FileKey`, format, and the limits that they were opened with."""

tiles: LRU[object] = LRU(
    lambda: options.get().cached_tile_bytes, lambda a: int(getattr(a, "nbytes", 1 << 10)), name="decoded chunks"
)
"""Decoded native chunks of which a read used only a part, by :class:`FileKey` and array."""


def forget_file(file: FileKey) -> None:
    """Close an opened file, and forget what was decoded of it."""

    def is_this(key: Hashable) -> bool:
        return isinstance(key, tuple) and key[0] == file

    def is_content(
        key: Hashable,
    ) -> bool:  # of the file itself, of its content if that is expanded, or of another version
        return isinstance(key, tuple) and isinstance(key[0], FileKey) and key[0].location == file.location

    files.drop(is_this)
    tiles.drop(is_content)


_gates: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = weakref.WeakKeyDictionary()


def read_gate() -> asyncio.Semaphore:
    """Return the running event loop's bound on asynchronous reads in flight (``options.concurrency``)."""
    loop = asyncio.get_running_loop()
    if loop not in _gates:
        _gates[loop] = asyncio.Semaphore(options.get().concurrency)
    return _gates[loop]
