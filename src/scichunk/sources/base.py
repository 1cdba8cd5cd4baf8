"""What a source of bytes is: the protocol, the fingerprint, and the checks that all of them share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from scichunk.errors import FormatError

__all__ = ["ByteSource", "Fingerprint", "check_ranges", "public_url"]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which version of a file this is; part of every dask token."""

    size: int
    """Length in bytes."""
    tag: str
    """ETag, or modification time in hexadecimal nanoseconds, or a digest; empty where nothing is known."""


@runtime_checkable
class ByteSource(Protocol):
    """Bytes by ranges, from anywhere. Rebuilt by url and options on each worker, never pickled with a handle."""

    key: str
    """Identity of the file by name, see :attr:`scichunk.sources.Location.key`; set by who opens it."""

    @property
    def url(self) -> str:
        """The name for messages and tokens; holds no secrets."""
        ...

    @property
    def fingerprint(self) -> Fingerprint:
        """The version that was there when the source was opened."""
        ...

    @property
    def batch_bytes(self) -> int:
        """How many bytes to ask for in one batch: few where a read is cheap, many where latency rules."""
        ...

    @property
    def is_cheap(self) -> bool:
        """Whether a small read costs next to nothing, so that it is better than to read ahead or to keep bytes."""
        ...

    def head(self) -> memoryview:
        """Return the first bytes of the file (``options.head_bytes``, or all of a shorter file)."""
        ...

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read half-open ranges in one concurrent, coalesced batch.

        The views may lie in a buffer of this thread: they are valid until its next read.

        Raises
        ------
        FormatError
            If a range lies outside the file.
        SourceError
            If a range cannot be read, or the file has changed since it was opened.
        """
        ...

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`; the views stay valid."""
        ...

    def close(self) -> None:
        """Let go of descriptors and connections; a later read takes them up again."""
        ...


def check_ranges(starts: Sequence[int], stops: Sequence[int], size: int, url: str) -> None:
    """Refuse ranges outside ``[0, size]``: offsets in a file's headers are not to be trusted."""
    for start, stop in zip(starts, stops, strict=True):
        if start < 0 or stop > size or stop < start:
            msg = f"bytes {start} to {stop} lie outside the file of {size} bytes: it is truncated or its offsets are corrupt"
            raise FormatError(msg, url=url)


def public_url(url: str) -> str:
    """Hide what may be secret: user information, and the values in a query string."""
    url = re.sub(r"(?<=://)[^/@\s]*@", "", url)
    return re.sub(r"(?<==)[^&#]{16,}", "...", url) if "?" in url else url
