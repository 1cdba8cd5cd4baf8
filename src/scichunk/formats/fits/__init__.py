"""FITS: images plain and tile-compressed (FITS 4.0)."""

from __future__ import annotations

from typing import Any, Final

from scichunk.core.registry import FormatSpec
from scichunk.core.selectors import READER, Selector, flag, integer

__all__ = ["SPEC"]


def _sniff(head: bytes) -> bool:
    if head[:6] == b"SIMPLE":
        return True
    from scichunk.sources.whole_file import first_bytes

    return first_bytes(head, 16)[:9] == b"SIMPLE  ="


def _check_hdu(name: str, value: Any) -> int | str | tuple[str, int]:
    """Accept a number (negative ones count from the end), EXTNAME, or (EXTNAME, EXTVER)."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], str):
        return value[0], integer(name, value[1])
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        msg = f"{name} must be a number, an EXTNAME, or (EXTNAME, EXTVER), got {value!r}"
        raise TypeError(msg)
    return integer(name, value)


_ENDS: Final = ("", ".zip", ".gz", ".bz2", ".z", ".zst", ".xz", ".fz")

SPEC: Final = FormatSpec(
    "fits",
    "FITS images and tables, plain and tile-compressed",
    (*(stem + end for stem in (".fits", ".fit", ".fts") for end in _ENDS), ".fz"),
    _sniff,
    "scichunk.formats.fits.file",
    selectors=(
        Selector(
            "hdu",
            _check_hdu,
            "number, EXTNAME, or (EXTNAME, EXTVER); None for the first that fits",
            ("array", "table", "dataset"),
        ),
        Selector("raw", flag, "stored values, without BSCALE, BZERO and BLANK", ("array",)),
        READER,
    ),
    writer="scichunk.formats.fits.table.writer",
    engine="scichunk.formats.fits.engine:FITSBackend",
    magic=(b"SIMPLE  =",),
    mime_types=("application/fits", "image/fits"),
    kernels=("fits table", "fits image", "scaling"),
)
