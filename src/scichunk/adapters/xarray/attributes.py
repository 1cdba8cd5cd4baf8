"""Attributes as netCDF, Zarr and HDF5 take them: a dataset of any file can be stored as it is."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np

__all__ = ["make_storable"]

_RESERVED: Final = {
    "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_NCProperties", "_Netcdf4Coordinates", "_Netcdf4Dimid", "_IsNetcdf4",
    "_SuperblockVersion", "_nc3_strict",
}  # fmt: skip
"""Names of attributes that netCDF-4 keeps for itself."""
_REFUSED: Final = re.compile(r"[/\x00-\x1f\x7f]")
_KINDS: Final = "iufSU"
_LOGICAL: Final = (bool, np.bool_)
_NUMBER: Final = (float, np.number)
_SEQUENCE: Final = (list, tuple, np.ndarray)


def make_storable(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes that can be stored, with those values that have no form there as texts.

    Names that netCDF reserves get an underscore at their end, characters that it refuses become underscores. Logicals are 0 and 1;
    integers beyond 64 bits, complex numbers, dates and mappings are texts; what has no value is left out.
    """
    found: dict[str, Any] = {}
    for name, value in attrs.items():
        if value is not None:
            typed = name == "_FillValue" and isinstance(value, np.generic)  # of complex numbers a complex one
            found[_storable_name(str(name))] = value if typed else _storable_value(value)
    return found


@lru_cache(maxsize=1024)  # the names of a format's attributes are few
def _storable_name(name: str) -> str:
    clean = _REFUSED.sub("_", name).rstrip() or "_"
    if clean in _RESERVED:
        return clean + "_"
    return clean if clean[0].isalnum() or clean[0] == "_" or clean[0] > "\x7f" else "_" + clean


def _storable_value(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", " ") if "\0" in value else value
    if isinstance(value, _LOGICAL):
        return int(value)
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if isinstance(value, _NUMBER):
        return value if np.dtype(type(value)).kind in _KINDS else str(value)
    if isinstance(value, Mapping):
        return json.dumps(value, default=str)
    if isinstance(value, _SEQUENCE):
        return _storable_values(value)
    return str(value)


def _storable_values(values: Any) -> Any:
    """Values of one kind along one axis stay; all others are JSON."""
    try:
        array = np.asarray(values)
    except ValueError:  # of unequal lengths
        return json.dumps(values, default=str)
    if array.dtype.kind == "b":
        return array.astype(np.int8) if isinstance(values, np.ndarray) else array.astype(int).tolist()
    same = isinstance(values, np.ndarray) or len({isinstance(v, str) for v in values}) <= 1
    if array.ndim == 1 and array.dtype.kind in _KINDS and same and math.prod(array.shape):
        clean = [_storable_value(v) for v in values] if array.dtype.kind == "U" else values
        return type(values)(clean) if isinstance(values, list | tuple) else clean
    return json.dumps(array.tolist(), default=str)
