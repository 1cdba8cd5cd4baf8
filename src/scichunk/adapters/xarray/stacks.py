"""``open_stack``: many files as one dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import xarray as xr

from scichunk import options
from scichunk.adapters.dask.stacks import Extra, make_array, stack_to_dask
from scichunk.adapters.headers import BAD, Errors, Found, Headers, Rules, Stack, open_first, read_headers
from scichunk.adapters.opening import id_for_all
from scichunk.adapters.xarray.datasets import Which, build_dataset, with_raster_index
from scichunk.adapters.xarray.sky import TABLES, with_skies
from scichunk.adapters.xarray.times import with_times
from scichunk.adapters.xarray.variables import Decoders, chosen_arrays, form_of
from scichunk.core.files import ArrayVar, OpenFile
from scichunk.core.handles import open_file
from scichunk.core.planning import preferred_chunks
from scichunk.core.selectors import names_in, text
from scichunk.errors import FormatError
from scichunk.sources import Location

__all__ = ["open_stack"]

Array = npt.NDArray[Any]
Labels = Sequence[Any] | Callable[[str], Any] | str | None
"""Values, a function of a url, or a header's keyword."""
_DATE: Final = re.compile(r"(\d{4}-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d*)?)?)?Z?)?)?)?", re.ASCII)
"""A date as headers have it (FITS 4.0, section 9.1.1), or nothing."""
_FIRST: Final = np.datetime64("1678-01-01", "us")
_LAST: Final = np.datetime64("2262-01-01", "us")
"""What nanoseconds in 64 bits reach, in whole years."""
_DECODERS = tuple(f for f in Decoders.__dataclass_fields__)


def open_stack(
    urls: Sequence[Any] | str,
    dim: str = "file",
    *,
    headers: Headers = "all",
    errors: Errors = "raise",
    fill: Any = None,
    chunks: Any = "auto",
    storage_options: Mapping[str, Any] | None = None,
    coordinate: Labels = None,
    format: str | None = None,  # noqa: A002  # the word users know
    drop_variables: str | Sequence[str] | None = None,
    group: str | None = None,
    **kwargs: Any,
) -> xr.Dataset:
    """Open many aligned files as one dataset with a new first dimension.

    Parameters
    ----------
    urls
        Paths or fsspec URLs, in order; or a pattern with ``*``, whose matches are sorted; or the path of an index that
        :func:`scichunk.save_index` has written.
    dim
        Name of the new dimension.
    headers
        ``"all"`` reads and compares every header, ``"first"`` only the first.
    errors
        What becomes of files that cannot be read or do not align: ``"raise"``; ``"warn"`` and ``"ignore"`` keep their position and
        fill it.
    fill
        Stored value in place of files that cannot be read, or values by the names of variables; by default the declared nodata,
        else NaN, and 0 in masks.
    chunks
        ``"auto"``, ``"native"``, ``{}``, sizes by names of dimensions, or a tuple for the dimensions of the first variable.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    coordinate
        Values along ``dim``; or a function of a file's url that gives one; or the keyword of a header that every file has,
        such as ``"DATE-OBS"``: the files are put in its order. By default the file names.
    format
        Name of the format; by default found from the first file.
    drop_variables
        Names of variables that are left out.
    group
        Which group of each file; or give the selectors of the format.
    **kwargs
        Further arguments of the engine, such as ``mask_and_scale``, ``hdu`` or ``overview``.

    Returns
    -------
    xarray.Dataset
        All variables of the files, with the coordinates, indexes and attributes of the first. A mask is 255 for files that have none.

    Raises
    ------
    FormatError
        If a file is corrupt, or not aligned with the first.
    SourceError
        If a file is missing or cannot be read.
    ValueError
        If a file cannot be read, is to be filled, and nothing is known to fill it with.

    Warns
    -----
    DataWarning
        For files that are filled; if images of the sky point to different places. Then each has a reference point of its own along
        ``dim``, and the cards that place its pixels in the coordinate ``wcs_header``: ``ds.sky`` finds positions in each
        of them, :func:`scichunk.wcs` takes one at a time.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.open_stack("dem_*.tif", dim="time").band_data.max("time")  # doctest: +SKIP
    """
    flags = Decoders(**{k: kwargs.pop(k) for k in _DECODERS if k in kwargs})
    rules = Rules(errors, fill, limits=options.take_snapshot())
    rules.check()
    stack = open_first(urls, format, rules, storage_options)
    which = Which(stack.format, stack.first.location, None, group, kwargs)
    part = _Part(which.group_of(stack.first) or "/", which.word, names_in("drop_variables", drop_variables), flags)
    path = part.group
    rules = replace(rules, group=path)
    required = {v.name: v.array_id for v in part.arrays(stack.first.file) if v.absent is None}
    if not required:
        there = ", ".join(v.name for v in stack.first.file.node(path).arrays)
        if not there:
            msg = "there is nothing to stack: a table without columns"
            raise FormatError(msg, url=stack.first.location.url, part=f"group {path!r}")
        msg = f"no variable is left; each file has {there}"
        raise ValueError(msg)
    keyword = _Keyword(coordinate, path) if isinstance(coordinate, str) else None
    found = read_headers(stack, required, headers, rules, keyword)
    fullest = _find_fullest(stack, found, path, part.dropped)
    arrays = {v.name: v for v in part.arrays(fullest)}
    first = build_dataset(stack.first, path, drop_variables, flags, "none" if found.elsewhere else which.coords)
    labels: Any = coordinate
    if keyword is not None:
        stack, found, labels = _in_order(stack, found)
    _check_dim(dim, first)
    sizes = _Chunks(chunks, dim, list(arrays.values()))
    variables: dict[str, xr.Variable] = {}
    for name, var in arrays.items():
        own_rules = replace(rules, absent=var.absent, fill=_fill_value(fill, var, fullest))
        form = form_of(var, flags)
        extra = Extra(fullest, decoding=form.decoding)
        made = make_array(stack, var.array_id, found.marks, own_rules, extra)
        encoding = {k: v for k, v in form.encoding.items() if k != "preferred_chunks"}
        variables[name] = xr.Variable((dim, *var.dims), stack_to_dask(made, sizes.of(var)), form.attrs, encoding)
        if found.elsewhere:  # they place the pixels of one file only
            for attribute in ("fits_header", TABLES):
                variables[name].attrs.pop(attribute, None)
    variables |= _decode_times(variables, first, flags, stack.first.location.url)
    # A column with the name of the dimension of rows labels them in one file; in a stack it has two dimensions.
    ds = xr.Dataset(variables, coords=first.drop_vars(variables, errors="ignore").coords, attrs=first.attrs)
    ds = with_skies(ds, dim, found.skies) if found.skies else ds
    ds = with_raster_index(ds) if which.options.get("raster_index") else ds
    return ds.assign_coords({dim: (dim, _label_files(stack.locations, labels))})


def _decode_times(
    variables: Mapping[str, xr.Variable], first: xr.Dataset, flags: Decoders, url: str
) -> dict[str, xr.Variable]:
    """Decode numbers that are times in one file; there objects are dates of cftime."""
    of_time = {name for name, v in first.variables.items() if v.dtype.kind in "mMO"}
    times = {name: v for name, v in variables.items() if name in of_time and v.dtype.kind in "iuf"}
    return with_times(times, {}, flags, url)[0] if times else {}


def _check_dim(dim: Any, first: xr.Dataset) -> None:
    """Raise TypeError or ValueError for a name that the new dimension cannot have."""
    taken = {*map(str, first.variables), *map(str, first.dims)}
    if text("dim", dim) in taken:
        msg = f"dim={dim!r} is a name that the files use themselves: they have {', '.join(sorted(taken))}"
        raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is stacked of each file."""

    group: str
    """Of the first file."""
    word: Any
    """By which the user named it; None where parts were counted."""
    dropped: Container[str]
    flags: Decoders

    def arrays(self, file: OpenFile) -> list[ArrayVar]:
        """Return the arrays that are to be stacked, with ids that serve for all files."""
        found = chosen_arrays([v for v in file.node(self.group).arrays if v.name not in self.dropped], self.flags)
        return (
            found
            if self.word is None
            else [replace(v, array_id=id_for_all(file, v.array_id, self.word)) for v in found]
        )


def _find_fullest(stack: Stack, found: Found, group: str, dropped: Container[str]) -> OpenFile:
    """Return a file that has all arrays of the stack: the first, or one with a mask or an alpha band if that has none."""
    arrays, own = stack.first.file.node(group).arrays, stack.first.file.optional(group)
    decoded = {v.name for v in arrays if v.raw is not None}
    lacking = [name for name in found.optional if name not in own and name not in decoded and name not in dropped]
    # Those that are variables of their own go first: a mask decodes the pixels, too.
    there = {v.name for v in arrays}
    number = min(((name in there, found.optional[name]) for name in lacking), default=(False, None))[1]
    if number is None:
        return stack.first.file
    return open_file(stack.format, stack.locations[number], found.marks[number])


def _fill_value(fill: Any, var: ArrayVar, file: OpenFile) -> Any:
    """Return the value that the user gives for a variable; None where the file knows better, or nothing was given."""
    if isinstance(fill, Mapping):
        return fill.get(var.name)
    if var.absent is not None or var.source.dtype.kind not in "biufc":
        return None
    if var.raw is not None:  # a mask says that there is no data, whatever is stored
        declared = file.layout(var.array_id).fill
        return declared if isinstance(declared, float) and np.isnan(declared) else fill
    return fill


class _Chunks:
    """The user's chunks, for variables of several ranks."""

    def __init__(self, chunks: Any, dim: str, arrays: Sequence[ArrayVar]) -> None:
        first, known = (dim, *arrays[0].dims), {dim, *(d for v in arrays for d in v.dims)}
        if isinstance(chunks, Mapping):
            unknown = [d for d in chunks if d not in known]
            if unknown:
                msg = f"chunks names dimensions that are not there: {unknown}; there are {sorted(known)}"
                raise ValueError(msg)
        elif isinstance(chunks, tuple | list):
            if len(chunks) != len(first):
                msg = f"chunks has {len(chunks)} sizes for the dimensions {first}"
                raise ValueError(msg)
            chunks = dict(zip(first, chunks, strict=True))
        self._chunks, self._dim = chunks, dim

    def of(self, var: ArrayVar) -> Any:
        """Return what dask takes for the dimensions of a variable; those not named are as xarray chunks one file."""
        if isinstance(self._chunks, Mapping) and self._chunks:
            inner = preferred_chunks(var.source.grid, var.source.dtype.itemsize)
            sizes = {self._dim: 1, **dict(zip(var.dims, inner, strict=True)), **self._chunks}
            return tuple(sizes[d] for d in (self._dim, *var.dims))
        return self._chunks


class _Keyword:
    """Reads the value of a keyword: of the header of a group, of its arrays, or of the file as a whole."""

    def __init__(self, name: str, group: str) -> None:
        self._name, self._group = name, group

    def __call__(self, file: OpenFile) -> Any:
        node = file.node(self._group)
        for attrs in (node.attrs, *(v.attrs for v in node.arrays), file.root()):
            if self._name in attrs:
                return attrs[self._name]
        msg = f"its header has no {self._name}"
        raise FormatError(msg)


def _in_order(stack: Stack, found: Found) -> tuple[Stack, Found, Array]:
    """Sort files by their labels; dates become datetimes. Files that cannot be read come last."""
    good = [n for n in range(len(found.marks)) if found.marks[n] != BAD]
    bad = [n for n in range(len(found.marks)) if found.marks[n] == BAD]
    values = _parse_datetimes([found.labels[n] for n in good])
    sorting = np.argsort(values, kind="stable")
    order = [*(good[i] for i in sorting.tolist()), *bad]
    missing: Any = {"U": "", "M": np.datetime64("NaT", "us")}.get(values.dtype.kind, np.nan)
    labels = np.concatenate([values[sorting], np.full(len(bad), missing)]) if bad else values[sorting]
    places = {number: place for place, number in enumerate(order)}
    ordered = replace(
        stack, index=None, locations=tuple(stack.locations[n] for n in order), number=places[stack.number]
    )
    skies = {places[n]: sky for n, sky in found.skies.items()}
    return ordered, replace(found, marks=[found.marks[n] for n in order], skies=skies), labels


def _parse_datetimes(values: list[Any]) -> Array:
    """Return dates as datetimes, in nanoseconds if these reach as far; texts that are no dates stay, and sort as texts.

    NumPy would take any number in a text for a year (``"20240101"``), and words such as ``"today"``; what is beyond its nanoseconds would
    become another date without a word.
    """
    found: Array = np.asarray(values)
    words: list[Any] = found.tolist()
    if found.dtype.kind != "U" or not words or not all(_DATE.fullmatch(text) for text in words):
        return found
    texts = np.array([text.removesuffix("Z") for text in words], str)
    try:
        times = texts.astype("M8[us]")
    except ValueError:  # the 30th of February
        return found
    known = times[~np.isnat(times)]
    reached = not known.size or (known.min() >= _FIRST and known.max() < _LAST)
    return texts.astype("M8[ns]") if reached else times


def _label_files(locations: Sequence[Location], coordinate: Labels) -> Any:
    if coordinate is None:
        return np.array([loc.name for loc in locations])
    if callable(coordinate):
        return np.asarray([coordinate(loc.target) for loc in locations])
    known = hasattr(coordinate, "__array__") or not hasattr(coordinate, "__iter__")
    found = np.asarray(coordinate if known else list(coordinate))
    if found.shape != (len(locations),):
        shape = f"{found.size} values" if found.ndim == 1 else f"values of shape {found.shape}"
        msg = f"coordinate has {shape}, and there are {len(locations)} files"
        raise ValueError(msg)
    return found
