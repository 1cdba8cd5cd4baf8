"""Jobs by demand: as many of each pool as its tasks ask for, a new one for each that is lost, and a successor before the time is up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from scichunk.cluster.placing import resource

__all__ = ["Adapting", "Jobs", "Limits"]

_LOG = logging.getLogger("scichunk")
_ALIVE = ("created", "starting", "running")


class Jobs(Protocol):
    """What is asked of a cluster with pools."""

    pools: dict[str, dict[str, Any]]
    default_pool: str
    scheduler: Any
    loop: Any
    status: Any
    worker_spec: dict[Any, Any]

    def job_names(self, pool: str) -> list[str]:
        """Names of the jobs of a pool that are wanted, the oldest first."""
        ...

    def threads_of(self, pool: str) -> int:
        """Threads of a job of a pool."""
        ...

    def add_job(self, pool: str) -> str:
        """Want one more job of a pool, and say its name."""
        ...

    def arrived(self) -> set[str]:
        """Names of the jobs whose workers are all there."""
        ...

    async def remove_jobs(self, names: list[str]) -> None:
        """Retire jobs, and want them no longer."""
        ...

    async def set_jobs(self, wanted: Mapping[str, int]) -> None:
        """Have so many jobs of each pool that is named."""
        ...

    async def bring_up(self) -> None:
        """Start the jobs that are wanted and not there."""
        ...


@dataclass(frozen=True)
class Limits:
    """How many jobs, how often to look, and when to renew; times are seconds."""

    pools: dict[str, tuple[int, int]]
    interval: float
    wait: float
    renew: float | None

    @classmethod
    def of(cls, pools: Mapping[str, tuple[int, int]], *, interval: Any, wait: Any, renew: Any) -> Limits:
        """Understand what a user writes.

        Raises
        ------
        ValueError
            If a pair is none, its first number is the larger one, or a time cannot be understood.
        """
        from dask.utils import parse_timedelta

        for pool, pair in pools.items():
            if not isinstance(pair, tuple | list) or len(pair) != 2 or pair[0] > pair[1]:
                msg = f"{pool}= takes the fewest and the most jobs, such as (0, 20), not {pair!r}"
                raise ValueError(msg)
        try:
            seconds = [None if t is None else float(parse_timedelta(t)) for t in (interval, wait, renew)]
        except KeyError as error:
            raise ValueError(error.args[0]) from None
        if any(s is not None and s <= 0 for s in (seconds[0], seconds[2])):
            msg = f"interval and renew are times above zero: {interval!r}, {renew!r}"
            raise ValueError(msg)
        return cls({k: (v[0], v[1]) for k, v in pools.items()}, seconds[0] or 1.0, seconds[1] or 0.0, seconds[2])


class Adapting:
    """Looks after the jobs of a cluster until it is stopped or the cluster ends.

    Parameters
    ----------
    cluster
        A cluster with pools whose scheduler lives in this process.
    limits
        What to keep to.
    """

    def __init__(self, cluster: Jobs, limits: Limits) -> None:
        self._cluster = cluster
        self._limits = limits
        self._idle: dict[str, float] = {}
        self._born: dict[str, float] = {}
        self._heirs: dict[str, str] = {}
        self._stopped = False
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the cluster's event loop."""
        self._cluster.loop.add_callback(self._begin)

    def stop(self) -> None:
        """End it. Jobs that are there stay."""
        self._stopped = True
        self._cluster.loop.add_callback(self._woken.set)

    async def ended(self) -> None:
        """Wait until what it was at has been finished."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while not self._stopped and self._cluster.status.name in _ALIVE:
            try:
                await self._look()
            except (
                RuntimeError,
                OSError,
            ) as error:  # what dask-jobqueue raises if a job cannot be submitted: the queue may be down
                _LOG.warning("jobs cannot be started, trying again: %s", error)
            except Exception:
                _LOG.exception("jobs are no longer started by demand")
                raise
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._limits.interval)

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        demand = self._demand()
        for pool, (fewest, most) in self._limits.pools.items():
            wanted = max(fewest, min(most, math.ceil(demand[pool] / self._cluster.threads_of(pool))))
            have = [n for n in self._cluster.job_names(pool) if n not in self._heirs.values()]
            if wanted >= len(have):
                self._idle.pop(pool, None)
            elif now - self._idle.setdefault(pool, now) < self._limits.wait:
                continue
            if wanted != len(have) and not self._renewing(pool):
                await self._cluster.set_jobs({pool: wanted})
                self._idle.pop(pool, None)  # jobs that had to stay are asked again after another wait
        if self._limits.renew is not None:
            await self._renew(now, self._limits.renew)
        if not self._stopped:
            await self._cluster.bring_up()

    def _demand(self) -> dict[str, int]:
        """Tasks that could run now, by the pool that they ask for."""
        found = dict.fromkeys(self._cluster.pools, 0)
        scheduler = self._cluster.scheduler
        by_resource = {resource(pool): pool for pool in found}
        ready = [task for worker in scheduler.workers.values() for task in worker.processing]
        for task in [*ready, *scheduler.unrunnable]:
            asked = [by_resource[r] for r in task.resource_restrictions or () if r in by_resource]
            found[asked[0] if asked else self._cluster.default_pool] += 1
        found[self._cluster.default_pool] += len(scheduler.queued)
        return found

    def _renewing(self, pool: str) -> int:
        """How many jobs of a pool wait for their successor."""
        return sum(old in self._heirs for old in self._cluster.job_names(pool))

    async def _renew(self, now: float, age: float) -> None:
        """Start successors of old jobs, and retire those whose successor has come.

        Jobs that start together would end together, and with them all results that they hold: so few are renewed at a time.
        """
        here = self._cluster.arrived()
        self._born = {name: self._born.get(name, now) for name in here}
        for old, heir in list(self._heirs.items()):
            if old not in here or heir not in self._cluster.worker_spec:  # too late, or given up
                del self._heirs[old]
                if old not in here and old in self._cluster.worker_spec and heir in self._cluster.worker_spec:
                    await self._cluster.remove_jobs([old])
            elif heir in here:
                await self._cluster.remove_jobs([old])
                if old not in self._cluster.worker_spec:  # else nobody had room for its results: again at the next look
                    del self._heirs[old]
        for pool in self._limits.pools:
            heirs = set(self._heirs.values())
            mine = sorted(
                (n for n in self._cluster.job_names(pool) if n in self._born and n not in heirs),
                key=self._born.__getitem__,
            )
            free = max(1, len(mine) // 8) - self._renewing(pool)
            for name in [n for n in mine if n not in self._heirs and now - self._born[n] >= age][: max(0, free)]:
                self._heirs[name] = self._cluster.add_job(pool)
