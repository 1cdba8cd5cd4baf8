"""Which way small files take: through libraries that are loaded anyway, or through kernels that must be loaded or even compiled.

Each module of kernels has another of the same name in :mod:`scichunk.codecs.small`, with the same functions, which gives the same
values and finds the same faults. It is slower by the byte, but numba takes 0.5 CPU seconds to load kernels from its cache, and
several more to compile them.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Final

from scichunk import options
from scichunk.codecs.compiling import prepare_module

__all__ = ["FAMILIES", "announce", "choose", "wants_kernels"]

FAMILIES: Final = {
    "tabledata": ("text.cells", "text.numbers", "text.texts"),
    "binary": ("text.base64", "text.votable_rows"),
    "fits table": ("text.fits_columns",),
    "float predictor": ("float_predictor",),
    "interleaved": ("bands",),
    "fits image": ("rice", "plio", "hcompress", "quantize"),
    "scaling": ("integer_scaling",),
    "packets": ("jpeg2000.packet_headers",),
}
"""Kernels that one kind of data needs together; how each is chosen is said where it is used."""

_SHARE: Final = {
    "tabledata": 4,
    "binary": 8,
    "fits table": 16,
    "float predictor": 350,
    "interleaved": 500,
    "fits image": 1,
    "scaling": 1,
    "packets": 1,
}
"""How many bytes cost as much as one of tile-compressed pixels. Measured on 3 MB of each, in CPU seconds a MB by libraries and by
kernels: TABLEDATA 0.042 and 0.010, BINARY 0.024 and 0.010, texts of FITS tables 0.010 and 0.007; RICE, HCOMPRESS and PLIO 0.07 to 0.09
and 0.004 by MB of pixels; the floating point predictor 0.0006 and 0.0003, interleaved pixels 0.0003 and 0.00004. With the 4 MiB of
``options.kernel_bytes`` libraries take at most as long as loading kernels does."""

_CALL_BYTES: Final = {"tabledata": 1 << 16, "binary": 1 << 17, "fits table": 1 << 18, "fits image": 1 << 14}
"""What a call takes beside its bytes: 1 to 2 ms, of the 0.5 s that kernels take to load; in the others a call is nothing."""

_FAMILY: Final = {module: family for family, modules in FAMILIES.items() for module in modules}
_announced = dict.fromkeys(FAMILIES, 0)


def announce(family: str, nbytes: int) -> None:
    """Say that so many bytes of a kind are about to be decoded; the count of the process decides for :func:`choose`."""
    _announced[family] += nbytes + _CALL_BYTES.get(family, 0)  # races only shift the moment


def wants_kernels(family: str) -> bool:
    """Whether so much of a kind of data was announced that compiled code is worth its start."""
    return _announced[family] > _SHARE[family] * options.get().kernel_bytes


def choose(module: str) -> ModuleType:
    """Return the module that serves, by its name within :mod:`scichunk.codecs`: kernels once enough was announced, else libraries.

    Libraries serve as well while another process, or thread, compiles the kernels: there is nothing to wait for.
    """
    if wants_kernels(_FAMILY[module]) and prepare_module(module):
        return import_module(f"scichunk.codecs.{module}")
    return import_module(f"scichunk.codecs.small.{module.rpartition('.')[2]}")
