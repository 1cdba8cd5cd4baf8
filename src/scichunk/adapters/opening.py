"""Opening a file of a given or any format, and picking an array or a table of it: what all adapters share."""

from __future__ import annotations

import contextlib
import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from scichunk import options
from scichunk.adapters.hints import content_hint, name_hint
from scichunk.adapters.lazy import LazyArray
from scichunk.core import registry
from scichunk.core.files import ArrayId, OpenFile, normalise_positions
from scichunk.core.handles import Handle, open_file
from scichunk.core.selectors import Use, check_selectors
from scichunk.errors import FormatError, MissingFile, ScichunkError, SourceError
from scichunk.sources import ByteSource, Location, locate
from scichunk.sources.base import check_slashes, leading_bytes, secret_texts
from scichunk.sources.location import checked_options
from scichunk.sources.retrying import error_of, run_within
from scichunk.sources.whole_file import head_of_content

__all__ = [
    "Opened", "dims_of", "expand_names", "find_format", "id_for_all", "is_pattern", "lazy_array", "named_part", "open_any",
    "sniff_source",
]  # fmt: skip

_HEAD_BYTES: Final = 4096
_HTTP: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened file with the name of its format."""

    format: str
    location: Location
    file: OpenFile

    def selectors(self, given: Mapping[str, Any], use: Use, where: str) -> dict[str, Any]:
        """Check the words by which the user picks a part of the file."""
        return check_selectors(registry.get_format(self.format).selectors, given, use, where)


def open_any(format_name: str | None, target: Any, storage_options: Mapping[str, Any] | None = None) -> Opened:
    """Open a file of a given or any format; its head is fetched once.

    Raises
    ------
    FormatError
        If it is none of the known formats.
    SourceError
        If it is missing or cannot be read.
    """
    location = locate(target, storage_options)
    name = format_name
    try:
        source = None
        if name is None:
            source = location.open()
            name = sniff_source(location, source)
        return Opened(name, location, open_file(name, location, source=source))
    except SourceError as error:
        _add_hint(error, name_hint(location.url) if isinstance(location.target, str) else "")
        raise
    except FormatError as error:
        _add_hint(error, "" if name is None else _other_content(name, location))
        raise


def _add_hint(error: ScichunkError, hint: str) -> None:
    if hint and hint not in error.message:
        error.message += f"; {hint}"


def _other_content(format_name: str, location: Location) -> str:
    """What a file is that is not of the format that was asked for; empty if it is, or if it cannot be told."""
    # The file could not be read as what it was taken for; that it cannot be looked at either is no further news.
    with contextlib.suppress(ScichunkError):
        head = leading_bytes(location.open(), _HEAD_BYTES)
        return "" if registry.get_format(format_name).sniff(head) else content_hint(head)
    return ""


def sniff_source(location: Location, source: ByteSource) -> str:
    """Return the name of an opened file's format, by its first bytes, then by its suffix.

    Raises
    ------
    FormatError
        If it is none of the known formats.
    """
    head = leading_bytes(source, _HEAD_BYTES)
    spec = find_format(source) or registry.sniff_suffix(location.url)
    if spec is None:
        what = content_hint(head) or f"it begins with {head[:8]!r}"
        msg = f"not a file of a known format ({', '.join(registry.list_formats())}); {what}"
        raise FormatError(msg, url=location.url)
    return spec.name


def dims_of(file: OpenFile, array_id: ArrayId) -> tuple[str, ...]:
    """Return the names of an array's dimensions: by the file's own method ``dims``, or from the group that holds the array.

    Raises
    ------
    ValueError
        If no group holds it.
    """
    own = getattr(file, "dims", None)
    if own is not None:
        return tuple(own(array_id))
    for group in file.groups():
        for var in file.node(group).arrays:
            if array_id in {var.array_id, None if var.raw is None else var.raw.array_id}:
                return var.dims
    msg = "the dimensions of this array have no names: give chunks by the numbers of axes"
    raise ValueError(msg)


def named_part(group: str | None, selectors: Mapping[str, Any]) -> Any:
    """Return the word by which the user named a part of a file; None where parts are counted, or nothing is picked."""
    words = (v for v in selectors.values() if isinstance(v, str | tuple | list))
    return next(words, None) if group is None else group.strip("/") or None


def id_for_all(file: OpenFile, array_id: ArrayId, word: Any) -> ArrayId:
    """Return the id under which each file of a stack has an array: parts of one name need not have one number in all files."""
    find = getattr(file, "by_name", None)  # files of plug-ins need not know it
    return array_id if word is None or find is None else cast("ArrayId", find(array_id, word))


def find_format(source: ByteSource) -> registry.FormatSpec | None:
    """Find the format of a file by its first bytes, or by the first bytes of what is in a compressed one."""
    spec = registry.sniff_format(leading_bytes(source, _HEAD_BYTES))
    if spec is None and (inner := head_of_content(source)):
        spec = registry.sniff_format(inner[:_HEAD_BYTES])
    return spec


def lazy_array(opened: Opened, given: Mapping[str, Any], where: str) -> LazyArray:
    """Return the reader of the array that the user's words pick."""
    file = opened.file
    array_id, bands = file.find_array(**opened.selectors(given, "array", where))
    picked = None if bands is None else normalise_positions(bands, file.array(array_id).shape[0])
    return LazyArray(Handle(opened.format, opened.location, file.fingerprint, array_id), picked)


def expand_names(names: Any, storage_options: Mapping[str, Any] | None = None) -> list[Any]:
    """Turn a pattern into the sorted names that match it; a list, tuple or other iterable is taken as it is.

    Parameters
    ----------
    names
        A path or URL, in which ``*`` stands for anything but ``/`` and ``**`` for folders (not in the query of HTTP); or several names.
    storage_options
        For fsspec, or ``{"store": ...}`` with a store of obstore.

    Returns
    -------
    list

    Raises
    ------
    MissingFile
        If nothing matches a pattern.
    SourceError
        If the storage cannot be asked for its files.
    """
    if not isinstance(names, str) and not hasattr(names, "__fspath__"):
        if (
            isinstance(names, bytes | bytearray | memoryview)
            or not hasattr(names, "__iter__")
            or hasattr(names, "read")
        ):
            msg = f"expected paths or URLs, or a pattern, got {type(names).__name__}"
            raise TypeError(msg)
        return list(names)
    pattern = str(names)
    if not is_pattern(pattern):
        return [names]
    given, failure = checked_options(storage_options), None
    found: Sequence[Any] = ()
    is_here = "://" not in pattern and "store" not in given
    if is_here:
        check_slashes(pattern)
    try:
        found = (
            _expand_pattern(pattern, given)
            if is_here
            else run_within(options.get(), lambda: _expand_pattern(pattern, given))
        )
    except Exception as error:  # noqa: BLE001  # each file system raises classes of its own
        failure = error_of(error, pattern, "the pattern cannot be looked up", hidden=secret_texts(given))
    if failure is not None:
        raise failure
    if not found:
        msg = "no file matches the pattern"
        raise MissingFile(msg, url=Location(pattern).url)
    return list(found)


def is_pattern(name: str) -> bool:
    """Whether a path or URL stands for several files: by a ``*``, but not by one in the query of HTTP, which may ask for all columns."""
    links = [name] if name.startswith(_HTTP) else name.split("::")
    return any("*" in (link.partition("?")[0] if link.startswith(_HTTP) else link) for link in links)


def _escape(pattern: str) -> str:
    """Write a pattern as libraries want it, for which ``?`` and ``[`` are wildcards too: they stand in names."""
    return re.sub(r"[?[]", r"[\g<0>]", pattern)


def _expand_pattern(pattern: str, options: Mapping[str, Any]) -> Sequence[str]:
    if "store" in options:
        return _in_store(options["store"], pattern)
    if "://" not in pattern:
        import os

        return sorted(glob.glob(_escape(os.path.expanduser(pattern)), recursive=True))
    import fsspec

    links = [pattern] if pattern.startswith(_HTTP) else pattern.split("::")
    at = next((i for i, link in enumerate(links) if "://" in link), 0)  # caches before it have no path of their own
    fs, path = fsspec.core.url_to_fs(pattern, **options)
    names = sorted(str(n) for n in fs.glob(_escape(path)))
    return ["::".join([*links[:at], _as_link(n, path, links[at]), *links[at + 1 :]]) for n in names]


def _as_link(name: str, path: str, link: str) -> str:
    """Write a path that a file system has found as the link in which the pattern stood: paths lack what names the host."""
    folder, wanted = (text.partition("*")[0].rpartition("/") for text in (path, link))
    known = "".join(folder[:2])
    if name.startswith(known):
        # the link ends as the path does, but of file systems that take an account out of the middle, or find a home folder
        return link.removesuffix(path) + name if link.endswith(path) else "".join(wanted[:2]) + name[len(known) :]
    return name if "://" in name else f"{link.partition('://')[0]}://{name}"


def _in_store(store: Any, pattern: str) -> list[str]:
    import fnmatch

    import obstore

    pattern = pattern.partition("://")[2] or pattern  # as of one object
    prefix = pattern.partition("*")[0].rpartition("/")[0] or None
    shape = _escape(pattern)
    names = [str(meta["path"]) for batch in obstore.list(store, prefix) for meta in batch]
    depth = pattern.count("/")
    deep = "**" in pattern
    return sorted(n for n in names if fnmatch.fnmatchcase(n, shape) and (deep or n.count("/") == depth))
