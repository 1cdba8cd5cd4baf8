"""What a document says of columns and tables, as attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from scichunk.codecs.text.states import HIGH
from scichunk.codecs.text.xml_tree import Element
from scichunk.errors import ScichunkError
from scichunk.formats.votable.document.status import text_of
from scichunk.formats.votable.document.structure import Field, Table, read_field
from scichunk.formats.votable.values.column_part import ColumnPart
from scichunk.formats.votable.values.diagnostics import Diagnostics, Policy
from scichunk.formats.votable.values.from_text import CellTexts, convert_text

__all__ = [
    "column_attributes",
    "column_encoding",
    "document_attributes",
    "group_names",
    "param_value",
    "table_attributes",
]

_PLAIN: Final = ("ucd", "utype", "xtype", "ref", "ID")


def column_attributes(field: Field) -> dict[str, Any]:
    """Attributes of a column: units (as written), ucd, description, limits, links, ..."""
    attributes = field.attributes
    found: dict[str, Any] = {}
    if attributes.get("unit", "").strip():
        found["units"] = attributes["unit"].strip()
    if field.description:
        found["description"] = field.description
    found |= {name.lower(): attributes[name].strip() for name in _PLAIN if attributes.get(name, "").strip()}
    for name, text in (("minimum", field.minimum), ("maximum", field.maximum)):
        if text:
            found[name] = text
    if field.options:
        found["options"] = [value if not name else f"{value}={name}" for value, name in field.options]
    if field.links:
        found["links"] = [link.get("href", "") or link.get("value", "") for link in field.links]
    return found


def column_encoding(field: Field) -> dict[str, Any]:
    """How a column is stored and written."""
    found: dict[str, Any] = {"votable_datatype": field.datatype}
    for name in ("arraysize", "precision", "width"):
        if field.attributes.get(name, "").strip():
            found[name] = field.attributes[name].strip()
    if field.null is not None:
        found["null"] = field.null
    return found


def param_value(element: Element) -> Any:
    """Value of a PARAM, by its datatype; its text where that says otherwise."""
    text = element.get("value")
    try:
        field = read_field(element, element.get("name"), [])
        data = np.frombuffer(text.encode(), np.uint8)
        start = np.array([0], np.int32)
        texts = CellTexts(data, start, start + data.size, HIGH if data.size and int(data.max()) > 127 else 0, str)
        part: ColumnPart = convert_text(field, texts, Policy(), Diagnostics("", element.get("name")))
        value = part.to_arrow(field.shape.item)[0].as_py()
    except ScichunkError:
        return text
    if isinstance(value, dict):
        return complex(value["real"], value["imag"])
    return text if value is None else value


def _param_attributes(element: Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for param in element.iterate_children("PARAM"):
        name = param.get("name") or param.get("ID")
        value = param_value(param)
        unit = param.get("unit").strip()
        found[name] = f"{value} {unit}" if unit and isinstance(value, str) else value
        if unit and not isinstance(value, str):
            found[f"{name}_units"] = unit
    return found


def _info_attributes(element: Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for info in element.iterate_children("INFO"):
        name = info.get("name") or info.get("ID") or "INFO"
        value, text = info.get("value"), text_of(info)
        _put_attribute(found, name, value or text)
        if value and text and text != value:
            _put_attribute(found, f"{name}_text", text)
    return found


def _put_attribute(found: dict[str, Any], name: str, value: str) -> None:
    # INFO elements of one name are no list in VOTable, but services write several (warnings, steps of a query).
    found[name] = value if name not in found else f"{found[name]}; {value}"


def _system_attributes(element: Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tag in ("COOSYS", "TIMESYS"):
        for system in element.iterate_children(tag):
            attributes = {k: v for k, v in system.attributes.items() if k != "ID"}
            if system.text.strip():
                attributes["text"] = system.text.strip()
            name = system.get("ID") or str(len(found))
            found[f"{tag.lower()}_{name}"] = " ".join(f"{k}={v}" for k, v in attributes.items())
    return found


def _group_attributes(element: Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for group in element.iterate_children("GROUP"):
        name = group.get("name") or group.get("ID") or f"{len(found)}"
        members = [c.get("ref") for c in group.children if c.tag in {"FIELDref", "PARAMref"}]
        values = [f"{k}={v}" for k, v in _param_attributes(group).items()]
        found[f"group_{name}"] = " ".join([*members, *values])
    return found


def _link_attributes(element: Element) -> dict[str, Any]:
    found = [link.get("href") for link in element.iterate_children("LINK") if link.get("href")]
    return {"links": found} if found else {}


def _element_attributes(element: Element) -> dict[str, Any]:
    """What one element says of what is in it."""
    return (
        _system_attributes(element)
        | _group_attributes(element)
        | _info_attributes(element)
        | _param_attributes(element)
    )


def document_attributes(root: Element) -> dict[str, Any]:
    """Attributes of the document as a whole."""
    found: dict[str, Any] = {}
    if root.get("version"):
        found["votable_version"] = root.get("version")
    description = root.child_text("DESCRIPTION")
    if description:
        found["description"] = description
    definitions = root.find_child("DEFINITIONS")
    return found | (_element_attributes(definitions) if definitions else {}) | _element_attributes(root)


def table_attributes(table: Table, root: Element) -> dict[str, Any]:
    """Attributes of a table: those of the document and of its resources included, the nearest first in doubt."""
    found = document_attributes(root)
    # From the outermost in: what is nearer to the table replaces what is further.
    for element in (*table.resource, table.element):
        description = element.child_text("DESCRIPTION")
        found |= (
            _element_attributes(element)
            | _link_attributes(element)
            | ({"description": description} if description else {})
        )
    names = {
        "name": table.name,
        "ID": table.identifier,
        "ucd": table.element.get("ucd"),
        "utype": table.element.get("utype"),
    }
    return {k: v for k, v in names.items() if v} | found


def group_names(tables: Sequence[Table]) -> list[str]:
    """Name each table for a group: its name or ID, else ``table_n``; numbered where one comes again."""
    found: dict[str, None] = {}
    for table in tables:
        label = (table.name or table.identifier).strip().replace("/", "_") or f"table_{table.index}"
        if label in found or label in {".", ".."}:
            label = f"{label}_{table.index}"
        while label in found:
            label += "_"
        found[label] = None
    return list(found)
