"""Variables of times: decoded by xarray as they are read, whatever their values are."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray import conventions
from xarray.coding.common import lazy_elemwise_func
from xarray.coding.times import encode_cf_datetime
from xarray.core import indexing

from scichunk.adapters.xarray.variables import Decoders
from scichunk.errors import DataWarning, MetadataWarning
from scichunk.quiet import quiet
from scichunk.warned import warn_caller

__all__ = ["may_be_time", "with_times"]

_TIMES: Final = ("since", "day", "hour", "minute", "second")
"""One of them is in all units that xarray takes for those of a time."""
_UNITS_OF_TIME: Final = {
    **dict.fromkeys(("s", "sec", "secs"), "seconds"),
    **dict.fromkeys(("min", "mins"), "minutes"),
    **dict.fromkeys(("h", "hr", "hrs"), "hours"),
    "d": "days",
    **dict.fromkeys(("ms", "msec", "msecs", "millisec", "millisecs"), "milliseconds"),
    **dict.fromkeys(("microsec", "microsecs"), "microseconds"),
}
"""Units of times that xarray decodes, and the words by which it encodes them."""
_DECODED_BY: Final = ("units", "calendar", "dtype")
"""Attributes that say how times are decoded; a header among the others would be in each task of dask."""
_REFUSED: Final = (ValueError, OverflowError)
"""What xarray, pandas and cftime raise for what is beyond them."""


def may_be_time(variable: xr.Variable) -> bool:
    """Whether xarray's decoding of times, or of characters, can change a variable: to ask it costs 0.1 ms a group."""
    attrs = variable.attrs
    if "dtype" in attrs or variable.dtype.kind == "S":
        return True
    units = attrs.get("units", "")
    return not isinstance(units, str) or any(word in units for word in _TIMES)


def with_times(
    variables: dict[str, xr.Variable], attrs: dict[str, Any], flags: Decoders, url: str
) -> tuple[dict[str, xr.Variable], dict[str, Any]]:
    """Decode times; those whose units only look like a time stay as they are, and values that are no times become NaT when they are read.

    Warns
    -----
    MetadataWarning
        For each variable that stays as it is.
    """

    def decode(some: dict[str, xr.Variable]) -> tuple[dict[str, xr.Variable], dict[str, Any]]:
        decoded, more = _decode(some, attrs, flags)
        for variable in decoded.values():
            _spell_out_units(variable.encoding)
        return {n: _read_any_value(n, some[n], v, flags, url) for n, v in decoded.items()}, more

    try:
        return decode(variables)
    except _REFUSED:  # xarray gives up with the first of them, so each is asked by itself
        odd = {n: v for n, v in variables.items() if not _can_decode(n, v, flags, url)}
    decoded, attrs = decode({n: v for n, v in variables.items() if n not in odd})
    return {n: odd[n] if n in odd else decoded[n] for n in variables}, attrs


def _decode(variables: dict[str, xr.Variable], attrs: dict[str, Any], flags: Decoders) -> tuple[Any, Any]:
    """Let xarray decode, as the user wants it."""
    decoded, more, _ = conventions.decode_cf_variables(
        cast("Any", {name: _with_known_units(variable) for name, variable in variables.items()}),
        cast("Any", attrs),
        mask_and_scale=False,
        concat_characters=bool(flags.concat_characters),
        decode_times=flags.decode_times,
        decode_coords=False,
        use_cftime=flags.use_cftime,
        decode_timedelta=flags.decode_timedelta,
    )
    return decoded, more


def _with_known_units(variable: xr.Variable) -> xr.Variable:
    """Spell out short units of times: of those (``s since ...``) xarray decodes through cftime, which fails where both ends are missing."""
    units = variable.attrs.get("units")
    if not isinstance(units, str) or (known := _spelt_out(units)) == units:
        return variable
    return variable._replace(attrs=cast("Any", {**variable.attrs, "units": known}))  # without reading it


def _spell_out_units(encoding: dict[str, Any]) -> None:
    """Put units of decoded times in the words that xarray writes: of ``s since ...`` it reads the values and fails to write them."""
    if "units" in encoding:
        encoding["units"] = _spelt_out(str(encoding["units"]))


def _spelt_out(units: str) -> str:
    """Return units of times in the words that xarray writes; others as they are."""
    unit, since, rest = units.partition(" since ")
    return _UNITS_OF_TIME.get(unit.strip().lower(), unit) + since + rest if since else units


def _can_decode(name: str, variable: xr.Variable, flags: Decoders, url: str) -> bool:
    try:
        _decode({name: variable}, {}, flags)
    except _REFUSED as error:
        why = str(error.__cause__ or error).partition(". ")[0]
        msg = f"times of {name!r} are left as numbers (units {variable.attrs.get('units')!r}): {why} [{url}]"
        warn_caller(msg, MetadataWarning)
        return False
    return True


def _read_any_value(name: str, stored: xr.Variable, decoded: xr.Variable, flags: Decoders, url: str) -> xr.Variable:
    """Replace xarray's decoding as times are read, which looks at the first and the last value only before it promises a type."""
    if stored.dtype.kind not in "iuf" or decoded.dtype.kind not in "mMO":
        return decoded
    used = {k: v for k, v in stored.attrs.items() if k in _DECODED_BY}
    values = lazy_elemwise_func(stored._data, _Times(name, used, flags, decoded.dtype, url), decoded.dtype)  # noqa: SLF001  # without reading it
    if not decoded.chunks:
        values = indexing.LazilyIndexedArray(values)
    return xr.Variable(decoded.dims, values, decoded.attrs, decoded.encoding, fastpath=True)


@dataclass(frozen=True, slots=True)
class _Times:
    """Decodes numbers to times of one type; those that it cannot hold are NaT."""

    name: str
    attrs: dict[str, Any]
    flags: Decoders
    dtype: np.dtype[Any]
    url: str

    def __call__(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
        flat = np.asarray(numbers).reshape(-1)
        out = np.full(flat.shape, np.nan if self.dtype.kind == "O" else np.array("NaT", self.dtype), self.dtype)
        # beside a NaN xarray does not look at the others, and of an infinite number alone it makes the time that is counted from
        known = np.flatnonzero(np.isfinite(flat))
        beyond = flat.size - known.size - int(np.isnan(flat).sum())
        found = self._decode(flat[known])
        if found is None:
            sound = self._find_sound(flat, known)
            beyond, known = beyond + known.size - sound.size, sound
            found = self._decode(flat[known])
        if beyond:
            what = (
                f"{beyond} values of {self.name!r} are beyond {'all times' if self.dtype.kind == 'O' else self.dtype}"
            )
            warn_caller(f"{what} (units {self.attrs.get('units')!r}): they are NaT [{self.url}]", DataWarning)
        out[known] = found
        return out.reshape(np.shape(numbers))

    def _decode(self, numbers: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """Decode all, or None if there is one of another type among them."""
        if not numbers.size:
            return np.empty(0, self.dtype)
        flags = replace(self.flags, decode_times=True, use_cftime=True) if self.dtype.kind == "O" else self.flags
        variable = xr.Variable(("value",), numbers, self.attrs)
        with quiet():  # of values that are decoded to a type of cftime, which are not kept
            try:
                found: npt.NDArray[Any] = _decode({self.name: variable}, {}, flags)[0][self.name].to_numpy()
            except _REFUSED:
                return None
        return found if found.dtype.kind == self.dtype.kind else None

    def _find_sound(self, numbers: npt.NDArray[Any], known: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Find those that can be decoded: times follow numbers, so the others are those below one number and above another."""
        known = known[np.argsort(numbers[known], kind="stable")]
        middle = int(np.searchsorted(numbers[known], self._find_sound_number()))

        def refuses(i: int) -> bool:
            return self._decode(numbers[known[i : i + 1]]) is None

        first = bisect.bisect_left(range(middle), True, key=lambda i: not refuses(i))
        last = middle + bisect.bisect_left(range(middle, known.size), True, key=refuses)
        return known[first:last]

    def _find_sound_number(self) -> Any:
        """Return a number that can be decoded: of a date of today, or no time."""
        units = self.attrs.get("units")
        if self.dtype.kind == "m" or not isinstance(units, str):
            return 0
        some_day = np.array(["2000-01-01"], "M8[ns]")
        try:
            return encode_cf_datetime(some_day, _spelt_out(units), self.attrs.get("calendar"))[0][0]
        except (KeyError, *_REFUSED):  # units that are decoded, and cannot be written
            return 0
