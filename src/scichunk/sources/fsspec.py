"""Any file system that fsspec knows: object stores, archives, caches, chained URLs."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.asyn import AsyncFileSystem

from scichunk.errors import LimitExceeded, SourceError
from scichunk.sources.remote import Head, RemoteSource, changed, is_inherited, keep_over_fork
from scichunk.sources.retrying import error_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

    from scichunk.options import Options

__all__ = ["FsspecSource"]

_VERSIONS: Final = (
    "ETag", "etag", "e_tag", "generation", "md5Hash", "checksum", "Content-MD5", "Digest", "mtime", "LastModified",
    "last_modified", "Last-Modified", "created", "date_time", "CRC",
)  # fmt: skip
"""What file systems call that by which versions of a file differ; the first that is there counts."""


class FsspecSource(RemoteSource):
    """A file of an fsspec file system.

    fsspec has no conditional reads. The version is compared after each batch of reads instead: if it is the one that was opened, all
    that came before was of it.

    Parameters
    ----------
    fs
        The file system.
    path
        The file on it.
    url
        The file as the user named it.

    Raises
    ------
    MissingFile, SourceError
        If there is no such file, or it cannot be reached.
    """

    def __init__(self, fs: AbstractFileSystem, path: str, url: str) -> None:
        super().__init__(url)
        self._fs, self._path = fs, path
        self._async = isinstance(fs, AsyncFileSystem) and not fs.asynchronous and fs.async_impl
        self.open_now()

    @classmethod
    def from_url(cls, url: str, storage_options: Mapping[str, Any]) -> FsspecSource:
        """Open an fsspec URL, chained ones included."""
        failure: Exception | None = None
        try:
            fs, path = fsspec.core.url_to_fs(url, **storage_options)
        except Exception as error:  # noqa: BLE001  # whatever a file system raises; raised again as one of ours
            failure = error_of(error, url, "the file system cannot be opened")
        if failure is not None:  # here and not above: the library's error holds the URL with its secrets
            raise failure
        return cls(fs, path, url)

    async def connect(self) -> None:
        """Make the file system anew in a forked child: its connections and open files are shared with the parent."""
        if self.is_forked or _is_of_parent(self._fs):
            self._fs = await asyncio.to_thread(_made_again, self._fs)
        keep_over_fork(self._fs)

    async def fetch_head(self, limits: Options) -> Head:
        """Ask for the facts of the file, then for its first bytes."""
        found = await self._info()
        if found.get("type") == "directory":
            msg = "is a directory, not a file"
            raise SourceError(msg)
        if found.get("size") is None:
            msg = "the file system does not say how long the file is; use a caching URL (filecache::...)"
            raise LimitExceeded(msg)
        size = int(found["size"])
        stop = min(size, limits.head_bytes)
        data = await self.fetch_range(0, stop, limits) if stop else b""
        if len(data) != stop:
            msg = f"{len(data)} bytes came instead of {stop}"
            raise OSError(msg)
        return Head(data, size, _version(found))

    async def fetch_range(self, start: int, stop: int, limits: Options) -> bytes:  # noqa: ARG002  # a file system reads what it is told
        """One ``cat_file``."""
        body = await self._call("cat_file", self._path, start=start, end=stop)
        return body if isinstance(body, bytes) else bytes(body)

    async def check(self) -> None:
        """Compare size and version."""
        self._fs.invalidate_cache(self._path)
        found = await self._info()
        if not self.is_version(int(found["size"]), _version(found)):
            raise changed()

    async def _info(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._call("info", self._path)
        return found

    async def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._async:
            return await getattr(self._fs, f"_{method}")(*args, **kwargs)  # fsspec's asynchronous interface
        return await asyncio.to_thread(getattr(self._fs, method), *args, **kwargs)


def _version(found: Mapping[str, Any]) -> str:
    return next((str(found[n]) for n in _VERSIONS if found.get(n) is not None and not inspect.isroutine(found[n])), "")


def _is_of_parent(fs: AbstractFileSystem) -> bool:
    if is_inherited(fs):
        return True
    try:
        return isinstance(fs, AsyncFileSystem) and not fs.asynchronous and fs.loop is None
    except RuntimeError:  # "This class is not fork-safe"
        return True


def _made_again(value: Any) -> Any:
    """A file system as unpickling would make it, with those that it stands on; what else it was made of stays."""
    if hasattr(value, "read"):
        msg = "the file system reads an open file of the process from which this one was forked; name it by its URL"
        raise SourceError(msg)
    if not isinstance(value, fsspec.AbstractFileSystem):
        return value
    args = [_made_again(one) for one in value.storage_args]
    options = {name: _made_again(one) for name, one in value.storage_options.items()}
    return type(value)(*args, **options)
