"""Coordinates in tables (-TAB: FITS 4.0, section 8.3; Greisen et al. 2006, section 6), looked at before wcslib.

It makes room for as many axes and elements as parameters say, and goes through the arrays of a table by the sizes of others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scichunk.errors import FormatError
from scichunk.sky.cards import parse_float, split_cards

__all__ = ["check_tabular"]

_TYPE: Final = re.compile(r"CTYPE(\d+)([A-Z]?) *= *'((?:[^']|'')*)'")
_PARAMETER: Final = re.compile(r"(PS|PV)(\d+)_(\d+)([A-Z]?) *= *(.*)")
_QUOTED: Final = re.compile(r"'((?:[^']|'')*)'")
_SCALING: Final = re.compile(
    r"(?:CRVAL|CRPIX|CDELT|CROTA|PC|CD|PV|PROJP|LONPOLE|LATPOLE|[AB]P?_)\d*(?:_\d+)?[A-Z]? *= *([^'/ ][^/]*)"
)
_LOOKUP: Final = re.compile(r"(?:C[PQ]DIS|D2IMDIS|AXISCORR)\d*[A-Z]? *=")
_ALGORITHM: Final = slice(4, 8)
_TABLE, _COORDINATES, _INDEX = 0, 1, 2
"""Of the texts of an axis (PSi_m): EXTNAME of the table, TTYPE of its coordinates, and of the index."""
_VERSION, _LEVEL, _PLACE = 1, 2, 3
"""Of the numbers of an axis (PVi_m): EXTVER and EXTLEVEL of the table, number of the axis in its coordinates."""
_MOST: Final = 1 << 31
_FAR: Final = 1e30
"""Products and sums of numbers up to this, and polynomials of pixels with such coefficients, do not overflow."""


class _Array(NamedTuple):
    """Where an array of coordinates is: by what is said of it, axes belong together."""

    name: str
    version: int
    level: int
    column: str


class _Parameters(NamedTuple):
    """Of an axis, by their numbers."""

    texts: dict[int, str]
    numbers: dict[int, str]
    twice: list[str]
    """Cards that say otherwise than others."""


class _Axis(NamedTuple):
    """An axis of an array of coordinates."""

    place: int
    index_column: str


def check_tabular(header: str, hdus: Any) -> None:
    """Check that tables have what a header says of them, and of the sizes that it follows from.

    Parameters
    ----------
    header
        Cards of 80 characters, without line ends.
    hdus
        astropy's list of HDUs with the tables; None for none.

    Raises
    ------
    FormatError
        If an axis names no table, axes of an array are not numbered from 1 on, or arrays have other sizes than they need.
    """
    if "-TAB" not in header:
        return
    cards = split_cards(header)
    axes = _tabular_axes(cards)
    if not axes:
        return
    _check_scaling(cards)
    parameters = _read_parameters(cards)
    groups: dict[tuple[str, _Array], list[_Axis]] = {}
    for number, version in axes:
        array, axis = _describe(number, parameters.get((number, version), _Parameters({}, {}, [])))
        groups.setdefault((version, array), []).append(axis)
    for (_, array), members in groups.items():
        if sorted(axis.place for axis in members) != list(range(1, len(members) + 1)):
            places = ", ".join(str(axis.place) for axis in members)
            msg = f"{len(members)} axes of the coordinates in {array.name!r} (-TAB) have the numbers {places}"
            raise FormatError(msg)
        _check_arrays(array, members, _columns_of(array, hdus))


def _check_scaling(cards: Sequence[str]) -> None:
    """Check that what is looked for in an index is a number: wcslib makes an integer of it, whether it is one or not."""
    for card in cards:
        found = _SCALING.match(card)
        if found is not None and not abs(parse_float(found[1])) <= _FAR:
            msg = f"a number beyond {_FAR:g}, beside coordinates in tables (-TAB): {card.rstrip()!r}"
            raise FormatError(msg)
        if _LOOKUP.match(card):
            msg = f"a distortion beside coordinates in tables (-TAB): {card.rstrip()!r}"
            raise FormatError(msg)


def _tabular_axes(cards: Sequence[str]) -> list[tuple[int, str]]:
    """Number and version of each axis whose coordinates are in a table; of several cards the last counts, as for wcslib."""
    kinds: dict[tuple[int, str], str] = {}
    for card in cards:
        if (found := _TYPE.match(card)) is not None:
            kinds[int(found[1]), found[2]] = found[3]
    return [axis for axis, kind in kinds.items() if kind[_ALGORITHM] == "-TAB"]


def _read_parameters(cards: Sequence[str]) -> dict[tuple[int, str], _Parameters]:
    """Texts (PSi_m) and numbers (PVi_m) of each axis of each version."""
    found: dict[tuple[int, str], _Parameters] = {}
    for card in cards:
        match = _PARAMETER.match(card)
        if match is None:
            continue
        parameters = found.setdefault((int(match[2]), match[4]), _Parameters({}, {}, []))
        place, value = int(match[3]), match[5].strip()
        if (parameters.texts if match[1] == "PS" else parameters.numbers).setdefault(place, value) != value:
            parameters.twice.append(card.rstrip())
    return found


def _describe(number: int, given: _Parameters) -> tuple[_Array, _Axis]:
    """What is said of an axis: its array, and its place there."""
    texts, numbers, twice = given
    if twice:
        msg = f"an axis of coordinates in tables (-TAB) has two values of one parameter: {twice[0]!r}"
        raise FormatError(msg)
    name, column = _parse_text(texts, _TABLE), _parse_text(texts, _COORDINATES)
    if not (name and column):
        msg = f"axis {number} has coordinates in a table (-TAB), and names no table (PS{number}_0) or column (PS{number}_1)"
        raise FormatError(msg)
    of = _Array(name, _parse_integer(numbers, _VERSION), _parse_integer(numbers, _LEVEL), column)
    return of, _Axis(_parse_integer(numbers, _PLACE), _parse_text(texts, _INDEX))


def _parse_text(texts: Mapping[int, str], place: int) -> str:
    found = _QUOTED.match(texts.get(place, ""))
    if found is None and place in texts:
        msg = f"parameter {place} of coordinates in tables (-TAB) is no text: {texts[place]!r}"
        raise FormatError(msg)
    return "" if found is None else found[1].replace("''", "'").rstrip()


def _parse_integer(numbers: Mapping[int, str], place: int) -> int:
    """A number of an axis, 1 if it is not given."""
    text = numbers.get(place, "1").split("/")[0].strip()
    value = parse_float(text)
    if not (1 <= value < _MOST and value == int(value)):
        msg = f"parameter {place} of coordinates in tables (-TAB) is no number from 1 on: {text!r}"
        raise FormatError(msg)
    return int(value)


def _columns_of(array: _Array, hdus: Any) -> Any:
    """The first row of a table, by its columns."""
    try:
        data = hdus[array.name, array.version].data
        return None if data is None else data[:1]
    except (KeyError, TypeError) as error:
        msg = f"there is no table {array.name!r}, version {array.version}, with the world coordinates (-TAB)"
        raise FormatError(msg) from error


def _check_arrays(array: _Array, axes: Sequence[_Axis], row: Any) -> None:
    values = _numbers_of(array, array.column, row)
    shape = (*values.shape, 1) if len(axes) == values.ndim == 1 else values.shape
    if len(shape) != len(axes) + 1 or shape[-1] != len(axes) or 0 in shape:
        msg = f"the coordinates in {array.name!r} (-TAB) have the shape {shape}, which is none of {len(axes)} axes"
        raise FormatError(msg)
    for axis in axes:
        size = shape[len(axes) - axis.place]
        if not axis.index_column:
            continue
        index = _numbers_of(array, axis.index_column, row)
        if index.shape != (size,):
            msg = f"the index {axis.index_column!r} of {size} coordinates in {array.name!r} (-TAB) has another size"
            raise FormatError(msg)
        steps = np.diff(index.astype(np.float64))
        if not np.isfinite(index).all() or (size > 1 and not ((steps >= 0).all() or (steps <= 0).all())):
            msg = f"the index {axis.index_column!r} in {array.name!r} (-TAB) neither rises nor falls all along"
            raise FormatError(msg)
        if size > 1 and not steps.any():
            msg = f"the index {axis.index_column!r} in {array.name!r} (-TAB) is constant"
            raise FormatError(msg)


def _numbers_of(array: _Array, column: str, row: Any) -> npt.NDArray[Any]:
    """The numbers of a column in the first row."""
    try:
        values = row[column][0]
        kind, shape = values.dtype.kind, values.shape
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        msg = f"the table {array.name!r} of world coordinates (-TAB) has no column {column!r}, or no row"
        raise FormatError(msg) from error
    if kind not in "iuf":
        msg = f"the column {column!r} of {array.name!r} (-TAB) has no numbers, but {shape} of {values.dtype}"
        raise FormatError(msg)
    return np.asarray(values)
