"""Work that asks for bytes as it goes, apart from the reading itself: written once, for readers that wait and for those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

from scichunk.sources.base import ByteSource

__all__ = ["Ranges", "Steps", "run_steps", "run_steps_async"]

T = TypeVar("T")
Ranges = list[tuple[int, int]]
"""First and last byte but one of each part of the file."""
Steps = Generator[Ranges, list[memoryview], T]
"""Yields the byte ranges that are wanted next and is sent their bytes, valid until the next yield; returns what it has made of them."""


def run_steps(steps: Steps[T], source: ByteSource) -> T:
    """Read what steps ask for, until they are done.

    Raises
    ------
    SourceError
        If it cannot be read; and whatever the steps raise.
    """
    ranges, found = _advance(steps, None)
    while ranges is not None:
        ranges, found = _advance(steps, source.read_ranges([a for a, _ in ranges], [b for _, b in ranges]))
    return found[0]


async def run_steps_async(steps: Steps[T], source: ByteSource, *, in_thread: bool) -> T:
    """Do as :func:`run_steps` without blocking the event loop.

    Parameters
    ----------
    steps, source
        What is done, and the file.
    in_thread
        Whether a step takes so long that it is taken in a thread.
    """
    views: list[memoryview] | None = None
    while True:
        ranges, found = await asyncio.to_thread(_advance, steps, views) if in_thread else _advance(steps, views)
        if ranges is None:
            return found[0]
        views = await source.read_ranges_async([a for a, _ in ranges], [b for _, b in ranges])


def _advance(steps: Steps[T], views: list[memoryview] | None) -> tuple[Ranges | None, list[T]]:
    """Take one step: the ranges that are wanted next, or None and what the steps have come to.

    A StopIteration must not leave this function: no future of asyncio takes it.
    """
    try:
        return (next(steps) if views is None else steps.send(views)), []
    except StopIteration as stop:
        return None, [stop.value]
