"""Texts, headers and runs that are far longer than any in sound files: what takes quadratic time does not end with them."""

from __future__ import annotations

import random
import re

from tests.fuzz.mutate.fits import BLOCK, CARD
from tests.fuzz.mutate.octets import put
from tests.fuzz.mutate.tiff import Layout
from tests.fuzz.mutate.votable import MARKUP

_SIZES = (3000, 20_000, 60_000)
_WORDS = ("1", " ", "a", "-", "(", "1.", "1x", "m ", "&#49;", "[", ",", "?", "<!--a-->", "<!--", "<?a?>", "http://a?b=", "::", "\n", "0x", "%3F")  # fmt: skip
_PLACES = re.compile(rb'(?<=")[^"<]*(?=")|(?<=>)[^<]*(?=<)')


def mutate(kind: str, data: bytes, rng: random.Random) -> bytes:
    """Make something of a file very long."""
    change = {"votable": _text, "geotiff": _tag, "fits": _cards}.get(kind, _run)
    return change(data, rng)


def _repeated(word: bytes, rng: random.Random) -> bytes:
    return word * max(1, rng.choice(_SIZES) // max(1, len(word)))


def _run(data, rng):
    at, size = rng.randrange(max(1, len(data))), rng.choice((1, 2, 4, 8, 12, 24))
    return data[:at] + _repeated(data[at : at + size], rng) + data[at:]


def _text(data, rng):
    """The value of an attribute, a cell or what stands between two elements, or before the first."""
    places = [found.span() for found in _PLACES.finditer(data[:20_000])]
    if not places or rng.random() < 0.2:
        places = [(0, 0)]
    start, stop = rng.choice(places)
    word = rng.choice((*_WORDS, *_WORDS, *MARKUP)).encode("latin-1")
    return data[:start] + _repeated(word, rng) + rng.choice((b"", b"!", data[start:stop])) + data[stop:]


def _tag(data, rng):
    """An entry with a text, which stands behind the file."""
    layout = Layout(data)
    entries = [entry for _, entries, _ in layout.directories for entry in entries]
    if not entries:
        return _run(data, rng)
    texts = [entry for entry in entries if entry.kind == 2]
    entry = rng.choice(texts if texts and rng.random() < 0.8 else entries)
    text = _repeated(rng.choice(_WORDS).encode(), rng) + b"!\0"
    if rng.random() < 0.5 and entry.kind == 2:  # within what was there, such as an item of XML
        old = data[entry.first : entry.first + entry.count]
        at = rng.randrange(max(1, len(old)))
        text = old[:at] + text[:-2] + old[at:]
    copy = bytearray(data)
    count = len(text) // max(1, entry.size)
    put(copy, entry.at + 4, layout.wide, count, layout.order)
    put(copy, entry.at + 4 + layout.wide, layout.wide, len(data), layout.order)
    return bytes(copy) + text


def _cards(data, rng):
    """A card again and again: blocks of them, so that what follows stays in its place."""
    at = CARD * rng.randrange(max(1, min(len(data), 10 * BLOCK) // CARD))
    card = data[at : at + CARD].ljust(CARD)
    if rng.random() < 0.3:
        card = rng.choice((b"CONTINUE  'aaa&'", b"COMMENT", b"HISTORY a", b"HIERARCH a b = 1", b"")).ljust(CARD)
    return data[: at + CARD] + card * (BLOCK // CARD * max(1, rng.choice(_SIZES) // BLOCK)) + data[at + CARD :]
