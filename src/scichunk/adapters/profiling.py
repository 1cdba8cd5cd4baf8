"""``with scichunk.profile():`` what the reads within the block cost, here and on the workers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Self

from scichunk import counters
from scichunk.adapters.tally import Sums, Tally, from_digests, subtract

__all__ = ["Profile", "peak_memory", "profile"]

_COLUMNS = {
    "dataset": "folder", "reads": "reads", "opened": "opened", "requests": "requests", "asked": "asked", "fetched": "fetched",
    "retries": "retries", "chunks": "chunks", "hits": "hits", "decoded": "values", "fetch_seconds": "fetch s",
    "decode_seconds": "decode s", "place_seconds": "place s",
}  # fmt: skip
_BYTES = ("asked", "fetched", "decoded")


class Profile:
    """What reads cost: an entry for each format and folder.

    Print it, or take :attr:`rows`. Counted are reads of this process, and of the workers of the current client of distributed.
    """

    def __init__(self, *, show: bool) -> None:
        self._show, self._tally = show, Tally()
        self._workers_before: Sums = {}
        self._sums: Sums = {}
        self._began, self._cpu_began = 0.0, 0.0
        self.seconds = 0.0
        """From the beginning to the end of the block."""
        self.cpu_seconds = 0.0
        """Of this process."""
        self.peak_memory = 0
        """Largest memory that this process has had, in bytes."""

    def __enter__(self) -> Self:
        self._workers_before = _ask_workers()
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        counters.add_listener(self._tally)
        return self

    def __exit__(self, *_exception: object) -> None:
        counters.remove_listener(self._tally)
        self.seconds, self.cpu_seconds = time.perf_counter() - self._began, time.process_time() - self._cpu_began
        self.peak_memory = peak_memory()
        found = self._tally.copy()
        for place, sums in subtract(_ask_workers(), self._workers_before).items():
            mine = found.setdefault(place, dict.fromkeys(counters.METRICS, 0))
            for name, value in sums.items():
                mine[name] += value
        self._sums = found
        if self._show:
            print(self)  # noqa: T201  # what it is for

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each format and folder, with all counters: bytes, and seconds of threads."""
        return [{"format": f, "dataset": d, **sums} for (f, d), sums in sorted(self._sums.items())]

    @property
    def total(self) -> Mapping[str, float]:
        """The counters of all."""
        return {name: sum(row[name] for row in self.rows) for name in counters.METRICS}

    def __str__(self) -> str:
        rows = [*self.rows]
        if len(rows) != 1:
            rows.append({"format": "all", "dataset": "", **self.total})
        table = [["format", *_COLUMNS.values()], *([r["format"], *(_as_text(n, r[n]) for n in _COLUMNS)] for r in rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        lines = [
            "  ".join(t.ljust(w) if i < 2 else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True)))
            for line in table
        ]
        end = f"{self.seconds:.2f} s, {self.cpu_seconds:.2f} CPU s of this process, which took {self.peak_memory >> 20} MiB at most"
        return "\n".join([*lines, end])


def profile(*, show: bool = True) -> Profile:
    """Count what the reads within a block cost, and print it as a table.

    Parameters
    ----------
    show
        Print the table at the end of the block.

    Returns
    -------
    Profile
        A context manager: ``rows``, ``total``, ``seconds``, ``cpu_seconds`` and ``peak_memory`` are there when the block has ended. Reads
        of this process are counted, and those on the workers of the current client of distributed.

    Notes
    -----
    Of each format and folder: reads of regions, files opened, requests to the storage, bytes asked for and fetched (with what lies between
    ranges that are fetched as one), requests that were repeated, native chunks decoded and taken from the cache instead, bytes of values,
    and seconds of threads for fetching, decoding, and placing (masks and scales).

    Examples
    --------
    >>> import scichunk
    >>> with scichunk.profile() as p:  # doctest: +SKIP
    ...     scichunk.from_file("scene.tif").mean().compute()
    >>> p.total["requests"]  # doctest: +SKIP
    """
    return Profile(show=show)


def peak_memory() -> int:
    """Return the largest memory that this process has had, in bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(found if sys.platform == "darwin" else found * 1024)


def _as_text(name: str, value: Any) -> str:
    if name == "dataset":
        return str(value)
    if name.endswith("_seconds"):
        return f"{value:.3f}"
    if name in _BYTES and value >= 10_000_000:
        return f"{value / 1e6:,.1f} MB"
    return f"{int(value):,}"


def _ask_workers() -> Sums:
    """Ask the workers of the current client what their reads have cost so far; workers in this process have told already."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return {}
    try:
        client = distributed.default_client()
    except ValueError:  # there is none
        return {}
    if client.asynchronous:
        return {}
    found: Sums = {}
    for pid, sums in client.run(_worker_sums).values():
        for place, values in sums.items() if pid != os.getpid() else ():
            mine = found.setdefault(place, dict.fromkeys(counters.METRICS, 0))
            for name, value in values.items():
                mine[name] += value
    return found


def _worker_sums(dask_worker: Any) -> tuple[int, Sums]:
    return os.getpid(), from_digests(dask_worker.digests_total)
