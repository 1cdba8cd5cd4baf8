"""How numba is asked for: one decorator, and types that hold whichever version of numba and of its types is installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic as numba_intrinsic

__all__ = ["Int", "intrinsic", "kernel"]

F = TypeVar("F", bound=Callable[..., Any])

Int = Any
"""An integer of kernels: numba makes no difference between Python's and NumPy's, type checkers do, and each version of them its own."""


def kernel(function: F) -> F:
    """Compile a function on first use, without the GIL, and keep it in numba's cache on disk."""
    return cast("F", numba.njit(nogil=True, cache=True)(function))


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make an instruction of its own; numba gives the first parameter, the caller the others."""
    return cast("Callable[..., Any]", numba_intrinsic(function))
