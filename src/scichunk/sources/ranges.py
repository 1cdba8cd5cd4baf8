"""The range planner: which byte ranges are fetched together. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Fetch", "plan_ranges"]


@dataclass(frozen=True, slots=True)
class Fetch:
    """One merged range ``[start, stop)`` and the requested ranges that lie in it."""

    start: int
    stop: int
    members: tuple[int, ...]
    """Positions, in the request, of the ranges that this one serves."""


def plan_ranges(starts: Sequence[int], stops: Sequence[int], *, gap: int, max_size: int) -> list[Fetch]:
    """Merge ranges that overlap, touch, or lie within ``gap`` bytes of each other.

    Parameters
    ----------
    starts, stops
        Half-open byte ranges, in any order; empty ones (``stop <= start``) get no fetch.
    gap
        Bytes that may be fetched in vain to save a request.
    max_size
        A merge stops growing here; a single range that is larger stays whole.

    Returns
    -------
    list of Fetch
        In ascending order. Every non-empty range is a member of exactly one fetch, which covers it.
    """
    order = sorted((i for i in range(len(starts)) if stops[i] > starts[i]), key=lambda i: starts[i])
    fetches: list[Fetch] = []
    members: list[int] = []
    begin = end = 0
    for i in order:
        start, stop = int(starts[i]), int(stops[i])
        if members and start <= end + gap and (stop <= end or stop - begin <= max_size):
            end = max(end, stop)
        else:
            if members:
                fetches.append(Fetch(begin, end, tuple(members)))
            members, begin, end = [], start, stop
        members.append(i)
    if members:
        fetches.append(Fetch(begin, end, tuple(members)))
    return fetches
