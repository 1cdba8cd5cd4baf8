"""How numba is asked for: in one place, with types that hold whichever version of numba and of its types is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic as numba_intrinsic

from scichunk.errors import PerformanceWarning

__all__ = ["Flag", "Int", "compiled", "inlined", "inner_kernel", "intrinsic", "kernel"]

F = TypeVar("F", bound=Callable[..., Any])

Int = Any
"""An integer of kernels: numba makes no difference between Python's and NumPy's, type checkers do, and each version of them its own."""

Flag = Any
"""A truth value of kernels, likewise."""


def compiled(function: F, signature: Any = None, **options: Any) -> F:
    """Compile a function, now if there is a signature, else on first use; it runs without the GIL.

    The machine code is kept beside the module or, where an installation is read-only, in the user's cache or in
    ``NUMBA_CACHE_DIR``. Where none of them can be written each process compiles anew, and a warning says so.
    """
    given = () if signature is None else (signature,)
    try:
        return cast("F", numba.njit(*given, nogil=True, cache=True, **options)(function))
    except RuntimeError as error:
        if "cache" not in str(error):
            raise
        msg = "numba finds no place for compiled code, so each process compiles it anew: set NUMBA_CACHE_DIR to a writable folder"
        warnings.warn(msg, PerformanceWarning, stacklevel=2)
        return cast("F", numba.njit(*given, nogil=True, **options)(function))


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
