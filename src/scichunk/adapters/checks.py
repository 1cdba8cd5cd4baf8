"""What ``scichunk doctor`` looks at beside compiled code: file descriptors, file systems, the scheduler, the history."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from scichunk import options

__all__ = ["check_surroundings"]

_WAIT_SECONDS: Final = 3.0
_SLOW_SYSTEMS: Final = ("nfs", "lustre", "gpfs", "beegfs", "cifs", "smb", "fuse", "9p", "ceph")


def check_surroundings() -> Iterator[tuple[str, bool]]:
    """Yield a line for each thing, and whether it is well."""
    yield from _check_descriptors()
    for what, folder in (("temporary files", tempfile.gettempdir()), ("this folder", os.getcwd())):
        yield f"{what}: {folder} ({_file_system(folder)}, {shutil.disk_usage(folder).free >> 30} GiB free)", True
    yield from _check_scheduler()
    from scichunk.adapters.history.store import default_path

    path = default_path()
    yield (
        f"history: {path} ({'there' if os.path.exists(path) else 'not there: scichunk.history.start() makes it'})",
        True,
    )


def _check_descriptors() -> Iterator[tuple[str, bool]]:
    """Opened files and handles of libraries may take as many as the options say, and connections some more."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    given = options.get()
    wanted = given.cached_files + given.cached_handles + given.concurrency
    enough = limit in {resource.RLIM_INFINITY, -1} or limit >= wanted
    advice = "" if enough else "; raise it (ulimit -n), or lower options.cached_files"
    yield f"file descriptors: {limit}, of which readers may take {wanted}{advice}", enough


def _file_system(folder: str) -> str:
    """Kind of the file system that holds a folder, as Linux names it."""
    best, kind = "", "file system of unknown kind"
    real = os.path.realpath(folder)
    if os.path.exists("/proc/mounts"):
        with open("/proc/mounts", encoding="utf-8", errors="replace") as file:
            for line in file:
                point, found = line.split()[1:3]
                inside = real == point or real.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, found
    return f"{kind}, shared over a network" if kind.startswith(_SLOW_SYSTEMS) else kind


def _check_scheduler() -> Iterator[tuple[str, bool]]:
    """Whether the scheduler that dask would connect to answers."""
    import dask.config

    address: Any = dask.config.get("scheduler-address", None)
    if not address:
        yield "scheduler: none is configured (DASK_SCHEDULER_ADDRESS)", True
        return
    parts = urlsplit(str(address) if "://" in str(address) else f"tcp://{address}")
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 8786), _WAIT_SECONDS):
            yield f"scheduler: {address} answers", True
    except OSError as error:
        yield f"scheduler: {address} does NOT answer ({error})", False
