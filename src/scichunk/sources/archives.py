"""Members of zip and tar archives, which are read through the source of the archive.

fsspec opens an archive by itself, and then asks neither which bytes its storage gives nor of which version they are. So the archive is
opened here as any other file is, whose reads are checked. fsspec is given that, for the directory and for what is stored in an unusual way.
"""

from __future__ import annotations

import io
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fsspec.implementations.tar import TarFileSystem
from fsspec.implementations.zip import ZipFileSystem

from scichunk import options
from scichunk.errors import LimitExceeded
from scichunk.lru import LRU
from scichunk.sources.as_file import SourceFile
from scichunk.sources.base import ByteSource, Fingerprint
from scichunk.sources.members import Member, find_data, inflate, list_tar, list_zip
from scichunk.sources.spill import Growing
from scichunk.sources.whole_file import WholeFileSource, expand_source, find_compression

__all__ = ["KINDS", "CountedTar", "OpenMember"]
_MEMBER_MEMORY: Final = 1280
"""What is kept of a member of a tar archive while its directory is read, measured."""
_STREAMS: Final = frozenset({"gzip", "bzip2", "xz", "zstd"})
_NEAR_BYTES: Final = 1 << 16
_FAR_BYTES: Final = 1 << 22
"""What is read at once of headers and of compressed members, which are asked for in small pieces."""
_STEP_BYTES: Final = 1 << 20
_MOST_EXPANDED: Final = 4
"""Of archives whose content is kept, much of it in temporary files."""


def _weigh(directory: Mapping[str, Member]) -> int:
    return sum(map(Member.weigh, directory.values()))


_directories: LRU[dict[str, Member]] = LRU(
    lambda: options.get().cached_file_bytes, _weigh, name="directories of archives"
)
"""Of versions of archives. Each member is opened by itself, and would read the headers of all others anew."""


_expanded: LRU[ByteSource] = LRU(
    lambda: options.get().cached_file_bytes,
    lambda source: int(getattr(source, "cached_bytes", 0)),
    name="decompressed archives",
    most=lambda: _MOST_EXPANDED,
)
"""Tar archives that are compressed as a whole."""


class CountedTar(TarFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A tar archive whose members are counted as they are found: a compressed one of a megabyte may have a million."""

    def _index(self) -> None:
        if not _is_plain(self.tar):  # else a member takes 512 bytes of the file, too
            limit = options.get().max_header_bytes
            for count, _ in enumerate(self.tar, 1):
                if count * _MEMBER_MEMORY > limit:
                    msg = f"more than {count - 1} members of a compressed archive take more memory than {limit} (options.max_header_bytes)"
                    raise LimitExceeded(msg)
            # All of it has been decompressed by now; gzip says behind the end of the archive whether that was right.
            while self.tar.fileobj.read(_STEP_BYTES):
                pass
        super()._index()


def _is_plain(tar: Any) -> bool:
    """Whether a tar archive lies in its file as it is."""
    file = tar.fileobj
    return isinstance(file, io.BufferedReader) and not isinstance(file.raw.source, WholeFileSource)


def _names_version(version: Fingerprint) -> bool:
    """Whether a storage says which version it gives: another archive of one that does not may have the same head."""
    return not version.tag.startswith("head:")


def _expand_archive(source: ByteSource) -> ByteSource:
    """What is in a compressed archive, shared by its members."""
    if not _names_version(source.fingerprint):
        return expand_source(source, warn=False)
    key = source.key, source.fingerprint
    return _expanded.get_or_make(key, lambda: expand_source(source, warn=False))


KINDS: Final = {"zip": ZipFileSystem, "tar": CountedTar}


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
        self.stored = content
        self._kind, self._given, self._path = kind, given, path
        if kind is CountedTar and "compression" not in given and find_compression(content.head()) in _STREAMS:
            content, name = _expand_archive(content), ""  # the suffix of the name says what was done
        self._content = content
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
        body = bytes(self._content.read_ranges([first + start], [first + stop])[0])
        if stop - start == self.member.size:
            self.member.check_sum(self._path, zlib.crc32(body))
        return body

    @property
    def is_near(self) -> bool:
        """Whether the member lies uncompressed on this machine, so that it is better read at once than by another thread."""
        return (
            self._place is not None and self.member.how == "plain" and self._content.is_cheap and self.stored.is_cheap
        )

    @property
    def batch_bytes(self) -> int:
        """How many bytes to ask for in one batch."""
        return self._content.batch_bytes

    def read_near(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read ranges of a member that is near; the views are valid until the next read of this thread."""
        self.check()  # first: what it reads may lie in the same memory
        first = self._place[0] if self._place else 0
        views = self._content.read_ranges([first + start for start in starts], [first + stop for stop in stops])
        for view in views:
            if len(view) == self.member.size:
                self.member.check_sum(self._path, zlib.crc32(view))
        return views

    def check(self) -> None:
        """Raise SourceError if the archive has changed since it was opened: what was decompressed does not say."""
        if self._place is None or self.member.how == "deflated" or self._content is not self.stored:
            size = self.stored.fingerprint.size
            self.stored.read_ranges([size - 1], [size])

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
        version = self._content.fingerprint
        if not _names_version(version):
            return self._list_members()
        key = self._content.key, version, self._kind, repr(self._given)
        return _directories.get_or_make(key, self._list_members)

    def _list_members(self) -> dict[str, Member]:
        with self._turn:
            fs = self._open_fs()
            if isinstance(fs, ZipFileSystem):
                found: dict[str, Member] = self._tell_failures(list_zip, fs, self._content.fingerprint.size)
            else:
                is_packed = not isinstance(fs.tar.fileobj, io.BufferedReader)
                found = self._tell_failures(list_tar, fs, is_packed=is_packed)
            return found

    def _open_fs(self) -> Any:
        """The file system, made when it is first needed. It is this thread's turn."""
        if self._fs is None:
            buffered = io.BufferedReader(self._file, _NEAR_BYTES if self._content.is_cheap else _FAR_BYTES)
            self._fs = self._tell_failures(self._kind, fo=buffered, **self._given)
        return self._fs

    def _read_in_turn(self, start: int, stop: int, limit: int) -> bytes:
        if self._place is None and self.member.how in {"plain", "seekable"}:
            body: bytes = self._tell_failures(self._open_fs().cat_file, self._path, start=start, end=stop)
            return body
        if self._grown is None:  # nothing is decompressed twice
            known = self._place
            pieces = inflate(self._content, self._path, self.member, known) if known else self._iterate_pieces()
            self._grown = Growing(pieces, self.stored.url)
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
