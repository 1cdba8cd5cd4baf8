"""From nodes to xarray datasets: the groups of a file, opened one by one or together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import xarray as xr
from xarray.indexes import PandasIndex

from scichunk.adapters.opening import Opened, named_part, open_any
from scichunk.adapters.xarray.attributes import make_storable
from scichunk.adapters.xarray.times import may_be_time, with_times
from scichunk.adapters.xarray.variables import (
    Decoders,
    chosen_arrays,
    coordinate_variable,
    lazy_variable,
    linear_coordinates,
)
from scichunk.core.files import Coordinate
from scichunk.core.handles import Handle, Share
from scichunk.core.limits import check_decoded
from scichunk.core.selectors import names_in, text
from scichunk.raster.affine import LinearAxis

__all__ = ["Which", "build_dataset", "open_dataset", "open_groups", "with_raster_index"]

_EXTRAS = ("coords", "raster_index")
"""Keywords of the engines that add to what is in a group."""


@dataclass(frozen=True, slots=True)
class Which:
    """A file and a part of it, as the user named them."""

    format: str | None
    target: Any = field(repr=False)
    storage_options: Mapping[str, Any] | None = field(default=None, repr=False)
    group: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Selectors of the format, and :data:`_EXTRAS`."""

    @property
    def coords(self) -> str:
        """Return the keyword ``coords``."""
        found = str(self.options.get("coords") or "auto")
        if found not in {"auto", "celestial"}:
            msg = f'coords must be "auto" or "celestial", got {found!r}'
            raise ValueError(msg)
        return found

    @property
    def word(self) -> Any:
        """Return the word by which the user named the part; None where parts are counted."""
        return named_part(self.group, {k: v for k, v in self.options.items() if k not in _EXTRAS})

    def open(self) -> tuple[Opened, str | None]:
        """Open the file and find the group; selectors are translated by the format."""
        opened = open_any(self.format, self.target, self.storage_options)
        return opened, self.group_of(opened)

    def group_of(self, opened: Opened) -> str | None:
        """Find the group of a file that is open already."""
        if self.group is not None:
            text("group", self.group)
        given = {k: v for k, v in self.options.items() if k not in _EXTRAS}
        selectors = opened.selectors(given, "dataset", f"the engine {opened.format!r}")
        if not selectors:
            return self.group
        if self.group is not None:
            msg = f"group= and {', '.join(selectors)}= say the same in two ways; give one"
            raise TypeError(msg)
        return opened.file.select(**selectors)


def open_dataset(which: Which, drop: str | Iterable[str] | None, flags: Decoders) -> xr.Dataset:
    """Open one group.

    Raises
    ------
    ScichunkError
        If the file cannot be read.
    GroupNotFound
        If there is no such group.
    """
    opened, group = which.open()
    return _finish_dataset(build_dataset(opened, group or "/", drop, flags, which.coords), which, opened)


def open_groups(which: Which, drop: str | Iterable[str] | None, flags: Decoders) -> dict[str, xr.Dataset]:
    """Open all groups by the names that the format gives them; or one group as the root, as xarray's own engines do."""
    opened, group = which.open()
    file = opened.file
    if group is not None and group.strip("/"):
        return {"/": _finish_dataset(build_dataset(opened, group, drop, flags, which.coords), which, opened)}
    found = {} if file.groups() == ["/"] else {"/": _note_source(xr.Dataset(attrs=make_storable(file.root())), opened)}
    size = 0
    for path in file.groups():
        ds = build_dataset(opened, path, drop, flags, which.coords)
        size += _index_bytes(ds)
        check_decoded(f"coordinates up to group {path!r} (open it alone: group=)", size, url=opened.location.url)
        found[path] = _finish_dataset(ds, which, opened)
    return found


def _index_bytes(ds: xr.Dataset) -> int:
    """Memory of the coordinates that are no ranges: of a tree all are held at once, and headers of some kilobytes may ask for gigabytes."""
    return sum(index.index.memory_usage() for index in ds.xindexes.values() if isinstance(index, PandasIndex))


def _finish_dataset(ds: xr.Dataset, which: Which, opened: Opened) -> xr.Dataset:
    """Add what was asked for beside the group, and the dataset's share of the file, which goes with ``close``."""
    if which.options.get("raster_index"):
        ds = with_raster_index(ds)
    ds.set_close(Share(opened.location, opened.file.fingerprint).close)
    return ds


def with_raster_index(ds: xr.Dataset) -> xr.Dataset:
    """Replace the indexes of x and y by one that computes them from the transform (extra ``raster-index``).

    Raises
    ------
    ValueError
        If there are no such dimensions.
    ImportError
        If rasterix is not installed.
    """
    if not {"x", "y"} <= {*ds.dims}:
        msg = f"raster_index=True is for rasters: there are no dimensions x and y, but {', '.join(map(str, ds.dims)) or 'none'}"
        raise ValueError(msg)
    try:
        import rasterix
    except ImportError:
        msg = "raster_index=True needs rasterix: pip install 'scichunk[raster-index]'"
        raise ImportError(msg) from None
    return cast("xr.Dataset", rasterix.assign_index(ds))


def build_dataset(
    opened: Opened, group: str, drop: str | Iterable[str] | None, flags: Decoders, coords: str
) -> xr.Dataset:
    """Make the dataset of a group; ``coords="celestial"`` computes longitude and latitude of every pixel."""
    location, file = opened.location, opened.file
    node = file.node(group)
    dropped = names_in("drop_variables", drop)
    variables: Any = {
        v.name: lazy_variable(v, Handle(opened.format, location, file.fingerprint, v.array_id), flags)
        for v in chosen_arrays(node.arrays, flags)
        if v.name not in dropped
    }
    ranges: dict[str, Coordinate] = {}
    for name, coordinate in node.coords.items():
        if isinstance(coordinate.values, LinearAxis):
            ranges[name] = coordinate
        elif name not in dropped and (
            name == "spatial_ref" or any(set(coordinate.dims) <= set(v.dims) for v in variables.values())
        ):
            variables[name] = coordinate_variable(coordinate)
    attrs: Any = dict(node.attrs)
    if flags.decode_times or flags.decode_timedelta:
        timed = {n: v for n, v in variables.items() if may_be_time(v)}
        if timed:
            decoded, attrs = with_times(timed, attrs, flags, location.url)
            variables |= decoded
        for variable in variables.values():  # as xarray's decoding leaves it behind; no file holds a datetime64
            if variable.dtype.kind not in "mM":
                variable.encoding.setdefault("dtype", variable.dtype)
    made: dict[str, xr.Variable] = {}
    if node.sky and variables and coords != "none":
        from scichunk.adapters.xarray.sky import TABLES, sky_coordinates

        tables = next((str(v.attrs[TABLES]) for v in variables.values() if TABLES in v.attrs), "")
        shape, celestial = node.arrays[0].source.shape, coords == "celestial"
        made = sky_coordinates(node.sky, shape, tables, variables, celestial=celestial)
    # all at once: each coordinate that is assigned later is aligned with the others, at 0.3 ms a time
    made |= {name: variables.pop(name) for name in node.coords if name in variables}
    ds = xr.Dataset(variables, made, attrs)
    for name, coordinate in ranges.items():
        ds = ds.assign_coords(linear_coordinates(name, coordinate.values))
        ds[name].attrs.update(coordinate.attrs)
    ds.attrs = make_storable(ds.attrs)
    for variable in ds.variables.values():
        variable.attrs = make_storable(variable.attrs)
    return _note_source(ds, opened)


def _note_source(ds: xr.Dataset, opened: Opened) -> xr.Dataset:
    """Write down where a dataset is from; else xarray writes down the whole URL, secrets included."""
    if isinstance(opened.location.target, str):
        ds.encoding["source"] = opened.location.url
    return ds
