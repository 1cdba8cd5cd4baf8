"""What the header says of the axes."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from scichunk.core.files import Coordinate
from scichunk.core.layout import Layout
from scichunk.errors import FormatError
from scichunk.formats.fits.cards import CARD_BYTES, decode_text
from scichunk.formats.fits.structure import BLOCK_BYTES, HDU
from scichunk.formats.fits.world_tables import WorldTables
from scichunk.quiet import library_lock, quiet
from scichunk.sky.wcs import Axes, axes_in_memory, axes_of, coordinates, sky_values

__all__ = [
    "World",
    "header_text",
    "image_header",
    "name_axes",
    "placing_text",
    "with_world",
    "world_of",
]

_PLACING: Final = re.compile(
    r"(?:CTYPE|CRVAL|CRPIX|CDELT|CROTA|CUNIT)\d+|(?:PC|CD)\d+_\d+|(?:PV|PS)\d+_\d+|[AB]P?_(?:ORDER|DMAX|\d+_\d+)|(?:CPDIS|CQDIS|D2IMDIS|DP|DQ|D2IM)\d.*"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|SPECSYS|RESTFRQ|RESTFREQ|RESTWAV|VELREF|WCSAXES|MJDREF[IF]?|JDREF[IF]?|DATEREF|TIMESYS|TIMEUNIT|BUNIT"
    r"|(?:PC|CD)\d{6}|PROJP\d+|WAT\d+_\d+|AMD[XY]\d+|PPO\d+|CNPIX\d|[XY]PIXELSZ|PLT\w+|AXISCORR"
)
"""Keywords of the primary description of world coordinates (FITS 4.0, sections 8 and 9), and the unit; and what wcslib knows beside the
standard: older spellings of matrices and parameters, surfaces of IRAF (TNX, ZPX), plate solutions of the Digitized Sky Survey,
and corrections of a detector in their first form (AXISCORR)."""
_COUNTED: Final = ("units", "physical_type", "time_scale")
"""Attributes of a coordinate that say what its numbers count."""
_SIZES: Final = re.compile(r"Z?NAXIS\d*|ZIMAGE")
_OF_AXIS: Final = re.compile(r"(NAXIS|CTYPE|CRVAL|CRPIX|CDELT|CROTA|CUNIT|CNAME|PV|PS)([1-9]\d?)((?:_\d+)?[A-Z]?)")
_OF_TWO_AXES: Final = re.compile(r"(PC|CD)([1-9]\d?)_([1-9]\d?)([A-Z]?)")


@dataclass(frozen=True, slots=True)
class World:
    """What a header says of the axes of an image."""

    header: str
    """Cards of 80 characters, without line ends; of a compressed image those of the image."""
    tables: str
    """Tables that the header refers to, as a text."""
    coords: Mapping[str, Coordinate]
    axes: Axes


def header_text(hdu: HDU) -> str:
    """The header as astropy's ``Header.fromstring`` takes it, without line ends; of random groups that of their array."""
    raw = hdu.cards.text
    if raw.isascii():
        text = raw.decode("ascii")
    else:
        cards = (decode_text(raw[at : at + CARD_BYTES]) for at in range(0, len(raw), CARD_BYTES))
        text = "".join(card.ljust(CARD_BYTES) for card in cards)
    text = text.replace("\0", " ")
    return _header_of_groups(text, hdu.shape) if hdu.kind == "groups" else text


def _header_of_groups(header: str, shape: tuple[int, ...]) -> str:
    """Count the axes of random groups as their array has them.

    The first axis of the header has no length (FITS 4.0, section 6.1), so that the second one is the first of the array; the groups are
    its last.
    """
    found: list[str] = []
    for at in range(0, len(header), CARD_BYTES):
        card = header[at : at + CARD_BYTES]
        name = card[:8].rstrip()
        if (one := _OF_AXIS.fullmatch(name)) is not None:
            if one[2] == "1":
                continue
            name = f"{one[1]}{int(one[2]) - 1}{one[3]}"
        elif (two := _OF_TWO_AXES.fullmatch(name)) is not None:
            if "1" in {two[2], two[3]}:
                continue
            name = f"{two[1]}{int(two[2]) - 1}_{int(two[3]) - 1}{two[4]}"
        found.append(name.ljust(8) + card[8:])
    found.append(f"NAXIS{len(shape):<3}= {shape[0]:>20}".ljust(CARD_BYTES))
    return "".join(found)


def image_header(hdu: HDU) -> str:
    """The header of an image; of a compressed one as it was before (FITS 4.0, section 10.1), which astropy restores.

    Raises
    ------
    FormatError
        If astropy cannot read it.
    """
    if hdu.kind != "compressed":
        return header_text(hdu)
    from astropy.io import fits

    blocks = [c.ljust(CARD_BYTES) for c in ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0", "EXTEND  = T", "END")]
    primary = "".join(blocks).encode("ascii").ljust(BLOCK_BYTES)
    own = hdu.cards.text + b"END".ljust(CARD_BYTES)
    own = own.ljust(-(-len(own) // BLOCK_BYTES) * BLOCK_BYTES)
    try:
        with library_lock(), quiet(), fits.open(io.BytesIO(primary + own), memmap=False) as file:
            return str(file[1].header.tostring(sep="", endcard=False, padding=False))
    except Exception as error:  # astropy raises whatever it meets
        msg = f"astropy cannot restore the header of the image: {type(error).__name__}: {error}"
        raise FormatError(msg, part=f"HDU {hdu.index}") from error


def name_axes(hdu: HDU) -> Axes:
    """Name the axes of an image."""
    return axes_of(header_text(hdu), hdu.shape)


def world_of(hdu: HDU, world_tables: WorldTables) -> World:
    """Header, tables and coordinates of an image."""
    header = image_header(hdu)
    tables = world_tables.find(header)
    named = name_axes(hdu)
    found = coordinates(header, hdu.shape, named, tables)
    # Axes that are tied to several world axes have pixel numbers, by which slices are known.
    for number in axes_in_memory(hdu.shape, named):
        dim, size = named.dims[len(hdu.shape) - number], hdu.shape[len(hdu.shape) - number]
        if dim not in found:
            attrs = {"long_name": "pixel, counted from 0", "wcs_axis": number}
            found[dim] = Coordinate((dim,), np.arange(size, dtype=np.int64), attrs)
    return World(header, tables, found, named)


def placing_text(header: str) -> str:
    """Return the cards that say where pixels lie, all of a keyword: records of distortions share one, and of others the last counts.

    Parameters
    ----------
    header
        Cards of 80 characters, without line ends.
    """
    kept, wanted = [], False
    for at in range(0, len(header), CARD_BYTES):
        name = header[at : at + 8].rstrip()
        if name != "CONTINUE":  # which belongs to the card before it
            wanted = bool(_PLACING.fullmatch(name) or _SIZES.fullmatch(name))
        if wanted:
            kept.append(header[at : at + CARD_BYTES])
    return "".join(kept)


def with_world(layout: Layout, hdu: HDU, world_tables: WorldTables) -> Layout:
    """Add what the coordinates of axes say, and where on the sky the corners of an image lie.

    Images of one shape that point elsewhere can be stacked, with a warning: dithered exposures are. Axes of frequency, time or
    polarisation that differ cannot.
    """
    header, named = header_text(hdu), name_axes(hdu)
    tables = world_tables.find(header)
    found = coordinates(header, hdu.shape, named, tables)
    meaning = {f"axis {name}": coordinate.values for name, coordinate in found.items()}
    for name, coordinate in found.items():  # equal numbers may count other things
        meaning |= {f"{key} of axis {name}": coordinate.attrs.get(key) for key in _COUNTED}
    meaning["axes"] = named.dims
    pointing: dict[str, Any] = {}
    sky = None
    if named.sky is not None:
        sizes = dict(zip(named.dims, hdu.shape, strict=True))
        across, down = sizes[named.sky[0]] - 1, sizes[named.sky[1]] - 1
        corners = np.array([0, across, 0, across], float), np.array([0, 0, down, down], float)
        cards = placing_text(header)
        try:
            place: Any = np.round(sky_values(header, named, *corners, tables), 9)
        except FormatError:  # astropy does not know where, so that nothing but the cards can be compared
            place = cards
        pointing = {"place on the sky": place, "frame": named.names}
        sky = (cards, tables)
    return replace(layout, meaning={**layout.meaning, **meaning}, pointing=pointing, sky=sky)
