"""The table of formats: built-ins, and entry points of the group ``scichunk.formats``. Imports no format."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from scichunk.core.files import FormatSpec
from scichunk.errors import FormatError, PluginWarning
from scichunk.formats import geotiff, jpeg2000
from scichunk.lru import on_clear

__all__ = ["formats", "get", "sniff", "sniff_suffix"]


def _is_tiff(head: bytes) -> bool:
    return head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}


def _is_fits(head: bytes) -> bool:
    if head[:6] == b"SIMPLE":
        return True
    from scichunk.sources.whole_file import first_bytes

    return first_bytes(head, 16)[:9] == b"SIMPLE  ="


def _is_jpeg2000(head: bytes) -> bool:
    return head[:12] == b"\0\0\0\x0cjP  \r\n\x87\n" or head[:4] == b"\xff\x4f\xff\x51"


def _is_votable(head: bytes) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] != b"<":
        from scichunk.sources.whole_file import compression, first_bytes

        if head[:2] in {b"\xff\xfe", b"\xfe\xff", b"\0<"} or head[:2] == b"<\0":
            start = head.replace(b"\0", b"")
        elif compression(head) in {"gzip", "bzip2", "xz"}:
            return (
                _is_votable(first_bytes(head, 4096).lstrip()) if first_bytes(head, 1)[:1] in {b"<", b"\xef"} else False
            )
    if start[:2] == b"<\0":
        start = start.replace(b"\0", b"")
    # declarations, comments and DOCTYPE come before the root; of a long comment only the beginning is here
    return (
        re.search(rb"<(?:[A-Za-z_][\w.-]*:)?VOTABLE[\s>/]|<!DOCTYPE\s+VOTABLE\b", start[:4096]) is not None
        and start[:1] == b"<"
    )


_BUILT_IN = (
    FormatSpec(
        "geotiff",
        "GeoTIFF, COG, BigTIFF",
        (".tif", ".tiff", ".gtiff", ".geotiff", ".btf", ".tf8"),
        _is_tiff,
        "scichunk.formats.geotiff.file",
        geotiff.beside,
    ),
    FormatSpec(
        "jpeg2000",
        "JPEG 2000: JP2, JPX, JPH (HTJ2K), raw codestreams",
        (".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c", ".jph", ".jhc"),
        _is_jpeg2000,
        "scichunk.formats.jpeg2000.file",
        jpeg2000.beside,
    ),
    FormatSpec(
        "fits",
        "FITS images and tables, plain and tile-compressed",
        (
            *(
                s + c
                for s in (".fits", ".fit", ".fts")
                for c in ("", ".zip", ".gz", ".bz2", ".z", ".zst", ".xz", ".fz")
            ),
            ".fz",
        ),
        _is_fits,
        "scichunk.formats.fits.file",
        writer="scichunk.formats.fits.table.writer",
    ),
    FormatSpec(
        "votable",
        "VOTable: TABLEDATA, BINARY, BINARY2, FITS and PARQUET",
        tuple(s + c for s in (".vot", ".votable", ".xml") for c in ("", ".gz", ".bz2", ".xz")),
        _is_votable,
        "scichunk.formats.votable.file",
        writer="scichunk.formats.votable.writer",
    ),
)


@cache
def formats() -> dict[str, FormatSpec]:
    """Return every known format by name; a third party adds one by an entry point that is, or returns, a FormatSpec.

    Warns
    -----
    PluginWarning
        Once, if an entry point cannot be used.
    """
    found = {spec.name: spec for spec in _BUILT_IN}
    for entry in entry_points(group="scichunk.formats"):
        try:
            spec = _load(entry)
        except Exception as error:  # noqa: BLE001  # whatever the code of somebody else raises must break no other format
            _warn(entry, f"is left out, it cannot be loaded: {type(error).__name__}: {error}")
        else:
            found.setdefault(spec.name, spec)
    return found


on_clear(formats.cache_clear)


class _Sniffer:
    """The ``sniff`` of another package: where it raises, that is said once, and the other formats are asked."""

    def __init__(self, entry: EntryPoint, sniff: Callable[[bytes], bool]) -> None:
        self._entry, self._sniff, self._told = entry, sniff, False

    def __call__(self, head: bytes) -> bool:
        try:
            return bool(self._sniff(head))
        except Exception as error:  # noqa: BLE001  # as above
            if not self._told:
                self._told = True
                _warn(self._entry, f"cannot say whether a file is its own: {type(error).__name__}: {error}")
            return False


def _load(entry: EntryPoint) -> FormatSpec:
    loaded = entry.load()
    spec = loaded if isinstance(loaded, FormatSpec) else loaded()
    if not isinstance(spec, FormatSpec):
        msg = f"it gives {type(spec).__name__}, not a FormatSpec"
        raise TypeError(msg)
    texts = (spec.name, spec.description, spec.module, *spec.suffixes)
    if not all(isinstance(t, str) for t in texts) or not isinstance(spec.suffixes, tuple) or not callable(spec.sniff):
        msg = "name, description, module and suffixes (a tuple) must be texts, and sniff a function"
        raise TypeError(msg)
    return replace(spec, sniff=_Sniffer(entry, spec.sniff))


def _warn(entry: EntryPoint, what: str) -> None:
    package = entry.dist.name if entry.dist else "an unknown package"
    msg = f"the format {entry.name!r} ({entry.value}) of the package {package} {what}"
    warnings.warn(msg, PluginWarning, stacklevel=4)


def get(name: str) -> FormatSpec:
    """Return a format by name.

    Raises
    ------
    FormatError
        If there is none.
    """
    try:
        return formats()[name]
    except KeyError:
        msg = f"there is no format {name!r}; known are {', '.join(sorted(formats()))}"
        raise FormatError(msg) from None


def sniff(head: bytes) -> FormatSpec | None:
    """Find the format by the first bytes of a file."""
    return next((spec for spec in formats().values() if spec.sniff(head)), None)


def sniff_suffix(url: str) -> FormatSpec | None:
    """Find the format by the end of a name, query string aside."""
    name = url.partition("?")[0].partition("#")[0].lower()
    return next((spec for spec in formats().values() if name.endswith(spec.suffixes)), None)
