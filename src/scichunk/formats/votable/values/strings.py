"""Texts of declared length, and arrays of them."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from scichunk.errors import LimitExceeded
from scichunk.formats.votable.document.structure import Field
from scichunk.formats.votable.values.column_part import ColumnPart
from scichunk.formats.votable.values.diagnostics import Report
from scichunk.tables.arrow import offsets_of

__all__ = ["check_length", "pack_texts", "split_texts", "to_utf8"]

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int32]


def pack_texts(texts: list[str]) -> tuple[Bytes, Offsets]:
    """UTF-8 bytes of texts, and where each begins."""
    encoded = [t.encode("utf-8", "replace") for t in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), offsets_of([len(e) for e in encoded])


def _unpack_texts(data: Bytes, offsets: Offsets) -> list[str]:
    whole = data.tobytes()
    cuts = offsets.tolist()
    return [whole[a:b].decode("utf-8", "replace") for a, b in itertools.pairwise(cuts)]


def check_length(field: Field, data: Bytes, offsets: Offsets, report: Report) -> tuple[Bytes, Offsets]:
    """Count texts that are longer than declared; cut and trim them only where astropy's values are wanted."""
    limit = field.shape.text or 0
    sizes = np.diff(offsets)
    if limit and int(sizes.max(initial=0)) > limit:
        texts = _unpack_texts(data, offsets) if int(data.max(initial=0)) > 127 else None
        if texts is not None:
            sizes = np.array([len(t) for t in texts], np.int32)
        long = np.flatnonzero(sizes > limit)
        if long.size:
            report.add("long text", long.size, int(long[0]))
    if report.policy.astropy_compat:
        texts = [t.strip(" \t\r\n") for t in _unpack_texts(data, offsets)]
        return pack_texts([t[:limit] for t in texts] if limit else texts)
    return data, offsets


def split_texts(field: Field, data: Bytes, offsets: Offsets, report: Report) -> ColumnPart:
    """Cut texts into arrays of texts of declared length (VOTable 1.5, section 2.2); blanks and NULs end each."""
    shape = field.shape
    length, size, rows = shape.text or 1, shape.size, offsets.size - 1
    pieces: list[bytes] = []
    counts = np.full(rows, 0 if shape.variable else 1, np.int64)
    lengths: list[list[int]] = []
    long, first = 0, -1
    for row, text in enumerate(_unpack_texts(data, offsets)):
        found = [text[i : i + length] for i in range(0, len(text), length)]
        if shape.variable:
            counts[row] = -(-len(found) // max(1, size))
        elif len(found) > size:
            long, first = long + 1, row if first < 0 else first
            found = found[:size]
        encoded = [f.split("\0", 1)[0].rstrip(" ").encode("utf-8", "replace") for f in found]
        pieces += encoded
        lengths.append([len(e) for e in encoded])
    if long:
        report.add("array length", long, first)
    total = int(counts.sum()) * size
    if total > 1 << 22 and total > 64 * data.size:
        msg = f"{total} texts are declared where {data.size} characters are"
        raise LimitExceeded(msg, part=report.where(0))
    # What is missing of a cell has no length, and costs no time beside what is there.
    sizes = np.zeros(total, np.int64)
    for begin, some in zip((np.cumsum(counts) - counts) * size, lengths, strict=True):
        sizes[begin : begin + len(some)] = some
    values = np.frombuffer(b"".join(pieces), np.uint8)
    empty = offsets[1:] == offsets[:-1]
    row_null = empty if empty.any() and not shape.variable else None
    return ColumnPart(rows, values, None, row_null, offsets_of(sizes), offsets_of(counts) if shape.variable else None)


def to_utf8(data: Bytes, offsets: Offsets, encoding: str, report: Report) -> tuple[Bytes, Offsets]:
    """Validate UTF-8, or make it of Latin-1; ``binary``: whatever it is."""
    if encoding == "iso8859-1":
        wider = np.concatenate([[0], np.cumsum(data > 127)])
        text = np.frombuffer(data.tobytes().decode("latin-1").encode(), np.uint8)
        return text, offsets_of(np.diff(offsets + wider[offsets]))
    import pyarrow as pa

    from scichunk.tables.arrow import make_strings

    try:
        make_strings(offsets, data).validate(full=True)
    except pa.ArrowInvalid:
        if encoding == "binary":
            return _as_latin1(data, offsets, report)
        return _replace_invalid(data, offsets, report)
    return data, offsets


def _as_latin1(data: Bytes, offsets: Offsets, report: Report) -> tuple[Bytes, Offsets]:
    """Each text as UTF-8 if it is that, else as Latin-1: what services put into binary is not said anywhere."""
    whole, texts = data.tobytes(), []
    for row, (start, stop) in enumerate(itertools.pairwise(offsets.tolist())):
        try:
            texts.append(whole[start:stop].decode())
        except UnicodeDecodeError:
            texts.append(whole[start:stop].decode("latin-1"))
            report.add("Latin-1", 1, row)
    return pack_texts(texts)


def _replace_invalid(data: Bytes, offsets: Offsets, report: Report) -> tuple[Bytes, Offsets]:
    """Refuse what is no UTF-8, or replace its bytes by U+FFFD."""
    whole, cuts, texts = data.tobytes(), offsets.tolist(), []
    for row, (start, stop) in enumerate(itertools.pairwise(cuts)):
        try:
            texts.append(whole[start:stop].decode())
        except UnicodeDecodeError as error:
            report.refuse("encoding", row, f"bytes that are no UTF-8 ({error.reason})")
            texts.append(whole[start:stop].decode("utf-8", "replace"))
    return pack_texts(texts)
