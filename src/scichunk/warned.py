"""Warnings that name the line of the user's code that led to them, however deep within libraries they arise."""

from __future__ import annotations

import sys
import sysconfig
import warnings
from pathlib import Path
from types import FrameType
from typing import Final

from scichunk.errors import shortened

__all__ = ["warn_caller"]

_PACKAGE: Final = str(Path(__file__).parent)
_LIBRARY: Final = sysconfig.get_paths()["stdlib"]


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn as :func:`warnings.warn` does, of the nearest line that is of neither scichunk, Python's library, nor an installed package.

    ``stacklevel`` cannot say that: a file is opened by one of our functions, by xarray, or by a task of Dask. In a thread that none
    of the user's lines has begun, the outermost line is named.
    """
    frame: FrameType = sys._getframe(1)  # noqa: SLF001  # the way to one's callers
    while frame.f_back is not None and _is_inner(frame.f_code.co_filename):
        frame = frame.f_back
    # As warnings.warn gives them: where each line was warned of is noted in its module, so that it is not warned of twice.
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    name = frame.f_globals.get("__name__") or "<string>"
    warnings.warn_explicit(shortened(message), category, frame.f_code.co_filename, frame.f_lineno, name, registry)


def _is_inner(file: str) -> bool:
    """Whether a line of code is not the user's: ours, of Python, or of what is installed (numba, Dask, xarray)."""
    return file.startswith((_PACKAGE, _LIBRARY, "<frozen")) or "site-packages" in file
