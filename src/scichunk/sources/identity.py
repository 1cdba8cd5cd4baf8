"""What tells one file from another within a process: digests of names and options, and numbers of objects.

The keys hold no secret and no text of storage options, and are the same in every process for what has a name, so that they can
go into dask's tokens. Dask's own tokens are not used: making one imports Dask and costs more than opening a small file.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import pickle
import secrets
import threading
import weakref
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from typing import Any, Final

__all__ = ["digest_values", "is_of_this_process", "object_lock", "object_number"]

_DIGEST_BYTES: Final = 16
_PLAIN: Final = (bool, int, float, complex, type(None))
_MOST_LEVELS: Final = 32

_MOST_GONE: Final = 1024
"""Objects that are looked through for those that are gone."""

_numbers: dict[int, tuple[weakref.ref[Any], str]] = {}
_locks: dict[int, tuple[weakref.ref[Any], threading.RLock]] = {}
_of_unwatched = threading.RLock()
_lock = threading.Lock()
_count = itertools.count(1)
_process = secrets.token_hex(8)
"""Numbers travel to other processes within keys: no two processes may give the same one."""


def digest_values(*values: Any) -> str:
    """Return a digest of values that is equal for equal ones.

    Parameters
    ----------
    *values
        Numbers, texts, bytes, paths, mappings, sequences and sets of such are looked at; other objects count by what they pickle
        to, and objects that do not pickle (stores in memory, open files) each as itself.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for value in values:
        _feed_value(state, value, 0)
    return state.hexdigest()


def object_number(value: Any) -> str:
    """Return the number of an object: its own as long as it lives, never used again.

    An address (``id``) is given to another object once the first is gone, and then names the wrong file.
    """
    with _lock:
        known = _numbers.get(id(value))
        if known is not None and known[0]() is value:
            return known[1]
        number = f"{_process}-{os.getpid()}-{next(_count)}"
        try:
            reference = weakref.ref(value)
        except TypeError:  # it cannot be watched: whoever asks again gets another number, which is safe
            return number
        _numbers[id(value)] = reference, number
        if len(_numbers) > _MOST_GONE:
            for key in [k for k, (alive, _) in _numbers.items() if alive() is None]:
                del _numbers[key]
        return number


def object_lock(value: Any) -> threading.RLock:
    """Return the lock of an object, the same one for whoever reads it: an open file has one position, however many readers it has."""
    with _lock:
        known = _locks.get(id(value))
        if known is not None and known[0]() is value:
            return known[1]
        try:
            reference = weakref.ref(value)
        except TypeError:  # it cannot be watched: all such objects take turns
            return _of_unwatched
        _locks[id(value)] = reference, threading.RLock()
        if len(_locks) > _MOST_GONE:
            for key in [k for k, (alive, _) in _locks.items() if alive() is None]:
                del _locks[key]
        return _locks[id(value)][1]


def is_of_this_process(number: str) -> bool:
    """Whether a number was given to an object in this process, and not in the parent from which this one was forked."""
    parts = number.split("-")
    return len(parts) != 3 or parts[0] != _process or parts[1] == str(os.getpid())


def _feed_value(state: Any, value: Any, level: int) -> None:
    """Add a value, with its kind and length before it, so that no two values run together."""
    if level > _MOST_LEVELS:
        msg = "storage options are nested too deeply"
        raise ValueError(msg)
    if isinstance(value, str):
        _put_bytes(state, b"s", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, bytes | bytearray | memoryview):
        _put_bytes(state, b"b", value)
    elif type(value) in _PLAIN:
        _put_bytes(state, b"p", repr(value).encode())
    elif isinstance(value, PurePath):
        _put_bytes(state, b"f", os.fsencode(value))
    elif isinstance(value, Mapping):
        _put_bytes(state, b"m", str(len(value)).encode())
        for key in sorted(value, key=lambda k: (type(k).__name__, str(k))):
            _feed_value(state, key, level + 1)
            _feed_value(state, value[key], level + 1)
    elif isinstance(value, list | tuple) and type(value).__name__ in {"list", "tuple"}:
        _put_bytes(state, b"l", str(len(value)).encode())
        for item in value:
            _feed_value(state, item, level + 1)
    elif isinstance(value, AbstractSet):
        _put_bytes(state, b"t", str(len(value)).encode())
        for item in sorted(digest_values(v) for v in value):
            _put_bytes(state, b"i", item.encode())
    else:
        _feed_object(state, value, level)


def _feed_object(state: Any, value: Any, level: int) -> None:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".encode()
    if hasattr(value, "storage_options") and hasattr(value, "storage_args"):  # a file system of fsspec
        _put_bytes(state, b"F", kind)
        _feed_value(state, list(value.storage_args), level + 1)
        _feed_value(state, dict(value.storage_options), level + 1)
        return
    try:
        _put_bytes(state, b"o" + kind, pickle.dumps(value, protocol=4))
    except Exception:  # noqa: BLE001  # an object may raise anything when it is pickled; then it counts as itself
        _put_bytes(state, b"n" + kind, object_number(value).encode())


def _put_bytes(state: Any, kind: bytes, data: bytes | bytearray | memoryview) -> None:
    state.update(kind + len(data).to_bytes(8, "little"))
    state.update(data)


def _forget_numbers() -> None:
    """Start anew in a forked child: locks may have been held by threads that are not there any more."""
    global _lock, _of_unwatched
    _lock, _of_unwatched = threading.Lock(), threading.RLock()
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_numbers)
