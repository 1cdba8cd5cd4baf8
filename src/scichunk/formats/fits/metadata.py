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
from scichunk.formats.fits.cards import CARD_BYTES, Cards, decode_text
from scichunk.formats.fits.structure import BLOCK_BYTES, HDU
from scichunk.formats.fits.world_tables import WorldTables
from scichunk.quiet import library_lock, quiet
from scichunk.sky.wcs import Axes, axes_in_memory, axes_of, coordinates, sky_values

__all__ = [
    "World",
    "header_text",
    "image_header",
    "name_axes",
    "placing_cards",
    "with_world",
    "world_of",
]

_PLACING: Final = re.compile(
    r"(?:CTYPE|CRVAL|CRPIX|CDELT|CROTA|CUNIT)\d+|(?:PC|CD)\d+_\d+|(?:PV|PS)\d+_\d+|[AB]P?_(?:ORDER|DMAX|\d+_\d+)|(?:CPDIS|CQDIS|D2IMDIS|DP|DQ|D2IM)\d.*"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|SPECSYS|RESTFRQ|RESTFREQ|RESTWAV|VELREF|WCSAXES|MJDREF[IF]?|JDREF[IF]?|DATEREF|TIMESYS|TIMEUNIT|BUNIT"
)
"""Keywords of the primary description of world coordinates (FITS 4.0, sections 8 and 9), and the unit."""
_COUNTED: Final = ("units", "physical_type", "time_scale")
"""Attributes of a coordinate that say what its numbers count."""
_SIZES: Final = re.compile(r"Z?NAXIS\d*|ZIMAGE")


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
    """The header as astropy's ``Header.fromstring`` takes it: cards of 80 characters without line ends."""
    raw = hdu.cards.text
    if raw.isascii():
        return raw.decode("ascii").replace("\0", " ")
    cards = (decode_text(raw[at : at + CARD_BYTES]) for at in range(0, len(raw), CARD_BYTES))
    return "".join(card.ljust(CARD_BYTES) for card in cards).replace("\0", " ")


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


def placing_cards(cards: Cards) -> dict[str, str]:
    """Texts of the values that say where pixels lie, by keyword."""
    found: dict[str, str] = {}
    for at in range(0, len(cards.text), CARD_BYTES):
        name = decode_text(cards.text[at : at + 8]).rstrip()
        if name and name not in found and _PLACING.fullmatch(name):
            found[name] = repr(cards.get(name))
    return found


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
        lon, lat = sky_values(header, named, *corners, tables)
        pointing = {"place on the sky": np.round([lon, lat], 9), "frame": named.names}
        sky = (_placing_text(header), tables)
    return replace(layout, meaning={**layout.meaning, **meaning}, pointing=pointing, sky=sky)


def _placing_text(header: str) -> str:
    """The cards that place the pixels of an image, for what many of them are kept of."""
    cards = (header[at : at + CARD_BYTES] for at in range(0, len(header), CARD_BYTES))
    return "".join(c for c in cards if _PLACING.fullmatch(c[:8].rstrip()) or _SIZES.fullmatch(c[:8].rstrip()))
