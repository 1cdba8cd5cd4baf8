"""The one exception tree of scichunk.

Every error says which file, which part of it (page, tile, HDU, table, row) and what was tried, and survives pickling, so
that a failure on a worker reads the same on the client.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

__all__ = [
    "DataWarning",
    "FormatError",
    "GroupNotFound",
    "HistoryWarning",
    "LimitExceeded",
    "MetadataWarning",
    "MissingFile",
    "NotGeoreferencedWarning",
    "OptionError",
    "ParserError",
    "PerformanceWarning",
    "PluginWarning",
    "ScichunkError",
    "SourceError",
    "UnsupportedFeature",
    "guarded",
    "located",
    "shortened",
]

_MOST_CHARACTERS: Final = 2000
"""Of a message or a place: files may hold texts of any length, which nobody reads and which logs should not keep."""


def shortened(text: str) -> str:
    """Return the beginning and the end of a text that is too long to be told; what is short enough is returned as it is."""
    if len(text) <= _MOST_CHARACTERS:
        return text
    begin, end = 3 * _MOST_CHARACTERS // 4, _MOST_CHARACTERS // 5
    return f"{text[:begin]} ... ({len(text)} characters) ... {text[-end:]}"


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
        message = shortened(message)
        super().__init__(message)
        self.message = message
        self.url = url
        self.part = part
        self.tried = tried

    def __str__(self) -> str:
        place = shortened(", ".join(p for p in (self.url, self.part) if p))
        text = f"{self.message} [{place}]" if place else self.message
        return f"{text} (tried: {self.tried})" if self.tried else text

    def __reduce__(self) -> tuple[Any, ...]:
        # pickle leaves the cause behind, but distributed sends it along by means of tblib, which asks for it after this; if it could
        # not be pickled, the client would get a bare Exception
        suppressed = self.__suppress_context__
        self.__cause__, self.__context__ = _make_portable(self.__cause__), _make_portable(self.__context__)
        self.__suppress_context__ = suppressed
        return _rebuild_error, (type(self), self.message, self.url, self.part, self.tried)

    def at(self, *, url: str | None = None, part: str | None = None, tried: str | None = None) -> Self:
        """Fill in what the raiser did not know of the place; the rule is that of :class:`located`. Returns the error itself."""
        if url and self.url and url != self.url:
            return self
        self.url = self.url or url
        if part and self.part:
            known = self.part.split(", ")
            self.part = ", ".join([*(p for p in part.split(", ") if p and p not in known), self.part])
        else:
            self.part = self.part or part
        self.tried = self.tried or tried
        return self


class ForeignError(Exception):
    """Stands for an error of a library that cannot be sent to another process; the message has its class and its text."""


def _make_portable(error: BaseException | None) -> BaseException | None:
    """Return an error that can be pickled: itself, or what stands for it."""
    if error is None:
        return None
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes; some errors can be written, but not be read
    except Exception:  # noqa: BLE001  # any error in the code of others says the same
        found = ForeignError(f"{type(error).__module__}.{type(error).__qualname__}: {error}")
        found.__cause__ = _make_portable(error.__cause__)
        return found.with_traceback(error.__traceback__)
    return error


def _rebuild_error(
    cls: type[ScichunkError], message: str, url: str | None, part: str | None, tried: str | None
) -> ScichunkError:
    return cls(message, url=url, part=part, tried=tried)


class located:  # noqa: N801  # reads as a statement: with located(url=..., part=...)
    """A context manager that adds the place to errors of scichunk that leave it.

    The error itself goes on, with its type, cause and traceback. One rule decides what it says then:

    - The url and ``tried`` of the raiser are kept; they are filled in where it gave none.
    - Parts are joined from the outside to the inside: ``"HDU 1"`` around ``"row 3"`` gives ``"HDU 1, row 3"``. What the error names
      already is not named twice.
    - An error of another file (its url differs from the one given here) stays as it is: a part of this file is none of that one.

    Parameters
    ----------
    url
        The file, without secrets.
    part
        The place in the file; or a function that gives it, where making the text costs too much to be done for every chunk.
    tried
        What was attempted.
    """

    __slots__ = ("_part", "_tried", "_url")

    def __init__(
        self, url: str | None = None, part: str | Callable[[], str] | None = None, tried: str | None = None
    ) -> None:
        self._url, self._part, self._tried = url, part, tried

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ScichunkError):
            part = self._part() if callable(self._part) else self._part
            error.at(url=self._url, part=part, tried=self._tried)


class guarded:  # noqa: N801  # reads as a statement, as located
    """A context manager around the code of a format: whatever it raises by mistake becomes an error of the tree.

    Errors of scichunk get the url, as from :class:`located`. An error of another class is a mistake of the reader, seldom one of the
    file alone: it becomes a :class:`ParserError`, with itself as the cause. A MemoryError becomes :class:`LimitExceeded`. Warnings
    that filters turn into errors go on as they are.

    Parameters
    ----------
    url
        The file, without secrets.
    let
        Classes of errors that go on as they are.
    """

    __slots__ = ("_let", "_url")

    def __init__(self, url: str | None = None, let: tuple[type[Exception], ...] = ()) -> None:
        self._url = url
        self._let: tuple[type[BaseException], ...] = (Warning, *let)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, self._let):
            return
        if isinstance(error, ScichunkError):
            error.at(url=self._url)
        elif isinstance(error, MemoryError):
            msg = f"more memory is needed than there is: {str(error) or 'no size is told'}"
            raise LimitExceeded(msg, url=self._url) from error
        else:
            msg = f"the reader met what it does not expect: {type(error).__name__}: {error}"
            raise ParserError(msg, url=self._url) from error


class FormatError(ScichunkError, ValueError):
    """The bytes are not of that format, are malformed or end too early."""


class GroupNotFound(FormatError):
    """The file has no group of that name."""

    @classmethod
    def among(cls, group: str, groups: Sequence[str], *, url: str | None = None) -> Self:
        """Make the error of a name that is not among those of the file."""
        return cls(f"there is no group {group!r}; the file has {', '.join(groups) or 'none'}", url=url)


class ParserError(FormatError):
    """A reader failed in a way that nobody has foreseen: its cause says how, and is worth a report beside the file."""


class UnsupportedFeature(ScichunkError, NotImplementedError):
    """Valid by the standard, but not readable here, or not by the reader that was asked for."""


class SourceError(ScichunkError, OSError):
    """The file is missing, unreachable, or changed while it was being read."""


class MissingFile(SourceError, FileNotFoundError):
    """There is no such file or object."""


class LimitExceeded(ScichunkError, ValueError):
    """A size in the file's headers is beyond the limits in :mod:`scichunk.options`."""


class OptionError(ScichunkError, ValueError):
    """The value of an option is not possible; the message names the option, or the environment variable that it came from."""


class PerformanceWarning(UserWarning):
    """The request is correct but needlessly slow; the message says what would be faster."""


class MetadataWarning(UserWarning):
    """Something that the file says about its values could not be understood and is left out; the values are right."""


class NotGeoreferencedWarning(MetadataWarning):
    """A raster has a coordinate system, but nothing says where its pixels lie in it; coordinates count pixels."""


class DataWarning(UserWarning):
    """Values in the file that are not as its header promises; the message says what was made of them."""


class HistoryWarning(UserWarning):
    """What was computed could not be written into the history; it is right nevertheless."""


class PluginWarning(UserWarning):
    """A format of another package cannot be used and is left out; the message names the package and its entry point."""
