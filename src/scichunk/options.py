"""Typed limits and defaults, process-wide, with a context manager.

>>> import scichunk
>>> with scichunk.options.set(max_chunk_bytes=2**32):
...     array = scichunk.from_geotiff("huge_tiles.tif")  # doctest: +SKIP

Every field can also be given to workers through the environment: ``SCICHUNK_MAX_CHUNK_BYTES=...``.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from typing import Any

__all__ = ["Options", "get", "set"]


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Limits against hostile headers, and defaults of the pipeline. Sizes are in bytes."""

    head_bytes: int = 1 << 16
    """What one read at the start of a file fetches; a well-formed COG opens with this alone."""
    max_header_bytes: int = 1 << 28
    """Most bytes of headers (tags, offset tables) that are read from one file."""
    max_chunk_bytes: int = 1 << 31
    """Largest decoded native chunk (tile, strip)."""
    max_pages: int = 65_536
    """Most image directories that are followed in one file."""
    max_elements: int = 1_000_000
    """Most XML elements of one document outside the bodies of its tables."""
    max_expanded_bytes: int = 1 << 37
    """Largest content of a file that is compressed as a whole."""
    range_gap: int = 1 << 15
    """Remote ranges closer than this are fetched as one."""
    range_max: int = 1 << 25
    """Largest single range request made by merging."""
    batch_bytes: int = 1 << 22
    """Local reads: encoded bytes that are read before they are decoded."""
    concurrency: int = 64
    """Most range requests, or asynchronous reads, in flight at once per process."""
    retries: int = 4
    """How often a failed range is tried again."""
    retry_wait: float = 0.1
    """Seconds before the first retry; doubles each time."""
    timeout: float = 60.0
    """Seconds that one remote request may take."""
    cached_files: int = 256
    """How many opened files (headers, indexes) one process remembers."""
    cached_handles: int = 64
    """Open handles of reference libraries that one process keeps for the next reads, whatever the number of files and threads."""
    cached_tile_bytes: int = 1 << 26
    """Decoded native chunks kept where reads do not end on chunk borders."""
    warm_bytes: int = 1 << 28
    """Memory of large results (above 32 MB) that is kept for the next ones once they are freed."""
    scan_bytes: int = 1 << 22
    """Remote VOTables up to this size are looked through for all their tables when opened; of longer ones, the table that is first is
    taken to be the only one until its end is met."""
    follow_hrefs: bool = False
    """Follow references of VOTables to data beyond the folder or host of the document."""
    gdal_cache_bytes: int = 1 << 26
    """GDAL's block cache in the reference lane."""
    claim_rasters: bool = False
    """Let xarray guess the engine ``geotiff`` for ``.tif`` although an engine named ``rasterio`` is installed."""


def _from_environment() -> Options:
    found: dict[str, int | float | bool] = {}
    for field in dataclasses.fields(Options):
        text = os.environ.get(f"SCICHUNK_{field.name.upper()}")
        if text is not None:
            kind: Any = type(field.default)
            found[field.name] = text.lower() in {"1", "true", "yes"} if kind is bool else kind(text)
    return Options(**found)  # type: ignore[arg-type]  # checked field by field above


_lock = threading.Lock()
_current = [_from_environment()]


def get() -> Options:
    """Return the options in force in this process."""
    return _current[0]


class set:  # noqa: N801, A001  # reads as a verb: scichunk.options.set(...), like dask.config.set
    """Change options, for good or, used as a context manager, for a while.

    Parameters
    ----------
    **changes
        Fields of :class:`Options`.

    Raises
    ------
    TypeError
        If there is no such option.
    """

    def __init__(self, **changes: float | bool) -> None:
        with _lock:
            self._previous = _current[0]
            _current[0] = dataclasses.replace(self._previous, **changes)  # type: ignore[arg-type]  # names are checked by replace

    def __enter__(self) -> Options:
        return _current[0]

    def __exit__(self, *exception: object) -> None:
        with _lock:
            _current[0] = self._previous
