"""The pipeline: region -> chunks -> byte ranges -> fetch -> decode -> place. One implementation for all formats."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

import numpy as np
import numpy.typing as npt

from scichunk import counters, options
from scichunk.buffers import allocate_result
from scichunk.core.batches import Batch, plan_batch, split_batch
from scichunk.core.cache import key_of, read_gate, tiles
from scichunk.core.grid import ChunkGrid
from scichunk.core.limits import check_decoded
from scichunk.core.manifest import BatchCodec, ChunkManifest, EncodedChunk, tell_outside
from scichunk.core.placing import assign_selection, bounding_slice, shift_selection, take_selection
from scichunk.core.selection import Axis, Piece, Positions, Span, piece_groups, point_pieces
from scichunk.errors import FormatError, located
from scichunk.sources.base import ByteSource

__all__ = ["ArraySource", "IndexedArray", "Job", "ReferenceArray", "WindowArray", "window_of"]

Array = npt.NDArray[np.generic]
ReadWindow = Callable[[tuple[slice, ...]], Array]
_NEAR_BYTES: Final = 1 << 16  # bytes between chunks that are read along rather than around


class ArraySource(Protocol):
    """The one thing that adapters see of an array in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The type of the values, in native byte order."""
        ...

    @property
    def grid(self) -> ChunkGrid:
        """Native chunks."""
        ...

    @property
    def reader(self) -> str:
        """``"indexed"``, or ``"reference: "`` and why."""
        ...

    def read(self, axes: Sequence[Axis], out: Array | None = None) -> Array:
        """Read an orthogonal region, one selection for each axis."""
        ...

    def read_points(self, points: dict[int, Positions], spans: dict[int, Axis]) -> Array:
        """Read pointwise on some axes; shape ``(n, *lengths of spans in axis order)``."""
        ...

    async def read_async(self, axes: Sequence[Axis]) -> Array:
        """Asynchronous twin of :meth:`read`."""
        ...


@dataclass(slots=True)  # not frozen: a frozen one costs three times as much to make, and each chunk of a read has one
class Job:
    """A piece, and the bytes that it needs."""

    piece: Piece
    number: int
    start: int
    stop: int
    skipped: int
    shape: tuple[int, ...]
    """Of the chunk, clipped to the array."""
    window: tuple[slice, ...]
    whole: bool
    """Decode all of the chunk and keep it: other reads will want the rest."""


def window_of(piece: Piece) -> tuple[tuple[slice, ...], bool]:
    """Return the smallest window of its chunk that holds a piece, and whether that is all of the chunk."""
    if piece.plain:
        return cast("tuple[slice, ...]", piece.source), piece.complete
    window = tuple(bounding_slice(s) for s in piece.source)
    return window, all(w == slice(0, n, 1) for w, n in zip(window, piece.shape, strict=True))


class IndexedArray:
    """An array read through its chunk index.

    Parameters
    ----------
    index
        Where the chunks lie and how they are decoded.
    source
        The file.
    name
        What tells the array from others of this file, for the cache of decoded chunks.
    """

    reader = "indexed"

    def __init__(self, index: ChunkManifest, source: ByteSource, name: tuple[Hashable, ...]) -> None:
        self.index, self._source, self._key = index, source, (key_of(source), *name)
        self.grid, self.dtype, self.shape = index.grid, index.dtype, index.grid.shape
        self._decoded = math.prod(index.grid.chunk_shape) * index.dtype.itemsize
        """Bytes of the largest chunk."""
        # looked up once by the name of its only method: to ask whether it is a BatchCodec takes 3 microseconds a read
        self._in_one = hasattr(index.codec, "decode_batch") and index.paged is None

    @property
    def cached_bytes(self) -> int:
        """Memory of the chunk index."""
        return self.index.cached_bytes

    def read(self, axes: Sequence[Axis], out: Array | None = None) -> Array:
        """Read an orthogonal region into ``out`` (or a new array) of its shape.

        Raises
        ------
        FormatError
            If a chunk is corrupt or lies outside the file.
        SourceError
            If bytes cannot be fetched.
        """
        if out is None:
            out = allocate_result(tuple(len(a) for a in axes), self.dtype)
        if self._in_batches(axes, out):
            batch = plan_batch(self.index.grid, cast("Sequence[Span]", axes))
            for part in split_batch(batch, self.index.places(batch.numbers)[1], self._source.batch_bytes):
                starts, stops, dense = self._batch_ranges(part)
                self._decode_batch(part, self._source.read_ranges(starts, stops), dense, out)
        else:
            for pieces in piece_groups(self.index.grid, axes):
                self._fetch_jobs(self._plan_jobs(pieces, out), out)
        return out

    def read_points(self, points: dict[int, Positions], spans: dict[int, Axis]) -> Array:
        """Read pointwise on some axes; only the chunks that hold a point are touched."""
        lengths = [len(spans[a]) for a in sorted(spans)]
        out = allocate_result((len(next(iter(points.values()))), *lengths), self.dtype)
        self._fetch_jobs(
            self._plan_jobs(point_pieces(self.index.grid, points, spans), out, tuple(sorted(points))),
            out,
            tuple(sorted(points)),
        )
        return out

    async def read_async(self, axes: Sequence[Axis]) -> Array:
        """Read without blocking the event loop: bytes by its own requests, decoding in a thread."""
        out = allocate_result(tuple(len(a) for a in axes), self.dtype)
        async with read_gate():
            if self._in_batches(axes, out):
                batch = plan_batch(self.index.grid, cast("Sequence[Span]", axes))
                starts, stops, dense = self._batch_ranges(batch)
                views = await self._source.read_ranges_async(starts, stops)
                await asyncio.to_thread(self._decode_batch, batch, views, dense, out)
                return out
            for pieces in piece_groups(self.index.grid, axes):
                if self.index.paged is None:
                    jobs = self._plan_jobs(pieces, out)
                else:  # in a thread, since what was loaded may have left the cache again
                    await self.index.load_async([self.index.grid.flat(p.chunk) for p in pieces])
                    jobs = await asyncio.to_thread(self._plan_jobs, pieces, out)
                if jobs:
                    parts = await self._source.read_ranges_async([j.start for j in jobs], [j.stop for j in jobs])
                    await asyncio.to_thread(self._decode_jobs, jobs, parts, out, ())
        return out

    def _in_batches(self, axes: Sequence[Axis], out: Array) -> bool:
        """Whether the codec takes the whole region at once."""
        if not self._in_one or not out.flags.c_contiguous:
            return False
        if not all(isinstance(a, Span) and a.step == 1 for a in axes):
            return False
        self._check_size(0)
        return out.size > 0

    def _batch_ranges(self, batch: Batch) -> tuple[list[int], list[int], bool]:
        """Choose the byte ranges of a batch: one where its chunks lie close together, else one for each."""
        starts, lengths = (t.astype(np.int64) for t in self.index.places(batch.numbers))
        stops = starts + lengths
        first, last, size = int(starts.min()), int(stops.max()), self._source.fingerprint.size
        if last > size:
            bad = int((stops > size).argmax())
            told = tell_outside(int(starts[bad]), int(stops[bad]), size)
            raise FormatError(told, url=self._source.url, part=self._part_name(int(batch.numbers[bad])))
        # One range through small gaps costs less than many small ones, and the codec gets all chunks in one piece of memory.
        if last - first <= 1.1 * int((stops - starts).sum()) + _NEAR_BYTES:
            return [first], [last], True
        return starts.tolist(), stops.tolist(), False

    def _decode_batch(self, batch: Batch, views: Sequence[memoryview], dense: bool, out: Array) -> None:
        starts, lengths = (t.astype(np.int64) for t in self.index.places(batch.numbers))
        if dense:
            data = np.frombuffer(views[0], np.uint8)
            offsets = starts - starts.min()
        else:
            data = np.concatenate([np.frombuffer(v, np.uint8) for v in views])
            offsets = np.cumsum(lengths) - lengths
        counters.add("chunks", len(batch))
        with counters.timed("decode_seconds"), located(self._source.url, self.index.part):
            cast("BatchCodec", self.index.codec).decode_batch(batch, data, offsets, lengths, out)

    def _plan_jobs(self, pieces: Sequence[Piece], out: Array, points: tuple[int, ...] = ()) -> list[Job]:
        """Fill what is absent, copy what is cached, and say what is to be fetched for the rest."""
        index, jobs, codec = self.index, [], self.index.codec
        numbers = [index.grid.flat(piece.chunk) for piece in pieces]
        starts, lengths = index.lookups(numbers)
        subrange = getattr(codec, "subrange", None)  # a PartialCodec has it
        for piece, number in zip(pieces, numbers, strict=True):
            length = int(lengths[number])
            if not length:
                assign_selection(out, piece.target, index.fill_of(piece, points))
                continue
            shape = piece.shape
            window, complete = window_of(piece)
            # A codec that decodes chunks only as a whole: the rest of this one is kept for the windows beside this window.
            keep = not complete and not codec.partial
            if keep and (tile := tiles.get((*self._key, number))) is not None:
                counters.add("hits", 1)
                assign_selection(out, piece.target, take_selection(cast("Array", tile), piece.source, points))
                continue
            if keep or not codec.partial:
                self._check_size(number)
            start = int(starts[number])
            part = None if keep or subrange is None else subrange(shape, window)
            first, last = (0, length) if part is None else part
            if last > length:
                msg = f"{length} bytes are too few for its shape {shape}"
                raise FormatError(msg, url=self._source.url, part=self._part_name(number))
            jobs.append(Job(piece, number, start + first, start + last, first, shape, window, keep))
        return jobs

    def _check_size(self, number: int) -> None:
        """Refuse a chunk whose header promises more than the limit, before anything is allocated for it."""
        size = self._decoded
        if size > options.get().max_chunk_bytes:
            check_decoded(
                f"a decoded {self.index.label}", size, url=self._source.url, part=lambda: self._part_name(number)
            )

    def _fetch_jobs(self, jobs: list[Job], out: Array, points: tuple[int, ...] = ()) -> None:
        for batch in _group_jobs(jobs, self._source.batch_bytes):
            size = self._source.fingerprint.size
            # Before any request: a hostile index must not make us ask for what cannot be.
            bad = next((j for j in batch if j.stop > size), None)
            if bad is not None:
                told = tell_outside(bad.start, bad.stop, size)
                raise FormatError(told, url=self._source.url, part=self._part_name(bad.number))
            parts = self._source.read_ranges([j.start for j in batch], [j.stop for j in batch])
            self._decode_jobs(batch, parts, out, points)

    def _decode_jobs(
        self, jobs: Sequence[Job], parts: Sequence[memoryview], out: Array, points: tuple[int, ...]
    ) -> None:
        number = 0
        counters.add("chunks", len(jobs))
        with counters.timed("decode_seconds"), located(self._source.url, lambda: self._part_name(number)):
            for job, data in zip(jobs, parts, strict=True):
                number = job.number
                self._put_window(job, data, out, points)

    def _put_window(self, job: Job, data: memoryview, out: Array, points: tuple[int, ...]) -> None:
        """Decode what a piece needs of a chunk, and put it into the output."""
        codec, piece = self.index.codec, job.piece
        chunk = EncodedChunk(data, job.shape, job.number, job.skipped)
        if job.whole:
            # Another piece of the same read, or another thread, may have decoded it since the plan was made.
            tile = tiles.get((*self._key, job.number))
            if tile is None:
                fresh = np.empty(job.shape, self.dtype)
                codec.decode(chunk, fresh, tuple(slice(0, n, 1) for n in job.shape))
                tile = tiles.put((*self._key, job.number), fresh)
            assign_selection(out, piece.target, take_selection(cast("Array", tile), piece.source, points))
        elif piece.plain:
            codec.decode(chunk, out[piece.target], job.window)
        else:
            # Scattered positions: the smallest window that holds them is decoded, and they are picked from it.
            part = np.empty(tuple(len(range(w.start, w.stop, w.step)) for w in job.window), self.dtype)
            codec.decode(chunk, part, job.window)
            inside = tuple(shift_selection(s, w) for s, w in zip(piece.source, job.window, strict=True))
            assign_selection(out, piece.target, take_selection(part, inside, points))

    def _part_name(self, number: int) -> str:
        return ", ".join(p for p in (self.index.part, f"{self.index.label} {number}") if p)


class WindowArray:
    """An array read window by window: columns of tables, and what reference libraries read.

    Parameters
    ----------
    grid
        Native chunks, for planning only.
    dtype
        Of the values.
    reader
        Who reads it, see :class:`ArraySource`.
    read_window
        Called with ascending ``slice(start, stop)`` for each axis; safe in threads; raises errors of the tree. If it has a method
        ``close``, that lets go of what it holds open.
    """

    def __init__(
        self,
        grid: ChunkGrid,
        dtype: np.dtype[np.generic],
        reader: str,
        read_window: ReadWindow,
    ) -> None:
        self.grid, self.dtype, self.shape, self.reader = grid, dtype, grid.shape, reader
        self._read_window = read_window

    def read(self, axes: Sequence[Axis], out: Array | None = None) -> Array:
        """Read an orthogonal region; wide steps and scattered positions are read chunk by chunk."""
        fresh = out is None
        if out is None:
            out = allocate_result(tuple(len(a) for a in axes), self.dtype)
        if not out.size:
            return out
        if all(isinstance(a, Span) and a.step == 1 for a in axes):
            found = self._read_checked(tuple(slice(a.start, a.stop) for a in cast("Sequence[Span]", axes)))
            # What is read-only lies in a buffer of somebody else: who asked for values may write into them.
            if fresh and found.flags.writeable and found.shape == out.shape and found.dtype == out.dtype:
                return found
            out[...] = found
            return out
        for pieces in piece_groups(self.grid, axes):
            self._gather_windows(pieces, out, ())
        return out

    def read_points(self, points: dict[int, Positions], spans: dict[int, Axis]) -> Array:
        """Read pointwise on some axes, chunk by chunk."""
        lengths = [len(spans[a]) for a in sorted(spans)]
        out = allocate_result((len(next(iter(points.values()))), *lengths), self.dtype)
        self._gather_windows(point_pieces(self.grid, points, spans), out, tuple(sorted(points)))
        return out

    def _read_checked(self, window: tuple[slice, ...]) -> Array:
        """Read a window; a library that gives less of a file that is cut must not have it stretched over the whole."""
        counters.add("chunks", 1)
        with counters.timed("decode_seconds"):
            found = self._read_window(window)
        shape = tuple(s.stop - s.start for s in window)
        if found.shape != shape:
            msg = f"{self.reader}: values of shape {found.shape}, where the header promises {shape}"
            raise FormatError(msg)
        if found.dtype != self.dtype and not np.can_cast(found.dtype, self.dtype, "same_kind"):
            msg = f"{self.reader}: values of type {found.dtype}, where {self.dtype} is promised"  # their fractions would be lost
            raise FormatError(msg)
        return found

    def close(self) -> None:
        """Let go of what is held open for reading; a later read takes it up again."""
        close = getattr(self._read_window, "close", None)
        if close is not None:
            close()

    async def read_async(self, axes: Sequence[Axis]) -> Array:
        """Read in a thread."""
        async with read_gate():
            return await asyncio.to_thread(self.read, axes)

    def _gather_windows(self, pieces: Sequence[Piece], out: Array, points: tuple[int, ...]) -> None:
        for piece in pieces:
            window = tuple(bounding_slice(s) for s in piece.source)
            firsts = [self.grid.bounds(axis, i)[0] for axis, i in enumerate(piece.chunk)]
            part = self._read_checked(
                tuple(slice(f + w.start, f + w.stop) for f, w in zip(firsts, window, strict=True))
            )
            whole = tuple(slice(w.start, w.stop, 1) for w in window)
            inside = tuple(shift_selection(s, w) for s, w in zip(piece.source, whole, strict=True))
            assign_selection(out, piece.target, take_selection(part, inside, points))


class ReferenceArray(WindowArray):
    """An array read through a reference library; ``why``: the reason why the own decoders do not serve."""

    def __init__(self, grid: ChunkGrid, dtype: np.dtype[np.generic], why: str, read_window: ReadWindow) -> None:
        super().__init__(grid, dtype, f"reference: {why}", read_window)
        counters.log.info("an array of shape %s is read by the reference library: %s", grid.shape, why)


def _group_jobs(jobs: list[Job], limit: int) -> Iterator[list[Job]]:
    batch: list[Job] = []
    size = 0
    for job in jobs:
        if batch and size + job.stop - job.start > limit:
            yield batch
            batch, size = [], 0
        batch.append(job)
        size += job.stop - job.start
    if batch:
        yield batch
