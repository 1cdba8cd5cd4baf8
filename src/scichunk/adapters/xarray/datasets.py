"""From nodes to xarray datasets: lazy variables, decoders, chunks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import xarray as xr
from xarray import conventions
from xarray.backends import BackendArray
from xarray.core import indexing

from scichunk.adapters.lazy import LazyArray
from scichunk.core import registry
from scichunk.core.files import ArrayVar, Coordinate, OpenFile
from scichunk.core.handles import Handle, Share, open_file
from scichunk.core.planning import preferred_chunks
from scichunk.errors import FormatError, GroupNotFound, MetadataWarning
from scichunk.raster.affine import LinearAxis
from scichunk.raster.cf import Decoding, step_from
from scichunk.sources import ByteSource, Location, locate

__all__ = ["Decoders", "Which", "open_any", "open_dataset", "open_groups", "sniffed"]

_EXTRAS = ("coords", "raster_index")
"""Keywords of the engines that add to what is in a group."""
_CF = ("_FillValue", "scale_factor", "add_offset")


@dataclass(frozen=True, slots=True)
class Decoders:
    """The flags of :func:`xarray.open_dataset`."""

    mask_and_scale: Any = True
    decode_times: Any = True
    concat_characters: Any = True
    decode_coords: Any = True
    use_cftime: Any = None
    decode_timedelta: Any = None

    def masks(self, name: str) -> bool:
        """Whether a variable is to be masked and scaled."""
        flag = self.mask_and_scale
        return bool(flag.get(name, True) if isinstance(flag, Mapping) else flag is None or flag)


class LazyVariable(BackendArray):
    """Gives a :class:`~scichunk.adapters.lazy.LazyArray` to xarray."""

    __slots__ = ("array", "dtype", "shape")

    def __init__(self, array: LazyArray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        if isinstance(key, indexing.VectorizedIndexer):
            return self.array.points(key.tuple)
        return self.array[key.tuple]

    async def async_getitem(self, key: indexing.ExplicitIndexer) -> Any:
        """Read without blocking the event loop."""
        if isinstance(key, indexing.VectorizedIndexer):
            import asyncio

            return await asyncio.to_thread(self.array.points, key.tuple)
        return await self.array.aget(key.tuple)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.array.__dask_tokenize__()


class LazyCoordinate(BackendArray):
    """Gives a computed coordinate (of a rotated raster) to xarray."""

    __slots__ = ("array", "dtype", "shape")

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self.array.__getitem__
        )


def sniffed(location: Location, source: ByteSource) -> str:
    """Return the name of an opened file's format, by its first bytes, then by its suffix.

    Raises
    ------
    FormatError
        If it is none of the known formats.
    """
    head = bytes(source.head()[:4096])
    spec = registry.sniff(head) or registry.sniff_suffix(location.url)
    if spec is None:
        msg = f"not a file of a known format ({', '.join(registry.formats())}); it begins with {head[:8]!r}"
        raise FormatError(msg, url=location.url)
    return spec.name


def open_any(
    format_name: str | None,
    target: Any,
    storage_options: Mapping[str, Any] | None,
) -> tuple[str, Location, OpenFile]:
    """Open a file of a given or any format."""
    location = locate(target, storage_options)
    if format_name is not None:
        return format_name, location, open_file(format_name, location)
    source = location.open()
    name = sniffed(location, source)
    return name, location, open_file(name, location, source=source)


@dataclass(frozen=True, slots=True)
class Which:
    """A file and a part of it, as the user named them."""

    format: str | None
    target: Any
    storage_options: Mapping[str, Any] | None = None
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

    def open(self) -> tuple[str, Location, OpenFile, str | None]:
        """Open the file and find the group; selectors are translated by the format."""
        name, location, file = open_any(self.format, self.target, self.storage_options)
        selectors = {k: v for k, v in self.options.items() if k not in _EXTRAS and v is not None}
        if not selectors:
            return name, location, file, self.group
        if self.group is not None:
            msg = f"group= and {', '.join(selectors)}= say the same in two ways; give one"
            raise TypeError(msg)
        return name, location, file, file.select(**selectors)


def open_dataset(which: Which, drop: str | Iterable[str] | None, flags: Decoders) -> xr.Dataset:
    """Open one group.

    Raises
    ------
    ScichunkError
        If the file cannot be read.
    GroupNotFound
        If there is no such group.
    """
    name, location, file, group = which.open()
    ds = _dataset(name, location, file, group or "/", drop, flags, which.coords)
    return _finish(ds, which, location, file)


def open_groups(which: Which, drop: str | Iterable[str] | None, flags: Decoders) -> dict[str, xr.Dataset]:
    """Open all groups; where there are several, the first is ``/page_0``, since nothing aligns with it."""
    name, location, file, group = which.open()
    wanted = [g for g in file.groups() if group is None or g.startswith("/" + group.strip("/"))]
    if not wanted and group is not None:
        raise GroupNotFound.among(group, file.groups(), url=location.url)
    if wanted == ["/"]:
        ds = _dataset(name, location, file, "/", drop, flags, which.coords)
        return {"/": _finish(ds, which, location, file)}
    found = {"/": xr.Dataset(attrs=dict(file.root()))}
    for path in wanted:
        ds = _dataset(name, location, file, path, drop, flags, which.coords)
        found["/page_0" if path == "/" else path] = _finish(ds, which, location, file)
    return found


def _finish(ds: xr.Dataset, which: Which, location: Location, file: OpenFile) -> xr.Dataset:
    """Add what was asked for beside the group, and the dataset's share of the file, which goes with ``close``."""
    if which.options.get("raster_index"):
        ds = _with_raster_index(ds)
    ds.set_close(Share(location, file.fingerprint).close)
    return ds


def _with_raster_index(ds: xr.Dataset) -> xr.Dataset:
    """Replace the indexes of x and y by one that computes them from the transform (extra ``raster-index``)."""
    try:
        import rasterix
    except ImportError:
        msg = "raster_index=True needs rasterix: pip install 'scichunk[raster-index]'"
        raise ImportError(msg) from None
    return cast("xr.Dataset", rasterix.assign_index(ds))


def _dataset(
    format_name: str,
    location: Location,
    file: OpenFile,
    group: str,
    drop: str | Iterable[str] | None,
    flags: Decoders,
    coords: str,
) -> xr.Dataset:
    node = file.node(group)
    dropped = {drop} if isinstance(drop, str) else set(drop or ())
    variables: Any = {
        v.name: _variable(v, Handle(format_name, location, file.fingerprint, v.place), flags)
        for v in (a if a.raw is None or flags.masks(a.name) else a.raw for a in node.arrays)
        if v.name not in dropped
    }
    ranges: dict[str, Coordinate] = {}
    for name, coordinate in node.coords.items():
        if isinstance(coordinate.values, LinearAxis):
            ranges[name] = coordinate
        elif name not in dropped and (
            name == "spatial_ref" or any(set(coordinate.dims) <= set(v.dims) for v in variables.values())
        ):
            variables[name] = _coordinate(coordinate)
    attrs: Any = dict(node.attrs)
    if flags.decode_times or flags.decode_timedelta:
        variables, attrs = _with_times(variables, attrs, flags, location.url)
    ds = xr.Dataset(variables, attrs=attrs)
    ds = ds.set_coords([n for n in node.coords if n in ds.variables])
    for name, coordinate in ranges.items():
        ds = ds.assign_coords(_range(name, coordinate.values))
        ds[name].attrs.update(coordinate.attrs)
    if node.sky and variables:
        from scichunk.adapters.xarray.sky import with_sky

        ds = with_sky(ds, node.sky, node.arrays[0].source.shape, celestial=coords == "celestial")
    if isinstance(location.target, str):  # else xarray writes down the whole URL, secrets included
        ds.encoding["source"] = location.url
    return ds


def _with_times(
    variables: dict[str, xr.Variable], attrs: dict[str, Any], flags: Decoders, url: str
) -> tuple[dict[str, xr.Variable], dict[str, Any]]:
    """Decode times; those whose units only look like a time stay as they are.

    Warns
    -----
    MetadataWarning
        For each variable that stays as it is.
    """

    def decode(some: dict[str, xr.Variable]) -> tuple[Any, Any]:
        decoded, more, _ = conventions.decode_cf_variables(
            cast("Any", some),
            cast("Any", attrs),
            mask_and_scale=False,
            concat_characters=bool(flags.concat_characters),
            decode_times=flags.decode_times,
            decode_coords=False,
            use_cftime=flags.use_cftime,
            decode_timedelta=flags.decode_timedelta,
        )
        return decoded, more

    try:
        return decode(variables)
    except (ValueError, OverflowError):  # xarray gives up with the first of them, so each is asked by itself
        odd = {n: v for n, v in variables.items() if not _decodes(n, v, decode, url)}
    decoded, attrs = decode({n: v for n, v in variables.items() if n not in odd})
    return {n: odd.get(n, decoded.get(n)) for n in variables}, attrs


def _decodes(name: str, variable: xr.Variable, decode: Callable[..., Any], url: str) -> bool:
    try:
        decode({name: variable})
    except (ValueError, OverflowError) as error:
        why = str(error.__cause__ or error).partition(". ")[0]
        msg = f"times of {name!r} are left as numbers (units {variable.attrs.get('units')!r}): {why} [{url}]"
        warnings.warn(msg, MetadataWarning, stacklevel=2)
        return False
    return True


def _range(name: str, axis: LinearAxis) -> xr.Coordinates:
    """Values computed when they are asked for, and found by arithmetic."""
    index = xr.indexes.RangeIndex.linspace(axis.first, axis.last, axis.size, dim=name)
    return xr.Coordinates.from_xindex(index)


def _coordinate(coordinate: Coordinate) -> xr.Variable:
    values = coordinate.values
    if not isinstance(values, np.ndarray):
        values = indexing.LazilyIndexedArray(LazyCoordinate(values))
    return xr.Variable(coordinate.dims, values, dict(coordinate.attrs))


def _variable(var: ArrayVar, handle: Handle, flags: Decoders) -> xr.Variable:
    attrs, encoding = dict(var.attrs), dict(var.encoding)
    decoding = None
    if flags.masks(var.name) and var.raw is None:
        decoding, attrs, more = _decode(var, attrs)
        encoding |= more
    elif not flags.decode_coords and "grid_mapping" in encoding:
        attrs["grid_mapping"] = encoding.pop("grid_mapping")
    if "preferred_chunks" not in encoding:  # columns of a table share theirs
        encoding["preferred_chunks"] = dict(
            zip(var.dims, preferred_chunks(var.source.grid, var.source.dtype.itemsize), strict=True)
        )
    lazy = LazyVariable(LazyArray(handle, None, decoding))
    return xr.Variable(var.dims, indexing.LazilyIndexedArray(lazy), attrs, encoding)


def _decode(var: ArrayVar, attrs: dict[str, Any]) -> tuple[Decoding | None, dict[str, Any], dict[str, Any]]:
    """Ask xarray what decoding makes of an empty variable with these attributes; do the same in the reader."""
    if var.cf_by_band:
        templates = [_template(var, dict(cf)) for cf in var.cf_by_band]
        dtype = np.result_type(*(t.dtype for t in templates))
        steps = tuple(step_from(cf, t.dtype) for cf, t in zip(var.cf_by_band, templates, strict=True))
        moved: dict[str, Any] = {name: attrs.pop(name) for name in ("nodatavals", "scales", "offsets") if name in attrs}
        return Decoding(dtype.str, steps), attrs, {**moved, "dtype": var.source.dtype}
    if not any(name in attrs for name in _CF):
        return None, attrs, {}
    template = _template(var, attrs)
    decoding = Decoding(template.dtype.str, (step_from(attrs, template.dtype),))
    return decoding, dict(template.attrs), dict(template.encoding)


def _template(var: ArrayVar, attrs: dict[str, Any]) -> xr.Variable:
    empty = xr.Variable(var.dims, np.empty((0,) * len(var.dims), var.source.dtype), attrs)
    return conventions.decode_cf_variable(
        var.name, empty, concat_characters=False, mask_and_scale=True, decode_times=False, decode_timedelta=False
    )
