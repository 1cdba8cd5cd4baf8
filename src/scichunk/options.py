"""Typed limits and defaults: one base for the process, and overlays for a while.

>>> import scichunk
>>> with scichunk.options.set(max_chunk_bytes=2**32):
...     array = scichunk.from_geotiff("huge_tiles.tif")  # doctest: +SKIP

``scichunk.options.set(...)`` as a plain call changes the options of the process for good, and every thread sees it. As a context
manager it changes them for a while: also for all threads, since the threads of dask and of pools work for the block without knowing
of it, but leaving the block removes exactly what the block brought, in whatever order blocks of several threads end. Where several
changes name one option, the latest that is still there counts.

What a reader needs while it reads is fixed when it is made: arrays, stacks and tables carry the options that differed from the
defaults then (limits, time-outs, retries, ... but not sizes of caches, which belong to a process) and read with them, in any thread
and on any worker.

Every field can also be given through the environment: ``SCICHUNK_MAX_CHUNK_BYTES=...``. A variable that cannot be understood is an
:class:`~scichunk.errors.OptionError` when the options are first asked for, never at import.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import operator
import os
import threading
import weakref
from contextvars import ContextVar, Token
from functools import lru_cache
from typing import Any, Final, cast

from scichunk.errors import OptionError

__all__ = ["Options", "Snapshot", "frozen", "get", "opening_limits", "set", "take_snapshot"]

Snapshot = tuple[tuple[str, Any], ...]
"""Names and values of options that differ from the defaults."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Limits against hostile headers, and defaults of the pipeline. Sizes are in bytes."""

    head_bytes: int = 1 << 16
    """What one read at the start of a file fetches; a well-formed COG opens with this alone."""
    max_header_bytes: int = 1 << 28
    """Most bytes of headers (tags, offset tables) that are read from one file, and most memory of the tables that are made of them."""
    paged_index_bytes: int = 1 << 20
    """Longest table of the places of a file's chunks that is read at once; of longer ones a read fetches the pages that it needs."""
    max_chunk_bytes: int = 1 << 31
    """Largest decoded native chunk (tile, strip)."""
    max_pages: int = 65_536
    """Most image directories that are followed in one file; together they may have 16 times as many bands, or a million."""
    max_elements: int = 1_000_000
    """Most XML elements of one document outside the bodies of its tables, and most attributes of all tables opened at once."""
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
    parallel_headers: int = 20_000
    """Stacks of as many local files have their headers read by all cores, in processes of their own."""
    shared_heads: str = ""
    """A folder of this machine, such as one in ``/dev/shm``, in which heads of remote files are kept for its other processes, so that of
    several workers one fetches each head; at most 1 GiB. Only you may be able to write into it. Empty: heads are not kept."""
    cached_files: int = 256
    """How many opened files (headers, indexes) one process remembers."""
    cached_file_bytes: int = 1 << 29
    """Memory of the opened files that one process remembers: headers, indexes of chunks, content given as bytes or expanded. The one
    that was used last is remembered whatever it takes."""
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
    trust_ctime: bool = True
    """Take a local file for another one where its ``ctime`` has changed and its size and date have not: a file of equal length was put
    in its place and given its date, or its name, links or permissions are others. Turn it off where a backup, or a storage that moves
    files to tape, changes the ``ctime`` of what stays the same."""
    kernel_bytes: int = 1 << 22
    """Bytes of one kind of data that a process decodes with libraries that are loaded anyway, before it compiles code for the rest,
    which takes some seconds, once on a machine. What is compiled already is loaded, in a millisecond, after a small part of them."""
    gdal_cache_bytes: int = 1 << 26
    """GDAL's block cache, where rasterio is the reference library that reads."""
    claim_rasters: bool = False
    """Let xarray guess the engine ``geotiff`` for ``.tif`` although an engine named ``rasterio`` is installed."""


_ZERO_ALLOWED: Final = frozenset({
    "retries", "retry_wait", "range_gap", "cached_files", "cached_file_bytes", "cached_tile_bytes", "warm_bytes", "scan_bytes",
    "gdal_cache_bytes", "kernel_bytes", "paged_index_bytes",
})  # fmt: skip
_OF_THE_PROCESS: Final = frozenset({
    "cached_files", "cached_file_bytes", "cached_handles", "cached_tile_bytes", "warm_bytes", "gdal_cache_bytes", "claim_rasters",
    "parallel_headers", "shared_heads",
})  # fmt: skip
"""Options that do not travel with readers."""
_OF_OPENING: Final = frozenset({
    "head_bytes", "max_header_bytes", "paged_index_bytes", "max_chunk_bytes", "max_pages", "max_elements", "max_expanded_bytes",
    "scan_bytes", "follow_hrefs",
})  # fmt: skip
"""Options that decide what an opened file is: how much of it is found, what is refused, and what is known of it."""
_WORDS: Final = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_DEFAULTS: Final[dict[str, Any]] = {f.name: f.default for f in dataclasses.fields(Options)}


def _check_value(name: str, value: Any, beginning: str) -> Any:
    """Return the value of an option in its own type, or raise an OptionError that begins with ``beginning``."""
    kind, least = type(_DEFAULTS[name]), 0 if name in _ZERO_ALLOWED else 1
    if kind is bool:
        if isinstance(value, bool):
            return value
        msg = f"{beginning}: it must be true or false (or 1/0, yes/no, on/off in the environment)"
        raise OptionError(msg)
    if kind is str:
        if isinstance(value, str | os.PathLike) and isinstance(path := os.fspath(value), str):
            return path
        msg = f"{beginning}: it must be a path"
        raise OptionError(msg)
    try:
        if isinstance(value, bool | str | bytes):
            raise TypeError  # noqa: TRY301  # numbers only, and bool is an integer for Python
        if kind is float or (isinstance(value, float) and value.is_integer()):
            number: Any = kind(value)
        else:
            number = operator.index(cast("Any", value))
    except (TypeError, ValueError, OverflowError):
        msg = f"{beginning}: it must be {'a number' if kind is float else 'an integer'}"
        raise OptionError(msg) from None
    if kind is float and not (math.isfinite(number) and (number > 0 or number == least == 0)):
        msg = f"{beginning}: it must be finite and {'not negative' if least == 0 else 'positive'}"
        raise OptionError(msg)
    if kind is int and number < least:
        msg = f"{beginning}: it must be at least {least}"
        raise OptionError(msg)
    return number


def _from_environment() -> Options:
    found: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        variable = f"SCICHUNK_{name.upper()}"
        text = os.environ.get(variable)
        if text is None:
            continue
        value: Any = text.strip()
        if isinstance(default, bool):
            value = _WORDS.get(value.lower(), value)
        else:
            with contextlib.suppress(ValueError):  # refused below, as the text that it is
                value = type(default)(value)
        found[name] = _check_value(name, value, f"{variable}={text}")
    return Options(**found)


@dataclasses.dataclass(slots=True, eq=False)
class _Layer:
    """What one call of :class:`set` changed."""

    changes: dict[str, Any]
    owner: weakref.ref[Any] | None
    """The call's object while it can still remove the layer; a layer without one is there for good."""


class _OptionsState:
    """The options of this process: changes in the order of their calls, and what they come to."""

    def __init__(self) -> None:
        self.base: Options | None = (
            None  # read from the environment when first needed: a wrong variable breaks no import
        )
        self.layers: list[_Layer] = []
        self.merged: Options | None = None
        self.lock = threading.RLock()

    def current(self) -> Options:
        """Return what all layers come to; the fast path takes no lock."""
        merged = self.merged
        return self.merge_layers() if merged is None else merged

    def merge_layers(self) -> Options:
        with self.lock:
            if self.base is None:
                self.base = _from_environment()
            merged = self.base
            for layer in self.layers:
                merged = dataclasses.replace(merged, **layer.changes)
            self.merged = merged
            return merged

    def add(self, layer: _Layer) -> None:
        with self.lock:
            if self.base is None:
                self.merge_layers()  # a wrong variable is told before anything is changed
            self.layers = [*self._fold_layers(), layer]
            self.merge_layers()

    def remove(self, layer: _Layer) -> None:
        with self.lock:
            self.layers = [other for other in self.layers if other is not layer]
            self.merge_layers()

    def _fold_layers(self) -> list[_Layer]:
        """Layers with neighbours that nothing can remove any more as one, so that plain calls do not pile up."""
        found: list[_Layer] = []
        for layer in self.layers:
            if layer.owner is not None and layer.owner() is None:
                layer.owner = None
            if found and layer.owner is None and found[-1].owner is None:
                found[-1].changes |= layer.changes
            else:
                found.append(layer)
        return found


_state: Final = _OptionsState()
_frozen: ContextVar[Options | None] = ContextVar("scichunk_options", default=None)


def _after_fork() -> None:
    _state.lock = threading.RLock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def get() -> Options:
    """Return the options in force: those of the process, or, while a reader reads, those that it was made with.

    Raises
    ------
    OptionError
        If an environment variable is wrong; it is raised each time until the variable is mended or removed.
    """
    return _frozen.get() or _state.current()


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
    OptionError
        If a value is of another type, negative, not finite, or zero where that makes no sense.
    """

    def __init__(self, **changes: float | bool) -> None:
        for name in changes:
            if name not in _DEFAULTS:
                msg = f"there is no option {name!r}; there are {', '.join(_DEFAULTS)}"
                raise TypeError(msg)
        self._changes = {n: _check_value(n, v, f"options.{n} = {v!r}") for n, v in changes.items()}
        self._fresh: _Layer | None = self._add_layer()  # a plain call is complete here
        self._entered: list[_Layer] = []

    def _add_layer(self) -> _Layer:
        layer = _Layer(dict(self._changes), weakref.ref(self))
        _state.add(layer)
        return layer

    def __enter__(self) -> Options:
        fresh, self._fresh = self._fresh, None
        self._entered.append(
            fresh or self._add_layer()
        )  # the second time, and nested in itself, it is a layer of its own
        return _state.current()

    def __exit__(self, *exception: object) -> None:
        _state.remove(self._entered.pop())

    def __repr__(self) -> str:
        return f"scichunk.options.set({', '.join(f'{name}={value!r}' for name, value in self._changes.items())})"

    def __getstate__(self) -> tuple[dict[str, Any]]:
        """Travel without what was changed here: ``client.run(scichunk.options.set, retries=8)`` sends the object back."""
        return (self._changes,)

    def __setstate__(self, state: tuple[dict[str, Any]]) -> None:
        self._changes, self._fresh, self._entered = state[0], None, []


def take_snapshot() -> Snapshot:
    """Return what a reader that is made now has to carry: the options in force that differ from the defaults, caches aside."""
    global _latest  # noqa: PLW0603  # one pair, replaced as a whole, so that threads need no lock
    now, latest = get(), _latest
    if now is not latest[0]:  # each variable of a dataset asks
        latest = _latest = (
            now,
            tuple(
                (name, value)
                for name, default in _DEFAULTS.items()
                if name not in _OF_THE_PROCESS and (value := getattr(now, name)) != default
            ),
        )
    return latest[1]


_latest: tuple[Options | None, Snapshot] = (None, ())
"""The options that were asked for last, and what a reader carries of them."""


def opening_limits() -> Snapshot:
    """Return those of the options in force that decide what an opened file is, where they differ from the defaults."""
    return _pick_limits(take_snapshot())


@lru_cache(maxsize=64)
def _pick_limits(changes: Snapshot) -> Snapshot:
    return tuple(change for change in changes if change[0] in _OF_OPENING)


@lru_cache(maxsize=64)
def _apply_changes(now: Options, changes: Snapshot) -> Options:
    return dataclasses.replace(now, **dict(changes))


class frozen:  # noqa: N801  # reads as a statement: with options.frozen(snapshot)
    """A context manager for one read, in which the options of a snapshot are in force.

    They are in this thread or task, and in what it starts with :func:`asyncio.to_thread` or on another event loop; other threads
    see nothing of it.
    """

    __slots__ = ("_changes", "_token")

    def __init__(self, changes: Snapshot) -> None:
        self._changes = changes
        self._token: Token[Options | None] | None = None

    def __enter__(self) -> None:
        if self._changes:
            self._token = _frozen.set(_apply_changes(_state.current(), self._changes))

    def __exit__(self, *exception: object) -> None:
        if self._token is not None:
            _frozen.reset(self._token)
