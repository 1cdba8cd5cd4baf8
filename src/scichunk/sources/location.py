"""A file by name: what can be sent to a worker and opened there, and how a user's input becomes one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scichunk.errors import SourceError
from scichunk.options import get
from scichunk.sources.base import ByteSource, Fingerprint, Head, check_slashes, public_url, tag_with_head
from scichunk.sources.identity import digest_values, object_number

__all__ = ["Location", "checked_options", "file_of", "locate", "strip_file_url"]


@dataclass(frozen=True, slots=True)
class Location:
    """A file by name, ready to be pickled; make one with :func:`locate`."""

    target: Any = field(repr=False)
    """Absolute path, URL, bytes, ``(fsspec file system, path)``, or an open file object."""
    options: Mapping[str, Any] | None = field(default=None, repr=False)
    """fsspec's storage options; may hold secrets."""
    key: str = field(default="", repr=False, compare=False)
    """Identity of the file by name: the path of a local file, else a digest that includes the storage options. It travels with the
    location, so that a file object whose content travels remains the same file."""
    same_host: bool = False
    """Whether redirects away from the host of a web server are refused: a document has named the file."""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self._make_key())

    def _make_key(self) -> str:
        target = self.target
        if isinstance(target, str):
            return target if "://" not in target and not self.options else "url:" + digest_values(target, self.options)
        if isinstance(target, bytes):
            # By content: equal bytes are one file, in any process.
            return "bytes:" + hashlib.blake2b(target, digest_size=16).hexdigest()
        if isinstance(target, tuple):
            return "fs:" + digest_values(*target)
        return "object:" + object_number(target)

    @property
    def url(self) -> str:
        """Name for messages, without secrets."""
        if isinstance(self.target, str):
            return public_url(self.target)
        if isinstance(self.target, bytes):
            return f"<{len(self.target)} bytes>"
        if isinstance(self.target, tuple):
            return public_url(str(self.target[0].unstrip_protocol(self.target[1])))
        return public_url(str(getattr(self.target, "name", "") or f"<{type(self.target).__name__}>"))

    @property
    def local_path(self) -> str | None:
        """The path, if this is a file of this machine."""
        return self.target if isinstance(self.target, str) and "://" not in self.target and not self._in_store else None

    @property
    def is_content(self) -> bool:
        """Whether it travels as the bytes of the file, and not as a name."""
        return not isinstance(self.target, str | tuple)

    @property
    def _in_store(self) -> bool:
        return self.options is not None and "store" in self.options

    @property
    def name(self) -> str:
        """Last part of the path, without query; empty for bytes and nameless objects."""
        if isinstance(self.target, tuple):
            return str(posixpath.basename(self.target[1]))
        named = isinstance(self.target, str)
        target = str(self.target if named else getattr(self.target, "name", "") or "")
        if self.local_path is not None or (not named and "://" not in target):
            return os.path.basename(target)
        path = _split_chain(target)[1].partition("?")[0]
        if path.startswith(
            ("http://", "https://")
        ):  # keys of object stores may hold a "#", and have no host before them
            path = path.partition("#")[0].partition("://")[2].partition("/")[2]
        return path.rstrip("/").rpartition("/")[2]

    def sibling(self, name: str) -> Location | None:
        """Return the location of a file beside this one, with the same options.

        Parameters
        ----------
        name
            Its name, without a folder.

        Returns
        -------
        Location or None
            None where nothing lies beside: bytes and open file objects.

        Raises
        ------
        ValueError
            If the name is empty or would leave the folder.
        """
        if not name or name in {".", ".."} or "/" in name or "\0" in name or os.sep in name:
            msg = f"{name!r} is no name of a file"
            raise ValueError(msg)
        target = self.target
        if isinstance(target, tuple):
            return Location((target[0], posixpath.join(posixpath.dirname(target[1]), name)), same_host=self.same_host)
        if not isinstance(target, str):
            return None
        if self.local_path is not None:
            return Location(os.path.join(os.path.dirname(target), name))
        caches, first, rest = _split_chain(target)
        path, mark, query = first.partition("?") if first.startswith(("http://", "https://")) else (first, "", "")
        # The query stays: it often holds the signature that opens the whole folder.
        folder = path.rpartition("/")[0]
        whole = caches + (f"{folder}/" if folder or "/" in path else "") + name + mark + query + rest
        return Location(whole, self.options, same_host=self.same_host)

    def existing(self, names: Sequence[str]) -> list[Location]:
        """Return those files beside a local one that exist; none for other locations, where looking would cost requests.

        Parameters
        ----------
        names
            Names of files, in the order wanted.
        """
        path = self.local_path
        if path is None:
            return []
        from scichunk.sources.siblings import find_existing

        return [Location(p) for p in find_existing(path, names)]

    def open(self, expected: Fingerprint | None = None) -> ByteSource:
        """Open the source.

        Parameters
        ----------
        expected
            A version that it will be compared with: that of a local file is then taken in the same way, whatever the options say here.

        Raises
        ------
        SourceError
            If it is missing or unreachable.
        """
        source = self._open_source(expected)
        source.key = self.key
        return source

    def _open_source(self, expected: Fingerprint | None) -> ByteSource:
        """Open the kind of source that the target needs."""
        target, path = self.target, self.local_path
        if path is not None:
            from scichunk.sources.local import LocalSource, has_ctime

            return LocalSource(path, with_ctime=get().trust_ctime if expected is None else has_ctime(expected))
        given = dict(self.options or {})
        if isinstance(target, bytes):
            from scichunk.sources.memory import BytesSource

            tag = self.key.rpartition(":")[2]
            if self.key.startswith("object:"):  # an open file where it came from, and of the same version here
                tag = tag_with_head(tag, memoryview(target)[: get().head_bytes])
            return BytesSource(target, tag=tag)
        if isinstance(target, tuple):
            fs, path = target
            if _is_plain_http(fs):  # whose own requests show neither which bytes came nor of which version they are
                return self._open_url(path, dict(fs.storage_options), expected)
            from scichunk.sources.archived import open_path

            return open_path(fs, path, _open_archive_file)
        if not isinstance(target, str):
            from scichunk.sources.fileobject import FileObjectSource

            return FileObjectSource(target, tag=self.key.rpartition(":")[2])
        if "store" in given:
            from scichunk.sources.objectstore import ObstoreSource

            return ObstoreSource(given["store"], target.partition("://")[2] or target)
        return self._open_url(target, given, expected)

    def _open_url(self, url: str, given: dict[str, Any], expected: Fingerprint | None) -> ByteSource:
        """Open what fsspec has an address of; its head may lie on this machine already."""
        from scichunk.sources.shared_heads import find_head, keep_head

        known = find_head(self.key, expected)
        source = _make_source(url, given, known, same_host=self.same_host)
        if known is None and not source.is_cheap:
            keep_head(self.key, source.fingerprint, source.head())
        return source

    def __dask_tokenize__(self) -> tuple[str, str]:
        return "scichunk", self.key

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        target = self.target
        if not isinstance(target, str | bytes | tuple):  # an open file cannot travel, its content can
            source = self.open()
            target = bytes(source.read_ranges([0], [source.fingerprint.size])[0])
        if (
            isinstance(target, bytes) and protocol >= 5
        ):  # whoever takes buffers as they are, as dask does, makes no copies
            return _from_content, (pickle.PickleBuffer(target), self.options, self.key)
        if self.key == target:
            return Location, (target,)
        return Location, (target, self.options, self.key, *((True,) if self.same_host else ()))


def _split_chain(target: str) -> tuple[str, str, str]:
    """Split a name into the caches before the link that names the file, that link, and the links behind it."""
    found = _CHAIN.fullmatch(target)
    if found is None:
        first, chain, rest = target.partition("::")
        return "", first, chain + rest
    return found[1], found[2], found[3]


_CHAIN: Final = re.compile(r"((?:[\w+.\-]+::)*)([\w+.\-]*://.*?)((?:::.*)?)", re.DOTALL)


def _from_content(data: Any, options: Mapping[str, Any] | None, key: str) -> Location:
    view = memoryview(data)
    whole = view.obj  # the bytes themselves, if they came as a buffer within this process; or a larger message
    same = isinstance(whole, bytes) and len(whole) == view.nbytes
    return Location(whole if same else bytes(view), options, key)


def _is_plain_http(fs: Any) -> bool:
    """Whether a file system is fsspec's own for web servers, made of options alone."""
    kind = type(fs)
    own = (kind.__module__, kind.__name__) == ("fsspec.implementations.http", "HTTPFileSystem")
    return own and not fs.storage_args and not fs.asynchronous


def _make_source(url: str, given: dict[str, Any], known: Head | None, *, same_host: bool) -> ByteSource:
    try:
        if url.startswith(("http://", "https://")):
            from scichunk.sources.http import HttpSource

            return HttpSource(url, given, known, same_host=same_host)
        from scichunk.sources.archived import open_url
    except ImportError as error:
        msg = f"a package is missing that reads this kind of URL: {error}"
        raise SourceError(msg, url=public_url(url)) from error
    return open_url(url, given, _open_archive_file, known)


def _open_archive_file(target: Any) -> ByteSource:
    """Open what an archive lies in: an open file, or a file system of fsspec with a path."""
    if not isinstance(target, tuple):
        return locate(target).open()
    fs, path = target
    return (Location(os.path.abspath(path)) if _is_local(fs) else Location((fs, path))).open()


def _is_local(fs: Any) -> bool:
    protocol = getattr(fs, "protocol", "")
    return "file" in ((protocol,) if isinstance(protocol, str) else tuple(protocol))


def locate(target: Any, storage_options: Mapping[str, Any] | None = None) -> Location:  # anything that names a file
    """Turn what a user gives into a :class:`Location`.

    Parameters
    ----------
    target
        ``str`` or ``os.PathLike`` path, fsspec URL, ``bytes``, or an open binary file object (of a local file, of fsspec, or any
        other that seeks).
    storage_options
        Passed to fsspec, or ``{"store": ...}`` with a store of obstore.

    Raises
    ------
    SourceError
        If it is a file object that has been closed.
    TypeError
        If the target is none of these.
    """
    if isinstance(target, Location):
        return target
    given = checked_options(storage_options) or None
    if isinstance(target, os.PathLike):
        target = os.fsdecode(target)  # names may be bytes, which are no content then
    if isinstance(target, str):
        target = strip_file_url(target)
        if "://" in target or (given and "store" in given):
            return Location(target, given)
        check_slashes(target)
        return Location(os.path.abspath(os.path.expanduser(target)))  # a plain string, 10x faster
    if isinstance(target, bytes | bytearray | memoryview):
        return Location(bytes(target))
    if _is_closed(target):
        msg, name = "the file object is closed", type(target).__name__
        with contextlib.suppress(ValueError):  # one that was detached does not even know its name
            name = str(getattr(target, "name", name))
        raise SourceError(msg, url=public_url(name))
    # Classes derived from it may give what is not in their buffer.
    if isinstance(target, io.BytesIO) and type(target).read is io.BytesIO.read:
        return Location(target.getvalue())
    return _locate_object(target)


def _is_closed(target: Any) -> bool:
    try:
        return getattr(target, "closed", False) is True
    except ValueError:  # what it read from was taken away from it (``detach``)
        return True


def strip_file_url(name: str) -> str:
    """Return the path of a ``file://`` or ``local://`` URL (RFC 8089), and any other name as it is.

    Raises
    ------
    SourceError
        If the URL names a file of another machine.
    """
    if not name.startswith(("file://", "local://")) or "::" in name:
        return name
    import fsspec

    scheme, _, rest = name.partition("://")
    host, _, path = rest.partition("/")
    if host.lower() == "localhost":
        name = f"{scheme}:///{path}"
    elif not _NO_HOST.fullmatch(host):
        msg = f"is a file of the host {host.rpartition('@')[2]!r}; of this machine write {scheme}:///path, or the path alone"
        raise SourceError(msg, url=public_url(name))
    return str(fsspec.core.strip_protocol(name))


_NO_HOST: Final = re.compile(r"\.{0,2}|~.*|[A-Za-z]:")
"""Nothing, the folder or the home folder from which a path leads, or a drive."""


def checked_options(storage_options: Any) -> dict[str, Any]:
    """Return a copy of the user's storage options; raise TypeError if they are no mapping."""
    if storage_options is None or isinstance(storage_options, Mapping):
        return dict(storage_options or {})
    msg = f"storage_options must be a mapping, got {type(storage_options).__name__}"  # its content may be secret
    raise TypeError(msg)


def _locate_object(target: Any) -> Location:
    """An open file by its name where that certainly leads to the same bytes, else the object itself."""
    path = file_of(target)
    if path is not None:
        return Location(path)
    fs, path = getattr(target, "fs", None), getattr(target, "path", None)
    unopened = type(target).__module__ == "fsspec.core" and type(target).__name__ == "OpenFile"
    readable = hasattr(target, "read") and hasattr(target, "seek")
    if not (readable or unopened) or type(target).__module__.startswith("rasterio._"):  # their read() gives pixels
        msg = f"expected a path, URL, bytes or binary file object, got {type(target).__name__}"
        if isinstance(target, list | tuple | set):
            msg += "; scichunk.from_files makes one array of several files"
        elif isinstance(getattr(target, "name", None), str) and hasattr(target, "profile"):
            msg += "; of a rasterio dataset give its name, which leads to the file; what a WarpedVRT does, ds.rio.reproject does"
        raise TypeError(msg)
    if unopened and target.compression is not None:
        msg = f"the file is compressed by {target.compression}: open it first (with target.open()), or expand it"
        raise TypeError(msg)
    local = _is_local(fs)
    plain = getattr(target, "compression", None) is None and (getattr(target, "mode", None) or "rb") in {"rb", "r"}
    if fs is not None and isinstance(path, str) and plain and not local and hasattr(fs, "unstrip_protocol"):
        return Location((fs, path))
    if unopened:
        return locate(path) if local else Location((fs, path))
    return Location(target)


def file_of(target: Any) -> str | None:
    """Return the path of an open file of this machine; None if another file may be found under its name.

    The name of an object proves nothing: members of archives, decompressing readers and files that were replaced since have the
    name of a file that holds other bytes. What is compared is the file that the descriptor stands for.
    """
    inner = getattr(target, "f", target) if type(target).__module__ == "fsspec.implementations.local" else target
    from scichunk.sources.local import plain_raw

    with contextlib.suppress(OSError, ValueError):
        raw = plain_raw(inner)
        if raw is None or not isinstance(raw.name, str) or raw.writable():
            return None
        path = os.path.abspath(raw.name)
        # The name may lead to another file by now, or the object be a member of an archive of that name.
        if os.path.samestat(os.fstat(raw.fileno()), os.stat(path)):
            return path
    return None
