"""``save_index``: what the headers of many files say, kept in a Parquet file, so that a stack of them opens without looking at each."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.adapters.files import Unpacked, keep_unpacked, work_together
from scichunk.core.cache import FileKey
from scichunk.core.files import ArrayId, OpenFile
from scichunk.errors import FormatError, SourceError
from scichunk.lru import LRU
from scichunk.sources import Fingerprint, Location, locate

__all__ = [
    "SavedIndex", "StoredFiles", "is_index", "layout_of", "load_index", "merge_rows", "versions_of_an_index", "write_index",
]  # fmt: skip

_KEY: Final = b"scichunk-index"
_FORM: Final = 1
"""Of what is written; a reader refuses any other."""
_MOST_INDEXES: Final = 8
_indexes: LRU[SavedIndex] = LRU(lambda: _MOST_INDEXES)


@dataclass(frozen=True)
class SavedIndex:
    """The files of an index, with their versions and what their headers say."""

    path: str
    format: str
    version: str
    """Made anew each time that the index is written."""
    urls: list[str]
    sizes: list[int]
    tags: list[str]
    layouts: list[str]
    """Those that occur, see :func:`layout_of`."""
    codes: npt.NDArray[np.int64]
    """Which of them each file has."""

    @cached_property
    def marks(self) -> list[Fingerprint | None]:
        """Version of each file."""
        return [Fingerprint(size, tag) for size, tag in zip(self.sizes, self.tags, strict=True)]

    def locate(self, storage_options: Mapping[str, Any] | None) -> Sequence[Location]:
        """Return the location of each file."""
        return _Locations(self.urls, locate(self.urls[0], storage_options).options)

    def alike(self, array_ids: Sequence[ArrayId], file: OpenFile, group: str) -> npt.NDArray[np.bool_]:
        """Which files surely have these arrays as a given file has them; the others are to be looked at."""
        wanted = {repr(i): _digest(file.signature(i)) for i in array_ids}
        same = []
        for layout in map(json.loads, self.layouts):
            known = layout["arrays"]
            same.append(
                (not group or layout["group"] == group)
                and all(digest and known.get(name) == digest for name, digest in wanted.items())
            )
        return np.array(same, bool)[self.codes]

    def optional(self, group: str) -> dict[str, int]:
        """Return arrays of a group that not all files have, with the position of one that has it."""
        found: dict[str, int] = {}
        for code, layout in enumerate(map(json.loads, self.layouts)):
            numbers = np.flatnonzero(self.codes == code)
            if layout["group"] == group and numbers.size:
                found |= {name: int(numbers[0]) for name in layout["optional"] if name not in found}
        return found


class _Locations(Sequence[Location]):
    """Locations that are made when they are asked for: most are not, and to make 100,000 takes a tenth of a second."""

    def __init__(self, urls: Sequence[str], options: Mapping[str, Any] | None) -> None:
        self._urls, self._options = urls, options

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [Location(url, self._options) for url in self._urls[number]]
        return Location(self._urls[number], self._options)

    def __len__(self) -> int:
        return len(self._urls)


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """Names and versions of the files of an index, which stay in it: each process reads them there."""

    path: str
    version: str
    count: int
    first: str
    options: Mapping[str, Any] | None
    key: str
    """Of the first file: stands for the storage options in the token."""

    @property
    def is_small(self) -> bool:
        """Whether each task may hold all of it."""
        return True

    @property
    def are_remote(self) -> bool:
        """Whether they lie elsewhere than on this machine, as the first does."""
        return Location(self.first, self.options).local_path is None

    def unpack(self) -> Unpacked:
        """Return location and version of each file.

        Raises
        ------
        SourceError
            If the index has been written anew since.
        """
        return keep_unpacked(f"{self.path}\0{self.version}\0{self.key}", self._unpack)

    def _unpack(self) -> Unpacked:
        index = load_index(self.path, self.options)
        if index.version != self.version:
            msg = "the index has been written anew since the stack was opened; open it again"
            raise SourceError(msg, url=locate(self.path).url)
        return [(Location(url, self.options), mark) for url, mark in zip(index.urls, index.marks, strict=True)]

    def __len__(self) -> int:
        return self.count

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return "scichunk-stored", self.path, self.version, self.key


def is_index(urls: Any) -> bool:
    """Whether this names one file that can be an index: none of the formats takes Parquet files."""
    return isinstance(urls, str | os.PathLike) and str(urls).lower().endswith(".parquet") and "*" not in str(urls)


def versions_of_an_index() -> options.frozen:
    """Return a context in which files have the versions that an index keeps: without ``ctime``.

    An index lives for months: backups and changed permissions within that time say nothing of what is in the files.
    """
    return options.frozen((*options.take_snapshot(), ("trust_ctime", False)))


def load_index(path: Any, storage_options: Mapping[str, Any] | None = None) -> SavedIndex:
    """Read an index; once a process, unless it changes.

    Raises
    ------
    FormatError
        If it is no index, or one of another release.
    """
    location = locate(path, storage_options)
    source = location.open()
    return _indexes.get_or_make(
        FileKey(location.key, source.fingerprint),
        lambda: _parse_index(location, source.read_ranges([0], [source.fingerprint.size])[0]),
    )


def _parse_index(location: Location, content: memoryview) -> SavedIndex:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # read_table would load the part of pyarrow for data sets of many files, in longer than all the rest takes.
        table = pq.ParquetFile(pa.BufferReader(pa.py_buffer(bytes(content)))).read()
        head = json.loads((table.schema.metadata or {})[_KEY])
    except (pa.ArrowException, KeyError, ValueError) as error:
        msg = "it is no index of scichunk.save_index"
        raise FormatError(msg, url=location.url) from error
    if head.get("form") != _FORM:
        msg = f"an index of form {head.get('form')}, where this release reads form {_FORM}; write it anew"
        raise FormatError(msg, url=location.url)
    layouts = table["layout"].combine_chunks().dictionary_encode()
    layouts = layouts.chunk(0) if isinstance(layouts, pa.ChunkedArray) else layouts
    return SavedIndex(
        str(location.target),
        head["format"],
        head["version"],
        table["url"].to_pylist(),
        table["size"].to_pylist(),
        table["tag"].to_pylist(),
        layouts.dictionary.to_pylist(),
        layouts.indices.to_numpy().astype(np.int64),
    )


Row = tuple[str, int, str, str]
"""Name, size and tag of the version, layout."""


def layout_of(file: OpenFile, array_ids: Sequence[ArrayId], group: str) -> str:
    """Say in a text what is compared of a file's arrays: equal texts stand for arrays that align."""
    arrays = {repr(i): _digest(file.signature(i)) for i in array_ids}
    return json.dumps({"group": group, "arrays": arrays, "optional": sorted(file.optional(group))}, sort_keys=True)


def _digest(signature: object) -> str:
    """Return a digest of a signature; an empty text for one that equals nothing else."""
    if type(signature) is object:
        return ""
    return hashlib.blake2b(pickle.dumps(signature, 5), digest_size=8).hexdigest()


def merge_rows(
    index: SavedIndex | None, locations: Sequence[Location], look: Any, version_of: Any
) -> tuple[list[Row], int]:
    """Look at files; those of an index whose version is still the same are taken from it. Returns all rows, and how many were looked at."""
    known: dict[str, int] = {} if index is None else {url: n for n, url in enumerate(index.urls)}
    rows: list[Row] = []
    if index is not None:
        rows = [
            (u, s, t, index.layouts[c])
            for u, s, t, c in zip(index.urls, index.sizes, index.tags, index.codes.tolist(), strict=True)
        ]

    def work(number: int) -> tuple[Row, bool]:
        location = locations[number]
        place = known.get(str(location.target))
        if place is not None and version_of(location) == Fingerprint(*rows[place][1:3]):
            return rows[place], False
        return look(location), True

    looked = 0
    for row, fresh in work_together(work, range(len(locations)), remote=locations[0].local_path is None):
        looked += fresh
        if row[0] in known:
            rows[known[row[0]]] = row
        else:
            known[row[0]] = len(rows)
            rows.append(row)
    return rows, looked


def write_index(path: Any, format_name: str, rows: Sequence[Row], storage_options: Mapping[str, Any] | None) -> None:
    """Write the file anew; who reads the one before goes on with it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from scichunk.sources.output import open_output

    urls, sizes, tags, layouts = (list(column) for column in zip(*rows, strict=True))
    head = {"form": _FORM, "format": format_name, "version": uuid.uuid4().hex}
    table = pa.table(
        {
            "url": pa.array(urls, pa.string()),
            "size": pa.array(sizes, pa.int64()),
            "tag": pa.array(tags, pa.string()),
            "layout": pa.array(layouts, pa.string()),
        },
        metadata={_KEY: json.dumps(head).encode()},
    )
    with open_output(path, overwrite=True, storage_options=storage_options) as file:
        pq.write_table(table, file, compression="zstd")
