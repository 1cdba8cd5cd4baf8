"""Header cards: only what is needed to find and decode data. Full headers are astropy's business."""

from __future__ import annotations

import re
from typing import Final

from scichunk.errors import FormatError

__all__ = ["CARD", "Cards", "Value"]

CARD: Final = 80
Value = bool | int | float | str | None
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?")


class Cards:
    """Values of a header by keyword, the first of each; parsed when asked for.

    Parameters
    ----------
    text
        The header without what follows its END card.
    """

    __slots__ = ("_places", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        places: dict[bytes, int] = {}
        for at in range(0, len(text), CARD):
            places.setdefault(text[at : at + 8].rstrip(), at)
        self._places = places

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._places

    def get(self, name: str) -> Value:
        """Value of a keyword (FITS 4.0, section 4.2); None if it is absent, undefined or of no known form."""
        at = self._places.get(name.encode())
        if at is None or self.text[at + 8 : at + 9] != b"=":
            return None
        value = _parse(self.text[at + 9 : at + CARD].decode("latin-1").strip())
        while isinstance(value, str) and value.endswith("&"):  # long texts (section 4.2.1.2)
            at += CARD
            more = _parse(self.text[at + 8 : at + CARD].decode("latin-1").strip())
            if self.text[at : at + 8] != b"CONTINUE" or not isinstance(more, str):
                break
            value = value[:-1] + more
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """Integer value of a keyword.

        Raises
        ------
        FormatError
            If it is missing without a default, or no integer.
        """
        value = self.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int):
            msg = f"{name} is {value!r}, not an integer"
            raise FormatError(msg)
        return int(value)

    def number(self, name: str, default: float) -> float:
        """Numeric value of a keyword, an int where it is written as one.

        Raises
        ------
        FormatError
            If it is no number.
        """
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, str):
            msg = f"{name} is {value!r}, not a number"
            raise FormatError(msg)
        return value

    def string(self, name: str, default: str = "") -> str:
        """Text value of a keyword, or the default if it is none."""
        value = self.get(name)
        return value if isinstance(value, str) else default


def _parse(text: str) -> Value:
    if text.startswith("'"):
        end = 1
        while True:
            end = text.find("'", end)
            if end < 0:
                return text[1:].rstrip()
            if text[end : end + 2] != "''":
                return text[1:end].replace("''", "'").rstrip()
            end += 2
    text = text.partition("/")[0].strip()
    if text in {"T", "F"}:
        return text == "T"
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        return float(text.upper().replace("D", "E"))
