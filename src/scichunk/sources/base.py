"""What a source of bytes is: the protocol, the fingerprint, and the checks that all of them share."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable
from urllib.parse import quote, unquote

from scichunk.errors import FormatError, SourceError

__all__ = [
    "ByteSource", "Fingerprint", "Head", "check_ranges", "check_slashes", "leading_bytes", "public_reference", "public_url",
    "secret_texts",
    "tag_with_head", "without_secrets",
]  # fmt: skip

_DIGESTED_BYTES: Final = 1 << 16
"""Most bytes of a head that go into a tag: fixed, so that a process that reads larger heads makes the same tag."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which version of a file this is; part of every dask token."""

    size: int
    """Length in bytes."""
    tag: str
    """ETag, or modification time (and, with ``options.trust_ctime``, status time) in hexadecimal nanoseconds, or a digest of the content;
    ``head:`` and a digest of the first bytes where the storage names no version."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the opening of a file brings."""

    data: bytes
    """The first bytes: as many as were asked for, or all of the file if the storage gave more."""
    size: int
    """Length of the file."""
    tag: str
    """What names this version of the file; empty where the storage says nothing."""


@runtime_checkable
class ByteSource(Protocol):
    """Bytes by ranges, from anywhere. Rebuilt by url and options on each worker, never pickled with a handle."""

    key: str
    """Identity of the file by name, see :attr:`scichunk.sources.Location.key`; set by who opens it."""

    @property
    def url(self) -> str:
        """The name for messages and tokens; holds no secrets."""
        ...

    @property
    def fingerprint(self) -> Fingerprint:
        """The version that was there when the source was opened."""
        ...

    @property
    def batch_bytes(self) -> int:
        """How many bytes to ask for in one batch: few where a read is cheap, many where latency rules."""
        ...

    @property
    def is_cheap(self) -> bool:
        """Whether a small read costs next to nothing, so that it is better than to read ahead or to keep bytes."""
        ...

    def head(self) -> memoryview:
        """Return the first bytes of the file (``options.head_bytes``, or all of a shorter file)."""
        ...

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read half-open ranges in one concurrent, coalesced batch.

        The views may lie in a buffer of this thread: they are valid until its next read.

        Raises
        ------
        FormatError
            If a range lies outside the file.
        SourceError
            If a range cannot be read, or the file has changed since it was opened.
        """
        ...

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`; the views stay valid."""
        ...

    def close(self) -> None:
        """Let go of descriptors and connections; a later read takes them up again."""
        ...


def leading_bytes(source: ByteSource, count: int) -> bytes:
    """Return the first bytes of a file, or all of a shorter one: they say what it is, also where ``options.head_bytes`` is less.

    Raises
    ------
    SourceError
        If they cannot be read.
    """
    head = source.head()
    if len(head) < count and len(head) < (wanted := min(count, source.fingerprint.size)):
        head = source.read_ranges([0], [wanted])[0]
    return bytes(head[:count])


def check_ranges(starts: Sequence[int], stops: Sequence[int], size: int, url: str) -> None:
    """Refuse ranges outside ``[0, size]``: offsets in a file's headers are not to be trusted."""
    for start, stop in zip(starts, stops, strict=True):
        if start < 0 or stop > size or stop < start:
            msg = f"bytes {start} to {stop} lie outside the file of {size} bytes: it is truncated or its offsets are corrupt"
            raise FormatError(msg, url=url)


def tag_with_head(tag: str, head: bytes | memoryview) -> str:
    """Return a version tag that the first bytes of the file are part of.

    It serves where storage does not name the version that it gives: a file that was replaced by one of equal length is another version
    when it is opened again, unless the change lies behind its head.
    """
    found = hashlib.blake2b(memoryview(head)[:_DIGESTED_BYTES], digest_size=8).hexdigest()
    return f"{tag}:head:{found}" if tag else f"head:{found}"


def public_url(url: str) -> str:
    """Return a name with everything masked that may be secret, for messages.

    Parameters
    ----------
    url
        A URL, also a chained one of fsspec (``zip://a.tif::https://...``), or a path, which is returned as it is.

    Returns
    -------
    str
        Without user information, values of queries and fragments: ``https://host/a.tif?token=...``.
    """
    if "://" not in url:
        return url
    if url.startswith(("http://", "https://")):  # never chained: "::" is part of the path or the query
        return _public_link(url)
    links, open_query = [], False
    for link in url.split("::"):
        if "://" in link:
            links.append(_public_link(link))
            open_query = "?" in link or "#" in link
        elif open_query and link:
            links.append("...")  # the rest of a value in which "::" stood
        else:  # the name of a cache, a path, or the rest of one in which "::" stood
            links.append(public_reference(link))
            open_query = "?" in link or "#" in link
    return "::".join(links)


_LOST_SLASH: Final = re.compile(
    r"(?:^|/)((?:https?|ftps?|sftp|ssh|s3a?|gs|gcs|az|abfss?|adl|hdfs|webhdfs|oci|hf|github):)/(?!/)", re.IGNORECASE
)


def check_slashes(path: str) -> None:
    """Refuse a URL of which pathlib has made a path: it would be looked for on this machine, and told with all that is secret in it.

    Raises
    ------
    SourceError
        With the name of the URL, unless there is a folder of the name of its scheme.
    """
    found = _LOST_SLASH.search(path) if ":/" in path else None
    if found is None or os.path.isdir(path[: found.end(1)]):
        return
    msg = "is a URL that has lost a slash, which pathlib.Path takes away: give it as text"
    raise SourceError(msg, url=public_url(f"{found[1]}//{path[found.end() :]}"))


def _public_link(link: str) -> str:
    scheme, _, rest = link.partition("://")
    if _TAIL.search(scheme):  # the URL is in a query: "/vsicurl?header.Authorization=...&url=https://..."
        path, sign, tail = _cut_query(link)
        return path + _public_tail(sign, tail)
    user, rest = _split_user(rest)
    mark = _TAIL.search(user)
    if mark is not None and not _has_password(user[: mark.start()]):
        return f"{scheme}://..."  # a name or password with a "?" in it, or a host and a query with an "@" in it
    path, sign, tail = _cut_query(rest)
    host, slash, names = path.partition("/")
    if "@" in names and _has_password(host):  # "user:pass/word@host"
        host, slash, names = names.rpartition("@")[2].partition("/")
    return f"{scheme}://{host}{slash}{names}{_public_tail(sign, tail)}"


def _split_user(rest: str) -> tuple[str, str]:
    """Cut user information off what follows ``//``: up to the last ``@`` before the path, also behind a ``?`` or ``#`` in a password."""
    authority, slash, path = rest.partition("/")
    user, _, host = authority.rpartition("@")
    return user, f"{host}{slash}{path}"


def public_reference(reference: str) -> str:
    """Return what a document refers to, a URL or a path relative to it, with everything masked that may be secret."""
    if "://" in reference:
        return public_url(reference)
    if reference.lstrip().startswith("//"):  # a host, by the scheme of the document (RFC 3986, section 4.2)
        return _public_link(f":{reference.lstrip()}")[1:]
    path, mark, tail = _cut_query(reference)
    return path + _public_tail(mark, tail)


def _cut_query(text: str) -> tuple[str, str, str]:
    """Cut in front of the query or fragment, also where somebody has quoted the whole."""
    found = _TAIL.search(text)
    return (text, "", "") if found is None else (text[: found.start()], found[0], text[found.end() :])


def _public_tail(mark: str, tail: str) -> str:
    if not mark:
        return ""
    if mark in {"#", "%23"}:
        return f"{mark}..."
    query, hash_, _ = tail.partition("#")
    return mark + re.sub(r"[^&;]+", lambda part: _mask_pair(part[0]), query) + ("#..." if hash_ else "")


_TAIL: Final = re.compile(r"[?#]|%3[Ff]|%23")
_PASSWORD: Final = re.compile(r":(?!\d*$)")
"""A colon behind which no port stands."""


def _has_password(text: str) -> bool:
    """Whether a colon begins a password: what is within the brackets of an address does not count."""
    return _PASSWORD.search(text.rpartition("]")[2]) is not None


def _mask_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}=..." if equals else "..."


_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,31}://[^\s'\"<>]+")
"""The length of a scheme is bounded, so that long words are not read again from each of their letters."""
_WORD: Final = re.compile(r"[^\s'\"<>]+")
_QUERY: Final = re.compile(r"(\?|%3[Ff])[^()\[\],]+")
_LAST_OF_VALUE: Final = re.compile(r"[=\w](?=[^=\w]*+\Z)")
_LEAST_SECRET_CHARACTERS: Final = 6
"""Shorter values are masked only within their URL: elsewhere they are more likely a word of the message."""


def without_secrets(text: str, url: str, hidden: Sequence[str] = ()) -> str:
    """Return the text of another library's error without what is secret in a URL.

    Parameters
    ----------
    text
        The text.
    url
        The URL as the user gave it. It, its quoted and unquoted variants and every other URL in the text are replaced by their
        public names; what was secret in it is masked where it stands alone.
    hidden
        Other secrets: see :func:`secret_texts`.
    """
    raw = {url, unquote(url), *(quote(url, safe=s, errors="replace") for s in _QUOTED_EXCEPT)}
    # The longest first, so that none is cut into pieces by one that is part of it.
    for variant in sorted(raw, key=len, reverse=True):
        if "://" in url:
            text = text.replace(variant, public_url(url))
    text = _URL.sub(lambda found: public_url(found[0]), text)
    text = _WORD.sub(_mask_query, text)
    parts = [*_secret_parts(url), *hidden]
    secrets = {s for part in parts for s in _spell_variants(part)}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LEAST_SECRET_CHARACTERS:
            text = text.replace(secret, "...")
    return text


def _mask_query(word: re.Match[str]) -> str:
    """Mask the queries of a word; a question mark behind which nothing but other signs stands begins none."""
    last = _LAST_OF_VALUE.search(word[0]) if "?" in word[0] or "%3" in word[0] else None
    if last is None:
        return word[0]
    return _QUERY.sub(lambda found: public_reference(found[0]) if found.end(1) <= last.start() else found[0], word[0])


_PLAIN_OPTIONS: Final = frozenset({
    "endpoint", "endpoint_url", "region", "region_name", "protocol", "target_protocol", "remote_protocol", "cache_storage", "mode",
})  # fmt: skip
"""Storage options whose values are no secrets, and of use in messages."""
_SCHEMES: Final = frozenset({"basic", "bearer", "digest", "token"})
_MOST_LEVELS: Final = 6


def secret_texts(value: Any, level: int = 0) -> list[str]:
    """Return the texts in storage options: which of them are secrets only the storage knows, so that all but a few count as such.

    Of a URL among them the secret parts are returned, of an Authorization header also what follows the name of the scheme.
    """
    found: list[str] = []
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        if "://" in value:
            return list(_secret_parts(value))
        return [value.strip(), *(word for word in value.split() if word.lower() not in _SCHEMES)]
    if level > _MOST_LEVELS:
        return found
    if isinstance(value, Mapping):
        for name, inner in value.items():
            plain = name in _PLAIN_OPTIONS and not (isinstance(inner, str) and "://" in inner)
            found += [] if plain else secret_texts(inner, level + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            found += secret_texts(inner, level + 1)
    elif isinstance(getattr(value, "storage_options", None), Mapping):  # a file system on which another stands
        found += secret_texts(value.storage_options, level + 1)
    return found


def _spell_variants(part: str) -> set[str]:
    return {part, unquote(part), *(quote(part, safe=safe, errors="replace") for safe in ("", "/"))}


_QUOTED_EXCEPT: Final = ("", "/:?&=#@+,;%", "/:?&=@+,;", "/:?&=#@", "/:", "/:?&=")
"""What libraries leave as it is when they quote a URL."""


def _secret_parts(url: str) -> Iterator[str]:
    """User information, query and its values, and fragment of each link, and what stands behind a ``::`` in them."""
    open_query = False
    for link in url.split("::"):
        whole = link.partition("://")[2]
        if open_query and not whole:
            yield link
            continue
        user, rest = _split_user(whole or link)
        if user:
            yield user
            yield from re.split(r"[:?#]|%3[Ff]|%23", user)[1:]
        path, _, tail = _cut_query(rest)
        user = path.rpartition("@")[0]
        if whole and user and public_url(link).find(user + "@") < 0:  # "user:pass/word@host"
            yield user
            yield from user.split(":")[1:]
        open_query = bool(tail)
        if tail:
            yield tail
            for pair in re.split(r"[&;#]", tail):
                yield pair.partition("=")[2] or pair
