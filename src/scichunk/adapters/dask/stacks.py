"""``from_files``: equal arrays of many files as one, one task a chunk, the files of a chunk fetched together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt

from scichunk import counters, options
from scichunk.adapters.files import Files, work_together
from scichunk.adapters.headers import BAD, Errors, Headers, Rules, Stack, open_first, read_headers
from scichunk.adapters.indexes import StoredFiles
from scichunk.adapters.lazy import axis_positions, pick_bands
from scichunk.adapters.opening import dims_of
from scichunk.buffers import allocate_result
from scichunk.core.arrays import ArraySource
from scichunk.core.files import ArrayId, OpenFile, normalise_positions
from scichunk.core.grid import ChunkGrid
from scichunk.core.handles import open_file
from scichunk.core.planning import auto_chunks, resolve_chunks, sizes_by_name
from scichunk.core.selection import parse_key
from scichunk.errors import DataWarning, FormatError, ScichunkError, guarded, located
from scichunk.raster.cf import Decoding
from scichunk.sources import Fingerprint, Location
from scichunk.warned import warn_caller

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Extra", "OneFile", "StackArray", "from_files", "make_array", "stack_to_dask"]

Array = npt.NDArray[Any]
_FILES_A_CHUNK: Final = 64
"""Remote files that one task reads at most, while that leaves few tasks."""
_MANY_CHUNKS: Final = 1000
_MISSING: Final[Mapping[str, Any]] = {"f": np.nan, "c": np.nan, "O": np.nan, "U": "", "T": ""}
"""What stands for missing data in types that have such a value."""


@dataclass(frozen=True, slots=True)
class OneFile:
    """What the array of each file of a stack is, and what is made of it."""

    grid: ChunkGrid
    """Shape and native chunks, as they are stored."""
    dtype: np.dtype[Any]
    """Stored type."""
    bands: tuple[int, ...] | None = None
    """Positions along its first axis to keep, in order; None for all."""
    decoding: Decoding | None = None
    """Applied to what was read: that of the first file, with which the others have been compared."""


class StackArray:
    """Equal arrays of many files along a new first axis; each file is opened in the process that reads it.

    Parameters
    ----------
    format_name, files, array_id
        Which arrays.
    each
        What they are.
    rules
        What becomes of files that cannot be read.
    """

    def __init__(
        self, format_name: str, files: Files | StoredFiles, array_id: ArrayId, each: OneFile, rules: Rules
    ) -> None:
        self.format_name, self.files, self.array_id, self.each, self.rules = format_name, files, array_id, each, rules
        stored, edges = each.grid.shape, each.grid.edges
        inner = stored
        if each.bands is not None:
            first = edges[0]
            inner = (len(each.bands), *stored[1:])
            edges = (max(1, min(first, len(each.bands))) if isinstance(first, int) else 1, *edges[1:])
        self.shape, self.ndim = (len(files), *inner), 1 + len(inner)
        self.inner = ChunkGrid(inner, edges)
        self.grid = ChunkGrid(self.shape, (1, *edges))
        self.dtype = np.dtype(each.decoding.dtype) if each.decoding else each.dtype

    @property
    def is_remote(self) -> bool:
        """Whether the files lie elsewhere than on this machine."""
        return self.files.are_remote

    def first_source(self) -> ArraySource | None:
        """Return the array of the first file that has it, without bands picked and decoding; None where none can be read."""
        with options.frozen(self.rules.limits):
            for location, mark in self.files.unpack():
                if mark == BAD:
                    continue
                found: ArraySource | None = self._open_source(location, mark)
                if found is not None:
                    return found
        return None

    def __getitem__(self, key: Any) -> Array:
        region = parse_key(key, self.shape)
        unpacked, chosen = self.files.unpack(), region.axes[0]
        numbers, decoding = axis_positions(chosen).tolist(), self.each.decoding
        axes = list(region.axes[1:])
        if self.each.bands is not None:
            axes[0] = pick_bands(axes[0], self.each.bands)
        out = allocate_result(region.shape, self.dtype)

        def read(i: int) -> None:
            location, mark = unpacked[numbers[i]]
            raw = out[i] if decoding is None else allocate_result(region.shape[1:], self.each.dtype)
            with counters.reading(self.format_name, location.url):
                self._read_file(location, mark, axes, raw)
                counters.add("decoded", raw.nbytes)
                if decoding is not None:
                    with counters.timed("place_seconds"):
                        out[i] = decoding.apply(raw, axis_positions(axes[0]) if axes else None)

        with options.frozen(self.rules.limits):
            work_together(read, range(len(numbers)), remote=unpacked[0][0].local_path is None)
        return out if region.plain else out[region.finish]

    def _read_file(self, location: Location, mark: Fingerprint | None, axes: Sequence[Any], out: Array) -> None:
        """Read the array of one file into its place in the output, or fill that by the rules."""
        if mark == BAD:
            out[...] = self._fill_value(None)
            return
        try:
            source = self._open_source(location, mark)
            if source is None:
                out[...] = self.rules.absent
                return
            with guarded(location.url):
                source.read(axes, out)
        except ScichunkError as error:
            if self.rules.errors == "raise":
                raise
            out[...] = self._fill_value(error)
            if self.rules.errors == "warn":
                warn_caller(f"filled with {self.rules.fill}: {error}", DataWarning)

    def _open_source(self, location: Location, mark: Fingerprint | None) -> Any:
        file = open_file(self.format_name, location, mark)
        if self.rules.absent is not None and self.array_id not in file.optional(self.rules.group).values():
            return None
        source = file.array(self.array_id)
        if source.shape != self.each.grid.shape or source.dtype != self.each.dtype:
            mine = f"{self.each.grid.shape} {self.each.dtype}"
            msg = f"its array is {source.shape} {source.dtype}, that of the first file {mine}"
            raise FormatError(msg, url=location.url)
        return source

    def _fill_value(self, error: ScichunkError | None) -> Any:
        if self.rules.fill is None:
            raise _no_fill(self.each.dtype) from error
        return self.rules.fill

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        each = (self.each.bands, repr(self.each.decoding))
        return (
            "scichunk-stack",
            self.format_name,
            self.files.__dask_tokenize__(),
            self.array_id,
            repr(self.rules),
            each,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return StackArray, (self.format_name, self.files, self.array_id, self.each, self.rules)


def _no_fill(dtype: np.dtype[Any]) -> ValueError:
    return ValueError(
        f"a file cannot be read, and {dtype} has no value for missing data: give one by fill=, for example fill=0"
    )


def from_files(
    urls: Sequence[Any] | str,
    *,
    format: str | None = None,  # noqa: A002  # the word users know
    headers: Headers = "all",
    errors: Errors = "raise",
    fill: Any = None,
    chunks: Any = "auto",
    storage_options: Mapping[str, Any] | None = None,
    **selectors: Any,
) -> da.Array:
    """Stack equal arrays of many files of any format lazily.

    Parameters
    ----------
    urls
        Paths or fsspec URLs, in the order of the result; or a pattern with ``*``, whose matches are sorted; or the path of an index that
        :func:`scichunk.save_index` has written.
    format
        Name of the format, see :func:`scichunk.list_formats`; by default found from the first file.
    headers
        ``"all"`` reads every header now, in parallel, and compares what they mean: shape, type, grid (within 1e-6 pixel), coordinate
        system, nodata, scaling, spectral axes; ``"first"`` trusts that all files are like the first.
    errors
        What becomes of files that cannot be read or do not align: ``"raise"``; ``"warn"`` and ``"ignore"`` keep their position and
        fill it.
    fill
        Value in place of files that cannot be read; by default the declared nodata, else NaN.
    chunks
        ``"auto"`` (one file a chunk, or several where they are small), ``"native"`` or ``{}`` (one file a chunk), or what dask takes
        for ``(file, *axes)``.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.
    **selectors
        Which array of each file, as in :func:`scichunk.from_file`.

    Returns
    -------
    dask.array.Array
        Shape ``(file, *axes)``.

    Raises
    ------
    FormatError
        If a file is corrupt, or not aligned with the first: the message names it and the difference.
    SourceError
        If a file is missing or cannot be read.
    ValueError
        If a file cannot be read, is to be filled, and nothing is known to fill it with.

    Warns
    -----
    DataWarning
        For files that are filled; if images of the sky point to different places.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.from_files("dem_*.tif").max(axis=0).compute()  # doctest: +SKIP
    """
    rules = Rules(errors, fill, limits=options.take_snapshot())
    rules.check()
    stack = open_first(urls, format, rules, storage_options)
    array_id, bands = stack.first.file.find_array(**stack.first.selectors(selectors, "array", "from_files"))
    found = read_headers(stack, {"": array_id}, headers, rules)
    source = stack.first.file.array(array_id)
    if isinstance(chunks, Mapping) and chunks:
        dims = ("file", *dims_of(stack.first.file, array_id))
        grid = ChunkGrid((len(stack.locations), *source.shape), (1, *source.grid.edges))
        chunks = sizes_by_name({"file": 1, **chunks}, dims, grid, source.dtype.itemsize)
    picked = None if bands is None else normalise_positions(bands, source.shape[0])
    return stack_to_dask(make_array(stack, array_id, found.marks, rules, Extra(bands=picked)), chunks)


@dataclass(frozen=True, slots=True)
class Extra:
    """What most stacks need not say."""

    file: OpenFile | None = None
    """A file that has the array; by default the first."""
    bands: tuple[int, ...] | None = None
    decoding: Decoding | None = None


def make_array(
    stack: Stack,
    array_id: ArrayId,
    marks: Sequence[Fingerprint | None],
    rules: Rules,
    extra: Extra | None = None,
) -> StackArray:
    """Make the stacked array, with a value for files that cannot be read if one is known.

    Parameters
    ----------
    stack, array_id, marks, rules
        Which arrays of which files, and what becomes of bad ones.
    extra
        What else there is to say.
    """
    extra = extra or Extra()
    file = extra.file or stack.first.file
    source = file.array(array_id)
    dtype = np.dtype(source.dtype)
    fill = rules.fill
    if fill is not None:
        _check_fill(fill, dtype)
    elif rules.errors != "raise":
        fill = file.layout(array_id).fill
        if fill is None:
            fill = _MISSING.get(dtype.kind)
        if fill is None and BAD in marks:
            raise _no_fill(dtype)
    typed = Rules(rules.errors, _make_plain(fill), rules.absent, rules.group, rules.limits)
    each = OneFile(source.grid, dtype, extra.bands, extra.decoding)
    with located(url=stack.first.location.url):
        return StackArray(stack.format, stack.pack(marks), array_id, each, typed)


def _check_fill(fill: Any, dtype: np.dtype[Any]) -> None:
    """Raise ValueError for a value that an array of some type cannot hold."""
    try:
        with np.errstate(all="ignore"):
            typed = np.full((), fill, dtype)
        # NumPy wraps and cuts without a word; floats are rounded, which is meant.
        holds = dtype.kind not in "biuUS" or bool(typed == fill)
    except (TypeError, ValueError, OverflowError):
        holds = False
    if not holds:
        msg = f"fill={fill!r} is no value of the type {dtype} of these files"
        raise ValueError(msg)


def _make_plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def stack_to_dask(stack: StackArray, chunks: Any) -> da.Array:
    """Wrap a stack, one task a chunk."""
    import dask.array as da
    import dask.config
    from dask.base import tokenize
    from dask.utils import parse_bytes

    from scichunk.adapters.dask.compact import compact

    target = parse_bytes(dask.config.get("array.chunk-size"))
    if chunks is None or chunks is True or (isinstance(chunks, str) and chunks == "auto"):
        sizes = auto_chunks(stack.inner, stack.dtype.itemsize, target)
        whole = sizes == stack.inner.shape
        each = int(np.prod(sizes, dtype=np.int64)) * stack.dtype.itemsize
        chunks = (_files_a_chunk(stack, each, target) if whole else 1, *sizes)
    found = resolve_chunks(chunks, stack.grid, stack.dtype.itemsize, target)
    name = f"{stack.format_name}-stack-{tokenize(stack, found)}"
    made = da.from_array(
        stack,
        chunks=cast("Any", found),
        name=name,
        lock=False,
        asarray=False,
        fancy=True,
        # Packed names and versions of very many files are larger than a task: then they are one node of the graph, which all tasks share.
        inline_array=stack.files.is_small,
        meta=np.empty((0,) * stack.ndim, stack.dtype),
    )
    small: da.Array = compact(made)
    return small


def _files_a_chunk(stack: StackArray, nbytes: int, target: int) -> int:
    """How many small files one task reads: few enough of remote ones that tasks can share the waiting."""
    count = len(stack.files)
    # A quarter of the target: more files in one task would leave too few tasks to share out.
    several = max(1, min(count, target // 4 // max(1, nbytes)))
    if stack.files.are_remote:
        several = min(several, max(_FILES_A_CHUNK, -(-count // _MANY_CHUNKS)))
    return several
