"""A net under the formats: what their code raises by mistake becomes an error of the tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from scichunk.errors import guarded

__all__ = ["Guarded"]

_SELECTING: Final = frozenset({"find_array", "find_table", "select"})
"""Methods that take what users say, whose TypeError is meant for them."""
_OPENING: Final = frozenset({"table"})
"""Methods whose result is guarded too; arrays are guarded where they are read."""


class Guarded:
    """An opened file, or a table of it, whose methods and properties raise errors of the tree only.

    Parameters
    ----------
    inner
        What is guarded; all its attributes are found here.
    url
        The file, without secrets.
    """

    def __init__(self, inner: Any, url: str) -> None:
        self.__dict__.update(inner=inner, url=url)

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        try:
            value = getattr(own["inner"], name)
        except Exception:
            with guarded(own["url"], let=(AttributeError,)):  # that says that there is no such attribute
                raise
        return _guard_method(value, name, own["url"]) if callable(value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["inner"], name, value)

    def __repr__(self) -> str:
        return repr(self.__dict__["inner"])


def _guard_method(method: Callable[..., Any], name: str, url: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            found = method(*args, **kwargs)
        except Exception:  # entering the guard beforehand would cost more than the rest of a call that goes well
            with guarded(url, (TypeError,) if name in _SELECTING else ()):
                raise
        return Guarded(found, url) if name in _OPENING else found

    return call
