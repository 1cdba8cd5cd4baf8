"""Files beside a local one that belong to it: world files, masks, overviews, headers. They are part of its version."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from scichunk.errors import MissingFile, SourceError
from scichunk.lru import LRU, memory_of
from scichunk.sources.base import Fingerprint
from scichunk.sources.local import has_ctime, stat_file, version_tag

__all__ = ["find_existing", "one_look", "with_siblings"]

_RACY_NS: Final = 2_500_000_000
"""A folder that changed so shortly before it was listed may have changed again within one tick of its file system's clock."""
_MANY_NAMES: Final = 512
"""Folders with more names are not listed again and again while they change."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """Names in a folder at one time."""

    changed_ns: int
    listed_ns: int
    names: frozenset[str]


_listings: LRU[_Listing] = LRU(
    lambda: 1 << 24, memory_of, weigh_key=memory_of, most=lambda: 256, name="names in folders"
)


_looked: ContextVar[dict[str, frozenset[str] | None] | None] = ContextVar("scichunk_folders", default=None)
"""Names in the folders that a scan of many files has looked at."""


@contextlib.contextmanager
def one_look() -> Iterator[None]:
    """Look at each folder once within the block, however many files of it are opened.

    A folder is looked at by its path, which on NFS and Lustre is a request to the metadata server. What comes beside a file meanwhile
    is another version of it, which the read that follows notices.
    """
    token = _looked.set({})
    try:
        yield
    finally:
        _looked.reset(token)


def find_existing(path: str, names: Sequence[str]) -> list[str]:
    """Return the paths of those files beside a local one that exist.

    Parameters
    ----------
    path
        Absolute path of the file.
    names
        Names in its folder, in the order wanted.

    Raises
    ------
    SourceError
        If one of them is a pipe or a device: libraries that look for such files open it, and would wait for ever.
    """
    folder = os.path.dirname(path)
    there = _names_in(folder)
    if there is not None and there.isdisjoint(names):  # nearly always
        return []
    found = (os.path.join(folder, name) for name in dict.fromkeys(names) if there is None or name in there)
    return [p for p in found if _is_file(p)]


def _is_file(path: str) -> bool:
    try:
        stat_file(path)
    except MissingFile:
        return False
    except SourceError:
        if os.path.isdir(path):
            return False
        raise
    return True


def with_siblings(fingerprint: Fingerprint, path: str, names: Sequence[str]) -> Fingerprint:
    """Return the version of a file together with those beside it."""
    parts, with_ctime = [], has_ctime(fingerprint)
    for sibling in find_existing(path, names):
        try:
            seen = os.stat(sibling)
        except OSError:  # it has gone since the folder was listed
            continue
        parts.append(f"{os.path.basename(sibling)}\0{seen.st_size}\0{version_tag(seen, with_ctime=with_ctime)}")
    if not parts:
        return fingerprint
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return Fingerprint(fingerprint.size, f"{fingerprint.tag}+{digest}")


def _names_in(folder: str) -> frozenset[str] | None:
    """Names in a folder: one look at its time instead of one for each name; None where each must be looked at."""
    looked = _looked.get()
    if looked is None:
        return _look_at(folder)
    if folder not in looked:
        looked[folder] = _look_at(folder)
    return looked[folder]


def _look_at(folder: str) -> frozenset[str] | None:
    try:
        changed = os.stat(folder).st_mtime_ns
    except OSError:
        return None
    known = _listings.get(folder)
    if known is not None:
        if known.changed_ns == changed and known.listed_ns - changed > _RACY_NS:
            return known.names
        if len(known.names) > _MANY_NAMES and time.time_ns() - changed <= _RACY_NS:
            return None
        _listings.pop(folder)
    try:
        now = time.time_ns()
        names = frozenset(os.listdir(folder))
    except OSError:  # a folder may be searched and not listed
        return None
    _listings.put(folder, _Listing(changed, now, names))
    return names
