"""One run: mutants of one format after another, read by us and by the reference library, until the time is over."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.differences import differs
from tests.fuzz.finds import Find, Finds, minimised
from tests.fuzz.mutate import mutant
from tests.fuzz.processes import Died, Worker
from tests.fuzz.seeds import seeds

_FRESH = 3000
"""A worker is replaced after so many mutants, so that what one leaves behind is not found in another for long."""


@dataclass
class Round:
    """What is tried: which mutants of which format, and for how long or how many."""

    kind: str
    seed: int = 0
    seconds: float = 1e9
    count: int = 1 << 62
    jobs: int = 1
    sound: dict[str, bytes] = field(default_factory=dict)
    cpu: float = 20.0
    env: dict[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        return self.sound or seeds(self.kind)


class Pair:
    """Two workers, ours and theirs, and what both say of a mutant."""

    def __init__(self, given: Round) -> None:
        self._given = given
        self._make()

    def _make(self) -> None:
        self._ours = Worker("ours", cpu=self._given.cpu, env=self._given.env)
        self._theirs = Worker("theirs", cpu=self._given.cpu)

    def close(self) -> None:
        self._ours.stop()
        self._theirs.stop()

    def look(self, data: bytes, number: int, counts: Counter[str]) -> tuple[str, str, str] | None:
        """Read a mutant and compare; returns kind, text and trace of a find."""
        kind = self._given.kind
        if self._ours.done > _FRESH:
            self.close()
            self._make()
        try:
            found = self._ours.read(kind, data, number)
        except Died as error:
            return error.kind, error.text, self._ours.trace
        counts["mutants"] += 1
        counts["reads"] += len(found["values"])
        counts["errors of the tree"] += found["errors"]
        if found["find"]:
            result: tuple[str, str, str] = found["find"]
            return result
        values = {name: v for name, v in found["values"].items() if v is not None}
        if not values:
            return None
        text = self._compare(data, values, number, counts)
        return ("difference", text, "") if text else None

    def _compare(self, data: bytes, values: dict[str, Any], number: int, counts: Counter[str]) -> str | None:
        kind = self._given.kind
        other = self._reference(data, number, counts)
        if other is None:
            return None
        counts["compared"] += 1
        text = differs(kind, data, values, other)
        if text:
            again = self._reference(data, number, counts)
            if again is None or differs(kind, data, other, again):
                counts["reference undecided"] += 1
                return None
        return text

    def _reference(self, data: bytes, number: int, counts: Counter[str]) -> dict[str, Any] | None:
        """Values of the reference library; None if it dies, refuses or complains."""
        try:
            found = self._theirs.read(self._given.kind, data, number)
        except Died:
            counts["reference died"] += 1
            return None
        counts["reference complains"] += "complaint" in found
        values: dict[str, Any] | None = found.get("values")
        return values


def run(given: Round, finds: Finds) -> Counter[str]:
    """Try mutants until time or number is over; with several jobs each takes every n-th."""
    counts: Counter[str] = Counter()
    end = time.monotonic() + given.seconds
    threads = [threading.Thread(target=_job, args=(given, finds, counts, job, end)) for job in range(given.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counts


def _job(given: Round, finds: Finds, counts: Counter[str], job: int, end: float) -> None:
    pair, mine = Pair(given), Counter[str]()
    files = given.files()
    try:
        for number in range(job, given.count, given.jobs):
            if time.monotonic() > end:
                break
            name, data = mutant(given.kind, files, given.seed, number)
            seen = pair.look(data, number, mine)
            if seen is None:
                continue
            find = Find(given.kind, seen[0], seen[1], name, given.seed, number, seen[2])
            mine["finds"] += 1
            if finds.is_new(find):
                finds.save(find, smallest(pair, find, data, files[name]))
    finally:
        pair.close()
        counts.update(mine)


def smallest(pair: Pair, find: Find, data: bytes, sound: bytes) -> bytes:
    """The mutant with fewer changes, as long as it is the same find."""

    def still(other: bytes) -> bool:
        seen = pair.look(other, find.number, Counter())
        return seen is not None and Find(find.format, seen[0], seen[1], find.sound, 0, 0).signature == find.signature

    return minimised(data, sound, still, tries=6 if find.what == "time-out" else 60)
