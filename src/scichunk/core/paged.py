"""Tables of numbers that stay in the file: of many millions, a read fetches the pages that hold those it asks for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.core.cache import key_of, tiles
from scichunk.core.steps import Steps, run_steps, run_steps_async
from scichunk.sources.base import ByteSource, check_ranges

__all__ = ["PagedTable", "load_async", "look_up"]

Numbers = Sequence[int] | npt.NDArray[np.integer[Any]]
Values = npt.NDArray[np.uint64]
Page = tuple[int, int]
"""Which table of those that are looked up, and which page of it."""
_PAGE_BYTES: Final = 1 << 16
"""Of a page: as many as a small request brings in the time that it takes anyway."""
_MOST_PAGES: Final = 256
"""Most pages that are held at once, however many numbers are looked up."""


@dataclass(frozen=True, slots=True)
class PagedTable:
    """Unsigned integers that lie one behind the other in a file.

    Pages are kept in the cache of decoded chunks, under the version of the file, so that nothing is kept here but where they lie.
    """

    source: ByteSource = field(repr=False, compare=False)
    start: int
    """First byte of the table."""
    stored: np.dtype[Any]
    """Type in the file, with its byte order; its size divides that of a page."""
    count: int
    """How many numbers it has."""

    def __post_init__(self) -> None:
        check_ranges([self.start], [self.start + self.nbytes], self.source.fingerprint.size, self.source.url)

    @property
    def nbytes(self) -> int:
        """Length of the table in the file."""
        return self.count * self.stored.itemsize

    @property
    def name(self) -> tuple[int, str, int]:
        """What tells it from other tables of the file: they may begin at one byte, and be of other types and lengths."""
        return self.start, self.stored.str, self.count

    @property
    def page_size(self) -> int:
        """How many numbers a page has."""
        return _PAGE_BYTES // self.stored.itemsize

    def __getitem__(self, numbers: Any) -> Any:
        """Return what stands at a place, or at several, as an array in memory does."""
        found = np.asarray(numbers, np.int64)
        return look_up([self], found.reshape(-1))[0].reshape(found.shape)[()]

    def parts(self) -> Iterator[Values]:
        """Read all of it, a part at a time, of which nothing is kept: for sums."""
        step = _MOST_PAGES * self.page_size
        for first in range(0, self.count, step):
            start, stop = (self.start + n * self.stored.itemsize for n in (first, min(first + step, self.count)))
            yield np.frombuffer(self.source.read_ranges([start], [stop])[0], self.stored).astype(np.uint64)


def look_up(tables: Sequence[PagedTable], numbers: Numbers) -> list[Values]:
    """Return what stands at the same places in several tables of one file; missing pages of all are fetched in one batch.

    Raises
    ------
    SourceError
        If a page cannot be read, or the file has changed since it was opened.
    """
    return run_steps(_read_pages(tables, np.asarray(numbers, np.int64)), tables[0].source)


async def load_async(tables: Sequence[PagedTable], numbers: Numbers) -> None:
    """Fetch the pages for a later :func:`look_up` without blocking the event loop."""
    await run_steps_async(_read_pages(tables, np.asarray(numbers, np.int64)), tables[0].source, in_thread=False)


def _read_pages(tables: Sequence[PagedTable], numbers: npt.NDArray[np.int64]) -> Steps[list[Values]]:
    """Yield the byte ranges of pages that are not in the cache, and be sent their bytes; return what stands in each table."""
    order = np.argsort(numbers, kind="stable")
    ascending = numbers[order]
    todo = [(t, *stretch) for t, table in enumerate(tables) for stretch in _cut_by_pages(ascending, table.page_size)]
    found = [np.empty(numbers.size, np.uint64) for _ in tables]
    key = key_of(tables[0].source)
    for i in range(0, len(todo), _MOST_PAGES):
        group = todo[i : i + _MOST_PAGES]
        pages: dict[Page, Any] = {(t, p): tiles.get((key, "page", *tables[t].name, p)) for t, p, _, _ in group}
        runs = list(_join_neighbours([page for page, values in pages.items() if values is None]))
        if runs:
            bounds = [_run_bounds(tables[t], first, last) for t, first, last in runs]
            views = yield bounds
            for (t, first, last), view in zip(runs, views, strict=True):
                for page in range(first, last):
                    at = (page - first) * _PAGE_BYTES
                    # Copied, since views end with the next read, and a cached page must not hold its neighbours.
                    values = np.frombuffer(bytes(view[at : at + _PAGE_BYTES]), tables[t].stored)
                    pages[t, page] = tiles.put((key, "page", *tables[t].name, page), values)
        for t, page, low, high in group:
            found[t][order[low:high]] = pages[t, page][ascending[low:high] - page * tables[t].page_size]
    return found


def _cut_by_pages(ascending: npt.NDArray[np.int64], size: int) -> Iterator[tuple[int, int, int]]:
    """(page, first, last) of each stretch of ascending numbers that lie in one page."""
    if not ascending.size:
        return
    pages = ascending // size
    cuts = [0, *(np.flatnonzero(np.diff(pages)) + 1).tolist(), ascending.size]
    for low, high in itertools.pairwise(cuts):
        yield int(pages[low]), low, high


def _join_neighbours(missing: Sequence[Page]) -> Iterator[tuple[int, int, int]]:
    """(table, first page, page behind the last) of pages that lie one behind the other."""
    first = 0
    for i in range(1, len(missing) + 1):
        before = missing[i - 1]
        if i == len(missing) or missing[i] != (before[0], before[1] + 1):
            yield missing[first][0], missing[first][1], before[1] + 1
            first = i


def _run_bounds(table: PagedTable, first: int, last: int) -> tuple[int, int]:
    return table.start + first * _PAGE_BYTES, table.start + min(last * _PAGE_BYTES, table.nbytes)
