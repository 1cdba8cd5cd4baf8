"""Checks of what a format asks of its source of bytes, and of what it makes of damaged bytes and failing sources."""

from __future__ import annotations

import itertools
import os
import random
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from scichunk import options
from scichunk.core.files import ArrayVar, OpenFile
from scichunk.core.grid import ChunkGrid
from scichunk.core.selection import Span
from scichunk.errors import ScichunkError, SourceError
from scichunk.testing.conformance_case import Case, require, require_foreseen, require_same
from scichunk.testing.fuzz import mutations
from scichunk.testing.sources import CountingSource, FlakySource

__all__ = ["check_damage", "check_failing_source", "check_header_reads", "check_window_reads"]

_COPIES = 48
_CUTS = 16
_HEAD = 4096
_READABLE = 1 << 24  # bytes of an array that is read although its header may be wrong
_FAILURES = 12
_CHUNKS = 6
_UNEVEN = 2  # times as large as all on average may be the chunks that are looked at
_SLACK = 1 << 14  # bytes: headers of chunks that are read ahead to find their parts, at times in vain


def check_damage(case: Case) -> None:
    """Damaged and cut copies give values or an error of scichunk, nothing else, within the limits of the options."""
    with open(case.file, "rb") as file:
        content = file.read()
    head = min(_HEAD, len(content))
    cuts = (content[: len(content) * i // _CUTS] for i in range(_CUTS))
    copies = itertools.chain(mutations(content, _COPIES // 2, 1), mutations(content, _COPIES // 2, 2, head=head), cuts)
    limits = options.set(max_chunk_bytes=1 << 26, max_header_bytes=1 << 24, max_expanded_bytes=1 << 26)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), limits:
        warnings.simplefilter("ignore")  # what is wrong with them is not of interest
        for number, copy in enumerate(copies):
            target = os.path.join(folder, str(number))
            os.mkdir(target)
            _read_or_refuse(case.copy(target, copy), f"{case.file}, damaged copy {number}")


def check_header_reads(case: Case) -> None:
    """What was read of the headers is kept: listing, describing and building the nodes again asks for no byte."""
    source = CountingSource(case.location.open())
    file = case.opened(source)
    _all_headers(file)
    before = source.reads
    _all_headers(file)
    require(
        source.reads == before,
        f"{case.file}: the headers are read {source.reads - before} more times when they are asked for again",
    )


def check_window_reads(case: Case) -> None:
    """A window asks for no more bytes than the chunks that it lies in, and single chunks for no more than the whole array."""
    source = CountingSource(case.location.open())
    file = case.opened(source)
    for label, array in case.arrays(file):
        if not array.source.reader.startswith("indexed") or not all(array.source.shape):
            continue
        _count_bytes(
            array, [Span(0, n) for n in array.source.shape], source
        )  # finds the chunks, where that takes reads
        whole = _count_bytes(array, [Span(0, n) for n in array.source.shape], source)
        sizes = []
        for chunk in _choose_chunks(array.source.grid):
            alone = _count_bytes(array, chunk, source)
            sizes.append(alone)
            require(alone <= whole + _SLACK, f"{label}: one chunk takes {alone} bytes, the whole array {whole}")
            window = [_middle_of(s) for s in chunk]
            part = _count_bytes(array, window, source)
            require(part <= alone + _SLACK, f"{label}: the window {window} takes {part} bytes, its chunk {alone}")
        share, count = sum(sizes) / len(sizes), array.source.grid.size
        require(
            share <= _UNEVEN * whole / count + _SLACK,
            f"{label}: single chunks take {share:.0f} bytes each, all {count} together {whole}",
        )


def check_failing_source(case: Case) -> None:
    """A source that fails, at whatever read, ends in a SourceError: not in other values, another error or a hang."""
    import scichunk

    counted = CountingSource(case.location.open())
    want = _read_everything(case, case.opened(counted))
    every = max(1, counted.reads // _FAILURES)
    for reads in [*range(3), *range(3, counted.reads, every)]:
        scichunk.clear_caches()
        source = case.location.open()
        flaky = FlakySource(source, fail_after=reads, error=SourceError("made to fail", url=source.url))
        try:
            got = _read_everything(case, case.opened(flaky))
        except SourceError:
            continue
        except Exception as error:
            msg = f"{case.file}: a source that fails after {reads} reads must be a SourceError, not {type(error).__name__}: {error}"
            raise AssertionError(msg) from error
        for label, values in want.items():
            require_same(got[label], values, f"{label}, from a source that fails after {reads} reads")


def _read_or_refuse(case: Case, what: str) -> None:
    """Open and read what can be; every error must be of the tree."""
    try:
        for group in case.wanted():
            for variable in case.dataset(group).variables.values():
                if variable.nbytes <= _READABLE:
                    _ = variable.values
    except ScichunkError as error:
        require_foreseen(error)
    except Exception as error:
        msg = f"{what}: {type(error).__name__} is not an error of scichunk: {error}"
        raise AssertionError(msg) from error


def _all_headers(file: OpenFile) -> None:
    file.describe()
    file.root()
    for group in file.groups():
        file.node(group)


def _read_everything(case: Case, file: OpenFile) -> dict[str, Any]:
    """Read all arrays below the adapters."""
    _all_headers(file)
    return {
        label: np.array(array.source.read([Span(0, n) for n in array.source.shape]))
        for label, array in case.arrays(file)
    }


def _count_bytes(array: ArrayVar, axes: list[Span], source: CountingSource) -> int:
    """How many bytes a region takes where no decoded chunk is kept."""
    import scichunk

    scichunk.clear_caches()
    before = source.nbytes
    array.source.read(axes)
    return source.nbytes - before


def _choose_chunks(grid: ChunkGrid) -> Iterator[list[Span]]:
    """The first, the last and some other chunks of a grid."""
    rng = random.Random(3)  # noqa: S311
    numbers = {0, grid.size - 1, *(rng.randrange(grid.size) for _ in range(_CHUNKS - 2))}
    for number in sorted(numbers):
        chunk = np.unravel_index(number, grid.counts)
        yield [Span(*grid.bounds(axis, int(i))) for axis, i in enumerate(chunk)]


def _middle_of(span: Span) -> Span:
    quarter = len(span) // 4
    return Span(span.start + quarter, max(span.start + quarter + 1, span.stop - quarter))
