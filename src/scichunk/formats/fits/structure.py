"""The HDUs of a FITS file: where headers and data lie and what they are (FITS 4.0, sections 3 and 4.4)."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from scichunk import options
from scichunk.core.limits import check_axes
from scichunk.errors import FormatError, LimitExceeded, MetadataWarning, located
from scichunk.formats.fits.cards import CARD_BYTES, Cards
from scichunk.sources import ByteSource
from scichunk.sources.base import leading_bytes
from scichunk.warned import warn_caller

__all__ = ["BLOCK_BYTES", "CARD_MEMORY", "HDU", "LONG_BYTES", "FITSStructure"]

BLOCK_BYTES: Final = 2880
_LONGEST_AXIS: Final = 1 << 48
"""Pixels along an axis of an image: as many would be 256 TiB; but beside an axis of 0 a header can name any number."""
_MOST_PIXELS: Final = 1 << 59
"""Of the axes that are not 0, since NumPy refuses more also where one is: 8 bytes each are within what it counts in."""
_BITPIX: Final = (8, 16, 32, 64, -32, -64)
_AHEAD_HEADERS: Final = 48  # headers that are fetched at once where HDUs look alike
_STEP: Final = 4 * BLOCK_BYTES
_PARSED_WEIGHT: Final = 4
"""Memory of a header for each of its bytes, with the places of its cards, measured."""
LONG_BYTES: Final = 1 << 16
"""Longer headers are long: 819 cards."""
CARD_MEMORY: Final = 512
"""Memory of a card of a long header while its HDU becomes a dataset: text, places, attributes, and copies of them, measured."""


@dataclass(frozen=True)
class HDU:
    """One header and data unit."""

    index: int
    kind: str
    """``image``, ``compressed`` (image), ``groups``, ``table``, ``ascii``, ``foreign``, or ``none`` (no data)."""
    cards: Cards
    start: int
    """First byte of the header."""
    data: int
    """First byte of the data."""
    nbytes: int
    """Bytes of data, without the padding."""

    @property
    def end(self) -> int:
        """First byte of the next HDU."""
        return self.data + -(-self.nbytes // BLOCK_BYTES) * BLOCK_BYTES

    @cached_property
    def name(self) -> str:
        """EXTNAME, upper case as astropy compares it; ``PRIMARY`` for the first HDU without one."""
        return self.cards.get_string("EXTNAME").strip().upper() or ("PRIMARY" if self.index == 0 else "")

    @cached_property
    def version(self) -> int:
        """EXTVER."""
        value = self.cards.get("EXTVER")
        return int(value) if isinstance(value, int | float) and math.isfinite(value) else 1

    @property
    def is_image(self) -> bool:
        """Whether it holds an image."""
        return self.kind in {"image", "compressed", "groups"}

    @property
    def is_table(self) -> bool:
        """Whether it holds a table."""
        return self.kind in {"table", "ascii"}

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image in NumPy's order."""
        prefix = "ZNAXIS" if self.kind == "compressed" else "NAXIS"
        check_axes("an image", self.cards.get_integer(prefix))
        axes = [self.cards.get_integer(f"{prefix}{i}") for i in range(self.cards.get_integer(prefix), 0, -1)]
        if max(axes, default=0) > _LONGEST_AXIS or math.prod(n or 1 for n in axes) > _MOST_PIXELS:
            msg = f"axes {axes[::-1]} are beyond any file"
            raise LimitExceeded(msg)
        if self.kind == "groups":
            return (self.cards.get_integer("GCOUNT", 1), *axes[:-1])
        return tuple(axes)

    @property
    def bitpix(self) -> int:
        """BITPIX of the image.

        Raises
        ------
        FormatError
            If it is no type of FITS.
        """
        name = "ZBITPIX" if self.kind == "compressed" else "BITPIX"
        bitpix = self.cards.get_integer(name)
        if bitpix not in _BITPIX:
            msg = f"{name} is {bitpix}"
            raise FormatError(msg)
        return bitpix


class FITSStructure:
    """HDUs, found one after another as they are asked for."""

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.size = source.fingerprint.size
        self._head: memoryview | None = source.head()
        self._found: list[HDU] = []
        self.cached_bytes = len(self._head)
        """Memory of headers."""
        self._ahead: dict[int, memoryview] = {}
        self._done = False
        self._long = 0  # bytes of long headers
        self._lock = threading.RLock()
        begin = leading_bytes(source, 8)
        if begin[:6] != b"SIMPLE":
            msg = f"not a FITS file: it begins with {begin!r}"
            raise FormatError(msg, url=source.url)
        self._find_next()

    def __getitem__(self, index: int) -> HDU:
        """HDU by number; IndexError if there are not so many."""
        with self._lock:
            while len(self._found) <= index and self._find_next():
                pass
            return self._found[index]

    @property
    def known_hdus(self) -> Sequence[HDU]:
        """HDUs that were found so far."""
        return self._found

    def all_hdus(self) -> list[HDU]:
        """All HDUs; what follows the last well-formed one is ignored, as by other readers."""
        with self._lock:
            while self._find_next():
                pass
            self._head = None
            self._ahead.clear()
            return self._found

    def _find_next(self) -> bool:
        """Find one more HDU."""
        if self._done:
            return False
        index = len(self._found)
        at = self._found[-1].end if index else 0
        if at >= self.size:
            self._done = True
            return False
        if index >= options.get().max_pages:
            msg = f"more than {index} HDUs (options.max_pages)"
            raise LimitExceeded(msg, url=self.source.url)
        try:
            with located(url=self.source.url, part=f"HDU {index}"):
                hdu = self._parse_hdu(index, at)
        except FormatError as error:
            if index == 0:
                raise
            msg = f"what follows HDU {index - 1}, from byte {at}, is no HDU and is left out: {error}"
            warn_caller(msg, MetadataWarning)
            hdu = None
        if hdu is None:
            self._done = True
            return False
        self._found.append(hdu)
        self.cached_bytes += _PARSED_WEIGHT * len(hdu.cards.text)
        return True

    def _parse_hdu(self, index: int, at: int) -> HDU | None:
        """Parse the HDU at a position; None where there is no more."""
        text = self._read_header(index, at)
        if text is None:
            return None
        cards = Cards(text)
        data = at + -(-(len(text) + CARD_BYTES) // BLOCK_BYTES) * BLOCK_BYTES
        naxis = cards.get_integer("NAXIS", 0)
        if not 0 <= naxis <= 999:
            msg = f"NAXIS is {naxis}"
            raise FormatError(msg)
        axes = [cards.get_integer(f"NAXIS{i}") for i in range(1, naxis + 1)]
        bitpix, groups = cards.get_integer("BITPIX", 8), cards.get("GROUPS") is True and axes[:1] == [0]
        pcount, gcount = cards.get_integer("PCOUNT", 0), cards.get_integer("GCOUNT", 1)
        if bitpix not in _BITPIX or min([*axes, pcount, gcount]) < 0:
            msg = f"impossible sizes: BITPIX {bitpix}, axes {axes}, PCOUNT {pcount}, GCOUNT {gcount}"
            raise FormatError(msg)
        # Random groups say NAXIS1 = 0, which is not counted (section 6.1).
        values = math.prod(axes[1:] if groups else axes) if axes else 0
        if max([values, *axes]) > 1 << 62:
            msg = f"axes {axes} are beyond any file"
            raise LimitExceeded(msg)
        # PCOUNT and GCOUNT belong to extensions (section 4.4.1.2) and random groups (section 6.1).
        if index == 0 and not groups:
            pcount, gcount = 0, 1  # of no meaning in a primary array
        nbytes = abs(bitpix) // 8 * gcount * (pcount + values) if axes else 0
        if nbytes > 1 << 62:
            msg = f"{nbytes} bytes of data are beyond any file"
            raise LimitExceeded(msg)
        return HDU(index, _hdu_kind(index, cards, axes, groups=groups), cards, at, data, nbytes)

    def _read_header(self, index: int, at: int) -> bytes | None:
        """Read the text of the header at a position, without END; None where there is no extension (trailing bytes)."""
        buffer = self._read_bytes(at)
        # What follows the last HDU (section 3.5, special records) has no meaning for readers.
        if index and bytes(buffer[:8]) != b"XTENSION":
            return None
        room = self._header_room()
        searched = 0
        text = bytes(buffer)
        while True:
            end = _find_end(text, searched)
            if (len(text) if end < 0 else end) > room:
                limit = options.get().max_header_bytes
                msg = f"long headers, of {CARD_MEMORY} bytes of memory a card, are beyond {limit} bytes (options.max_header_bytes)"
                raise LimitExceeded(msg)
            if end >= 0:
                self._long += end if end > LONG_BYTES else 0
                return text[:end]
            # A card that is only partly there is looked at again.
            searched = len(text) // CARD_BYTES * CARD_BYTES
            if at + len(text) >= self.size:
                msg = "the header has no END card"
                raise FormatError(msg)
            more = min(self.size, at + max(min(2 * len(text), room + BLOCK_BYTES), _STEP))
            text += bytes(self.source.read_ranges([at + len(text)], [more])[0])

    def _header_room(self) -> int:
        """Bytes that one more header may have.

        Long headers of a file are limited together, by the memory that they take: files that are compressed as a whole hold
        millions of cards in a megabyte. Short ones are limited by ``options.max_pages``.
        """
        limit = options.get().max_header_bytes
        return min(limit, max(LONG_BYTES, limit // CARD_MEMORY * CARD_BYTES - self._long))

    def _read_bytes(self, at: int) -> bytes | memoryview:
        """Read some bytes at a position; several headers at once where the last HDUs look alike and a request is dear."""
        if self._head is not None and at + BLOCK_BYTES <= len(self._head):
            return self._head[at:]
        if at in self._ahead:
            return self._ahead.pop(at)
        starts = [at]
        # Files of a hundred exposures have headers of equal length in equal distances; otherwise each would be one trip, after the other.
        if not self.source.is_cheap:
            starts += self._guess_next(at)
        step = _STEP if len(starts) == 1 else max(BLOCK_BYTES, self._found[-1].data - self._found[-1].start)
        parts = self.source.read_ranges(starts, [min(s + step, self.size) for s in starts])
        self._ahead = {s: memoryview(bytes(p)) for s, p in zip(starts, parts, strict=True)}
        return self._ahead.pop(at)

    def _guess_next(self, at: int) -> list[int]:
        """Guess where the next headers are if HDUs repeat with the period of the last 1, 2, 3 or 4."""
        sizes = [h.end - h.start for h in self._found[1:]]
        for period in (1, 2, 3, 4):
            cycle = sizes[-period:]
            if len(sizes) >= 2 * period and cycle == sizes[-2 * period : -period]:
                found, here = [], at
                for i in range(_AHEAD_HEADERS):
                    here += cycle[i % period]
                    if here + BLOCK_BYTES > self.size:
                        break
                    found.append(here)
                return found
        return []


def _find_end(text: bytes, start: int) -> int:
    """Position of the END card."""
    at = text.find(b"END", start)
    while at >= 0:
        if at % CARD_BYTES == 0 and not text[at + 3 : at + 8].strip(b" \0"):  # some writers fill up with NULs
            return at
        at = text.find(b"END", at + 1)
    return -1


def _hdu_kind(index: int, cards: Cards, axes: list[int], *, groups: bool) -> str:
    if index == 0:
        if cards.get("SIMPLE") is not True:
            return "foreign"
        return "groups" if groups and len(axes) > 1 else "image" if axes else "none"
    extension = cards.get_string("XTENSION").strip().upper()
    # A3DTABLE is what BINTABLE was called before it was in the standard.
    if extension in {"BINTABLE", "A3DTABLE"}:
        return "compressed" if cards.get("ZIMAGE") is True else "table"
    if extension == "TABLE":
        return "ascii"
    # IUEIMAGE is what the archive of IUE wrote before there was IMAGE.
    if extension in {"IMAGE", "IUEIMAGE"}:
        return "image" if axes else "none"
    return "foreign"
