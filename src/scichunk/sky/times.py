"""Time axes of images (FITS 4.0, section 9)."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.core.files import Coordinate
from scichunk.errors import MetadataWarning
from scichunk.quiet import quiet
from scichunk.warned import warn_caller

__all__ = ["time_coordinate"]

_CARD: Final = re.compile(
    r"(MJDREF[IF]?|JDREF[IF]?|DATEREF|TIMESYS|TIMEUNIT|CUNIT\d+|CTYPE\d+) *= *('(?:[^']|'')*'|[^ /]+)"
)
_SECONDS: Final[dict[str, int | Decimal]] = {
    "s": 1, "min": 60, "h": 3600, "d": 86400, "a": 31557600, "yr": 31557600, "year": 31557600, "cy": 3155760000,
    "ms": Decimal("1e-3"), "us": Decimal("1e-6"), "ns": Decimal("1e-9"),
}  # fmt: skip
"""Seconds of the units of time (section 9.3, table 35)."""
_SCALES: Final = {"TDT": "tt", "ET": "tt", "IAT": "tai", "UT": "ut1"}
"""Other names of time scales (section 9.2.1)."""
_KNOWN_SCALES: Final = {"TAI", "TT", "TDT", "ET", "IAT", "UT1", "UT", "UTC", "GMT", "GPS", "TCG", "TCB", "TDB", "LOCAL"}
_DAY: Final = Decimal(86400) * 10**9
_UNIX_DAYS: Final = 40587
"""Modified Julian date of 1970-01-01, from which datetime64 counts."""
_EPOCH: Final = np.datetime64("1858-11-17", "ns")
_DATE: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{0,30}))?Z?|(\d{4}(?:-\d\d(?:-\d\d(?:[T ]\d\d:\d\d)?)?)?)Z?", re.ASCII
)
_MOST_DAYS: Final = 10**9
"""Days of a reference time, which is far beyond what ``datetime64[ns]`` holds."""
_LEAP_SECONDS_DAY: Final = 41317
"""Modified Julian date of 1972-01-01: before it UTC ran at another rate."""
_AT_ONCE_TIMES: Final = 1 << 16
_RANGE: Final = float(np.iinfo(np.int64).max)


def time_coordinate(header: str, dim: str, values: npt.NDArray[np.float64], attrs: dict[str, Any]) -> Coordinate:
    """Make datetimes of a time axis if the header says from when it counts (MJDREF, JDREF, DATEREF; section 9.2.2).

    Parameters
    ----------
    header
        Cards of 80 characters, without line ends.
    dim
        The dimension.
    values
        World coordinates, in ``attrs["units"]``; where the axis has no CUNIT, in TIMEUNIT, which is seconds by default.
    attrs
        Of the coordinate.

    Returns
    -------
    Coordinate
        ``datetime64[ns]`` in the time scale of the attribute ``time_scale``; numbers where there is no reference, or where a time
        is beyond what ``datetime64[ns]`` holds.

    Warns
    -----
    MetadataWarning
        For times within a leap second, which are NaT, and for axes that stay numbers since they reach too far.
    """
    cards = _read_cards(header)
    unit = str(attrs.get("units") or cards.get("TIMEUNIT") or "s").strip()
    attrs = attrs | {"units": unit}
    factor = _SECONDS.get(unit)
    reference = _reference_time(cards)
    if factor is None or reference is None:
        return Coordinate((dim,), values, attrs)
    scale = _time_scale(str(attrs.get("ctype", "")), cards.get("TIMESYS", ""))
    attrs["time_scale"] = scale
    nanoseconds = values * float(factor) * 1e9
    start = float(reference - _UNIX_DAYS) * float(_DAY)
    if abs(reference) > _MOST_DAYS or np.abs(nanoseconds).max(initial=0) + abs(start) >= _RANGE * 0.999:
        msg = f"times along {dim!r} are left as numbers: they reach beyond what datetime64[ns] holds"
        warn_caller(msg, MetadataWarning)
        attrs["time_reference_mjd"] = float(reference)
        return Coordinate((dim,), values, attrs)
    day, rest = divmod(reference * _DAY, _DAY)
    del attrs["units"]
    since = np.round(nanoseconds).astype(np.int64)
    first = _EPOCH + np.timedelta64(int(day), "D") + np.timedelta64(round(rest), "ns")
    if scale == "utc":
        return Coordinate((dim,), _to_utc(dim, int(day), rest, nanoseconds), attrs)
    return Coordinate((dim,), first + since.astype("m8[ns]"), attrs)


def _read_cards(header: str) -> dict[str, str]:
    """Values as texts; of several cards the last counts, as for wcslib."""
    found: dict[str, str] = {}
    for at in range(0, len(header), 80):
        if card := _CARD.match(header, at, at + 80):
            found[card[1]] = card[2].strip("'").strip()
    return found


def _reference_time(cards: dict[str, str]) -> Decimal | None:
    """The reference time as a modified Julian date: MJDREF before JDREF before DATEREF, two parts before one."""
    for stem, offset in (("MJDREF", Decimal(0)), ("JDREF", Decimal("2400000.5"))):
        names = [stem + "I", stem + "F"] if {stem + "I", stem + "F"} & cards.keys() else [stem]
        parts = [_parse_decimal(cards[name]) for name in names if name in cards]
        if parts and None not in parts:
            return sum((p for p in parts if p is not None), Decimal(0)) - offset
    return _parse_date(cards.get("DATEREF", ""))


def _parse_date(text: str) -> Decimal | None:
    """A date as a modified Julian date (section 9.1.1); None if it is none.

    Words (``today``) and time zones, which NumPy knows, are no dates of FITS; whole seconds are within what it counts in.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        whole = (found[1] or found[3]).replace(" ", "T")
        seconds = int((np.datetime64(whole, "s") - _EPOCH.astype("M8[s]")).astype(np.int64))
    except ValueError:  # a month or an hour that there is not
        return None
    return (Decimal(seconds) + Decimal(f"0.{found[2] or 0}")) / 86400


def _parse_decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text.upper().replace("D", "E"))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _time_scale(ctype: str, timesys: str) -> str:
    """The time scale: that of CTYPE if it names one, else TIMESYS, else UTC (section 9.2.1)."""
    for name in (ctype, timesys):
        stem = re.split(r"[-(\s]", name.strip().upper(), maxsplit=1)[0]
        if stem in _KNOWN_SCALES:
            return _SCALES.get(stem, "utc" if stem == "GMT" else stem.lower())
    return "utc"


def _to_utc(dim: str, day: int, rest: Decimal, nanoseconds: npt.NDArray[np.float64]) -> npt.NDArray[np.datetime64]:
    """Datetimes of UTC: between them and the reference lie leap seconds, which an axis counts as it counts all others."""
    first = _EPOCH + np.timedelta64(day, "D") + np.timedelta64(round(rest), "ns")
    times = np.empty(nanoseconds.shape, "M8[ns]")
    inside, long = 0, nanoseconds.size > _AT_ONCE_TIMES
    for at in range(0, nanoseconds.size, _AT_ONCE_TIMES):  # astropy takes some hundred bytes a time
        part = nanoseconds[at : at + _AT_ONCE_TIMES]
        shift = _find_shift(day, rest, first, part) if long else None
        if shift is not None:
            times[at : at + part.size] = np.round(part).astype(np.int64).astype("m8[ns]") + (first + shift)
            continue
        times[at : at + part.size] = found = _convert_utc(day, rest, part)
        inside += int(np.isnat(found).sum())
    if inside:
        msg = f"{inside} times along {dim!r} lie within a leap second, which datetime64 does not have: they are NaT"
        warn_caller(msg, MetadataWarning)
    return times


def _find_shift(
    day: int, rest: Decimal, first: np.datetime64, nanoseconds: npt.NDArray[np.float64]
) -> np.timedelta64 | None:
    """By how much all times are off if leap seconds are not counted; None if that is not one number."""
    ends = np.array([nanoseconds.min(), nanoseconds.max()])
    plain = np.round(ends).astype(np.int64).astype("m8[ns]") + first
    shifts = _convert_utc(day, rest, ends) - plain
    # Leap seconds have all been added: where both ends are off by as many, all between them are.
    known = plain.min() > _EPOCH + np.timedelta64(_LEAP_SECONDS_DAY, "D") and shifts[0] == shifts[1]
    return np.timedelta64(shifts[0]) if known else None


def _convert_utc(day: int, rest: Decimal, nanoseconds: npt.NDArray[np.float64]) -> npt.NDArray[np.datetime64]:
    """Convert as astropy does; NaT within a leap second."""
    from astropy.time import Time, TimeDelta

    with quiet():  # "dubious year", of times before UTC and after the known leap seconds
        start = Time(day, float(rest / _DAY), format="mjd", scale="utc")
        whole = np.floor(nanoseconds / 1e9)
        since = TimeDelta(whole, (nanoseconds - whole * 1e9) / 1e9, format="sec")
        parts = (start + since).ymdhms
    seconds = np.asarray(parts["second"])
    midnight = (
        (np.asarray(parts["year"]) - 1970).astype("M8[Y]").astype("M8[M]")
        + (np.asarray(parts["month"]) - 1).astype("m8[M]")
    ).astype("M8[D]") + (np.asarray(parts["day"]) - 1).astype("m8[D]")
    minutes = np.asarray(parts["hour"]).astype(np.int64) * 60 + np.asarray(parts["minute"])
    offset = minutes * 60_000_000_000 + np.round(seconds * 1e9).astype(np.int64)
    times: npt.NDArray[np.datetime64] = midnight.astype("M8[ns]") + offset.astype("m8[ns]")
    times[seconds >= 60] = np.datetime64("NaT", "ns")
    return times
