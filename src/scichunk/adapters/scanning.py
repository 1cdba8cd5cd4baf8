"""Headers of very many local files, looked at by all cores: by processes of their own, since parsing holds the interpreter's lock."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

from scichunk import counters, options
from scichunk.sources.siblings import one_look
from scichunk.warned import warn_caller

__all__ = ["Share", "look_by_all_cores", "serve"]

_LEAST_FILES: Final = 5_000
"""Of a process: to start one takes as long as some thousand headers."""
_PROGRAM: Final = "from scichunk.adapters.scanning import serve; serve()"


class Share(Protocol):
    """What a process is told. It can be pickled."""

    @property
    def limits(self) -> options.Snapshot:
        """The options that hold while it looks."""
        ...

    def run(self) -> list[Any]:
        """Look at all files of the share."""
        ...


class Look(Protocol):
    """What looks at one file by its position."""

    def __call__(self, number: int) -> Any:
        """Look at a file."""
        ...

    def share(self, numbers: Sequence[int]) -> Share:
        """What another process must know to look at some of the files."""
        ...


class _Helper(threading.Thread):
    """Waits for a process that looks at a share."""

    def __init__(self, share: Share) -> None:
        super().__init__(name="scichunk-headers")
        self._share = share
        self.seen: list[Any] | None = None
        """None where the process could not do it; why is logged."""
        self.told: list[tuple[str, type[Warning]]] = []
        """Warnings that it gave."""

    def run(self) -> None:
        """Let a process look at the share."""
        # A program of its own, and no fork: threads of this process may hold locks; and the user's script is not run again.
        where = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        try:
            done = subprocess.run(  # noqa: S603  # this very Python, and our own program
                [sys.executable, "-c", _PROGRAM],
                input=pickle.dumps(self._share), capture_output=True, env={**os.environ, "PYTHONPATH": where}, check=False,
            )  # fmt: skip
        except OSError as error:
            counters.log.info("no process can be started to read headers: %s", error)
            return
        if done.returncode:
            counters.log.info("a process that reads headers ended with %d: %s", done.returncode, done.stderr[-500:])
            return
        self.seen, self.told = pickle.loads(done.stdout)  # noqa: S301  # written by our own program


def look_by_all_cores(look: Look, numbers: Sequence[int]) -> list[Any]:
    """Look at files: this process and some others take a share each. What others could not do is done here.

    Parameters
    ----------
    look
        Looks at one file by its position, without a label.
    numbers
        Positions of local files.

    Returns
    -------
    list
        What ``look`` gives, in the order of the positions.
    """
    count = max(1, min(_count_cores(), len(numbers) // min(_LEAST_FILES, options.get().parallel_headers)))
    edges = [len(numbers) * i // count for i in range(count + 1)]
    shares = [numbers[a:b] for a, b in itertools.pairwise(edges)]
    helpers = [_Helper(look.share(share)) for share in shares[1:]]
    for helper in helpers:
        helper.start()
    try:
        found = [look(n) for n in shares[0]]
    finally:
        for helper in helpers:
            helper.join()
    for helper, share in zip(helpers, shares[1:], strict=True):
        for message, kind in helper.told:
            warn_caller(message, kind)
        found += [look(n) for n in share] if helper.seen is None else helper.seen
    return found


def _count_cores() -> int:
    # Of a program with Python in it, or one that was packed, the executable is that program: it would be started anew.
    if not sys.executable or getattr(sys, "frozen", False):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def serve() -> None:
    """Look at the share that is written to the standard input, and write what was found: what other processes run."""
    share = cast("Share", pickle.load(sys.stdin.buffer))  # noqa: S301  # written by the process that has started this one
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # what libraries print is no answer
    with warnings.catch_warnings(record=True) as told, options.frozen(share.limits), one_look():
        warnings.simplefilter("always")
        found = share.run()
    out.write(pickle.dumps((found, [(str(one.message), one.category) for one in told])))
    out.flush()
