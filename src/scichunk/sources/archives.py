"""Members of zip and tar archives, which are read through the source of the archive.

fsspec opens an archive by itself, and then asks neither which bytes its storage gives nor of which version they are. So the archive is
opened here as any other file is, whose reads are checked. fsspec is given that, for the directory and for what is stored in an unusual way.
"""

from __future__ import annotations

import io
import os
import re
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.implementations.tar import TarFileSystem
from fsspec.implementations.zip import ZipFileSystem

from scichunk import options
from scichunk.errors import LimitExceeded
from scichunk.lru import LRU
from scichunk.sources.as_file import SourceFile
from scichunk.sources.base import ByteSource, Head
from scichunk.sources.fsspec import FsspecSource
from scichunk.sources.members import Member, find_data, inflate, list_tar, list_zip
from scichunk.sources.remote import RemoteSource, changed_error
from scichunk.sources.retrying import in_thread
from scichunk.sources.spill import Growing

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from scichunk.options import Options

__all__ = ["MemberSource", "Opener", "open_path", "open_url"]

Opener = Callable[[Any], ByteSource]
"""Opens what an archive lies in: a file system of fsspec with a path, or an open file."""
_MEMBER_MEMORY: Final = 1280
"""What is kept of a member of a tar archive while its directory is read, measured."""
_NEAR_BYTES: Final = 1 << 16
_FAR_BYTES: Final = 1 << 22
"""What is read at once of headers and of compressed members, which are asked for in small pieces."""
_STEP_BYTES: Final = 1 << 20


def _weigh(directory: Mapping[str, Member]) -> int:
    return sum(map(Member.weigh, directory.values()))


_directories: LRU[dict[str, Member]] = LRU(
    lambda: options.get().cached_file_bytes, _weigh, name="directories of archives"
)
"""Of versions of archives. Each member is opened by itself, and would read the headers of all others anew."""


class _Tar(TarFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A tar archive whose members are counted as they are found: a compressed one of a megabyte may have a million."""

    def _index(self) -> None:
        if not isinstance(self.tar.fileobj, io.BufferedReader):  # else a member takes 512 bytes of the file, too
            limit = options.get().max_header_bytes
            for count, _ in enumerate(self.tar, 1):
                if count * _MEMBER_MEMORY > limit:
                    msg = f"more than {count - 1} members of a compressed archive take more memory than {limit} (options.max_header_bytes)"
                    raise LimitExceeded(msg)
            # All of it has been decompressed by now; gzip says behind the end of the archive whether that was right.
            while self.tar.fileobj.read(_STEP_BYTES):
                pass
        super()._index()


_KINDS: Final = {"zip": ZipFileSystem, "tar": _Tar}


class OpenMember:
    """A member of an archive that is open.

    Parameters
    ----------
    kind
        Of archive: the file system of fsspec.
    given
        Its options, but for those that say where it lies.
    content
        The archive.
    name
        Of the archive; by its suffix fsspec knows how it is compressed.
    path
        Of the member.

    Raises
    ------
    FileNotFoundError
        If the archive has no such member.
    IsADirectoryError
        If it is a folder.
    """

    def __init__(self, kind: type[Any], given: Mapping[str, Any], content: ByteSource, name: str, path: str) -> None:
        self.content = content
        self._kind, self._given, self._path = kind, given, path
        self._file = SourceFile(content, name)
        # tarfile moves the position of its file and reads there in two steps, and so does zipfile, relative to where another thread
        # has left it (Python 3.13.0): they gave wrong bytes.
        self._turn = threading.Lock()
        self._fs: Any = None
        self._grown: Growing | None = None
        self.member = _pick_member(self._find_directory(), path)
        self._place = find_data(content, self.member)
        if self._place is not None:
            self._fs = None  # which holds the headers of all members

    def read(self, start: int, stop: int, limit: int) -> bytes:
        """Read a range.

        Raises
        ------
        LimitExceeded
            If it is compressed, and there is more than ``limit`` before the end of the range.
        """
        if self._place is None or self.member.how == "deflated":
            with self._turn:
                return self._read_in_turn(start, stop, limit)
        first = self._place[0]
        body = bytes(self.content.read_ranges([first + start], [first + stop])[0])
        if stop - start == self.member.size:
            self.member.check_sum(self._path, zlib.crc32(body))
        return body

    def check(self) -> None:
        """Raise SourceError if the archive has changed since it was opened: what was decompressed does not say."""
        if self._place is None or self.member.how == "deflated":
            size = self.content.fingerprint.size
            self.content.read_ranges([size - 1], [size])

    @property
    def cached_bytes(self) -> int:
        """What is kept in memory of a compressed member."""
        grown = self._grown
        return 0 if grown is None else grown.cached_bytes

    def close(self) -> None:
        """Give up what was decompressed, unless it is being read; it is made again if it is needed again."""
        if self._turn.acquire(blocking=False):
            self._grown = None
            self._turn.release()

    def _find_directory(self) -> dict[str, Member]:
        """The members by their names, those of this version of the archive if they are known."""
        version = self.content.fingerprint
        # Another archive of a storage that names no version may have the same head.
        key = None if version.tag.startswith("head:") else (self.content.key, version, self._kind, repr(self._given))
        found = None if key is None else _directories.get(key)
        if found is None:
            with self._turn:
                fs = self._open_fs()
                found = self._tell_failures(self._list_members, fs)
            if key is not None:
                _directories.put(key, found)
        return found

    def _list_members(self, fs: Any) -> dict[str, Member]:
        if isinstance(fs, ZipFileSystem):
            return list_zip(fs, self.content.fingerprint.size)
        return list_tar(fs, is_packed=not isinstance(fs.tar.fileobj, io.BufferedReader))

    def _open_fs(self) -> Any:
        """The file system, made when it is first needed. It is this thread's turn."""
        if self._fs is None:
            buffered = io.BufferedReader(self._file, _NEAR_BYTES if self.content.is_cheap else _FAR_BYTES)
            self._fs = self._tell_failures(self._kind, fo=buffered, **self._given)
        return self._fs

    def _read_in_turn(self, start: int, stop: int, limit: int) -> bytes:
        if self._place is None and self.member.how in {"plain", "seekable"}:
            body: bytes = self._tell_failures(self._open_fs().cat_file, self._path, start=start, end=stop)
            return body
        if self._grown is None:  # nothing is decompressed twice
            known = self._place
            pieces = inflate(self.content, self._path, self.member, known) if known else self._iterate_pieces()
            self._grown = Growing(pieces, self.content.url)
        try:
            body = self._tell_failures(self._grown.read, start, stop, limit)
        except BaseException:  # nobody knows where the stream stands
            self._grown = None
            raise
        return body

    def _iterate_pieces(self) -> Iterator[bytes]:
        with self._open_fs().open(self._path, "rb") as file:
            while piece := file.read(_STEP_BYTES):
                yield piece

    def _tell_failures(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        """Raise what went wrong with the file, and not what a library makes of that: that it is no archive."""
        self._file.failure = None
        try:
            return work(*args, **kwargs)
        except Exception as error:
            if self._file.failure is None:
                raise
            raise self._file.failure from error


def _pick_member(directory: Mapping[str, Member], path: str) -> Member:
    found = directory.get(path)
    if found is not None and found.how != "folder":
        return found
    if found is not None or not path or any(name.startswith(f"{path}/") for name in directory):
        msg = "is a directory, not a file"
        raise IsADirectoryError(msg)
    raise FileNotFoundError(path)


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
        self.level = _count_archives(url, storage_options)
        self._make = make
        self._opened: Any = None
        self.open_now(known)

    async def connect(self) -> None:
        """Open the archive, in a thread, since other sources are waited for; in a forked child once more."""
        self._opened = await in_thread(self._make)

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
        member, version = self._opened.member, self._opened.content.fingerprint
        return member.size, f"{member.version} in {version.size}:{version.tag}"


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
    if _protocol_of(first) in _KINDS and (chained or "fo" in given):
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
    kind = _KINDS[_protocol_of(first)]
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
    kind = _Tar if type(fs) is TarFileSystem else ZipFileSystem
    given = dict(zip(("fo",), fs.storage_args, strict=False)) | fs.storage_options
    place = _take_place(given)
    path = re.sub("/+", "/", path) if kind is _Tar else path
    return OpenMember(kind, given, opener(place), _name_of(place), path)


def _count_archives(url: str, options: Mapping[str, Any] | None) -> int:
    """Return a number that is larger for an archive than for the one in which it lies; 0 if it is none."""
    if _protocol_of(url.partition("::")[0]) not in _KINDS:
        return 0
    count, inner = 1 + url.count("::"), options
    while isinstance(inner, Mapping) and "target_options" in inner:
        count, inner = count + 1, inner["target_options"]
    return count


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
