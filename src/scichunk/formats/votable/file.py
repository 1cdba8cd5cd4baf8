"""Opened VOTable documents: their tables as sources and nodes."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

from scichunk import options
from scichunk.core.arrays import ArraySource
from scichunk.core.cache import cached_bytes
from scichunk.core.files import ArrayId, ArrayInfo, ColumnId, FileBase, Node, TableId
from scichunk.core.layout import Layout
from scichunk.core.tables import Column, TableSource
from scichunk.errors import (
    DataWarning,
    FormatError,
    GroupNotFound,
    LimitExceeded,
    ScichunkError,
    SourceError,
    UnsupportedFeature,
    located,
)
from scichunk.formats.votable.array_ids import DataOf, VOTableId
from scichunk.formats.votable.document.markup import is_near
from scichunk.formats.votable.document.metadata import group_names
from scichunk.formats.votable.document.scan import open_document
from scichunk.formats.votable.document.structure import Table
from scichunk.formats.votable.table import EmptyRows, RowReader, VOTable
from scichunk.formats.votable.values.diagnostics import Diagnostics, Policy
from scichunk.sources import ByteSource, Fingerprint, Location
from scichunk.sources.identity import digest_values
from scichunk.sources.local import changed_message
from scichunk.sources.whole_file import expand_source
from scichunk.tables.columns import ColumnArray, column_layout
from scichunk.tables.nodes import column_dims, table_info, table_node
from scichunk.tables.nulls import NAN, Fill, FilledColumnId, fill_nulls, filled_column, find_fills, find_undeclared
from scichunk.warned import warn_caller

__all__ = ["VOTableFile", "open_file"]

_MASKED: Final = ("TABLEDATA", "BINARY2", "PARQUET")
"""Serializations in which any cell may be null, whatever its type; booleans may be so in all."""

_NEAREST: Final = "nearest"
"""Of integers beyond their type arrays have the nearest, if nothing else in the column calls for NaN."""
_SEARCHED_BYTES: Final = 1 << 28
"""Bytes of a table on this machine that are looked through for nulls before an array is made of it."""


def open_file(location: Location, source: ByteSource | None = None) -> VOTableFile:
    """Open a VOTable document, compressed as a whole or not, and read its header.

    Raises
    ------
    FormatError
        If it is no VOTable, is not well-formed or declares entities.
    SourceError
        If it cannot be read.
    LimitExceeded
        If it is beyond :mod:`scichunk.options`.
    """
    return VOTableFile(location, source or location.open())


class VOTableFile(FileBase):
    """One document; tables are opened when asked for, and kept."""

    def __init__(self, location: Location, source: ByteSource) -> None:
        super().__init__(location, source)
        self.source = expand_source(source)
        self.document = open_document(self.source)
        self._tables: dict[tuple[int, str, bool], TableSource] = {}
        self._columns: dict[int | str | DataOf, dict[str, Column]] = {}
        self._groups: dict[str, Table] = {}
        self._nulls: dict[int, dict[str, Fill]] = {}
        self._versions: dict[int, Fingerprint] = {}
        """Of the files that streams refer to, of tables that are open."""
        self._lock = threading.RLock()

    @property
    def cached_bytes(self) -> int:
        """Memory of the source, of what is around the rows, and of tables: their streams, and the places of their rows."""
        tables = sum(map(cached_bytes, list(self._tables.values())))
        return super().cached_bytes + self.document.cached_bytes + tables

    def groups(self) -> list[str]:
        """Return ``/NAME`` of every table; only ``/`` where there is one; none where a service sent an error instead."""
        self.document.find_all()
        if not any(t.fields for t in self.document.tables):
            return []
        count, limit = self.document.attributes.count(self.document.tables), options.get().max_elements
        if count > limit:
            msg = f"{count} attributes in {len(self.document.tables)} tables, which are too many to open at once (options.max_elements)"
            raise LimitExceeded(msg, url=self.document.source.url)
        return list(self._tables_by_group())

    def root(self) -> Mapping[str, Any]:
        """Return what the document says as a whole."""
        if not any(t.fields for t in self.document.tables):
            self.document.status.warn_of_error()
        return self.document.attributes.of_document()

    def header(self) -> Any:
        """Return the document without its rows as :class:`astropy.io.votable.tree.VOTableFile`."""
        from scichunk.formats.votable.reference import astropy_header

        return astropy_header(self.document)

    def select(self, *, table: int | str | None = None) -> str:
        """Return the group of a table: by its position, name or ID."""
        found = self.find(table)
        self.document.find_all()
        return next(g for g, t in self._tables_by_group().items() if t.index == found.index)

    def find(self, which: int | str | DataOf | None) -> Table:
        """Return a table; None: the first.

        Raises
        ------
        FormatError
            If there is none.
        """
        document, which = self.document, which.table if isinstance(which, DataOf) else which
        # The first table is known from the head of the document; for others all of it must be looked through.
        if which not in {None, 0} or not document.tables:
            document.find_all()
        tables = document.tables
        if isinstance(which, str):
            # An ID is unique in a document, a name is not.
            found = [t for t in tables if t.identifier == which] or [t for t in tables if t.name == which]
        else:
            number = int(which or 0)
            found = [tables[number]] if -len(tables) <= number < len(tables) else []
        if not found:
            self.document.status.check(None)
            there = ", ".join(f"{t.index} {t.name or t.identifier}".strip() for t in tables[:20]) or "none"
            msg = f"there is no table {which!r}; the document has {there}"
            raise FormatError(msg, url=self.document.source.url)
        return found[0]

    def by_name(self, array_id: ArrayId, word: Any) -> ArrayId:
        """Return the id of a column that names its table as the user did, by which it is found in documents where that has another number.

        The same id if the table has no such name or ID, or shares it with one before it.
        """
        column = cast("ColumnId", array_id)
        which = column.table
        table = self.find(which)
        if not isinstance(word, str) or word not in {table.name, table.identifier} or self.find(word) is not table:
            return array_id
        return replace(column, table=replace(which, table=word) if isinstance(which, DataOf) else word)

    def node(self, group: str = "/") -> Node:
        """Build the node of a table; ``/`` is the first."""
        name = "/" + group.strip("/")
        if name == "/":
            if not self.document.tables:
                self.document.status.check(None)
                return Node((), {}, self.root())
            index = 0
        else:
            self.document.find_all()
            named = self._tables_by_group()
            if name not in named:
                raise GroupNotFound.among(group, self.groups(), url=self.document.source.url)
            index = named[name].index
        which = self._with_version(index)
        table, fills = self.table(TableId(which)), self._find_fills(index)
        self.document.status.warn_if_cut(self.document.tables[index])
        return table_node(fill_nulls(table, fills), lambda name, raw: FilledColumnId(which, name, raw, fills.get(name)))

    def table(self, array_id: ArrayId) -> TableSource:
        """Return a table; a :class:`VOTableId` says what becomes of errors.

        Raises
        ------
        FormatError, UnsupportedFeature, LimitExceeded
            If there is no such table, or it cannot be opened.
        """
        on_error, compat = "raise", False
        if isinstance(array_id, VOTableId):
            on_error, compat = array_id.on_error, array_id.astropy_compat
        which = cast("TableId", array_id).table
        table = self.find(which)
        key = (table.index, on_error, compat)
        with self._lock, located(url=self.document.source.url, part=_label_table(table)):
            if isinstance(which, DataOf) and self._versions.get(table.index) != which.version:
                self._change_version(table, which)
            if key not in self._tables:
                self._tables[key] = self._open_table(table, on_error, compat)
            return self._tables[key]

    def _with_version(self, which: int | str) -> int | str | DataOf:
        """Return the table for ids: with the version of the file that its rows are in, where that lies on this machine.

        Of other files a version would cost a request each time; they are compared while a process has them open.
        """
        table = self.find(which)
        where = self._find_rows(table)
        return which if where is None else DataOf(which, where.open().fingerprint, digest_values(where.key))

    def _find_rows(self, table: Table) -> Location | None:
        """Find the file of this machine that the rows of a table are in, if they are in one."""
        from scichunk.formats.votable.document.href import resolve_href

        if table.stream is None or not table.stream.href:
            return None
        try:
            where = resolve_href(self.location, table.stream.href)
        except ScichunkError:  # it is raised where the table is opened, with what it was opened for
            return None
        return where if where.local_path is not None and os.path.exists(where.local_path) else None

    def _change_version(self, table: Table, which: DataOf) -> None:
        """Forget a table that was opened with other rows, if these are the ones that are there."""
        where, version = self._find_rows(table), which.version
        if where is not None:  # else whoever opens the table says what is wrong
            # One id serves for all documents of a stack: it knows the version of the rows of the first.
            if digest_values(where.key) != which.file:
                return
            found = where.open(version).fingerprint
            if found != version:
                raise SourceError(changed_message(version, found), url=where.url)
        self._tables = {key: known for key, known in self._tables.items() if key[0] != table.index}
        self._nulls.pop(table.index, None)
        self._versions[table.index] = version

    def array(self, array_id: ArrayId) -> ArraySource:
        """Return a column."""
        with self._lock:
            if array_id not in self._arrays:
                which = cast("FilledColumnId", array_id)
                self.document.cache_whole()
                nearest = which.fill == _NEAREST
                table = self.table(VOTableId(which.table, _NEAREST) if nearest else TableId(which.table))
                fills = {} if nearest else which.fills
                known = self._columns_of(which.table, table).get(which.column)
                if known is not None and fills:
                    known = filled_column(known, fills[which.column])
                table = fill_nulls(table, fills)
                with located(url=self.document.source.url):
                    self._arrays[array_id] = ColumnArray(table, which.column, raw=which.raw, column=known)
            return self._arrays[array_id]

    def _columns_of(self, which: int | str | DataOf, table: TableSource) -> dict[str, Column]:
        """Columns by name, made once: a search for each would take minutes where there are many thousands."""
        if which not in self._columns:
            self._columns[which] = {c.name: c for c in reversed(table.columns)}
        return self._columns[which]

    def find_array(self, *, column: str | None = None, table: int | str = 0) -> tuple[ArrayId, tuple[int, ...] | None]:
        """Return a column."""
        if column is None:
            msg = "a VOTable holds tables: name a column=, or read it by scichunk.read_table"
            raise FormatError(msg, url=self.document.source.url)
        found = self.find(table)
        self.document.status.warn_if_cut(found)
        which = self._with_version(table)
        self.table(TableId(which))
        fill: Fill | None = None
        if column in self._find_fills(found.index):
            lost = find_fills(self.table(VOTableId(which, _NEAREST)), [column])
            fill = NAN if lost else _NEAREST
            problem = "nulls and declares no value for them: they become NaN, and the others floating point"
            problem = problem if lost else "integers beyond its type: they become the nearest"
            msg = f"column {column!r} has {problem} [{self.document.source.url}]"
            warn_caller(msg, DataWarning)
        return FilledColumnId(which, column, fill=fill), None

    def find_table(self, *, table: int | str = 0, on_error: str = "raise", astropy_compat: bool = False) -> ArrayId:
        """Return a table."""
        self.document.status.warn_if_cut(self.find(table))
        return VOTableId(self._with_version(table), on_error, astropy_compat)

    def dims(self, array_id: ArrayId) -> tuple[str, ...]:
        """Return the names of a column's dimensions."""
        which = cast("ColumnId", array_id)
        return column_dims(self.table(TableId(which.table)), which.column)

    def layout(self, array_id: ArrayId) -> Layout:
        """Return shape, type and unit of a column."""
        which = cast("ColumnId", array_id)
        return column_layout(self.table(TableId(which.table)), self.array(which), which.column)

    def describe(self) -> list[ArrayInfo]:
        """Describe every table, without counting rows."""
        self.document.find_all()
        if not self.document.tables:
            self.document.status.check(None)
        return [self._describe_table(group, table) for group, table in self._tables_by_group().items()]

    def _describe_table(self, group: str, table: Table) -> ArrayInfo:
        label = table.name or table.identifier or f"table {table.index}"
        try:
            found = self.table(TableId(self._with_version(table.index)))
            met = found.diagnostics.summarise() if isinstance(found, VOTable) else {}
            return table_info(found, group, label, {"met while reading": met} if met else None)
        except ScichunkError as error:
            why = f"cannot be read: {error.message}"
            return ArrayInfo(group, label, (), (), f"{len(table.fields)} columns", (), table.serialization, why)

    def _open_table(self, table: Table, on_error: str, compat: bool) -> TableSource:
        self.document.status.check(table)
        version = self.document.root.get("version", "1.0")
        # From 1.3 on an empty cell is null (section 5.1); before, integers had to declare a value for it.
        new = version.lstrip("vV ")[:3] not in {"1.0", "1.1", "1.2"}
        policy = Policy("raise", astropy_compat=True) if on_error == _NEAREST else Policy(on_error, compat, new)
        diagnostics = Diagnostics(self.document.source.url, _label_table(table))
        # Only the last body can be the one without an end.
        if self.document.truncated and table.body == len(self.document.bodies) - 1 and on_error == "raise":
            msg = f"{self.document.truncated}; on_error='null' reads its whole rows"
            raise FormatError(msg)
        if table.serialization in {"FITS", "PARQUET"} and table.stream is not None:
            from scichunk.formats.votable.rows.embedded import open_delegated

            return open_delegated(self.location, self.document, table)
        return VOTable(self.document, table, self._make_reader(table, diagnostics), policy, diagnostics)

    def _find_fills(self, index: int) -> dict[str, Fill]:
        """Values for nulls that the document has none for; columns without nulls, and those of long tables, have none."""
        with self._lock:
            if index not in self._nulls:
                table = self.document.tables[index]
                found = self.table(TableId(index))
                limit = options.get().scan_bytes
                limit = max(limit, _SEARCHED_BYTES) if is_near(self.document.source) else limit
                kinds = "iub" if table.serialization in _MASKED else "b"
                names = find_undeclared(found.columns, kinds) if (found.nbytes or 0) <= limit else []
                if names:
                    self.document.cache_whole()
                self._nulls[index] = find_fills(found, names)
            return self._nulls[index]

    def _make_reader(self, table: Table, diagnostics: Diagnostics) -> RowReader:
        """Make the reader of rows that the serialization of a table needs."""
        if table.body is None or not table.fields:
            return EmptyRows()
        body = self.document.bodies[table.body]
        if table.serialization == "TABLEDATA":
            from scichunk.formats.votable.rows.tabledata import TableData

            return TableData(self.document, body, table.fields, diagnostics)
        if table.serialization not in {"BINARY", "BINARY2"} or table.stream is None:
            msg = f"data of the kind {table.serialization}"
            raise UnsupportedFeature(msg)
        from scichunk.formats.votable.document.href import open_stream
        from scichunk.formats.votable.rows.binary import open_rows

        stream = open_stream(self.location, self.document, body, table.stream)
        masked = table.serialization == "BINARY2"
        return open_rows(stream, table.fields, diagnostics, masked=masked, declared=table.n_rows)

    def _tables_by_group(self) -> dict[str, Table]:
        """Groups and their tables."""
        tables = self.document.tables
        if len(tables) <= 1:
            return {"/": tables[0]} if tables else {}
        if len(self._groups) != len(tables):
            self._groups = {"/" + name: t for name, t in zip(group_names(tables), tables, strict=True)}
        return self._groups


def _label_table(table: Table) -> str:
    return f"table {table.index}" + (f" {table.name!r}" if table.name else "")
