"""``Pools``: one cluster with several kinds of workers, of any class of dask that starts workers from a specification."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scichunk.cluster.adapting import Adapting, Limits
from scichunk.cluster.marks import known
from scichunk.cluster.placing import keep_annotations, place, resource

if TYPE_CHECKING:
    from distributed import SpecCluster

__all__ = ["PoolCluster", "Pools"]

_OF_BOTH = ("config_name", "interface", "protocol", "security")
"""Keywords that dask-jobqueue gives to the scheduler and to each job."""
_LOCAL = {"threads_per_worker": "nthreads", "memory_limit": "memory_limit", "resources": "resources"}
"""Keywords of a LocalCluster that are of its workers, and what those call them."""

_STARTED = ("running", "closing", "closing_gracefully", "closed")


def Pools(  # noqa: N802  # stands for a class, which it makes
    base: type[SpecCluster],
    *,
    common: Mapping[str, Any] | None = None,
    default: str | None = None,
    **pools: Mapping[str, Any],
) -> Any:
    """Start one cluster with several kinds of jobs.

    Parameters
    ----------
    base
        A class of dask-jobqueue (``SLURMCluster``, ``PBSCluster``, ``SGECluster``, ``LSFCluster``, ...), or ``LocalCluster`` to try a
        program on one machine.
    common
        Keywords of ``base`` that hold for every pool, and those of the cluster as a whole.
    default
        The pool that runs what is not marked when jobs are started by demand; the first by default. What is not marked runs on
        any worker that is there.
    **pools
        The keywords of ``base`` for each pool: ``io={"queue": "short", "cores": 4, "memory": "8GB"}``.

    Returns
    -------
    PoolCluster
        An instance of ``base`` without workers. ``scale(io=8, big=1)`` and ``adapt(io=(0, 20), big=(0, 2))`` start them;
        ``job_script("big")`` is what would be submitted.

    Raises
    ------
    ValueError
        If there is no pool, or ``default`` is none of them.
    TypeError
        If ``base`` starts no workers from specifications.

    Notes
    -----
    The workers of a pool offer the resource ``pool-NAME`` of dask. Inside :func:`scichunk.cluster.on` steps are marked to need it.
    A job is retired before it is ended, so that others have its results; dask itself does not do so (dask-jobqueue and every other
    cluster whose workers have names).

    Examples
    --------
    >>> from dask_jobqueue import SLURMCluster  # doctest: +SKIP
    >>> cluster = Pools(  # doctest: +SKIP
    ...     SLURMCluster,
    ...     common={"cores": 4, "walltime": "01:00:00", "interface": "ib0"},
    ...     io={"queue": "short", "memory": "8GB"},
    ...     big={"queue": "gpu", "memory": "64GB", "job_extra_directives": ["--gres=gpu:1"]},
    ... )
    >>> cluster.scale(io=8, big=1)  # doctest: +SKIP
    """
    from distributed import SpecCluster

    if not (isinstance(base, type) and issubclass(base, SpecCluster)):
        msg = f"a class that starts workers from specifications, such as SLURMCluster, not {base!r}"
        raise TypeError(msg)
    if not pools:
        msg = "name at least one pool: Pools(SLURMCluster, io={...}, big={...})"
        raise ValueError(msg)
    default = default or next(iter(pools))
    if default not in pools:
        msg = f"there is no pool {default!r}, only {', '.join(pools)}"
        raise ValueError(msg)
    given = {name: {**(common or {}), **keywords} for name, keywords in pools.items()}
    made = type("Pools", (PoolCluster, base), {"__module__": __name__, "base": base})
    return made(given, default)


class PoolCluster:
    """What :func:`Pools` adds to a class of clusters.

    Attributes
    ----------
    pools : dict
        The keywords of each pool.
    default_pool : str
        The pool that starts jobs for what is not marked.
    """

    base: type[Any]
    worker_spec: dict[Any, Any]
    workers: dict[Any, Any]
    scheduler: Any
    loop: Any
    status: Any
    new_spec: dict[str, Any]

    def __init__(self, pools: dict[str, dict[str, Any]], default: str) -> None:
        self.pools = pools
        self.default_pool = default
        self._adaptive: Adapting | None = None
        self._count = 0
        super().__init__(**{**pools[default], "n_workers": 0})
        self._specs = {name: self._spec_of(name) for name in pools}
        self.scheduler.add_plugin(_plugin())
        known(self, pools)
        keep_annotations()

    def _spec_of(self, pool: str) -> dict[str, Any]:
        """The specification of a worker of a pool, as :class:`distributed.SpecCluster` wants it."""
        given = self.pools[pool]
        of_cluster = set(inspect.signature(self.base).parameters)
        if not hasattr(self.base, "job_cls"):  # workers on this machine
            options = {k: v for k, v in given.items() if k not in of_cluster}
            named = {new: given[old] for old, new in _LOCAL.items() if old in given}
            offered = {**named.pop("resources", {}), resource(pool): 1}
            return {**self.new_spec, "options": {**self.new_spec["options"], **options, **named, "resources": offered}}
        options = {k: v for k, v in given.items() if k not in of_cluster or k in _OF_BOTH}
        shared = {k: v for k, v in self.new_spec["options"].items() if k in _OF_BOTH}
        extra = [*(given.get("worker_extra_args") or []), "--resources", f"{resource(pool)}=1"]
        spec = {"cls": self.base.job_cls, "options": {**shared, **options, "worker_extra_args": extra}}
        if given.get("processes", 1) > 1:
            spec["group"] = [f"-{number}" for number in range(given["processes"])]
        return spec

    # ------------------------------------------------------------ jobs and workers

    def job_names(self, pool: str) -> list[str]:
        """Names of the jobs of a pool that are wanted, the oldest first."""
        first = self.prefix_of(pool)  # with which those of a pool "io-big" begin, too, where there is one "io"
        return [n for n in self.worker_spec if str(n).startswith(first) and str(n).removeprefix(first).isdigit()]

    def prefix_of(self, pool: str) -> str:
        """How the names of the jobs of a pool begin: ``SLURMCluster-io-``."""
        return f"{getattr(self, '_name', 'pools')}-{pool}-"

    def threads_of(self, pool: str) -> int:
        """Threads of a job of a pool."""
        options = self._specs[pool]["options"]
        return int(options.get("cores") or options.get("nthreads") or 1)

    def add_job(self, pool: str) -> str:
        """Want one more job of a pool, and say its name. It is started when the cluster next looks at what is wanted."""
        self._count += 1
        name = f"{self.prefix_of(pool)}{self._count}"
        self.worker_spec[name] = self._specs[pool]
        return name

    async def remove_jobs(self, names: list[str], *, force: bool = False) -> None:
        """Retire jobs, which moves what they hold to others, and want them no longer.

        It is done by the names of their workers. SpecCluster asks for the same by address, and gives names: nothing is moved then. A job
        whose results nobody can take stays, unless it is forced to go.
        """
        workers = [worker for name in names for worker in self._workers_of(name)]
        await self.scheduler.retire_workers(names=workers, remove=True, close_workers=True)
        here = {str(worker.name) for worker in self.scheduler.workers.values()}
        for name in names:
            if force or here.isdisjoint(self._workers_of(name)):
                self.worker_spec.pop(name, None)

    async def set_jobs(self, wanted: Mapping[str, int], *, force: bool = False) -> None:
        """Have so many jobs of each pool that is named. Those that have the least to do are ended first, then the oldest.

        Unless it is forced, jobs whose results no other job can take are kept for now.
        """
        busy: dict[str, int] = {}
        for worker in self.scheduler.workers.values():
            busy[str(worker.name)] = len(worker.processing)
        for pool, count in wanted.items():
            have = self.job_names(pool)
            for _ in range(count - len(have)):
                self.add_job(pool)
            if len(have) > count:
                have.sort(key=lambda name: sum(busy.get(worker, -1) for worker in self._workers_of(name)))
                going = have[: len(have) - count]
                await self.remove_jobs(going if force else self._may_go(going), force=force)

    def _may_go(self, names: list[str]) -> list[str]:
        """Those of some jobs that can hand over what they hold: if they are all that there are, the fullest stays."""
        held = {str(worker.name): len(worker.has_what) for worker in self.scheduler.workers.values()}
        going = {worker for name in names for worker in self._workers_of(name)}
        by_job = {name: sum(held.get(worker, 0) for worker in self._workers_of(name)) for name in names}
        if held.keys() - going or not any(by_job.values()):
            return names
        fullest = max(by_job, key=lambda name: by_job[name])
        return [name for name in names if name != fullest]

    async def bring_up(self) -> None:
        """Start the jobs that are wanted and not there."""
        try:
            await self._correct_state()  # type: ignore[attr-defined]
        except BaseException:
            # a job that could not be submitted counts as there, and would never be tried again
            for name, job in list(self.workers.items()):
                if job.status.name not in _STARTED:
                    del self.workers[name]
                    await job.close()
                    job.status = type(job.status).closed  # which a job that never was does not say by itself
            raise

    def arrived(self) -> set[str]:
        """Names of the jobs whose workers are all there."""
        here = {str(worker.name) for worker in self.scheduler.workers.values()}
        return {name for name in self.worker_spec if here.issuperset(self._workers_of(name))}

    def _workers_of(self, job: str) -> list[str]:
        """Names of the workers of a job."""
        return [f"{job}{end}" for end in self.worker_spec.get(job, {}).get("group", [""])]

    def scale(self, n: int | None = None, jobs: int | None = None, **wanted: int) -> Any:
        """Have so many jobs of each pool: ``scale(io=8, big=1)``.

        Parameters
        ----------
        n, jobs
            Jobs of the default pool; 0 alone ends all jobs of all pools.
        **wanted
            Jobs by pool. Pools that are not named stay as they are.

        Raises
        ------
        ValueError
            If there is no such pool, or a number is negative.
        """
        count = jobs if jobs is not None else n
        if count == 0 and not wanted:
            wanted = dict.fromkeys(self.pools, 0)
        elif count is not None:
            wanted = {self.default_pool: count, **wanted}
        self._check(wanted, wanted.values())
        if self.status.name in ("closing", "closed", "failed"):
            self.worker_spec.clear()
            return _nothing()
        return self.sync(self._scale, wanted)  # type: ignore[attr-defined]

    async def _scale(self, wanted: Mapping[str, int]) -> None:
        await self.set_jobs(wanted, force=True)
        await self.bring_up()

    def _check(self, pools: Mapping[str, Any], numbers: Any) -> None:
        for pool in pools:
            if pool not in self.pools:
                msg = f"there is no pool {pool!r}, only {', '.join(self.pools)}"
                raise ValueError(msg)
        if any(number < 0 for number in numbers):
            msg = f"numbers of jobs are not negative: {dict(pools)}"
            raise ValueError(msg)

    def job_script(self, pool: str | None = None) -> str:
        """The script that is submitted for a job of a pool, but for its name and the scheduler's address."""
        spec = self._specs[pool or self.default_pool]
        if "cls" not in spec or not hasattr(spec["cls"], "job_script"):
            msg = "only clusters of batch jobs have job scripts"
            raise TypeError(msg)
        return str(spec["cls"]("tcp://<scheduler>:8786", name="<name>", **spec["options"]).job_script())

    # ------------------------------------------------------------ by demand

    def adapt(
        self, *, interval: Any = "1s", wait: Any = "10s", renew: Any = None, **limits: tuple[int, int]
    ) -> Adapting:
        """Start and end jobs by the tasks that ask for each pool; replace those that are lost, and those whose time is nearly up.

        Parameters
        ----------
        interval
            How often to look: ``"5s"``, or seconds.
        wait
            How long a pool has too many jobs before some of them are ended.
        renew
            Age at which a job gets a successor: the time limit of the queue, less what a job waits in the queue and some seconds for
            moving its results; ``"50m"`` where jobs may run an hour and start within five minutes. When the successor is there, the
            old job hands over its results and ends. One job of a pool at a time is renewed, so with many jobs begin early. None: never.
        **limits
            The fewest and the most jobs of each pool: ``io=(0, 20), big=(0, 2)``. Pools that are not named stay as they are.

        Returns
        -------
        Adapting
            Its ``stop()`` ends it, as does closing the cluster.
        """
        checked = Limits.of(limits, interval=interval, wait=wait, renew=renew)
        self._check(limits, (number for pair in checked.pools.values() for number in pair))
        if self._adaptive is not None:
            self._adaptive.stop()
        self._adaptive = Adapting(self, checked)
        self._adaptive.start()
        return self._adaptive

    async def _close(self) -> None:
        if self._adaptive is not None:
            self._adaptive.stop()
            await self._adaptive.ended()
        await super()._close()  # type: ignore[misc]


async def _nothing() -> None:
    """What may be awaited and does nothing."""


def _plugin() -> Any:
    """A plugin of the scheduler that restricts marked tasks as their graph arrives."""
    from distributed import SchedulerPlugin

    class Placing(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
        """Reads the marks of :func:`scichunk.cluster.on`."""

        name = "scichunk-pools"

        def update_graph(self, scheduler: Any, **graph: Any) -> None:
            """Restrict what is marked."""
            place(scheduler.tasks, graph["tasks"], graph["annotations"])

    return Placing()
