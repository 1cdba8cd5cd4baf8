"""What a VOTable document says of its tables (VOTable 1.5, section 4)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from scichunk import options
from scichunk.codecs.text.xml_tree import Element
from scichunk.core.tables import unique_names
from scichunk.errors import FormatError, LimitExceeded, UnsupportedFeature, located

__all__ = ["DATATYPES", "Field", "Shape", "Stream", "Table", "find_tables", "read_field"]

DATATYPES: Final[Mapping[str, tuple[str, int]]] = {
    "boolean": ("?", 8),
    "bit": ("?", 1),
    "unsignedByte": ("u1", 8),
    "short": ("i2", 16),
    "int": ("i4", 32),
    "long": ("i8", 64),
    "char": ("U", 8),
    "unicodeChar": ("U", 16),
    "float": ("f4", 32),
    "double": ("f8", 64),
    "floatComplex": ("c8", 64),
    "doubleComplex": ("c16", 128),
}
"""NumPy type and bits of each datatype (VOTable 1.5, section 2.1)."""
_OLD: Final = {
    "unsignedInt": "long",
    "unsignedShort": "int",
    "string": "char",
    "unicodeString": "unicodeChar",
    "float32": "float",
    "float64": "double",
    "int8": "short",
    "int16": "short",
    "int32": "int",
    "int64": "long",
    "text": "unicodeChar",
    "bool": "boolean",
    "byte": "unsignedByte",
    "ubyte": "unsignedByte",
    "integer": "int",
}
"""Names that services write (astropy's W13), and what they mean."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The arraysize of a field (VOTable 1.5, section 2.2)."""

    item: tuple[int, ...] = ()
    """Fixed axes in NumPy's order, slowest first."""
    variable: bool = False
    """Whether each row has as many items as it says."""
    text: int | None = None
    """Characters of each text, for char and unicodeChar: 0 where the cell says how many."""
    empty: bool = False
    """Whether texts have no characters at all (arraysize 0), so that binary cells have no bytes."""

    @property
    def size(self) -> int:
        """Elements of one item."""
        size = 1
        for n in self.item:
            size *= n
        return size


@dataclass(frozen=True, slots=True)
class Field:
    """A FIELD, or a PARAM with its value."""

    name: str
    datatype: str
    shape: Shape
    attributes: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    null: str | None = None
    minimum: str | None = None
    maximum: str | None = None
    options: tuple[str, ...] = ()
    """Values of OPTION elements, ``value=name`` where they have names."""
    links: tuple[Mapping[str, str], ...] = ()
    refers: bool = False
    """Whether nulls, limits and options are those of another element, by ``<VALUES ref="..."/>``."""

    @property
    def kind(self) -> str:
        """NumPy type: U for texts."""
        return DATATYPES[self.datatype][0]

    @property
    def bits(self) -> int:
        """Bits of one element, as it is stored in binary."""
        return DATATYPES[self.datatype][1]

    @property
    def is_text(self) -> bool:
        """Whether it holds characters."""
        return self.kind == "U"


@dataclass(frozen=True, slots=True)
class Stream:
    """The attributes of a STREAM element that matter."""

    href: str = ""
    encoding: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A TABLE element."""

    index: int
    """In document order."""
    name: str
    identifier: str
    fields: tuple[Field, ...]
    element: Element
    resource: tuple[Element, ...]
    """Resources that hold it, outermost first."""
    serialization: str = ""
    """TABLEDATA, BINARY, BINARY2, FITS or PARQUET; empty: no data."""
    stream: Stream | None = None
    body: int | None = None
    """Which body of the document."""
    n_rows: int | None = None
    """What the document says; not to be trusted."""
    extension: int | None = None
    """Of a FITS file."""
    notes: tuple[str, ...] = ()
    """What is not as the standard has it."""


def find_tables(root: Element) -> list[Table]:
    """Return all tables of a document, in order.

    Raises
    ------
    FormatError
        If a field is impossible.
    UnsupportedFeature
        If it has an unknown datatype.
    """
    found: list[Table] = []
    bodies = 0
    domains = _Domains(root)
    for element, resource in _walk_tables(root, ()):
        data = element.find_child("DATA")
        serial = next((c for c in data.children if c.tag in _SERIALS), None) if data else None
        stream = serial.find_child("STREAM") if serial else None
        has_body = serial is not None and (serial.tag == "TABLEDATA" or stream is not None)
        notes: list[str] = []
        fields = tuple(_parse_fields(element, notes, domains))
        found.append(
            Table(
                index=len(found),
                name=element.get("name"),
                identifier=element.get("ID"),
                fields=fields,
                element=element,
                resource=resource,
                serialization=serial.tag if serial else "",
                stream=Stream(stream.get("href").strip(), stream.get("encoding").strip()) if stream else None,
                body=bodies if has_body else None,
                n_rows=_parse_natural(element.get("nrows")),
                extension=_parse_natural(serial.get("extnum")) if serial else None,
                notes=tuple(notes),
            )
        )
        bodies += has_body
    return _take_over_fields(found)


_SERIALS: Final = ("TABLEDATA", "BINARY", "BINARY2", "FITS", "PARQUET")


def _walk_tables(element: Element, resource: tuple[Element, ...]) -> Iterator[tuple[Element, tuple[Element, ...]]]:
    for child in element.children:
        if child.tag == "RESOURCE":
            yield from _walk_tables(child, (*resource, child))
        elif child.tag == "TABLE":
            yield child, resource


def _take_over_fields(found: list[Table]) -> list[Table]:
    """Tables without fields that refer to another one have its fields (VOTable 1.5, section 4.9)."""
    by_id = {t.identifier: t for t in found if t.identifier}
    return [
        replace(t, fields=by_id[ref].fields)
        if not t.fields and (ref := t.element.get("ref")) in by_id and by_id[ref].index != t.index
        else t
        for t in found
    ]


class _Domains:
    """VALUES elements of a document by their ID, and which of them other ones take over (VOTable 1.5, section 4.7)."""

    def __init__(self, root: Element | None = None) -> None:
        self._by_id: dict[str, Element] = {}
        self._ends: dict[int, Element | str] = {}
        """For each element that was asked for, or passed, the one at the end of its references, or one that leads nowhere."""
        self._options: dict[int, list[str]] = {}
        self._left = options.get().max_elements
        waiting = [] if root is None else [root]
        while waiting:
            element = waiting.pop()
            if element.tag == "VALUES" and element.get("ID"):
                self._by_id.setdefault(element.get("ID").strip(), element)
            waiting += reversed(element.children)

    def find(self, values: Element) -> Element | str:
        """Return the element whose domain another one takes over, which may be itself; or a reference that leads nowhere."""
        passed: dict[int, None] = {}
        at, end = values, self._ends.get(id(values))
        while end is None:
            passed[id(at)] = None
            ref = at.get("ref").strip()
            following = self._by_id.get(ref) if ref else None
            if not ref:
                end = at
            elif following is None or id(following) in passed:
                end = ref
            else:
                at, end = following, self._ends.get(id(following))
        # Each element is passed once, however many refer to it: a chain of thousands of them would take minutes otherwise.
        self._ends |= dict.fromkeys(passed, end)
        return end

    def options(self, values: list[Element]) -> tuple[str, ...]:
        """Return the options of VALUES elements, which may be those of many fields: their texts are made once, and they are counted.

        Raises
        ------
        LimitExceeded
            If they are more than ``options.max_elements`` in all fields together.
        """
        found: list[str] = []
        for element in values:
            texts = self._options.get(id(element))
            if texts is None:
                children = element.iterate_children("OPTION")
                texts = [f"{c.get('value')}={n}" if (n := c.get("name")) else c.get("value") for c in children]
                self._options[id(element)] = texts
            found += texts
        self._left -= len(found)
        if self._left < 0:
            msg = f"more than {options.get().max_elements} options of all fields together (options.max_elements)"
            raise LimitExceeded(msg)
        return tuple(found)


def _take_over_domains(own: list[Element], domains: _Domains, name: str, notes: list[str]) -> list[Element]:
    """VALUES elements that others refer to, once each, in place of these; those that refer to nothing that is there stay."""
    found = [domains.find(v) for v in own]
    lost = list(dict.fromkeys(f for f in found if isinstance(f, str)))
    if lost:
        notes.append(f"{name}: VALUES refers to {', '.join(repr(ref[:80]) for ref in lost[:3])}, which is not there")
    resolved = (v if isinstance(f, str) else f for v, f in zip(own, found, strict=True))
    return list({id(v): v for v in resolved}.values())


def _parse_fields(element: Element, notes: list[str], domains: _Domains) -> Iterator[Field]:
    elements, late = _split_fields(element)
    if late:
        notes.append(
            f"{len(late)} FIELD elements behind DATA are left out: {', '.join(repr(e.get('name')) for e in late[:3])}"
        )
    names = unique_names([(e.get("name") or e.get("ID")).strip() for e in elements])
    for i, (child, name) in enumerate(zip(elements, names, strict=True)):
        with located(part=f"field {i} {name!r}"):
            found = read_field(child, name, notes, domains)
        yield found


def _split_fields(table: Element) -> tuple[list[Element], list[Element]]:
    """FIELD elements that describe the columns, and those behind DATA, where the schema of VOTable has none.

    Data are read before what stands behind them is known, so these could not be columns even if one wanted them.
    """
    children = table.children
    at = next((i for i, child in enumerate(children) if child.tag == "DATA"), len(children))
    before, behind = ([c for c in some if c.tag == "FIELD"] for some in (children[:at], children[at:]))
    return before, behind


def read_field(element: Element, name: str, notes: list[str], domains: _Domains | None = None) -> Field:
    """Read a FIELD or PARAM element; ``domains`` are the VALUES elements that others may refer to, by ID.

    Raises
    ------
    UnsupportedFeature
        If its datatype is not known.
    """
    datatype = element.get("datatype").strip()
    if datatype not in DATATYPES:
        known = _OLD.get(datatype) or next((d for d in DATATYPES if d.lower() == datatype.lower()), None)
        if known is None:
            if datatype:
                msg = f"the datatype {datatype!r} is not one of VOTable"
                raise UnsupportedFeature(msg)
            known = "char"
        notes.append(f"{name}: datatype {datatype!r} read as {known!r}")
    else:
        known = datatype
    arraysize = element.attributes.get("arraysize")
    # These names were never of VOTable; who writes them means a text of any length.
    if arraysize is None and datatype in {"string", "unicodeString", "text", ""}:
        arraysize = "*"
    own = list(element.iterate_children("VALUES"))
    shared = _Domains() if domains is None else domains
    values = _take_over_domains(own, shared, name, notes)
    return Field(
        name,
        known,
        _parse_shape(known, arraysize, name, notes),
        element.attributes,
        element.child_text("DESCRIPTION"),
        _parse_null(values, name, notes),
        _parse_limit(values, "MIN"),
        _parse_limit(values, "MAX"),
        shared.options(values),
        tuple(e.attributes for e in element.iterate_children("LINK")),
        {id(v) for v in values} != {id(v) for v in own},
    )


def _parse_null(values: list[Element], name: str, notes: list[str]) -> str | None:
    """The null that VALUES elements declare: a legal and an actual domain may both do so (VOTable 1.5, section 4.7)."""
    found = list(dict.fromkeys(e.attributes["null"].strip() for e in values if "null" in e.attributes))
    if len(found) > 1:
        notes.append(f"{name}: VALUES declare {' and '.join(map(repr, found))} for null, of which the last counts")
    return found[-1] if found else None


def _parse_limit(values: list[Element], what: str) -> str | None:
    for element in values:
        if (child := element.find_child(what)) is not None:
            return child.get("value")
    return None


def _parse_shape(datatype: str, arraysize: str | None, name: str, notes: list[str]) -> Shape:
    """Parse an arraysize; one that is malformed is read as well as can be, with a note."""
    is_text = datatype in {"char", "unicodeChar"}
    if arraysize is None:
        # Without arraysize a char is a single character (section 2.2).
        return Shape(text=1) if is_text else Shape()
    text = re.sub(r"\s", "", arraysize)
    if not re.fullmatch(r"(\d+x)*(\d+\*?|\*)", text):
        notes.append(f"{name}: arraysize {arraysize!r} is malformed")
        text = re.sub(r"x(?=x|$)", "", re.sub(r"[^\dx*]", "x", text)).strip("x") or "*"
        text = text if re.fullmatch(r"(\d+x)*(\d+\*?|\*)", text) else "*"
    # The first axis varies fastest, as in Fortran; that of texts counts characters (section 2.2).
    axes = text.split("x")
    variable = axes[-1].endswith("*")
    lengths = axes[:-1] if variable else axes
    # Digits first: Python refuses to convert thousands of them. Each axis too: an axis of 0 hides the size of the others.
    fixed = [int(a) for a in lengths] if len(lengths) <= 32 and max(map(len, axes)) <= 20 else [1 << 31]
    empty = 0 in (fixed[1:] if is_text else fixed) and (
        is_text or datatype == "bit"
    )  # nothing to divide texts and bytes by
    if empty or max([math.prod(fixed), *fixed]) >= 1 << 31:
        msg = f"an arraysize of {arraysize[:80]!r} is impossible"
        raise FormatError(msg)
    if is_text:
        nothing = not variable and fixed[0] == 0
        if len(axes) == 1:
            return Shape(text=0 if variable else fixed[0], empty=nothing)
        return Shape(tuple(reversed(fixed[1:])), variable, fixed[0], nothing)
    return Shape(tuple(reversed(fixed)), variable)


def _parse_natural(text: Any) -> int | None:
    return int(text) if re.fullmatch(r"\s*\d{1,18}\s*", str(text or "")) else None
