"""What the header says of the axes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from scichunk.core.files import Coordinate
from scichunk.core.layout import Layout
from scichunk.formats.fits.cards import CARD, Cards
from scichunk.formats.fits.structure import HDU
from scichunk.sky.wcs import Axes, axes_of, coordinates, sky_values
from scichunk.sources import ByteSource
from scichunk.sources.spill import LocalCopy

__all__ = ["axes", "header_text", "placing_cards", "with_world", "world_coordinates"]

_PLACING: Final = re.compile(
    r"(?:CTYPE|CRVAL|CRPIX|CDELT|CROTA|CUNIT)\d+|(?:PC|CD)\d+_\d+|(?:PV|PS)\d+_\d+|[AB]P?_(?:ORDER|DMAX|\d+_\d+)|(?:CPDIS|CQDIS|D2IMDIS|DP|DQ|D2IM)\d.*"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|SPECSYS|RESTFRQ|RESTFREQ|RESTWAV|VELREF|WCSAXES|MJDREF[IF]?|DATEREF|TIMESYS|TIMEUNIT|BUNIT"
)
"""Keywords of the primary description of world coordinates (FITS 4.0, sections 8 and 9), and the unit."""


def header_text(hdu: HDU) -> str:
    """The header as astropy's ``Header.fromstring`` takes it: cards without line ends."""
    return hdu.cards.text.decode("latin-1")


def axes(hdu: HDU) -> Axes:
    """Name the axes of an image."""
    return axes_of(header_text(hdu), hdu.shape)


def world_coordinates(hdu: HDU, source: ByteSource) -> dict[str, Coordinate]:
    """Coordinates of the axes that have some of their own; the file is opened by astropy only if tables are needed."""

    def tables() -> Any:  # astropy has no types
        from astropy.io import fits

        with LocalCopy(source, ".fits", "its coordinates are in tables").path() as path:
            file = fits.open(path, memmap=False)
            for other in file:  # read while the path is valid
                _ = other.data if isinstance(other, fits.BinTableHDU | fits.ImageHDU) else None
        return file

    return coordinates(header_text(hdu), hdu.shape, axes(hdu), tables)


def placing_cards(cards: Cards) -> dict[str, str]:
    """Texts of the values that say where pixels lie, by keyword."""
    found: dict[str, str] = {}
    for at in range(0, len(cards.text), CARD):
        name = cards.text[at : at + 8].decode("latin-1").rstrip()
        if name and name not in found and _PLACING.fullmatch(name):
            found[name] = repr(cards.get(name))
    return found


def with_world(layout: Layout, hdu: HDU, coordinates: Mapping[str, Coordinate]) -> Layout:
    """Add what the coordinates of axes say, and where on the sky the corners of an image lie.

    Images of one shape that point elsewhere can be stacked, with a warning: dithered exposures are. Axes of frequency, time or
    polarisation that differ cannot.
    """
    meaning = {f"axis {name}": coordinate.values for name, coordinate in coordinates.items()}
    meaning["axes"] = axes(hdu).dims
    return replace(layout, meaning={**layout.meaning, **meaning}, pointing=_pointing(hdu))


def _pointing(hdu: HDU) -> dict[str, Any]:
    named = axes(hdu)
    if named.sky is None:
        return {}
    sizes = dict(zip(named.dims, hdu.shape, strict=True))
    across, down = sizes[named.sky[0]] - 1, sizes[named.sky[1]] - 1
    corners = np.array([0, across, 0, across], float), np.array([0, 0, down, down], float)
    lon, lat = sky_values(header_text(hdu), named, *corners)
    return {"place on the sky": np.round([lon, lat], 9), "frame": named.names}
