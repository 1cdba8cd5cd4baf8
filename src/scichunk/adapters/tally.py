"""Sums of what reads cost, by format and folder."""

from __future__ import annotations

import operator
import os
import threading
import weakref
from collections.abc import Hashable, Mapping
from typing import Any

from scichunk.counters import METRICS, Sample

__all__ = ["Sums", "Tally", "from_digests", "subtract"]

Sums = dict[tuple[str, str], dict[str, float]]
"""Of each counter, by format and folder of the files."""
_values_of = operator.attrgetter(*METRICS)
_tallies: weakref.WeakSet[Tally] = weakref.WeakSet()


class Tally:
    """Adds up what the reads of this process cost; a listener of :mod:`scichunk.counters`."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], list[float]] = {}
        self.renew_lock()
        _tallies.add(self)

    def renew_lock(self) -> None:
        """Make a new lock: another thread of a parent that was forked may have held it, and each read of the child would wait for it."""
        self._lock = threading.Lock()

    def __call__(self, format_name: str, dataset: str, sample: Sample) -> None:
        """Add what a read has cost."""
        place, new = (format_name, dataset), _values_of(sample)
        with self._lock:
            old = self._sums.get(place)
            self._sums[place] = list(new) if old is None else list(map(operator.add, old, new))

    def copy(self) -> Sums:
        """Return the sums as they are now."""
        with self._lock:
            return {place: dict(zip(METRICS, sums, strict=True)) for place, sums in self._sums.items()}


def _after_fork() -> None:
    for tally in list(_tallies):
        tally.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def from_digests(metrics: Mapping[Hashable, float]) -> Sums:
    """Pick our counters from the metrics of a worker, a span or a scheduler of distributed."""
    found: Sums = {}
    for key, value in metrics.items():
        labels = key if isinstance(key, tuple) else ()
        label: Any = next((k for k in labels if isinstance(k, tuple) and k[:1] == ("scichunk",)), None)
        if label is not None:
            _, format_name, dataset, name = label
            found.setdefault((format_name, dataset), dict.fromkeys(METRICS, 0))[name] += value
    return found


def subtract(later: Sums, before: Sums) -> Sums:
    """Return what came between two times; places where nothing did are left out."""
    found: Sums = {}
    for place, sums in later.items():
        old = before.get(place, {})
        new = {name: value - old.get(name, 0) for name, value in sums.items()}
        if any(new.values()):
            found[place] = new
    return found
