"""Where bytes come from: a location that can be sent to a worker, and the source that it opens there."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scichunk.errors import SourceError
from scichunk.sources.base import ByteSource, Fingerprint, public_url

__all__ = ["ByteSource", "Fingerprint", "Location", "locate"]


@dataclass(frozen=True, slots=True)
class Location:
    """A file by name, ready to be pickled; make one with :func:`locate`."""

    target: Any = field(repr=False)
    """Absolute path, URL, bytes, ``(fsspec file system, path)``, or an open file object."""
    options: Mapping[str, Any] | None = field(default=None, repr=False)
    """fsspec's storage options; may hold secrets."""

    @property
    def url(self) -> str:
        """Name for messages, without secrets."""
        if isinstance(self.target, str):
            return public_url(self.target)
        if isinstance(self.target, bytes):
            return f"<{len(self.target)} bytes>"
        if isinstance(self.target, tuple):
            return str(self.target[0].unstrip_protocol(self.target[1]))
        return str(getattr(self.target, "name", "") or f"<{type(self.target).__name__}>")

    @property
    def local_path(self) -> str | None:
        """The path, if this is a file of this machine."""
        return self.target if isinstance(self.target, str) and "://" not in self.target else None

    @property
    def key(self) -> tuple[object, ...]:
        """Hashable identity within this process."""
        from dask.base import tokenize

        if isinstance(self.target, str):
            return (self.target, tokenize(dict(self.options)) if self.options else "")
        if isinstance(self.target, bytes):
            return (tokenize(self.target),)
        if isinstance(self.target, tuple):
            return (self.target[0].to_json(), self.target[1])
        return (type(self.target).__name__, id(self.target))

    def open(self) -> ByteSource:
        """Open the source.

        Raises
        ------
        SourceError
            If it is missing or unreachable.
        """
        target, given = self.target, dict(self.options or {})
        if isinstance(target, bytes):
            from scichunk.sources.memory import BytesSource

            return BytesSource(target)
        if isinstance(target, tuple):
            from scichunk.sources.fsspec import FsspecSource

            fs, path = target
            return FsspecSource(fs, path, self.url)
        if not isinstance(target, str):
            from scichunk.sources.fileobject import FileObjectSource

            return FileObjectSource(target)
        if "store" in given:
            from scichunk.sources.objectstore import ObstoreSource

            return ObstoreSource(given["store"], target.partition("://")[2] or target)
        if "://" not in target:
            from scichunk.sources.local import LocalSource

            return LocalSource(target)
        return _open_url(target, given)

    def __reduce__(self) -> tuple[Any, ...]:
        target = self.target
        if not isinstance(target, str | bytes | tuple):  # an open file cannot travel, its content can
            source = self.open()
            target = bytes(source.read_ranges([0], [source.fingerprint.size])[0])
        return Location, (target, self.options)


def _open_url(url: str, given: dict[str, Any]) -> ByteSource:
    try:
        if url.startswith(("http://", "https://")):
            from scichunk.sources.http import HttpSource

            return HttpSource(url, given)
        from scichunk.sources.fsspec import FsspecSource
    except ImportError as error:
        msg = f"a package is missing that reads this kind of URL: {error}"
        raise SourceError(msg, url=public_url(url)) from error
    return FsspecSource.from_url(url, given)


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
    TypeError
        If the target is none of these.
    """
    if isinstance(target, Location):
        return target
    given = dict(storage_options) if storage_options else None
    if isinstance(target, os.PathLike):
        target = os.fspath(target)
    if isinstance(target, str):
        if target.startswith("file://") and "::" not in target:
            import fsspec

            target = fsspec.core.strip_protocol(target)
        if "://" in target or (given and "store" in given):
            return Location(target, given)
        return Location(os.path.abspath(os.path.expanduser(target)))  # a plain string, 10x faster
    if isinstance(target, bytes | bytearray | memoryview):
        return Location(bytes(target))
    if isinstance(target, io.BytesIO):
        return Location(target.getvalue())
    fs, path = getattr(target, "fs", None), getattr(target, "path", None)
    if fs is not None and isinstance(path, str):
        return Location(path) if getattr(fs, "protocol", "") in ("file", ("file", "local")) else Location((fs, path))
    if hasattr(target, "read") and hasattr(target, "seek"):
        name = getattr(target, "name", None)
        if isinstance(name, str) and os.path.isfile(name) and "r" in str(getattr(target, "mode", "rb")):
            return Location(os.path.abspath(name))
        return Location(target)
    msg = f"expected a path, URL, bytes or binary file object, got {type(target).__name__}"
    raise TypeError(msg)
