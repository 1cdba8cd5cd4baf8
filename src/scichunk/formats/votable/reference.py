"""The header of a document through astropy: what it knows best of units, coordinate systems, groups and annotations."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from scichunk.codecs.text.xml_tree import Element
from scichunk.core.limits import check_decoded, is_computable_unit
from scichunk.errors import FormatError, LimitExceeded, MetadataWarning, ScichunkError
from scichunk.formats.votable.document.scan import Document
from scichunk.formats.votable.write.header import serialise
from scichunk.quiet import library_lock, quiet
from scichunk.warned import warn_caller

__all__ = ["astropy_header"]

_ROWS: Final = 512
"""Rows that astropy makes room for before it has seen one."""
_DEFAULT_BYTES: Final = 16
"""Bytes of an element of a default value, measured."""
_FEW: Final = 1 << 16
"""Elements of a PARAM whose value may be shorter: what is missing is filled up."""
_ELEMENT_BYTES: Final = {
    "double": 8,
    "long": 8,
    "floatComplex": 8,
    "doubleComplex": 16,
    "float": 4,
    "int": 4,
    "unicodeChar": 4,
}
_MOST_COMPARED: Final = 4_000_000
_MOST_UNKNOWN_WORDS: Final = 2000
_WORD: Final = re.compile(r"[^\W\d_]+")
_NO_DATA: Final = Element("DATA", {}, [Element("TABLEDATA", {})])


def astropy_header(document: Document) -> Any:
    """Hand a document without its rows to ``astropy.io.votable``.

    Returns
    -------
    astropy.io.votable.tree.VOTableFile
        Tables have their fields, params, groups, links and no rows; entities have been refused before astropy sees it.

    Raises
    ------
    FormatError
        If astropy cannot read it: arrays of texts, malformed precisions, ...
    LimitExceeded
        If rows of its tables are so long that astropy's room for the first ones is beyond ``options.max_chunk_bytes``, or
        thousands of fields have the same name, or of tables refer to another.
    """
    from astropy.io.votable import parse

    document.find_all()
    _check_sizes(document)
    text = "".join(serialise(_without_data(document.root, _units_left_out(document))))
    with library_lock(), quiet():
        try:
            found = parse(io.BytesIO(text.encode()), verify="ignore")
            tables = list(found.iter_tables())
            for table, ours in (
                zip(tables, document.tables, strict=False) if len(tables) == len(document.tables) else ()
            ):
                table._nrows = ours.n_rows  # noqa: SLF001  # it has no other way to say what the document says
        except ScichunkError:
            raise
        except Exception as error:  # astropy raises whatever it meets
            msg = f"astropy cannot read the header: {type(error).__name__}: {error}"
            raise FormatError(msg, url=document.source.url) from error
    return found


def _check_sizes(document: Document) -> None:
    """Compare what astropy makes of fields and params with their text and the limits, before it makes it."""
    url = document.source.url
    tables = [element for element in _walk_elements(document.root) if element.tag == "TABLE"]
    referring = sum(bool(table.get("ref")) for table in tables)
    if referring * len(tables) > _MOST_COMPARED:
        msg = f"{referring} of {len(tables)} tables refer to another, which astropy looks for among all"
        raise LimitExceeded(msg, url=url)
    for element in _walk_elements(document.root):
        if element.tag == "PARAM":
            count, text = _count_elements(element), element.get("value")
            if count > max(_FEW, len(text)):
                msg = f"the PARAM {element.get('name')!r} has {count} elements in a value of {len(text)} characters"
                raise LimitExceeded(msg, url=url)
        elif element.tag == "TABLE":
            fields = list(element.iterate_children("FIELD"))
            check_decoded("astropy's room for the first rows", sum(map(_bytes_of_field, fields)), url=url)
            _check_names(fields, url)


def _check_names(fields: list[Element], url: str) -> None:
    """Refuse very many fields of the same name: astropy looks for a number for each from 2 on, twice."""
    from astropy.utils.xml.check import fix_id

    for names in ([f.get("ID") or fix_id(f.get("name")) for f in fields], [f.get("name") for f in fields]):
        again = len(names) - len(set(names))
        if again * len(names) > _MOST_COMPARED:
            msg = f"{again} of {len(names)} fields have names of others, for which astropy looks in quadratic time"
            raise LimitExceeded(msg, url=url)


def _units_left_out(document: Document) -> set[str]:
    """Units that astropy is not asked for: what it would compute for hours, and what it does not know beyond some thousand words.

    It compares each word that it does not know with all that it knows, for each field again, which takes 2 to 4 ms.
    """
    from astropy import units

    left, known = set[str](), units.get_current_unit_registry().registry
    words, form = 0, "vounit" if document.root.get("version") in {"1.4", "1.5"} else "cds"
    units_of_all = (element.get("unit") for element in _walk_elements(document.root))
    for text, times in Counter(filter(None, units_of_all)).items():
        if words >= _MOST_UNKNOWN_WORDS or not is_computable_unit(text):
            left.add(text)
            continue
        with library_lock(), quiet():
            unit = units.Unit(text, format=form, parse_strict="silent")
        if not all(base.name in known for base in unit.bases):
            words += (times + 1) * len(_WORD.findall(text))
            if words >= _MOST_UNKNOWN_WORDS:
                left.add(text)
    if left:
        told = ", ".join(repr(text[:40]) for text in sorted(left)[:3])
        msg = (
            "units that are powers of too many digits, longer than any, or among too many that nobody knows, are left out: "
            f"{told} [{document.source.url}]"
        )
        warn_caller(msg, MetadataWarning)
    return left


def _walk_elements(root: Element) -> Iterator[Element]:
    left = [root]
    while left:
        element = left.pop()
        yield element
        left += element.children[::-1]


def _bytes_of_field(field: Element) -> int:
    """Bytes that astropy takes for a field of no rows: of variable length, those of a default value."""
    if field.get("arraysize").rstrip().endswith("*"):
        return _DEFAULT_BYTES * _count_elements(field)
    return _ROWS * _ELEMENT_BYTES.get(field.get("datatype"), 1) * _count_elements(field)


def _count_elements(field: Element) -> int:
    """Elements of one item of a field, as far as its arraysize says."""
    count = 1
    for number in re.findall(r"\d+", field.get("arraysize")):
        count *= int(number[:20])
    return count


def _without_data(element: Element, units_left_out: set[str]) -> Element:
    """The element without the data of its tables, and names without prefixes, so that astropy sees the tables that were found here.

    astropy opens whatever a STREAM refers to, a file of this machine too, and makes room for as many rows as there are said to be.
    """
    attributes = element.as_written[1]
    if element.get("unit") in units_left_out:
        attributes = {name: value for name, value in attributes.items() if name.rpartition(":")[2] != "unit"}
    if element.tag == "TABLE":
        attributes = {name: value for name, value in attributes.items() if name.rpartition(":")[2] != "nrows"}
    children = [_NO_DATA if child.tag == "DATA" else _without_data(child, units_left_out) for child in element.children]
    return Element(element.tag, attributes, children, element.text)
