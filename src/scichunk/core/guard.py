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
        inner, url = self.__dict__["inner"], self.__dict__["url"]
        with guarded(url, let=(AttributeError,)):  # it says that there is no such attribute
            value = getattr(inner, name)
        return _guard(value, name, url) if callable(value) else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["inner"], name, value)

    def __repr__(self) -> str:
        return repr(self.__dict__["inner"])


def _guard(method: Callable[..., Any], name: str, url: str) -> Callable[..., Any]:
    let = (TypeError,) if name in _SELECTING else ()

    def call(*args: Any, **kwargs: Any) -> Any:
        with guarded(url, let):
            found = method(*args, **kwargs)
        return Guarded(found, url) if name in _OPENING else found

    return call
