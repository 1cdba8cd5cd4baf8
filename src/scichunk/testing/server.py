"""A web server on the loopback interface that serves ranges, counts requests, waits and fails on demand."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

__all__ = ["RangeServer", "Reply", "Request"]

_DRIP_SECONDS = 0.02
_ENDLESS_BYTES = 1 << 30


@dataclass(slots=True)
class Request:
    """One answered request."""

    method: str
    path: str
    start: int | None
    stop: int | None
    status: int
    began: float
    sent: int = 0
    """Bytes of the body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the client sent, with names in small letters."""


@dataclass(slots=True)
class Reply:
    """What the server is going to send; faults and :attr:`RangeServer.alter` change it."""

    status: int
    headers: dict[str, str]
    """Without Content-Length, which is added unless there is one here or the body is sent in chunks."""
    body: bytes
    raw: bytes | None = None
    """Sent instead of everything else, if need be a byte at a time; the connection is closed after it."""
    keep: int | None = None
    """How many bytes of the body are sent before the connection is closed; None for all, and it stays open."""
    how: Literal["", "chunked", "endless", "drip", "stall", "drop"] = ""
    """As a whole, in chunks without a length, in chunks without an end, a byte at a time, or not at all."""


@dataclass
class RangeServer:
    """Serve files from memory on 127.0.0.1, in a thread that ends with the ``with`` block or the process.

    Parameters
    ----------
    files
        Content by name; replaced content has another ETag and date at once.
    latency
        Seconds that every request waits, all at the same time.
    ignore_ranges
        Answer 200 with the whole file.
    validators
        What names the version of a file: a "strong" or "weak" ETag, a "date" (Last-Modified), or "none".
    fault
        What goes wrong with every request, in the words of :meth:`fail`; empty for nothing.
    retry_after
        Sent as Retry-After with failing statuses.
    alter
        Called with each request and the reply to it, which it may change.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    latency: float = 0.0
    ignore_ranges: bool = False
    log: list[Request] = field(default_factory=list)
    max_concurrent: int = 0
    validators: Literal["strong", "weak", "date", "none"] = "strong"
    fault: str = ""
    retry_after: str = ""
    alter: Callable[[Request, Reply], None] | None = None
    _tags: dict[str, tuple[bytes, str, str]] = field(default_factory=dict, repr=False)
    """ETag and date of each file, with the content that they are of: large files are not digested at every request."""

    def __enter__(self) -> Self:
        self._faults: list[str] = []
        self._now = 0
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve_requests, args=(started,), daemon=True)
        self._thread.start()
        if not started.wait(10):
            msg = "the test server did not start"
            raise RuntimeError(msg)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def requests(self) -> int:
        """How many requests were answered."""
        return len(self.log)

    @property
    def bytes_sent(self) -> int:
        """Bytes of all bodies."""
        return sum(r.sent for r in self.log)

    def url(self, name: str) -> str:
        """URL of a file."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def reset(self) -> None:
        """Forget the requests so far."""
        self.log.clear()
        self.max_concurrent = 0

    def fail(self, *kinds: str) -> None:
        """Let the next requests fail.

        Parameters
        ----------
        *kinds
            One for each request: a status such as ``"503"``; ``"drop"`` (no answer), ``"short"`` (half a body), ``"stall"`` (nothing,
            and the connection stays), ``"drip"`` (a byte each 20 ms), ``"wrong-range"`` (bytes from further on, and a header that
            says so), ``"gzip"`` (Content-Encoding), ``"no-length"`` (in chunks), ``"endless"`` (chunks without an end), or
            ``""`` (nothing goes wrong).
        """
        self._faults.extend(kinds)

    def _serve_requests(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run_server(started))
        self._loop.close()

    async def _run_server(self, started: threading.Event) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        server = await asyncio.start_server(self._serve_client, "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines[1:] if ": " in line)}
                if not await self._answer_request(lines[0].split(" "), headers, writer):
                    break
        if task is not None:
            self._tasks.discard(task)
        writer.close()

    async def _answer_request(self, line: list[str], headers: Mapping[str, str], writer: asyncio.StreamWriter) -> bool:
        """Answer one request; returns whether the connection stays open."""
        began = time.monotonic()
        self._now += 1
        self.max_concurrent = max(self.max_concurrent, self._now)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self._now -= 1
        method, path = line[0], line[1].lstrip("/").partition("?")[0]
        reply, start, stop = self._look_up(path, headers)
        request = Request(method, path, start, stop, reply.status, began, headers=headers)
        self._spoil_reply(reply, request, self._faults.pop(0) if self._faults else self.fault)
        if self.alter is not None:
            self.alter(request, reply)
        request.status, request.sent = reply.status, 0 if method == "HEAD" else len(reply.body)
        self.log.append(request)
        if method == "HEAD" and reply.how != "drop":
            reply.how, reply.keep = "", None
        return await self._send_reply(reply, writer, with_body=method != "HEAD")

    async def _send_reply(self, reply: Reply, writer: asyncio.StreamWriter, *, with_body: bool) -> bool:
        """Send an answer, spoilt where a fault is to happen; say whether the connection stays open."""
        if reply.how == "drop":
            return False
        if reply.how == "stall":
            await self._stop.wait()
        if reply.raw is not None:
            await _send_bytes(writer, reply.raw, slowly=reply.how == "drip")
            return False
        chunked = reply.how in {"chunked", "endless"}
        length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(reply.body))}
        head = [f"HTTP/1.1 {reply.status} x", *(f"{n}: {v}" for n, v in (length | reply.headers).items())]
        writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
        body = reply.body[: reply.keep] if with_body else b""
        if chunked:
            await _send_chunks(writer, body, endless=reply.how == "endless")
        else:
            await _send_bytes(writer, body, slowly=reply.how == "drip")
        await writer.drain()
        return reply.keep is None

    def _spoil_reply(self, reply: Reply, request: Request, fault: str) -> None:
        """Let one thing go wrong."""
        if fault.isdigit():
            reply.status, reply.body = int(fault), b""
            if self.retry_after:
                reply.headers["Retry-After"] = self.retry_after
        elif fault == "short":
            reply.keep = len(reply.body) // 2
        elif fault == "gzip":
            reply.body, reply.headers["Content-Encoding"] = gzip.compress(reply.body, 1), "gzip"
        elif fault == "wrong-range" and reply.status == 206:
            data, start, stop = self.files[request.path], request.start or 0, request.stop or 0
            first = start + 64 if stop + 64 <= len(data) else start - 64
            reply.body = data[first : first + stop - start]
            reply.headers["Content-Range"] = f"bytes {first}-{first + len(reply.body) - 1}/{len(data)}"
        elif fault == "no-length":
            reply.how = "chunked"
        elif fault in {"drop", "stall", "drip", "endless"}:
            reply.how = fault  # type: ignore[assignment]  # one of these

    def _look_up(self, path: str, headers: Mapping[str, str]) -> tuple[Reply, int | None, int | None]:
        """Find what a request asks for: the answer's head, and which bytes go with it."""
        data = self.files.get(path)
        if data is None:
            return Reply(404, {}, b""), None, None
        reply = Reply(200, {"Accept-Ranges": "bytes"}, data)
        etag = self._add_validator(path, data, reply)
        if etag and headers.get("if-match", etag) != etag:
            reply.status, reply.body = 412, b""
            return reply, None, None
        asked = headers.get("range", "")
        if not asked.startswith("bytes=") or self.ignore_ranges:
            return reply, None, None
        first, _, last = asked[6:].partition("-")
        start = int(first)
        stop = min(int(last) + 1 if last else len(data), len(data))
        if start >= len(data):
            reply.status, reply.body = 416, b""
            reply.headers["Content-Range"] = f"bytes */{len(data)}"
            return reply, start, stop
        reply.status, reply.body = 206, data[start:stop]
        reply.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return reply, start, stop

    def _add_validator(self, path: str, data: bytes, reply: Reply) -> str:
        """Add what names the version; returns the ETag with which a condition is compared."""
        known, etag, date = self._tags.get(path, (None, "", ""))
        if known is not data:
            etag = '"' + hashlib.blake2b(data, digest_size=6).hexdigest() + '"'
            date = email.utils.formatdate(int(etag[1:8], 16), usegmt=True)
            self._tags[path] = data, etag, date
        if self.validators == "date":
            reply.headers["Last-Modified"] = date
        elif self.validators != "none":
            etag = etag if self.validators == "strong" else f"W/{etag}"
            reply.headers["ETag"] = etag
            return etag if self.validators == "strong" else ""
        return ""


async def _send_bytes(writer: asyncio.StreamWriter, data: bytes, *, slowly: bool) -> None:
    for start in range(0, len(data), 1) if slowly else ():
        writer.write(data[start : start + 1])
        await writer.drain()
        await asyncio.sleep(_DRIP_SECONDS)
    if not slowly:
        writer.write(data)
        await writer.drain()


async def _send_chunks(writer: asyncio.StreamWriter, body: bytes, *, endless: bool) -> None:
    step, sent = 1 << 14, 0
    while sent < len(body) or (endless and sent < _ENDLESS_BYTES):
        piece = body[sent : sent + step] or bytes(step)
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        sent += len(piece)
    writer.write(b"0\r\n\r\n")
