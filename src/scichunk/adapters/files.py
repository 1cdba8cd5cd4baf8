"""Many files in the graph: their names and versions packed, and work on several of them at once."""

from __future__ import annotations

import contextvars
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.sources import Fingerprint, Location

__all__ = ["Files", "work_together"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Files:
    """Names and versions of many files, packed for the graph."""

    names: bytes
    """Compressed; one name a line."""
    sizes: npt.NDArray[np.int64]
    tags: bytes
    options: Mapping[str, Any] | None
    key: str
    """Of the first file: stands for the storage options in the token."""

    @classmethod
    def pack(cls, locations: Sequence[Location], marks: Sequence[Fingerprint | None]) -> Files:
        """Pack; files whose headers were not read have size -1."""
        sizes = np.array([-1 if m is None else m.size for m in marks], np.int64)
        tags = "\n".join("" if m is None else m.tag for m in marks)
        names = "\n".join(loc.target for loc in locations)
        packed = zlib.compress(names.encode(), 6), sizes, zlib.compress(tags.encode(), 6)
        return cls(*packed, locations[0].options, locations[0].key)

    def unpack(self) -> list[tuple[Location, Fingerprint | None]]:
        """Return location and version of each file."""
        names, tags = (zlib.decompress(p).decode().split("\n") for p in (self.names, self.tags))
        return [
            (Location(n, self.options), None if s == -1 else Fingerprint(int(s), t))
            for n, s, t in zip(names, self.sizes.tolist(), tags, strict=True)
        ]

    @property
    def are_remote(self) -> bool:
        """Whether they lie elsewhere than on this machine, as the first does."""
        name = zlib.decompressobj().decompress(self.names, 1 << 16).decode(errors="replace").partition("\n")[0]
        return Location(name, self.options).local_path is None

    def __len__(self) -> int:
        return len(self.sizes)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.names, self.sizes.tobytes(), self.tags, self.key


def work_together(work: Callable[[int], T], numbers: Sequence[int], *, remote: bool) -> list[T]:
    """Do something for several files: at the same time where latency rules, one after the other on this machine.

    Parsing holds the interpreter's lock, so that threads would only get in each other's way on local files.
    """
    if not remote or len(numbers) < 2:
        return [work(n) for n in numbers]
    context = contextvars.copy_context()
    with ThreadPoolExecutor(min(len(numbers), options.get().concurrency), "scichunk-files") as pool:
        return list(pool.map(lambda n: context.copy().run(work, n), numbers))
