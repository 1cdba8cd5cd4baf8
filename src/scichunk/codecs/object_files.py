"""Files of object code: where they lie, for which processor and sources each holds, and whether it is whole.

A file has a line with its format, a line with the SHA-256 of all behind it, a line of JSON (:class:`ObjectHead`), and the object
code of one kernel for one list of argument types. One without object code says why there is none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import sys
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Final

from scichunk.codecs.signatures import FIRST, LATER

__all__ = [
    "HAS_OBJECTS",
    "IS_LINKED",
    "ObjectHead",
    "list_objects",
    "machine_key",
    "object_folders",
    "read_object",
    "signatures_of",
    "stamp_sources",
    "writable_folder",
    "write_object",
]

IS_LINKED: Final = sys.platform == "linux" and os.uname().machine == "x86_64"
"""Whether object code is kept as an image (``_linking.py``), which is loaded in no time, instead of as a file for LLVM."""
HAS_OBJECTS: Final = sys.platform == "linux" and sys.byteorder == "little"
"""Whether kernels are kept as object code: nothing else was tried."""
_FORMAT: Final = b"scichunk object code 2\n"
_SUFFIX: Final = ".kernel"
_LARGEST: Final = 1 << 24
_CPU_LINES: Final = 30
_HERE: Final = Path(__file__).resolve().parent
_HELPERS: Final = ("_numba", "_emitting", "_linking", "instructions", "text.states")
"""Modules whose code becomes part of kernels, beside those of the kernels."""
_HARMLESS: Final = frozenset({"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER"})
"""Variables of numba that change no code."""


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What is known of the object code of a file.

    Attributes
    ----------
    symbol
        Name of the function.
    arguments, returns
        Types, as in :mod:`scichunk.codecs.signatures`; nothing returned is an empty text.
    stamp
        :func:`stamp_sources` of what was compiled.
    compiler
        Versions of numba and llvmlite.
    machine
        What it was compiled for.
    linked
        Whether it is an image to be copied and called, instead of an object file.
    start
        Where in an image the function begins.
    reason
        Why there is no object code; else empty.
    """

    symbol: str
    arguments: str
    returns: str
    stamp: str
    compiler: str
    machine: str
    linked: bool
    start: int
    reason: str = ""


def object_folders() -> Iterator[Path]:
    """Folders that may hold object code, the first one first; the chosen one alone, if it can be written."""
    chosen = os.environ.get("SCICHUNK_CACHE_DIR") or os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield Path(chosen)
        if _can_be_made(Path(chosen)):
            return
    yield _HERE / "__pycache__"
    with contextlib.suppress(RuntimeError):  # there is no home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scichunk"


def _can_be_made(folder: Path) -> bool:
    """Whether a folder is there, or can be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def writable_folder() -> Path | None:
    """Where object code is kept; None if it cannot be."""
    return next(filter(_can_be_made, object_folders()), None)


def signatures_of(module: str, kernel: str) -> tuple[str, ...]:
    """Argument types for which a kernel is compiled."""
    return FIRST.get(module, {}).get(kernel, ()) + LATER.get(module, {}).get(kernel, ())


@cache
def machine_key() -> str:
    """What code is compiled for: processor, settings of numba, installation."""
    settings = {k: v for k, v in os.environ.items() if k.startswith("NUMBA_") and k not in _HARMLESS}
    name, features = settings.get("NUMBA_CPU_NAME"), settings.get("NUMBA_CPU_FEATURES")
    processor: list[str] | None = []
    if name is None or (features is None and name != "generic"):  # numba takes the features of this one
        processor = (_linux_processor() if IS_LINKED else None) or _any_processor()
    system = sys.platform, sys.byteorder, struct.calcsize("P"), os.uname().machine, IS_LINKED
    return hashlib.sha256(repr((system, processor, sorted(settings.items()), str(_HERE))).encode()).hexdigest()


def _linux_processor() -> list[str] | None:
    """Name and features of the first processor, as the system tells them: LLVM would be loaded for nothing else."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            lines = [line for _, line in zip(range(_CPU_LINES), file, strict=False)]
    except OSError:
        return None
    found = [line for line in lines if line.startswith(("vendor_id", "cpu family", "model", "stepping", "flags"))]
    end = next((i for i, line in enumerate(found) if line.startswith("flags")), None)
    return None if end is None else found[: end + 1]


def _any_processor() -> list[str]:
    import llvmlite.binding as llvm

    features = sorted(name for name, there in llvm.get_host_cpu_features().items() if there)
    return [llvm.get_process_triple(), llvm.get_host_cpu_name(), *features]


@cache
def stamp_sources() -> str:
    """Sizes and dates of the modules that object code is made from; empty where they are not files, and nothing tells them apart."""
    parts = []
    for module in dict.fromkeys((*FIRST, *LATER, *_HELPERS)):
        try:
            found = os.stat(_HERE.joinpath(*module.split(".")).with_suffix(".py"))
        except OSError:
            return ""
        parts.append(f"{module} {found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _file_name(module: str, kernel: str, arguments: str) -> str:
    return f"{module}.{kernel}-{zlib.crc32(arguments.encode()):08x}-{machine_key()[:8]}{_SUFFIX}"


_unkept: dict[tuple[str, str, str], tuple[ObjectHead, bytes]] = {}
"""What this process has compiled and found no place for."""


def _holds_objects(folder: Path) -> bool:
    """Whether there may be any: without them LLVM is not loaded to say what the processor is."""
    if IS_LINKED:
        return True
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(_SUFFIX) for entry in entries)
    except OSError:
        return False


def read_object(module: str, kernel: str, arguments: str) -> tuple[ObjectHead, bytes] | None:
    """Read the object code of a kernel for some types of arguments.

    Returns
    -------
    tuple of ObjectHead and bytes, or None
        None if there is none that holds: it is missing, damaged, of other sources or for another machine.
    """
    if not HAS_OBJECTS or not stamp_sources():
        return None
    for folder in object_folders():
        if not _holds_objects(folder):
            continue
        try:
            with (folder / _file_name(module, kernel, arguments)).open("rb") as file:
                form, digest, rest = file.readline(100), file.readline(100), file.read(_LARGEST)
            line, _, code = rest.partition(b"\n")
            if form != _FORMAT or hashlib.sha256(rest).hexdigest().encode() != digest.strip():
                continue
            head = ObjectHead(**json.loads(line))
        except (OSError, ValueError, TypeError):  # not there, no JSON, other fields
            continue
        made_for = head.arguments, head.stamp, head.machine, head.linked
        if made_for == (arguments, stamp_sources(), machine_key(), IS_LINKED):
            return head, code
    return _unkept.get((module, kernel, arguments))


def write_object(module: str, kernel: str, head: ObjectHead, code: bytes) -> bool:
    """Keep object code in the first folder that can be written, as any file of the user; else this process alone has it."""
    rest = json.dumps(asdict(head)).encode() + b"\n" + code
    content = _FORMAT + hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest
    for folder in object_folders():
        part = folder / f".{uuid.uuid4().hex}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # A file as any other: one of tempfile could be read by this user alone.
            with part.open("xb") as file:
                file.write(content)
            os.replace(part, folder / _file_name(module, kernel, head.arguments))
        except OSError:  # read-only, full, a file in place of the folder
            with contextlib.suppress(OSError):
                part.unlink()
            continue
        return True
    _unkept[module, kernel, head.arguments] = head, code
    return False


def list_objects(module: str) -> Iterator[tuple[str, str | None]]:
    """List the kernels of a module with their types of arguments, and what there is of each.

    Yields
    ------
    str
        Name and types.
    str or None
        Empty if there is object code, else why there can be none; None if the kernel has not been compiled yet.
    """
    for kernel in dict.fromkeys((*FIRST.get(module, {}), *LATER.get(module, {}))):
        for arguments in signatures_of(module, kernel):
            found = read_object(module, kernel, arguments)
            yield f"{module}.{kernel} ({arguments})", None if found is None else found[0].reason
