"""How numba is asked for: in one place, with types that hold whichever version of numba and of its types is installed."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar, cast

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.extending import intrinsic as numba_intrinsic

from scichunk.codecs import _emitting
from scichunk.codecs.object_files import stamp_sources
from scichunk.errors import PerformanceWarning
from scichunk.warned import warn_caller

__all__ = [
    "CONFIG",
    "Flag",
    "Int",
    "compiled",
    "folder_of",
    "inlined",
    "inner_kernel",
    "intrinsic",
    "kernel",
    "prepare",
]

F = TypeVar("F", bound=Callable[..., Any])

Int = Any
"""An integer of kernels: numba makes no difference between Python's and NumPy's, type checkers do, and each version of them its own."""

Flag = Any
"""A truth value of kernels, likewise."""

CONFIG: Final[Any] = cast("Any", numba).config
"""Of numba, which checkers do not know."""
_choosing_folder = threading.Lock()
_warned = threading.Event()


def _after_fork() -> None:
    global _choosing_folder  # noqa: PLW0603  # another thread of the parent may have held it
    _choosing_folder = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _LenientCache(FunctionCache):  # type: ignore[misc]  # numba has no types
    """Numba's cache of one function, in which a file that cannot be read or written is one that is not there.

    Object code is made of what was compiled just now, so what lies here without it is compiled again.
    """

    def __init__(self, py_func: Any) -> None:
        super().__init__(py_func)
        # Numba's stamp is of the function's own file; functions of others become part of it.
        stamp = (self._impl.locator.get_source_stamp(), stamp_sources())
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if not _emitting.is_current(self._py_func, getattr(sig, "args", sig)) and os.access(self._cache_path, os.W_OK):
            return None
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001  # what a damaged pickle raises is anything
            self._start_anew()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        _emitting.emit_kernel(self._py_func, data)
        try:
            super().save_overload(sig, data)
        except OSError:
            warn_unwritable()
        except Exception:  # noqa: BLE001  # the index is read before it is written
            self._start_anew()

    def _start_anew(self) -> None:
        try:
            self.flush()
        except OSError:
            warn_unwritable()


@contextlib.contextmanager
def _folder() -> Iterator[None]:
    """``SCICHUNK_CACHE_DIR`` as numba's folder, for our functions only."""
    chosen = os.environ.get("SCICHUNK_CACHE_DIR")
    if not chosen:
        yield
        return
    with _choosing_folder:
        before, CONFIG.CACHE_DIR = CONFIG.CACHE_DIR, chosen
        try:
            yield
        finally:
            CONFIG.CACHE_DIR = before


def warn_unwritable() -> None:
    """Warn once in a process."""
    if _warned.is_set():
        return
    _warned.set()
    msg = (
        "there is no place to keep compiled code, so each process compiles it anew: set SCICHUNK_CACHE_DIR to a writable folder "
        "(scichunk doctor says what was tried)"
    )
    warn_caller(msg, PerformanceWarning)


def compiled(function: F, signature: Any = None, **options: Any) -> F:
    """Compile a function, now if there is a signature, else on first use; it runs without the GIL.

    The machine code is kept in ``SCICHUNK_CACHE_DIR``, else where numba keeps it: in ``NUMBA_CACHE_DIR``, beside the module or, where an
    installation is read-only, in the user's cache. Where none of them can be written each process compiles anew, and a warning says so.
    """
    found: Any = numba.njit(nogil=True, **options)(function)
    try:
        with _folder():
            found._cache = _LenientCache(function)  # noqa: SLF001  # what enable_caching does, with a cache that never fails
    except RuntimeError as error:
        if "cache" not in str(error) and "locator" not in str(error):
            raise
        warn_unwritable()
    except OSError:
        warn_unwritable()
    if signature is not None:
        found.compile(signature)
        found.disable_compile()
    return cast("F", found)


def kernel(function: F) -> F:
    """Compile a function on first use."""
    return compiled(function)


def inner_kernel(function: F) -> F:
    """Compile a function that only kernels call: without the ways in, which take their time to compile. Python cannot call it."""
    return compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def inlined(function: F) -> F:
    """Compile a function into those that call it: for a few instructions, since each call is a copy."""
    return compiled(function, inline="always")


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make an instruction of its own; numba gives the first parameter, the caller the others."""
    return cast("Callable[..., Any]", numba_intrinsic(function))


def folder_of(module: ModuleType) -> Path | None:
    """Where the compiled code of a module is kept; None: nowhere."""
    found = (value.stats.cache_path for value in vars(module).values() if hasattr(value, "py_func"))
    return next((Path(place) for place in found if place), None)


def prepare(module: ModuleType, signatures: dict[str, tuple[str, ...]]) -> None:
    """Load kernels for the given types from the cache, or compile them."""
    for name, texts in signatures.items():
        for text in texts:
            getattr(module, name).compile(tuple(map(_emitting.type_of, text.split())))
