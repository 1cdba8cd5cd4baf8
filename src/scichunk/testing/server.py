"""A web server on the loopback interface that serves ranges, counts requests, waits and fails on demand."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["RangeServer", "Request"]


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


@dataclass
class RangeServer:
    """Serve files from memory on 127.0.0.1, in a thread that ends with the ``with`` block or the process.

    Parameters
    ----------
    files
        Content by name.
    latency
        Seconds that every request waits, all at the same time.
    ignore_ranges
        Answer 200 with the whole file.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    latency: float = 0.0
    ignore_ranges: bool = False
    log: list[Request] = field(default_factory=list)
    max_concurrent: int = 0
    _tags: dict[str, tuple[bytes, str]] = field(default_factory=dict, repr=False)
    """ETag of each file, with the content that it is of: large files are not digested at every request."""

    def __enter__(self) -> Self:
        self._faults: list[str] = []
        self._now = 0
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
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
        """Let the next requests fail: a status such as ``"503"``, ``"drop"`` (no answer) or ``"short"`` (half a body)."""
        self._faults.extend(kinds)

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._main(started))
        self._loop.close()

    async def _main(self, started: threading.Event) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                if not await self._answer(lines[0].split(" "), headers, writer):
                    break
        if task is not None:
            self._tasks.discard(task)
        writer.close()

    async def _answer(self, line: list[str], headers: Mapping[str, str], writer: asyncio.StreamWriter) -> bool:
        """Answer one request; returns whether the connection stays open."""
        began = time.monotonic()
        self._now += 1
        self.max_concurrent = max(self.max_concurrent, self._now)
        try:
            await asyncio.sleep(self.latency)
        finally:
            self._now -= 1
        method, path = line[0], line[1].lstrip("/").partition("?")[0]
        fault = self._faults.pop(0) if self._faults else ""
        status, body, start, stop, extra = self._look(path, headers)
        if fault.isdigit():
            status, body = int(fault), b""
        record = Request(method, path, start, stop, status, began, 0 if method == "HEAD" else len(body))
        self.log.append(record)
        if fault == "drop":
            return False
        head = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", "Accept-Ranges: bytes", *extra]
        writer.write("\r\n".join([*head, "", ""]).encode("latin-1"))
        if method != "HEAD":
            writer.write(body[: len(body) // 2] if fault == "short" else body)
        await writer.drain()
        return fault != "short"

    def _look(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes, int | None, int | None, list[str]]:
        data = self.files.get(path)
        if data is None:
            return 404, b"", None, None, []
        if self._tags.get(path, (None, ""))[0] is not data:
            self._tags[path] = (data, '"' + hashlib.blake2b(data, digest_size=6).hexdigest() + '"')
        etag = self._tags[path][1]
        extra = [f"ETag: {etag}"]
        if headers.get("if-match", etag) != etag:
            return 412, b"", None, None, extra
        asked = headers.get("range", "")
        if not asked.startswith("bytes=") or self.ignore_ranges:
            return 200, data, None, None, extra
        first, _, last = asked[6:].partition("-")
        start = int(first)
        stop = min(int(last) + 1 if last else len(data), len(data))
        if start >= len(data):
            return 416, b"", start, stop, [*extra, f"Content-Range: bytes */{len(data)}"]
        return 206, data[start:stop], start, stop, [*extra, f"Content-Range: bytes {start}-{stop - 1}/{len(data)}"]
