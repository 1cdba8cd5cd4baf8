"""``save_index``: what the headers of many files say, kept in a Parquet file, so that a stack of them opens without looking at each."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.adapters.files import LazySequence, Unpacked, keep_unpacked
from scichunk.core import registry
from scichunk.core.cache import FileKey
from scichunk.core.files import ArrayId, OpenFile
from scichunk.core.handles import open_file
from scichunk.errors import FormatError, LimitExceeded, SourceError, located
from scichunk.lru import LRU
from scichunk.sources import Fingerprint, Location, locate

__all__ = [
    "Row", "RowLook", "SavedIndex", "StoredFiles", "is_index", "load_index", "rows_of", "versions_of_an_index", "write_index",
]  # fmt: skip

_KEY: Final = b"scichunk-index"
_FORM: Final = 1
"""Of what is written; a reader refuses any other."""
_MOST_INDEXES: Final = 8
_indexes: LRU[SavedIndex] = LRU(lambda: _MOST_INDEXES)


@dataclass(frozen=True)
class SavedIndex:
    """The files of an index, with their versions and what their headers say."""

    path: str = field(repr=False)
    format: str
    version: str
    """Made anew each time that the index is written."""
    urls: Sequence[str]
    marks: Sequence[Fingerprint]
    """Version of each file."""
    layouts: list[str]
    """Those that occur, see :func:`layout_of`."""
    codes: npt.NDArray[np.int64]
    """Which of them each file has."""

    def locate(self, storage_options: Mapping[str, Any] | None) -> Sequence[Location]:
        """Return the location of each file."""
        given, urls = locate(self.urls[0], storage_options).options, self.urls
        return LazySequence(len(urls), lambda n: Location(urls[n], given))

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


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """Names and versions of the files of an index, which stay in it: each process reads them there."""

    path: str = field(repr=False)
    version: str
    count: int
    first: str = field(repr=False)
    options: Mapping[str, Any] | None = field(repr=False)
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
        return LazySequence(len(index.urls), lambda n: (Location(index.urls[n], self.options), index.marks[n]))

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
        file = pq.ParquetFile(pa.BufferReader(pa.py_buffer(bytes(content))), read_dictionary=list(_TEXTS))
        _check_size(file.metadata.num_rows * _ROW_BYTES, location.url)
        table = _with_plain_texts(file.read(), location.url)
        table.validate(full=True)  # of texts nobody else looks whether they are any
        head = json.loads((table.schema.metadata or {})[_KEY])
    except LimitExceeded:  # a ValueError, too
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError, RecursionError) as error:
        msg = "it is no index of scichunk.save_index"
        raise FormatError(msg, url=location.url) from error
    form = head.get("form") if isinstance(head, dict) else None
    if form != _FORM:
        msg = f"an index of form {form}, where this release reads form {_FORM}; write it anew"
        raise FormatError(msg, url=location.url)
    wrong = _find_damage(table, head)
    if wrong:
        msg = f"the index is damaged: {wrong}; write it anew"
        raise FormatError(msg, url=location.url)
    urls, sizes, tags, layouts = (_in_one(table[name]) for name in _COLUMNS)
    layouts = layouts.dictionary_encode()
    return SavedIndex(
        str(location.target),
        head["format"],
        head["version"],
        LazySequence(len(urls), lambda n: _text_at(urls, n)),
        LazySequence(len(urls), lambda n: Fingerprint(sizes[n].as_py(), _text_at(tags, n))),
        layouts.dictionary.to_pylist(),
        layouts.indices.to_numpy().astype(np.int64),
    )


def _with_plain_texts(table: Any, url: str) -> Any:
    """Return a table in which each text stands in its row; a file may hold one of any length once, for any number of rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    size = 0
    for number, name in enumerate(table.schema.names):
        column = table.column(number)
        if name in _TEXTS and pa.types.is_dictionary(column.type):
            for chunk in column.chunks:
                lengths = pc.cast(pc.binary_length(chunk.dictionary), pa.int64())
                size += int(pc.sum(lengths.take(chunk.indices)).as_py() or 0)
            _check_size(size, url)
            table = table.set_column(number, name, column.cast(column.type.value_type))
    return table


def _check_size(size: int, url: str) -> None:
    limit = options.get().max_chunk_bytes
    if size > limit:
        msg = f"an index of {size} bytes in memory, more than {limit} (options.max_chunk_bytes)"
        raise LimitExceeded(msg, url=url)


def _find_damage(table: Any, head: Mapping[str, Any]) -> str:
    """Say what an index lacks; empty if it has all that is asked of it later."""
    import pyarrow as pa

    if not all(isinstance(head.get(name), str) for name in ("format", "version")):
        return "its format or version is not named"
    for name, kinds in _COLUMNS.items():
        found = table.schema.get_all_field_indices(name)
        if len(found) != 1 or str(table.schema.field(found[0]).type) not in kinds or table.column(found[0]).null_count:
            return f"it has no column {name!r} of {' or '.join(kinds)}"
    if not table.num_rows:
        return "it names no files"
    if min(chunk.to_numpy().min(initial=0) for chunk in table["size"].chunks) < 0:
        return "a file has a negative length"
    for name in ("url", "tag"):
        if pa.types.is_binary(table.schema.field(name).type) and not all(map(_is_text, table[name].to_pylist())):
            return f"what is in the column {name!r} is no text"
    texts = table["layout"].unique().to_pylist()
    return "" if all(map(_is_layout, texts)) else "it does not say what the files hold"


_TEXTS: Final = ("url", "tag", "layout")
_ROW_BYTES: Final = 24
"""Of a file, beside its texts."""
_COLUMNS: Final = {"url": ("string", "binary"), "size": ("int64",), "tag": ("string", "binary"), "layout": ("string",)}


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


def _is_layout(text: str) -> bool:
    """Whether a text says of a file what :func:`layout_of` does."""
    try:
        found = json.loads(text)
        group, arrays, optional = found["group"], found["arrays"], found["optional"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return (
        isinstance(group, str)
        and isinstance(arrays, dict)
        and isinstance(optional, list)
        and all(isinstance(name, str) for name in optional)
    )


def _in_one(column: Any) -> Any:
    """Return a column of a table as one array."""
    array = column.combine_chunks()
    return array.chunk(0) if hasattr(array, "chunk") else array


def _text_column(texts: Sequence[str]) -> Any:
    """Return a column of texts; of bytes, where one of them is no UTF-8."""
    import pyarrow as pa

    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([text.encode("utf-8", "surrogatepass") for text in texts], pa.binary())


def _text_at(column: Any, number: int) -> str:
    text = column[number].as_py()
    return text.decode("utf-8", "surrogatepass") if isinstance(text, bytes) else text


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


@dataclass(frozen=True, slots=True)
class RowLook:
    """Makes the row of one file by its position: opens it, unless its version is the one that an index has."""

    format: str
    names: list[str] = field(repr=False)
    storage_options: Mapping[str, Any] | None = field(repr=False)
    array_ids: list[ArrayId]
    group: str
    known: dict[str, Row] = field(repr=False)
    """Rows of an index, by name."""
    limits: options.Snapshot

    def __call__(self, number: int) -> tuple[Row, bool]:
        """Return a row, and whether the file was opened for it."""
        name = self.names[number]
        location = Location(name, self.storage_options)
        with located(url=location.url), versions_of_an_index():
            row = self.known.get(name)
            if row is not None and self._version_of(location) == Fingerprint(*row[1:3]):
                return row, False
            # Of more files than the cache holds, each would drop one that is needed later.
            keep = len(self.names) <= options.get().cached_files
            file: OpenFile = open_file(self.format, location, keep=keep)
            mark = file.fingerprint
            return (name, mark.size, mark.tag, layout_of(file, self.array_ids, self.group)), True

    def _version_of(self, location: Location) -> Fingerprint:
        return registry.get_format(self.format).version(location, location.open().fingerprint)

    def share(self, numbers: Sequence[int]) -> RowLook:
        """Return what another process must know to look at some of the files."""
        names = [self.names[n] for n in numbers]
        return replace(self, names=names, known={name: self.known[name] for name in names if name in self.known})

    def run(self) -> list[tuple[Row, bool]]:
        """Look at all files."""
        return [self(number) for number in range(len(self.names))]


def rows_of(index: SavedIndex) -> list[Row]:
    """Return the rows of an index."""
    codes = index.codes.tolist()
    return [
        (url, mark.size, mark.tag, index.layouts[code])
        for url, mark, code in zip(index.urls, index.marks, codes, strict=True)
    ]


def write_index(path: Any, format_name: str, rows: Sequence[Row], storage_options: Mapping[str, Any] | None) -> None:
    """Write the file anew; who reads the one before goes on with it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from scichunk.sources.output import open_output

    urls, sizes, tags, layouts = (list(column) for column in zip(*rows, strict=True))
    head = {"form": _FORM, "format": format_name, "version": uuid.uuid4().hex}
    table = pa.table(
        {
            "url": _text_column(urls),
            "size": pa.array(sizes, pa.int64()),
            "tag": _text_column(tags),
            "layout": pa.array(layouts, pa.string()),
        },
        metadata={_KEY: json.dumps(head).encode()},
    )
    with open_output(path, overwrite=True, storage_options=storage_options) as file:
        pq.write_table(table, file, compression="zstd")
