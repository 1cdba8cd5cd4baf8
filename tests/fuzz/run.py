"""One run: mutants of one format after another, read by us and by the reference library, until the time is over."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.differences import differs, refusal
from tests.fuzz.finds import Find, Finds, minimised
from tests.fuzz.mutate import mutant
from tests.fuzz.processes import Died, Worker
from tests.fuzz.seeds import seeds

_BATCH = 32
"""Mutants that are sent together: processes that wait for each other get little of a busy machine."""
Mutant = tuple[bytes, int]
"""Bytes and number."""
Seen = tuple[str, str, str]
"""Kind, text and trace of a find."""
_THEIR_SECONDS = 3.0
"""What the reference library may take of the processor for one mutant: how long it is at it is no concern of ours."""
_FRESH = 20_000
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
        self.given = given
        self._ours = Worker("ours", cpu=self.given.cpu, env=self.given.env)
        self._theirs = Worker("theirs", cpu=min(_THEIR_SECONDS, self.given.cpu))

    def close(self) -> None:
        self._ours.stop()
        self._theirs.stop()

    def look(self, data: bytes, number: int, counts: Counter[str]) -> Seen | None:
        """Read a mutant and compare; returns kind, text and trace of a find."""
        return self.compare([(data, number)], self.read([(data, number)], counts), counts)[0]

    def read(self, mutants: Sequence[Mutant], counts: Counter[str]) -> list[Seen | dict[str, Any] | None]:
        """Have mutants read by us: a find of each, or its values; None if there are none."""
        if self._ours.done > _FRESH:
            self._ours.stop()
            self._ours.done = 0
        results: list[Seen | dict[str, Any] | None] = []
        for found in self._ours.read_many(self.given.kind, mutants):
            if isinstance(found, Died):
                results.append((found.kind, found.text, self._ours.trace))
                continue
            counts["mutants"] += 1
            counts["reads"] += len(found["values"])
            counts["errors of the tree"] += found["errors"]
            results.append(found["find"] or {name: v for name, v in found["values"].items() if v is not None} or None)
        return results

    def compare(
        self, mutants: Sequence[Mutant], results: Sequence[Seen | dict[str, Any] | None], counts: Counter[str]
    ) -> list[Seen | None]:
        """Compare values with those of the reference library; what is a find already stays one."""
        if self._theirs.done > _FRESH:
            self._theirs.stop()
            self._theirs.done = 0
        asked = [m for m, found in zip(mutants, results, strict=True) if isinstance(found, dict)]
        # All of them first: where values differ the library is asked again meanwhile.
        others = iter(list(self._theirs.read_many(self.given.kind, asked)))
        seen: list[Seen | None] = []
        for mutant_, found in zip(mutants, results, strict=True):
            if isinstance(found, dict):
                text = self._differs(mutant_, found, next(others), counts)
                seen.append(("difference", text, "") if text else None)
            else:
                seen.append(found)
        return seen

    def _differs(
        self, given: Mutant, values: dict[str, Any], said: dict[str, Any] | Died, counts: Counter[str]
    ) -> str | None:
        kind, data = self.given.kind, given[0]
        other = self._counted(said, counts)
        if other is None:
            return None if isinstance(said, Died) else refusal(kind, values, said["complaint"])
        counts["compared"] += 1
        text = differs(kind, data, values, other)
        if text:
            again = self._counted(next(self._theirs.read_many(kind, [given])), counts)
            if again is None or differs(kind, data, other, again):
                counts["reference undecided"] += 1
                return None
        return text

    @staticmethod
    def _counted(found: dict[str, Any] | Died, counts: Counter[str]) -> dict[str, Any] | None:
        """Values of the reference library; None if it died, refused or complained."""
        if isinstance(found, Died):
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
    """Every so many-th mutant: a batch is compared while the next is read."""
    pair, mine, theirs = Pair(given), Counter[str](), Counter[str]()
    files, numbers = given.files(), range(job, given.count, given.jobs)
    with contextlib.closing(pair), ThreadPoolExecutor(1) as second:
        waiting: tuple[list[tuple[str, bytes, int]], Future[list[Seen | None]]] | None = None
        first = 0
        while first < len(numbers) and time.monotonic() < end:
            batch = [(*mutant(given.kind, files, given.seed, n), n) for n in numbers[first : first + _BATCH]]
            first += _BATCH
            mutants = [(data, number) for _, data, number in batch]
            results = pair.read(mutants, mine)
            _keep(pair, finds, mine, waiting)
            waiting = batch, second.submit(pair.compare, mutants, results, theirs)
        _keep(pair, finds, mine, waiting)
    counts.update(mine + theirs)


def _keep(
    pair: Pair,
    finds: Finds,
    counts: Counter[str],
    waiting: tuple[list[tuple[str, bytes, int]], Future[list[Seen | None]]] | None,
) -> None:
    """Wait for a batch; save what is new in it, as small as is simple."""
    for (name, data, number), seen in zip(waiting[0], waiting[1].result(), strict=True) if waiting else ():
        if seen is None:
            continue
        find = Find(pair.given.kind, seen[0], seen[1], name, pair.given.seed, number, seen[2])
        counts["finds"] += 1
        if finds.is_new(find):
            finds.save(find, smallest(pair, find, data, pair.given.files()[name]))


def smallest(pair: Pair, find: Find, data: bytes, sound: bytes) -> bytes:
    """The mutant with fewer changes, as long as it is the same find."""

    def still(other: bytes) -> bool:
        seen = pair.look(other, find.number, Counter())
        return seen is not None and Find(find.format, seen[0], seen[1], find.sound, 0, 0).signature == find.signature

    return minimised(data, sound, still, tries=6 if find.what == "time-out" else 60)
