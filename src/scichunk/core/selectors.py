"""The words by which users pick a part of a file (``page``, ``hdu``, ``table``, ...): declared by a format, checked in one place."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = [
    "BANDS",
    "READER",
    "Selector",
    "Use",
    "check_selectors",
    "choice",
    "flag",
    "index",
    "index_or_name",
    "integer",
    "text",
]

Use = Literal["array", "table", "dataset"]
"""What is made of the part: an array (``from_file``), a frame (``read_table``), a dataset (the engines)."""

_ELSEWHERE: Final = {
    "masked": "mask_and_scale=True of the engines masks and scales; from_* functions give stored values",
    "overview_level": "the word is overview=",
    "band_as_variable": "use ds['band_data'].to_dataset('band')",
    "lock": "reading needs no lock: leave it out",
    "parse_coordinates": "coordinates cost nothing until they are asked for: leave it out",
    "default_name": "use ds.rename()",
    "ext": "the word is hdu=",
    "extname": "the word is hdu=",
    "subdataset": "the words are page=, hdu=, table= or group=",
    "chunks": "tables are cut by blocksize=",
    "chunksize": "tables are cut by blocksize=, arrays by chunks=",
    "npartitions": "tables are cut by blocksize=",
    "blocksize": "arrays are cut by chunks=",
    "usecols": "the word is columns=",
    "names": "the word is columns=",
    "nrows": "use .head(), which reads what it needs",
    "table_id": "the word is table=",
    "table_number": "the word is table=",
    "invalid": "the word is on_error=",
}
"""What rioxarray and others call it, and what to do instead."""
_GENERAL: Final[Mapping[Use, tuple[str, ...]]] = {
    "array": ("chunks", "storage_options"),
    "table": ("columns", "filters", "blocksize", "storage_options"),
    "dataset": (),
}
"""Keywords beside the selectors, for the message that lists the right ones."""


@dataclass(frozen=True, slots=True)
class Selector:
    """One word of a format.

    Parameters
    ----------
    name
        The keyword.
    check
        Called with name and value; returns the value in its canonical form, or raises TypeError or ValueError with the name.
    description
        For people, without a full stop.
    uses
        Where it may be given.
    default
        The value where it is not given; it is not checked.
    """

    name: str
    check: Callable[[str, Any], Any]
    description: str
    uses: tuple[Use, ...] = ("array", "dataset")
    default: Any = None


def check_selectors(selectors: tuple[Selector, ...], given: Mapping[str, Any], use: Use, where: str) -> dict[str, Any]:
    """Return the selectors that were given, each in its canonical form.

    Parameters
    ----------
    selectors
        Those of the format.
    given
        By name; None stands for the default.
    use
        What is made of the part.
    where
        Who asks, for the message.

    Raises
    ------
    TypeError
        If there is no such word: the message lists the right ones. Or if a value is of the wrong kind.
    ValueError
        If a value is impossible.
    """
    known = {s.name: s for s in selectors if use in s.uses}
    for name in given:
        if name not in known:
            hint = f": {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
            right = f"it takes {', '.join(known)}" if known else "it takes none"
            others = f", beside {', '.join(_GENERAL[use])}" if _GENERAL[use] else ""
            msg = f"{where} has no keyword {name!r}{hint}; of selectors {right}{others}"
            raise TypeError(msg)
    return {name: known[name].check(name, value) for name, value in given.items() if value is not None}


def index(name: str, value: Any) -> int:
    """Accept a position, counted from 0."""
    number = integer(name, value)
    if number < 0:
        msg = f"{name} counts from 0, got {number}"
        raise ValueError(msg)
    return number


def index_or_name(name: str, value: Any) -> int | str:
    """Accept a position, counted from 0, or a name."""
    return value if isinstance(value, str) else index(name, value)


def text(name: str, value: Any) -> str:
    """Accept a text."""
    if not isinstance(value, str):
        msg = f"{name} must be a text, got {value!r}"
        raise TypeError(msg)
    return value


def names_in(name: str, value: Any) -> frozenset[str]:
    """Accept one name, several, or None for none."""
    return frozenset(names_of(name, value) or ())


def names_of(name: str, value: Any) -> list[str] | None:
    """Accept one name, or several in their order; None stays None."""
    if value is None or isinstance(value, str):
        return None if value is None else [value]
    if hasattr(value, "__iter__") and not isinstance(value, bytes):
        return list(value)
    msg = f"{name} must be one name or several, got {value!r}"
    raise TypeError(msg)


def flag(name: str, value: Any) -> bool:
    """Accept True or False."""
    if type(value).__name__ not in {"bool", "bool_"} and value not in (0, 1):
        msg = f"{name} must be True or False, got {value!r}"
        raise TypeError(msg)
    return bool(value)


def choice(*allowed: str) -> Callable[[str, Any], str]:
    """Accept one of some texts."""
    return _Choice(allowed)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The check of :func:`choice`: no function of a function, since what :func:`scichunk.list_formats` returns must pickle."""

    allowed: tuple[str, ...]

    def __call__(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in self.allowed:
            msg = f"{name} must be {' or '.join(repr(a) for a in self.allowed)}, got {value!r}"
            raise ValueError(msg)
        return value


def band_positions(name: str, value: Any) -> tuple[int, ...]:
    """Accept one position or several; negative ones count from the end. Their number is checked where it is known."""
    values = value if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else (value,)
    return tuple(integer(name, v) for v in values)


def integer(name: str, value: Any) -> int:
    """Accept any integer; True and False are none."""
    if not isinstance(value, bool) and hasattr(value, "__index__"):
        return operator.index(value)
    msg = f"{name} must be an integer, got {value!r}"
    raise TypeError(msg)


BANDS: Final = Selector("bands", band_positions, "positions of bands, counted from 0, in the order wanted", ("array",))
READER: Final = Selector(
    "reader", choice("auto", "indexed", "reference"), "own decoders, or the reference library", ("array",), "auto"
)
