"""Files that are compressed as a whole: decompressed once per process, into memory or a temporary file."""

from __future__ import annotations

import bz2
import contextlib
import io
import lzma
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from scichunk import options
from scichunk.errors import FormatError, LimitExceeded, PerformanceWarning, ScichunkError, UnsupportedFeature, located
from scichunk.sources.base import ByteSource, Fingerprint, leading_bytes
from scichunk.sources.memory import BytesSource
from scichunk.sources.spill import Spill
from scichunk.warned import warn_caller

__all__ = ["WholeFileSource", "expand_source", "find_compression", "first_bytes", "head_of_content"]

_MAGIC: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"\x1f\x9d": "compress",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
}
_ALL_MAGIC: Final = tuple(_MAGIC)
_MAGIC_BYTES: Final = max(map(len, _MAGIC))
_HEAD_BYTES: Final = 4096
"""Of a compressed file, to see what is in it."""
_STEP_BYTES: Final = 1 << 20
_IN_MEMORY_BYTES: Final = 1 << 26
_WARNING_BYTES: Final = 1 << 24


def find_compression(head: bytes | memoryview) -> str | None:
    """Say how a file that begins with these bytes is compressed as a whole, if it is."""
    start = bytes(head[:_MAGIC_BYTES])
    if not start.startswith(_ALL_MAGIC):  # nearly always
        return None
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)


def first_bytes(head: bytes | memoryview, size: int) -> bytes:
    """First bytes of what is in a compressed file, as far as its head says; empty if they cannot be had."""
    kind, data = find_compression(head), bytes(head)
    try:
        if kind == "gzip":
            return zlib.decompressobj(31).decompress(data, size)
        if kind == "bzip2":
            return bz2.BZ2Decompressor().decompress(data, size)
        if kind == "xz":
            return lzma.LZMADecompressor(memlimit=1 << 27).decompress(data, size)
    except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError):
        return b""
    return b"" if kind else data[:size]


def head_of_content(source: ByteSource) -> bytes:
    """First bytes of what is in a compressed file, of any kind; empty if it is not compressed.

    More of the file is read than its head where that is not enough: a block of bzip2, all of a zip archive.

    Raises
    ------
    FormatError, UnsupportedFeature
        If the data are corrupt, or cannot be decompressed.
    """
    head = leading_bytes(source, max(len(source.head()), _HEAD_BYTES))
    kind = find_compression(head)
    if kind is None:
        return b""
    found = first_bytes(head, _STEP_BYTES)
    with located(url=source.url):
        return found or next(_iterate_pieces(kind, source), b"")


def expand_source(source: ByteSource, *, warn: bool = True) -> ByteSource:
    """Return a source of what is in a compressed file; the source itself if it is not compressed.

    Parameters
    ----------
    source
        The file.
    warn
        Whether to say of a large file that this takes long.

    Raises
    ------
    FormatError
        If the data are corrupt or end too early.
    LimitExceeded
        If there is more in it than ``options.max_expanded_bytes``.
    UnsupportedFeature
        If a package is missing that decompresses it.

    Warns
    -----
    PerformanceWarning
        If the file is large: every process decompresses all of it.
    """
    kind = find_compression(leading_bytes(source, 8))
    if kind is None:
        return source
    size = source.fingerprint.size
    if warn and size > _WARNING_BYTES:
        msg = (
            f"{source.url} is compressed as a whole ({kind}): every process must decompress all of it "
            "before the first value. Store it tile-compressed (fpack) or plain."
        )
        warn_caller(msg, PerformanceWarning)
    return WholeFileSource(source, lambda: _iterate_pieces(kind, source))


def _iterate_pieces(kind: str, source: ByteSource) -> Iterator[bytes]:
    """Yield what is in the file, in pieces of bounded size."""
    if kind == "gzip":
        return _iterate_members(kind, source, lambda: zlib.decompressobj(31))
    if kind == "bzip2":
        return _iterate_members(kind, source, bz2.BZ2Decompressor)
    if kind == "xz":
        # The header of xz says how large its dictionary is: up to 4 GB without this limit.
        return _iterate_members(kind, source, lambda: lzma.LZMADecompressor(memlimit=1 << 30))
    whole = bytes(source.read_ranges([0], [source.fingerprint.size])[0])
    if kind == "zip":
        return _expand_zip(whole)
    return _expand_zstd(whole) if kind == "zstd" else _expand_lzw(whole)


def _iterate_members(kind: str, source: ByteSource, start: Callable[[], Any]) -> Iterator[bytes]:
    """Decompress streams one after another; zeros or other bytes after the last are ignored."""
    size, at, data, stream, done = source.fingerprint.size, 0, b"", start(), 0
    begun, first = False, b""
    try:
        while True:
            if not data and not _holds_input(stream):
                if at >= size:
                    break
                data = bytes(source.read_ranges([at], [min(size, at + _STEP_BYTES)])[0])
                at += len(data)
            first += data[: _MAGIC_BYTES - len(first)]
            piece, data = _decompress_step(stream, data)
            if piece:
                begun = True
                yield piece
            # gzip, bzip2 and xz files may consist of several streams, whose contents follow each other (RFC 1952, section 2.2, for gzip).
            if stream.eof:
                done, begun, first = done + 1, False, b""
                data = (stream.unused_data or data).lstrip(b"\0")
                stream = start()
    except ScichunkError:  # the file cannot be read, which says nothing of the data
        raise
    except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError) as error:
        if begun or not done or find_compression(first) == kind:
            msg = f"compressed data ({kind}) are corrupt: {error}"
            raise FormatError(msg) from error
        return
    # What has the mark of a stream is one, of which so little may be there that nothing has come out of it.
    if begun or not done or find_compression(first) == kind:
        msg = f"compressed data ({kind}) end too early"
        raise FormatError(msg)


def _holds_input(stream: Any) -> bool:
    """Whether a stream of bz2 or lzma holds input that it has not used."""
    return not getattr(stream, "needs_input", True)


def _decompress_step(stream: Any, data: bytes) -> tuple[bytes, bytes]:
    """Decompress at most a step; returns it and what input is left."""
    # Never more than a step at once: a bomb of 10 MB holds 10 GB of zeros.
    piece: bytes = stream.decompress(data, _STEP_BYTES)
    return piece, getattr(stream, "unconsumed_tail", b"")


def _expand_zip(whole: bytes) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            names = [i for i in archive.infolist() if not i.is_dir()]
            if len(names) != 1:
                msg = f"a zip archive of {len(names)} files; name one as zip://FILE::URL"
                raise UnsupportedFeature(msg)
            with archive.open(names[0]) as file:
                while piece := file.read(_STEP_BYTES):
                    yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, ScichunkError):
            raise
        msg = f"the zip archive is corrupt or not readable: {error}"
        raise FormatError(msg) from error


def _expand_zstd(whole: bytes) -> Iterator[bytes]:
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.BufferReader(whole), "zstd") as file:
            while piece := file.read(_STEP_BYTES):
                yield piece
    except (OSError, pa.ArrowException) as error:
        msg = f"zstd data are corrupt: {error}"
        raise FormatError(msg) from error


def _expand_lzw(whole: bytes) -> Iterator[bytes]:
    try:
        import uncompresspy
    except ImportError:
        msg = "files of Unix compress (.Z) need a package: pip install uncompresspy"
        raise UnsupportedFeature(msg) from None
    try:
        with uncompresspy.LZWFile(io.BytesIO(whole)) as file:
            while piece := file.read(_STEP_BYTES):
                yield piece
    except (ValueError, EOFError, OSError) as error:
        msg = f"LZW data are corrupt: {error}"
        raise FormatError(msg) from error


class WholeFileSource:
    """What is in a file, made by going through all of it; made again if it is read after it was closed.

    Parameters
    ----------
    source
        The file.
    pieces
        Gives the content in pieces.

    Raises
    ------
    FormatError, LimitExceeded
        If the content cannot be made, or is beyond ``options.max_expanded_bytes``.
    """

    def __init__(self, source: ByteSource, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._source, self._pieces = source, pieces
        self.url, self.key = source.url, source.key
        self._lock = threading.Lock()
        self._content: ByteSource | None = None
        self.fingerprint = Fingerprint(self.content.fingerprint.size, source.fingerprint.tag)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, {self.fingerprint.size} bytes)"

    @property
    def is_cheap(self) -> bool:
        """The content lies in memory or on a disk of this machine."""
        return True

    @property
    def batch_bytes(self) -> int:
        """Ask for as much as suits the place where the content lies."""
        return self.content.batch_bytes

    @property
    def cached_bytes(self) -> int:
        """The content, if it lies in memory."""
        return int(getattr(self._content, "cached_bytes", 0))

    @property
    def content(self) -> ByteSource:
        """The content, in memory or in a temporary file."""
        with self._lock:
            if self._content is None:
                with located(url=self.url):
                    self._content = _keep_pieces(self._pieces(), self.url, self._source.fingerprint.tag)
            return self._content

    def head(self) -> memoryview:
        """Return the first bytes of the content."""
        return self.content.head()

    def read_ranges(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Read ranges of the content."""
        return self.content.read_ranges(starts, stops)

    async def read_ranges_async(self, starts: Sequence[int], stops: Sequence[int]) -> list[memoryview]:
        """Asynchronous twin of :meth:`read_ranges`."""
        return await self.content.read_ranges_async(starts, stops)

    def close(self) -> None:
        """Give the content up, and close the file."""
        with self._lock:
            self._content = None
        self._source.close()


def _keep_pieces(pieces: Iterator[bytes], url: str, tag: str) -> ByteSource:
    """Keep pieces in memory while they are few, else in a temporary file."""
    limit, kept, size = options.get().max_expanded_bytes, bytearray(), 0
    with contextlib.ExitStack() as stack:
        spill: Spill | None = None
        for piece in pieces:
            size += len(piece)
            if size > limit:
                kept.clear()
                msg = f"more than {limit} bytes when decompressed (options.max_expanded_bytes)"
                raise LimitExceeded(msg)
            if spill is None and size > _IN_MEMORY_BYTES:
                spill = Spill(url)
                stack.callback(spill.close)
                spill.write(kept)
                kept.clear()
            if spill is None:
                kept += piece
            else:
                spill.write(piece)
        return BytesSource(bytes(kept), url, tag or "expanded") if spill is None else spill.finish(tag)
