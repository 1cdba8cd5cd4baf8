"""Many files as one array: headers in parallel, one graph layer, native chunks that map to files."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.buffers import result
from scichunk.core.files import Place
from scichunk.core.grid import ChunkGrid
from scichunk.core.handles import open_file
from scichunk.core.planning import auto_chunks, resolve_chunks
from scichunk.core.selection import Axis, Span, parse_key
from scichunk.errors import FormatError
from scichunk.sources import Fingerprint, Location, locate

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["Headers", "StackArray", "from_fits_files", "from_geotiffs", "stack_of", "stack_to_dask"]

Array = npt.NDArray[Any]
Headers = Literal["all", "first"]


@dataclass(frozen=True, slots=True)
class Files:
    """Names and versions of the files of a stack, packed for the graph."""

    names: bytes
    """Compressed; one name a line."""
    sizes: npt.NDArray[np.int64]
    tags: bytes
    options: Mapping[str, Any] | None
    key: str
    """Of the first file: stands for the storage options in the token."""

    @classmethod
    def pack(cls, locations: Sequence[Location], marks: Sequence[Fingerprint | None]) -> Files:
        """Pack; files whose headers were not read have size -1."""
        sizes = np.array([-1 if m is None else m.size for m in marks], np.int64)
        tags = "\n".join("" if m is None else m.tag for m in marks)
        names = "\n".join(loc.target for loc in locations)
        return cls(
            zlib.compress(names.encode(), 6),
            sizes,
            zlib.compress(tags.encode(), 6),
            locations[0].options,
            locations[0].key,
        )

    def unpack(self) -> list[tuple[Location, Fingerprint | None]]:
        """Return location and version of each file."""
        names, tags = (zlib.decompress(p).decode().split("\n") for p in (self.names, self.tags))
        return [
            (Location(n, self.options), None if s < 0 else Fingerprint(int(s), t))
            for n, s, t in zip(names, self.sizes.tolist(), tags, strict=True)
        ]


class StackArray:
    """Equal arrays of many files along a new first axis; each file is opened in the process that reads it.

    Parameters
    ----------
    format_name, files, place
        Which arrays.
    shape, dtype
        Of one file's array.
    limits
        The options that hold while it reads; None for those in force now.
    """

    def __init__(
        self,
        format_name: str,
        files: Files,
        place: Place,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        limits: options.Snapshot | None = None,
    ) -> None:
        self.format_name, self.files, self.place = format_name, files, place
        self.limits = options.snapshot() if limits is None else limits
        self.shape = (len(files.sizes), *shape)
        self.dtype, self.ndim = dtype, len(self.shape)
        self._unpacked: list[tuple[Location, Fingerprint | None]] | None = None

    def __getitem__(self, key: Any) -> Array:
        region = parse_key(key, self.shape)
        if self._unpacked is None:
            self._unpacked = self.files.unpack()
        chosen = region.axes[0]
        numbers = chosen.positions() if isinstance(chosen, Span) else chosen
        out = result(region.shape, self.dtype)
        with options.frozen(self.limits):
            for i, number in enumerate(numbers):
                self._read(*self._unpacked[int(number)], region.axes[1:], out[i])
        return out if region.plain else out[region.finish]

    def _read(self, location: Location, mark: Fingerprint | None, axes: Sequence[Axis], out: Array) -> None:
        """Read a region of one file."""
        source = open_file(self.format_name, location, mark).array(self.place)
        if source.shape != self.shape[1:] or source.dtype != self.dtype:
            msg = f"its array is {source.shape} {source.dtype}, that of the first file {self.shape[1:]} {self.dtype}"
            raise FormatError(msg, url=location.url)
        source.read(axes, out)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (
            "scichunk-stack",
            self.format_name,
            self.files.names,
            self.files.sizes.tobytes(),
            self.files.tags,
            self.files.key,
            self.place,
            self.limits,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return StackArray, (self.format_name, self.files, self.place, self.shape[1:], self.dtype, self.limits)


def from_geotiffs(
    urls: Sequence[Any],
    *,
    page: int = 0,
    overview: int | None = None,
    chunks: Any = "auto",
    headers: Headers = "all",
    storage_options: Mapping[str, Any] | None = None,
) -> da.Array:
    """Stack the pixels of many GeoTIFF files of one shape lazily.

    Parameters
    ----------
    urls
        Paths or fsspec URLs, in the order of the result.
    page, overview
        As in :func:`scichunk.from_geotiff`.
    chunks
        ``"auto"`` (one file a chunk, or several where they are small), ``"native"`` or ``{}`` (one file a chunk), or
        what dask takes for (file, band, y, x).
    headers
        ``"all"`` reads every header now, in parallel, and compares them; ``"first"`` trusts that all files are like the first.
    storage_options
        For fsspec.

    Returns
    -------
    dask.array.Array
        Shape (file, band, y, x).

    Raises
    ------
    FormatError
        If a file is corrupt, or not aligned with the first: the message names it and the difference.
    SourceError
        If a file is missing or cannot be read.
    """
    place = ("page", page, -1 if overview is None else overview, "auto")
    return stack_to_dask(stack_of("geotiff", urls, place, headers, storage_options), chunks)


def from_fits_files(
    urls: Sequence[Any],
    *,
    hdu: int | str | tuple[str, int] | None = None,
    chunks: Any = "auto",
    raw: bool = False,
    headers: Headers = "all",
    storage_options: Mapping[str, Any] | None = None,
) -> da.Array:
    """Stack the images of many FITS files of one shape lazily.

    Parameters
    ----------
    urls
        Paths or fsspec URLs, in the order of the result.
    hdu, raw
        As in :func:`scichunk.from_fits`.
    chunks
        ``"auto"`` (one file a chunk, or several where they are small), ``"native"`` or ``{}`` (one file a chunk), or
        what dask takes for ``(file, *axes)``.
    headers
        ``"all"`` reads every header now, in parallel, and compares them; ``"first"`` trusts that all files are like the first.
    storage_options
        For fsspec.

    Returns
    -------
    dask.array.Array
        Shape ``(file, *axes)``, the axes of the image in NumPy's order.

    Raises
    ------
    FormatError
        If a file is corrupt, or its image not like the first: the message names it and the difference.
    SourceError
        If a file is missing or cannot be read.
    """
    which = tuple(hdu) if isinstance(hdu, list) else hdu
    return stack_to_dask(stack_of("fits", urls, ("hdu", which, "auto", bool(raw)), headers, storage_options), chunks)


def stack_of(
    format_name: str, urls: Sequence[Any], place: Place, headers: Headers, storage_options: Mapping[str, Any] | None
) -> StackArray:
    """Open the first file, and compare the others' headers with its own."""
    if headers not in {"all", "first"}:
        msg = f'headers must be "all" or "first", got {headers!r}'
        raise ValueError(msg)
    if not len(urls):
        msg = "no files to stack"
        raise ValueError(msg)
    locations = [locate(u, storage_options) for u in urls]
    if not all(isinstance(loc.target, str) for loc in locations):
        msg = "files of a stack must be named by paths or URLs"
        raise TypeError(msg)
    first = open_file(format_name, locations[0])
    source = first.array(place)
    marks: list[Fingerprint | None] = [first.fingerprint] + [None] * (len(locations) - 1)
    if headers == "all":
        marks = _check_all(format_name, locations, place, first)
    return StackArray(format_name, Files.pack(locations, marks), place, source.shape, source.dtype)


def _check_all(format_name: str, locations: Sequence[Location], place: Place, first: Any) -> list[Fingerprint | None]:
    from scichunk.core import registry

    spec = registry.get(format_name)
    wanted = first.layout(place)

    def look(number: int) -> tuple[Fingerprint, str]:
        location = locations[number]
        source = location.open()
        file: Any = spec.open_file(location, source=source)
        found = file.layout(place)
        mark = spec.version(location, source.fingerprint)
        return mark, "" if found == wanted else _difference(wanted, found)

    if locations[0].local_path is not None:  # parsing holds the GIL: threads would only get in each other's way
        results = [look(n) for n in range(len(locations))]
    else:
        with ThreadPoolExecutor(options.get().concurrency) as pool:
            results = list(pool.map(look, range(len(locations))))
    for location, (_, difference) in zip(locations, results, strict=True):
        if difference:
            msg = f"does not align with the first file, {locations[0].url}: {difference}"
            raise FormatError(msg, url=location.url)
    return [mark for mark, _ in results]


def _difference(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    name = next(n for n in [*wanted, *found] if wanted.get(n) != found.get(n))
    return f"{name} is {found.get(name)!r} instead of {wanted.get(name)!r}"


def stack_to_dask(stack: StackArray, chunks: Any) -> da.Array:
    """Wrap a stack: one task a chunk."""
    import dask.array as da
    import dask.config
    from dask.base import tokenize
    from dask.utils import parse_bytes

    location, mark = stack.files.unpack()[0]
    file = open_file(stack.format_name, location, mark)
    inner = file.array(stack.place).grid
    target = parse_bytes(dask.config.get("array.chunk-size"))
    if isinstance(chunks, str) and chunks == "auto":
        sizes = auto_chunks(inner, stack.dtype.itemsize, target)
        each = int(np.prod(sizes, dtype=np.int64)) * stack.dtype.itemsize
        several = max(1, min(stack.shape[0], target // 4 // max(1, each))) if sizes == inner.shape else 1
        chunks = (several, *sizes)
    grid = ChunkGrid(stack.shape, (1, *inner.edges))
    found = resolve_chunks(chunks, grid, stack.dtype.itemsize, target)
    name = f"{stack.format_name}-stack-{tokenize(stack, found)}"
    return da.from_array(
        stack,
        chunks=cast("Any", found),
        name=name,
        lock=False,
        asarray=False,
        fancy=True,
        inline_array=False,
        meta=np.empty((0,) * stack.ndim, stack.dtype),
    )
