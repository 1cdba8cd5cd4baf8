"""A small tree of XML elements, read by expat with every door shut: no entities, no external files, bounded in all ways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat

from scichunk import options
from scichunk.errors import FormatError, LimitExceeded, located

__all__ = ["Element", "parse_document"]

_MOST_LEVELS: Final = 64
_MOST_ATTRIBUTE_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Element:
    """An element without its namespace prefix."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""
    prefixed: str = ""
    """Its name as it stands in the document, if that has a prefix."""
    prefixed_attributes: dict[str, str] | None = None
    """Its attributes as they stand there, if one of them has."""

    @property
    def as_written(self) -> tuple[str, dict[str, str]]:
        """Name and attributes as they stand in the document."""
        return (
            self.prefixed or self.tag,
            self.attributes if self.prefixed_attributes is None else self.prefixed_attributes,
        )

    def get(self, name: str, default: str = "") -> str:
        """Return an attribute."""
        return self.attributes.get(name, default)

    def iterate_children(self, *tags: str) -> Iterator[Element]:
        """Children with one of these names."""
        return (c for c in self.children if c.tag in tags)

    def find_child(self, tag: str) -> Element | None:
        """First child of a name."""
        return next(self.iterate_children(tag), None)

    def child_text(self, tag: str) -> str:
        """Text of the first child of a name, white space trimmed."""
        found = self.find_child(tag)
        return " ".join(found.text.split()) if found else ""


class _Builder:
    """Handlers of expat."""

    def __init__(self, expected: str) -> None:
        self.expected = expected
        self.root: Element | None = None
        self.open: list[Element] = []
        self.parts: list[list[str]] = []
        self.left = options.get().max_elements

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take a start tag, within the limits of depth and attributes."""
        self.left -= 1
        if self.left < 0:
            msg = f"more than {options.get().max_elements} elements before the data (options.max_elements)"
            raise LimitExceeded(msg)
        if len(self.open) >= _MOST_LEVELS:
            msg = f"elements nested more than {_MOST_LEVELS} deep"
            raise LimitExceeded(msg)
        if sum(map(len, attributes.values())) > _MOST_ATTRIBUTE_BYTES:
            msg = f"attributes of more than {_MOST_ATTRIBUTE_BYTES} characters"
            raise LimitExceeded(msg)
        element = Element(name.rpartition(":")[2], attributes)
        if ":" in name:
            element.prefixed = name
        if attributes and ":" in "".join(attributes):
            element.attributes = {k.rpartition(":")[2]: v for k, v in attributes.items()}
            element.prefixed_attributes = attributes
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
            if self.expected and element.tag != self.expected:
                msg = f"the document is no {self.expected}: its root is {name}"
                raise FormatError(msg)
        self.open.append(element)
        self.parts.append([])

    def end(self, _name: str) -> None:
        self.open.pop().text = "".join(self.parts.pop())

    def text(self, data: str) -> None:
        if self.parts:
            self.parts[-1].append(data)

    def entity(self, name: str, *_rest: Any) -> None:
        msg = f"the document declares the entity {name!r}; entities are not read, they can hide or multiply content"
        raise FormatError(msg)

    def skipped(self, name: str, *_rest: Any) -> None:
        msg = f"the entity {name!r} is not defined"
        raise FormatError(msg)


def parse_document(pieces: list[tuple[int, str]], url: str, *, root: str = "", cut: bool = False) -> Element:
    """Read a document.

    Parameters
    ----------
    pieces
        Where each piece begins in the file, and its text; the bodies of tables left out.
    url
        For messages.
    root
        The name that its root must have.
    cut
        The document ends early; elements may be left open.

    Raises
    ------
    FormatError
        If it is not well formed, has another root, or declares entities.
    LimitExceeded
        If it is nested too deep, or has too many elements or too long attributes.
    """
    builder = _Builder(root)
    parser = expat.ParserCreate("utf-8")  # whatever the document declares: texts have been decoded
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.text
    parser.EntityDeclHandler, parser.SkippedEntityHandler = builder.entity, builder.skipped
    done = begin = 0
    try:
        with located(url=url):
            for start, text in pieces:
                begin = start
                data = text.encode("utf-8", "surrogatepass")  # halves of characters, which expat refuses
                parser.Parse(data, False)
                done += len(data)
            if not cut:
                parser.Parse(b"", True)
    except expat.ExpatError as error:
        # bytes of the piece before the place of the error
        offset = begin + max(0, parser.ErrorByteIndex - done)
        msg = f"not well-formed XML near byte {offset}: {expat.ErrorString(error.code)}"
        raise FormatError(msg, url=url) from error
    if builder.root is None:
        msg = "the document is empty"
        raise FormatError(msg, url=url)
    return builder.root
