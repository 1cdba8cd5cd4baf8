"""What a STREAM refers to: only beside the document, unless allowed (VOTable 1.5, section 5.2)."""

from __future__ import annotations

import os
import posixpath
import re
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from scichunk import options
from scichunk.errors import FormatError, MissingFile, ScichunkError, UnsupportedFeature
from scichunk.formats.votable.document import Document
from scichunk.formats.votable.markup import Body
from scichunk.formats.votable.stream import Base64Stream, ByteStream, RawStream
from scichunk.formats.votable.structure import Stream
from scichunk.sources import ByteSource, Location, locate
from scichunk.sources.whole_file import expand

__all__ = ["open_href", "open_stream", "resolve"]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def open_stream(location: Location, document: Document, body: Body, stream: Stream) -> ByteStream:
    """Open the bytes of a BINARY or BINARY2 element.

    Raises
    ------
    UnsupportedFeature
        If they are encoded in a way that is not known, or lie where they must not be read.
    """
    encoding = stream.encoding.lower()
    if not stream.href:
        if encoding not in {"", "base64"}:
            msg = f"a stream within the document that is encoded as {stream.encoding!r}"
            raise UnsupportedFeature(msg)

        def find_stop() -> int:
            document.find_all()
            return body.stop

        return Base64Stream(document.source, body.start, body.stop, None if body.exact else find_stop)
    source = open_href(location, stream)
    if encoding == "base64":
        return Base64Stream(source, 0, source.fingerprint.size)
    if encoding not in {"", "none", "gzip", "dynamic"}:
        msg = f"a stream that is encoded as {stream.encoding!r}"
        raise UnsupportedFeature(msg)
    return RawStream(source)


def open_href(location: Location, stream: Stream) -> ByteSource:
    """Open what a stream refers to; gzip is expanded if the stream says so."""
    source = resolve(location, stream.href).open()
    return expand(source) if stream.encoding.lower() in {"gzip", "dynamic"} else source


def resolve(location: Location, href: str) -> Location:
    """Find what a document refers to.

    Raises
    ------
    UnsupportedFeature
        If it is not in the directory (or below it) or on the host of the document, and ``options.follow_hrefs`` is off.
    FormatError
        If it is no reference.
    """
    try:
        return _resolve(location, href)
    except ScichunkError:
        raise
    except ValueError as error:
        msg = f"the reference {href!r} is malformed: {error}"
        raise FormatError(msg) from None


def _resolve(location: Location, href: str) -> Location:
    allowed = options.get().follow_hrefs
    target = location.target
    base = target if isinstance(target, str) else ""
    if "\0" in href:
        msg = "it holds a NUL"
        raise ValueError(msg)
    if location.local_path is not None:
        if href.lower().startswith("file:"):
            path = unquote(urlsplit(href).path) or href[5:]
        elif _SCHEME.match(href):
            return _elsewhere(href, allowed)
        else:
            path = unquote(href)
        folder = os.path.realpath(os.path.dirname(base))
        found = os.path.realpath(os.path.join(folder, path))
        if not allowed and os.path.commonpath([folder, found]) != folder:
            _refuse(href)
        return locate(found)
    if not base:
        return _beside_content(location, href, allowed)
    return _beside(location, base, href, allowed)


def _beside(location: Location, base: str, href: str, allowed: bool) -> Location:
    """Relative to a URL: on its host, and of object stores in its bucket; never a file of this machine."""
    chain, _, inner = base.rpartition("::")
    if href.lower().startswith("file:") or chain:
        _refuse(href)
    scheme, rest = inner.split("://", 1)
    joined = urljoin("http://" + rest, href) if not _SCHEME.match(href) else href
    wanted = joined if _SCHEME.match(href) else scheme + joined[4:]
    same = urlsplit(wanted)[:2] == urlsplit(inner)[:2]
    if not same and not allowed:
        _refuse(href)
    return Location(wanted, location.options if same else None)


def _beside_content(location: Location, href: str, allowed: bool) -> Location:
    """Relative to a file object of fsspec; beside bytes there is nothing."""
    if _SCHEME.match(href):
        return _elsewhere(href, allowed)
    path = posixpath.normpath(unquote(href))
    if path.startswith(("/", "..")):
        _refuse(href)
    found = location.sibling(path) if "/" not in path else None
    if found is None:
        msg = f"the data are at {href!r}, beside a document that is given as content: nothing lies beside it"
        raise MissingFile(msg, url=location.url)
    return found


def _elsewhere(href: str, allowed: bool) -> Location:
    if not allowed or href.lower().startswith("file:"):
        _refuse(href)
    return Location(href)


def _refuse(href: str) -> Location:
    msg = f"the data are at {href!r}, outside the folder or host of the document; options.follow_hrefs=True follows it"
    raise UnsupportedFeature(msg)
