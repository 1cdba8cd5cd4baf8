"""Which way small files take: through libraries that are loaded anyway, or through kernels that must be loaded or even compiled.

Each module of kernels has another of the same name in :mod:`scichunk.codecs.small`, with the same functions, which gives the same
values and finds the same faults. It is slower by the byte, but numba takes 0.5 CPU seconds to load kernels from its cache, and
several more to compile them.
"""

from __future__ import annotations

import threading
from importlib import import_module
from types import ModuleType
from typing import Final

from scichunk import options

__all__ = ["FAMILIES", "announce", "choose"]

FAMILIES: Final = {
    "tabledata": ("text.cells", "text.numbers", "text.texts"),
    "binary": ("text.base64", "text.votable_rows"),
    "fits table": ("text.fits_columns",),
    "float predictor": ("float_predictor",),
    "fits image": ("rice", "plio", "hcompress", "quantize"),
}
"""Kernels that one kind of data needs together."""

_FAMILY: Final = {module: family for family, modules in FAMILIES.items() for module in modules}
_announced: dict[str, int] = {}
_lock = threading.Lock()


def announce(family: str, nbytes: int) -> None:
    """Say that so many bytes of a kind are about to be decoded; the count of the process decides for :func:`choose`."""
    with _lock:
        _announced[family] = _announced.get(family, 0) + nbytes


def compiled(family: str) -> bool:
    """Whether compiled code is to decode this kind of data: enough was announced."""
    return _announced.get(family, 0) > options.get().kernel_bytes


def choose(module: str) -> ModuleType:
    """Return the module that serves, by its name within :mod:`scichunk.codecs`: compiled once enough was announced, else of libraries."""
    if compiled(_FAMILY[module]):
        return import_module(f"scichunk.codecs.{module}")
    return import_module(f"scichunk.codecs.small.{module.rpartition('.')[2]}")
