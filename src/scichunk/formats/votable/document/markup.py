"""Where the bodies of tables lie in an XML document, found in its bytes; the rest is small and goes to a real XML parser."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs import ways
from scichunk.codecs.text.states import COMMENT
from scichunk.errors import LimitExceeded, UnsupportedFeature
from scichunk.sources import ByteSource

__all__ = [
    "SLACK_BYTES",
    "Body",
    "Span",
    "blanked",
    "declared_encoding",
    "find_bytes",
    "find_end",
    "find_oddities",
    "is_near",
    "next_body",
    "read_bytes",
    "without_oddities",
]

SLACK_BYTES: Final = 32
"""Bytes behind a block that are read along, for tags that begin in it."""
_FIRST_BYTES: Final = 1 << 14
"""Of a body: a document may have thousands of small ones, each of which costs what it weighs."""
_BLOCK_BYTES: Final = 1 << 20
_LONG_BYTES: Final = 1 << 23
"""From here on a compiled kernel looks through a body; it is not worth loading for less."""
# A quoted attribute may hold ``>``, and no start tag may hold ``<`` (XML 1.0, section 3.1). What follows <!--, <![CDATA[ or <? is
# skipped, since tags within them are none.
_OPEN: Final = re.compile(
    rb"<!--|<!\[CDATA\[|<\?"
    rb"|<(?P<prefix>(?:[A-Za-z_][\w.-]*:)?)(?P<name>TABLEDATA|STREAM)(?=[\s/>])(?P<attributes>(?:[^<>\"']|\"[^<\"]*\"|'[^<']*')*)>"
)
_INSIDE: Final = re.compile(rb"<!--|<!\[CDATA\[|<\?|</(?P<prefix>(?:[A-Za-z_][\w.-]*:)?)(?:TABLEDATA|STREAM)\s*>")
_COMMENTS: Final = re.compile(rb"(?:\s*+" + COMMENT + rb")++")
"""Comments with nothing between them, which are passed together: there may be hundreds of thousands."""
_NO_CHARSETS: Final = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "utf-7"})
"""What Python decodes beside the character sets of documents. These can hide markup, or take quadratic time."""
_CLOSERS: Final = {b"<!--": b"-->", b"<![CDATA[": b"]]>", b"<?": b"?>"}

Span = tuple[int, int]
"""First byte, and the byte behind the last."""


@dataclass(slots=True)
class Body:
    """The content of a TABLEDATA or STREAM element."""

    prefix: bytes
    """Of the namespace, with its colon."""
    name: str
    """TABLEDATA or STREAM."""
    start: int
    stop: int
    """Where its end tag begins."""
    exact: bool
    """False: nobody has looked between ``start`` and ``stop``, the table may end earlier and others follow."""
    cut: bool = False
    """It has no end: the document is truncated."""


def is_near(source: ByteSource) -> bool:
    """Whether looking through all bytes costs little beside decoding them."""
    return source.is_cheap


def read_bytes(source: ByteSource, start: int, stop: int) -> npt.NDArray[np.uint8]:
    """Bytes of a file, valid until this thread's next read; never writable, since kernels are compiled for one kind of array."""
    found = np.frombuffer(source.read_ranges([start], [stop])[0], np.uint8)
    found.flags.writeable = False
    return found


def declared_encoding(head: bytes) -> tuple[str, bool]:
    """Name of a document's encoding (XML 1.0, appendix F), and whether it is read as it is: utf-8 or iso8859-1.

    Raises
    ------
    UnsupportedFeature
        If Python does not know it, it is no character set, or one in which the declaration would be written otherwise.
    """
    for mark, name in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if head.startswith(mark):
            return name, name == "utf-8"
    for start, name in (
        (b"<\0\0\0", "utf-32-le"),
        (b"\0\0\0<", "utf-32-be"),
        (b"<\0", "utf-16-le"),
        (b"\0<", "utf-16-be"),
    ):
        if head.startswith(start):
            return name, False
    found = re.match(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z][\w.-]*)[\"']", head[:1024])
    if not found:
        return "utf-8", True
    name = found[1].decode("ascii")
    try:
        known = codecs.lookup(name).name
        text = "<?xml".encode(known)
    except (LookupError, UnicodeError, TypeError):
        text, known = b"", ""
    if known.startswith(("utf-16", "utf-32")):  # says so, but its first bytes are ASCII
        return "utf-8", True
    if text.removeprefix(codecs.BOM_UTF8) != b"<?xml" or known in _NO_CHARSETS:
        msg = f"the encoding {name!r} is not supported"
        raise UnsupportedFeature(msg)
    return ("utf-8" if known == "ascii" else known), known in {"utf-8", "ascii", "iso8859-1"}


def next_body(source: ByteSource, start: int, stop: int) -> tuple[Body | None, int]:
    """Find the first start tag of a body from a place on; an empty element has an empty body.

    Returns
    -------
    Body or None, int
        With ``stop`` still at its start; and the place behind the tag, or ``stop`` if there is none.

    Raises
    ------
    LimitExceeded
        If there is none within ``options.max_header_bytes``.
    """
    limit, size = options.get().max_header_bytes, 1 << 16
    at, text = start, b""
    base = start
    while True:
        end = min(stop, base + len(text) + size)
        text += bytes(read_bytes(source, base + len(text), end))
        found, resume = _find_first_tag(text, at - base)
        if found is not None:
            inside = base + found.end()
            empty = found["attributes"].endswith(b"/")
            return Body(found["prefix"], found["name"].decode(), inside, inside if empty else -1, empty), inside
        if end == stop:
            return None, stop
        if end - start > limit:
            msg = f"no table within {limit} bytes (options.max_header_bytes)"
            raise LimitExceeded(msg, url=source.url)
        at = base + resume
        # Each round searches only what is new, in pieces that double, so that a long header takes few reads and no quadratic time.
        size = min(size * 2, 1 << 24)


def _find_first_tag(text: bytes, at: int) -> tuple[re.Match[bytes] | None, int]:
    """First start tag of a body in a text, comments and the like skipped; and where to go on with more text."""
    while True:
        found = _OPEN.search(text, at)
        if found is None:
            # a tag may be cut at the end
            cut = text.rfind(b"<", at)
            return None, cut if cut >= 0 else len(text)
        if found["name"] is not None:
            return found, found.end()
        closer = _CLOSERS[found[0]]
        end = text.find(closer, found.end())
        if end < 0:
            return None, found.start()
        at = end + len(closer)


def find_end(source: ByteSource, body: Body, stop: int) -> int:
    """Look for the end tag of a body.

    Returns
    -------
    int
        Where the end tag begins; -1 if it is missing.
    """
    odd: list[Span] = []
    at, size = body.start, _FIRST_BYTES
    while at < stop:
        end = min(stop, at + size)
        size = min(2 * size, _BLOCK_BYTES)
        long = at - body.start >= _LONG_BYTES and end + SLACK_BYTES <= stop
        if long and _is_ordinary(read_bytes(source, at, end + SLACK_BYTES), body):
            at = end
            continue
        closed, resume = find_oddities(source, body, (at, end), stop, odd)
        if closed >= 0:
            return closed
        at = max(end, resume)
    return -1


def _is_ordinary(data: npt.NDArray[np.uint8], body: Body) -> bool:
    """Whether there is neither an end tag nor anything unusual in a block; it may say no without reason."""
    if body.name == "STREAM":
        return not (data == ord("<")).any()
    return not ways.choose("text.cells").count_rows(data, np.frombuffer(body.prefix, np.uint8))[1]


def find_oddities(source: ByteSource, body: Body, block: Span, stop: int, odd: list[Span]) -> tuple[int, int]:
    """Look for the end tag of a body in a block, and for what is neither rows nor letters.

    Parameters
    ----------
    block
        Begins outside comments and the like.
    stop
        End of the document, for what begins in the block and ends behind it.
    odd
        Gets comments, CDATA sections and processing instructions.

    Returns
    -------
    closed, resume : int
        Where the end tag begins, -1 if not in the block; and where the last span ends.
    """
    start, end = block
    data = bytes(read_bytes(source, start, min(stop, end + 8 * SLACK_BYTES)))
    ending = b"</" + body.prefix + body.name.encode()
    # Three searches go on side by side, each only where the others have passed it: a body of a million rows has a million "<".
    ended = _find_bytes(data, ending, 0, len(data))
    declared, instructed = (_find_bytes(data, p, 0, ended) for p in (b"<!", b"<?"))
    resume = start
    while True:
        offset = min(declared, instructed, ended)
        if offset >= end - start:
            return -1, resume
        after = offset + 1
        found = _INSIDE.match(data, offset)
        if found is not None:
            if found.lastgroup is not None:
                return start + offset, resume
            closer = _CLOSERS[found[0]]
            here = data.find(closer, found.end())
            finish = start + here if here >= 0 else find_bytes(source, closer, start + found.end(), stop)
            resume = finish + len(closer) if finish >= 0 else stop
            more = _COMMENTS.match(data, resume - start)
            resume = start + more.end() if more is not None else resume
            odd.append((start + offset, resume))
            after = resume - start
        if ended < after:
            ended = _find_bytes(data, ending, after, len(data))
        if declared < after:
            declared = _find_bytes(data, b"<!", after, ended)
        if instructed < after:
            instructed = _find_bytes(data, b"<?", after, ended)


def blanked(data: npt.NDArray[np.uint8], spans: Sequence[Span]) -> npt.NDArray[np.uint8]:
    """Return bytes with blanks in some spans; the same ones if there are none."""
    if not spans:
        return data
    found = data.copy()
    for first, last in spans:
        found[first:last] = 32
    found.flags.writeable = False  # as those of read_bytes
    return found


def without_oddities(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return bytes of a body, that begin outside of comments and the like, with blanks for these."""
    text, spans, at = bytes(data), [], 0
    declared, instructed = text.find(b"<!"), text.find(b"<?")
    while declared >= 0 or instructed >= 0:
        start = min(p for p in (declared, instructed) if p >= 0)
        found = _INSIDE.match(text, start)
        at = start + 1
        if found is not None:
            closer = _CLOSERS[found[0]]
            end = text.find(closer, found.end())
            at = end + len(closer) if end >= 0 else len(text)
            spans.append((start, at))
        declared = text.find(b"<!", at) if 0 <= declared < at else declared
        instructed = text.find(b"<?", at) if 0 <= instructed < at else instructed
    return blanked(data, spans)


def _find_bytes(data: bytes, wanted: bytes, start: int, stop: int) -> int:
    found = data.find(wanted, start, stop)
    return found if found >= 0 else stop


def find_bytes(source: ByteSource, wanted: bytes, start: int, stop: int) -> int:
    """Find bytes; returns -1 if they are not there."""
    at = start
    while at < stop:
        block = bytes(read_bytes(source, at, min(stop, at + _BLOCK_BYTES + len(wanted))))
        found = block.find(wanted)
        if found >= 0:
            return at + found
        at += _BLOCK_BYTES
    return -1
