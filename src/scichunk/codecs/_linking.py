"""Linking of one object file of ELF for x86-64 into an image that runs wherever it is copied.

LLVM makes the object code position independent, so all that is to be done is to lay its sections one behind the other and to write
the distances between them (System V ABI, AMD64 supplement, section 4.4). What else an object file may ask for is refused.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

__all__ = ["link"]

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELOCATION: Final = struct.Struct("<QIIq")
_ALIGNMENT: Final = 64
"""Of sections: the largest vectors are as long."""
_MACHINE: Final = 62
_PROGBITS, _SYMBOLS, _WITH_ADDENDS = 1, 2, 4
_OTHER_RELOCATIONS: Final = frozenset({9, 0x40000014})
_WRITTEN, _ALLOCATED = 1, 2
_DISTANCES: Final = frozenset({2, 4})
"""R_X86_64_PC32 and R_X86_64_PLT32."""
_EXCEPTIONS: Final = b".data.rel.ro"
"""Numba's descriptions of exceptions, with addresses in them: who calls without numba looks at the status alone."""
_IGNORED: Final = frozenset({b".eh_frame"})


@dataclass(frozen=True, slots=True)
class _Section:
    name: bytes
    kind: int
    flags: int
    content: bytes
    link: int
    info: int
    alignment: int


def link(file: bytes, symbol: str) -> tuple[bytes, int]:
    """Lay out an object file.

    Parameters
    ----------
    file
        The object file.
    symbol
        Name of a function.

    Returns
    -------
    bytes
        Code and constants, to be copied to where a page begins.
    int
        Where in it the function begins.

    Raises
    ------
    NotImplementedError
        If the file is not for this processor, or asks for more than distances within itself.
    """
    sections = _read_sections(file)
    places, image = dict[int, int](), bytearray()
    for number, section in enumerate(sections):
        if section.flags & _ALLOCATED and section.name not in _IGNORED and section.content:
            if (
                section.alignment > _ALIGNMENT
                or section.kind != _PROGBITS
                or (section.flags & _WRITTEN and section.name != _EXCEPTIONS)
            ):
                msg = f"section {section.name!r} of kind {section.kind} with the flags {section.flags}"
                raise NotImplementedError(msg)
            image += bytes(-len(image) % _ALIGNMENT)
            places[number] = len(image)
            image += section.content
    for section in sections:
        if section.kind in _OTHER_RELOCATIONS and section.info in places:
            msg = f"relocations of kind {section.kind}"
            raise NotImplementedError(msg)
        if section.kind == _WITH_ADDENDS and section.info in places:
            _relocate(image, section, sections, places)
    return bytes(image), _find_function(sections, places, symbol.encode())


def _read_sections(file: bytes) -> list[_Section]:
    magic, _, machine, _, _, _, table, _, _, _, _, size, count, names = _HEADER.unpack_from(file)
    if magic[:6] != b"\x7fELF\x02\x01" or machine != _MACHINE or size != _SECTION.size:
        msg = f"an object file that begins with {magic[:6]!r}, for machine {machine}"
        raise NotImplementedError(msg)
    found = [_SECTION.unpack_from(file, table + i * size) for i in range(count)]
    texts = file[found[names][4] : found[names][4] + found[names][5]]
    return [
        _Section(_text_at(texts, name), kind, flags, file[at : at + length], link, info, alignment)
        for name, kind, flags, _, at, length, link, info, alignment, _ in found
    ]


def _text_at(texts: bytes, at: int) -> bytes:
    return texts[at : texts.index(b"\0", at)]


def _relocate(image: bytearray, relocations: _Section, sections: list[_Section], places: dict[int, int]) -> None:
    symbols, target = sections[relocations.link].content, sections[relocations.info]
    for at, kind, number, addend in _RELOCATION.iter_unpack(relocations.content):
        if target.name == _EXCEPTIONS:
            continue
        _, _, _, where, value, _ = _SYMBOL.unpack_from(symbols, number * _SYMBOL.size)
        if kind not in _DISTANCES or where not in places:
            msg = f"relocation of kind {kind} to section {where} in {target.name!r}"
            raise NotImplementedError(msg)
        place = places[relocations.info] + at
        struct.pack_into("<i", image, place, places[where] + value + addend - place)


def _find_function(sections: list[_Section], places: dict[int, int], wanted: bytes) -> int:
    for section in sections:
        if section.kind == _SYMBOLS:
            names = sections[section.link].content
            for name, _, _, where, value, _ in _SYMBOL.iter_unpack(section.content):
                if where in places and _text_at(names, name) == wanted:
                    return places[where] + int(value)
    msg = f"there is no {wanted!r}"
    raise NotImplementedError(msg)
