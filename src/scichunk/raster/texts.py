"""What is wrong with GDAL's texts of metadata: GDAL makes something of them without a word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final
from xml.parsers import expat

from scichunk.sources import Location

__all__ = ["metadata_problems", "number_problem", "pam_problems"]

_LONGEST: Final = 1 << 24
_SHOWN_CHARACTERS: Final = 40


class _NumberFinder:
    """Collects the texts of elements that should be numbers."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._name = ""
        self._parts: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = attributes.get("role", "") if tag == "Item" else tag.lower()
        self._name = name if name in {"scale", "offset", "nodatavalue"} else ""
        self._parts = []

    def text(self, text: str) -> None:
        if self._name:
            self._parts.append(text)

    def end(self, _: str) -> None:
        if self._name:
            self.found.append((self._name, "".join(self._parts)))
            self._name = ""

    def entity(self, name: str, *_: object) -> None:
        msg = f"it declares the entity {name!r}"
        raise ValueError(msg)


def metadata_problems(text: bytes) -> list[str]:
    """Look into the XML text of GDAL's tag, or of a PAM file (``.aux.xml``).

    Returns
    -------
    list of str
        What is wrong: XML that is not well-formed, scales, offsets and nodata values that are no numbers, scales of 0.
    """
    numbers = _NumberFinder()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = numbers.start, numbers.end
    parser.CharacterDataHandler, parser.EntityDeclHandler = numbers.text, numbers.entity
    try:
        parser.Parse(text.strip(), True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
        return [f"GDAL's metadata are no well-formed XML, parts of them are lost: {error}"]
    return [problem for name, value in numbers.found if (problem := number_problem(name, value))]


def number_problem(name: str, text: str) -> str:
    """Say what is wrong with a text that should be a number; empty if it is one."""
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return f"{name} {text[:_SHOWN_CHARACTERS]!r} is no number"
    if name == "nodatavalue" or (math.isfinite(number) and (number or name != "scale")):
        return ""
    return f"{name} {text[:_SHOWN_CHARACTERS]!r} gives no physical values"


def pam_problems(files: Sequence[Location]) -> list[str]:
    """Look into the PAM files among those that lie beside a raster.

    Raises
    ------
    SourceError
        If one cannot be read.
    """
    found = []
    for file in files:
        if not file.name.lower().endswith(".aux.xml"):
            continue
        source = file.open()
        size = source.fingerprint.size
        text = bytes(source.read_ranges([0], [size])[0]) if size <= _LONGEST else b""
        source.close()
        found += [f"{file.name}: {problem}" for problem in metadata_problems(text)] if text.strip() else []
    return found
