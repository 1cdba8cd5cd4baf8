"""What a format hands over to the adapters: files whose structure has been read, trees of nodes, lazily read arrays."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from scichunk.core.arrays import ArraySource, WindowArray
from scichunk.core.cache import cached_bytes
from scichunk.core.layout import Layout
from scichunk.core.renamed import old_names
from scichunk.core.tables import TableSource
from scichunk.errors import FormatError, GroupNotFound
from scichunk.sources import ByteSource, Fingerprint, Location

__all__ = [
    "STORED_DTYPE",
    "STORED_FILL",
    "ArrayId",
    "ArrayInfo",
    "ArrayVar",
    "ColumnId",
    "Coordinate",
    "FileBase",
    "FormatFile",
    "Node",
    "OpenFile",
    "TableFile",
    "TableId",
]

STORED_FILL: Final = "stored_fill"
"""In the encoding of decoded integers: their fill value, where ``_FillValue`` is another."""
STORED_DTYPE: Final = "stored_dtype"
"""Their type, where ``dtype`` is another."""


@dataclass(frozen=True, slots=True)
class ArrayId:
    """Which array or table of a file, in small values that pickle.

    A format derives a class for each kind of array that its files have; nobody else looks into it. It compares by its values, and is
    part of keys and tokens. Of a file of one array this class says all.
    """


@dataclass(frozen=True, slots=True)
class TableId(ArrayId):
    """A table."""

    table: Any = None
    """In the format's own words: a number, a name; None for the first."""


@dataclass(frozen=True, slots=True)
class ColumnId(ArrayId):
    """A column of a table."""

    table: Any
    column: str
    raw: bool = False
    """Values as they are stored."""


__getattr__ = old_names(__name__, {"Place": "ArrayId"})


@dataclass(frozen=True, slots=True)
class ArrayVar:
    """A lazily read array with its name and meaning."""

    name: str
    dims: tuple[str, ...]
    array_id: ArrayId
    source: ArraySource
    attrs: Mapping[str, Any] = field(default_factory=dict)
    """CF attributes of the raw values; ``_FillValue``, ``scale_factor`` and ``add_offset`` hold for all of them."""
    encoding: Mapping[str, Any] = field(default_factory=dict)
    cf_by_band: tuple[Mapping[str, Any], ...] = ()
    """Where the bands (first axis) differ: the CF attributes of each, instead of those in ``attrs``."""
    raw: ArrayVar | None = None
    """Stored values, where the format itself says how they are scaled: what ``mask_and_scale=False`` gives."""
    absent: Any = None
    """What a file that has no such array stands for among others that have: 255 for masks; None if each must have it."""
    stored: bool = False
    """Part of datasets of stored values only: what it says is in the decoded values of other arrays already."""


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
    """A file whose structure has been read; kept in a bounded cache of the process. Safe in threads."""

    fingerprint: Fingerprint
    """The version of the file, with that of the files beside it; set by who opens it."""
    alone: bool | None
    """Whether no file lies beside it that belongs to it; set by who opens it, None if nobody has looked."""

    @property
    def cached_bytes(self) -> int:
        """Memory that it takes, about: headers, indexes, content that is in memory. Cheap, as it is asked for at each opening."""
        ...

    def groups(self) -> list[str]:
        """Paths of all groups, ``"/"`` first, in file order."""
        ...

    def select(self, **selectors: Any) -> str:
        """Translate the format's own words (``page=1``, ``hdu="SCI"``) to the path of a group."""
        ...

    def find_array(self, **selectors: Any) -> tuple[ArrayId, tuple[int, ...] | None]:
        """Translate the format's own words to an array, and the positions along its first axis that are wanted (None: all)."""
        ...

    def node(self, group: str = "/") -> Node:
        """Build one group; GroupNotFound if there is none of that name."""
        ...

    def optional(self, group: str = "/") -> Mapping[str, ArrayId]:
        """Return those arrays of a group, by name, that other files of a stack may lack: masks, or decoded forms of arrays. Cheap."""
        ...

    def root(self) -> Mapping[str, Any]:
        """Return the attributes of the file as a whole."""
        ...

    def array(self, array_id: ArrayId) -> ArraySource:
        """Return one array."""
        ...

    def signature(self, array_id: ArrayId) -> object:
        """Return something cheap that is equal only where :meth:`layout` is: the bytes of the tags that matter, for example."""
        ...

    def layout(self, array_id: ArrayId) -> Layout:
        """Return what must agree for arrays of two files to be stacked."""
        ...

    def describe(self) -> list[ArrayInfo]:
        """Describe every array, without reading pixels."""
        ...

    def close(self) -> None:
        """Let go of descriptors, handles and temporary files; what was made of the file reads on, and takes them up again."""
        ...


class TableFile(Protocol):
    """A file that can hold tables."""

    def find_table(self, **selectors: Any) -> ArrayId:
        """Translate the format's own words to a table."""
        ...

    def table(self, array_id: ArrayId) -> TableSource:
        """Return a table."""
        ...


class FileBase:
    """What files of all formats share: where they are, and the answers of those that have nothing special to say."""

    def __init__(self, location: Location, source: ByteSource) -> None:
        self.location, self.source, self.fingerprint = location, source, source.fingerprint
        self.alone: bool | None = None
        self._arrays: dict[ArrayId, ArraySource] = {}
        """Arrays that were made, for formats that keep them."""
        self._counted = 0, 0

    @property
    def cached_bytes(self) -> int:
        """Memory of the source, and of the indexes of the arrays that were made."""
        # Asked for at each opening of any file: arrays are only counted again when there are more.
        count, size = self._counted
        if len(self._arrays) != count:
            arrays = list(self._arrays.values())
            self._counted = count, size = len(arrays), sum(map(cached_bytes, arrays))
        return cached_bytes(self.source) + size

    def root(self) -> Mapping[str, Any]:
        """Return nothing: everything is said of the group."""
        return {}

    def optional(self, _group: str = "/") -> Mapping[str, ArrayId]:
        """Return none."""
        return {}

    def by_name(self, array_id: ArrayId, _word: Any) -> ArrayId:
        """Return the id of an array that the user named, as it serves for other files of a stack: by default the same."""
        return array_id

    def signature(self, _array_id: ArrayId) -> object:
        """Return something that equals nothing else: layouts are compared."""
        return object()

    def close(self) -> None:
        """Close the source."""
        self.source.close()


class FormatFile(FileBase):
    """A base for formats: the answers that most files of one group give. A format overrides :meth:`node`, and what differs.

    Parameters
    ----------
    location
        Where the file is; ``location.sibling(name)`` is a file beside it.
    source
        Its bytes.
    """

    def node(self, group: str = "/") -> Node:
        """Build one group."""
        raise NotImplementedError

    def groups(self) -> list[str]:
        """Return the only one."""
        return ["/"]

    def select(self, **_selectors: Any) -> str:
        """Return the only group."""
        return "/"

    def find_array(
        self, *, bands: tuple[int, ...] | None = None, **selectors: Any
    ) -> tuple[ArrayId, tuple[int, ...] | None]:
        """Return the first array of the group that the selectors name: those of them that :meth:`select` takes."""
        known = inspect.signature(self.select).parameters.values()
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known)
        names = {parameter.name for parameter in known}
        group = self.select(**{name: value for name, value in selectors.items() if takes_all or name in names})
        arrays = self.node(group).arrays
        if not arrays:
            msg = "there is no array in it"
            raise FormatError(msg, url=self.source.url)
        return arrays[0].array_id, bands

    def array(self, array_id: ArrayId) -> ArraySource:
        """Return an array of a node, of stored values too."""
        return self._find_variable(array_id)[0].source

    def layout(self, array_id: ArrayId) -> Layout:
        """Return shape, type, and what the node says of the array."""
        return layout_of(*self._find_variable(array_id))

    def _find_variable(self, array_id: ArrayId) -> tuple[ArrayVar, Node]:
        """Find an array among those of all nodes; FormatError if there is none."""
        for group in self.groups():
            node = self.node(group)
            for var in node.arrays:
                for form in (var, var.raw):
                    if form is not None and form.array_id == array_id:
                        return form, node
        msg = f"there is no array {array_id!r}"
        raise FormatError(msg, url=self.source.url)

    def describe(self) -> list[ArrayInfo]:
        """Describe the arrays of all nodes."""
        return [describe_array(group, var) for group in self.groups() for var in self.node(group).arrays]

    def check_group(self, group: str) -> None:
        """Raise GroupNotFound for any other path than that of the only group."""
        if group.strip("/"):
            msg = f"there is no group {group!r}; the file has {', '.join(self.groups())}"
            raise GroupNotFound(msg, url=self.source.url)


def layout_of(var: ArrayVar, node: Node) -> Layout:
    """Make the layout of any array from what its node says: CF attributes and the coordinates of its dimensions."""
    named = ("_FillValue", "scale_factor", "add_offset", "units")
    meaning: dict[str, Any] = {name: var.attrs[name] for name in named if name in var.attrs}
    if var.cf_by_band:
        meaning["CF attributes of the bands"] = [dict(cf) for cf in var.cf_by_band]
    for name, coordinate in node.coords.items():
        if coordinate.dims and set(coordinate.dims) <= set(var.dims):
            meaning[f"coordinate {name}"] = coordinate.values
    return Layout(var.source.shape, str(var.source.dtype), None, meaning, {}, var.attrs.get("_FillValue"))


def close_arrays(arrays: Iterable[ArraySource]) -> None:
    """Let arrays of a file give up what they hold open for reading."""
    for array in list(arrays):
        # Indexed arrays hold nothing open of their own; the source is closed by the file.
        if isinstance(array, WindowArray):
            array.close()


def describe_array(group: str, var: ArrayVar) -> ArrayInfo:
    """Describe an array by its variable."""
    source = var.source
    codec = str(var.encoding.get("codec", ""))
    return ArrayInfo(
        group, var.name, var.dims, source.shape, str(source.dtype), source.grid.chunk_shape, codec, source.reader
    )


def normalise_positions(bands: Sequence[int] | None, count: int) -> tuple[int, ...] | None:
    """Return positions along an axis of known length, counted from its start.

    Raises
    ------
    IndexError
        If one lies outside.
    """
    if bands is None:
        return None
    for band in bands:
        if not -count <= band < count:
            msg = f"bands has {band}, but there are {count}: positions count from 0 to {count - 1}"
            raise IndexError(msg)
    return tuple(range(count)[band] for band in bands)
