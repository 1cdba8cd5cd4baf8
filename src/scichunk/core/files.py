"""What every format hands over to the adapters: trees of nodes with lazily read arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from scichunk.core.arrays import ArraySource
from scichunk.core.tables import TableSource, TableStream
from scichunk.sources import Fingerprint, Location

__all__ = ["ArrayInfo", "ArrayVar", "Coordinate", "FormatSpec", "Node", "OpenFile", "Place", "TableFile"]

Place = tuple[Any, ...]
"""Which array of a file, in small values that pickle: ``("page", 0)``; ``("table", which)`` and ``("column", which, name, raw)``."""


@dataclass(frozen=True, slots=True)
class ArrayVar:
    """A lazily read array with its name and meaning."""

    name: str
    dims: tuple[str, ...]
    place: Place
    source: ArraySource
    attrs: Mapping[str, Any] = field(default_factory=dict)
    """CF attributes of the raw values; ``_FillValue``, ``scale_factor`` and ``add_offset`` hold for all of them."""
    encoding: Mapping[str, Any] = field(default_factory=dict)
    cf_by_band: tuple[Mapping[str, Any], ...] = ()
    """Where the bands (first axis) differ: the CF attributes of each, instead of those in ``attrs``."""
    raw: ArrayVar | None = None
    """Stored values, where the format itself says how they are scaled: what ``mask_and_scale=False`` gives."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A small array in memory."""

    dims: tuple[str, ...]
    values: Any
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """One group: what becomes an ``xarray.Dataset``."""

    arrays: tuple[ArrayVar, ...]
    coords: Mapping[str, Coordinate] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    sky: str = ""
    """FITS header of the arrays, if it places their pixels on the sky."""


@dataclass(frozen=True, slots=True)
class ArrayInfo:
    """What ``scichunk info`` says of one array."""

    group: str
    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    native_chunks: tuple[int, ...]
    codec: str
    reader: str
    stored_bytes: int | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


class OpenFile(Protocol):
    """A file whose structure has been read; kept in a bounded cache of the process."""

    fingerprint: Fingerprint

    def groups(self) -> list[str]:
        """Paths of all groups, ``"/"`` first, in file order."""
        ...

    def select(self, **selectors: Any) -> str:
        """Translate the format's own way to name a group (``page=1``, ``hdu="SCI"``) to its path; TypeError if unknown."""
        ...

    def node(self, group: str = "/") -> Node:
        """Build one group; :class:`~scichunk.errors.GroupNotFound` if there is none of that name."""
        ...

    def root(self) -> Mapping[str, Any]:
        """Return the attributes of the file as a whole."""
        ...

    def array(self, place: Place) -> ArraySource:
        """Return one array."""
        ...

    def layout(self, place: Place) -> Mapping[str, Any]:
        """Return what must be equal for arrays of two files to be stacked, by name; cheap."""
        ...

    def describe(self) -> list[ArrayInfo]:
        """Describe every array, without reading pixels."""
        ...

    def close(self) -> None:
        """Let go of descriptors, handles and temporary files; what was made of the file reads on, and takes them up again."""
        ...


class TableFile(OpenFile, Protocol):
    """A file that can hold tables."""

    def table(self, place: Place) -> TableSource:
        """Return the table ``("table", which)``; ``("table", None)`` is the first."""
        ...


@dataclass(frozen=True, slots=True)
class FormatSpec:
    """How a format is found and opened. Making one imports nothing."""

    name: str
    """Engine name."""
    description: str
    suffixes: tuple[str, ...]
    """Lower case, with the dot."""
    sniff: Callable[[bytes], bool] = field(repr=False)
    """Whether a file that begins with these bytes is of the format."""
    module: str
    """Module with ``open_file(location) -> OpenFile``."""
    siblings: Callable[[str], Sequence[str]] | None = field(default=None, repr=False)
    """Names of files beside a local file of this name that belong to it, whether they exist or not: a change of one is another
    version of the file."""
    writer: str = ""
    """Module with ``write_table(stream, path, *, overwrite, **options)``, if tables of the format are written."""

    def version(self, location: Location, fingerprint: Fingerprint) -> Fingerprint:
        """Return the version of a file together with the files beside it, from that of the file alone."""
        path = location.local_path
        if path is None or self.siblings is None:
            return fingerprint
        from scichunk.sources.siblings import with_siblings

        return with_siblings(fingerprint, path, self.siblings(os.path.basename(path)))

    def open_file(self, location: Location, **options: Any) -> OpenFile:
        """Import the format and open a file of it."""
        from importlib import import_module

        opened: OpenFile = import_module(self.module).open_file(location, **options)
        return opened

    def write_table(self, stream: TableStream, path: Any, **options: Any) -> None:
        """Import the format's writer and write a table."""
        from importlib import import_module

        import_module(self.writer).write_table(stream, path, **options)
