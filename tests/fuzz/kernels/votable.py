"""Kernels of VOTable: base64, cells of rows, numbers and texts, fields of streams; values are compared with Python's own."""

from __future__ import annotations

import base64
import random
import struct

import numpy as np

from tests.fuzz.kernels.guard import WILD, Memory
from tests.fuzz.mutate.octets import mutate

NUMBERS = """1 -1 0 1e5 1.5 nan NaN inf -Inf +Inf 1e400 1e-400 9007199254740993 123456789012345678901234567890 0.1
2.2250738585072011e-308 4.9e-324 1.7976931348623157e308 1.7976931348623159e308 -.5 5. . e5 1e 1e+ --1 9223372036854775807
9223372036854775808 -9223372036854775808 00000000000000000000001 0x1F 1_000 T true F ? FALSE 8.5e-1 6.02214076e23 1e22 1e23
9.999999999999999e22 7.2057594037927933e16 1e99999999999999999999 infinity 1d5""".split()  # noqa: SIM905
MARKUP = (
    b"<TR><TD>1</TD><TD>a &amp; b</TD></TR>\n" * 4,
    b"<TR>\n <TD/>\n <TD>x</TD>\n</TR>\n<!-- c --><TR><TD>2</TD><TD></TD></TR></TABLEDATA></DATA>",
    b"<v:TR><v:TD>1</v:TD><v:TD>zz</v:TD></v:TR>\n" * 3,
    b"<TR ><TD >1</TD ><TD\n/></TR\n><TR><TD>\r\n\xc3\xa9</TD><TD>&#x41;</TD></TR>",
)
TEXTS = (b"a &amp; b &lt;&gt; &quot;&apos; &#65; &#x41; &#x10FFFF; &#55555;", b"x\r\ny\rz", b"&", b"&amp", b"&#0;", b"&#xD800;",
         b"1 2 3, 4", b"0101 1", b"", b"&#x000000041;", b"&bogus;", b"&amp;" * 20)  # fmt: skip


def base64_letters(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs.text import base64 as kernels

    raw, line = rng.randbytes(rng.randrange(400)), rng.choice((0, 64, 76, 4, 60))
    gap = rng.choice((1, 2)) if line else 0
    text = base64.b64encode(raw)
    if line:
        text = (b"\n", b"\r\n")[gap - 1].join(text[i : i + line] for i in range(0, len(text), line))
    sound = rng.random() < 0.2
    data = memory.bytes(text if sound else mutate(text, rng))
    out = memory.empty(len(raw) if sound else rng.choice((len(raw), 0, 1, 3, 100, 1000)))
    if not sound and rng.random() < 0.2:
        line, gap = memory.wild(0, 1, 4, 63), memory.wild(0, 1, 5)
    _, got = kernels.decode_base64(data, line, gap, 0 if sound else memory.wild(0, 0, line, 3), out)
    if sound and bytes(out[:got]) != raw:
        raise AssertionError(f"{text!r} in lines of {line}: {got} of {len(raw)} bytes")
    kernels.count_letters(data)
    kernels.find_irregular(data, memory.wild(line, max(line, 1)), memory.wild(gap, max(gap, 1)))
    kernels.skip_letters(data, memory.wild(rng.randrange(600)))
    return 4


def cells(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs.text import cells as kernels

    text = mutate(rng.choice(MARKUP) * rng.choice((1, 1, 3)), rng)
    prefix = np.frombuffer(rng.choice((b"", b"", b"v:", b"longprefix:")), np.uint8)
    data, columns, most = memory.bytes(text), rng.choice((2, 2, 2, 1, 3)), rng.choice((1, 3, 20))
    slots = np.array([rng.choice((-1, 0, 0)) for _ in range(columns)], np.int64)
    wanted = max(1, int(slots.max()) + 1)
    starts, stops = (memory.empty(wanted * most, "i4").reshape(wanted, most) for _ in range(2))
    seen = memory.empty(wanted)
    seen[:] = 0
    start = rng.choice((0, 0, 0, rng.randrange(len(text) + 1)))
    limit = memory.wild(len(text), len(text) // 2)
    kernels.tokenize_rows(data, start, limit, columns, slots, prefix, starts, stops, seen)
    kernels.count_rows(data, prefix)
    kernels.find_row(data, 0, memory.wild(0, 1, 2, 3), prefix)
    return 3


def _number(rng: random.Random) -> bytes:
    kind = rng.random()
    double = struct.unpack("<d", rng.randbytes(8))[0]
    if kind < 0.3:
        return rng.choice(NUMBERS).encode()
    if kind < 0.5:
        return repr(double).encode()
    if kind < 0.6:
        return f"{double:.{rng.randrange(25)}e}".encode()
    if kind < 0.7:
        return str(rng.randrange(-(1 << 65), 1 << 65)).encode()
    if kind < 0.8:
        return f"{rng.randrange(10 ** rng.randrange(1, 22))}e{rng.randrange(-360, 330)}".encode()
    return mutate(rng.choice(NUMBERS).encode(), rng)


def _python(text: bytes, kind: type) -> float | int | None:
    try:
        return kind(text.decode("ascii").strip())
    except ValueError:
        return None


def numbers(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs.text import numbers as kernels

    texts = [_number(rng) for _ in range(100)]
    ends = np.cumsum([len(t) for t in texts])
    data = memory.bytes(b"".join(texts))
    starts, stops = memory.array((ends - [len(t) for t in texts]).tolist(), "i4"), memory.array(ends.tolist(), "i4")
    floats, state = memory.empty(100, "f8"), memory.empty(100)
    kernels.parse_floats(data, starts, stops, floats, state)
    _agree(texts, floats, state == kernels.VALUE, float)
    integers = memory.empty(100, "i8")
    kernels.parse_integers(data, starts, stops, -(1 << 63), (1 << 63) - 1, integers, state)
    _agree(texts, integers, state == kernels.VALUE, int)
    kernels.parse_booleans(data, starts, stops, memory.empty(100, "?"), state)
    for spans in (starts, stops):  # spans that lie anywhere are empty, or what lies in the data
        spans[rng.randrange(100)] = rng.choice((-1, data.size, data.size + 1, (1 << 31) - 1, -(1 << 31)))
    kernels.parse_floats(data, starts, stops, floats, state)
    kernels.parse_integers(data, starts, stops, *sorted((memory.wild(-9, 0), memory.wild(99, 1))), integers, state)
    kernels.parse_booleans(data, starts, stops, memory.empty(100, "?"), state)
    return 600


def _agree(texts: list[bytes], values: np.ndarray, taken: np.ndarray, kind: type) -> None:
    """What a kernel took for a number is what Python takes it for; other control characters are refused before."""
    for text, value, is_taken in zip(texts, values.tolist(), taken.tolist(), strict=True):
        if is_taken and all(c >= 32 or c in b"\t\n\r" for c in text):
            other = _python(text, kind)
            if other is None or (struct.pack("<d", other) != struct.pack("<d", value) and other == other):
                raise AssertionError(f"{text!r} is {value!r}, for Python {other!r}")


def texts(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs.text import texts as kernels

    parts = [mutate(rng.choice(TEXTS), rng) if rng.random() < 0.7 else rng.choice(TEXTS) for _ in range(20)]
    ends = np.cumsum([len(t) for t in parts])
    data = memory.bytes(b"".join(parts))
    starts, stops = memory.array((ends - [len(t) for t in parts]).tolist(), "i4"), memory.array(ends.tolist(), "i4")
    out, offsets, counts = memory.empty(data.size), memory.empty(21, "i4"), memory.empty(20, "i4")
    kernels.copy_texts(data, starts, stops, out, offsets)
    if bytes(out) != b"".join(parts):
        raise AssertionError("the copy differs")
    kernels.unescape_texts(data, starts, stops, out, offsets)
    size = rng.choice((-1, 0, 1, 3, 10))
    total, _ = kernels.count_tokens(data, starts, stops, counts)
    total = total if size < 0 else size * 20
    kernels.split_tokens(data, starts, stops, size, memory.empty(total, "i4"), np.empty(total, np.int32))
    total, _ = kernels.count_digits(data, starts, stops, counts)
    kernels.parse_bits(data, starts, stops, size, memory.empty(total if size < 0 else size * 20, "?"))
    return 6


def fields(rng: random.Random, memory: Memory) -> int:
    from scichunk.codecs.text import votable_rows as kernels

    body = b"".join(
        bytes(rng.choice((0, 1))) + struct.pack(">i", n) + rng.randbytes(4 * n + 8)
        for n in (rng.choice((0, 1, 2, 5)) for _ in range(rng.randrange(30)))
    )
    data, count = memory.bytes(mutate(body, rng)), rng.choice((1, 2, 3))
    fixed = np.array([rng.choice((-1, 1, 2, 0)) for _ in range(count)], np.int64)
    bits = np.array([rng.choice((1, 8, 32, 64, 8000, 1 << 31, (1 << 62) - 1)) for _ in range(count)], np.int64)
    fixed[rng.randrange(count)] = memory.wild(-1, 0, 3)
    slots = np.array([rng.choice((-1, 0)) for _ in range(count)], np.int64)
    most, masks = rng.choice((1, 5, 100)), rng.choice((0, 1))
    starts, counts = (memory.empty(2 * most, "i8").reshape(2, most) for _ in range(2))
    start = memory.wild(0, 0, rng.randrange(data.size + 1))
    masks = memory.wild(masks)
    _, at, _ = kernels.walk_rows(data, start, memory.wild(data.size), masks, bits, fixed, slots, starts, counts)
    if 0 <= start <= data.size and not 0 <= at <= data.size:
        raise AssertionError(f"place {at} of {data.size}")
    return 1


def ranges(rng: random.Random, memory: Memory) -> int:
    """Copies between places: those that say that they are done have done what Python does."""
    from scichunk.codecs.text import votable_rows as kernels

    body, count = rng.randbytes(rng.randrange(200)), rng.randrange(9)
    data = memory.bytes(body)
    wild = [rng.choice(WILD) if rng.random() < 0.03 else rng.randrange(-1, 60) for _ in range(2 * count)]
    pairs = list(zip(wild[:count], wild[count:], strict=True))
    starts, sizes = np.array(wild[:count], np.int64), np.array(wild[count:], np.int64)
    pieces = [body[a : a + n] if a >= 0 and n >= 0 else b"" for a, n in pairs]
    out = memory.empty(rng.choice((sum(map(len, pieces)), rng.randrange(300))))
    if kernels.gather_ranges(data, starts, sizes, out) and bytes(out) != b"".join(pieces):
        raise AssertionError(f"{starts}, {sizes}: {bytes(out)!r}")
    size = memory.wild(0, 1, 5)
    out = memory.empty(count * size if 0 <= size < 100 else rng.randrange(99))
    if kernels.gather_values(data, starts, size, out) and bytes(out) != b"".join(
        body[a : a + size] for a in wild[:count]
    ):
        raise AssertionError(f"{starts} of {size}: {bytes(out)!r}")
    out = memory.empty(300)
    out[:] = 0
    want, at = bytearray(300), 0
    for to, n in pairs:
        if 0 <= n < 100 and 0 <= to < 300:
            want[to : to + n], at = body[at : at + n], at + n
    if kernels.scatter_ranges(data, sizes, starts, out) and bytes(out) != bytes(want):
        raise AssertionError(f"{starts}, {sizes} scattered")
    return 3


ALL = {f.__name__: f for f in (base64_letters, cells, numbers, texts, fields, ranges)}
