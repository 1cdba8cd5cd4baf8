"""What the header says of the axes."""

from __future__ import annotations

from typing import Any

from scichunk.core.files import Coordinate
from scichunk.formats.fits.structure import HDU
from scichunk.sky.wcs import Axes, axes_of, coordinates
from scichunk.sources import ByteSource
from scichunk.sources.spill import LocalCopy

__all__ = ["axes", "header_text", "world_coordinates"]


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
