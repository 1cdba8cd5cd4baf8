"""Parameters of compressed images (FITS 4.0, sections 10.2 and 10.4) that cannot be, refused before any decoder sees them."""

from __future__ import annotations

from typing import Any, Final, Protocol

from scichunk.errors import FormatError

__all__ = ["Settings", "check_compression", "is_dithered"]

_MOST_BLOCK: Final = 1 << 16
"""Largest BLOCKSIZE of RICE_1; writers use 16 and 32, and decoders in C count in 32 bits."""
_MOST_SEED: Final = 10_000
"""Values in the table of random numbers (FITS 4.0, appendix I)."""


class Settings(Protocol):
    """A header, ours or astropy's."""

    def __contains__(self, name: str, /) -> bool:
        """Whether there is a keyword."""
        ...

    def get(self, name: str, /) -> Any:
        """Value of a keyword, None if there is none."""
        ...


def check_compression(header: Settings) -> None:
    """Refuse impossible parameters of a compressed image, which decoders in C take without a look at them.

    Raises
    ------
    FormatError
        If, of RICE_1, BYTEPIX is not 1, 2, 4 or 8, or BLOCKSIZE cannot be a number of pixels (FITS 4.0, section 10.4.1); or if the
        values are dithered and ZDITHER0 is not between 1 and 10,000 (section 10.2.1): a decoder takes it for a place in a table.
    """
    _check_rice(header)
    if is_dithered(header):
        seed = header.get("ZDITHER0")
        number = isinstance(seed, int | float) and not isinstance(seed, bool)
        if seed is not None and not (number and 1 <= seed <= _MOST_SEED and seed == int(seed)):
            msg = f"ZDITHER0 is {seed!r}, not an integer between 1 and {_MOST_SEED}"
            raise FormatError(msg)


def is_dithered(header: Settings) -> bool:
    """Return whether values are dithered (FITS 4.0, section 10.2.1)."""
    return str(header.get("ZQUANTIZ")).strip().upper().startswith("SUBTRACTIVE_DITHER")


def _check_rice(header: Settings) -> None:
    if not str(header.get("ZCMPTYPE")).strip().upper().startswith("RICE"):
        return
    for i in range(1, 1000):
        if f"ZNAME{i}" not in header:
            return
        name, value = str(header.get(f"ZNAME{i}")).strip().upper(), header.get(f"ZVAL{i}")
        if name == "BYTEPIX" and value not in {None, 1, 2, 4, 8}:
            msg = f"BYTEPIX is {value!r}, neither 1, 2, 4 nor 8"
            raise FormatError(msg)
        if name == "BLOCKSIZE" and not (value is None or (isinstance(value, int) and 1 <= value <= _MOST_BLOCK)):
            msg = f"BLOCKSIZE is {value!r}, not a number of pixels between 1 and {_MOST_BLOCK}"
            raise FormatError(msg)
