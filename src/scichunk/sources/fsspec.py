"""Any file system that fsspec knows: object stores, archives, caches, chained URLs."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.asyn import AsyncFileSystem

from scichunk import options
from scichunk.errors import LimitExceeded, MissingFile, ScichunkError, SourceError
from scichunk.sources.base import Fingerprint, public_url
from scichunk.sources.remote import RemoteSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

__all__ = ["FsspecSource"]

_RECHECK_SECONDS = 10.0


class FsspecSource(RemoteSource):
    """A file of an fsspec file system.

    Parameters
    ----------
    fs
        The file system.
    path
        The file on it.
    url
        The name for messages.

    Raises
    ------
    MissingFile, SourceError
        If there is no such file, or it cannot be reached.
    """

    def __init__(self, fs: AbstractFileSystem, path: str, url: str) -> None:
        super().__init__(public_url(url))
        self._fs, self._path = fs, path
        self._async = isinstance(fs, AsyncFileSystem) and not fs.asynchronous and fs.async_impl
        self._recheck = _RECHECK_SECONDS if self._async else 0.0
        self.fingerprint = self._inspect()
        self._checked = time.monotonic()
        size = min(self.fingerprint.size, options.get().head_bytes)
        self._head = self.read_ranges([0], [size])[0] if size else memoryview(b"")

    @classmethod
    def from_url(cls, url: str, storage_options: Mapping[str, Any]) -> FsspecSource:
        """Open an fsspec URL, chained ones included."""
        try:
            fs, path = fsspec.core.url_to_fs(url, **storage_options)
        except ScichunkError:
            raise
        except FileNotFoundError as error:
            msg = f"no such file: {error}"
            raise MissingFile(msg, url=public_url(url)) from error
        except Exception as error:
            msg = f"the file system cannot be opened: {type(error).__name__}: {error}"
            raise SourceError(msg, url=public_url(url)) from error
        return cls(fs, path, url)

    async def fetch(self, start: int, stop: int) -> bytes:
        """One ``cat_file``; a local or cheap file system is looked at again before each read."""
        if time.monotonic() - self._checked > self._recheck:
            await self._verify()
        if self._async:
            body = await self._fs._cat_file(self._path, start=start, end=stop)  # noqa: SLF001  # fsspec's asynchronous interface
        else:
            body = await asyncio.to_thread(self._fs.cat_file, self._path, start=start, end=stop)
        return body if isinstance(body, bytes) else bytes(body)

    async def _verify(self) -> None:
        self._checked = time.monotonic()
        if self._async:
            self._fs.invalidate_cache()
            found = await self._fs._info(self._path)  # noqa: SLF001
        else:
            found = await asyncio.to_thread(self._fs.info, self._path)
        if _fingerprint(found) != self.fingerprint:
            msg = "the file has changed since it was opened; open it again"
            raise SourceError(msg, url=self.url)

    def _inspect(self) -> Fingerprint:
        try:
            found = self._fs.info(self._path)
        except FileNotFoundError as error:
            msg = "no such file or object"
            raise MissingFile(msg, url=self.url) from error
        except Exception as error:
            msg = f"cannot be reached: {type(error).__name__}: {error}"
            raise SourceError(msg, url=self.url) from error
        if found.get("type") == "directory":
            msg = "is a directory, not a file"
            raise SourceError(msg, url=self.url)
        if found.get("size") is None:
            msg = "the file system does not say how long the file is; use a caching URL (filecache::...)"
            raise LimitExceeded(msg, url=self.url)
        return _fingerprint(found)


def _fingerprint(found: Mapping[str, Any]) -> Fingerprint:
    names = (
        "ETag",
        "etag",
        "e_tag",
        "generation",
        "md5Hash",
        "checksum",
        "mtime",
        "LastModified",
        "last_modified",
        "created",
        "date_time",
        "CRC",
    )
    tag = next((str(found[n]) for n in names if found.get(n) is not None and not inspect.isroutine(found[n])), "")
    return Fingerprint(int(found["size"]), tag)
