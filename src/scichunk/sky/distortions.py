"""Distortions that a header speaks of, looked at before wcslib: it trusts their indexes and lengths, and writes where they lead."""

from __future__ import annotations

import re
from typing import Final

from scichunk.errors import FormatError
from scichunk.sky.cards import split_cards

__all__ = ["checked_distortions"]

_MOST_TERMS: Final = 10_000
"""Of a surface of IRAF; those of real images have some ten."""
_PLATE_TERMS: Final = 13
"""Of a plate solution, those that are functions of the place. The others are of magnitude and colour, which wcslib does not know."""
_PLATE: Final = re.compile(r"AMD[XY](\d+) *= ")
_PLATE_NUMBER: Final = re.compile(r"AMD[XY]\d+|PPO\d+|CNPIX[12]|[XY]PIXELSZ|PLTRA[HMS]|PLTDEC[DMS]")
_NUMBER: Final = re.compile(r" *+[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[EeDd][+-]?\d++)? *+(?:/.*)?")
_SIGN: Final = "PLTDECSN"
_UNDEFINED: Final = re.compile(r" *(?:/.*)?")
_COEFFICIENT_OF_TEXT: Final = re.compile(r"[AB]P?_(?:\d+_\d+|ORDER|DMAX) *= *'")
_WORDS: Final = ("AMDX", "AMDY", "PPO", "CNPIX", "PIXELSZ", "PLTRA", "PLTDEC", "DP", "DQ", "WAT", "A_", "B_", "P_")
_RECORD: Final = re.compile(r"D[PQ](\d+)([A-Z]?) *= *'([^']*)'?")
_RECORD_NAME: Final = re.compile(r"D[PQ](\d+)([A-Z]?)\.([^\s=]+) *= *(\S*)")
_INDEXED: Final = re.compile(r"(?:.*\.)?(AXIS|OFFSET|SCALE)\.([^.]*)")
_PLATE_TERM: Final = re.compile(r"(?:.*\.)?DSS\.AMD\.([^.]*)")
_SURFACE: Final = re.compile(r"WAT(\d+)_(\d+) *= *'((?:[^']|'')*)'?")
_ORDERS: Final = re.compile(r"(?:lng|lat)cor\s*=\s*\"?\s*([^\"]*)", re.IGNORECASE)
_NUMBER_OF_AXES: Final = re.compile(r"(?:NAXIS|WCSAXES([A-Z]?)) *= *(\d+)")
_LARGEST: Final = 1 << 31


def checked_distortions(header: str) -> str:
    """Return a header whose distortions wcslib can be given.

    Parameters
    ----------
    header
        Cards of 80 characters, without line ends.

    Returns
    -------
    str
        The header without terms of plate solutions that say nothing of places, and without cards of plates that have no value: with
        either, wcslib ends the process.

    Raises
    ------
    FormatError
        If a record of a distortion (DPja, DQia) names an axis that there is not, a surface of IRAF (TNX, ZPX) has terms without end,
        a plate solution or a polynomial (SIP) has a text where it must have a number, a plate has fewer axes than two, or stands beside
        other distortions of its kind, or records list axes twice.
    """
    if not any(word in header for word in _WORDS):
        return header
    cards = split_cards(header)
    _check_records(cards)
    _check_surfaces(cards)
    cards = [card for card in cards if not _is_of_brightness(card) and not _is_undefined(card)]
    _check_types(cards)
    return "".join(cards)


def _is_of_brightness(card: str) -> bool:
    found = _PLATE.match(card)
    return found is not None and _integer(found[1]) > _PLATE_TERMS


def _is_undefined(card: str) -> bool:
    """Whether a card of a plate solution has no value, as if it were not there."""
    name = card[:8].rstrip()
    return (name == _SIGN or _PLATE_NUMBER.fullmatch(name) is not None) and (
        card[8:10] != "= " or _UNDEFINED.fullmatch(card, 9) is not None
    )


def _check_types(cards: list[str]) -> None:
    """Check that plates and polynomials have values of the types that they must have; of others wcslib passes over what is not."""
    for card in cards:
        name = card[:8].rstrip()
        if name == _SIGN:
            sound = card[9:].lstrip().startswith("'")
        elif _PLATE_NUMBER.fullmatch(name):
            sound = _NUMBER.fullmatch(card, 9) is not None
        else:
            sound = not _COEFFICIENT_OF_TEXT.match(card)
        if not sound:
            msg = f"a card of a distortion has no value of its type: {card.rstrip()!r}"
            raise FormatError(msg)


def _check_records(cards: list[str]) -> None:
    """Check that records name axes that there are, and terms of plate solutions that are functions of the place."""
    known: dict[str | None, int] = {}
    fewest: list[int] = []
    for card in cards:
        if (said := _NUMBER_OF_AXES.match(card)) is not None:
            known[said[1]] = _integer(said[2])
            fewest.append(known[said[1]])
    plate = any(_PLATE_NUMBER.fullmatch(card[:8].rstrip()) for card in cards)
    if plate and min(fewest, default=0) < 2:
        msg = "a plate solution, of two axes, in an image of fewer"
        raise FormatError(msg)
    counted: set[str] = set()
    for card in cards:
        if card[:2] not in {"DP", "DQ"}:
            continue
        found = _RECORD.match(card)
        if found is not None:
            name, _, value = found[3].partition(":")
        elif (found := _RECORD_NAME.match(card)) is not None:
            name, value = found[3], found[4]
        else:
            continue
        axes = known.get(found[2], known.get(None, 0))
        if not 1 <= _integer(found[1]) <= axes or not _is_sound(name.strip(), value, axes):
            msg = f"a record of a distortion names what there is not: {_text_of(card)!r} of {axes} axes"
            raise FormatError(msg)
        # Where wcslib takes axes apart, it makes room for one list of axes each, and writes all that there are.
        if name.strip().endswith("NAXES"):
            of = f"{card[:2]}{_integer(found[1])}{found[2]}"
            if of in counted:
                msg = f"a record of a distortion comes twice: {_text_of(card)!r}"
                raise FormatError(msg)
            counted.add(of)
        if plate and card[:2] == "DQ":
            msg = f"a distortion of its own beside a plate solution, which is one: {_text_of(card)!r}"
            raise FormatError(msg)


def _text_of(card: str) -> str:
    return card.split("/", maxsplit=1)[0].strip()


def _is_sound(name: str, value: str, axes: int) -> bool:
    """Whether the field of a record leads to what there is."""
    if name.rsplit(".", maxsplit=1)[-1] == "NAXES":
        return 0 <= _integer(value) <= axes
    found = _PLATE_TERM.fullmatch(name)
    if found is not None:
        return 1 <= _integer(found[1]) <= _PLATE_TERMS
    found = _INDEXED.fullmatch(name)
    if found is None:
        return True
    return 1 <= _integer(found[2]) <= axes and (found[1] != "AXIS" or 1 <= _integer(value) <= axes)


def _check_surfaces(cards: list[str]) -> None:
    """Check how many terms the surfaces of TNX and ZPX have, which wcslib makes room for and goes through."""
    pieces: dict[int, list[tuple[int, str]]] = {}
    for card in cards:
        found = _SURFACE.match(card)
        if found is not None:
            pieces.setdefault(_integer(found[1]), []).append((_integer(found[2]), found[3].ljust(68)))
    for parts in pieces.values():
        text = "".join(part for _, part in sorted(parts))
        for found in _ORDERS.finditer(text):
            numbers = [_integer(word) for word in found[1].split()[1:3]]
            if any(not 0 <= n <= _MOST_TERMS for n in numbers) or (
                len(numbers) == 2 and numbers[0] * numbers[1] > _MOST_TERMS
            ):
                msg = f"a surface of {numbers} terms, more than {_MOST_TERMS}: {found[0][:40]!r}"
                raise FormatError(msg)


def _integer(text: str) -> int:
    """Return the integer that C finds at the beginning of a text, as wcslib does; a large one for what it cannot hold."""
    try:
        found = float(text.strip().upper().replace("D", "E").rstrip("."))
    except ValueError:
        return -1
    return int(found) if abs(found) < _LARGEST else _LARGEST
