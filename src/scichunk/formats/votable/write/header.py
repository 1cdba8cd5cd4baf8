"""The header of a document that is written: made anew from the tree of the header that the columns came with, or from nothing."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from scichunk.codecs.text.xml_tree import Element, parse_document
from scichunk.errors import MetadataWarning, ScichunkError
from scichunk.formats.votable.document.metadata import Attributes, column_attributes, column_encoding
from scichunk.formats.votable.document.structure import Field, Table, find_tables
from scichunk.formats.votable.values.column_part import declared_null
from scichunk.formats.votable.write.column_writers import VOTableColumnWriter
from scichunk.formats.votable.write.xml_text import escape_text, plain_text, quote_value
from scichunk.warned import warn_caller

__all__ = ["serialise", "write_header"]

_DECLARATION: Final = '<?xml version="1.0" encoding="utf-8"?>\n'
_VERSION: Final = "1.4"
_NAMESPACE: Final = "http://www.ivoa.net/xml/VOTable/v1.3"
_OLD_NAMESPACE: Final = re.compile(r"(http://www\.ivoa\.net/xml/VOTable/)v1\.[0-2]\b")
_OLD_VERSION: Final = re.compile(r"v?1\.[0-2]")
"""Versions that do not know BINARY2."""
_WRITTEN_ELSEWHERE: Final = (
    "votable_header",
    "votable_warnings",
    "votable_version",
    "name",
    "ID",
    "ucd",
    "utype",
    "description",
    "links",
)
"""Attributes of a table that are no PARAM."""
_OF_TABLE: Final = ("name", "ID", "ucd", "utype")
"""Attributes that are those of the TABLE element."""
_KEPT: Final = ("coosys_", "timesys_", "group_")
"""What attributes begin with that are neither these nor PARAM elements."""
_PLAIN: Final = (str, int, float)
_SYSTEM: Final = re.compile(r"(coosys|timesys)_([A-Za-z_][\w.-]*)")
_SETTINGS: Final = re.compile(r"[A-Za-z]\w*=.*", re.DOTALL)
_BETWEEN_SETTINGS: Final = re.compile(r" (?=[A-Za-z]\w*=)")
"""How a COOSYS or TIMESYS element is read as an attribute: its ID is in the name, its settings are the text."""
_RAW: Final = "\0"
"""Tag of elements whose text is written as it is: no document has this name, while the name ``a:`` has nothing behind its prefix."""
_HERE: Final = "\0"
"""Where the data come: no document has this character."""


def write_header(
    attrs: Mapping[str, Any], fields: Sequence[VOTableColumnWriter], *, rows: int, name: str | None
) -> tuple[str, str]:
    """Return the document before and behind the DATA element of its table.

    Parameters
    ----------
    attrs
        Attributes of the table. If ``votable_header`` is one, what it says beside the columns is kept: elements in their order, with
        their attributes; comments are not.
    fields
        The columns. A FIELD of the header that still holds is kept as it is, with all that it says.
    rows
        Number of rows.
    name
        Name of the table; None for the one that it has.
    """
    given = attrs.get("votable_header")
    if isinstance(given, str):
        found: tuple[Element, Table | None] | None = None
        with contextlib.suppress(ScichunkError):  # what the columns say of themselves is enough
            root = parse_document([(0, given)], "votable_header", root="VOTABLE")
            found = root, _find_best(find_tables(root), fields, attrs)
        if found is not None and found[1] is not None:
            return _from_tree(found[0], found[1], attrs, fields, {"name": name, "nrows": str(rows)})
    given = {k: plain_text(attrs.get(k)) for k in ("ID", "name", "ucd", "utype")} | ({"name": name} if name else {})
    tag = _start_tag("TABLE", {k: v for k, v in given.items() if v} | {"nrows": str(rows)})
    description = plain_text(attrs.get("description"))
    before = (
        f'{_DECLARATION}<VOTABLE version="{_VERSION}" xmlns="{_NAMESPACE}">\n<RESOURCE type="results">\n'
        + _system_elements(attrs)
        + f"{tag}>\n"
        + (f"<DESCRIPTION>{escape_text(description)}</DESCRIPTION>\n" if description else "")
        + "".join(f.field_element() + "\n" for f in fields)
        + _param_elements({k: v for k, v in attrs.items() if k not in _WRITTEN_ELSEWHERE and not _system_of(k, v)})
        + "".join(f"<LINK href={quote_value(v)}/>\n" for v in np.atleast_1d(attrs.get("links", [])))
    )
    return before, "\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n"


def _find_best(found: list[Table], fields: Sequence[VOTableColumnWriter], attrs: Mapping[str, Any]) -> Table | None:
    """The table with the most of the columns; its name decides between equals."""
    names = {f.name for f in fields}

    def score(table: Table) -> tuple[int, bool, bool, int]:
        same = len(names & {f.name for f in table.fields})
        return same, table.identifier == attrs.get("ID", ""), table.name == attrs.get("name", ""), -table.index

    best = max(found, key=score, default=None)
    return best if best is not None and score(best)[0] and best.fields else None


def _from_tree(
    root: Element,
    table: Table,
    attrs: Mapping[str, Any],
    fields: Sequence[VOTableColumnWriter],
    given: Mapping[str, str | None],
) -> tuple[str, str]:
    """Write the tree with other fields in one of its tables, and without the data of any."""
    elements = table.element.iterate_children("FIELD")
    known = {field.name: (field, element) for field, element in zip(table.fields, elements, strict=False)}
    written = []
    for out in fields:
        field, element = known.get(out.name, (None, None))
        kept = element is not None and field is not None and _still_holds(field, out)
        written.append("".join(serialise(element)) if kept and element is not None else out.field_element() + "\n")
    original = Attributes(root, "votable_header").of_table(table)
    fresh = {k: v for k, v in attrs.items() if k not in original and not k.startswith("votable_")}
    changes = _find_changes(attrs, original)
    description = changes.pop("description", None)
    params = {k: v for k, v in changes.items() if k not in _OF_TABLE}
    block = Element(_RAW, {}, text="".join(written) + _param_elements(fresh | params))
    given = {k: str(v) for k, v in changes.items() if k in _OF_TABLE} | {k: v for k, v in given.items() if v}

    def changed(element: Element) -> Element:
        name, attributes = element.as_written
        children = [c for c in element.children if element.tag != "TABLE" or c.tag != "DATA"]
        if element is root:
            attributes = _raise_version(attributes)
        if element is table.element:
            attributes = {k: v for k, v in attributes.items() if k != "nrows"} | given
            children = [c for c in _with_block(element, block) if c.tag != "PARAM" or _name_of(c) not in params]
            if description is not None:
                prefixed = f"{name.rpartition(':')[0]}:DESCRIPTION" if ":" in name else ""
                children = [c for c in children if c.tag != "DESCRIPTION"]
                children.insert(0, Element("DESCRIPTION", {}, text=str(description), prefixed=prefixed))
        return Element(element.tag, attributes, [changed(c) for c in children], element.text, name)

    before, _, after = "".join(serialise(changed(root))).partition(_HERE)
    return _DECLARATION + before, "\n" + after


def _name_of(element: Element) -> str:
    return element.get("name") or element.get("ID")


def _find_changes(attrs: Mapping[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that no longer are what the header says, each with its unit.

    Only texts and numbers are compared: others are kept in other forms by datasets and files.

    Warns
    -----
    MetadataWarning
        If elements other than PARAM would have to change, which stay as they are.
    """
    found: dict[str, Any] = {}
    for key, value in attrs.items():
        new, old = (v.item() if isinstance(v, np.generic) else v for v in (value, original.get(key)))
        plain = isinstance(new, _PLAIN) and isinstance(old, _PLAIN) and not key.startswith("votable_")
        if plain and new != old and str(new) != str(old):
            found[key] = value
    kept = [k for k in found if k.startswith(_KEPT)]
    if kept:
        msg = f"changes of the attributes {kept} are left out: the header says them by elements of other kinds"
        warn_caller(msg, MetadataWarning)
    numbers = {k.removesuffix("_units") for k in found if k not in kept}
    pairs = {k: attrs[k] for n in numbers for k in (n, f"{n}_units") if k in attrs and k in original}
    return {k: v for k, v in found.items() if k not in kept} | pairs


def _with_block(table: Element, block: Element) -> list[Element]:
    """The children of a table with other fields where the first was, and a mark where the data were, or at its end."""
    children: list[Element] = []
    rest = [block]
    for child in table.children:
        if child.tag in {"FIELD", "DATA"}:
            children += rest
            rest = []
        if child.tag == "DATA":
            children.append(Element(_RAW, {}, text=_HERE))
        elif child.tag != "FIELD":
            children.append(child)
    if all(child.text != _HERE for child in children):
        children += [*rest, Element(_RAW, {}, text=_HERE)]
    return children


def _raise_version(attributes: Mapping[str, str]) -> dict[str, str]:
    """Attributes of the root, for a version that knows BINARY2."""
    found = {k: _OLD_NAMESPACE.sub(r"\1v1.3", v) for k, v in attributes.items()}
    if _OLD_VERSION.fullmatch(found.get("version", "1.0")):
        found["version"] = _VERSION
    return found


def _still_holds(field: Field, out: VOTableColumnWriter) -> bool:
    """Whether a FIELD still says what is to be said."""
    attrs, given = column_attributes(field), column_encoding(field)
    mine = {k: v for k, v in out.column.attrs.items() if k not in {"null_value", "_FillValue"}}
    null = None if out.null is None else str(out.null)
    typed = out.datatype == field.datatype == field.attributes.get("datatype")
    own_name = (field.attributes.get("name") or field.attributes.get("ID", "")).strip()
    return (
        typed
        # A second column of a name has another one here: read again in another order, the names would change places.
        and out.name == own_name
        and not field.refers  # the element that it refers to may not be written
        and out.arraysize == str(given.get("arraysize", ""))
        and null in {None, field.null}
        and _null_still_holds(field, out)
        and {k: str(v) for k, v in mine.items()} == {k: str(v) for k, v in attrs.items()}
    )


def _null_still_holds(field: Field, out: VOTableColumnWriter) -> bool:
    """Whether no value that is written would be read as the null that a FIELD declares."""
    null = declared_null(field)
    return null is None or bool(np.isnan(null)) or (null == out.declared and not out.is_value)


def serialise(element: Element) -> Iterator[str]:
    """Write an element with all that is in it. Its text comes before its children: no element of VOTable mixes them."""
    if element.tag == _RAW:
        yield element.text
        return
    name, attributes = element.as_written
    start, text = _start_tag(name, attributes), escape_text(element.text)
    if element.children:
        yield start + ">" + (text if text.strip() else "") + "\n"
        for child in element.children:
            yield from serialise(child)
        yield f"</{name}>\n"
    else:
        yield f"{start}>{text}</{name}>\n" if text.strip() else f"{start}/>\n"


def _start_tag(name: str, attributes: Mapping[str, str]) -> str:
    return f"<{name}" + "".join(f" {k}={quote_value(v)}" for k, v in attributes.items())


def _system_of(key: str, value: Any) -> re.Match[str] | None:
    """Parse the name of an attribute that a COOSYS or TIMESYS element was read as."""
    return _SYSTEM.fullmatch(key) if isinstance(value, str) and _SETTINGS.fullmatch(value) else None


def _system_elements(attrs: Mapping[str, Any]) -> str:
    """Systems of coordinates and times as the elements that ``ref`` of a FIELD points to."""
    text = ""
    for key, value in attrs.items():
        system = _system_of(key, value)
        if system is None:
            continue
        settings = dict(setting.split("=", 1) for setting in _BETWEEN_SETTINGS.split(value))
        content = settings.pop("text", "")
        tag = system[1].upper()
        text += f"{_start_tag(tag, {'ID': system[2]} | settings)}" + (
            f">{escape_text(content)}</{tag}>\n" if content else "/>\n"
        )
    return text


def _param_elements(attrs: Mapping[str, Any]) -> str:
    """Attributes as PARAM elements; ``<name>_units`` is the unit of the number ``<name>``."""
    given = ((k, attrs.get(f"{k}_units")) for k, v in attrs.items() if not isinstance(v, str))
    units = {name: unit for name, unit in given if isinstance(unit, str)}
    text = ""
    for key, value in attrs.items():
        if key.endswith("_units") and key.removesuffix("_units") in units:
            continue
        kind, written = _param_value(value)
        named = {"name": str(key)} | ({"unit": units[key]} if key in units else {})
        text += f"{_start_tag('PARAM', named | kind)} value={quote_value(written)}/>\n"
    return text


def _param_value(value: Any) -> tuple[dict[str, str], str]:
    """How a PARAM says a value: attributes that give its type, and its text; lists of numbers are arrays."""
    one = value.item() if isinstance(value, np.generic) else value
    if isinstance(one, np.ndarray | list | tuple) and np.ndim(one) == 1 and len(one):
        parts = [_param_value(v) for v in np.asarray(one)]
        if len({kind["datatype"] for kind, _ in parts}) == 1 and "arraysize" not in parts[0][0]:
            return parts[0][0] | {"arraysize": str(len(parts))}, " ".join(text for _, text in parts)
    if isinstance(one, bool):
        return {"datatype": "boolean"}, "T" if one else "F"
    if isinstance(one, int) and -(1 << 63) <= one < 1 << 63:
        return {"datatype": "long"}, str(one)
    if isinstance(one, float):
        return {"datatype": "double"}, str(one).replace("inf", "Inf")
    if isinstance(one, complex):
        return {"datatype": "doubleComplex"}, f"{one.real} {one.imag}"
    return {"datatype": "unicodeChar", "arraysize": "*"}, str(one)
