"""HTTP and HTTPS: one GET opens a file, every answer is checked to be the range that was asked for, of the version that was opened.

fsspec's own ``cat_ranges`` shows neither status nor headers, so the requests go through its aiohttp session directly.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from fsspec.implementations.http import HTTPFileSystem
from yarl import URL

from scichunk.errors import MissingFile, SourceError
from scichunk.sources.base import Head, without_secrets
from scichunk.sources.remote import RemoteSource, changed_error, keep_over_fork
from scichunk.sources.retrying import TryAgain, seconds_to_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import ClientResponse

    from scichunk.options import Options

__all__ = ["HttpSource"]

_TRANSIENT: Final = {408, 425, 429, 500, 502, 503, 504}
_MOST_CHARACTERS: Final = 80
_CONTENT_RANGE: Final = re.compile(r"\s*bytes\s+(\d+)-(\d+)/(\d+|\*)\s*", re.IGNORECASE)
_REDIRECTS: Final = {301, 302, 303, 307, 308}
_MOST_REDIRECTS: Final = 10
_OWN_HEADERS: Final = {"range", "accept-encoding", "if-match"}
_NO_RANGES: Final = (
    "the server does not serve ranges and the file is large, or of a length that is not said: download it, or use a caching URL "
    "(simplecache::https://...)"
)


@dataclass(frozen=True, slots=True)
class _Answer:
    """Bytes from a position of the file, and what the headers say of the file."""

    data: bytes
    start: int
    size: int
    tag: str
    etag: str


class HttpSource(RemoteSource):
    """A file on a web server.

    Parameters
    ----------
    url
        ``http://`` or ``https://``.
    storage_options
        What :class:`fsspec.implementations.http.HTTPFileSystem` takes: ``headers``, ``client_kwargs``, ...
    known
        The head, if another process has fetched it.
    same_host
        Refuse redirects that lead away from the host of the URL.

    Raises
    ------
    MissingFile, SourceError
        If the server does not give the file.
    """

    def __init__(
        self, url: str, storage_options: Mapping[str, Any], known: Head | None = None, *, same_host: bool = False
    ) -> None:
        super().__init__(url, storage_options)
        self._same_host = same_host
        self._options = dict(storage_options)
        self._fs: Any = None
        self._etag = ""
        self._whole = b""
        """All of the file, where the server has given that instead of a range."""
        self._turn = asyncio.Lock()
        self._is_open = False
        self.open_now(known)
        self._is_open = True

    async def connect(self) -> None:
        """Take fsspec's file system of these options, whose session all files of this process share."""
        self._fs = HTTPFileSystem(**self._options)
        self._turn = asyncio.Lock()
        keep_over_fork(self._fs)

    async def fetch_head(self, limits: Options) -> Head:
        """Send one GET, which brings length and version too."""
        found = await self._get_range(0, limits.head_bytes, limits)
        self.take_version(found.etag)
        return Head(found.data, found.size, found.tag)

    def take_version(self, tag: str) -> None:
        """Take the ETag into the condition of requests; dates are none."""
        # a weak one never matches (RFC 9110, section 13.1.1), one without quotes is none, and others than ASCII do not come back alike
        self._etag = tag if tag.startswith('"') and tag.isascii() else ""

    async def fetch_range(self, start: int, stop: int, limits: Options) -> bytes:
        """Send one GET with a condition."""
        found = await self._get_range(start, stop, limits)
        if len(found.data) == found.size:
            self.keep(found.data)
        return found.data[start - found.start : stop - found.start]

    async def _get_range(self, start: int, stop: int, limits: Options) -> _Answer:
        """Send one GET with a Range header (RFC 9110, section 14)."""
        arguments = dict(self._fs.kwargs)
        given = dict(arguments.pop("headers", None) or {})
        headers = {name: value for name, value in given.items() if str(name).lower() not in _OWN_HEADERS}
        # Ranges count the bytes of the encoded form if there is one, so none is asked for.
        headers |= {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        if self._etag:
            headers["If-Match"] = self._etag
        if "timeout" not in self._fs.client_kwargs:
            # options.timeout rules; aiohttp would end longer ones after 300 s of its own
            arguments.setdefault("timeout", aiohttp.ClientTimeout(total=None))
        async with self._send_get(headers, arguments) as answer:
            self._refuse_status(answer)
            etag = answer.headers.get("ETag", "")
            tag = etag or answer.headers.get("Last-Modified", "")
            if answer.status == 200:
                data = await self._read_whole(answer, tag, limits)
                return _Answer(data, 0, len(data), tag, etag)
            first, last, size = self._parse_content_range(answer)
            if self._is_open and not self.accepts(size, tag):
                raise changed_error()
            # An empty file has no range that could be given; any other file that was asked from byte 0 has.
            if answer.status == 416:
                if self._is_open or size:
                    msg = f"the server refuses to give bytes {start} to {stop} of {size}"
                    raise SourceError(msg)
                return _Answer(b"", 0, 0, tag, etag)
            # Caches and proxies may give other ranges than were asked for; the client has to look (RFC 9110, section 15.3.7).
            if (first, last) != (start, min(stop, size)):
                msg = f"bytes {first} to {last} of {size} came instead of {start} to {stop}"
                raise TryAgain(msg)
            data = await _read_body(answer, last - first)
            # Where no length of the body is said, a connection that is cut looks like its end.
            if len(data) != last - first:
                msg = f"{len(data)} bytes came instead of {last - first}"
                raise TryAgain(msg)
            return _Answer(data, first, size, tag, etag)

    @contextlib.asynccontextmanager
    async def _send_get(self, headers: dict[str, str], arguments: dict[str, Any]) -> AsyncIterator[ClientResponse]:
        """Send one GET, and where redirects must stay on the host, one for each of them."""
        session = await self._fs.set_session()
        keep_over_fork(session)
        url = self._fs.encode_url(self._secret_url)
        if not self._same_host:
            async with session.get(url, headers=headers, **arguments) as answer:
                yield answer
            return
        for _ in range(_MOST_REDIRECTS):
            async with session.get(url, headers=headers, **arguments | {"allow_redirects": False}) as answer:
                if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                    yield answer
                    return
                url = _follow_redirect(url, answer.headers["Location"])
        msg = f"more than {_MOST_REDIRECTS} redirects"
        raise SourceError(msg)

    def _refuse_status(self, answer: ClientResponse) -> None:
        """Raise what the status means, or an answer in a form that was not asked for."""
        status, headers = answer.status, answer.headers
        if status in {404, 410}:
            msg = f"no such file: HTTP status {status}"
            raise MissingFile(msg)
        # If-Match failed (RFC 9110, section 13.1.1).
        if status == 412:
            raise changed_error()
        if status in _TRANSIENT:
            msg = f"HTTP status {status}"
            raise TryAgain(msg, seconds_to_wait(headers.get("Retry-After", "")))
        if status not in {200, 206, 416}:
            msg = f"HTTP status {status} {self._hide_secrets(answer.reason or '')}".rstrip()
            raise SourceError(msg)
        encoding = headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"", "identity"} and status != 416:
            encoded = self._hide_secrets(encoding)
            msg = f"the server sends the file encoded ({encoded}) although it was asked not to: ranges of it are of no use"
            raise SourceError(msg)
        if headers.get("Content-Type", "").lower().startswith("multipart/byteranges"):
            msg = "the server sends several ranges (multipart/byteranges) although one was asked for"
            raise SourceError(msg)

    def _parse_content_range(self, answer: ClientResponse) -> tuple[int, int, int]:
        """Parse start, stop and length of the file by the Content-Range header (RFC 9110, section 14.4)."""
        told = answer.headers.getall("Content-Range", [""])
        if len(set(told)) > 1:
            both = self._hide_secrets(" and ".join(told))
            msg = f"the server contradicts itself as to which bytes it sends (Content-Range: {both})"
            raise SourceError(msg)
        text = told[0]
        if answer.status == 416:
            total = text.rpartition("/")[2].strip()
            return 0, 0, int(total) if total.isascii() and total.isdigit() else self._size_if_open()
        found = _CONTENT_RANGE.fullmatch(text)
        if found is None:
            msg = f"the server does not say which bytes it sends (Content-Range: {self._hide_secrets(text)!r})"
            raise SourceError(msg)
        if found[3] == "*":
            msg = "the server does not say how long the file is"
            raise SourceError(msg)
        return int(found[1]), int(found[2]) + 1, int(found[3])

    def _hide_secrets(self, text: str) -> str:
        """Take the secrets out of what a server says, which may be what it was asked."""
        return without_secrets(text, self._secret_url, self._hidden)[:_MOST_CHARACTERS]

    def _size_if_open(self) -> int:
        return self.fingerprint.size if self._is_open else 0

    async def _read_whole(self, answer: ClientResponse, tag: str, limits: Options) -> bytes:
        """Read the whole file, where the server does not serve ranges and the file is small."""
        length = answer.headers.get("Content-Length", "").strip()
        size = int(length) if length.isascii() and length.isdigit() else None
        if self._is_open and not self.accepts(size, tag):
            raise changed_error()
        if size is not None and size > limits.max_header_bytes:
            raise SourceError(_NO_RANGES)
        # One after another: of the many ranges of a batch each would bring the whole file at the same time.
        async with self._turn:
            if self._whole and self.accepts(len(self._whole), tag):
                return self._whole
            try:
                data = await _read_body(answer, limits.max_header_bytes if size is None else size)
            except TryAgain:
                if size is not None:
                    raise
                raise SourceError(_NO_RANGES) from None
            if self._is_open and not self.accepts(len(data), tag):
                raise changed_error()
            if self._is_open:
                self._whole = data
                self.keep(data)
            return data


def _follow_redirect(url: URL, target: str) -> URL:
    """Return where a redirect leads that must not leave the host."""
    found = url.join(URL(target))
    # From http to https of one host is no way out.
    upgraded = (url.scheme, url.port, found.scheme, found.port) == ("http", 80, "https", 443)
    if found.host != url.host or not (upgraded or (found.scheme, found.port) == (url.scheme, url.port)):
        msg = "the server leads to another host, which what a document refers to must not; options.follow_hrefs=True follows it"
        raise SourceError(msg)
    return found.with_user(url.user).with_password(url.password) if url.user else found


async def _read_body(answer: ClientResponse, most: int) -> bytes:
    """Read a body, but not further than it may go."""
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            msg = f"more than {most} bytes came"
            raise TryAgain(msg)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
