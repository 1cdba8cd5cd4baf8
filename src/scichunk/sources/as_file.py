"""A source of bytes as a file object, for libraries that read nothing else."""

from __future__ import annotations

import io
from typing import Any

from scichunk.errors import ScichunkError
from scichunk.sources.base import ByteSource

__all__ = ["SourceFile"]


class SourceFile(io.RawIOBase):
    """A source as an unbuffered file.

    Parameters
    ----------
    source
        What is read.
    name
        Of the file, for libraries that look at its suffix.
    """

    def __init__(self, source: ByteSource, name: str = "") -> None:
        self.source, self.name = source, name
        self.failure: ScichunkError | None = None
        """What the last read has raised: libraries may take that for a sign that the file is damaged."""
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move the position; OSError if that lies in front of the file."""
        at = offset + (0, self._at, self.source.fingerprint.size)[whence]
        if at < 0:
            msg = f"position {at} of a file"
            raise OSError(msg)
        self._at = at
        return at

    def read(self, size: int | None = -1) -> bytes:
        """Read as many bytes as are asked for and there."""
        return bytes(self._read_view(self.source.fingerprint.size if size is None or size < 0 else size))

    def readinto(self, buffer: Any) -> int:
        """Read as many bytes as the buffer takes."""
        target = memoryview(buffer).cast("B")
        found = self._read_view(len(target))
        target[: len(found)] = found
        return len(found)

    def _read_view(self, size: int) -> memoryview:
        stop = min(self.source.fingerprint.size, self._at + size)
        start = min(self._at, stop)
        try:
            found = self.source.read_ranges([start], [stop])[0]
        except ScichunkError as error:
            self.failure = error
            raise
        self._at = max(self._at, stop)
        return found
