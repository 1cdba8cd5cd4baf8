"""Which way small files take: through libraries that are loaded anyway, or through kernels that must be loaded or even compiled.

Most modules of kernels have another of the same name in :mod:`scichunk.codecs.small`, with the same functions, which gives the same
values and finds the same faults. It is slower by the byte, but kernels take 0.001 CPU seconds to be loaded as object code, 0.5 through
numba from its cache, and several more to be compiled.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from scichunk import options
from scichunk.codecs.compiling import prepare_module
from scichunk.codecs.object_code import objects_of
from scichunk.codecs.object_files import IS_LINKED

__all__ = ["FAMILIES", "announce", "choose", "find_kernels", "find_objects", "load_kernels", "wants_kernels"]

FAMILIES: Final = {
    "tabledata": ("text.cells", "text.numbers", "text.texts"),
    "binary": ("text.base64", "text.votable_rows"),
    "fits table": ("text.fits_columns",),
    "float predictor": ("float_predictor",),
    "horizontal predictor": ("differences",),
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
    "horizontal predictor": 2000,
    "interleaved": 500,
    "fits image": 1,
    "scaling": 128,
    "packets": 1,
}
"""How many bytes cost as much as one of tile-compressed pixels. Measured on 3 MB of each, in CPU seconds a MB by libraries and by
kernels: TABLEDATA 0.042 and 0.010, BINARY 0.024 and 0.010, texts of FITS tables 0.010 and 0.007; RICE, HCOMPRESS and PLIO 0.07 to 0.09
and 0.004 by MB of pixels; the floating point predictor 0.0006 and 0.0003, the horizontal one 0.0002 and 0.00004, interleaved pixels
0.0003 and 0.00004, scaling 0.0003 and 0.0001. With the 4 MiB of ``options.kernel_bytes`` libraries take at most as long as loading
kernels by numba does."""

_OBJECT_PART: Final = 1024 if IS_LINKED else 64
"""Object code is loaded after this part of the bytes, less than those that cost as much by libraries: it takes 0.001 s once, through
LLVM 0.02, and who reads so much mostly reads more."""

_CALL_BYTES: Final = {"tabledata": 1 << 16, "binary": 1 << 17, "fits table": 1 << 18, "fits image": 1 << 14}
"""What a call takes beside its bytes: 1 to 2 ms, of the 0.5 s that kernels take to load; in the others a call is nothing."""

_FAMILY: Final = {module: family for family, modules in FAMILIES.items() for module in modules}
_OWN_WAYS: Final = frozenset({"float_predictor", "differences", "bands", "integer_scaling"})
"""Modules without another of the same functions: who calls them has a way of its own, and takes it where NotImplemented is returned."""
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
    return find_kernels(module) or _import_small(module)


def find_kernels(module: str) -> ModuleType | None:
    """Return the kernels of a module once enough was announced for the way they must be loaded; else None."""
    announced, worth = _announced[_FAMILY[module]], _SHARE[_FAMILY[module]] * options.get().kernel_bytes
    if announced > worth // _OBJECT_PART:
        objects = find_objects(module)
        if objects is not None:
            return objects
    return _compiled(module) if announced > worth else None


def find_objects(module: str) -> ModuleType | None:
    """Return the kernels of a module where there is object code of them; else None."""
    return objects_of(module, partial(_replace, module))


def load_kernels(module: str) -> ModuleType:
    """Return the kernels of a module, whatever it takes to load them."""
    return find_objects(module) or import_module(f"scichunk.codecs.{module}")


def _compiled(module: str) -> ModuleType | None:
    if not prepare_module(module):
        return None
    # Object code takes what can be written and what cannot, for which numba would compile twice.
    return load_kernels(module)


def _replace(module: str) -> ModuleType:
    """Return what serves for a kernel that there is no object code of."""
    if module == "jpeg2000.packet_headers" or (wants_kernels(_FAMILY[module]) and prepare_module(module)):
        return import_module(f"scichunk.codecs.{module}")
    return _DECLINING if module in _OWN_WAYS else _import_small(module)


class _Declining(ModuleType):
    """A module whose functions return NotImplemented."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_: NotImplemented


_DECLINING: Final = _Declining("scichunk.codecs")


def _import_small(module: str) -> ModuleType:
    return import_module(f"scichunk.codecs.small.{module.rpartition('.')[2]}")
