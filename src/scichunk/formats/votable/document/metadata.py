"""What a document says of columns and tables, as attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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

__all__ = ["Attributes", "column_attributes", "column_encoding", "group_names"]

_FEW_ELEMENTS: Final = 64
"""So many elements may be declared of a PARAM, however few there are."""
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
        found["options"] = list(field.options)
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


def _param_value(element: Element, url: str) -> Any:
    """Value of a PARAM, by its datatype; its text where that says otherwise."""
    text, name = element.get("value"), element.get("name")
    try:
        field = read_field(element, name, [])
        # Each element has a character at least. An array that is declared far longer than its text would be one of nulls, of any size.
        if field.shape.size > max(_FEW_ELEMENTS, len(text)):
            return text
        data = np.frombuffer(text.encode(), np.uint8)
        start = np.array([0], np.int32)
        texts = CellTexts(
            data, start, start + data.size, HIGH if data.size and int(data.max()) > 127 else 0, lambda _: ""
        )
        part: ColumnPart = convert_text(field, texts, Policy(), Diagnostics(url, f"PARAM {name!r}"))
        value = part.to_arrow(field.shape.item)[0].as_py()
    except ScichunkError:
        return text
    if isinstance(value, dict):
        return complex(value["real"], value["imag"])
    return text if value is None else value


def _param_attributes(element: Element, url: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for param in element.iterate_children("PARAM"):
        name = param.get("name") or param.get("ID")
        value = _param_value(param, url)
        unit = param.get("unit").strip()
        found[name] = f"{value} {unit}" if unit and isinstance(value, str) else value
        if unit and not isinstance(value, str):
            found[f"{name}_units"] = unit
    return found


def _info_attributes(element: Element) -> dict[str, Any]:
    # INFO elements of one name are no list in VOTable, but services write several (warnings, steps of a query).
    found: dict[str, list[str]] = {}
    for info in element.iterate_children("INFO"):
        name = info.get("name") or info.get("ID") or "INFO"
        value, text = info.get("value"), text_of(info)
        found.setdefault(name, []).append(value or text)
        if value and text and text != value:
            found.setdefault(f"{name}_text", []).append(text)
    return {name: "; ".join(values) for name, values in found.items()}


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


def _group_attributes(element: Element, url: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for group in element.iterate_children("GROUP"):
        name = group.get("name") or group.get("ID") or f"{len(found)}"
        members = [c.get("ref") for c in group.children if c.tag in {"FIELDref", "PARAMref"}]
        values = [f"{k}={v}" for k, v in _param_attributes(group, url).items()]
        found[f"group_{name}"] = " ".join([*members, *values])
    return found


def _link_attributes(element: Element) -> dict[str, Any]:
    found = [link.get("href") for link in element.iterate_children("LINK") if link.get("href")]
    return {"links": found} if found else {}


class Attributes:
    """What the elements of a document say of all that is in them; each element is read once, for all tables.

    Parameters
    ----------
    root
        Of the document.
    url
        Of the document, for warnings.
    """

    def __init__(self, root: Element, url: str) -> None:
        self._root, self._url = root, url
        self._known: dict[int, dict[str, Any]] = {}

    def of_document(self) -> dict[str, Any]:
        """Attributes of the document as a whole."""
        return dict(self._remember(self._root, self._read_root))

    def of_table(self, table: Table) -> dict[str, Any]:
        """Attributes of a table: those of the document and of its resources included, the nearest first in doubt."""
        names = {
            "name": table.name,
            "ID": table.identifier,
            "ucd": table.element.get("ucd"),
            "utype": table.element.get("utype"),
        }
        found: dict[str, Any] = {k: v for k, v in names.items() if v}
        # From the outermost in: what is nearer to the table replaces what is further.
        for part in self._parts(table):
            found |= part
        return found

    def count(self, tables: Iterable[Table]) -> int:
        """Count the attributes of all of these tables, of which those of the document and of resources stand in many."""
        return sum(len(part) for table in tables for part in self._parts(table))

    def _parts(self, table: Table) -> Iterator[dict[str, Any]]:
        yield self._remember(self._root, self._read_root)
        for element in (*table.resource, table.element):
            yield self._remember(element, self._read_described)

    def _remember(self, element: Element, read: Callable[[Element], dict[str, Any]]) -> dict[str, Any]:
        known = self._known.get(id(element))
        if known is None:
            known = self._known[id(element)] = read(element)
        return known

    def _read(self, element: Element) -> dict[str, Any]:
        return (
            _system_attributes(element)
            | _group_attributes(element, self._url)
            | _info_attributes(element)
            | _param_attributes(element, self._url)
        )

    def _read_root(self, root: Element) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if root.get("version"):
            found["votable_version"] = root.get("version")
        description = root.child_text("DESCRIPTION")
        if description:
            found["description"] = description
        definitions = root.find_child("DEFINITIONS")
        return found | (self._read(definitions) if definitions else {}) | self._read(root)

    def _read_described(self, element: Element) -> dict[str, Any]:
        description = element.child_text("DESCRIPTION")
        return self._read(element) | _link_attributes(element) | ({"description": description} if description else {})


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
