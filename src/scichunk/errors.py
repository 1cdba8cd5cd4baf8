"""The one exception tree of scichunk.

Every error says which file, which part of it (page, tile, HDU, table, row) and what was tried, and survives pickling, so
that a failure on a worker reads the same on the client.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "DataWarning",
    "FormatError",
    "LimitExceeded",
    "MetadataWarning",
    "MissingFile",
    "PerformanceWarning",
    "ScichunkError",
    "SourceError",
    "UnsupportedFeature",
]


class ScichunkError(Exception):
    """Base of all errors that scichunk raises on purpose.

    Parameters
    ----------
    message
        What is wrong and, where there is something, what to do about it.
    url
        The file, without secrets.
    part
        The place in the file, for example ``"page 0, tile 12"``.
    tried
        What was attempted before giving up, for example ``"indexed, then reference (rasterio)"``.
    """

    def __init__(
        self, message: str, *, url: str | None = None, part: str | None = None, tried: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.url = url
        self.part = part
        self.tried = tried

    def __str__(self) -> str:
        place = ", ".join(p for p in (self.url, self.part) if p)
        text = f"{self.message} [{place}]" if place else self.message
        return f"{text} (tried: {self.tried})" if self.tried else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.url, self.part, self.tried)

    def at(self, *, url: str | None = None, part: str | None = None) -> ScichunkError:
        """Fill in the place where the raiser did not know it; returns the error itself."""
        self.url = self.url or url
        self.part = self.part or part
        return self


def _rebuild(
    cls: type[ScichunkError], message: str, url: str | None, part: str | None, tried: str | None
) -> ScichunkError:
    return cls(message, url=url, part=part, tried=tried)


class FormatError(ScichunkError, ValueError):
    """The bytes are not of that format, are malformed or end too early."""


class UnsupportedFeature(ScichunkError, NotImplementedError):
    """Valid by the standard, but not readable here, or not by the reader that was asked for."""


class SourceError(ScichunkError, OSError):
    """The file is missing, unreachable, or changed while it was being read."""


class MissingFile(SourceError, FileNotFoundError):
    """There is no such file or object."""


class LimitExceeded(ScichunkError, ValueError):
    """A size in the file's headers is beyond the limits in :mod:`scichunk.options`."""


class PerformanceWarning(UserWarning):
    """The request is correct but needlessly slow; the message says what would be faster."""


class MetadataWarning(UserWarning):
    """Something that the file says about its values could not be understood and is left out; the values are right."""


class DataWarning(UserWarning):
    """Values in the file that are not as its header promises; the message says what was made of them."""
