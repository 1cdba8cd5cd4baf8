"""What this process remembers, in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scichunk import buffers, options
from scichunk.core.handles import open_file  # noqa: F401  # with it come the caches of files, chunks and descriptors
from scichunk.lru import named_caches
from scichunk.sources.pool import count_idle

__all__ = ["CacheInfo", "CacheReport", "cache_info"]


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """One cache of this process."""

    entries: int
    """What is in it at this moment."""
    bytes: int | None
    """Memory that it takes, about; None where entries are only counted, since they are small or belong to other libraries."""
    max_entries: int | None
    """Most entries; None if only their memory is bounded."""
    max_bytes: int | None
    """Most memory; None if only the number of entries is bounded."""


class CacheReport(Mapping[str, CacheInfo]):
    """The caches of this process by name.

    Parameters
    ----------
    caches
        By name.
    """

    def __init__(self, caches: Mapping[str, CacheInfo]) -> None:
        self._caches = dict(caches)

    def __getitem__(self, name: str) -> CacheInfo:
        return self._caches[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._caches)

    def __len__(self) -> int:
        return len(self._caches)

    @property
    def total_bytes(self) -> int:
        """Memory of all caches whose memory is known."""
        return sum(cache.bytes or 0 for cache in self.values())

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return plain values, for JSON."""
        return {
            name: {field: getattr(cache, field) for field in CacheInfo.__slots__}
            for name, cache in self._caches.items()
        }

    def __repr__(self) -> str:
        rows = [("cache", "entries", "at most", "memory", "at most")]
        for name, cache in self._caches.items():
            most = "" if cache.max_entries is None else str(cache.max_entries)
            rows.append((name, str(cache.entries), most, _format_size(cache.bytes), _format_size(cache.max_bytes)))
        rows.append(("together", "", "", _format_size(self.total_bytes), ""))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        return "\n".join(
            "  ".join(
                text.rjust(width) if i else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )


def _format_size(size: int | None) -> str:
    if size is None:
        return ""
    if size < 1 << 10:
        return f"{size} B"
    for unit, shift in (("KiB", 10), ("MiB", 20)):
        if size < 1 << (shift + 10):
            return f"{size / (1 << shift):.1f} {unit}"
    return f"{size / (1 << 30):.1f} GiB"


def cache_info() -> CacheReport:
    """Say what this process remembers of files, how much memory that takes, and how much it may take.

    :func:`scichunk.clear_caches` forgets all of it; the options ``cached_files``, ``cached_file_bytes``, ``cached_handles``,
    ``cached_tile_bytes`` and ``warm_bytes`` bound it. Not counted: what is being read at this moment, buffers that threads use again
    and again (at most some 64 MiB each), and GDAL's own cache of blocks (``gdal_cache_bytes``).

    Returns
    -------
    CacheReport
        A mapping of :class:`CacheInfo` by the name of the cache; printed, it is a table. Caches of parts of scichunk that have not
        been used yet are not in it.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.clear_caches()
    >>> scichunk.cache_info()["opened files"].entries
    0
    """
    now, found = options.get(), {}
    for cache in named_caches():
        entries, weight, most_entries, most_weight = cache.usage()
        found[cache.name] = CacheInfo(entries, None if most_weight is None else weight, most_entries, most_weight)
    found["handles of reference libraries"] = CacheInfo(count_idle(), None, now.cached_handles, None)
    found["memory of freed results"] = CacheInfo(*buffers.count_freed(), None, now.warm_bytes)
    return CacheReport(dict(sorted(found.items())))
