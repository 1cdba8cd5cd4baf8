"""What is wrong with GDAL's texts of metadata: GDAL makes something of them without a word."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Sequence
from typing import Final
from xml.parsers import expat

from scichunk import options
from scichunk.sources import Location

__all__ = [
    "MOST_BYTES",
    "MOST_POINTS",
    "excess",
    "is_pam_readable",
    "metadata_problems",
    "number_problem",
    "read_beside",
]

MOST_BYTES: Final = 1 << 24
"""Of metadata that GDAL is given with one raster: it holds several copies of them."""
MOST_ITEMS: Final = 20_000
MOST_POINTS: Final = 100_000
"""Control points of a raster."""
_ITEM: Final = re.compile(rb"<\s*(?:item|mdi|metadata)\b", re.IGNORECASE)
_POINT: Final = re.compile(rb"<\s*gcp\b", re.IGNORECASE)
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


def excess(text: bytes) -> str:
    """Say of what the XML text of GDAL's tag, or of a file beside a raster, has too much; empty if GDAL may read it.

    GDAL looks through all items of a list for each that it adds, and keeps kilobytes for a control point.
    """
    counts = {
        "items": (len(_ITEM.findall(text)), MOST_ITEMS),
        "control points": (len(_POINT.findall(text)), MOST_POINTS),
        "elements and attributes": (text.count(b"<") + text.count(b"="), options.get().max_elements),
    }
    return next((f"{count} {name}" for name, (count, most) in counts.items() if count > most), "")


def read_beside(files: Sequence[Location]) -> tuple[dict[str, bytes], list[str]]:
    """Read the files beside a raster that describe it, for GDAL; those that are too large are left out.

    Returns
    -------
    tuple of dict and list
        Their content by name, and what is wrong.

    Raises
    ------
    SourceError
        If one cannot be read.
    """
    found: dict[str, bytes] = {}
    problems: list[str] = []
    room = MOST_BYTES
    for file in files:
        ending = file.name.lower()
        if ending.endswith((".msk", ".ovr")):  # pixels
            continue
        with contextlib.closing(file.open()) as source:
            size = source.fingerprint.size
            text = bytes(source.read_ranges([0], [size])[0]) if size <= room else b""
        much = f"{size} bytes" if size > room else _excess_beside(ending, text)
        if much:
            problems.append(f"{file.name} has {much}")
            continue
        room -= size
        found[file.name] = text
        if ending.endswith(".aux.xml") and text.strip():
            problems += [f"{file.name}: {problem}" for problem in metadata_problems(text)]
    return found, problems


def is_pam_readable(path: str) -> bool:
    """Whether GDAL may read the PAM file beside a raster, where it opens the raster itself; also where there is none."""
    try:
        name = f"{path}.aux.xml"
        if not os.path.isfile(name):
            return True
        with open(name, "rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError:  # GDAL cannot read it either
        return False
    return len(text) <= MOST_BYTES and not excess(text)


def _excess_beside(ending: str, text: bytes) -> str:
    """As :func:`excess`, of any file; other lists than PAM's have items of any name."""
    if ending.endswith(".aux.xml"):
        return excess(text)
    items = text.count(b"<") - text.count(b"</") if ending.endswith(".xml") else text.count(b"=")
    return f"{items} items" if items > MOST_ITEMS else ""
