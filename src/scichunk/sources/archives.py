"""Members of zip and tar archives, which are read through the source of the archive.

fsspec opens an archive by itself, and then asks neither which bytes its storage gives nor of which version they are. So the archive is
opened here as any other file is, whose reads are checked, and fsspec is given that.
"""

from __future__ import annotations

import io
import os
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import fsspec
from fsspec.implementations.tar import TarFileSystem
from fsspec.implementations.zip import ZipFileSystem

from scichunk import options
from scichunk.errors import LimitExceeded
from scichunk.sources.as_file import SourceFile
from scichunk.sources.base import ByteSource
from scichunk.sources.spill import Growing

__all__ = ["Archive", "Opener", "count_archives", "find_archive", "reopen_archive"]

Opener = Callable[[Any], ByteSource]
"""Opens what an archive lies in: a file system of fsspec with a path, or an open file."""
_MEMBER_MEMORY: Final = 1280
"""What is kept of a member of a tar archive, measured."""
_NEAR_BYTES: Final = 1 << 16
_FAR_BYTES: Final = 1 << 22
"""What is read at once of headers and of compressed members, which are asked for in small pieces."""
_STEP_BYTES: Final = 1 << 20


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


class Archive:
    """An archive that is open.

    Parameters
    ----------
    kind
        Of fsspec.
    given
        Its options, but for those that say where it lies.
    content
        The file.
    name
        Of the file; by its suffix fsspec knows how it is compressed.
    """

    def __init__(self, kind: type[Any], given: Mapping[str, Any], content: ByteSource, name: str) -> None:
        self.content = content
        self._file = SourceFile(content, name)
        # tarfile moves the position of its file and reads there in two steps, and so does zipfile, relative to where another thread
        # has left it (Python 3.13.0): they gave wrong bytes.
        self._turn = threading.Lock()
        self._buffered = io.BufferedReader(self._file, _NEAR_BYTES if self.content.is_cheap else _FAR_BYTES)
        self.fs: Any = self._tell_failures(kind, fo=self._buffered, **given)
        self._grown: Growing | None = None

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the file system."""
        with self._turn:
            return self._tell_failures(getattr(self.fs, method), *args, **kwargs)

    def is_packed(self, path: str) -> bool:
        """Whether a member is compressed, by itself or with all others: then each read of it would begin at its beginning."""
        if isinstance(self.fs, ZipFileSystem):
            found = self.fs.zip.NameToInfo.get(path)
            return found is not None and found.compress_type != zipfile.ZIP_STORED
        return self.fs.tar.fileobj is not self._buffered

    def read_packed(self, path: str, start: int, stop: int, limit: int) -> bytes:
        """Read a range of a compressed member, of which nothing is decompressed twice; always of the same one."""
        with self._turn:
            self._grown = self._grown or Growing(self._iterate_pieces(path), self.content.url)
            try:
                found: bytes = self._tell_failures(self._grown.read, start, stop, limit)
            except BaseException:  # nobody knows where the stream stands
                self._grown = None
                raise
            return found

    def _iterate_pieces(self, path: str) -> Iterator[bytes]:
        with self.fs.open(path, "rb") as file:
            while piece := file.read(_STEP_BYTES):
                yield piece

    def check(self) -> None:
        """Raise SourceError if the archive has changed since it was opened: what was decompressed does not say."""
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

    def _tell_failures(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        """Raise what went wrong with the file, and not what a library makes of that: that it is no archive."""
        self._file.failure = None
        try:
            return work(*args, **kwargs)
        except Exception as error:
            if self._file.failure is None:
                raise
            raise self._file.failure from error


def find_archive(url: str, options: Mapping[str, Any], opener: Opener) -> tuple[Archive, str] | None:
    """Open the archive that a URL names a member of, and return it with the name of the member; None if it names none."""
    first, chained, rest = url.partition("::")
    kind = _KINDS.get(_protocol_of(first))
    if kind is None or not (chained or "fo" in options):
        return None
    given = dict(options)
    if chained:
        others = {_protocol_of(link) for link in rest.split("::")} | {"file"}
        below = {name: given.pop(name) for name in others & given.keys()}
        place = fsspec.core.url_to_fs(rest, **below)
    else:
        place = _take_place(given)
    given |= given.pop(_protocol_of(first), {})
    return Archive(kind, given, opener(place), _name_of(place)), str(kind._strip_protocol(first))  # noqa: SLF001  # the name that the file system wants


def reopen_archive(fs: Any, opener: Opener) -> Archive | None:
    """Open the archive of a file system that the user has made once more; None if it is none, or is being written."""
    kind = {ZipFileSystem: ZipFileSystem, TarFileSystem: _Tar}.get(type(fs))
    if kind is None or getattr(fs, "mode", "r") != "r":
        return None
    given = dict(zip(("fo",), fs.storage_args, strict=False)) | fs.storage_options
    if "fo" not in given or len(fs.storage_args) > 1:
        return None
    place = _take_place(given)
    return Archive(kind, given, opener(place), _name_of(place))


def count_archives(url: str, options: Mapping[str, Any] | None) -> int:
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
