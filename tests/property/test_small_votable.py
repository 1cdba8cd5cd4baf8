"""What serves small VOTables against the kernels: the same values, places and refusals, for sound and for odd input."""

import binascii

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scichunk.codecs.small import base64 as small_base64
from scichunk.codecs.small import cells as small_cells
from scichunk.codecs.small import numbers as small_numbers
from scichunk.codecs.small import texts as small_texts
from scichunk.codecs.small import votable_rows as small_rows
from scichunk.codecs.text import base64, cells, numbers, states, texts, votable_rows

MANY = settings(max_examples=150, deadline=None)
UNSET = -7

_pieces = st.sampled_from([
    b"<TR>", b"</TR>", b"<TD>", b"</TD>", b"<TD/>", b"<TD />", b"<TR >", b"</TD >", b"<TR a='1'>", b"<!-- x -->", b"<!--", b"-->", b"<!-- -- >",
    b"<![CDATA[", b"]]>", b"<?p?>", b"</TABLEDATA>", b"<TRX>", b"<TDX/>", b"<v:TR>", b"</v:TR>", b"<v:TD>", b"</v:TD>", b"<v:TD/>", b"<v:TABLEDATA>",
    b"1.5", b"text", b" ", b"\n", b"\r\n", b"\t", b"\x01", b"&amp;", b"&", b">", b"<", b"/", b"\xc3\xa9", b"EDATA", b"T", b"", b"<T", b"</", b"</v",
])  # fmt: skip


@st.composite
def markup(draw):
    prefix = draw(st.sampled_from([b"", b"v:"]))
    columns = draw(st.integers(0, 4))
    rows = []
    for _ in range(draw(st.integers(0, 6))):
        cell = st.sampled_from([b"<TD>%s</TD>", b"<TD/>", b"<TD>%s</TD >", b" <TD>%s</TD>\n"])
        found = [draw(cell) for _ in range(columns)]
        text = st.sampled_from([b"1", b"", b"-2.5e3", b"a b", b"&lt;", b">", b"\xff", b"\r", b"\x02"])
        rows.append(
            b"<TR>"
            + b"".join(c % draw(text) if b"%s" in c else c for c in found)
            + draw(st.sampled_from([b"</TR>", b"</TR >", b"</TR\n>"]))
            + draw(st.sampled_from([b"", b"\n", b" ", b"<!-- a --> <!--b-->\n<!---->"]))
        )
    data = b"".join(rows).replace(b"</", b"</" + prefix).replace(b"<T", b"<" + prefix + b"T")
    for _ in range(draw(st.integers(0, 3))):
        at, size = draw(st.integers(0, len(data))), draw(st.integers(0, 3))
        data = data[:at] + draw(_pieces) + data[at + size :]
    return data, prefix, columns


@MANY
@given(markup(), st.data())
def test_rows_of_markup(given_markup, data):
    text, prefix, columns = given_markup
    array, name = np.frombuffer(text, np.uint8), np.frombuffer(prefix, np.uint8)
    wanted = data.draw(st.lists(st.integers(0, columns - 1), unique=True) if columns else st.just([]))
    slots = np.full(columns, -1, np.int64)
    slots[wanted] = np.arange(len(wanted))
    at, limit = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text) + 5))
    most = data.draw(st.integers(1, 8))
    results = []
    for way in (cells, small_cells):
        starts, stops = np.full((2, len(wanted), most), UNSET, np.int32)
        seen = np.zeros(len(wanted), np.uint8)
        found = way.tokenize_rows(array, at, limit, columns, slots, name, starts, stops, seen)
        results.append((*map(int, found), starts[:, : found[0]].tolist(), stops[:, : found[0]].tolist(), seen.tolist()))
    assert results[0] == results[1]
    skip = data.draw(st.integers(0, 4))
    assert cells.find_row(array, at, skip, name) == small_cells.find_row(array, at, skip, name)
    padded = np.frombuffer(text + b"<TR>  <!" + bytes(24), np.uint8)
    assert cells.count_rows(padded, name) == small_cells.count_rows(padded, name)


_number = st.one_of(
    st.floats().map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from([
        "", " ", "+", "-", ".", ".5", "5.", "1e", "1e5", "1E+05", "+1", "-0", "-0.0", "nan", "-NaN", "+inf", "-Inf", "infinity", "1_0", "1 2", "0x1f", "t", "TRUE",
        "False", "?", "T ", "1e999", "-1e-999", "4.9e-324", "2.2250738585072011e-308", "9223372036854775807", "-9223372036854775808", "0" * 30 + "1", "é", "\u0661",
        "123456789012345678901234567890", "0.1" + "0" * 30 + "1", "9007199254740993", "1e22", "1e23", "\x0b7", "\n8\t",
    ]),
    st.text("0123456789+-.eE ", max_size=12),
)  # fmt: skip


def _spans(found):
    encoded = [f.encode() for f in found]
    cuts = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(e) for e in encoded], out=cuts[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), cuts[:-1].copy(), cuts[1:].copy()


@MANY
@given(st.lists(_number, max_size=12), st.sampled_from([(0, 255), (-(2**15), 2**15 - 1), (-(2**63), 2**63 - 1)]))
def test_numbers(found, bounds):
    spans = _spans(found)
    for name, dtype, more in (
        ("parse_floats", np.float64, ()),
        ("parse_integers", np.int64, bounds),
        ("parse_booleans", np.bool_, ()),
    ):
        results = []
        for way in (numbers, small_numbers):
            out, state = np.zeros(len(found), dtype), np.full(len(found), 9, np.uint8)
            others = getattr(way, name)(*spans, *more, out, state)
            assert others == (state == states.OTHER).sum()
            results.append((out, state))
        (kernel, kernel_state), (small, small_state) = results
        left = (
            kernel_state == states.OTHER
        )  # the kernel leaves numbers of very many digits, which are then read as Python does
        assert (small_state[~left] == kernel_state[~left]).all()
        for i in np.flatnonzero(left & (small_state == states.VALUE)):
            assert small[i] == (float if name == "parse_floats" else int)(found[i])
        same = ~left
        assert small[same].tobytes() == kernel[same].tobytes()


_cell = st.one_of(
    st.lists(st.sampled_from(["&lt;", "&gt;", "&amp;", "&apos;", "&quot;", "&#65;", "&#x1F600;", "&#xD800;", "&#0;", "&#13;", "&nbsp;", "&", ";", "\r", "\r\n", "\n",
                              "a", "é", " ", ",", "1", "0", "01", "&#;", "&#x;", "&#12345678901;", "&#xFFFF;", "&#1114112;", "&l&t;", "&#x0000000041;", "&#X41;", "&#x000000000000041;", "&#" + "0" * 40 + "65;", "&#x" + "0" * 40 + ";"]), max_size=6).map("".join),
    st.text(max_size=6),
)  # fmt: skip


@MANY
@given(
    st.integers(1, 10**22),
    st.integers(0, 300) | st.integers(99_000, 101_000) | st.sampled_from([199_999, 300_000]),
    st.integers(-345, 315) | st.sampled_from([-(2**63), -99_999, 99_999, 2**31, 10**20]),
    st.booleans(),
)
@example(1, 200_000, 0, False)
@example(1, 200_000, 0, True)
@example(1, 100_300, 0, False)
def test_exponents_that_make_up_for_zeros(digits, zeros, power, behind):
    text = f"0.{'0' * zeros}{digits}e{power + zeros + 1}" if behind else f"{digits}{'0' * zeros}e{power - zeros}"
    for way in (numbers, small_numbers):
        out, state = np.zeros(1), np.full(1, 9, np.uint8)
        others = way.parse_floats(*_spans([text]), out, state)
        assert others == (state[0] == states.OTHER)
        # Where digits beyond the 19th could decide, the kernel leaves the number to Python.
        if others:
            assert way is numbers
            assert power != 0 or digits >= 1 << 53
        else:
            assert out[0] == float(text)


@MANY
@given(st.lists(_cell, max_size=6), st.integers(-1, 4).filter(lambda size: size != 0))
def test_texts(found, size):
    data, starts, stops = _spans(found)
    for name in ("copy_texts", "unescape_texts"):
        results = []
        for way in (texts, small_texts):
            out, offsets = np.zeros(data.size, np.uint8), np.zeros(len(found) + 1, np.int32)
            used = getattr(way, name)(data, starts, stops, out, offsets)
            results.append((used, out[: max(0, used)].tobytes(), offsets.tolist() if used >= 0 else None))
        assert results[0] == results[1]
    for count, take, dtype in (("count_tokens", "split_tokens", None), ("count_digits", "parse_bits", np.bool_)):
        results = []
        for way in (texts, small_texts):
            counts = np.zeros(len(found), np.int32)
            total, odd = getattr(way, count)(data, starts, stops, counts)
            room = total if size < 0 else size * len(found)
            outs = [np.zeros(room, dtype or np.int32) for _ in range(1 if dtype else 2)]
            getattr(way, take)(data, starts, stops, size, *outs)
            results.append((total, odd, counts.tolist(), [out.tolist() for out in outs]))
        assert results[0] == results[1]


@MANY
@given(st.data())
def test_base64(data):
    raw = data.draw(st.binary(max_size=120))
    line = data.draw(st.sampled_from([0, 1, 4, 6, 8, 64]))
    gap = data.draw(st.sampled_from([b"\n", b"\r\n", b"", b" \n "]))
    text = binascii.b2a_base64(raw, newline=False)
    if line:
        text = gap.join(text[i : i + line] for i in range(0, len(text), line))
    for _ in range(data.draw(st.integers(0, 2))):
        at, size = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 2))
        text = (
            text[:at]
            + data.draw(st.sampled_from([b"=", b"\n", b" ", b"<", b"&", b"!", b"A", b"\xff", b"", b"=="]))
            + text[at + size :]
        )
    array = np.frombuffer(text, np.uint8)
    width = data.draw(st.sampled_from([line, 0, 4]))
    between, phase = data.draw(st.sampled_from([len(gap), 0, 1])), data.draw(st.sampled_from([0, 0, 0, 3, -1]))
    size = data.draw(st.integers(0, len(raw) + 4))
    letters = data.draw(st.integers(0, len(text) + 1))
    results = []
    for way in (base64, small_base64):
        out = np.zeros(size, np.uint8)
        place, count = way.decode_base64(array, width, between, phase, out)
        results.append(
            (
                place,
                count,
                out[:count].tobytes(),
                way.count_letters(array),
                way.find_irregular(array, width, between),
                way.skip_letters(array, letters),
            )
        )
    assert results[0] == results[1]


@MANY
@given(st.data())
def test_binary_rows(data):
    array = np.frombuffer(
        data.draw(
            st.lists(
                st.sampled_from(
                    [b"\0\0\0\x01", b"\0\0\0\x03", b"\0\0\0\0", b"\xff\xff\xff\xff", b"abcdefgh", b"\x7f", b"\0"]
                )
            ).map(b"".join)
        ),
        np.uint8,
    )
    fields = data.draw(
        st.lists(st.tuples(st.sampled_from([0, 1, 8, 16, 64, 24]), st.sampled_from([-1, 0, 1, 2, 5])), max_size=5)
    )
    bits, fixed = np.array([f[0] for f in fields], np.int64), np.array([f[1] for f in fields], np.int64)
    wanted = data.draw(st.lists(st.integers(0, len(fields) - 1), unique=True) if fields else st.just([]))
    slots = np.full(len(fields), -1, np.int64)
    slots[wanted] = np.arange(len(wanted))
    at, limit = data.draw(st.integers(-1, array.size + 1)), data.draw(st.integers(0, array.size + 1))
    masks, most = data.draw(st.integers(-1, 3)), data.draw(st.integers(0, 6))
    results = []
    for way in (votable_rows, small_rows):
        starts, counts = np.full((2, len(wanted) + 1, most), UNSET, np.int64)
        rows, place, bad = way.walk_rows(array, at, limit, masks, bits, fixed, slots, starts, counts)
        results.append((rows, place, bad, starts[:, :rows].tolist(), counts[:-1, :rows].tolist()))
    assert results[0] == results[1]


_odd = st.one_of(st.integers(-2, 12), st.sampled_from([2**63 - 1, -(2**63), 2**62]))


@MANY
@given(st.binary(max_size=12), st.lists(st.tuples(_odd, _odd), max_size=4), st.integers(0, 12), _odd)
def test_ranges_of_bytes(raw, pairs, room, size):
    array = np.frombuffer(raw, np.uint8)
    places, sizes = np.array([p[0] for p in pairs], np.int64), np.array([p[1] for p in pairs], np.int64)
    total = sum(s for s in sizes.tolist() if 0 <= s < 100)
    for name, more in (("gather_values", (size,)), ("gather_ranges", (sizes,)), ("scatter_ranges", ())):
        for nbytes in {room, total, len(pairs) * max(0, min(size, 12))}:
            results = []
            for way in (votable_rows, small_rows):
                out = np.zeros(nbytes, np.uint8)
                given_ = (array, sizes, places, out) if name == "scatter_ranges" else (array, places, *more, out)
                there = bool(getattr(way, name)(*given_))
                results.append((there, out.tobytes() if there else b""))
            assert results[0] == results[1]
