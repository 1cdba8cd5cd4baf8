"""The files of a stack: found, opened and compared by what their headers mean, before anything is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np

from scichunk import options
from scichunk.adapters.files import Files, work_together
from scichunk.adapters.indexes import SavedIndex, StoredFiles, is_index, load_index, versions_of_an_index
from scichunk.adapters.opening import Opened, expand_names, open_any
from scichunk.adapters.scanning import look_by_all_cores
from scichunk.core.files import ArrayId, OpenFile
from scichunk.core.handles import open_file
from scichunk.errors import DataWarning, FormatError, ScichunkError, SourceError, located
from scichunk.sources import Fingerprint, Location, locate
from scichunk.sources.siblings import one_look
from scichunk.warned import warn_caller

__all__ = ["BAD", "Errors", "Found", "HeaderCheck", "Headers", "Rules", "Stack", "open_first", "read_headers"]

Headers = Literal["all", "first"]
Errors = Literal["raise", "warn", "ignore"]
BAD: Final = Fingerprint(-2, "")
"""Stands for a file that could not be opened."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds while the files of a stack are read."""

    errors: Errors = "raise"
    fill: Any = None
    """Value in place of a file that cannot be read; None where there is none."""
    absent: Any = None
    """Value in place of an array that a file does not have; None: each must have it."""
    group: str = ""
    """Group that the arrays are in, if others of it are to be stacked too."""
    limits: options.Snapshot = ()

    def check(self) -> None:
        """Raise ValueError for words that are not known."""
        if self.errors not in {"raise", "warn", "ignore"}:
            msg = f'errors must be "raise", "warn" or "ignore", got {self.errors!r}'
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Stack:
    """The files of a stack, after their headers have been looked at."""

    format: str
    locations: Sequence[Location]
    first: Opened
    """The first file that can be read."""
    number: int
    """Its position."""
    bad: Mapping[int, ScichunkError]
    """Files that cannot be read, by position."""
    index: SavedIndex | None = None
    """Where the files were named by an index, and are in its order."""

    def pack(self, marks: Sequence[Fingerprint | None]) -> Files | StoredFiles:
        """Pack names and versions for the graph; those that are in an index stay there."""
        index, first = self.index, self.locations[0]
        if index is not None and index.marks is marks:
            return StoredFiles(index.path, index.version, len(marks), first.target, first.options, first.key)
        return Files.pack(self.locations, marks)


def open_first(urls: Any, format_name: str | None, rules: Rules, storage_options: Mapping[str, Any] | None) -> Stack:
    """Find the files, and open the first that can be read.

    Raises
    ------
    ValueError
        If there are none.
    ScichunkError
        If none can be read.
    """
    index = load_index(urls, storage_options) if is_index(urls) else None
    locations: Sequence[Location]
    if index is not None:
        locations, format_name = index.locate(storage_options), format_name or index.format
    else:
        names = expand_names(urls, storage_options)
        if not names:
            msg = "no files to stack"
            raise ValueError(msg)
        locations = tuple(locate(name, storage_options) for name in names)
        if not all(isinstance(loc.target, str) for loc in locations):
            msg = "files of a stack must be named by paths or URLs"
            raise TypeError(msg)
    bad: dict[int, ScichunkError] = {}
    for number, location in enumerate(locations):
        try:
            with nullcontext() if index is None else versions_of_an_index():
                opened = open_any(format_name, location)
        except ScichunkError as error:
            if rules.errors == "raise":
                raise
            bad[number] = error
        else:
            return Stack(opened.format, locations, opened, number, bad, index)
    raise bad[0]


@dataclass(frozen=True, slots=True)
class Found:
    """What looking at the files of a stack has shown."""

    marks: Sequence[Fingerprint | None]
    """Version of each file; None where its header was not read, that of no file where it cannot be read. Those of an index as they are in
    it where all files are as it says."""
    elsewhere: bool
    """Whether images of the sky point to different places."""
    optional: Mapping[str, int]
    """Arrays that not all files have, with the position of one that has it."""
    labels: Mapping[int, Any] = field(default_factory=dict)
    """What was read of each good file beside its arrays, by position."""
    skies: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Where images point to different places: what places the pixels of each good file, by position."""


def read_headers(
    stack: Stack,
    array_ids: Mapping[str, ArrayId],
    headers: Headers,
    rules: Rules,
    label: Callable[[OpenFile], Any] | None = None,
) -> Found:
    """Look at all files, each once, and compare their arrays with those of the first.

    Parameters
    ----------
    stack, array_ids
        Which arrays of which files.
    headers
        ``"all"``; with ``"first"`` files are looked at only for their labels.
    rules
        What becomes of bad files.
    label
        What else is read of each file; it raises ScichunkError where a file does not have it.
    """
    if headers not in {"all", "first"}:
        msg = f'headers must be "all" or "first", got {headers!r}'
        raise ValueError(msg)
    count, known = len(stack.locations), None
    marks: dict[int, Fingerprint | None] = {stack.number: stack.first.file.fingerprint}
    bad, elsewhere = dict(stack.bad), ""
    optional: dict[str, int] = {}
    labels: dict[int, Any] = {}
    skies: dict[int, tuple[str, str]] = {}
    if headers == "all" or label is not None:
        if stack.index is not None and label is None and not bad:
            alike = stack.index.alike(list(array_ids.values()), stack.first.file, rules.group)
            known, optional = stack.index.marks, stack.index.optional(rules.group)
            numbers = np.flatnonzero(~alike).tolist()
        else:
            numbers = [n for n in range(count) if n not in bad]
        look = HeaderCheck(stack, array_ids if headers == "all" else {}, rules.group, label)
        remote = stack.locations[0].local_path is None
        with one_look():
            if remote or label is not None or len(numbers) < options.get().parallel_headers:
                seen = work_together(look, numbers, remote=remote)
            else:
                seen = look_by_all_cores(look, numbers)
        for number, found in zip(numbers, seen, strict=True):
            if isinstance(found, ScichunkError):
                bad[number] = found
            else:
                marks[number], pointing, names, labels[number] = found
                elsewhere = elsewhere or pointing.elsewhere
                if pointing.sky is not None:
                    skies[number] = pointing.sky
                optional |= {name: number for name in names if name not in optional}
        if elsewhere:
            msg = f"images of the sky point to different places: {elsewhere}"
            warn_caller(msg, DataWarning)
            skies = _find_skies(stack, array_ids, skies, [n for n in range(count) if n not in bad])
    if len(bad) == count:
        raise bad[0]
    _report_bad(stack, bad, rules)
    marks |= dict.fromkeys(bad, BAD)
    if headers == "first" and rules.group:
        optional = dict.fromkeys(stack.first.file.optional(rules.group), stack.number)
    return Found(_merge_marks(known, marks, count), bool(elsewhere), optional, labels, skies if elsewhere else {})


def _merge_marks(
    known: Sequence[Fingerprint | None] | None, found: Mapping[int, Fingerprint | None], count: int
) -> Sequence[Fingerprint | None]:
    """Return the version of each file: as it is known, but for those that were found to be another one."""
    if known is None:
        return [found.get(number) for number in range(count)]
    changed = {number: mark for number, mark in found.items() if known[number] != mark}
    return [changed.get(number, mark) for number, mark in enumerate(known)] if changed else known


def _find_skies(
    stack: Stack, array_ids: Mapping[str, ArrayId], known: Mapping[int, tuple[str, str]], numbers: list[int]
) -> dict[int, tuple[str, str]]:
    """What places the pixels of each file; those that were not looked at closely are like the first."""
    layouts = (stack.first.file.layout(array_id) for array_id in array_ids.values())
    first = next((layout.sky for layout in layouts if layout.sky is not None), None)
    found = {} if first is None else dict.fromkeys(numbers, first)
    return found | {n: sky for n, sky in known.items() if n in numbers}


def _report_bad(stack: Stack, bad: Mapping[int, ScichunkError], rules: Rules) -> None:
    """Raise the first error, or warn of how many files are filled."""
    if not bad:
        return
    error = bad[min(bad)]
    if rules.errors == "raise":
        raise error
    if rules.errors == "warn":
        msg = f"{len(bad)} of {len(stack.locations)} files cannot be read and are filled; the first: {error}"
        warn_caller(msg, DataWarning)


@dataclass(frozen=True, slots=True)
class _Pointing:
    """Where the images of a file lie, compared with those of the first."""

    elsewhere: str = ""
    """In words, where they point elsewhere."""
    sky: tuple[str, str] | None = None
    """What places the pixels of the first of them; None if nobody looked."""


_ALIKE: Final = _Pointing()
"""Of nearly all files."""


class HeaderCheck:
    """Looks at files one by one: compares their arrays with those of the first, and reads their labels."""

    def __init__(
        self, stack: Stack, array_ids: Mapping[str, ArrayId], group: str, label: Callable[[OpenFile], Any] | None
    ) -> None:
        self._stack, self._array_ids, self._group, self._label = stack, array_ids, group, label
        file = stack.first.file
        # Of more files than the cache holds, each would drop one that is needed later.
        self._keep = len(stack.locations) <= options.get().cached_files
        self._signatures = {name: file.signature(array_id) for name, array_id in array_ids.items()}

    def __call__(self, number: int) -> tuple[Fingerprint, _Pointing, Sequence[str], Any] | ScichunkError:
        """Open a file; return its version, where it points elsewhere, what it has that others may lack, and its label.

        An error that says why it is bad is returned, not raised, so that the others are looked at too.
        """
        location, first = self._stack.locations[number], self._stack.first.file
        try:
            with located(url=location.url):
                file = first if number == self._stack.number else self._open(location)
                label = None if self._label is None else self._label(file)
                pointing = _ALIKE if file is first else self._compare(file)
                return file.fingerprint, pointing, self._optional(file), label
        except ScichunkError as error:
            return error

    def share(self, numbers: Sequence[int]) -> FilesToLook:
        """What another process must know to look at some of the files."""
        stack, names = self._stack, [str(self._stack.locations[n].target) for n in numbers]
        first = stack.first
        return FilesToLook(
            stack.format, first.location, first.file.fingerprint, dict(self._array_ids), self._group, names, options.take_snapshot()
        )  # fmt: skip

    def _open(self, location: Location) -> OpenFile:
        with nullcontext() if self._stack.index is None else versions_of_an_index():
            return open_file(self._stack.format, location, keep=self._keep)

    def _optional(self, file: OpenFile) -> Sequence[str]:
        return tuple(file.optional(self._group)) if self._group else ()

    def _compare(self, file: OpenFile) -> _Pointing:
        first, elsewhere, sky = self._stack.first, "", None
        for name, array_id in self._array_ids.items():
            # Equal signatures mean equal layouts, at far less cost; where they differ, what they mean is compared.
            if file.signature(array_id) == self._signatures[name]:
                continue
            mine, theirs = first.file.layout(array_id), file.layout(array_id)
            difference = mine.difference(theirs)
            if difference:
                msg = f"does not align with the first file, {first.location.url}: {difference}"
                raise FormatError(msg)
            elsewhere = elsewhere or mine.pointing_difference(theirs)
            sky = sky or theirs.sky
        return _Pointing(elsewhere, sky) if elsewhere or sky else _ALIKE


@dataclass(frozen=True, slots=True)
class FilesToLook:
    """What another process is told: which files, and the first one, which they are compared with."""

    format: str
    first: Location
    version: Fingerprint
    array_ids: dict[str, ArrayId]
    group: str
    names: list[str]
    limits: options.Snapshot

    def run(self) -> list[Any]:
        """Look at all of them.

        Raises
        ------
        SourceError
            If the first file is not the one it was.
        """
        first = open_any(self.format, self.first)
        if first.file.fingerprint != self.version:
            msg = "the first file has changed"
            raise SourceError(msg, url=self.first.url)
        locations = [self.first, *map(Location, self.names)]
        look = HeaderCheck(Stack(self.format, locations, first, 0, {}), self.array_ids, self.group, None)
        return [look(number) for number in range(1, len(locations))]
