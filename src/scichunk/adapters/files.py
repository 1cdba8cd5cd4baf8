"""Many files in the graph: their names and versions packed, and work on several of them at once."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, overload

import numpy as np

from scichunk import options
from scichunk.adapters.names import pack_names, pack_texts, unpack_names, unpack_texts
from scichunk.lru import LRU
from scichunk.sources import Fingerprint, Location

__all__ = ["Files", "LazySequence", "Unpacked", "keep_unpacked", "thread_pool", "work_together"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Unpacked = Sequence[tuple[Location, Fingerprint | None]]
_SMALL_BYTES: Final = 4096
"""What each task of a stack may carry of names; dask keeps as much for a task itself."""
_MOST_STACKS: Final = 16
_unpacked: LRU[Unpacked] = LRU(lambda: _MOST_STACKS)
"""Names and versions of the files of stacks, by what they were packed to."""


class LazySequence(Sequence[T_co]):
    """Items that are made when they are asked for: of 100,000 files most are never, and to make them all takes a tenth of a second."""

    def __init__(self, count: int, make: Callable[[int], T_co]) -> None:
        self._count, self._make = count, make

    @overload
    def __getitem__(self, number: int) -> T_co: ...
    @overload
    def __getitem__(self, number: slice) -> list[T_co]: ...
    def __getitem__(self, number: int | slice) -> T_co | list[T_co]:
        if isinstance(number, slice):
            return [self._make(n) for n in range(*number.indices(self._count))]
        return self._make(range(self._count)[number])

    def __iter__(self) -> Iterator[T_co]:
        return map(self._make, range(self._count))  # that of Sequence would take an IndexError of an item for the end

    def __len__(self) -> int:
        return self._count


@dataclass(frozen=True, slots=True)
class Files:
    """Names and versions of many files, packed for the graph."""

    count: int
    first: str = field(repr=False)
    """Name of the first file, with its secrets."""
    names: bytes = field(repr=False)
    sizes: bytes
    """Of each file; -1 where the header was not read."""
    tags: bytes
    options: Mapping[str, Any] | None = field(repr=False)
    key: str
    """Of the first file that has them: stands for the storage options in the token."""
    digest: str
    """Of all of this."""

    @classmethod
    def pack(cls, locations: Sequence[Location], marks: Sequence[Fingerprint | None]) -> Files:
        """Pack; None stands for files whose headers were not read."""
        sizes = np.array([-1 if m is None else m.size for m in marks], np.int64)
        tags = pack_texts(["" if m is None else m.tag for m in marks])
        packed = pack_names([loc.target for loc in locations]), zlib.compress(sizes.tobytes(), 6), tags
        # Files of this machine have no options, and may stand before others that do.
        given = next((location for location in locations if location.options), locations[0])
        key = given.key.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(b"\0".join((*packed, key)), digest_size=16).hexdigest()
        return cls(len(locations), locations[0].target, *packed, given.options, given.key, digest)

    def unpack(self) -> Unpacked:
        """Return location and version of each file; made once a process, since each task may bring its own copy of this."""
        return keep_unpacked(self.digest, self._unpack)

    def _unpack(self) -> Unpacked:
        sizes = np.frombuffer(zlib.decompress(self.sizes), np.int64).tolist()
        tags = unpack_texts(self.tags)
        return [
            (_locate_again(n, self.options), None if s == -1 else Fingerprint(int(s), t))
            for n, s, t in zip(unpack_names(self.names), sizes, tags, strict=True)
        ]

    @property
    def is_small(self) -> bool:
        """Whether each task may hold all of it."""
        return len(self.names) + len(self.sizes) + len(self.tags) < _SMALL_BYTES

    @property
    def are_remote(self) -> bool:
        """Whether they lie elsewhere than on this machine, as the first does."""
        return Location(self.first, self.options).local_path is None

    def __len__(self) -> int:
        return self.count

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return "scichunk-files", self.digest


def _locate_again(name: str, given: Mapping[str, Any] | None) -> Location:
    """Return the location of a name; options are for storages, and files of this machine are none unless a store has all names."""
    return Location(name, given if "://" in name or (given is not None and "store" in given) else None)


def keep_unpacked(key: str, make: Callable[[], Unpacked]) -> Unpacked:
    """Return locations and versions of the files of a stack, which are made once a process."""
    return _unpacked.get_or_make(key, make)


def work_together(work: Callable[[int], T], numbers: Sequence[int], *, remote: bool) -> list[T]:
    """Do something for several files: at the same time where latency rules, one after the other on this machine.

    Parsing holds the interpreter's lock, so that threads would only get in each other's way on local files.
    """
    if not remote or len(numbers) < 2:
        return [work(n) for n in numbers]
    context = contextvars.copy_context()
    with thread_pool(min(len(numbers), options.get().concurrency), "scichunk-files") as pool:
        return list(pool.map(lambda n: context.copy().run(work, n), numbers))


@contextlib.contextmanager
def thread_pool(threads: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Give a pool whose threads are waited for at the end of the block, unless it is ended by Ctrl-C.

    Then they may be waiting for a server that does not answer, each until all tries are over, for minutes.
    """
    pool, wait = ThreadPoolExecutor(threads, name), True
    try:
        yield pool
    except (KeyboardInterrupt, SystemExit):
        wait = False
        raise
    finally:
        pool.shutdown(wait=wait, cancel_futures=not wait)
