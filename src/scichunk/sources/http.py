"""HTTP and HTTPS: one GET opens a file, every later answer is checked to be of the same version.

fsspec's own ``cat_ranges`` shows neither status nor headers, so the requests go through its aiohttp session directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fsspec.implementations.http import HTTPFileSystem

from scichunk import options
from scichunk.errors import MissingFile, SourceError
from scichunk.sources.base import Fingerprint, public_url
from scichunk.sources.remote import RemoteSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientResponse

__all__ = ["HttpSource"]

_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class HttpSource(RemoteSource):
    """A file on a web server.

    Parameters
    ----------
    url
        ``http://`` or ``https://``.
    storage_options
        What :class:`fsspec.implementations.http.HTTPFileSystem` takes: ``headers``, ``client_kwargs``, ...

    Raises
    ------
    MissingFile, SourceError
        If the server does not give the file.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any]) -> None:
        super().__init__(public_url(url))
        self._url = url
        self._fs = HTTPFileSystem(**storage_options)
        self._whole: bytes | None = None
        self._etag = ""
        self.fingerprint = Fingerprint(-1, "")
        first = self._run(self._open())
        self._head = memoryview(first)

    async def _open(self) -> bytes:
        limits, last = options.get(), ""
        for _ in range(limits.retries + 1):
            try:
                return await self.fetch(0, limits.head_bytes)
            except SourceError:
                raise
            except Exception as error:  # noqa: BLE001  # connection errors of any kind; raised again below
                last = f"{type(error).__name__}: {error}"
        msg = f"cannot be opened: {last}"
        raise SourceError(msg, url=self.url, tried=f"{limits.retries + 1} times")

    async def fetch(self, start: int, stop: int) -> bytes:
        """One GET with a Range header (RFC 9110, section 14)."""
        if self._whole is not None:
            return self._whole[start:stop]
        arguments = dict(self._fs.kwargs)
        headers = dict(arguments.pop("headers", None) or {})
        headers["Range"] = f"bytes={start}-{stop - 1}"
        headers["Accept-Encoding"] = "identity"
        if self._etag:
            headers["If-Match"] = self._etag
        session = await self._fs.set_session()
        async with session.get(self._fs.encode_url(self._url), headers=headers, **arguments) as answer:
            size = self._check(answer)
            if answer.status == 416:  # nothing there: an empty file
                return b""
            if answer.status == 206:
                body = await answer.read()
                return body if size is not None else await self._all()
            if size is not None and size > options.get().max_header_bytes:
                msg = "the server does not serve ranges and the file is large: download it, or use a caching URL (filecache::https://...)"
                raise SourceError(msg, url=self.url)
            whole: bytes = await answer.read()
        self._whole = whole
        if self.fingerprint.size != len(whole):
            self.fingerprint = Fingerprint(len(whole), self.fingerprint.tag)
        return whole[start:stop]

    async def _all(self) -> bytes:
        msg = "the server does not say how long the file is"
        raise SourceError(msg, url=self.url)

    def _check(self, answer: ClientResponse) -> int | None:
        """Check status and version; return the size of the whole file, where the server says it."""
        status, headers = answer.status, answer.headers
        if status in {404, 410}:
            msg = f"no such file: HTTP status {status}"
            raise MissingFile(msg, url=self.url)
        if status == 412:
            raise self._changed()
        if status in _TRANSIENT:
            msg = f"HTTP status {status}"
            raise ConnectionError(msg)
        if status not in {200, 206, 416}:
            msg = f"HTTP status {status} {answer.reason or ''}".rstrip()
            raise SourceError(msg, url=self.url)
        total = (
            headers.get("Content-Range", "").rpartition("/")[2] if status != 200 else headers.get("Content-Length", "")
        )
        size = int(total) if total.isdigit() else None
        etag = headers.get("ETag", "")
        tag = etag or headers.get("Last-Modified", "")
        if self.fingerprint.size < 0:
            self.fingerprint = Fingerprint(size or 0, tag)
            self._etag = "" if etag.startswith("W/") else etag
        elif (size is not None and size != self.fingerprint.size) or tag != self.fingerprint.tag:
            raise self._changed()
        return size

    def _changed(self) -> SourceError:
        msg = "the file has changed on the server since it was opened; open it again"
        return SourceError(msg, url=self.url)
