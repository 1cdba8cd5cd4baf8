"""A VOTable document: its elements and the places of its bodies, found with one look at its head and one at its tail."""

from __future__ import annotations

import codecs
import re
import threading
from collections.abc import Iterator
from typing import Final

from scichunk import options
from scichunk.codecs.text.xml_tree import Element, parse_document
from scichunk.errors import FormatError, LimitExceeded, located
from scichunk.formats.votable.document.cached import CachedSource
from scichunk.formats.votable.document.markup import Body, declared_encoding, find_end, is_near, next_body, read_bytes
from scichunk.formats.votable.document.metadata import Attributes
from scichunk.formats.votable.document.status import Status
from scichunk.formats.votable.document.structure import Table, find_tables
from scichunk.sources import ByteSource
from scichunk.sources.base import leading_bytes, public_reference
from scichunk.sources.whole_file import WholeFileSource

__all__ = ["Document", "open_document"]

_TAIL_BYTES: Final = 1 << 16
_NEAR_BYTES: Final = 1 << 22
_STEP_BYTES: Final = 1 << 20
_PARSED_WEIGHT: Final = 40
"""Memory for each byte of the text around the rows, measured with fields of 40 bytes."""

_STREAM: Final = re.compile(r"""<(?:[\w.-]+:)?STREAM\b(?:[^<>"']|"[^"<]*"|'[^'<]*')*""")
_HREF: Final = re.compile(r"""(\bhref\s*=\s*)("[^"<]*"|'[^'<]*')""")

Pieces = list[tuple[int, int]]


def open_document(source: ByteSource) -> Document:
    """Read the structure of a document.

    Raises
    ------
    FormatError
        If it is not well-formed, no VOTable, or declares entities.
    UnsupportedFeature
        If its encoding or a datatype is not known.
    LimitExceeded
        If it is beyond :mod:`scichunk.options`.
    """
    encoding, plain = declared_encoding(leading_bytes(source, 1024))
    if not plain:
        original, known = source, encoding
        # The byte scanner knows ASCII markup only, so other encodings are rewritten once, as a whole.
        source, encoding = WholeFileSource(original, lambda: _transcode(original, known)), "utf-8"
    return Document(source if is_near(source) else CachedSource(source), encoding)


def _transcode(source: ByteSource, encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    size = source.fingerprint.size
    try:
        for at in range(0, size, _STEP_BYTES):
            end = min(size, at + _STEP_BYTES)
            yield decoder.decode(bytes(source.read_ranges([at], [end])[0]), final=end == size).encode()
    except UnicodeError as error:
        msg = f"bytes that are no {encoding}: {error}"
        raise FormatError(msg, url=source.url) from None


def _mask_secret(found: re.Match[str]) -> str:
    quote = found[2][0]
    return f"{found[1]}{quote}{public_reference(found[2][1:-1])}{quote}"


class Document:
    """Elements, tables and bodies; complete or, for large files, as far as head and tail show.

    Parameters
    ----------
    source
        Its bytes, ASCII compatible.
    encoding
        Of them.
    """

    def __init__(self, source: ByteSource, encoding: str) -> None:
        self.source, self.encoding = source, encoding
        self.lock = threading.RLock()
        self.complete = False
        self.truncated = ""
        """What is wrong, if the document ends within a table."""
        self.bodies: list[Body] = []
        self.root: Element
        self.tables: list[Table]
        self.attributes: Attributes
        """Of the document and its tables."""
        self.status: Status
        """What the service that made the document says of its answer."""
        self._pieces: Pieces = []
        self._tail = b""
        self._kept: list[tuple[int, str]] = []
        self._header: str | None = None
        with located(url=source.url):
            self._open_document()

    @property
    def cached_bytes(self) -> int:
        """Memory of elements and fields, from the length of their text."""
        return _PARSED_WEIGHT * sum(stop - start for start, stop in self._pieces) + len(self._tail)

    def cache_whole(self) -> None:
        """Keep a small document that is far away in memory: its columns will be asked for one by one."""
        if isinstance(self.source, CachedSource):
            self.source.cache_whole()

    def find_all(self) -> None:
        """Look through the whole document for all tables; what was found before stays valid."""
        with self.lock:
            if not self.complete:
                self._scan_bodies(self.bodies)
                self._parse_header()

    def header_text(self) -> str:
        """Return the document without the bodies of its tables, and without what may be secret of where they lie."""
        with self.lock:
            if self._header is None:  # one text for all tables, in each of whose attributes it stands
                text = "".join(text for _, text in self._texts_between())
                self._header = _STREAM.sub(lambda tag: _HREF.sub(_mask_secret, tag[0]), text)
            return self._header

    def _open_document(self) -> None:
        source, size = self.source, self.source.fingerprint.size
        body, inside = next_body(source, 0, size)
        if body is not None and not body.exact:
            small = _NEAR_BYTES if is_near(source) else options.get().scan_bytes
            # A large document: its head and tail tell all if it has one table. What that misses is found once anybody counts rows.
            if size - inside > small and self._guess_end(body):
                try:
                    self._parse_header()
                except FormatError:
                    self._pieces, self.bodies = [], []
                else:
                    return
        self._scan_bodies([])
        self._parse_header()

    def _guess_end(self, body: Body) -> bool:
        """Take the last end tag of the tail for that of the first body, unless the tail speaks against it."""
        size = self.source.fingerprint.size
        start = max(body.start, size - _TAIL_BYTES)
        tail = bytes(read_bytes(self.source, start, size))
        end = tail.rfind(b"</" + body.prefix + body.name.encode())
        # Another body in the tail, or a comment behind the end tag: then the end tag may be that of another table, or none.
        opening = tail.rfind(b"<" + body.prefix + b"TABLEDATA"), tail.rfind(b"<" + body.prefix + b"STREAM")
        if end < 0 or max(opening) >= 0 or tail.find(b"<!", end) >= 0:
            return False
        body.stop, self._tail = start + end, tail[end:]
        self.bodies = [body]
        self._pieces = [(0, body.start), (body.stop, size)]
        return True

    def _scan_bodies(self, known: list[Body]) -> None:
        """Find all bodies; those that are known keep their identity."""
        source, size = self.source, self.source.fingerprint.size
        pieces: Pieces = []
        bodies: list[Body] = []
        at = total = 0
        while True:
            body, inside = next_body(source, at, size)
            pieces.append((at, inside))
            total += inside - at
            self._check_sizes(total, len(bodies))
            if body is None:
                break
            if not body.exact:
                end = find_end(source, body, size)
                body.exact, body.cut = True, end < 0
                body.stop = size if body.cut else end
                if body.cut:
                    self.truncated = f"the {body.name} element that begins at byte {body.start} has no end: the document is truncated"
            if len(bodies) < len(known):
                # Readers of this body are in use already: they keep the object, and learn where it ends.
                old = known[len(bodies)]
                old.stop, old.exact, old.cut = body.stop, True, body.cut
                body = old
            bodies.append(body)
            at = body.stop
            if body.cut:
                break
        self._pieces, self.bodies, self.complete, self._tail = pieces, bodies, True, b""

    def _check_sizes(self, header: int, bodies: int) -> None:
        limits = options.get()
        if header > limits.max_header_bytes:
            msg = f"more than {limits.max_header_bytes} bytes around the data (options.max_header_bytes)"
            raise LimitExceeded(msg)
        if bodies > limits.max_elements:
            msg = f"more than {limits.max_elements} tables (options.max_elements)"
            raise LimitExceeded(msg)

    def _texts_between(self) -> list[tuple[int, str]]:
        if self._kept:
            return self._kept
        texts = []
        for start, stop in self._pieces:
            known = self._tail if start and not self.complete else b""
            data = known or bytes(read_bytes(self.source, start, stop))
            try:
                text = data.decode(self.encoding)
            except UnicodeDecodeError as error:
                msg = f"bytes that are no {self.encoding} at byte {start + error.start}"
                raise FormatError(msg) from None
            texts.append((start, text.lstrip("\ufeff \t\r\n") if not start else text))
        if sum(len(text) for _, text in texts) < _NEAR_BYTES:
            self._kept = texts
        return texts

    def _parse_header(self) -> None:
        self._kept, self._header = [], None
        self.root = parse_document(self._texts_between(), self.source.url, root="VOTABLE", cut=bool(self.truncated))
        self.tables, self.attributes = find_tables(self.root), Attributes(self.root, self.source.url)
        self.status = Status(self.tables, self.root, self.source.url)
        count = sum(t.body is not None for t in self.tables)
        if count != len(self.bodies):
            msg = f"{len(self.bodies)} bodies of tables for {count} tables"
            raise FormatError(msg)
