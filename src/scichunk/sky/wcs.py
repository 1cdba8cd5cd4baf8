"""World coordinates of FITS images, from the text of their headers. astropy is the authority; it is asked late and seldom.

A WCS takes milliseconds to build, so nothing here builds one unless an axis needs it: names of dimensions are read off CTYPE, and
sky coordinates are computed for what is asked.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.core.files import Coordinate
from scichunk.core.selection import parse_key
from scichunk.errors import FormatError, MetadataWarning
from scichunk.lru import LRU
from scichunk.quiet import alone, quiet

__all__ = ["Axes", "SkyCoordinate", "axes_of", "coordinates", "find_wcs", "image_shape", "sky_pixels", "sky_values"]

_CARD: Final = re.compile(r"(?:CTYPE|CRVAL|CDELT)([1-9]\d?) *= *('(?:[^']|'')*'|[^ /]+)")
_SHAPE_CARD: Final = re.compile(r"(ZIMAGE|Z?NAXIS\d{0,3}) *= *([^ /]+)")
_NAMES: Final = {
    "FREQ": "frequency", "ENER": "energy", "WAVN": "wavenumber", "VRAD": "velocity", "VOPT": "velocity", "VELO": "velocity",
    "FELO": "velocity", "ZOPT": "redshift", "BETA": "beta", "WAVE": "wavelength", "AWAV": "wavelength", "LAMBDA": "wavelength",
    "WAVELENGTH": "wavelength", "STOKES": "stokes", "TIME": "time", "UTC": "time", "UT1": "time", "UT": "time", "TAI": "time",
    "TT": "time", "TDT": "time", "TDB": "time", "TCB": "time", "TCG": "time", "GPS": "time", "LOCAL": "time", "IAT": "time",
    "ET": "time",
}  # fmt: skip
_MOST: Final = 1 << 24  # longer axes get no coordinates in memory
HDUs = Callable[[], Any] | None


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
    """Longitude and latitude of the reference point, in degrees (CRVAL)."""
    others: tuple[int, ...] = ()
    """FITS numbers of the axes that are not of the sky and say something of themselves."""


_KNOWN: LRU[Any] = LRU(lambda: 64)


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
    told: set[int] = set()
    for at in range(0, len(header), 80):
        found = _CARD.match(header, at, at + 80)
        if found is None or int(found[1]) > n:
            continue
        number, text = int(found[1]), found[2]
        told.add(number)
        if header[at : at + 5] == "CTYPE":
            kinds.setdefault(number, text.strip("'").strip().upper())
        elif header[at : at + 5] == "CRVAL":
            values.setdefault(number, _float(text))
    lon, lat = _pair(kinds)
    names: dict[int, str] = {}
    for number in range(1, n + 1):
        stem = re.split(r"[-\s]", kinds.get(number, ""), maxsplit=1)[0]
        if number not in (lon, lat) and stem in _NAMES:
            names[number] = _NAMES[stem]
    if lon and lat:
        names[lon], names[lat] = "x", "y"
    for number, name in ((1, "x"), (2, "y")):
        if number <= n and number not in names and name not in names.values():
            names[number] = name
    taken: list[str] = []
    for number in range(1, n + 1):
        name = names.get(number, f"axis_{number}")
        taken.append(f"axis_{number}" if name in taken else name)
    dims = tuple(reversed(taken))
    others = tuple(i for i in range(1, n + 1) if i in told and i not in (lon, lat))
    if not (lon and lat):
        return Axes(dims, others=others)
    sky = (taken[lon - 1], taken[lat - 1])
    return Axes(dims, sky, _sky_names(kinds[lon], kinds[lat]), (values.get(lon, 0.0), values.get(lat, 0.0)), others)


def _float(text: str) -> float:
    try:
        return float(text.upper().replace("D", "E"))
    except ValueError:
        return 0.0


def _pair(kinds: dict[int, str]) -> tuple[int, int]:
    """Numbers of the longitude and latitude axes; zeros if there are not both."""
    lon = next((i for i, k in kinds.items() if re.match(r"RA--|[A-Z]LON|[A-Z]{2}LN|RA$", k)), 0)
    lat = next((i for i, k in kinds.items() if re.match(r"DEC-|[A-Z]LAT|[A-Z]{2}LT|DEC$", k)), 0)
    return (lon, lat) if lon and lat else (0, 0)


def _sky_names(lon: str, lat: str) -> tuple[str, str]:
    if lon.startswith("RA"):
        return "ra", "dec"
    return re.split("-", lon, maxsplit=1)[0].lower(), re.split("-", lat, maxsplit=1)[0].lower()


def find_wcs(header: str, hdus: HDUs = None) -> Any:  # astropy has no types
    """Build the astropy WCS of a header, or take it from this process' cache; do not change it.

    Parameters
    ----------
    header
        Cards of 80 characters, without line ends.
    hdus
        Gives the astropy ``HDUList`` of the file, for headers that refer to tables (-TAB, distortions).
    """
    known = _KNOWN.get(header)
    if known is None:
        from astropy.io import fits
        from astropy.wcs import WCS

        with alone(), quiet():  # astropy mends headers, and says so at each of them
            cards = fits.Header.fromstring(header)
            tables = "-TAB" in header or any(k in header for k in ("CPDIS", "D2IMDIS", "DP1", "D2IM"))
            known = WCS(cards, fobj=hdus() if tables and hdus else None)
        known = _KNOWN.put(header, known)
    return known


def coordinates(header: str, shape: tuple[int, ...], axes: Axes, hdus: HDUs = None) -> dict[str, Coordinate]:
    """Coordinates of the pixel axes that are tied to exactly one world axis, which is tied to them alone.

    Returns
    -------
    dict
        By dimension; values in the unit of the attribute ``units`` (SI, as astropy gives them), or ``datetime64`` for times whose
        reference is known. Axes of the sky have none: see :class:`SkyCoordinate`.
    """
    if not axes.others:
        return {}
    try:
        with alone():
            return _coordinates(find_wcs(header, hdus), shape, axes)
    except Exception as error:  # noqa: BLE001  # wcslib and astropy raise whatever they meet
        msg = f"no world coordinates: {type(error).__name__}: {error}"
        warnings.warn(msg, MetadataWarning, stacklevel=2)
        return {}


def _coordinates(wcs: Any, shape: tuple[int, ...], axes: Axes) -> dict[str, Coordinate]:
    found: dict[str, Coordinate] = {}
    tied = np.asarray(wcs.axis_correlation_matrix)
    for number in axes.others:
        pixel, size = number - 1, shape[len(shape) - number]
        if pixel >= tied.shape[1] or size > _MOST:
            continue
        worlds = np.flatnonzero(tied[:, pixel])
        if len(worlds) != 1 or tied[worlds[0]].sum() != 1:
            continue
        world = int(worlds[0])
        positions = [np.zeros(size)] * tied.shape[1]
        positions[pixel] = np.arange(size, dtype=np.float64)
        values = np.atleast_1d(wcs.pixel_to_world_values(*positions))
        along = np.asarray(values if wcs.world_n_dim == 1 else values[world], np.float64).reshape(-1)
        if not np.isfinite(along).all():
            continue
        dim = axes.dims[len(shape) - number]
        found[dim] = _coordinate(wcs, dim, world, along)
    return found


def _coordinate(wcs: Any, dim: str, world: int, values: npt.NDArray[np.float64]) -> Coordinate:
    attrs: dict[str, Any] = {}
    unit, kind = str(wcs.world_axis_units[world]), wcs.world_axis_physical_types[world]
    if unit:
        attrs["units"] = unit
    if kind:
        attrs["physical_type"] = kind
    inner = wcs.wcs
    if inner.ctype[world]:
        attrs["ctype"] = str(inner.ctype[world])
    for key, value in (("specsys", inner.specsys), ("restfrq", inner.restfrq), ("restwav", inner.restwav)):
        if dim in {"frequency", "velocity", "wavelength", "energy"} and value:
            attrs[key] = str(value) if key == "specsys" else float(value)
    if dim == "stokes":
        attrs["flag_values"], attrs["flag_meanings"] = (
            [*range(-8, 0), 1, 2, 3, 4],
            "YX XY YY XX LR RL LL RR I Q U V",
        )
    if dim == "time":
        return _times(wcs, dim, values, attrs)
    return Coordinate((dim,), values, attrs)


def _times(wcs: Any, dim: str, values: npt.NDArray[np.float64], attrs: dict[str, Any]) -> Coordinate:
    """Datetimes, if the header says from when the axis counts (MJDREF, DATEREF)."""
    mjd = float(np.nansum(wcs.wcs.mjdref)) if len(wcs.wcs.mjdref) else 0.0
    unit = attrs.get("units", "s")
    if not (mjd and unit in {"s", "d", "min", "h"}):
        return Coordinate((dim,), values, attrs)
    seconds = values * {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}[unit]
    whole = int(mjd)
    start = (
        np.datetime64("1858-11-17", "ns")
        + np.timedelta64(whole, "D")
        + np.timedelta64(round((mjd - whole) * 86400e9), "ns")
    )
    scale = str(wcs.wcs.timesys or wcs.wcs.ctype[0] or "UTC").strip().lower()
    attrs = {k: v for k, v in attrs.items() if k != "units"} | {"time_scale": scale}
    return Coordinate((dim,), start + (seconds * 1e9).round().astype("m8[ns]"), attrs)


def sky_values(
    header: str, axes: Axes, lon_pixels: npt.NDArray[Any], lat_pixels: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Longitude and latitude in degrees of 0-based positions along the dimensions of ``axes.sky``."""
    with alone():
        wcs = find_wcs(header).celestial
        if _swapped(axes):
            lon_pixels, lat_pixels = lat_pixels, lon_pixels
        world = (
            wcs.wcs_pix2world(lon_pixels, lat_pixels, 0)
            if not _distorted(wcs)
            else wcs.all_pix2world(lon_pixels, lat_pixels, 0)
        )
    lon, lat = (world[wcs.wcs.lng], world[wcs.wcs.lat])
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)


def sky_pixels(
    header: str, axes: Axes, lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """0-based positions along the dimensions of ``axes.sky`` of longitudes and latitudes in degrees; NaN where there are none."""
    with alone(), np.errstate(all="ignore"):
        wcs = find_wcs(header).celestial
        world = (lon, lat) if wcs.wcs.lng == 0 else (lat, lon)
        pixels = wcs.world_to_pixel_values(*world)
    first, second = (np.asarray(p, np.float64) for p in pixels)
    return (second, first) if _swapped(axes) else (first, second)


def _swapped(axes: Axes) -> bool:
    """Whether latitude comes before longitude among the FITS axes, as then in the celestial WCS."""
    lon, lat = axes.sky or ("", "")
    return axes.dims.index(lon) < axes.dims.index(lat)


def _distorted(wcs: Any) -> bool:
    return bool(wcs.has_distortion)


class SkyCoordinate:
    """Longitude or latitude of every pixel, computed for what is asked.

    Parameters
    ----------
    header, axes
        Of the image.
    shape
        (length along the latitude dimension, length along the longitude dimension).
    latitude
        Which of the two.
    """

    dtype = np.dtype("f8")

    def __init__(self, header: str, axes: Axes, shape: tuple[int, int], *, latitude: bool) -> None:
        self.shape = shape
        self._header, self._axes, self._latitude = header, axes, latitude

    def __getitem__(self, key: Any) -> npt.NDArray[np.float64]:
        region = parse_key(key, self.shape)
        rows, columns = (np.asarray(a if isinstance(a, np.ndarray) else a.positions(), np.float64) for a in region.axes)
        x, y = np.broadcast_arrays(columns[None, :], rows[:, None])
        found = sky_values(self._header, self._axes, x, y)[int(self._latitude)]
        values: npt.NDArray[np.float64] = found[region.finish]
        return values
