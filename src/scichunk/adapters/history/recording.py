"""Who writes the history: a callback of dask for the schedulers of this process, a plugin for that of distributed."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import time
import uuid
from typing import Any

from scichunk import counters
from scichunk.adapters.history.store import default_path, describe_run, keep_run
from scichunk.adapters.profiling import peak_memory
from scichunk.adapters.tally import Tally, subtract

__all__ = ["start", "stop"]

_active: dict[str, LocalRecorder] = {}
_lock = threading.Lock()


def start(path: str | os.PathLike[str] | None = None, *, client: Any = None) -> None:
    """Keep what is computed from now on: by schedulers of this process, and by a cluster.

    Parameters
    ----------
    path
        A file, made where it is not there; by default :func:`default_path`. Any number of processes may write into it.
    client
        A client of distributed; by default the current one, if there is one. Its scheduler writes into a file of this name on its own
        machine, and goes on to do so without this process.
    """
    where = os.path.abspath(os.path.expanduser(path) if path is not None else default_path())
    with _lock:
        if where not in _active:
            _active[where] = LocalRecorder(where)
            _active[where].start()
    client = client or _current_client()
    if client is not None:
        from scichunk.adapters.history.cluster import HistoryPlugin

        client.register_plugin(HistoryPlugin(where if path is not None else None))


def stop() -> None:
    """Keep no more of what this process computes; clusters go on until they are closed."""
    with _lock:
        for recorder in _active.values():
            recorder.stop()
        _active.clear()


def _current_client() -> Any:
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:  # there is none
        return None


class LocalRecorder:
    """Writes a run for each ``compute()`` of a scheduler of this process."""

    def __init__(self, path: str) -> None:
        from dask.callbacks import Callback

        self.path, self._tally = path, Tally()
        self._begun: contextvars.ContextVar[Any] = contextvars.ContextVar("scichunk_run", default=None)
        self._callback = Callback(start=self._start, finish=self._finish)

    def start(self) -> None:
        """Begin to listen."""
        counters.add_listener(self._tally)
        self._callback.register()

    def stop(self) -> None:
        """Listen no more."""
        counters.remove_listener(self._tally)
        self._callback.unregister()

    def _start(self, _graph: Any) -> None:
        self._begun.set((time.time(), time.process_time(), self._tally.copy()))

    def _finish(self, _graph: Any, state: Any, failed: bool) -> None:
        begun = self._begun.get()
        if begun is None:
            return
        began, cpu, before = begun
        tasks = len(state["finished"]) if state else 0
        run = describe_run(
            id=uuid.uuid4().hex, started=began, finished=time.time(), scheduler="local", name="", workers=1,
            threads=os.cpu_count(), tasks=tasks, erred=int(failed), cpu_seconds=time.process_time() - cpu, peak_memory=peak_memory(),
        )  # fmt: skip
        keep_run(self.path, run, subtract(self._tally.copy(), before))


def _after_fork() -> None:
    global _lock  # noqa: PLW0603  # it may have been held by a thread that is not there any more
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
