"""WCS objects of astropy, built from the text of a header and kept for it. A WCS takes milliseconds to build."""

from __future__ import annotations

import re
from typing import Any, Final

from scichunk.core.limits import is_computable_unit
from scichunk.errors import FormatError, ScichunkError
from scichunk.lru import LRU, memory_of
from scichunk.quiet import library_lock, quiet
from scichunk.sky.cards import parse_float, split_cards
from scichunk.sky.distortions import checked_distortions
from scichunk.sky.tables import needs_tables, unpack_tables
from scichunk.sky.tabular import check_tabular

__all__ = ["celestial_of", "find_wcs", "frame_of", "reference_point"]

_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_UNIT_CARD: Final = re.compile(r"CUNIT\d{1,2}[A-Z]? *=(.{70})", re.DOTALL)
_AXES_CARD: Final = re.compile(r"WCSAXES[A-Z]? *= *([-+.\dDEde]+)")
_MOST_AXES: Final = 99
"""Axes that keywords can speak of (FITS 4.0, section 8.2: CRPIXja has room for two digits); wcslib makes matrices for each version."""
_PROSE: Final = frozenset(name.ljust(8) for name in ("", "COMMENT", "HISTORY", "CONTINUE"))

_WCS_BYTES: Final = 1 << 15
"""Memory of a WCS without tables, measured; what it makes of its header is about as long as that."""
_KNOWN: LRU[Any] = LRU(
    lambda: 1 << 24,
    lambda _: _WCS_BYTES,
    weigh_key=lambda key: 4 * memory_of(key),
    most=lambda: 64,
    name="world coordinates",
)


def find_wcs(header: str, tables: str = "") -> Any:  # astropy has no types
    """Build the astropy WCS of a header, or take it from this process' cache; do not change it.

    Parameters
    ----------
    header
        Cards of 80 characters, without line ends.
    tables
        What :func:`scichunk.sky.tables.pack_tables` made of the tables that the header refers to (-TAB, lookup tables). They are part
        of the key of the cache: equal headers of two files may have different tables.

    Raises
    ------
    FormatError
        If astropy cannot build it, or tables are missing.
    """
    key = (header, tables)
    known = _KNOWN.get(key)
    if known is not None:
        return known
    if not tables and needs_tables(header):
        msg = (
            "the world coordinates need tables of the file, which are not in the attributes (wcs_tables): open it again"
        )
        raise FormatError(msg)
    cards = _cards_for_wcslib(header)
    text = "".join(cards)
    if not all(is_computable_unit(card) for card in _UNIT_CARD.findall(text)):
        msg = "the unit of an axis (CUNIT) is a power of so many digits that it cannot be computed"
        raise FormatError(msg)
    _check_axes(cards)
    from astropy.io import fits
    from astropy.wcs import WCS

    try:
        with library_lock(), quiet():  # astropy mends headers, and says so at each of them
            checked = fits.Header.fromstring(checked_distortions(text))
            hdus = fits.open(unpack_tables(tables), memmap=False) if tables else None
            check_tabular(text, hdus)
            made = WCS(checked, fobj=hdus)
            made.wcs.set()
    except ScichunkError:
        raise
    except Exception as error:  # wcslib and astropy raise whatever they meet
        msg = f"astropy cannot build the world coordinates: {type(error).__name__}: {str(error).strip()}"
        raise FormatError(msg) from error
    return _KNOWN.put(key, made)


def _cards_for_wcslib(header: str) -> list[str]:
    """Return the cards that wcslib is given, as it is given them, so that checks look at the same.

    astropy makes capitals of keywords. wcslib takes printable characters only, and the others never matter to it. Cards that say
    nothing of coordinates are left out: for texts of many cards astropy takes quadratic time.
    """
    cards = ((card[:8].upper(), card[8:]) for card in split_cards(_UNPRINTABLE.sub("?", header)))
    return [name + rest for name, rest in cards if name not in _PROSE]


def _check_axes(cards: list[str]) -> None:
    """Check how many axes a header says that descriptions have: what wcslib keeps grows with the square of them."""
    for card in cards:
        found = _AXES_CARD.match(card)
        if found is not None and not parse_float(found[1]) <= _MOST_AXES:
            msg = f"world coordinates of more than {_MOST_AXES} axes: {card.rstrip()!r}"
            raise FormatError(msg)


def celestial_of(header: str, tables: str) -> Any:
    """The celestial part of a WCS; kept, since taking it apart costs as much as building it.

    Raises
    ------
    FormatError
        If astropy finds no longitude and latitude, or cannot take them apart from other axes.
    """
    key = (header, tables, "celestial")
    known = _KNOWN.get(key)
    if known is not None:
        return known
    whole = find_wcs(header, tables)
    try:
        with quiet():
            made = whole.celestial
    except Exception as error:  # wcslib and astropy raise whatever they meet
        msg = f"astropy cannot take the axes of the sky apart from the others: {type(error).__name__}: {str(error).strip()}"
        raise FormatError(msg) from error
    # Names without a projection (RA), tables and quad-cubes are not two axes of the sky to wcslib.
    if made.naxis != 2 or min(made.wcs.lng, made.wcs.lat) < 0:
        msg = f"astropy finds no two axes of the sky among {', '.join(map(repr, whole.wcs.ctype))}"
        raise FormatError(msg)
    return _KNOWN.put(key, made)


def frame_of(header: str, tables: str = "") -> Any:  # astropy has no types
    """Return the celestial frame of astropy that longitudes and latitudes of a header are given in.

    Raises
    ------
    FormatError
        If astropy knows none: coordinates on the Sun or on planets, without the package that adds them.
    """
    from astropy.wcs.utils import wcs_to_celestial_frame

    wcs = find_wcs(header, tables)
    try:
        with library_lock(), quiet():
            return wcs_to_celestial_frame(wcs)
    except Exception as error:
        msg = f"astropy has no celestial frame for {', '.join(wcs.wcs.ctype)}: give longitudes and latitudes"
        raise FormatError(msg) from error


def reference_point(header: str) -> tuple[float, float]:
    """Longitude and latitude of the reference pixel in degrees.

    Raises
    ------
    FormatError
        If astropy cannot compute them.
    """
    try:
        with library_lock():
            wcs = celestial_of(header, "")
            world = wcs.all_pix2world([wcs.wcs.crpix], 1)[0]
            return float(world[wcs.wcs.lng]), float(world[wcs.wcs.lat])
    except ScichunkError:
        raise
    except Exception as error:  # wcslib and astropy raise whatever they meet
        msg = f"astropy cannot compute the reference point: {type(error).__name__}: {error}"
        raise FormatError(msg) from error
