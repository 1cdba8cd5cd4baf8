"""Header cards: only what is needed to find and decode data. Full headers are astropy's business."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from scichunk.errors import FormatError

__all__ = ["CARD_BYTES", "Cards", "Value", "decode_text"]

CARD_BYTES: Final = 80
Value = bool | int | float | str | None
_NUMBER: Final = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[EeDd][+-]?\d++)?")
_COMPLEX: Final = re.compile(rf"\( *({_NUMBER.pattern}) *, *({_NUMBER.pattern}) *\)")


def decode_text(raw: bytes) -> str:
    """Text of a card: ASCII by the standard (FITS 4.0, section 4.1.2.3), but files have UTF-8, or else Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


class Cards:
    """Values of a header by keyword, the first of each unless said otherwise; parsed when asked for.

    Parameters
    ----------
    text
        The header without what follows its END card.
    """

    __slots__ = ("_last", "_positions", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        positions: dict[bytes, int] = {}
        last: dict[bytes, int] = {}
        # Keywords are in capitals (section 4.1.2.1), but astropy finds others too; two letters of each tell.
        names = text if (text[::CARD_BYTES] + text[1::CARD_BYTES]).isupper() else text.upper()
        for at in range(0, len(text), CARD_BYTES):
            name = names[at : at + 8].rstrip()
            if name in positions:
                last[name] = at
            else:
                positions[name] = at
        self._positions, self._last = positions, last

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._positions

    def get(self, name: str) -> Value:
        """Value of a keyword (FITS 4.0, section 4.2); None if it is absent, undefined or of no known form."""
        at = self._positions.get(name.encode())
        return None if at is None else self._value_at(at)

    def last_value(self, name: str) -> Value:
        """Value of the last card of a keyword, which is what astropy scales images by where there are several."""
        at = self._last.get(name.encode(), self._positions.get(name.encode()))
        return None if at is None else self._value_at(at)

    def items(self) -> Iterator[tuple[str, Value | complex]]:
        """Keywords with their values, the first of each, HIERARCH keywords by the names that astropy gives them; complex ones too."""
        seen: set[str] = set()
        for at in range(0, len(self.text), CARD_BYTES):
            name, start = decode_text(self.text[at : at + 8]).rstrip(" \0"), at + 8
            if name == "HIERARCH" and (equals := self.text.find(b"=", at, at + CARD_BYTES)) > 0:
                name, start = decode_text(self.text[at + 9 : equals]).strip().upper(), equals
            if name and name not in seen:
                seen.add(name)
                value = self._value_at(at, start - at)
                yield name, self._complex_at(start, at + CARD_BYTES) if value is None else value

    def _complex_at(self, start: int, stop: int) -> complex | None:
        """Complex value (FITS 4.0, sections 4.2.5 and 4.2.6) behind the value indicator at a position; None if it is none."""
        if self.text[start : start + 1] != b"=":
            return None
        found = _COMPLEX.match(decode_text(self.text[start + 1 : stop]).strip())
        return None if found is None else complex(*(float(part.upper().replace("D", "E")) for part in found.groups()))

    def _value_at(self, at: int, start: int = 8) -> Value:
        """Value of the card at a position, whose value indicator is ``start`` bytes further on."""
        # A card without the blank has no value (section 4.1.2.2), for astropy and cfitsio alike; HIERARCH has no fixed place.
        if not self.text.startswith(b"= " if start == 8 else b"=", at + start):
            return None
        value = _parse_value(decode_text(self.text[at + start + 1 : at + CARD_BYTES]).strip())
        if not isinstance(value, str) or not value.endswith("&"):
            return value
        parts = [value]  # joined once: a text may go on for hundreds of thousands of cards
        while parts[-1].endswith("&"):  # long texts (section 4.2.1.2)
            at += CARD_BYTES
            more = _parse_value(decode_text(self.text[at + 8 : at + CARD_BYTES]).strip())
            if self.text[at : at + 8] != b"CONTINUE" or not isinstance(more, str):
                # A text that is not continued may end like one that is.
                return value if len(parts) == 1 else "".join(part[:-1] for part in parts)
            parts.append(more)
        return "".join(part[:-1] for part in parts[:-1]) + parts[-1]

    def get_integer(self, name: str, default: int | None = None) -> int:
        """Integer value of a keyword.

        Raises
        ------
        FormatError
            If it is missing without a default, or no integer; if it is there twice with two values, of which the standard says
            that none counts (FITS 4.0, section 4.4): libraries take this one or that.
        """
        value = self.get(name)
        # Readers take either of two cards, and a size that is ambiguous gives wrong pixels.
        if name.encode() in self._last and value != self.last_value(name):
            msg = f"{name} is there twice, as {value!r} and {self.last_value(name)!r}"
            raise FormatError(msg)
        if value is None and default is not None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int):
            msg = f"{name} is {value!r}, not an integer"
            raise FormatError(msg)
        return int(value)

    def get_number(self, name: str, default: float, *, last: bool = False) -> float:
        """Numeric value of a keyword (of its last card, if asked for), an int where it is written as one.

        Raises
        ------
        FormatError
            If it is no number.
        """
        value = self.last_value(name) if last else self.get(name)
        if value is None:
            positions = self._last if last and name.encode() in self._last else self._positions
            value = self._unread_text(positions.get(name.encode()))
        if value is None:
            return default
        if isinstance(value, str):
            msg = f"{name} is {value!r}, not a number"
            raise FormatError(msg)
        return value

    def _unread_text(self, at: int | None) -> str | None:
        """Text of a value that is of no known form; None if the card has none."""
        if at is None or not self.text.startswith(b"= ", at + 8):
            return None
        return decode_text(self.text[at + 10 : at + CARD_BYTES]).partition("/")[0].strip() or None

    def get_string(self, name: str, default: str = "") -> str:
        """Text value of a keyword, or the default if it is none."""
        value = self.get(name)
        return value if isinstance(value, str) else default


def _parse_value(text: str) -> Value:
    """Parse the value field of a card (FITS 4.0, section 4.2); None where it has no known form."""
    if text.startswith("'"):
        end = 1
        while True:
            end = text.find("'", end)
            if end < 0:
                return text[1:].rstrip()
            # A quote within a text is written twice (section 4.2.1).
            if text[end : end + 2] != "''":
                return text[1:end].replace("''", "'").rstrip()
            end += 2
    # What follows the slash is a comment.
    text = text.partition("/")[0].strip()
    if text.isdigit() and text.isascii():  # most of what is asked for
        return int(text)
    if text in {"T", "F"}:
        return text == "T"
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        # Exponents may be written with D (section 4.2.4).
        return float(text.upper().replace("D", "E"))
