"""``scichunk.plan`` and ``scichunk.suggest_chunks``: what a computation will read and cost, before it runs."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np

from scichunk import counters, options
from scichunk.adapters.dask.mapped import MappedArray
from scichunk.adapters.dask.native import Native, find_reader, readers_of
from scichunk.adapters.dask.stacks import StackArray
from scichunk.core.arrays import IndexedArray
from scichunk.core.grid import ChunkGrid
from scichunk.core.planning import auto_chunks
from scichunk.core.selection import Span, outer_pieces
from scichunk.core.staged import StagedArray
from scichunk.sources.ranges import plan_ranges

__all__ = ["Plan", "Reading", "plan", "suggest_chunks"]

_SAMPLES: Final = 32
"""Dask chunks that are looked at; what they need stands for all."""
_TRIAL_SECONDS: Final = 0.3
_TRIAL_BYTES: Final = 1 << 22
"""Smaller chunks are read once before the time is taken."""
_TASK_SECONDS: Final = 0.0003
"""Of the scheduler for each task, about: dask's own figures are 0.1 to 1 ms."""
_LEAST_BYTES: Final = 4 << 20
"""Of a chunk, where the file's own are smaller: a task costs as much as decoding some of them."""
_COPIES: Final = 2.5
"""How many times its values a task holds, about: those, what is made of them, and what is encoded."""


@dataclass(frozen=True)
class Reading:
    """What reading one array takes."""

    name: str
    shape: tuple[int, ...]
    native: tuple[int, ...]
    """Native chunks."""
    chunks: tuple[int, ...]
    """The largest chunk of dask along each axis."""
    tasks: int
    requests: int
    bytes: int
    """Encoded, fetched from the storage. Where no index says so before (JPEG 2000, tables, what libraries read), this and the requests
    are those of the trial reads, and 0 without them."""
    decoded: int
    """Bytes of all chunks that are decoded, those decoded more than once each time; absent ones as if they were there."""
    repeats: float
    """How many times a native chunk is decoded on average."""
    seconds: float
    """Of one thread."""


@dataclass(frozen=True)
class Plan:
    """What a computation takes, estimated. Print it."""

    tasks: int
    """Of dask, before it fuses any."""
    readings: tuple[Reading, ...]
    memory: int
    """Bytes of a worker, with all its threads reading; what later steps hold comes on top."""
    seconds: float
    """Of reading, with all threads of all workers; later steps come on top."""
    workers: int = 1
    threads: int = 1
    advice: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        lines = [
            f"{self.tasks:,} tasks; {self.workers} workers of {self.threads} threads, each {_size(self.memory)} for reading"
        ]
        lines += [
            f"{r.name}: {r.tasks:,} reads of {r.chunks} (native chunks {r.native}); {r.requests:,} requests, {_size(r.bytes)} fetched, "
            f"{_size(r.decoded)} decoded, each chunk {r.repeats:.2f} times; {r.seconds:.1f} s of a thread"
            for r in self.readings
        ]
        return "\n".join([*lines, f"about {self.seconds:.1f} s for reading", *self.advice])


def plan(obj: Any, *, workers: int = 1, threads: int = 4, measure: bool = True) -> Plan:
    """Estimate what a computation reads and costs, before it runs.

    Parameters
    ----------
    obj
        A dask array, ``DataArray`` or ``Dataset`` that reads arrays of scichunk, with any steps upon them.
    workers, threads
        Workers, and threads of each.
    measure
        Read some chunks now, for at most about a third of a second for each array, to know how long it takes; without it, seconds are 0.

    Returns
    -------
    Plan
        Its numbers are those of whole chunks of dask: where later steps take parts of them, less is read.

    Raises
    ------
    TypeError
        If nothing in it reads an array of scichunk.
    ValueError
        If there are no workers or threads.

    Examples
    --------
    >>> import scichunk
    >>> print(scichunk.plan(scichunk.from_file("scene.tif").mean(), workers=10))  # doctest: +SKIP
    """
    from dask.base import is_dask_collection

    _check_workers(workers, threads)
    if not is_dask_collection(obj):
        msg = f"plan takes what dask computes, got {type(obj).__name__}; open it with chunks="
        raise TypeError(msg)
    graph = cast("Any", obj).__dask_graph__()
    found = readers_of(obj)
    if not found:
        msg = "nothing in it reads an array of scichunk"
        raise TypeError(msg)
    readings = tuple(_look(name, reader, chunks, measure) for name, reader, chunks in found)
    biggest = max(
        math.prod(r.chunks) * reader.dtype.itemsize for r, (_, reader, _) in zip(readings, found, strict=True)
    )
    tasks = sum(len(layer) for layer in graph.layers.values())
    busy = max(1, min(workers * threads, max(r.tasks for r in readings)))
    seconds = max(sum(r.seconds for r in readings) / busy, tasks * _TASK_SECONDS) if measure else 0.0
    return Plan(
        tasks, readings, int(biggest * _COPIES * threads), seconds, workers, threads, tuple(_advise(readings, tasks))
    )


def _check_workers(workers: int, threads: int) -> None:
    """Raise ValueError for numbers of workers or threads with which nothing is computed."""
    if not (workers >= 1 and threads >= 1):
        msg = f"workers and threads must be at least 1, got {workers!r} and {threads!r}"
        raise ValueError(msg)


def _advise(readings: Sequence[Reading], tasks: int) -> Iterator[str]:
    for r in readings:
        if r.repeats > 1.1:
            yield f"{r.name}: its chunks are decoded {r.repeats:.1f} times; see scichunk.suggest_chunks"
    if tasks > 100_000:
        yield "very many tasks: scichunk.reduce and scichunk.map_chunks need few"


def _look(name: str, reader: Native, chunks: tuple[tuple[int, ...], ...], measure: bool) -> Reading:
    grid = reader.grid
    touched = [_touched(grid, axis, lengths) for axis, lengths in enumerate(chunks)]
    decodes, values = math.prod(count for count, _ in touched), math.prod(length for _, length in touched)
    blocks = math.prod(len(c) for c in chunks)
    trial = _measure(reader, chunks) if measure else _Trial()
    requests, nbytes = _sample_requests(reader, chunks) or (trial.requests, trial.bytes)
    if _is_partial(reader):  # decodes no more of a chunk than a window of it
        values = math.prod(reader.shape)
    return Reading(
        name, tuple(reader.shape), grid.chunk_shape, tuple(max(c, default=0) for c in chunks), blocks,
        math.ceil(round(requests * blocks, 3)), round(nbytes * blocks), values * reader.dtype.itemsize, decodes / max(1, grid.size),
        trial.seconds * blocks,
    )  # fmt: skip


def _touched(grid: ChunkGrid, axis: int, lengths: Sequence[int]) -> tuple[int, int]:
    """How many native chunks the chunks of an axis touch, all together, and how long these are."""
    stops = np.cumsum(np.asarray(lengths, np.int64))
    starts = stops - lengths
    full = stops > starts
    first, last = (
        grid.find_many(axis, starts[full].astype(np.intp)),
        grid.find_many(axis, stops[full].astype(np.intp) - 1),
    )
    edge = grid.edges[axis]
    if isinstance(edge, int):
        length = (np.minimum((last + 1) * edge, grid.shape[axis]) - first * edge).sum()
    else:
        length = (edge[last + 1] - edge[first]).sum()
    return int((last - first + 1).sum()), int(length)


def _some_blocks(chunks: tuple[tuple[int, ...], ...], most: int) -> list[tuple[slice, ...]]:
    """Regions of dask's chunks, evenly spread."""
    counts = tuple(len(c) for c in chunks)
    total = math.prod(counts)
    starts = [np.concatenate([[0], np.cumsum(np.asarray(c, np.int64))]) for c in chunks]
    numbers = (
        np.unique(np.linspace(0, total - 1, min(most, total)).astype(np.int64)) if total else np.zeros(0, np.int64)
    )
    return [
        tuple(slice(int(s[i]), int(s[i + 1])) for s, i in zip(starts, place, strict=True))
        for place in (np.unravel_index(int(n), counts) for n in numbers)
    ]


def _find_source(reader: Native) -> Any:
    """The array of the file that is read; of a stack, that of its first file."""
    inner: Any = reader
    while isinstance(inner, MappedArray):
        inner = inner.reader
    return inner.first_source() if isinstance(inner, StackArray) else inner.source


def _is_partial(reader: Native) -> bool:
    source = _find_source(reader)
    return isinstance(source, IndexedArray) and source.index.codec.partial


def _sample_requests(reader: Native, chunks: tuple[tuple[int, ...], ...]) -> tuple[float, float] | None:
    """Requests and bytes of a chunk of dask on average, where an index says; of a stack, what its first file says holds for all."""
    source = _find_source(reader)
    if not isinstance(source, IndexedArray) or isinstance(source, StagedArray):
        return None  # a library reads it, which does as it likes, or what is needed is known in steps
    stacked = len(reader.shape) > len(source.shape)
    index = source.index
    limits, requests, nbytes = options.get(), 0, 0
    gap, known = (limits.range_gap, limits.head_bytes) if reader.is_remote else (0, 0)
    blocks = _some_blocks(chunks, _SAMPLES)
    for block in blocks:
        files, region = (block[0].stop - block[0].start, block[1:]) if stacked else (1, block)
        spans = [Span(s.start, s.stop) for s in region]
        if not all(len(span) for span in spans):
            continue
        # The head of a remote file is in memory since it was opened.
        ranges = [r for r in index.needed(outer_pieces(index.grid, spans)) if r[1] > known]
        fetches = plan_ranges(
            [first for first, _ in ranges], [last for _, last in ranges],
            gap=gap, max_size=limits.range_max if reader.is_remote else 1 << 62,
        )  # fmt: skip
        requests += len(fetches) * files
        nbytes += sum(f.stop - f.start for f in fetches) * files
    return requests / max(1, len(blocks)), nbytes / max(1, len(blocks))


@dataclass(slots=True)
class _Trial:
    """What reading a chunk of dask takes on average, by some reads."""

    seconds: float = 0.0
    """Of a thread."""
    requests: float = 0.0
    bytes: float = 0.0


def _measure(reader: Native, chunks: tuple[tuple[int, ...], ...]) -> _Trial:
    """Read some chunks of dask now: whole ones, one native chunk of large ones, or a part of what is absent and has any size."""
    grid, found, values = reader.grid, _Trial(), 0
    mine = threading.get_ident()

    def note(_format: str, _dataset: str, sample: counters.Sample) -> None:
        if threading.get_ident() == mine:  # other threads may be reading for somebody else
            found.requests += sample.requests
            found.bytes += sample.fetched

    most = options.get().max_chunk_bytes // reader.dtype.itemsize
    blocks = [
        _cut_block(
            tuple(
                slice(s.start, min(s.stop, grid.bounds(a, grid.find(a, s.start))[1])) if s.stop > s.start else s
                for a, s in enumerate(block)
            ),
            most,
        )
        for block in _some_blocks(chunks, _SAMPLES)
    ]
    if blocks and math.prod(grid.chunk_shape) * reader.dtype.itemsize <= _TRIAL_BYTES:
        reader[blocks[0]]  # what is looked up once for all chunks is no part of one
    begun = time.perf_counter()
    counters.add_listener(note)
    try:
        for block in blocks:
            values += reader[block].size
            found.seconds = time.perf_counter() - begun
            if found.seconds > _TRIAL_SECONDS:
                break
    finally:
        counters.remove_listener(note)
    scale = math.prod(sum(c) / max(1, len(c)) for c in chunks) / values if values else 0.0
    return _Trial(found.seconds * scale, found.requests * scale, found.bytes * scale)


def _cut_block(block: tuple[slice, ...], most: int) -> tuple[slice, ...]:
    """Cut a block to some number of values at most, its first axes first."""
    found = list(block)
    for axis, s in enumerate(block):
        size = math.prod(c.stop - c.start for c in found)
        if size <= most:
            break
        found[axis] = slice(s.start, s.start + max(1, most * (s.stop - s.start) // size))
    return tuple(found)


def suggest_chunks(
    obj: Any, *, workers: int = 1, threads: int = 4, memory: int | str = "4 GiB", task_seconds: float = 1.0
) -> Any:
    """Suggest chunks for an array: whole native chunks, tasks of about a second, memory that suffices, and work for all.

    Parameters
    ----------
    obj
        A dask array or ``DataArray`` as scichunk has opened it, or the name of a file.
    workers, threads
        Workers, and threads of each.
    memory
        Of one worker.
    task_seconds
        How long a task should take; some chunks are read now to know.

    Returns
    -------
    dict or tuple
        Lengths by names of dimensions for a ``DataArray``, else for each axis: what ``chunks=`` takes.

    Raises
    ------
    TypeError
        If it is not an array as scichunk has opened it.
    ValueError
        If there are no workers, threads, memory or seconds.

    Examples
    --------
    >>> import scichunk
    >>> chunks = scichunk.suggest_chunks("scene.tif", workers=20, memory="8 GiB")  # doctest: +SKIP
    >>> scichunk.from_file("scene.tif", chunks=chunks)  # doctest: +SKIP
    """
    from dask.utils import parse_bytes

    _check_workers(workers, threads)
    try:
        room = parse_bytes(memory)
    except OverflowError:
        room = 0  # an infinite number is none of bytes
    if not (room > 0 and task_seconds > 0):
        msg = f"memory and task_seconds must be positive, got {memory!r} and {task_seconds!r}"
        raise ValueError(msg)
    if hasattr(obj, "variable") and hasattr(obj, "dims"):  # a DataArray
        data = obj.data if obj.chunks is not None else obj.chunk().data
        sizes = suggest_chunks(data, workers=workers, threads=threads, memory=memory, task_seconds=task_seconds)
        return dict(zip(obj.dims, sizes, strict=True))
    if not hasattr(obj, "dask"):
        from scichunk.adapters.dask.arrays import from_file

        obj = from_file(obj, chunks="native")
    reader = find_reader(obj)
    if reader is None:
        msg = (
            f"suggest_chunks takes an array as scichunk has opened it, or the name of a file, got {type(obj).__name__}"
        )
        raise TypeError(msg)
    grid, itemsize = reader.grid, reader.dtype.itemsize
    native = tuple(min(c, n) for c, n in zip(grid.chunk_shape, grid.shape, strict=True))
    chunks = tuple((c,) * max(1, n // max(1, c)) for c, n in zip(native, grid.shape, strict=True))
    rate = math.prod(native) * itemsize / max(1e-9, _measure(reader, chunks).seconds)
    total = math.prod(grid.shape) * itemsize
    target = min(
        task_seconds * rate,
        room / threads / _COPIES / 2,  # half of it for what later steps hold
        # three tasks for each thread, so that all end at about the same time; but no tiny ones
        max(_LEAST_BYTES, total / max(1, 3 * workers * threads)),
    )
    return auto_chunks(grid, itemsize, max(1, int(target)))


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
