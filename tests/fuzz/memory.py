"""How much memory hostile files take: ``python -m tests.fuzz.memory``, see ``make fuzz-memory``.

A process in which sound files of each format have warmed all libraries reads hostile files and mutants; what its resident memory
grows by counts, whatever allocated it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.hostile import hostile
from tests.fuzz.mutate import mutant
from tests.fuzz.processes import Died, Worker
from tests.fuzz.seeds import KINDS, SUFFIXES, seeds

MOST_MIB = 512
"""How much resident memory may grow by, where options.max_chunk_bytes is 64 MiB."""
_MOST_CORPUS_BYTES = 2_000_000


@dataclass(frozen=True)
class Seen:
    """What reading one input took."""

    name: str
    growth_mib: int
    """Of the peak of resident memory, against that of the warmed process at rest."""
    traced_mib: int
    """Largest sum of what Python and NumPy had allocated at once, touched or not; 0 where nobody counted."""
    seconds: float
    find: str = ""


@dataclass
class Report:
    """What reading all inputs took."""

    seen: list[Seen] = field(default_factory=list)
    kept_mib: int = 0
    """Growth of resident memory at the end."""

    @property
    def finds(self) -> list[str]:
        return [f"{s.name}: {s.find}" for s in self.seen if s.find]

    @property
    def growth_mib(self) -> int:
        return max((s.growth_mib for s in self.seen), default=0)

    def text(self, most: int = 100) -> str:
        """The worst inputs, by memory and by time."""
        by_memory = sorted(self.seen, key=lambda s: -s.growth_mib)[:most]
        by_time = sorted(self.seen, key=lambda s: -s.seconds)[:most]
        total = sum(s.seconds for s in by_time)
        lines = [
            f"{len(self.seen)} inputs: peak resident memory grew by {self.growth_mib} MiB, {self.kept_mib} MiB are left",
            f"worst {len(by_time)} by time: {by_time[0].seconds:.2f} to {by_time[-1].seconds:.2f} s, {total:.0f} s together",
            *(f"  {s.growth_mib:5d} MiB {s.seconds:6.2f} s  {s.name}" for s in by_memory),
            "by time:",
            *(f"  {s.growth_mib:5d} MiB {s.seconds:6.2f} s  {s.name}" for s in by_time),
        ]
        return "\n".join(lines)


Input = tuple[str, str, bytes, int]
"""Kind, name, content and number, which picks the ways of reading."""


def measure(inputs: Iterable[Input], *, env: Mapping[str, str] | None = None, progress: bool = False) -> Report:
    """Read inputs in one process; another takes its place, warmed in the same way, where one kills it."""
    report = Report()
    with Worker("ours", cpu=60, env=dict(env or {})) as worker:
        rest = _warmed(worker)
        for count, (kind, name, data, number) in enumerate(inputs):
            if progress and count and not count % 500:
                print(f"{count} inputs: {report.growth_mib} MiB", file=sys.stderr, flush=True)
            try:
                found = worker.read(kind, data, number)
            except Died as error:
                report.seen.append(Seen(name, 0, 0, 0.0, str(error)))
                print(report.finds[-1], file=sys.stderr, flush=True)
                rest = _warmed(worker)
                continue
            used, find = found["used"], found["find"]
            report.kept_mib = used["resident"] - rest
            growth = used["peak"] - rest
            if progress and (growth > MOST_MIB // 2 or used["seconds"] > 5 or find):
                print(f"{growth} MiB, {used['seconds']:.1f} s: {name} {find and find[:2]}", file=sys.stderr, flush=True)
            report.seen.append(Seen(name, growth, used["traced"], used["seconds"], ": ".join(find[:2]) if find else ""))
    return report


def _warmed(worker: Worker) -> int:
    """Resident memory, MiB, after sound files of each format were read in all ways."""
    found = 0
    for kind in KINDS:
        for number, (_, data) in enumerate(sorted(seeds(kind).items())):
            found = worker.read(kind, data, number)["used"]["resident"]
    return found


def corpus() -> dict[str, dict[str, bytes]]:
    """Small real files by format, from the folder SCICHUNK_CORPUS, if that is there."""
    folder = os.environ.get("SCICHUNK_CORPUS")
    found: dict[str, dict[str, bytes]] = {kind: {} for kind in KINDS}
    for path in sorted(Path(folder).rglob("*")) if folder else ():
        kind = next((k for k in KINDS if path.name.lower().endswith(SUFFIXES[k])), None)
        if kind and path.is_file() and path.stat().st_size <= _MOST_CORPUS_BYTES:
            found[kind][path.name] = path.read_bytes()
    return found


def mutants(count: int, seed: int) -> Iterator[Input]:
    """Mutants of the formats in turn, of files of test_data and of the corpus."""
    real = corpus()
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        sound = real[kind] if real[kind] and number // len(KINDS) % 2 else seeds(kind)
        name, data = mutant(kind, sound, seed, number)
        yield kind, f"{kind} mutant {number} of {name}", data, number


def kinds_of_hostile(times: int = 2) -> Iterator[Input]:
    """Every kind of hostile file, read often enough that most ways of reading are met."""
    for kind, name, data in hostile():
        for number in range(times):
            yield kind, f"{name} ({number})", data, number


def folder(path: Path) -> Iterator[Input]:
    """The files of a folder."""
    suffixes = SUFFIXES | {"geotiff": (".tif", ".tiff"), "jpeg2000": (".jp2", ".j2k", ".j2c", ".jph")}
    for file in sorted(path.iterdir()):
        kind = next((k for k in KINDS if file.name.endswith(suffixes[k])), None)
        for number in range(3 if kind else 0):
            yield str(kind), f"{file.name} ({number})", file.read_bytes(), number


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.memory", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="mutants (10000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="more inputs")
    given = parser.parse_args()
    inputs = [*kinds_of_hostile(6), *(folder(given.folder) if given.folder else ())]

    def all_inputs() -> Iterator[Input]:
        yield from inputs
        yield from mutants(given.count, given.seed)

    report = measure(all_inputs(), progress=True)
    print(report.text())
    for find in report.finds:
        print(f"found: {find}")
    return int(bool(report.finds) or report.growth_mib > MOST_MIB)


if __name__ == "__main__":
    sys.exit(main())
