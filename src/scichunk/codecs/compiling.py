"""Loading compiled code, and compiling it in one process of a machine at a time."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from scichunk.codecs.object_code import look_again
from scichunk.codecs.object_files import list_objects
from scichunk.codecs.signatures import FIRST

__all__ = ["lock_path", "prepare_module", "sole_compiler"]

_ready: set[str] = set()
_preparing = threading.Lock()
_locked: set[int] = set()
"""Descriptors of the files that this process has locked, or tries to."""


def _after_fork() -> None:
    global _preparing  # noqa: PLW0603  # another thread of the parent may have held it
    _preparing = threading.Lock()
    for handle in _locked:  # a lock lasts as long as any copy of its descriptor, and a child may live for days
        os.close(handle)
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def lock_path(folder: Path) -> Path:
    """The file that is locked while a process compiles what is kept in a folder."""
    return folder / "scichunk-compiling.lock"


@contextlib.contextmanager
def sole_compiler(folder: Path | None, *, wait: bool = False) -> Iterator[bool]:
    """Be the process that compiles; False if another one is. The system frees the lock of a process that ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows: each process compiles
        yield True
        return
    try:
        if folder is None:
            raise OSError  # noqa: TRY301
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock_path(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # no place for the file, nor for what is compiled: each process compiles
        yield True
        return
    _locked.add(handle)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            yield False
        else:
            yield True
    finally:
        if handle in _locked:  # else this is a child, which has closed it
            _locked.remove(handle)
            os.close(handle)


def _has_objects(module: str) -> bool:
    """Whether there is object code of all that is compiled first."""
    names = [f"{module}.{name} ({letters})" for name, kinds in FIRST.get(module, {}).items() for letters in kinds]
    found = dict(list_objects(module)) if names else {}
    return bool(names) and all(found[name] == "" for name in names)


def prepare_module(name: str) -> bool:
    """Load the kernels of a module, or compile them; False if another thread or process compiles at this moment."""
    if name in _ready:
        return True
    if not _preparing.acquire(blocking=False):
        return False
    try:
        if not _has_objects(name):
            from scichunk.codecs import _numba

            module = import_module(f"scichunk.codecs.{name}")
            with sole_compiler(_numba.folder_of(module)) as mine:
                if not mine:
                    return False
                if not _has_objects(name):  # the process before may have compiled them
                    _numba.prepare(module, FIRST.get(name, {}))
        look_again(name)
        _ready.add(name)
        return True
    finally:
        _preparing.release()
