"""A local copy of a file for libraries that read only local files; made once per process, deleted with it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
import weakref
from pathlib import Path

from scichunk.errors import PerformanceWarning
from scichunk.sources.base import ByteSource
from scichunk.sources.local import LocalSource

__all__ = ["LocalCopy", "local_copy"]

_STEP = 1 << 24


class LocalCopy:
    """A temporary file with the content of a source; it lives as long as this object."""

    def __init__(self, source: ByteSource, suffix: str) -> None:
        handle, name = tempfile.mkstemp(prefix="scichunk-", suffix=suffix)
        self.path = name
        self._finalizer = weakref.finalize(self, _remove, name)
        size = source.fingerprint.size
        with os.fdopen(handle, "wb") as file:
            for start in range(0, size, _STEP):
                file.write(source.read_ranges([start], [min(size, start + _STEP)])[0])


def _remove(name: str) -> None:
    with contextlib.suppress(OSError):
        Path(name).unlink()


def local_copy(source: ByteSource, suffix: str, why: str) -> tuple[str, LocalCopy | None]:
    """Return a local path with the source's content, and what keeps it alive.

    Warns
    -----
    PerformanceWarning
        If a large file has to be copied.
    """
    if isinstance(source, LocalSource):
        return source.path, None
    if source.fingerprint.size > _STEP:
        msg = f"{source.url} is copied to a temporary file ({source.fingerprint.size >> 20} MB) because {why}"
        warnings.warn(msg, PerformanceWarning, stacklevel=3)
    copy = LocalCopy(source, suffix)
    return copy.path, copy
