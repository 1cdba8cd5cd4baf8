"""A process that reads mutants: ``python -m tests.fuzz.worker ours`` or ``theirs``; frames of pickle come and go through pipes.

It may crash, hang or eat memory: the other side (tests/fuzz/processes.py) watches it.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import re
import resource
import struct
import sys
import time
import traceback
import tracemalloc
import warnings
from functools import cache
from typing import Any, BinaryIO

ADDRESS_SPACE_GIB = 8
GROWTH_MIB = 768
"""How much more than before a read of one mutant may hold; options.max_chunk_bytes is 64 MiB meanwhile."""


def send(stream: BinaryIO, message: Any) -> None:
    body = pickle.dumps(message, protocol=5)
    rest = memoryview(struct.pack("<I", len(body)) + body)
    while rest:  # a pipe without a buffer takes what it has room for when a signal comes
        rest = rest[stream.write(rest) :]
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read a frame; EOFError where the other side has ended."""
    return pickle.loads(_exactly(stream, struct.unpack("<I", _exactly(stream, 4))[0]))


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """So many bytes of a pipe without a buffer: what lay in one would not be seen by who waits for the pipe."""
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@cache
def _status(_process: int) -> int:
    """Descriptor of what the system tells of this process, kept open."""
    return os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)


def resident_peak() -> int:
    """Largest resident memory since :func:`forget_peak`, MiB. getrusage would begin with that of the process that started this one."""
    text = os.pread(_status(os.getpid()), 1 << 14, 0)
    at = text.index(b"VmHWM:")
    return int(text[at + 6 : text.index(b"kB", at)]) >> 10


def resident() -> int:
    """Resident memory at this moment, MiB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) >> 10


def forget_peak() -> None:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def place_of(error: BaseException) -> str:
    """The last functions of scichunk that an error came through, which tell one find from another."""
    cause = error.__cause__ if error.__cause__ is not None and type(error).__name__ == "ParserError" else error
    frames = [
        f for f in traceback.extract_tb(cause.__traceback__) if "/scichunk/" in f.filename and "guard" not in f.filename
    ]
    names = [f"{f.filename.split('/scichunk/')[-1]}:{f.name}" for f in frames[-2:]]
    return f"{type(cause).__name__} in {' < '.join(reversed(names)) or 'no function of scichunk'}"


def judge(error: BaseException) -> tuple[str, str] | None:
    """Kind and text of the find that an error is; None for one of the tree."""
    from scichunk.errors import ParserError, ScichunkError

    if isinstance(error, ScichunkError) and not isinstance(error, ParserError):
        chain: BaseException | None = error
        while chain is not None:
            if isinstance(chain, MemoryError):
                return "memory", f"{place_of(chain)}: {str(error)[:300]}"
            chain = chain.__cause__
        return None
    text = f"{place_of(error)}: {str(error)[:300]}"
    if isinstance(error, ParserError):
        return "parser error", text
    return ("memory" if isinstance(error, MemoryError) else "untyped error"), text


def ours(kind: str, data: bytes, number: int, tell: Any) -> dict[str, Any]:
    """Read in all ways: values by way, how many ended in errors, and what is a find."""
    from tests.fuzz import readers

    values, errors, find = {}, 0, None
    most = 2048 if os.environ.get("FUZZ_LIMITS") == "default" else GROWTH_MIB  # options.max_chunk_bytes
    forget_peak()
    before, began = resident_peak(), time.process_time()
    if tracemalloc.is_tracing():
        tracemalloc.reset_peak()
    for name, way in readers.ways(kind, data, number):
        tell(name)
        try:
            values[name] = way()
        except Exception as error:
            errors += 1
            judged = judge(error)
            if judged:
                find = find or (judged[0], f"{name}: {judged[1]}", traceback.format_exc())
        after = resident_peak()
        if after - before > most:
            find = find or ("memory", f"{name}: {after - before} MiB", "")
    used = {"peak": resident_peak(), "resident": resident(), "seconds": time.process_time() - began}
    traced = tracemalloc.get_traced_memory()[1] >> 20 if tracemalloc.is_tracing() else 0
    return {"values": values, "errors": errors, "find": find, "used": used | {"traced": traced}}


def theirs(kind: str, data: bytes, number: int, tell: Any) -> dict[str, Any]:
    """Read through the reference library: values, or what it said."""
    from tests.fuzz import references

    tell("reference")
    try:
        return {"values": references.read(kind, data)}
    except Exception as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # rasterio says in the first what was wrong
            cause = cause.__cause__
        told = str(error) if cause is error else f"{error} {cause}"
        return {"complaint": f"{type(error).__name__}: {told[:300]}"}


def prepare(role: str) -> None:
    """Set limits, options and what is planted; import what takes long."""
    gib = 2 * ADDRESS_SPACE_GIB if os.environ.get("FUZZ_LIMITS") == "default" else ADDRESS_SPACE_GIB
    resource.setrlimit(resource.RLIMIT_AS, (gib << 30, gib << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL if role == "ours" else logging.NOTSET)
    import dask

    import scichunk

    dask.config.set(scheduler="synchronous")
    if os.environ.get("FUZZ_LIMITS") == "default":
        tracemalloc.start()
    else:
        scichunk.options.set(
            max_chunk_bytes=1 << 26,
            max_header_bytes=1 << 26,
            max_expanded_bytes=1 << 26,
            retries=0,
            timeout=2,
            warm_bytes=1 << 26,  # spare memory of results that are gone is not what a file takes
        )
    plant = os.environ.get("FUZZ_PLANT")
    if plant and role == "ours":
        from tests.fuzz import plants

        getattr(plants, plant)()


def main() -> None:
    role = sys.argv[1]
    pipe_in, pipe_out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print goes to the log
    prepare(role)
    act = {"ours": ours, "theirs": theirs}[role]
    send(pipe_out, ("ready", os.getpid()))
    while True:
        try:
            kind, mutants = receive(pipe_in)
        except EOFError:
            return
        for data, number in mutants:
            send(pipe_out, ("done", act(kind, data, number, lambda name: send(pipe_out, ("way", name)))))


if __name__ == "__main__":
    main()
