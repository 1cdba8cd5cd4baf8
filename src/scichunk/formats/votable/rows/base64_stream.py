"""The bytes of BINARY and BINARY2 bodies: as they are, or in base64, by ranges (VOTable 1.5, section 5.3)."""

from __future__ import annotations

import bisect
import html
import re
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.buffers import borrow_buffer
from scichunk.codecs import ways
from scichunk.core.cache import cached_bytes
from scichunk.errors import FormatError, LimitExceeded
from scichunk.formats.votable.document.markup import is_near, read_bytes
from scichunk.sources import ByteSource
from scichunk.sources.memory import BytesSource

__all__ = ["Base64Stream", "ByteStream", "RawStream"]

Bytes = npt.NDArray[np.uint8]
_BLOCK_BYTES: Final = 1 << 18
_ODD: Final = re.compile(rb"[<&]")
_MARKUP: Final = re.compile(rb"<!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|<!\[CDATA\[(?P<text>.*?)(?:\]\]>|\Z)", re.DOTALL)
"""What has no end takes all of the rest: to look for an end from each beginning on would take quadratic time."""


def _base64() -> ModuleType:
    return ways.choose("text.base64")


def _count_bytes(letters: int, pads: int) -> int:
    """Bytes of so many letters with the padding among them, which holds none, also where it is more than the last group lacks."""
    return (letters - pads) * 3 // 4


class ByteStream(Protocol):
    """Decoded bytes by ranges, safe in threads; what is returned is valid until this thread's next read."""

    size: int
    """Decoded bytes."""
    stored: int
    """Encoded bytes."""
    near: bool
    batch_bytes: int

    def trust(self) -> None:
        """Rely on the length of the stream."""
        ...

    def prove(self, stop: int) -> None:
        """Make sure of the length as far as some byte; it may turn out to be less."""
        ...

    def read(self, start: int, stop: int) -> Bytes:
        """Return decoded bytes; both ends lie within the size."""
        ...


class RawStream:
    """A source as it is."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self.size = self.stored = source.fingerprint.size
        self.near, self.batch_bytes = is_near(source), source.batch_bytes

    @property
    def cached_bytes(self) -> int:
        """Memory of the source."""
        return cached_bytes(self._source)

    def trust(self) -> None:
        """Do nothing: there is no length to rely on."""

    def prove(self, stop: int) -> None:
        """Do nothing: the length of the source is known."""

    def read(self, start: int, stop: int) -> Bytes:
        """Read a range."""
        return read_bytes(self._source, start, stop)


class Base64Stream:
    """Base64 text between two places of a file.

    Lines of equal length are addressed by arithmetic; of files of this machine what lies before is looked at once, so that a
    line that breaks the rule is noticed. Others get an index of letters by blocks.

    Parameters
    ----------
    source, start, stop
        Where it is.
    find_stop
        Called when there is markup in the text: looks where it really ends.

    Raises
    ------
    FormatError
        If the text cannot be base64.
    """

    def __init__(self, source: ByteSource, start: int, stop: int, find_stop: Callable[[], int] | None = None) -> None:
        self._source, self.start, self.stop, self._find_stop = source, start, stop, find_stop
        self.stored = stop - start
        self.near, self.batch_bytes = is_near(source), source.batch_bytes
        self._lock = threading.RLock()
        self._letters: list[int] = []
        """Letters before each block, if lines are not equal."""
        self.size, self._is_clean = 0, False
        # Markup within base64 is rare; looking at both ends finds it where writers put it, and the proof of lines finds the rest.
        ends = (start, min(stop, start + 4096)), (max(start, stop - 4096), stop)
        if any(_ODD.search(read_bytes(source, *end).tobytes()) for end in ends):
            self._clean_text()
        self._measure_lines()

    @property
    def cached_bytes(self) -> int:
        """Memory of the index of letters, and of text without markup."""
        return 40 * len(self._letters) + (cached_bytes(self._source) if self._is_clean else 0)

    def _clean_text(self) -> None:
        """Take comments, CDATA sections and references out of the text, in memory."""
        size, limit = self.stop - self.start, options.get().max_chunk_bytes
        if size > limit:
            msg = f"base64 text of {size} bytes with markup in it (options.max_chunk_bytes)"
            raise LimitExceeded(msg, url=self._source.url)
        where = f"bytes {self.start} to {self.stop}"
        text = read_bytes(self._source, self.start, self.stop).tobytes()
        plain = _MARKUP.sub(lambda found: found["text"] or b"", text)
        if b"&" in plain:
            try:
                plain = html.unescape(plain.decode("latin-1")).encode("latin-1", "replace")
            except ValueError:  # Python refuses numbers of thousands of digits
                msg = "an impossible reference within base64 text"
                raise FormatError(msg, url=self._source.url, part=where) from None
        if b"<" in plain:
            msg = "markup within base64 text"
            raise FormatError(msg, url=self._source.url, part=where)
        self._source = BytesSource(
            plain.replace(b"&", b"!"), self._source.url
        )  # "!" is no letter: an error where it is read
        self.start, self.stop, self.near, self._is_clean = 0, len(plain), True, True

    def _measure_lines(self) -> None:
        """Find the length of lines and of the gaps between them, and the size that follows; count letters where lines differ."""
        head = read_bytes(self._source, self.start, min(self.stop, self.start + (1 << 16))).tobytes()
        # Writers break base64 into lines of one length. If that holds, any byte is found by arithmetic, without reading what lies before.
        body = head.lstrip()
        self._first = self.start + len(head) - len(body)
        self._proved = self._first
        line = re.match(rb"[^\s<&]+", body)
        self._line = len(line[0]) if line else 0
        gap = re.match(rb"\s*", body[self._line :])
        self._gap = len(gap[0]) if gap else 0
        if self._line == len(body):
            self._line, self._gap = self.stop - self._first, 0  # one line, as far as can be seen
        tail = read_bytes(self._source, max(self._first, self.stop - 4096), self.stop).tobytes()
        text = tail.rstrip()
        self._end = self.stop - len(tail) + len(text)
        pads = text[len(text.rstrip(b"= \t\n\r\v\f")) :].count(b"=")
        length = self._end - self._first
        if not self._line and length > 0:
            self._give_up()
            return
        period = self._line + self._gap
        # Four letters are three bytes; whole lines, and what is left of the last.
        letters = self._line * (length // period) + min(length % period, self._line) if length else 0
        tail_line = (
            self._first + min(-(-max(0, length - len(text)) // period), length // period) * period if length else 0
        )
        if length and (
            length % period > self._line or self._breaks_from(tail_line) or self._breaks_from(self._first, 1 << 16)
        ):
            self._give_up()
            return
        self.size = _count_bytes(letters, pads)

    def trust(self) -> None:
        """Take lines for equal without looking at all: the document says how many rows there are, and that fits to the byte.

        What is read is still checked: a break of the rule before it shows as white space where none belongs.
        """
        if not self._letters:
            self._proved = self._end

    def read(self, start: int, stop: int) -> Bytes:
        """Decode a range.

        Raises
        ------
        FormatError
            If there is no base64, or not enough.
        """
        if stop <= start:
            return np.empty(0, np.uint8)
        # Whole groups of four letters, of which the first bytes may not be wanted.
        first, last = start // 3 * 4, -(-stop // 3) * 4
        out = borrow_buffer("base64", stop - start // 3 * 3)
        if not self._letters:
            self._prove_lines(last)
        self._check_letters(stop)
        if not self._letters:
            at = self._offset_of(first)
            data = read_bytes(self._source, at, min(self._offset_of(last - 1) + 1, self._end))
            end, count = _base64().decode_base64(data, self._line, self._gap, first % self._line, out)
            # A line of another length, behind what had been proved: count all letters, and begin again.
            if count < out.size and self._index_from(at + end):
                self._check_letters(stop)
                return self.read(start, stop)
        else:
            at, data = self._read_block(first, last)
            end, count = _base64().decode_base64(data, 0, 0, 0, out)
        if count < out.size:
            found = data[end : end + 8].tobytes()
            msg = f"not base64, {found!r}" if found else "base64 text ends too early"
            raise FormatError(msg, url=self._source.url, part=f"byte {at + end}")
        return out[start % 3 :]

    def prove(self, stop: int) -> None:
        """Look through the lines up to a byte, once."""
        if not self._letters:
            self._prove_lines(-(-min(stop, self.size) // 3) * 4)

    def _offset_of(self, letter: int) -> int:
        return self._first + letter // self._line * (self._line + self._gap) + letter % self._line

    def _check_letters(self, stop: int) -> None:
        if stop > self.size:
            msg = (
                "the table ends earlier and others follow, which was not known when the file was opened; open it again"
            )
            raise FormatError(msg, url=self._source.url, part=f"byte {self.stop}")

    def _breaks_from(self, line: int, size: int = 1 << 30) -> bool:
        """Whether lines are not equal from the start of one on."""
        data = read_bytes(self._source, line, min(line + size, self._end))
        return bool(_base64().find_irregular(data, self._line, self._gap) >= 0)

    def _prove_lines(self, letters: int) -> None:
        """Make sure that lines are equal up to a letter."""
        if not self.near or self._proved >= self._end:
            return
        offset = min(self._offset_of(letters), self._end)
        period = self._line + self._gap
        step = max(1, _BLOCK_BYTES // period) * period if self._gap else _BLOCK_BYTES
        with self._lock:
            while self._proved < offset and not self._letters:
                stop = min(self._proved + step, self._end)
                if _base64().find_irregular(read_bytes(self._source, self._proved, stop), self._line, self._gap) >= 0:
                    self._index_blocks()
                    return
                self._proved = stop

    def _index_from(self, offset: int) -> bool:
        """Whether white space was met where none was expected, or the other way round; then letters are counted."""
        around = read_bytes(self._source, offset, min(offset + self._line + self._gap + 8, self._end)).tobytes()
        if not re.search(rb"[\s<&]", around) and not self._gap:
            return False
        with self._lock:
            if not self._letters:
                before = (self.size, self.stop)
                self._index_blocks()
                return bool(self._letters) or before != (self.size, self.stop)
        return True

    def _give_up(self) -> None:
        with self._lock:
            self._index_blocks()

    def _index_blocks(self) -> None:
        """Count the letters of all blocks."""
        counts, pads, odd = [0], 0, False
        for at in range(self._first, self._end, _BLOCK_BYTES):
            letters, padding, strange = _base64().count_letters(
                read_bytes(self._source, at, min(at + _BLOCK_BYTES, self._end))
            )
            counts.append(counts[-1] + letters)
            pads += padding
            odd |= strange
        if odd:
            stop = self._find_stop() if self._find_stop else self.stop
            if stop < self.stop:
                self.stop, self.stored = stop, stop - self.start
            else:
                self._clean_text()
            self._letters = []
            self._measure_lines()
            return
        total = counts[-1]
        self.size = _count_bytes(total, pads)
        self._letters = counts

    def _read_block(self, first: int, last: int) -> tuple[int, Bytes]:
        """The text from a letter on, as far as a later one lies."""
        i = max(0, bisect.bisect_right(self._letters, first) - 1)
        j = min(len(self._letters) - 1, bisect.bisect_left(self._letters, last))
        at = self._first + i * _BLOCK_BYTES
        data = read_bytes(self._source, at, min(self._first + j * _BLOCK_BYTES, self._end))
        skipped = _base64().skip_letters(data, first - self._letters[i])
        return at + skipped, data[skipped:]
