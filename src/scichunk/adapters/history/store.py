"""The file of the history: SQLite, small, safe with many writers."""

from __future__ import annotations

import contextlib
import datetime as dt
import getpass
import os
import re
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, Final

from scichunk.adapters.tally import Sums
from scichunk.counters import METRICS
from scichunk.errors import FormatError, HistoryWarning, SourceError
from scichunk.warned import warn_caller

__all__ = ["default_path", "describe_run", "keep_run", "parse_since", "runs"]

_MOST_RUNS: Final = 10_000
"""Older ones are forgotten: at 2 kB a run, 20 MB."""
_WAIT_SECONDS: Final = 10.0
"""For other writers; each writes for some milliseconds."""
_failing: set[str] = set()
"""Files into which the last run could not be written: they are waited for no more, and have been warned of."""
_SCHEMA: Final = f"""
create table if not exists runs(id text primary key, started real, finished real, user text, host text, scheduler text, name text,
  workers int, threads int, tasks int, erred int, cpu_seconds real, peak_memory int);
create table if not exists reads(run text, format text, dataset text, {", ".join(f"{m} real" for m in METRICS)},
  primary key(run, format, dataset)) without rowid;
create index if not exists runs_started on runs(started);
"""
_RUN: Final = (
    "id", "started", "finished", "user", "host", "scheduler", "name", "workers", "threads", "tasks", "erred", "cpu_seconds", "peak_memory",
)  # fmt: skip
_WORDS: Final = frozenset({"id", "user", "host", "scheduler", "name", "format", "dataset"})
_MAY_LACK: Final = frozenset({"finished", "workers", "threads", "cpu_seconds", "peak_memory"})
_MOST: Final = 1e18
_LATEST: Final = 2.5e11
"""Seconds since 1970 of which there are dates."""
_UNITS: Final = {"h": 3600, "d": 86400, "w": 7 * 86400}


def default_path() -> str:
    """Return where the history of this user lies: ``scichunk/history.sqlite`` in ``XDG_DATA_HOME`` or ``~/.local/share``."""
    base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(base, "scichunk", "history.sqlite")


@contextlib.contextmanager
def _connect(path: str) -> Iterator[sqlite3.Connection]:
    """One connection for one piece of work: none is kept over a fork, and none holds the file."""
    connection = sqlite3.connect(path, timeout=0.0 if path in _failing else _WAIT_SECONDS)
    try:
        connection.row_factory = sqlite3.Row
        with connection:
            yield connection
    finally:
        connection.close()


def _has_tables(file: sqlite3.Connection) -> bool:
    return bool(file.execute("select 1 from sqlite_master where name = 'reads'").fetchone())


def keep_run(path: str, run: Mapping[str, Any], reads: Sums) -> bool:
    """Write a run, or write it anew; False where it cannot be written, which is warned of: it must not hinder what is computed."""
    try:
        _write_run(path, run, reads)
    except (OSError, ValueError, sqlite3.Error) as error:
        if path not in _failing:
            _failing.add(path)
            warn_caller(f"the history cannot be written: {error} [{path}]", HistoryWarning)
        return False
    _failing.discard(path)
    return True


def _write_run(path: str, run: Mapping[str, Any], reads: Sums) -> None:
    """Write a run; the oldest ones go where there are very many."""
    marks = ", ".join("?" * len(_RUN))
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with _connect(path) as file:
        if not _has_tables(file):
            file.executescript(_SCHEMA)
        file.execute("begin immediate")  # waits for other writers now, and not after it has read
        file.execute(f"insert or replace into runs values ({marks})", [run.get(name) for name in _RUN])  # noqa: S608  # only marks
        file.executemany(
            f"insert or replace into reads values ({', '.join('?' * (3 + len(METRICS)))})",  # noqa: S608
            [(run["id"], *place, *(sums.get(m, 0) for m in METRICS)) for place, sums in reads.items()],
        )
        oldest = "select id from runs order by started desc limit -1 offset ?"
        for table, column in (("reads", "run"), ("runs", "id")):
            file.execute(f"delete from {table} where {column} in ({oldest})", [_MOST_RUNS])  # noqa: S608


def _user_name() -> str:
    """Return the name of the user, or the number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # in containers
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def describe_run(**known: Any) -> dict[str, Any]:
    """Return what is told of each run, and what is known of this one."""
    return {"user": _user_name(), "host": socket.gethostname(), **known}


def parse_since(since: Any) -> float:
    """Turn ``"7d"``, ``"12h"``, ``"2w"``, a date or a number of seconds since 1970 into the latter.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if since is None:
        return 0.0
    if isinstance(since, int | float):
        return float(since)
    if isinstance(since, dt.datetime):
        return since.timestamp()
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", str(since).strip())
    if found:
        return dt.datetime.now(tz=dt.UTC).timestamp() - float(found[1]) * _UNITS[found[2]]
    try:
        return dt.datetime.fromisoformat(str(since)).timestamp()
    except ValueError:
        msg = f'since must be like "7d", "12h", "2w" or "2026-01-31", got {since!r}'
        raise ValueError(msg) from None


def runs(since: Any = None, *, path: str | None = None) -> list[dict[str, Any]]:
    """Return what was computed, the oldest first.

    Parameters
    ----------
    since
        ``"12h"``, ``"7d"``, ``"2w"``, a date, or seconds since 1970; by default all that is kept (10,000 runs).
    path
        Of the file; by default :func:`default_path`.

    Returns
    -------
    list of dict
        With ``started``, ``finished`` (seconds since 1970, or None), ``host``, ``scheduler``, ``name``, ``workers``, ``threads``,
        ``tasks``, ``erred``, ``cpu_seconds``, ``peak_memory``, and ``reads``: a list of dicts with ``format``, ``dataset`` and the
        counters of :func:`scichunk.profile`.

    Raises
    ------
    FormatError
        If the file is no history, or damaged.
    SourceError
        If it cannot be read.
    """
    where = os.path.expanduser(path) if path else default_path()
    first = parse_since(since)
    if not os.path.exists(where):
        return []
    try:
        with _connect(where) as file:
            return _read_runs(file, first) if _has_tables(file) else []
    except sqlite3.OperationalError as error:
        msg = f"the history cannot be read: {error}"
        raise SourceError(msg, url=where) from error
    except sqlite3.DatabaseError as error:
        msg = f"it is no history of scichunk: {error}"
        raise FormatError(msg, url=where) from error


def _read_runs(file: sqlite3.Connection, first: float) -> list[dict[str, Any]]:
    found = [dict(row) for row in file.execute("select * from runs where started >= ? order by started", [first])]
    reads: dict[str, list[dict[str, Any]]] = {}
    wanted = "select reads.* from reads join runs on runs.id = reads.run where runs.started >= ?"
    for row in map(dict, file.execute(wanted, [first])):
        reads.setdefault(row.pop("run"), []).append(row)
    for row in (*found, *(read for some in reads.values() for read in some)):
        _check_numbers(row)
    return [{**run, "reads": reads.get(run["id"], [])} for run in found]


def _check_numbers(row: Mapping[str, Any]) -> None:
    """Raise an error of SQLite for a row of something else: SQLite takes any kind of value into any column."""
    for name, value in row.items():
        left_out = value is None and name in _MAY_LACK
        most = _LATEST if name in {"started", "finished"} else _MOST
        if name not in _WORDS and not (left_out or (isinstance(value, int | float) and abs(value) < most)):
            msg = f"{name} is {value!r}"[:80]
            raise sqlite3.DatabaseError(msg)
