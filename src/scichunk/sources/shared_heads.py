"""Heads of remote files, kept in a folder of this machine for its other processes: ``options.shared_heads``.

Workers open a file of the version that their graph names. The first one of a machine fetches the head, the others find it in the folder,
under a name made of the file's key, which stands for its credentials too, and of that version. Each read still asks for that version, so a
file that has changed since is noticed as without the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import threading
from typing import Final

from scichunk import counters
from scichunk.errors import PerformanceWarning
from scichunk.options import get
from scichunk.sources.base import Fingerprint, Head
from scichunk.warned import warn_caller

__all__ = ["drop_oldest", "find_head", "keep_head"]

_SUFFIX: Final = ".head"
_MOST_BYTES: Final = 1 << 30
"""Of all heads; beyond, the oldest go until half of it is left."""
_WRITES_BETWEEN_LOOKS: Final = 256
"""After as many writes a process adds up what is there: to look each time would take longer than to fetch a head."""
_refused: set[str] = set()
_writes = 0
_lock = threading.Lock()


def find_head(key: str, version: Fingerprint | None) -> Head | None:
    """Return the first bytes of a version of a file, if a process of this machine has kept them.

    Parameters
    ----------
    key
        Of the location.
    version
        The one that is wanted; None where any will do, which no folder can give.
    """
    folder = get().shared_heads
    if not folder or version is None or not _names_version(version) or not _is_ours(folder):
        return None
    path = _path_of(folder, key, version)
    try:
        with open(path, "rb") as file:
            data = file.read(get().head_bytes + 1)
    except OSError:  # nobody has kept it
        return None
    return Head(data, version.size, version.tag) if len(data) == _length_of(version) else None


def keep_head(key: str, version: Fingerprint, data: bytes | memoryview) -> None:
    """Keep the first bytes of a version of a file for other processes; a folder that cannot be written is left alone."""
    folder = get().shared_heads
    if not folder or not _names_version(version) or len(data) != _length_of(version) or not _is_ours(folder):
        return
    path = _path_of(folder, key, version)
    if os.path.exists(path):
        return
    try:
        # Moved there when it is complete, so that nobody finds a part of it.
        number, part = tempfile.mkstemp(_SUFFIX, ".", folder)
        try:
            with open(number, "wb") as file:
                file.write(data)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        counters.log.info("a head cannot be kept in %s: %s", folder, error)
        return
    _look_now_and_then(folder)


def _length_of(version: Fingerprint) -> int:
    return min(get().head_bytes, version.size)


def _names_version(version: Fingerprint) -> bool:
    """Whether the storage names versions: of others, the head itself tells whether the file has changed."""
    return bool(version.tag) and not version.tag.startswith("head:")


def _path_of(folder: str, key: str, version: Fingerprint) -> str:
    named = repr((key, version.size, version.tag, get().head_bytes)).encode()
    return os.path.join(folder, hashlib.blake2b(named, digest_size=20).hexdigest() + _SUFFIX)


def _is_ours(folder: str) -> bool:
    """Make the folder; refuse one into which other users could put heads of their own."""
    if folder in _refused:
        return False
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        found = os.stat(folder)
    except OSError as error:
        return _refuse(folder, f"it cannot be made: {error.strerror}")
    if not stat.S_ISDIR(found.st_mode):
        return _refuse(folder, "it is no folder")
    if os.name == "posix" and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        return _refuse(folder, "others can write into it; take one of your own, of mode 700")
    return True


def _refuse(folder: str, why: str) -> bool:
    _refused.add(folder)
    warn_caller(f"options.shared_heads={folder!r} is not used: {why}", PerformanceWarning)
    return False


def _look_now_and_then(folder: str) -> None:
    global _writes  # noqa: PLW0603  # counted for the process
    with _lock:
        _writes += 1
        due = _writes % _WRITES_BETWEEN_LOOKS == 0
    if due:
        drop_oldest(folder, _MOST_BYTES)


def drop_oldest(folder: str, most: int) -> None:
    """Remove the oldest heads, and what killed processes have left, where there are more bytes than allowed: until half of that is left.

    Parameters
    ----------
    folder
        Which one.
    most
        Bytes that are allowed.
    """
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.name.endswith(_SUFFIX):
                    facts = entry.stat(follow_symlinks=False)
                    found.append((facts.st_mtime_ns, facts.st_size, entry.path))
    left = sum(size for _, size, _ in found)
    if left <= most:
        return
    for _, size, path in sorted(found):
        with contextlib.suppress(OSError):
            os.unlink(path)
        left -= size
        if left <= most // 2:
            return


def _after_fork() -> None:
    global _lock  # noqa: PLW0603  # it may have been held by a thread that is not there any more
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
