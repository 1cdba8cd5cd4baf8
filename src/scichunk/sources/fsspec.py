"""Any file system that fsspec knows: object stores, caches, chained URLs."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.cached import CachingFileSystem, WholeFileCacheFileSystem
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.reference import ReferenceFileSystem

from scichunk import counters
from scichunk.errors import LimitExceeded, SourceError
from scichunk.lru import generation
from scichunk.sources.base import Head, check_ranges
from scichunk.sources.identity import object_lock
from scichunk.sources.ranges import plan_ranges
from scichunk.sources.remote import RemoteSource, changed_error, keep_over_fork
from scichunk.sources.retrying import TryAgain, error_of, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fsspec import AbstractFileSystem

    from scichunk.options import Options

__all__ = ["FsspecSource"]

_VERSIONS: Final = (
    "ETag", "etag", "e_tag", "generation", "md5Hash", "checksum", "Content-MD5", "Digest", "CRC", "mtime", "LastModified",
    "last_modified", "Last-Modified", "eTag", "sha", "hex", "blob_id", "content_hash", "md5Checksum", "modify", "modificationTime",
    "modifiedTime", "lastModified", "server_modified", "modified", "created", "date_time",
)  # fmt: skip
"""What file systems call that by which versions of a file differ; the first that is there counts. The date of its making comes late: a
file that is written anew may keep it."""

_MOST_VERSIONS: Final = 1 << 16
_cached_versions: Final[dict[tuple[str, str], str]] = {}
"""Which version of a file a cache of fsspec was first asked for by this process, by its folder and the name there."""


class FsspecSource(RemoteSource):
    """A file of an fsspec file system.

    fsspec has no conditional reads. The version is compared after each batch of reads instead: if it is the one that was opened, all
    that came before was of it.

    Parameters
    ----------
    make
        Gives the file system, and the path on it.
    url
        The file as the user named it.
    storage_options
        Of the file system, whose texts are masked in messages.
    known
        The head, if another process has fetched it.

    Raises
    ------
    MissingFile, SourceError
        If there is no such file, or it cannot be reached.
    """

    def __init__(
        self,
        make: Callable[[], tuple[AbstractFileSystem, str]],
        url: str,
        storage_options: Any = None,
        known: Head | None = None,
    ) -> None:
        super().__init__(url, storage_options)
        self._make = make
        self._fs: Any = None
        self._path = ""
        self._whole: Any = None
        """Length of the file in which a reference lies."""
        self._single: Any = None
        """The file system itself, or the one that it stands on, that has one connection for all threads."""
        self._async = False
        self.open_now(known)

    async def connect(self) -> None:
        """Make the file system, in a thread, since that may read files.

        In a forked child it is made anew: its connections and open files are shared with the parent.
        """
        self._fs, self._path = await in_thread(self._make)
        if generation():
            self._fs = await in_thread(_made_again, self._fs)
        self._async = isinstance(self._fs, AsyncFileSystem) and not self._fs.asynchronous and _is_async(self._fs)
        kinds = (self._fs.protocol,) if isinstance(self._fs.protocol, str) else tuple(self._fs.protocol)
        self.is_cheap = not {"file", "local", "memory"}.isdisjoint(kinds)
        self._single = _find_single(self._fs)
        keep_over_fork(self._fs)

    async def fetch_head(self, limits: Options) -> Head:
        """Ask for the facts of the file, then for its first bytes."""
        found, tag = await self._ask_version()
        self._whole = found.get("whole")
        if found.get("type") == "directory":
            msg = "is a directory, not a file"
            raise SourceError(msg)
        size = found.get("size")
        if size is None and isinstance(self._fs, WholeFileCacheFileSystem):
            size = await self._call(_measure_copy, self._fs, self._path)
        if size is None:
            msg = "the file system does not say how long the file is; use a caching URL (simplecache::...)"
            raise LimitExceeded(msg)
        if isinstance(self._fs, CachingFileSystem):
            _refuse_mixed_blocks(self._fs, self._path, tag)
        size = int(size)
        stop = min(size, limits.head_bytes)
        data = await self.fetch_range(0, stop, limits) if stop else b""
        if len(data) != stop:
            msg = f"{len(data)} bytes came instead of {stop}"
            raise TryAgain(msg)
        return Head(data, size, tag)

    async def fetch_range(self, start: int, stop: int, limits: Options) -> bytes:  # noqa: ARG002  # as the base has it
        """One ``cat_file``."""
        try:
            body = await self._call_method("cat_file", self._path, start=start, end=stop)
        except FileNotFoundError:  # caches of fsspec tell every failure of the storage behind them so
            self._fs.invalidate_cache(self._path)
            await self._ask_info()
            msg = "the file is there, and could not be fetched"
            raise TryAgain(msg) from None
        except (TypeError, LookupError, ValueError) as error:
            if not isinstance(self._fs, CachingFileSystem):
                raise
            # They are not made for several threads: what one has written down another may just have read anew.
            msg = f"the cache of fsspec has failed: {type(error).__name__}: {error}"
            raise TryAgain(msg) from None
        return body if isinstance(body, bytes) else bytes(body)

    async def check(self) -> None:
        """Compare size and version."""
        self._fs.invalidate_cache(self._path)
        found, tag = await self._ask_version()
        size = found.get("size")
        self._whole = self._whole or found.get("whole")
        if not self.accepts(None if size is None else int(size), tag) or found.get("whole") != self._whole:
            raise changed_error()

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read ranges in one batch: concurrent and coalesced, or here and now where the bytes are on this machine."""
        if not self.is_cheap or self.is_forked:
            return super().read_ranges(starts, stops)
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        failure: Exception | None = None
        try:
            with counters.fetching(starts, stops):
                return self._read_here(starts, stops)
        except Exception as error:  # noqa: BLE001  # whatever a file system raises; raised again as one of ours
            failure = error_of(
                error, self._secret_url, "cannot be read",
                part=f"bytes {min(starts)} to {max(stops)}", hidden=self._hidden,
            )  # fmt: skip
        raise failure

    def _read_here(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        views = [memoryview(b"")] * len(starts)
        for fetch in plan_ranges(starts, stops, gap=1 << 12, max_size=1 << 62):
            body = memoryview(self._fs.cat_file(self._path, start=fetch.start, end=fetch.stop))
            counters.add("requests", 1)
            counters.add("fetched", len(body))
            for i in fetch.members:
                views[i] = body[starts[i] - fetch.start : stops[i] - fetch.start]
        found = self._fs.info(self._path)
        if not self.accepts(int(found["size"]), _find_version(found)):
            raise changed_error()
        if any(len(view) != stop - start for view, start, stop in zip(views, starts, stops, strict=True)):
            msg = "the file system gives fewer bytes than it was asked for"
            raise SourceError(msg)
        return views

    async def _ask_info(self) -> Mapping[str, Any]:
        found: Mapping[str, Any]
        if isinstance(self._fs, CachingFileSystem):
            # Most caches look for the file in the list of its folder, which few web servers have; what is behind them knows the file.
            found = await self._call(self._fs.fs.info, self._path)
        else:
            found = await self._call_method("info", self._path)
        return found

    async def _ask_version(self) -> tuple[Mapping[str, Any], str]:
        """What is known of the file, and the version of it and of what it lies in."""
        found = await self._ask_info()
        tag = _find_version(found)
        target = _find_target(self._fs, self._path)
        if target is not None:
            fs, path = target
            fs.invalidate_cache(path)
            below = await in_thread(fs.info, path)
            known = _find_version(below)
            # Where nothing names a version, the first bytes tell it; and the length of the whole, which reads compare.
            named = f"{tag} in {below.get('size')}:{known}" if tag or known else ""
            return {**found, "whole": below.get("size")}, named
        if isinstance(self._fs, ReferenceFileSystem):  # which holds it as a text, and says how long that is
            whole = await self._call_method("cat_file", self._path)
            return {**found, "size": len(whole)}, hashlib.blake2b(whole, digest_size=8).hexdigest()
        return found, tag

    async def _call_method(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._async:
            return await getattr(self._fs, f"_{method}")(*args, **kwargs)  # fsspec's asynchronous interface
        return await self._call(getattr(self._fs, method), *args, **kwargs)

    async def _call(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something in a thread; one after the other where that is all that the connection bears."""
        if self._single is not None:
            call = partial(_call_in_turn, self._single, call)
        return await in_thread(call, *args, **kwargs)


def _is_async(fs: Any) -> bool:
    """Whether a file system has asynchronous methods; that of a folder says so, and has those of the one in which the folder is."""
    return bool(fs.async_impl) and (not isinstance(fs, DirFileSystem) or _is_async(fs.fs))


def _find_single(fs: Any) -> Any:
    """Find a file system of one connection among those on which another stands, as caches do; None if there is none."""
    while isinstance(fs, fsspec.AbstractFileSystem):
        kinds = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
        if not {"ftp", "ftps"}.isdisjoint(kinds):
            return fs
        fs = getattr(fs, "fs", None)
    return None


def _call_in_turn(fs: Any, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a method of a file system that has one connection, on which the answers to several threads would be mixed up.

    After an error nobody knows where the connection stands, so that another one is made.
    """
    with object_lock(fs):
        try:
            return call(*args, **kwargs)
        except Exception:
            with contextlib.suppress(Exception):  # it is made with the next call, or that says what is wrong
                fs._connect()  # noqa: SLF001  # as fsspec itself does where a transfer was not ended
            raise


def _measure_copy(fs: Any, path: str) -> int:
    with fs.open(path, "rb") as file:
        return int(file.seek(0, 2))


def _refuse_mixed_blocks(fs: CachingFileSystem, path: str, tag: str) -> None:
    """Refuse a cache of blocks, some of which may be of the version that this process has read through it before."""
    if isinstance(fs, WholeFileCacheFileSystem):  # which gives all of one version, be it an old one
        return
    # The oldest goes. It is no cache of ours: to clear those leaves the blocks where they are.
    if len(_cached_versions) >= _MOST_VERSIONS:
        _cached_versions.pop(next(iter(_cached_versions)), None)
    if _cached_versions.setdefault((fs.storage[-1], fs.hash_name(path)), tag) != tag:
        msg = "the file has changed since the cache has kept blocks of it; clear the cache, or use simplecache::"
        raise SourceError(msg)


def _find_target(fs: Any, path: str) -> tuple[Any, str] | None:
    """The file that a reference leads to, with its file system; None where the file system keeps no references."""
    if not isinstance(fs, ReferenceFileSystem):
        return None
    part = fs.references.get(path)
    if not isinstance(part, list | tuple):  # its bytes, which are here already
        return None
    url = part[0] or fs.target
    return fs.fss[fsspec.core.split_protocol(url)[0]], url


def _find_version(found: Mapping[str, Any]) -> str:
    tag = next((str(found[n]) for n in _VERSIONS if found.get(n) is not None and not inspect.isroutine(found[n])), "")
    # clocks of file systems tick some hundred times a second: a file that another was moved upon has another number
    return f"{tag} {found['ino']}" if "ino" in found else tag


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
