"""HDUs by their names: EXTNAME and EXTVER (FITS 4.0, section 4.4.2.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from scichunk.formats.fits.structure import HDU

__all__ = ["called", "find_named", "list_hdus"]

_MOST_LISTED: Final = 100
"""HDUs that an error lists."""


def find_named(hdus: Callable[[], Iterator[HDU]], name: str) -> HDU:
    """The first HDU of an EXTNAME; or of ``EXTNAME,EXTVER``, as groups are named. StopIteration if there is none."""
    found = next((h for h in hdus() if h.name == name), None)
    if found is None:
        return next(filter(called(name), hdus()))
    return found


def called(name: str | tuple[str, int]) -> Callable[[HDU], bool]:
    """Whether an HDU has an EXTNAME; or an EXTNAME and an EXTVER, as a pair or as ``EXTNAME,EXTVER``."""
    if isinstance(name, tuple):
        return lambda hdu: (hdu.name, hdu.version) == name
    stem, comma, version = name.rpartition(",")
    pair = (stem.strip(), version.strip()) if comma else None
    return lambda hdu: hdu.name == name or (hdu.name, str(hdu.version)) == pair


def list_hdus(hdus: list[HDU]) -> str:
    """Numbers and names of the first HDUs for people, with EXTVER where several have the name."""
    several = Counter(h.name for h in hdus)
    labels = [
        f"{h.index} {h.name},{h.version}" if h.name and several[h.name] > 1 else f"{h.index} {h.name or h.kind}"
        for h in hdus[:_MOST_LISTED]
    ]
    return ", ".join([*labels, *(["..."] if len(hdus) > _MOST_LISTED else [])])
