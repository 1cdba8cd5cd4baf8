"""What holds for every test: it starts with empty caches and default options, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import shutil
import sys
import tempfile
import threading
import time
import warnings

import hypothesis
import pytest

import scichunk

# Where dask-array is installed, xarray imports it whenever a dataset is computed, and it then replaces a function of dask by which data frames
# are pickled. Its test runs in a process of its own.
sys.modules["dask_array"] = None

hypothesis.settings.register_profile("scichunk", deadline=None)  # time on a shared machine says nothing
hypothesis.settings.load_profile("scichunk")

_LASTING_THREADS = {
    "fsspecIO": "fsspec runs one event loop a process for all its file systems",
    "ThreadPoolExecutor-": "the default pool of dask.threaded lives as long as the process",
    "asyncio_": "workers of an event loop's default executor, which asyncio.to_thread uses; fsspec's loop never ends",
    "execnet": "pytest-xdist talks to its controller through it",
    "pytest_timeout": "pytest-timeout watches the test from it",
    "numba": "numba's threading layer keeps its workers",
    "pyarrow": "pyarrow's pools last; most of their threads are unknown to Python",
    "Dask-": "dask and distributed keep offloading and default-executor threads for the process",
    "IO loop": "distributed keeps one event loop a process",
    "Profile": "distributed's profiler sleeps before it sees that its server is closed",
    "AsyncProcess": "distributed watches a child process that is ending",
    "zarr_io": "zarr runs one event loop a process",
    "TCP-Executor": "distributed's TCP pool lasts",
    "Event loop": "distributed of some versions names its loop's thread so",
    "Dummy-": "threads of TensorFlow, which are no threads of Python, call it",
    "pydevd": "a debugger",
}
"""Beginnings of the names of threads that other packages keep for the process, and why."""

_LASTING_KINDS = {
    "(process_request_thread)": "http.server ends such a thread with its connection, and fsspec's sessions keep theirs",
}
"""Ends of the names of threads of the tests' own servers, and why."""

_SECONDS_TO_SETTLE = float(os.environ.get("SECONDS_TO_SETTLE", "30"))
"""For how long something may still be there after a test. The number is no measure: what was cut off, such as a request to a server that is
closed meanwhile, ends when it gets its turn on a loaded machine; what leaks never ends."""

_LASTING_FILES = ("/dev/", "/proc/", "/sys/")


@dataclasses.dataclass(frozen=True)
class State:
    """What a test could leave behind."""

    descriptors: dict[int, str]
    threads: frozenset[threading.Thread]
    temporaries: frozenset[str]
    filters: tuple[tuple, ...]

    @classmethod
    def now(cls) -> State:
        return cls(
            _descriptors(),
            frozenset(threading.enumerate()),
            frozenset(name for name in os.listdir(tempfile.gettempdir()) if name.startswith("scichunk-")),
            tuple(warnings.filters),
        )

    def left(self, before: State) -> dict[str, list[str]]:
        """What is there now and was not before, by kind."""
        found = {
            "descriptors": [
                f"{fd} -> {target}" for fd, target in self.descriptors.items() if before.descriptors.get(fd) != target
            ],
            "threads": [t.name for t in self.threads - before.threads if t.is_alive() and not _lasts(t)],
            "temporaries": sorted(self.temporaries - before.temporaries),
            "filters": _changed_filters(before.filters, self.filters),
        }
        return {kind: those for kind, those in found.items() if those}


def _descriptors() -> dict[int, str]:
    """Open regular files by descriptor.

    Pipes, sockets and event loops are left out: fsspec's sessions and dask's pools keep theirs. So are files of installed packages,
    such as the database of PROJ, which its library keeps open for each thread.
    """
    found = {}
    if not os.path.isdir("/proc/self/fd"):
        return found
    lasting = (*_LASTING_FILES, *(os.path.realpath(p) for p in {sys.prefix, sys.base_prefix}))
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("/") and not target.startswith(lasting):
                found[int(name)] = target
    return found


def _lasts(thread: threading.Thread) -> bool:
    return thread.name.startswith(tuple(_LASTING_THREADS)) or thread.name.endswith(tuple(_LASTING_KINDS))


def _changed_filters(before: tuple[tuple, ...], after: tuple[tuple, ...]) -> list[str]:
    """Filters that are gone, and new ones for every warning; packages add narrow ones of their own when they are imported."""
    gone = [f"lost {f}" for f in before if f not in after]
    wide = [f"new {f}" for f in after if f not in before and f[1] is None and f[2] is Warning and f[3] is None]
    return gone + wide


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory):
    """Let each process of the tests, and its children, have a temporary folder in which it alone looks for what is left."""
    tmp_path_factory.getbasetemp()  # pytest's own is chosen before
    with pytest.MonkeyPatch.context() as patch:
        folder = tempfile.mkdtemp(
            prefix="sct-"
        )  # short: sockets of multiprocessing lie in it, of at most 107 characters
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield
    shutil.rmtree(folder, ignore_errors=True)


_OPTIONS = dataclasses.asdict(scichunk.options.get())


def _reset() -> None:
    scichunk.clear_caches()
    scichunk.options.set(**_OPTIONS)


def _close_files_of_xarray() -> None:
    """Close what xarray keeps open for other engines, which the tests compare with; scichunk's engines keep nothing there.

    Its file managers close their file when they are collected, but for those that are collected while the lock of their library is
    held: theirs stays open until 128 others have been opened.
    """
    managers = sys.modules.get("xarray.backends.file_manager")
    if managers is not None:
        managers.FILE_CACHE.clear()


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Remember that a test failed: its traceback keeps what its functions had open."""
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or call.excinfo is not None
    return (yield)


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request, own_temporary_folder):
    """Empty caches and default options before and after; fails a test that leaks files, threads, temporary files or filters."""
    _reset()
    before = State.now()
    yield
    changed = scichunk.options.get()
    request.node.funcargs.clear()  # pytest keeps the values of fixtures, such as open datasets, until all of them are torn down
    _reset()
    if request.node.stash.get(_FAILED, False):
        return
    left = _settled(before)
    assert not left, f"the test leaves behind: {left}"
    assert changed == scichunk.options.get(), f"the test leaves changed options: {changed}"


def _settled(before: State) -> dict[str, list[str]]:
    """What is left once cycles are collected and threads that were ending have ended."""
    left, pause = State.now().left(before), 0.02
    deadline = time.monotonic() + _SECONDS_TO_SETTLE
    while left and time.monotonic() < deadline:
        gc.collect()
        _close_files_of_xarray()
        left = State.now().left(before)
        if left.keys() <= {"filters"}:
            break
        time.sleep(pause)
        pause = min(2 * pause, 1)
    return left


@pytest.fixture(autouse=True)
def errors_are_foreseen(request, monkeypatch):
    """Fail a test in which a reader raised by mistake: the net that makes errors of the tree of it must hide no fault."""
    raised = []
    init = scichunk.errors.ParserError.__init__

    def record(self, message, **place):
        raised.append(message)
        init(self, message, **place)

    monkeypatch.setattr(scichunk.errors.ParserError, "__init__", record)
    yield
    assert not raised or request.node.get_closest_marker("unforeseen"), f"a reader raised by mistake: {raised}"
