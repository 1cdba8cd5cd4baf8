"""Checks that datasets travel: pickled, to new and to forked processes, as dask graphs, and after they were closed."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import tempfile

from scichunk.errors import SourceError
from scichunk.testing.conformance_case import Case, require, require_same

__all__ = ["check_changed_file", "check_close", "check_pickling", "check_processes", "check_tokens"]

_PICKLED = 2048  # bytes: xarray's wrappers take most of them
_TIMEOUT = 120  # seconds; a hang is a failure, not a stuck test run

_CHILD = """
import os, pickle, signal, sys
with open(sys.argv[1], "rb") as file:
    path, variables = pickle.load(file)
    sys.path[:] = path
    variables = pickle.loads(variables)

def write(name):
    found = {label: v.copy(deep=False).values for label, v in variables.items()}
    with open(name, "wb") as file:
        pickle.dump(found, file)

write(sys.argv[2])
child = os.fork() if hasattr(os, "fork") else 0
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) and 3)
if hasattr(signal, "alarm"):
    signal.alarm(60)
import scichunk
write(sys.argv[3])
scichunk.clear_caches()
write(sys.argv[3])
os._exit(0)
"""


def check_pickling(case: Case) -> None:
    """A pickled dataset opens its file again and reads the same values; its arrays weigh little, whatever their size."""
    for label, variable in case.variables():
        lazy = variable.variable.copy(deep=False)
        lazy.attrs, lazy.encoding = {}, {}
        pickled = pickle.dumps(lazy)
        require(len(pickled) <= _PICKLED + len(case.file), f"{label}: pickled it takes {len(pickled)} bytes")
        require_same(pickle.loads(pickled).values, variable.values, f"{label}, pickled")  # noqa: S301  # of the line above


def check_processes(case: Case) -> None:
    """Datasets are read in a new process, and in one that it forks after it has read."""
    variables = {label: v.variable for label, v in case.variables()}
    want = {label: v.values for label, v in case.variables()}
    with tempfile.TemporaryDirectory() as folder:
        sent, new, forked = (os.path.join(folder, name) for name in ("sent", "new", "forked"))
        with open(sent, "wb") as file:
            pickle.dump((sys.path, pickle.dumps(variables)), file)
        command = [sys.executable, "-c", _CHILD, sent, new, forked]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            msg = f"{case.file}: reading in a new process, or in one that it forks, hangs"
            raise AssertionError(msg) from None
        require(os.path.exists(new), f"{case.file}: reading in a new process fails:\n{done.stderr[-2000:]}")
        require(
            done.returncode == 0, f"{case.file}: reading in a forked process fails or hangs:\n{done.stderr[-2000:]}"
        )
        for where, name in (("new", new), ("forked", forked)):
            with open(name, "rb") as file:
                got = pickle.load(file)  # noqa: S301  # written by the process above
            for label, values in want.items():
                require_same(got[label], values, f"{label}, read in a {where} process")


def check_tokens(case: Case) -> None:
    """Dask names equal arrays equally, different ones differently, and those of a changed file anew."""
    first, again = _name_variables(case), _name_variables(case)
    require(first == again, f"{case.file}: opened twice, dask must give one name to one array: {first} and {again}")
    names = list(first.values())
    require(len(set(names)) == len(names), f"{case.file}: two arrays have one dask name: {first}")
    with tempfile.TemporaryDirectory() as folder:
        other = case.copy(folder)
        named = _name_variables(other)
        require(
            not set(named.values()) & set(names), f"{case.file}: a copy elsewhere must not have the names of the file"
        )
        _touch_file(other.file)
        require(
            not set(_name_variables(other).values()) & set(named.values()),
            f"{case.file}: a changed file must have other dask names",
        )


def check_changed_file(case: Case) -> None:
    """Reading from a file that was changed after it was opened is a SourceError, or gives what was kept of it; never other values."""
    import scichunk

    with tempfile.TemporaryDirectory() as folder:
        other = case.copy(folder)
        want = {label: v.values for label, v in other.variables()}
        scichunk.clear_caches()
        kept = [(label, v.variable) for label, v in other.variables()]
        with open(other.file, "rb+") as file:
            turned = bytes(255 - b for b in file.read())
            file.seek(0)
            file.write(turned)
        _touch_file(other.file)
        for cleared in (False, True):
            if cleared:
                scichunk.clear_caches()
            for label, variable in kept:
                try:
                    got = variable.copy(deep=False).values
                except SourceError as error:
                    require("changed" in str(error), f"{label}: the error must say that the file changed: {error}")
                except Exception as error:
                    msg = f"{label}: the file changed, which must be a SourceError, not {type(error).__name__}: {error}"
                    raise AssertionError(msg) from error
                else:
                    require_same(got, want[label], f"{label}, read after the file changed")


def check_close(case: Case) -> None:
    """``Dataset.close`` closes the file, also where others were dropped without it; a read after it opens the file again."""
    import scichunk

    with tempfile.TemporaryDirectory() as folder:
        other = case.copy(folder)  # a file that no other dataset of this process has a share of
        for group in other.wanted():
            other.dataset(group)  # and dropped: its share of the file goes when it is collected
            gc.collect()
            with other.dataset(group) as ds:
                want = {name: v.copy(deep=False).values for name, v in ds.data_vars.items()}
            gc.collect()
            opened = _count_descriptors(os.path.realpath(other.file))
            require(
                not opened, f"{case.file}, {group}: close() must close the file; {opened} descriptors of it are open"
            )
            again = other.dataset(group)
            again.close()
            for name, values in want.items():
                require_same(again[name].values, values, f"{case.file}, group {group}, {name}, read after close()")
            del again
            scichunk.clear_caches()


def _name_variables(case: Case) -> dict[str, str]:
    return {label: str(v.data.name) for label, v in case.variables(chunks={})}


def _touch_file(path: str) -> None:
    """Give a file another time of change, as if it had been written again."""
    found = os.stat(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 3_000_000_000))


def _count_descriptors(path: str) -> int:
    """How often this process has a file open; 0 where that cannot be seen."""
    folder, count = "/proc/self/fd", 0
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            count += os.readlink(os.path.join(folder, name)) == path
        except OSError:  # closed meanwhile
            continue
    return count
