"""Chunks that lie in several pieces, of which a read needs some, known only when others have been seen."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt

from scichunk import counters
from scichunk.buffers import borrow_buffer
from scichunk.core.arrays import IndexedArray, Job, window_of
from scichunk.core.cache import read_gate, tiles
from scichunk.core.grid import ChunkGrid
from scichunk.core.manifest import ChunkManifest, Pieces, RunCodec
from scichunk.core.placing import assign_selection, take_selection
from scichunk.core.selection import Axis, Piece, outer_pieces
from scichunk.core.steps import Ranges, Steps, run_steps, run_steps_async
from scichunk.errors import FormatError, ScichunkError
from scichunk.sources.base import ByteSource

__all__ = ["ChunkSteps", "Collector", "StagedArray", "join_pieces"]

Array = npt.NDArray[np.generic]
Window = tuple[slice, ...]
ChunkSteps = Steps[Pieces | None]
"""Steps to the pieces that the codec decodes as one, which may be views of what came last, or None for a chunk that is absent."""
_MOST_ROUNDS: Final = 256
_RUN_SAMPLES: Final = 1 << 18
"""Chunks are decoded together up to about so many samples: beyond, what each call takes is little beside its work."""


class Collector(Protocol):
    """Knows which bytes a window of a chunk needs."""

    def prepare(self) -> None:
        """Read what must be known of all chunks before the first can be collected."""
        ...

    def size(self, number: int) -> int:
        """Encoded bytes of a chunk, about."""
        ...

    def collect(self, number: int, window: Window) -> ChunkSteps:
        """Collect the bytes for a window of a chunk."""
        ...


class StagedArray(IndexedArray):
    """An array whose chunks are collected in rounds: all chunks of a read ask together.

    Parameters
    ----------
    index
        Grid and codec; its tables of places are not used.
    source
        The file.
    name
        What tells the array from others of this file, for the cache of decoded chunks.
    collector
        Finds the bytes.
    grid
        What adapters plan with, where chunks are too large for that.
    """

    def __init__(
        self,
        index: ChunkManifest,
        source: ByteSource,
        name: tuple[Hashable, ...],
        collector: Collector,
        grid: ChunkGrid,
    ) -> None:
        super().__init__(index, source, name)
        self.collector, self.grid = collector, grid
        self._in_runs = hasattr(index.codec, "decode_run")  # a RunCodec has it

    async def read_async(self, axes: Sequence[Axis]) -> Array:
        """Read without blocking the event loop."""
        out = np.empty(tuple(len(a) for a in axes), self.dtype)
        async with read_gate():
            await asyncio.to_thread(self.collector.prepare)
            for batch in self._group_jobs(self._plan_jobs(outer_pieces(self.index.grid, axes), out)):
                # In threads, since walking over packets takes its time, too.
                data = await run_steps_async(self._advance_together(batch), self._source, in_thread=True)
                await asyncio.to_thread(self._decode_all, batch, data, out, ())
        return out

    def _plan_jobs(self, pieces: Sequence[Piece], out: Array, points: tuple[int, ...] = ()) -> list[Job]:
        """Copy what is cached, and say what is to be collected for the rest."""
        jobs, codec = [], self.index.codec
        for piece in pieces:
            number = self.index.grid.flat(piece.chunk)
            window, complete = window_of(piece)
            keep = not complete and not codec.partial
            if keep and (tile := tiles.get((*self._key, number))) is not None:
                assign_selection(out, piece.target, take_selection(cast("Array", tile), piece.source, points))
                continue
            if not codec.partial:
                self._check_size(number)
            jobs.append(Job(piece, number, 0, 0, 0, piece.shape, window, keep))
        return jobs

    def _fetch_jobs(self, jobs: list[Job], out: Array, points: tuple[int, ...] = ()) -> None:
        if jobs:
            self.collector.prepare()
        for batch in self._group_jobs(jobs):
            self._decode_all(batch, run_steps(self._advance_together(batch), self._source), out, points)

    def _group_jobs(self, jobs: list[Job]) -> Iterator[list[Job]]:
        batch: list[Job] = []
        size, limit = 0, self._source.batch_bytes
        for job in jobs:
            nbytes = self.collector.size(job.number)
            if batch and size + nbytes > limit:
                yield batch
                batch, size = [], 0
            batch.append(job)
            size += nbytes
        if batch:
            yield batch

    def _advance_together(self, jobs: list[Job]) -> Steps[list[Pieces | None]]:
        """Run the steps of several chunks side by side: one batch of ranges a round."""
        data: list[Pieces | None] = [None] * len(jobs)
        running: list[tuple[int, ChunkSteps, int]] = []
        wanted: Ranges = []
        todo: list[tuple[int, ChunkSteps, list[memoryview] | None]] = [
            (i, self.collector.collect(job.number, self._job_window(job)), None) for i, job in enumerate(jobs)
        ]
        for _ in range(_MOST_ROUNDS):
            running, wanted = [], []
            for i, steps, views in todo:
                try:
                    ranges = next(steps) if views is None else steps.send(views)
                except StopIteration as stop:
                    data[i] = stop.value
                except ScichunkError as error:
                    self._locate_error(error, jobs[i])
                    raise
                else:
                    self._check_inside(ranges, jobs[i])
                    running.append((i, steps, len(ranges)))
                    wanted += ranges
            if not running:
                return data
            data = [None if d is None else [bytes(p) for p in d] for d in data]  # reading on ends all views
            got = yield wanted
            todo, at = [], 0
            for i, steps, count in running:
                todo.append((i, steps, got[at : at + count]))
                at += count
        msg = f"a chunk is not complete after {_MOST_ROUNDS} rounds of reading"
        raise self._locate_error(FormatError(msg), jobs[running[0][0]])

    def _check_inside(self, ranges: Ranges, job: Job) -> None:
        size = self._source.fingerprint.size
        if any(not 0 <= a <= b <= size for a, b in ranges):
            msg = f"reaches beyond the end of the file of {size} bytes: it is truncated"
            raise self._locate_error(FormatError(msg), job)

    def _job_window(self, job: Job) -> Window:
        if not job.whole:
            return job.window
        return tuple(slice(0, n, 1) for n in job.shape)

    def _decode_all(self, jobs: list[Job], data: list[Pieces | None], out: Array, points: tuple[int, ...]) -> None:
        for run in _find_runs(jobs, data) if self._in_runs and not points else [[i] for i in range(len(jobs))]:
            if len(run) > 1 and self._decode_run([jobs[i] for i in run], [cast("Pieces", data[i]) for i in run], out):
                continue
            for i in run:
                job, found = jobs[i], data[i]
                data[i] = None  # given back as soon as it is decoded
                if found is None:
                    assign_selection(out, job.piece.target, self.index.fill)
                else:
                    self._decode_jobs([job], [join_pieces(found)], out, points)

    def _decode_run(self, jobs: list[Job], data: list[Pieces], out: Array) -> bool:
        """Decode chunks that lie side by side by one call; whether that went well."""
        *others, first = jobs[0].piece.target
        target = (*others, slice(cast("slice", first).start, cast("slice", jobs[-1].piece.target[-1]).stop))
        with counters.timed("decode_seconds"):
            done = cast("RunCodec", self.index.codec).decode_run([j.number for j in jobs], data, out[target])
        counters.add("chunks", len(jobs) if done else 0)
        return done

    def _locate_error(self, error: ScichunkError, job: Job) -> Any:
        return error.at(url=self._source.url, part=self._part_name(job.number))


def _find_runs(jobs: list[Job], data: list[Pieces | None]) -> list[list[int]]:
    """Split jobs into runs of whole chunks that lie side by side along the last axis; others are by themselves."""
    runs: list[list[int]] = []
    samples = 0
    for i, job in enumerate(jobs):
        before, here = jobs[i - 1].piece.chunk, job.piece.chunk
        beside = bool(runs) and here[:-1] == before[:-1] and here[-1] == before[-1] + 1
        size = math.prod(job.shape) if data[i] is not None and job.piece.complete else _RUN_SAMPLES
        samples = samples + size if beside else size
        if beside and samples < _RUN_SAMPLES:
            runs[-1].append(i)
        else:
            runs.append([i])
            samples = size
    return runs


def join_pieces(pieces: Pieces) -> memoryview:
    """All pieces in one buffer of this thread: fresh memory would cost more than the copy."""
    buffer, at = memoryview(borrow_buffer("pieces", sum(len(p) for p in pieces))), 0
    for piece in pieces:
        buffer[at : at + len(piece)] = piece
        at += len(piece)
    return buffer
