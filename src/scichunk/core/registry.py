"""The table of formats: built-in ones, and entry points of the group ``scichunk.formats``. Nothing here opens a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

from scichunk.core.selectors import Selector
from scichunk.errors import FormatError, PluginWarning, guarded
from scichunk.lru import on_clear
from scichunk.warned import warn_caller

if TYPE_CHECKING:
    from scichunk.core.files import OpenFile
    from scichunk.core.tables import TableStream
    from scichunk.sources import Fingerprint, Location

__all__ = ["FormatSpec", "get_format", "list_formats", "sniff_format", "sniff_suffix"]

_BUILT_IN: Final = (
    "scichunk.formats.geotiff",
    "scichunk.formats.jpeg2000",
    "scichunk.formats.fits",
    "scichunk.formats.votable",
)
"""Packages with a ``SPEC``: one line a format."""


_TEXTS: Final = ("name", "description", "module", "writer", "engine")
_TUPLES: Final = (
    (("suffixes", "yields_to", "mime_types", "kernels"), str, "texts"),
    (("selectors",), Selector, "Selector"),
    (("magic",), bytes, "bytes"),
)
"""Fields of a :class:`FormatSpec`, and what must be in them."""


@dataclass(frozen=True, slots=True, repr=False)
class FormatSpec:
    """How a format is found, picked from and opened. Making one imports nothing.

    Parameters
    ----------
    name
        Engine name.
    description
        For people.
    suffixes
        Ends of names, in lower case, with the dot.
    sniff
        Whether a file that begins with these bytes is of the format. At least 4096 bytes are handed in, or all of a shorter file.
    module
        Module with ``open_file(location, source) -> OpenFile``.
    priority
        Formats of higher priority are asked first, so that a special kind of TIFF can be told from TIFF; built-in formats have 0.
    selectors
        Words by which users pick a part of a file.
    siblings
        Names of files beside a local file of this name that belong to it, whether they exist or not: a change of one is another
        version of the file.
    writer
        Module with ``write_table(stream, path, *, overwrite, **options)``, if tables of the format are written.
    engine
        ``module:class`` of the xarray engine, if it has one of its own.
    yields_to
        Engines of others that xarray is left to choose by itself for files of the format, where they are installed: users expect it.
    magic, mime_types
        First bytes and types of content, for the tables of other libraries (catalogs); ``sniff`` is what decides here.
    kernels
        Families of compiled code that its files need, for ``scichunk warmup``; see ``scichunk.codecs.ways``.
    """

    name: str
    description: str
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    module: str
    priority: int = 0
    selectors: tuple[Selector, ...] = ()
    siblings: Callable[[str], Sequence[str]] | None = None
    writer: str = ""
    engine: str = ""
    yields_to: tuple[str, ...] = ()
    magic: tuple[bytes, ...] = ()
    mime_types: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """What users look for in :func:`scichunk.list_formats`; the rest are attributes."""
        words = "".join(f", {s.name}=" for s in self.selectors)
        more = " ..." if len(self.suffixes) > 4 else ""
        return f"<FormatSpec {self.name}: {self.description}; {' '.join(self.suffixes[:4])}{more}{words}>"

    def version(self, location: Location, fingerprint: Fingerprint) -> Fingerprint:
        """Return the version of a file together with the files beside it, from that of the file alone."""
        path = location.local_path
        if path is None or self.siblings is None:
            return fingerprint
        from scichunk.sources.siblings import with_siblings

        with guarded(location.url):  # it may be the code of another package
            return with_siblings(fingerprint, path, self.siblings(os.path.basename(path)))

    def open_file(self, location: Location, **options: Any) -> OpenFile:
        """Import the format and open a file of it."""
        opened: OpenFile = _import_module(self.module).open_file(location, **options)
        return opened

    def write_table(self, stream: TableStream, path: Any, **options: Any) -> None:
        """Import the format's writer and write a table."""
        import_module(self.writer).write_table(stream, path, **options)


def _import_module(name: str) -> Any:
    """Import a module; one that is there is looked up, since asking Python to import it costs a tenth of opening a small file."""
    return sys.modules.get(name) or import_module(name)


@cache
def _all_formats() -> dict[str, FormatSpec]:
    found = {spec.name: spec for spec in (import_module(name).SPEC for name in _BUILT_IN)}
    for entry in _entry_points():
        try:
            spec = _load_plugin(entry)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever the code of somebody else raises must break no other format
            _warn_of_plugin(entry, f"is left out, it cannot be loaded: {type(error).__name__}: {error}")
        else:
            # A plug-in cannot take the name of a built-in format, nor of a plug-in that was found before.
            if found.setdefault(spec.name, spec) is not spec:
                _warn_of_plugin(entry, f"is left out, there is another format named {spec.name!r}")
    return found


def _entry_points() -> Sequence[EntryPoint]:
    try:
        return tuple(entry_points(group="scichunk.formats"))
    except Exception as error:  # noqa: BLE001  # what some installed package says of itself is corrupt, whatever it is
        msg = f"formats of other packages are left out, the metadata of what is installed are corrupt: {type(error).__name__}: {error}"
        warn_caller(msg, PluginWarning)
        return ()


on_clear(_all_formats.cache_clear)


def list_formats() -> dict[str, FormatSpec]:
    """Return every known format by name: built-in ones, then those of installed plug-ins.

    Another package adds a format by an entry point of the group ``scichunk.formats`` that is, or returns, a :class:`FormatSpec`.

    Returns
    -------
    dict of str to FormatSpec

    Warns
    -----
    PluginWarning
        Once, for each plug-in that cannot be used; the others are not affected.

    Examples
    --------
    >>> import scichunk
    >>> sorted(scichunk.list_formats())[:2]
    ['fits', 'geotiff']
    """
    return dict(_all_formats())


class _Sniffer:
    """The ``sniff`` of another package: where it raises, that is said once, and the other formats are asked."""

    def __init__(self, entry: EntryPoint, sniff: Callable[[bytes], bool]) -> None:
        self._entry, self._sniff, self._warned = entry, sniff, False

    def __call__(self, head: bytes) -> bool:
        try:
            return bool(self._sniff(head))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # as above
            if not self._warned:
                self._warned = True
                _warn_of_plugin(self._entry, f"cannot say whether a file is its own: {type(error).__name__}: {error}")
            return False


def _load_plugin(entry: EntryPoint) -> FormatSpec:
    loaded = entry.load()
    spec = loaded if isinstance(loaded, FormatSpec) else loaded()
    if not isinstance(spec, FormatSpec):
        msg = f"it gives {type(spec).__name__}, not a FormatSpec"
        raise TypeError(msg)
    _check_types(spec)
    return replace(spec, sniff=_Sniffer(entry, spec.sniff))


def _check_types(spec: FormatSpec) -> None:
    """Raise TypeError for a field of another type: all formats are asked together, so that one would break the others."""
    for names, kind, what in _TUPLES:
        for name in names:
            value = getattr(spec, name)
            if not isinstance(value, tuple) or not all(isinstance(item, kind) for item in value):
                msg = f"{name} must be a tuple of {what}, got {value!r}"
                raise TypeError(msg)
    if "" in spec.suffixes:
        msg = "suffixes must not be empty: every name ends with an empty one"
        raise TypeError(msg)
    for selector in spec.selectors:
        uses = selector.uses
        if not (isinstance(selector.name, str) and callable(selector.check)) or not isinstance(
            uses, tuple | list | set | frozenset
        ):
            msg = f"a selector must have a name, a function that checks, and several uses, got {selector!r}"
            raise TypeError(msg)
    wrong = [name for name in _TEXTS if not isinstance(getattr(spec, name), str)]
    if wrong:
        msg = f"{', '.join(wrong)} must be texts"
        raise TypeError(msg)
    if (
        not callable(spec.sniff)
        or not (spec.siblings is None or callable(spec.siblings))
        or not isinstance(spec.priority, int)
    ):
        msg = "sniff and siblings must be functions, and priority an integer"
        raise TypeError(msg)


def _warn_of_plugin(entry: EntryPoint, what: str) -> None:
    package = (entry.dist.name if entry.dist else None) or "of an unknown name"
    msg = f"the format {entry.name!r} ({entry.value}) of the package {package} {what}"
    warn_caller(msg, PluginWarning)


def get_format(name: str) -> FormatSpec:
    """Return a format by name.

    Raises
    ------
    FormatError
        If there is none.
    """
    known = _all_formats()
    if name not in known:
        msg = f"there is no format {name!r}; known are {', '.join(sorted(known))}"
        raise FormatError(msg)
    return known[name]


def _by_priority() -> list[FormatSpec]:
    return sorted(_all_formats().values(), key=lambda spec: -spec.priority)


def sniff_format(head: bytes) -> FormatSpec | None:
    """Find the format by the first bytes of a file."""
    return next((spec for spec in _by_priority() if spec.sniff(head)), None)


def sniff_suffix(url: str) -> FormatSpec | None:
    """Find the format by the end of a name, query string aside."""
    name = url.partition("?")[0].partition("#")[0].lower()
    return next((spec for spec in _by_priority() if name.endswith(spec.suffixes)), None)
