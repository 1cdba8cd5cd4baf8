"""Kernels from object code: compiled by numba once, loaded and called without it.

To import numba and load a kernel from its cache takes 0.3 to 0.5 CPU seconds, most of it for numba's registries of types and
functions. An image of linked code is copied and called within a millisecond; where there are none (see ``object_files.py``), LLVM
alone, which is in llvmlite, loads in 0.02 s and links an object file in 0.001 s. Arrays are handed over as numba lays them
out (``_emitting.py`` checks that it still does): owner, parent, size, item size, data, shape, strides; without an owner nothing is
counted. ctypes releases the GIL.
"""

from __future__ import annotations

import ctypes
import mmap
import operator
import os
import struct
import threading
from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import Any, Final, NamedTuple, cast

import numpy as np

from scichunk.codecs.object_files import ObjectHead, list_objects, read_object, signatures_of
from scichunk.codecs.signatures import parse_type

__all__ = ["ObjectKernel", "ObjectModule", "look_again", "objects_of"]

_RESULT_BYTES: Final = 64
"""A call hands over one block of words: what is returned, where an error is told, the arguments (``_emitting.py`` unpacks them)."""
_ERROR_BYTES: Final = 8
_ARRAY_WORDS: Final = 5
"""Of an array, beside its shape and strides."""
_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x1, 0x100, 0x400
"""Of NumPy's array flags."""
_PLAIN: Final = _CONTIGUOUS | _WRITEABLE
_first_byte: Final = ctypes.c_char.from_buffer
_address_of: Final = ctypes.addressof
_DONE: Final = (0, -2)
"""Numba's status of a function that has ended well, with a value and without."""
_lock = threading.RLock()


def _after_fork() -> None:
    global _lock  # noqa: PLW0603  # another thread of the parent may have held it
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Parameter(NamedTuple):
    """One parameter: how many dimensions it has, 0 for a single value, and what fits it."""

    ndim: int
    dtype: np.dtype[Any]
    flags: int
    least: int
    most: int

    @classmethod
    def from_letters(cls, letters: str) -> _Parameter:
        kind = parse_type(letters)
        dtype = np.dtype(kind.dtype)
        flags = _ALIGNED | (0 if kind.readonly else _WRITEABLE) | (0 if kind.apart else _CONTIGUOUS)
        bounds = np.iinfo(dtype) if dtype.kind in "iu" else None
        least, most = (int(bounds.min), int(bounds.max)) if bounds else (0, 0)
        return cls(kind.ndim, dtype, flags, least, most)

    @property
    def form(self) -> str:
        """Of :mod:`struct`, padded to words."""
        if self.ndim:
            return "q" * (_ARRAY_WORDS + 2 * self.ndim)
        return {"f": "d" if self.dtype.itemsize == 8 else "f4x", "u": "Q"}.get(self.dtype.kind, "q")

    def convert(self, value: Any) -> Any:
        """Return a single value as Python's; None if it is too large."""
        if type(value) is int and self.least <= value <= self.most:
            return value
        if self.dtype.kind == "f":
            return float(value)
        if self.dtype.kind == "b":
            return int(bool(value))
        number = operator.index(value)
        return number if self.least <= number <= self.most else None


class _Variant:
    """A kernel for one list of argument types."""

    __slots__ = ("_block", "_function", "_pack", "_parameters", "_result")

    def __init__(self, function: Callable[[Any], int], head: ObjectHead) -> None:
        self._function = function
        self._parameters = tuple(map(_Parameter.from_letters, head.arguments.split()))
        layout = struct.Struct("".join(parameter.form for parameter in self._parameters))
        self._pack = layout.pack_into
        self._block: Any = ctypes.c_char * (_RESULT_BYTES + _ERROR_BYTES + layout.size)
        # As C lays out a structure: truth values have a byte.
        self._result = struct.Struct(head.returns.replace("i", "q").replace("L", "?")).unpack_from

    def call(self, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Call it and return what it returns; None if the arguments are of other types."""
        packed: list[Any] = []
        for value, parameter in zip(arguments, self._parameters, strict=True):
            ndim, dtype, flags, _, _ = parameter
            if ndim:
                if not isinstance(value, np.ndarray) or value.ndim != ndim or value.dtype != dtype:
                    return None
                has = value.flags.num
                if has & flags != flags:
                    return None
                # The second way is slower, and for memory that cannot be written as well.
                plain = has & _PLAIN == _PLAIN and value.size
                address = _address_of(_first_byte(value)) if plain else value.__array_interface__["data"][0]
                packed += (0, 0, value.size, dtype.itemsize, address, *value.shape, *value.strides)
            else:
                single = parameter.convert(value)
                if single is None:
                    return None
                packed.append(single)
        block = self._block()
        self._pack(block, _RESULT_BYTES + _ERROR_BYTES, *packed)
        status = self._function(block)
        if status not in _DONE:  # not to be called again, on what it has changed
            msg = f"a kernel raised an exception: status {status}"
            raise RuntimeError(msg)
        return self._result(block)


@cache
def _engine() -> Any:
    """LLVM's linker of object code, one for the process."""
    import llvmlite.binding as llvm

    try:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    except RuntimeError:  # newer versions do it by themselves, and say so
        pass
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


def _link_object(head: ObjectHead, code: bytes) -> int:
    """Have LLVM link an object file; returns where its function lies."""
    import llvmlite.binding as llvm

    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = int(engine.get_function_address(head.symbol))
    if not address:
        msg = f"there is no {head.symbol}"
        raise ValueError(msg)
    return address


_images: list[mmap.mmap] = []
"""Memory with code: kept until the process ends."""


def _copy_image(head: ObjectHead, code: bytes) -> int:
    """Copy an image to memory that can be called and not written; returns where its function lies."""
    if not 0 <= head.start < len(code):
        msg = f"{head.symbol} does not begin at {head.start}"
        raise ValueError(msg)
    memory = mmap.mmap(-1, len(code), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = code
    address = _address_of(_first_byte(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(len(code)), mmap.PROT_READ | mmap.PROT_EXEC):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    _images.append(memory)
    return address + head.start


def _load(head: ObjectHead, code: bytes) -> _Variant:
    address = _copy_image(head, code) if head.linked else _link_object(head, code)
    return _Variant(ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(address), head)


def _load_all(module: str, name: str) -> Iterator[_Variant]:
    for letters in signatures_of(module, name):
        found = read_object(module, name, letters)
        if found is not None and not found[0].reason:
            # A system may let no memory be called: numba says so, if it must.
            try:
                variant = _load(*found)
            except (OSError, RuntimeError, ValueError):
                continue
            yield variant


class ObjectKernel:
    """A kernel that is called as numba's is.

    Parameters
    ----------
    variants
        It, for each list of argument types that there is object code for.
    otherwise
        Gives what is called where none of them fits.
    """

    __slots__ = ("_otherwise", "_variants")

    def __init__(self, variants: tuple[_Variant, ...], otherwise: Callable[[], Callable[..., Any]]) -> None:
        self._variants = variants
        self._otherwise = otherwise

    def __call__(self, *arguments: Any) -> Any:
        """Call the variant that fits the types of the arguments, else what is there otherwise."""
        for variant in self._variants:
            found = variant.call(arguments)
            if found is not None:
                return found[0] if len(found) == 1 else found or None
        return self._otherwise()(*arguments)


class ObjectModule(ModuleType):
    """The kernels of a module from object code; what there is none of comes from another module.

    Parameters
    ----------
    module
        Name within :mod:`scichunk.codecs`.
    otherwise
        Gives that other module.
    """

    def __init__(self, module: str, otherwise: Callable[[], ModuleType]) -> None:
        super().__init__(f"scichunk.codecs.{module}")
        self._module = module
        self._otherwise = otherwise
        self._missing: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of Python, which asks modules for some
            raise AttributeError(name)
        if name not in self._missing:
            found = self._load(name)
            if found is not None:
                return found
        return getattr(self._otherwise(), name)

    def forget(self) -> None:
        """Look for kernels again, also for more lists of argument types of those that are there."""
        self._missing.clear()
        for name in [name for name, value in vars(self).items() if isinstance(value, ObjectKernel)]:
            delattr(self, name)

    def _load(self, name: str) -> ObjectKernel | None:
        with _lock:
            if name in vars(self):
                return cast("ObjectKernel", vars(self)[name])
            variants = tuple(_load_all(self._module, name))
            if not variants:
                self._missing.add(name)
                return None
            kernel = ObjectKernel(variants, lambda: getattr(self._otherwise(), name))
            setattr(self, name, kernel)
            return kernel


_modules: dict[str, ObjectModule | None] = {}


def objects_of(module: str, otherwise: Callable[[], ModuleType]) -> ModuleType | None:
    """Return the kernels of a module from object code, by its name within :mod:`scichunk.codecs`; None if there is none of any.

    Parameters
    ----------
    module
        Its name.
    otherwise
        Gives the module that serves for kernels that there is no object code of.
    """
    try:
        return _modules[module]
    except KeyError:  # another thread may make it look again at any time
        pass
    with _lock:
        there = any(reason == "" for _, reason in list_objects(module))
        return _modules.setdefault(module, ObjectModule(module, otherwise) if there else None)


def look_again(module: str) -> None:
    """Forget what there was no object code of: this process has compiled some."""
    with _lock:
        known = _modules.get(module)
        if known is None:
            _modules.pop(module, None)
        else:
            known.forget()
