"""Workers seen from outside: started when they are needed, ended when they take too long, started again when they have died."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from ctypes.util import find_library
from pathlib import Path
from typing import Any, Self

from tests.fuzz.worker import receive, send

ROOT = Path(__file__).resolve().parents[2]
CPU_SECONDS, WALL_SECONDS = 20.0, 180.0
"""How long one mutant may take. Processor time counts, as machines are busy; the other bound is for what waits for ever."""
_START_SECONDS = 300.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Died(Exception):
    """The process ended, or was ended: kind of the find, and a text."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text = kind, text


class Worker:
    """One process of a role, ``"ours"`` or ``"theirs"``.

    Parameters
    ----------
    role
        What it reads with.
    cpu, wall
        Bounds for one mutant, in seconds.
    env
        More environment variables.
    """

    def __init__(
        self, role: str, *, cpu: float = CPU_SECONDS, wall: float = WALL_SECONDS, env: dict[str, str] | None = None
    ) -> None:
        self._role, self._cpu, self._wall = role, cpu, wall
        self._env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"} | (env or {})
        checks = find_library("c_malloc_debug") if role == "ours" else None
        if checks:  # of glibc: a process that writes behind a block of memory ends when the block is freed
            self._env |= {"LD_PRELOAD": checks, "MALLOC_CHECK_": "3"}
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Any = None
        self.done = 0
        self.trace = ""
        """What the last process that died has printed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        if self._process is not None:
            return
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", self._role],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, stderr=self._log, env=self._env, cwd=ROOT,
        )  # fmt: skip
        self._await("ready", _START_SECONDS, _START_SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, self._log):
                pipe.close()

    def read(self, kind: str, data: bytes, number: int) -> dict[str, Any]:
        """Have a mutant read.

        Raises
        ------
        Died
            If the process crashed, or had to be ended. The next call starts another.
        """
        found = next(self.read_many(kind, [(data, number)]))
        if isinstance(found, Died):
            raise found
        return found

    def read_many(self, kind: str, mutants: Sequence[tuple[bytes, int]]) -> Iterator[dict[str, Any] | Died]:
        """Have mutants read, which are sent together: what each gave, or how the process died of it; then another reads on."""
        done = 0
        while done < len(mutants):
            self.start()
            assert self._process is not None
            try:
                send(self._process.stdin, (kind, mutants[done:]))
            except BrokenPipeError:
                yield self._dead("between two mutants")
                done += 1
                continue
            while done < len(mutants):
                try:
                    found: dict[str, Any] | Died = self._await("done", self._cpu, self._wall)
                    self.done += 1
                except Died as error:
                    found = error
                done += 1
                yield found
                if isinstance(found, Died):
                    break

    def _await(self, word: str, cpu: float, wall: float) -> Any:
        process, way = self._process, "start"
        assert process is not None
        start, before = time.monotonic(), self._seconds()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(timeout=0.5):
                    try:
                        kind, found = receive(process.stdout)
                    except EOFError:
                        raise self._dead(way) from None
                    if kind == word:
                        return found
                    way = found
                elif self._seconds() - before > cpu or time.monotonic() - start > wall:
                    seconds, waited = self._seconds() - before, time.monotonic() - start
                    process.send_signal(signal.SIGABRT)  # so that it says where it is
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(10)
                    text = f"{way}: ended after {seconds:.0f} s of the processor, {waited:.0f} s in all: {self._last_words()}"
                    self.stop()
                    raise Died("time-out", text)

    def _seconds(self) -> float:
        """Processor time of the process and all its threads."""
        assert self._process is not None
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _dead(self, way: str) -> Died:
        assert self._process is not None
        code = self._process.wait()
        text = f"{way}: ended with {code}: {self._last_words()}"
        self.stop()
        return Died("crash", text)

    def _last_words(self) -> str:
        """The functions of scichunk in the tracebacks that the process left, or the end of what it printed."""
        self._log.seek(0)
        text = self._log.read()[-20_000:].decode("utf-8", "replace")
        self.trace = text
        lines = re.findall(r'/scichunk/(\S+)", line \d+ in (\w+)', text)
        return " < ".join(f"{file}:{function}" for file, function in lines[:3]) or text[-300:]
