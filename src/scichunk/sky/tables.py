"""Tables that a header refers to for its world coordinates: -TAB (FITS 4.0, section 8.3) and lookup tables of distortions.

They are small, and travel as text in the attributes of a variable, beside the header: through pickles, netCDF and Zarr.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import zlib
from collections.abc import Sequence
from typing import Final

from scichunk.errors import FormatError, LimitExceeded

__all__ = ["MOST_BYTES", "needs_tables", "pack_tables", "table_names", "unpack_tables"]

MOST_BYTES: Final = 1 << 24
"""Bytes of tables that travel with a header."""
_TAB: Final = re.compile(r"CTYPE\d+[A-Z]? *= *'[^']*-TAB *'")
_NAME: Final = re.compile(r"PS\d+_0[A-Z]? *= *'((?:[^']|'')*)'")
_LOOKUP: Final = re.compile(r"(CPDIS|CQDIS|D2IMDIS)\d *= *'LOOKUP *'", re.IGNORECASE)
_OLD_LOOKUP: Final = re.compile(r"AXISCORR *=")


def _match_cards(pattern: re.Pattern[str], header: str) -> list[re.Match[str]]:
    """Cards that begin with a pattern."""
    found = (pattern.match(header, at, at + 80) for at in range(0, len(header), 80))
    return [m for m in found if m is not None]


def needs_tables(header: str) -> bool:
    """Whether the primary description of world coordinates refers to tables elsewhere in the file."""
    return bool(table_names(header))


def table_names(header: str) -> set[str]:
    """EXTNAMEs, in upper case, of the tables that a header refers to."""
    names: set[str] = set()
    if "-TAB" in header and _match_cards(_TAB, header):
        names |= {m[1].strip().upper() for m in _match_cards(_NAME, header)}
    if "DIS" in header.upper():
        kinds = {m[1].upper() for m in _match_cards(_LOOKUP, header)}
        names |= {"WCSDVARR"} if kinds & {"CPDIS", "CQDIS"} else set()
        names |= {"D2IMARR"} if "D2IMDIS" in kinds else set()
    if _match_cards(_OLD_LOOKUP, header):
        names.add("D2IMARR")
    return names


def pack_tables(hdus: Sequence[bytes]) -> str:
    """Make a text of HDUs as they are in the file, headers and data, padded to blocks."""
    return base64.b64encode(zlib.compress(b"".join(hdus))).decode("ascii")


def unpack_tables(text: str) -> io.BytesIO:
    """Return the file that :func:`pack_tables` has made a text of, with an empty primary HDU before the tables.

    Raises
    ------
    FormatError
        If the text is damaged.
    LimitExceeded
        If it stands for more than :data:`MOST_BYTES` bytes.
    """
    decoder = zlib.decompressobj()
    try:
        data = decoder.decompress(base64.b64decode(text, validate=True), MOST_BYTES + 1)
    except (binascii.Error, zlib.error, ValueError) as error:
        msg = f"the tables of the world coordinates (attribute wcs_tables) are damaged: {error}"
        raise FormatError(msg) from error
    if len(data) > MOST_BYTES:
        msg = f"tables of world coordinates of more than {MOST_BYTES} bytes"
        raise LimitExceeded(msg)
    primary = "".join(c.ljust(80) for c in ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0", "EXTEND  = T", "END"))
    return io.BytesIO(primary.encode("ascii").ljust(2880) + data)
