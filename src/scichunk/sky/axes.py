"""The axes of an image by its header: shape, names of dimensions, and where the reference point lies. No WCS is built for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from scichunk.errors import FormatError, ScichunkError
from scichunk.sky.cards import parse_float
from scichunk.sky.wcs_objects import reference_point

__all__ = ["Axes", "axes_of", "image_shape"]

_CARD: Final = re.compile(r"(?:CTYPE|CRVAL|CDELT|CUNIT)([1-9]\d?) *= *('(?:[^']|'')*'|[^ /]+)")
_SHAPE_CARD: Final = re.compile(r"(ZIMAGE|Z?NAXIS\d{0,3}) *= *([^ /]+)")
_NAMES: Final = {
    "FREQ": "frequency", "ENER": "energy", "WAVN": "wavenumber", "VRAD": "velocity", "VOPT": "velocity", "VELO": "velocity",
    "FELO": "velocity", "ZOPT": "redshift", "BETA": "beta", "WAVE": "wavelength", "AWAV": "wavelength", "LAMBDA": "wavelength",
    "WAVELENGTH": "wavelength", "STOKES": "stokes", "TIME": "time", "UTC": "time", "UT1": "time", "UT": "time", "TAI": "time",
    "TT": "time", "TDT": "time", "TDB": "time", "TCB": "time", "TCG": "time", "GPS": "time", "LOCAL": "time", "IAT": "time",
    "ET": "time",
}  # fmt: skip
_DEGREES: Final = {
    "": 1.0, "deg": 1.0, "degree": 1.0, "degrees": 1.0,
    "arcmin": 1 / 60, "arcsec": 1 / 3600, "mas": 1 / 3.6e6, "uas": 1 / 3.6e9, "rad": 180 / np.pi,
}  # fmt: skip
"""Degrees of the units of angles (FITS 4.0, table 4), and how others write them."""
_PLATE: Final = re.compile(r"PLTRAH *=|AMDX1 *=")
"""Cards of plate solutions (Digitized Sky Survey), which count instead of CRVAL."""


@dataclass(frozen=True, slots=True)
class Axes:
    """What CTYPE says of the axes of an image."""

    dims: tuple[str, ...]
    """In NumPy's order; unique."""
    sky: tuple[str, str] | None = None
    """Dimensions of longitude and latitude."""
    names: tuple[str, str] = ("ra", "dec")
    """Names of longitude and latitude."""
    reference: tuple[float, float] = (0.0, 0.0)
    """Longitude and latitude of the reference point, in degrees (CRVAL, by CUNIT); NaN where they cannot be told."""
    others: tuple[int, ...] = ()
    """FITS numbers of the axes that are not of the sky and say something of themselves."""


def image_shape(header: str) -> tuple[int, ...]:
    """Return the shape of the image that a header describes, of a tile-compressed one as it was (FITS 4.0, section 10.1).

    Parameters
    ----------
    header
        Cards of 80 characters, without line ends.

    Returns
    -------
    tuple of int
        In NumPy's order.

    Raises
    ------
    FormatError
        If an axis has no length.
    """
    values: dict[str, str] = {}
    for at in range(0, len(header), 80):
        if found := _SHAPE_CARD.match(header, at, at + 80):
            values.setdefault(found[1], found[2])
    name = "ZNAXIS" if values.get("ZIMAGE") == "T" else "NAXIS"
    try:
        return tuple(int(values[f"{name}{axis}"]) for axis in range(int(values[name]), 0, -1))
    except (KeyError, ValueError) as error:
        msg = f"the header says no shape: {name} is missing, or no integer"
        raise FormatError(msg) from error


def axes_of(header: str, shape: tuple[int, ...]) -> Axes:
    """Name the axes of an image without building a WCS (FITS 4.0, section 8).

    Parameters
    ----------
    header
        Cards of 80 characters, without line ends.
    shape
        Of the image, in NumPy's order.
    """
    n = len(shape)
    kinds: dict[int, str] = {}
    values: dict[int, float] = {}
    units: dict[int, str] = {}
    named: set[int] = set()
    for at in range(0, len(header), 80):
        found = _CARD.match(header, at, at + 80)
        if found is None or int(found[1]) > n:
            continue
        number, text = int(found[1]), found[2]
        named.add(number)
        stem = header[at : at + 5]
        if stem == "CTYPE":  # of several cards the last counts, as for wcslib
            kinds[number] = text.strip("'").strip().upper()
        elif stem == "CRVAL":
            values[number] = parse_float(text, 0.0)
        elif stem == "CUNIT":
            units[number] = text.strip("'").strip()
    lon, lat = _find_sky_pair(kinds)
    dims = _name_dimensions(kinds, n, (lon, lat))
    others = tuple(i for i in range(1, n + 1) if i in named and i not in (lon, lat))
    if not (lon and lat):
        return Axes(dims, others=others)
    sky = (dims[n - lon], dims[n - lat])
    scales = [_DEGREES.get(units.get(i, "").lower()) for i in (lon, lat)]
    # Units that are not angles, and plate solutions, only a WCS knows.
    plates = "PLTRAH" in header or "AMDX1" in header  # a tenth of the time of the pattern, which is seldom needed then
    if None in scales or (plates and _PLATE.search(header)):
        reference = _reference_of_wcs(header)
    else:
        reference = (values.get(lon, 0.0) * (scales[0] or 1), values.get(lat, 0.0) * (scales[1] or 1))
    return Axes(dims, sky, _sky_names(kinds[lon], kinds[lat]), reference, others)


def _name_dimensions(kinds: dict[int, str], n: int, sky: tuple[int, int]) -> tuple[str, ...]:
    """Names of all axes in NumPy's order."""
    names: dict[int, str] = {}
    for number in range(1, n + 1):
        stem = re.split(r"[-\s]", kinds.get(number, ""), maxsplit=1)[0]
        if number not in sky and stem in _NAMES:
            names[number] = _NAMES[stem]
    if all(sky):
        names[sky[0]], names[sky[1]] = "x", "y"
    # The first two axes of what says nothing are columns and rows of an image.
    for number, name in ((1, "x"), (2, "y")):
        if number <= n and number not in names and name not in names.values():
            names[number] = name
    taken: list[str] = []
    for number in range(1, n + 1):
        name = names.get(number, f"axis_{number}")
        taken.append(f"axis_{number}" if name in taken else name)
    return tuple(reversed(taken))


def _reference_of_wcs(header: str) -> tuple[float, float]:
    """Longitude and latitude of the reference pixel, where the cards alone do not say them."""
    try:
        return reference_point(header)
    except ScichunkError:  # who asks for more than a name meets it again
        return (float("nan"), float("nan"))


def _find_sky_pair(kinds: dict[int, str]) -> tuple[int, int]:
    """Numbers of the longitude and latitude axes; zeros if there are not both."""
    lon = next((i for i, k in kinds.items() if re.match(r"RA--|[A-Z]LON|[A-Z]{2}LN|RA$", k)), 0)
    lat = next((i for i, k in kinds.items() if re.match(r"DEC-|[A-Z]LAT|[A-Z]{2}LT|DEC$", k)), 0)
    return (lon, lat) if lon and lat else (0, 0)


def _sky_names(lon: str, lat: str) -> tuple[str, str]:
    if lon.startswith("RA"):
        return "ra", "dec"
    return re.split("-", lon, maxsplit=1)[0].lower(), re.split("-", lat, maxsplit=1)[0].lower()
