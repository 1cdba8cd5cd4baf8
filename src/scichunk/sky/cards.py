"""Cards of a header that is one text, without line ends."""

from __future__ import annotations

from typing import Final

__all__ = ["parse_float", "split_cards"]

_CARD: Final = 80


def split_cards(header: str) -> list[str]:
    """Return the cards of a header, 80 characters each."""
    return [header[at : at + _CARD] for at in range(0, len(header), _CARD)]


def parse_float(text: str, otherwise: float = float("nan")) -> float:
    """Return a number as FITS 4.0, section 4.2.4, writes it, with E or D; ``otherwise`` where it is none."""
    try:
        return float(text.strip().upper().replace("D", "E"))
    except ValueError:
        return otherwise
