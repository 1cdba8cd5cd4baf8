"""FITS tables made byte by byte, so that headers and heaps can be as odd as in the wild."""

import gzip
import io
import warnings

import imagecodecs
import numpy as np
from astropy.io import fits

SIZES = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16}
STORED = {"L": "u1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "C": ">c8", "M": ">c16", "A": "u1", "X": "u1"}  # fmt: skip


def card(key, value):
    if isinstance(value, bool):
        text = f"{'T' if value else 'F':>20}"
    elif isinstance(value, str):
        quoted = value.replace("'", "''")
        text = f"'{quoted:<8}'"
    else:
        text = f"{value!r:>20}"
    return f"{key:<8}= {text}".ljust(80)[:80]


def header(*cards):
    text = "".join(card(*c) for c in cards) + "END".ljust(80)
    return text.ljust(-(-len(text) // 2880) * 2880).encode("latin-1")


def padded(data):
    return data + b"\0" * (-len(data) % 2880)


PRIMARY = header(("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True))


def table(forms, rows, count, heap=b"", gap=0, kind="BINTABLE", names=None, **cards):
    """A file with one table; ``rows``: its bytes."""
    width = len(rows) // count if count else cards.pop("width", 0)
    fixed = [
        ("XTENSION", kind), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", cards.pop("NAXIS1", width)), ("NAXIS2", cards.pop("NAXIS2", count)),
        ("PCOUNT", cards.pop("PCOUNT", gap + len(heap))), ("GCOUNT", 1), ("TFIELDS", cards.pop("TFIELDS", len(forms))),
    ]  # fmt: skip
    if gap:
        fixed.append(("THEAP", len(rows) + gap))
    names = names if names is not None else [f"c{i}" for i in range(1, len(forms) + 1)]
    for i, (form, name) in enumerate(zip(forms, names, strict=True), 1):
        fixed += ([] if name is None else [(f"TTYPE{i}", name)]) + [(f"TFORM{i}", form)]
    return PRIMARY + header(*fixed, *cards.items()) + padded(rows + b"\xaa" * gap + heap)


def columns(*arrays):
    """Rows from columns of big-endian values, shape (rows, ...)."""
    count = len(arrays[0])
    return np.concatenate([np.ascontiguousarray(a).reshape(count, -1).view("u1").reshape(count, -1) for a in arrays], axis=1).tobytes()  # fmt: skip


def random_values(code, shape, rng):
    if code == "L":
        return rng.choice(np.frombuffer(b"TF\0", "u1"), shape)
    if code == "A":
        return rng.choice(np.frombuffer(b"abcXYZ 019\0", "u1"), shape)
    if code in "CM":
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(STORED[code])
    dtype = np.dtype(STORED[code])
    if dtype.kind == "f":
        values = rng.normal(size=shape).astype(dtype)
        return np.where(rng.random(shape) < 0.1, np.nan, values).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype.newbyteorder("="), endpoint=True).astype(dtype)


def variable(code, counts, rng, wide=False, order=None):
    """(descriptors, heap, cells) of a column of arrays of variable length, stored in a given order of rows."""
    cells = [random_values(code, n, rng) if code != "X" else rng.integers(0, 256, -(-n // 8), dtype="u1") for n in counts]  # fmt: skip
    heap, places = bytearray(), [0] * len(counts)
    for row in order if order is not None else range(len(counts)):
        places[row] = len(heap)
        heap += cells[row].tobytes()
    pairs = np.array([[n, p] for n, p in zip(counts, places, strict=True)], ">i8" if wide else ">i4").reshape(-1, 2)
    return pairs, bytes(heap), cells


def astropy_columns(data, index=1):
    """Values of astropy by position, native byte order, and the TNULL that holds for stored values."""
    with warnings.catch_warnings(), fits.open(io.BytesIO(data), memmap=False) as file:
        warnings.simplefilter("ignore")
        hdu = file[index]
        found = []
        for k, column in enumerate(hdu.columns):
            raw = np.recarray.field(hdu.data, k)
            null = None
            if isinstance(column.null, int) and raw.dtype.kind in "iu":
                null = raw == column.null
            values = hdu.data.field(k)
            values = values if values.dtype.kind == "O" else np.asarray(values)
            found.append((values, null, raw))
        return found


def compress(data, tile, codecs):
    """The tile-compressed twin of :func:`table` without a heap; ``codecs`` by column."""
    with fits.HDUList.fromstring(data) as file:
        hdu = file[1]
        count, width = hdu.header["NAXIS2"], hdu.header["NAXIS1"]
        forms = [hdu.header[f"TFORM{i}"] for i in range(1, hdu.header["TFIELDS"] + 1)]
        other = [(c.keyword, c.value) for c in hdu.header.cards if c.keyword[:4] in {"TTYP", "TDIM", "TSCA", "TZER", "TNUL", "TUNI"}]  # fmt: skip
    start = data.index(b"END" + b" " * 77, len(PRIMARY))
    at = -(-start // 2880) * 2880 if start % 2880 else start + 2880
    rows = np.frombuffer(data[at : at + count * width], "u1").reshape(count, width)
    pairs, heap = [], b""
    for first in range(0, count, tile):
        offset = 0
        for form, codec in zip(forms, codecs, strict=True):
            code, repeat = form.lstrip("0123456789")[0], int("0" + form[: len(form) - len(form.lstrip("0123456789"))] or 1) or 1  # fmt: skip
            repeat = 0 if form.startswith("0") else repeat
            size = -(-repeat // 8) if code == "X" else repeat * SIZES[code]
            encoded = encode(rows[first : first + tile, offset : offset + size].tobytes(), code, codec)
            pairs.append((len(encoded), len(heap)))
            heap += encoded
            offset += size
    tiles = -(-count // tile)
    extra = {"ZTABLE": True, "ZTILELEN": tile, "ZNAXIS1": width, "ZNAXIS2": count, "ZPCOUNT": 0}
    for i, (form, codec) in enumerate(zip(forms, codecs, strict=True), 1):
        extra |= {f"ZFORM{i}": form, f"ZCTYP{i}": codec}
    extra |= {k: v for k, v in other if not k.startswith("TTYPE")}
    names = [v for k, v in other if k.startswith("TTYPE")]
    return table(["1QB"] * len(forms), np.array(pairs, ">i8").tobytes(), tiles, heap, names=names, **extra)


def encode(raw, code, codec):
    size = SIZES.get(code, 1) if code in "IJKED" else 1
    if codec == "GZIP_1":
        return gzip.compress(raw)
    if codec == "GZIP_2":
        return gzip.compress(np.frombuffer(raw, "u1").reshape(-1, size).T.tobytes())
    if codec == "RICE_1":
        values = np.frombuffer(raw, {"B": "u1", "I": ">i2", "J": ">i4"}[code])
        return bytes(imagecodecs.rcomp_encode(values.astype(values.dtype.newbyteorder("=")), nblock=32))
    return raw
