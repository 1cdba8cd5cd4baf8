"""What a STREAM refers to: only beside the document, unless allowed (VOTable 1.5, section 5.2)."""

from __future__ import annotations

import os
import posixpath
import re
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from scichunk import options
from scichunk.errors import FormatError, MissingFile, ScichunkError, UnsupportedFeature
from scichunk.formats.votable.document.markup import Body
from scichunk.formats.votable.document.scan import Document
from scichunk.formats.votable.document.structure import Stream
from scichunk.formats.votable.rows.base64_stream import Base64Stream, ByteStream, RawStream
from scichunk.sources import ByteSource, Location, locate
from scichunk.sources.base import public_reference, without_secrets
from scichunk.sources.whole_file import expand_source

__all__ = ["open_href", "open_stream", "resolve_href"]

_FOLLOWED: Final = frozenset({
    "http", "https", "ftp", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "hf",
})  # fmt: skip
"""What a document may name elsewhere. Other schemes of fsspec, chained ones too, lead to files and memory of this machine."""
_MOST_CHARACTERS: Final = 1 << 14
"""Of a reference: what is secret in one is looked for in what libraries say of it, part by part."""
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
    source = resolve_href(location, stream.href).open()
    return expand_source(source) if stream.encoding.lower() in {"gzip", "dynamic"} else source


def resolve_href(location: Location, href: str) -> Location:
    """Find what a document refers to.

    Raises
    ------
    UnsupportedFeature
        If it is not in the directory (or below it) or on the host of the document, and ``options.follow_hrefs`` is off.
    FormatError
        If it is no reference.
    """
    if len(href) > _MOST_CHARACTERS:
        msg = f"a reference of {len(href)} characters; no server takes one of more than {_MOST_CHARACTERS}"
        raise FormatError(msg)
    try:
        return _resolve_target(location, href)
    except ScichunkError:
        raise
    except ValueError as error:
        msg = f"the reference {public_reference(href)!r} is malformed: {without_secrets(str(error), href)}"
        raise FormatError(msg) from None


def _resolve_target(location: Location, href: str) -> Location:
    """Find what a reference means where the document lies: on this machine, beside a URL, or in no place."""
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
            return _resolve_elsewhere(href, allowed)
        else:
            path = unquote(href)
        # Links are resolved before it is looked whether the file lies beside the document: a link may lead out of the folder.
        folder = os.path.realpath(os.path.dirname(base))
        if not os.path.lexists(
            os.path.join(folder, path)
        ):  # a query is for a server, from which the document was saved
            path = unquote(re.split(r"[?#]", href)[0])
        found = os.path.realpath(os.path.join(folder, path))
        if not allowed and os.path.commonpath([folder, found]) != folder:
            _refuse_href(href)
        return locate(found)
    if not base:
        return _beside_content(location, href, allowed)
    return _resolve_beside(location, base, href, allowed)


def _resolve_beside(location: Location, base: str, href: str, allowed: bool) -> Location:
    """Relative to a URL: on its host, and of object stores in its bucket; never a file of this machine."""
    chain, _, inner = base.rpartition("::")
    if href.lower().startswith("file:") or chain:
        _refuse_href(href)
    scheme, rest = inner.split("://", 1)
    joined = urljoin("http://" + rest, href) if not _SCHEME.match(href) else href
    wanted = joined if _SCHEME.match(href) else scheme + joined[4:]
    if _host_of(wanted) != _host_of(inner):
        return _resolve_elsewhere(wanted, allowed)
    # A redirect could lead to another host, after the host of the URL has been found right.
    return Location(scheme + wanted[len(scheme) :], location.options, same_host=not allowed)


def _host_of(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def _beside_content(location: Location, href: str, allowed: bool) -> Location:
    """Relative to a file object of fsspec; beside bytes there is nothing."""
    if _SCHEME.match(href):
        return _resolve_elsewhere(href, allowed)
    path = posixpath.normpath(unquote(href))
    if path.startswith(("/", "..")):
        _refuse_href(href)
    fs, own = location.target if isinstance(location.target, tuple) else (None, "")
    if fs is not None and own.startswith(("http://", "https://")):  # as a URL, so that redirects are looked at
        return _resolve_beside(Location(own, fs.storage_options), own, href, allowed)
    found = location.sibling(path) if "/" not in path else None
    if found is None:
        msg = f"the data are at {public_reference(href)!r}, beside a document that is given as content: nothing lies beside it"
        raise MissingFile(msg, url=location.url)
    return found


def _resolve_elsewhere(href: str, allowed: bool) -> Location:
    scheme, slashes, _ = href.partition("://")
    if not allowed or not slashes or scheme.lower() not in _FOLLOWED:
        _refuse_href(href)
    return Location(scheme.lower() + href[len(scheme) :])


def _refuse_href(href: str) -> Location:
    msg = (
        f"the data are at {public_reference(href)!r}, outside the folder or host of the document; "
        "options.follow_hrefs=True follows it, unless it is a file of this machine"
    )
    raise UnsupportedFeature(msg)
