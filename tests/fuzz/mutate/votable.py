"""Damage to VOTables: attributes, markup, cells, and what streams hold once their base64 is decoded (VOTable 1.5)."""

from __future__ import annotations

import base64
import binascii
import random
import re

from tests.fuzz.mutate.octets import damage, edge, put
from tests.fuzz.mutate.octets import mutate as mutate_octets

VALUES = ("", "0", "1", "-1", "2", "7", "*", "2x*", "3x2", "3x*", "*x*", "3x*x2", "1x", "x", "1 ", "0x*", "100", "100x*", "1000000",
          "2147483647", "2147483648", "4294967296x4294967296", "9223372036854775807", "99999999999999999999", "1" * 5000, "nan",
          "1e400", "int", "double", "char", "unicodeChar", "bit", "boolean", "unsignedByte", "short", "long", "float",
          "floatComplex", "doubleComplex", "string", "base64", "gzip", "dynamic", "none", "../../etc/passwd", "file:///etc/passwd",
          "http://127.0.0.1:9/x", "x.bin", "&amp;", "&#0;", "&#x110000;", "&bogus;", "\xe9", "a" * 3000, "T", "1 2 3", "NaN", "+Inf",
          "0x1F", "1,2", "2000-01-01", "timestamp", "v1", "1.5", "http://www.ivoa.net/xml/VOTable/v1.3")  # fmt: skip
NAMES = ("arraysize", "datatype", "nrows", "ref", "ID", "href", "encoding", "null", "xmlns", "xtype", "width", "precision", "name",
         "value", "unit", "ucd", "utype", "version", "extnum", "type", "rights", "xmlns:x")  # fmt: skip
MARKUP = ("<!-- x -->", "<!-- <TR><TD>1</TD></TR> -->", "<![CDATA[ <TD> ]]>", "<?pi x?>", "&amp;", "&bogus;", "&#0;", "&#65;",
          '<!DOCTYPE a [<!ENTITY x "y">]>', "&x;", "<a><b><c>", "</a>", "\0", "\xff\xfe", "<TR/>", "<TD/>", '<TD null="1">',
          '<TD encoding="base64">AAAA</TD>', '<x:TD xmlns:x="u">', "]]>", '<MIN value="1"/>', '<VALUES null="5"/>', "<GROUP>" * 50,
          '<INFO name="a" value="b">', '<STREAM encoding="base64">', '<STREAM href="x.bin"/>', "<BINARY2>", "</BINARY>",
          '<FITS extnum="9">', "<TABLEDATA>", "</TABLEDATA>", "<TR>", "</TR>", "<TD>", "</TD>", "<DATA>", "</TABLE>", "<RESOURCE>",
          '<FIELD name="z" datatype="int"/>', '<PARAM name="p" datatype="int" value="1"/>', "\r", "\t", "  ")  # fmt: skip
_ATTRIBUTE = re.compile(
    rb'(?<![\w:.-])([\w:.-]++)\s*=\s*"([^"]*)"'
)  # base64 is not tried again from each of its letters
_TAG = re.compile(rb"<[^>]*>")
_TEXT = re.compile(rb">([^<]+)<")
_STREAM = re.compile(rb"<(?:\w+:)?STREAM\b[^>]*>([^<]*)<")
_MOST = 1 << 20


def _octets(text: str) -> bytes:
    return text.encode("latin-1")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change something of the document; what is none is damaged without its structure."""
    copy = bytearray(data)
    change = rng.choices((_attribute, _tag, _cell, _stream), (5, 4, 3, 4))[0]
    done = b"<" in data[:300] and change(copy, data, rng)
    return bytes(copy[:_MOST]) if done else mutate_octets(data, rng)


def _attribute(copy, data, rng):
    """The value of an attribute, or which attributes an element has."""
    found = list(_ATTRIBUTE.finditer(data[:20_000]))
    if not found:
        return False
    one = rng.choice(found)
    kind = rng.randrange(7)
    if kind < 5:
        value = _octets(rng.choice(VALUES))
        if one[2].isdigit() and len(one[2]) < 18 and rng.random() < 0.5:
            old = int(one[2])
            value = str(rng.choice((old + 1, old - 1, old * 2, old * 1000, old // 2))).encode()
        copy[one.start(2) : one.end(2)] = value
    elif kind == 5:
        del copy[one.start() : one.end()]
    else:
        copy[one.start() : one.start()] = _octets(f'{rng.choice(NAMES)}="{rng.choice(VALUES)}" ')
    return True


def _tag(copy, data, rng):
    """Tags that are missing, there twice, of another name, or have something before them."""
    found = list(_TAG.finditer(data[:60_000]))
    if not found:
        return False
    one, kind = rng.choice(found), rng.randrange(7)
    if kind == 0:
        del copy[one.start() : one.end()]
    elif kind == 1:
        copy[one.start() : one.start()] = one[0]
    elif kind == 2:
        copy[one.start() : one.start()] = rng.choice(found)[0]
    elif kind < 5:
        copy[one.start() : one.start()] = _octets(rng.choice(MARKUP))
    elif kind == 5:
        name = re.search(rb"\w+", one[0])
        if name:
            copy[one.start() + name.start() : one.start() + name.end()] = rng.choice(
                (name[0].lower(), b"x:" + name[0], b"TD", b"TR")
            )
    else:
        copy[one.end() - 1 : one.end()] = _octets(rng.choice(("/>", " >", "", ">>", "\n>")))
    return True


def _cell(copy, data, rng):
    """Text between tags."""
    found = list(_TEXT.finditer(data[:60_000]))
    if not found:
        return False
    one = rng.choice(found)
    text = bytearray(one[1])
    kind = rng.randrange(6)
    if kind == 0:
        new = _octets(rng.choice(VALUES))
    elif kind == 1:
        new = text[: len(text) // 2]
    elif kind == 2:
        new = text + text[:7]
    elif kind == 3:
        new = b"\n" + text + b"="
    elif kind == 4:
        new = text.replace(b"\n", b"")
    else:
        damage(text, rng)
        new = text
    copy[one.start(1) : one.end(1)] = new
    return True


def _stream(copy, data, rng):
    """Bytes of a stream: flags of nulls, lengths, and everything behind a length that is another."""
    found = list(_STREAM.finditer(data))
    if not found:
        return False
    one = rng.choice(found)
    try:
        raw = bytearray(base64.b64decode(one[1]))
    except (ValueError, binascii.Error):
        return False
    if not raw:
        return False
    reach = min(len(raw), rng.choice((40, 400, len(raw))))
    kind = rng.randrange(4)
    if raw.endswith(b"PAR1") and rng.random() < 0.6:
        kind = -1
    if kind < 0:
        _parquet_footer(raw, rng)
    elif kind == 0:
        at = rng.randrange(reach)
        put(raw, at, 4, edge(rng, 32, int.from_bytes(raw[at : at + 4], "big"), len(raw)), "big")
    elif kind == 1:
        damage(raw, rng, 0, reach)
    elif kind == 2:
        del raw[rng.randrange(reach) :]
    else:
        raw = bytearray(mutate_octets(bytes(raw), rng))
    text = base64.b64encode(raw)
    width = rng.choice((0, 64, 76, 60, 5))
    copy[one.start(1) : one.end(1)] = (
        b"\n".join(text[i : i + width] for i in range(0, len(text), width)) if width else text
    )
    return True


def _parquet_footer(raw, rng):
    """Bytes of the structure at the end of Parquet data, which says what everything else is; its length stays true."""
    start = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    if not 4 <= start < len(raw) - 8:
        return
    at, kind = rng.randrange(start, len(raw) - 8), rng.randrange(5)
    if kind == 0:
        raw[at] ^= rng.randrange(1, 256)
    elif kind == 1:
        raw[at] = (raw[at] + rng.choice((-2, -1, 1, 2))) & 255  # another count, kind or number of a field
    elif kind == 2:
        del raw[at]
    elif kind == 3:
        raw.insert(at, rng.choice((0, 1, 0x15, 0x16, 0x19, 0x1C, 0x7F, 0x80, 0xFF)))
    else:
        damage(raw, rng, start, len(raw) - 8)
    raw[-8:-4] = (len(raw) - 8 - start).to_bytes(4, "little")
