"""Files of fsspec: members of archives, which are sources of their own kind, and all others."""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.implementations.tar import TarFileSystem
from fsspec.implementations.zip import ZipFileSystem

from scichunk.sources.archives import KINDS, CountedTar, OpenMember
from scichunk.sources.base import ByteSource, Head, check_ranges
from scichunk.sources.fsspec import FsspecSource
from scichunk.sources.remote import RemoteSource, changed_error
from scichunk.sources.retrying import error_of, in_thread

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from scichunk.options import Options

__all__ = ["MemberSource", "Opener", "open_path", "open_url"]

Opener = Callable[[Any], ByteSource]
"""Opens what an archive lies in: a file system of fsspec with a path, or an open file."""

_outer: ContextVar[int] = ContextVar("scichunk_archives", default=0)
"""How many archives are being opened, the one that is opened next within each of them."""


class MemberSource(RemoteSource):
    """A member of an archive, each read of which is compared with the version of the archive that was opened.

    Parameters
    ----------
    make
        Opens the member.
    url
        The file as the user named it.
    storage_options
        Of the archive, whose texts are masked in messages.
    known
        The head, if another process has fetched it.

    Raises
    ------
    MissingFile, SourceError
        If there is no such member, or the archive cannot be reached.
    """

    def __init__(
        self, make: Callable[[], OpenMember], url: str, storage_options: Any = None, known: Head | None = None
    ) -> None:
        super().__init__(url, storage_options)
        self.level = 1 + _outer.get()
        self._make = make
        self._opened: Any = None
        self.open_now(known)

    async def connect(self) -> None:
        """Open the archive, in a thread, since other sources are waited for; in a forked child once more."""
        with _opening(self.level):
            self._opened = await in_thread(self._make)
        self.is_cheap = self._opened.is_near

    @property
    def batch_bytes(self) -> int:
        """As many as suit where the archive lies."""
        return int(self._opened.batch_bytes) if self.is_cheap else super().batch_bytes

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read ranges in one batch: concurrent and coalesced, or here and now where the bytes are on this machine."""
        # An archive that was opened after its head had come from another process, or once more, may be of another version.
        if not self.is_cheap or self.is_forked or not self.accepts(*self._name_version()):
            return super().read_ranges(starts, stops)
        check_ranges(starts, stops, self.fingerprint.size, self.url)
        try:
            found: list[memoryview] = self._opened.read_near(starts, stops)
        except zipfile.BadZipFile as error:
            failure = error_of(error, self._secret_url, "cannot be read", hidden=self._hidden)
        else:
            return found
        raise failure

    async def fetch_head(self, limits: Options) -> Head:
        """Look for the member in the directory, then read its first bytes."""
        size, tag = self._name_version()
        stop = min(size, limits.head_bytes)
        return Head(await self.fetch_range(0, stop, limits) if stop else b"", size, tag)

    async def fetch_range(self, start: int, stop: int, limits: Options) -> bytes:
        """Read one range."""
        found: bytes = await in_thread(self._opened.read, start, stop, limits.max_expanded_bytes)
        return found

    async def check(self) -> None:
        """Compare size and version."""
        await in_thread(self._opened.check)
        if not self.accepts(*self._name_version()):
            raise changed_error()

    @property
    def cached_bytes(self) -> int:
        """What is known of the file, and what was decompressed of it."""
        return super().cached_bytes + (0 if self._opened is None else self._opened.cached_bytes)

    def close(self) -> None:
        """Give up what was decompressed; a later read makes it again."""
        if self._opened is not None:
            self._opened.close()

    def _name_version(self) -> tuple[int, str]:
        member, version = self._opened.member, self._opened.stored.fingerprint
        return member.size, f"{member.version} in {version.size}:{version.tag}"


@contextlib.contextmanager
def _opening(level: int) -> Iterator[None]:
    """Within the block, and in threads that are started there, what an archive of some level lies in is opened."""
    token = _outer.set(level)
    try:
        yield
    finally:
        _outer.reset(token)


def open_url(
    url: str, storage_options: Mapping[str, Any], opener: Opener, known: Head | None = None
) -> MemberSource | FsspecSource:
    """Open what an fsspec URL names: a member of an archive, or a file.

    Parameters
    ----------
    url, storage_options
        As the user gave them.
    opener
        Opens what an archive lies in.
    known
        The head, if another process has fetched it.
    """
    given = dict(storage_options)
    first, chained, _ = url.partition("::")
    if _protocol_of(first) in KINDS and (chained or "fo" in given):
        return MemberSource(lambda: _find_member(url, given, opener), url, given, known)
    return FsspecSource(lambda: fsspec.core.url_to_fs(url, **given), url, given, known)


def open_path(fs: AbstractFileSystem, path: str, opener: Opener) -> MemberSource | FsspecSource:
    """Open a file of a file system that the user has made; of an archive, anew."""
    url, given = str(fs.unstrip_protocol(path)), getattr(fs, "storage_options", None)
    if _shows_archive(fs):
        return MemberSource(lambda: _reopen_member(fs, path, opener), url, given)
    return FsspecSource(lambda: (fs, path), url, given)


def _find_member(url: str, options: Mapping[str, Any], opener: Opener) -> OpenMember:
    """Open the member of an archive that a URL names."""
    first, chained, rest = url.partition("::")
    kind = KINDS[_protocol_of(first)]
    given = dict(options)
    if chained:
        others = {_protocol_of(link) for link in rest.split("::")} | {"file"}
        below = {name: given.pop(name) for name in others & given.keys()}
        place = fsspec.core.url_to_fs(rest, **below)
    else:
        place = _take_place(given)
    given |= given.pop(_protocol_of(first), {})
    path = str(kind._strip_protocol(first))  # noqa: SLF001  # the name that the file system wants
    return OpenMember(kind, given, opener(place), _name_of(place), path)


def _shows_archive(fs: Any) -> bool:
    """Whether a file system that the user has made is that of an archive which is not being written."""
    known = type(fs) in {ZipFileSystem, TarFileSystem} and getattr(fs, "mode", "r") == "r"
    return known and len(fs.storage_args) <= 1 and (bool(fs.storage_args) or "fo" in fs.storage_options)


def _reopen_member(fs: Any, path: str, opener: Opener) -> OpenMember:
    """Open a member of an archive that the user has opened as a file system."""
    kind = CountedTar if type(fs) is TarFileSystem else ZipFileSystem
    given = dict(zip(("fo",), fs.storage_args, strict=False)) | fs.storage_options
    place = _take_place(given)
    path = re.sub("/+", "/", path) if kind is CountedTar else path
    return OpenMember(kind, given, opener(place), _name_of(place), path)


def _protocol_of(link: str) -> str:
    return link.partition("://")[0]


def _take_place(given: dict[str, Any]) -> Any:
    """Take out of the options of a file system where its archive lies."""
    target, protocol, options = given.pop("fo"), given.pop("target_protocol", None), given.pop("target_options", None)
    if not isinstance(target, str | os.PathLike):
        return target
    known = {"protocol": protocol} if protocol else {}
    return fsspec.core.url_to_fs(target, **known, **(options or {}))


def _name_of(place: Any) -> str:
    path = place[1] if isinstance(place, tuple) else str(getattr(place, "name", ""))
    return path.partition("?")[0] if "://" in path else path
