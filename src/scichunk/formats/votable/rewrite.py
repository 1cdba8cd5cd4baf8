"""The header that a table came with, kept as it is but for what has changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from scichunk.errors import ScichunkError
from scichunk.formats.votable.elements import parse
from scichunk.formats.votable.metadata import column_attributes, column_encoding, table_attributes
from scichunk.formats.votable.out_fields import OutField
from scichunk.formats.votable.structure import Table, tables

__all__ = ["rewrite"]

_NAMESPACE: Final = re.compile(r"(http://www\.ivoa\.net/xml/VOTable/)v1\.[0-2]\b")
_OLD: Final = re.compile(r"v?1\.[0-2]")
_DECLARATION: Final = re.compile(r"<\?xml\s[^>]*\?>")
_ATTRIBUTE: Final = re.compile(r"\s+([^\s=/>'\"]+)\s*=\s*('[^']*'|\"[^\"]*\")")
"""An attribute with its value, so that what looks like one within a value is none."""


@dataclass(slots=True)
class _Place:
    """Where an element is in the text, in bytes."""

    start: int
    inside: int = 0
    """Behind its start tag."""
    stop: int = 0
    fields: list[tuple[int, int]] = field(default_factory=list)
    data: tuple[int, int] | None = None


def rewrite(
    header: str,
    attrs: Mapping[str, Any],
    fields: Sequence[OutField],
    *,
    rows: int,
    name: str | None,
    params: Callable[[Mapping[str, Any]], str],
) -> tuple[str, str] | None:
    """Put other fields and no data into the table of a header that the columns came from.

    Returns
    -------
    tuple of str, or None
        The text before the data, and that behind them; None if the header is of no use.
    """
    try:
        root = parse([(0, header)], "votable_header")
        found = tables(root)
    except ScichunkError:
        return None
    text = header.encode()
    places, root_tag = _places(text)
    table = _best(found, fields, attrs)
    if table is None or len(places) != len(found):
        return None
    edits: list[tuple[int, int, str]] = []
    mine = places[table.index]
    edits += _root_edits(text[: root_tag.inside].decode(), root_tag)
    for other in places:
        if other is not mine and other.data:
            edits.append((*other.data, ""))
    start = text[mine.start : mine.inside].decode()
    edits.append((mine.start, mine.inside, _start_tag(start, rows, name)))
    old = dict(zip([f.name for f in table.fields], mine.fields, strict=False))
    known = {f.name: f for f in table.fields}
    written = []
    for out in fields:
        span = old.get(out.name)
        same = span is not None and _same(out, known[out.name])
        written.append(text[slice(*span)].decode() if same and span else out.element())
    original = table_attributes(table, root)
    fresh = {k: v for k, v in attrs.items() if k not in original and not k.startswith("votable_")}
    block = "\n".join(written) + "\n" + params(fresh)
    first = min((s for s, _ in mine.fields), default=mine.data[0] if mine.data else mine.stop)
    edits += [(a, b, "") for a, b in mine.fields]
    edits.append((first, first, block))
    cut = mine.data or (mine.stop, mine.stop)
    before = _apply(text, [e for e in edits if e[1] <= cut[0]], 0, cut[0])
    after = _apply(text, [e for e in edits if e[0] >= cut[1]], cut[1], len(text))
    return _DECLARATION.sub(lambda m: _with(m[0], encoding="utf-8"), before, count=1), after


def _with(tag: str, **values: str | None) -> str:
    """Give those attributes that a tag has other values; those whose value is None are left out."""

    def other(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            return found[0]
        value = values[name]
        return "" if value is None else f" {name}={quoteattr(value)}"

    return _ATTRIBUTE.sub(other, tag)


def _apply(text: bytes, edits: list[tuple[int, int, str]], start: int, stop: int) -> str:
    parts, at = [], start
    for a, b, new in sorted(edits, key=lambda e: (e[0], e[1])):
        parts += [text[at:a].decode(), new]
        at = max(at, b)
    return "".join([*parts, text[at:stop].decode()])


def _root_edits(before: str, root: _Place) -> list[tuple[int, int, str]]:
    """Raise versions that do not know BINARY2, and drop a DOCTYPE."""
    tag = before.encode()[root.start :].decode()
    versions = [m[2][1:-1] for m in _ATTRIBUTE.finditer(tag) if m[1] == "version"]
    changed = _NAMESPACE.sub(r"\1v1.3", tag)
    if versions and _OLD.fullmatch(versions[0]):
        changed = _with(changed, version="1.4")
    elif not versions:
        changed = re.sub(r"(/?>)$", r' version="1.4"\1', changed)
    edits = [(root.start, root.inside, changed)]
    doctype = re.search(rb"<!DOCTYPE[^>\[]*(\[[^\]]*\]\s*)?>", before.encode()[: root.start])
    if doctype:
        edits.append((doctype.start(), doctype.end(), ""))
    return edits


def _start_tag(tag: str, rows: int, name: str | None) -> str:
    tag = _with(tag, nrows=None)
    if name:
        tag = _with(tag, name=None)
    more = f'{f" name={quoteattr(name)}" if name else ""} nrows="{rows}"'
    end = "/>" if tag.endswith("/>") else ">"
    return tag[: -len(end)] + more + ">"


def _best(found: list[Table], fields: Sequence[OutField], attrs: Mapping[str, Any]) -> Table | None:
    """The table with the most of the columns; its name decides between equals."""
    names = {f.name for f in fields}

    def score(table: Table) -> tuple[int, bool, bool, int]:
        same = len(names & {f.name for f in table.fields})
        return same, table.identifier == attrs.get("ID", ""), table.name == attrs.get("name", ""), -table.index

    best = max(found, key=score, default=None)
    return best if best is not None and score(best)[0] and best.fields else None


def _same(out: OutField, known: Any) -> bool:
    """Whether a FIELD still says what is to be said."""
    attrs, said = column_attributes(known), column_encoding(known)
    mine = {k: v for k, v in out.column.attrs.items() if k not in {"null_value", "_FillValue"}}
    null = None if out.null is None else str(out.null)
    typed = out.datatype == known.datatype == known.attributes.get("datatype")
    return (
        typed
        and not known.refers  # the element that it refers to may not be written
        and out.arraysize == str(said.get("arraysize", ""))
        and null in {None, known.null}
        and _plain(mine) == _plain(attrs)
    )


def _plain(attrs: Mapping[str, Any]) -> dict[str, str]:
    return {k: str(v) for k, v in attrs.items()}


def _places(text: bytes) -> tuple[list[_Place], _Place]:
    """Byte places of the tables with their fields and data, and of the root's start tag."""
    parser = expat.ParserCreate("utf-8")
    found: list[_Place] = []
    open_tables: list[_Place] = []
    stack: list[tuple[str, int]] = []
    root = _Place(-1)
    pending: list[_Place] = []

    def behind() -> int:
        return parser.CurrentByteIndex

    def settle() -> None:
        for place in pending:
            place.inside = behind()
        pending.clear()

    def start(name: str, attributes: dict[str, str]) -> None:
        del attributes
        settle()
        local = name.rpartition(":")[2]
        if root.start < 0:
            root.start = behind()
            pending.append(root)
        if local == "TABLE" and all(s[0] in {"VOTABLE", "RESOURCE"} for s in stack):
            place = _Place(behind())
            found.append(place)
            open_tables.append(place)
            pending.append(place)
        stack.append((local, behind()))

    def end(name: str) -> None:
        del name
        settle()
        local, began = stack.pop()
        # an end tag lies here; an empty element has none, and then this is its own place
        at = behind()
        stop = text.index(b">", at) + 1 if text[at : at + 2] == b"</" else _tag_end(text, began)
        if open_tables and len(stack) and stack[-1][0] == "TABLE":
            if local == "FIELD":
                open_tables[-1].fields.append((began, stop))
            elif local == "DATA":
                open_tables[-1].data = (began, stop)
        if local == "TABLE" and open_tables and open_tables[-1].start == began:
            open_tables.pop().stop = at

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda _: settle()
    parser.CommentHandler = lambda _: settle()
    parser.Parse(text, True)
    return found, root


def _tag_end(text: bytes, start: int) -> int:
    found = re.compile(rb"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>").match(text, start)
    return found.end() if found else len(text)
