"""The scheduler of distributed writes the history: one run a span, which is a ``compute()`` or what the user has named one."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from distributed.diagnostics.plugin import SchedulerPlugin

from scichunk.adapters.history.store import default_path, describe_run, keep_run
from scichunk.adapters.tally import from_digests

__all__ = ["HistoryPlugin"]

_EVERY_SECONDS: Final = 2.0


class HistoryPlugin(SchedulerPlugin):  # type: ignore[misc]  # distributed has no types
    """Writes spans that have changed, every two seconds and when the scheduler closes.

    Parameters
    ----------
    path
        A file on the machine of the scheduler; by default that of its user.
    """

    name = "scichunk-history"
    idempotent = True

    def __init__(self, path: str | None = None) -> None:
        self.path = path

    async def start(self, scheduler: Any) -> None:
        """Begin to look at the spans."""
        from tornado.ioloop import PeriodicCallback

        self._scheduler, self._path = scheduler, self.path or default_path()
        self._written: dict[str, Any] = {}
        self._erred: Counter[str] = Counter()
        self._memory: dict[str, int] = {}
        self._timer = PeriodicCallback(self._write, _EVERY_SECONDS * 1000)
        self._timer.start()

    def transition(self, key: Any, _start: str, finish: str, *_args: Any, **_kwargs: Any) -> None:
        """Count tasks that fail: their states are forgotten with them."""
        if finish == "erred":
            task = self._scheduler.tasks.get(key)
            # What waits for it fails with it, up to the last step, whose group distributed shares between all computations.
            cause = getattr(task, "exception_blame", None) or task
            if cause is not None and cause.group is not None:
                self._erred[cause.group.span_id] += 1

    async def before_close(self) -> None:
        """Write what is left."""
        self._timer.stop()
        self._write()

    def _write(self) -> None:
        peak = max((int(w.memory.process) for w in self._scheduler.workers.values()), default=0)
        for number, span in list(self._scheduler.extensions["spans"].spans.items()):
            if not span.done:
                self._memory[number] = max(peak, self._memory.get(number, 0))
            reads = from_digests(span.cumulative_worker_metrics)
            state = (span.done, self._erred[number], sum(sums["reads"] for sums in reads.values()))
            if self._written.get(number) == state:
                continue
            metrics = span.cumulative_worker_metrics
            # Of the time of a task distributed tells how long its thread was busy; waiting and other things are told beside it.
            cpu = sum(v for k, v in metrics.items() if k[0] == "execute" and "thread-cpu" in k)
            run = describe_run(
                id=str(number), started=span.enqueued, finished=(span.stop or None) if span.done else None,
                scheduler=str(self._scheduler.id), name=".".join(span.name), workers=len(self._scheduler.workers),
                threads=self._scheduler.total_nthreads, tasks=sum(len(group) for group in span.traverse_groups()),
                erred=self._erred[number], cpu_seconds=cpu, peak_memory=max(peak, self._memory.get(number, 0)),
            )  # fmt: skip
            if keep_run(self._path, run, reads):
                self._written[number] = state
