"""VOTables to time: 16 mixed columns, or 15 of fixed width, in every serialization."""

import base64
from pathlib import Path

import numpy as np

FIELDS = {
    "mixed": [
        ("source_id", "long", None, ""), ("flags", "int", None, '<VALUES null="-999"/>'), ("n", "short", None, ""), ("quality", "unsignedByte", None, ""),
        ("ra", "double", None, ""), ("dec", "double", None, ""), ("parallax", "double", None, ""), ("mag", "float", None, ""),
        ("name", "char", "*", ""), ("band", "char", "8", ""), ("note", "unicodeChar", "*", ""), ("variable", "boolean", None, ""),
        ("error", "float", "3", ""), ("epochs", "double", "*", ""), ("bits", "bit", "8", ""), ("visibility", "floatComplex", None, ""),
    ],
    "scalar": [
        *((f"l{i}", "long", None, "") for i in range(3)), *((f"i{i}", "int", None, "") for i in range(3)), ("s", "short", None, ""), ("b", "unsignedByte", None, ""),
        *((f"d{i}", "double", None, "") for i in range(4)), *((f"f{i}", "float", None, "") for i in range(2)), ("o", "boolean", None, ""),
    ],
}  # fmt: skip
WORDS = ["alpha", "beta Cen", "M 31", "NGC 224 & M 32", "<none>", "QSO B0003", "x"]


def columns(kind, rows, seed=5):
    """Python values of each column."""
    rng = np.random.default_rng(seed)
    if kind == "scalar":
        make = {"long": lambda: rng.integers(-(2**62), 2**62, rows), "int": lambda: rng.integers(-(2**31), 2**31, rows).astype("i4"), "short": lambda: rng.integers(-(2**15), 2**15, rows).astype("i2"),
                "unsignedByte": lambda: rng.integers(0, 256, rows).astype("u1"), "double": lambda: rng.uniform(-360, 360, rows), "float": lambda: rng.normal(15, 3, rows).astype("f4"), "boolean": lambda: rng.random(rows) < 0.5}  # fmt: skip
        return [make[d]() for _, d, _, _ in FIELDS[kind]]
    picks = rng.integers(0, len(WORDS), rows)
    return [
        rng.integers(10**17, 10**18, rows), np.where(rng.random(rows) < 0.1, -999, rng.integers(0, 10**6, rows)).astype("i4"),
        rng.integers(-300, 300, rows).astype("i2"), rng.integers(0, 256, rows).astype("u1"),
        rng.uniform(0, 360, rows), rng.uniform(-90, 90, rows), rng.normal(0, 5, rows), rng.normal(15, 3, rows).astype("f4"),
        [f"object {i} of {p}" for i, p in enumerate(picks)], [f"band{p}" for p in picks], [WORDS[p] for p in picks], [(True, False, None)[p % 3] for p in picks],
        rng.normal(0, 1, (rows, 3)).astype("f4"), np.split(rng.uniform(5e4, 6e4, int((picks % 4).sum())), np.cumsum(picks % 4)[:-1]),
        rng.random((rows, 8)) < 0.5, rng.normal(0, 1, (rows, 2)).astype("f4"),
    ]  # fmt: skip


def header(kind, rows):
    fields = "".join(
        f'<FIELD name="{n}" datatype="{d}"' + (f' arraysize="{a}"' if a else "") + (f">{v}</FIELD>\n" if v else "/>\n")
        for n, d, a, v in FIELDS[kind]
    )
    return f'<?xml version="1.0" encoding="utf-8"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n<RESOURCE type="results">\n<TABLE name="{kind}" nrows="{rows}">\n{fields}<DATA>\n'


TAIL = '</DATA>\n</TABLE>\n<INFO name="QUERY_STATUS" value="OK"/>\n</RESOURCE>\n</VOTABLE>\n'


def _texts(values, datatype, arraysize):
    if datatype == "boolean":
        return ["?" if v is None else "FT"[bool(v)] for v in values]
    if datatype == "bit":
        return ["".join("01"[b] for b in row) for row in values.tolist()]
    if datatype in {"char", "unicodeChar"}:
        return [v.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for v in values]
    if arraysize or datatype == "floatComplex":
        return [" ".join(map(str, row.tolist() if row.dtype == "f8" else row)) for row in values]
    return list(map(str, values))


def _cells(values, datatype, arraysize):
    """Bytes of each row."""
    if datatype == "boolean":
        return [b"?" if v is None else (b"T" if v else b"F") for v in values]
    if datatype == "bit":
        return [bytes([b]) for b in np.packbits(values, axis=1)[:, 0].tolist()]
    if datatype == "char":
        return [
            v.encode().ljust(8, b"\0") if arraysize == "8" else len(v).to_bytes(4, "big") + v.encode() for v in values
        ]
    if datatype == "unicodeChar":
        return [len(v).to_bytes(4, "big") + v.encode("utf-16-be") for v in values]
    if arraysize == "*":
        return [len(v).to_bytes(4, "big") + v.astype(">f8").tobytes() for v in values]
    big = values.astype(values.dtype.newbyteorder(">"))
    whole, size = big.tobytes(), big[:1].nbytes
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def make(folder: Path, kind: str, form: str, rows: int) -> Path:
    """Write a file, if it is not there: ``form`` is TABLEDATA, BINARY or BINARY2."""
    path = folder / f"{kind}_{form}_{rows}.vot"
    if path.exists():
        return path
    values, fields = columns(kind, rows), FIELDS[kind]
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        file.write(header(kind, rows).encode())
        if form == "TABLEDATA":
            file.write(b"<TABLEDATA>\n")
            texts = [_texts(v, d, a) for v, (_, d, a, _) in zip(values, fields, strict=True)]
            for row in zip(*texts, strict=True):
                file.write(("<TR>\n" + "".join(f" <TD>{c}</TD>\n" for c in row) + "</TR>\n").encode())
            file.write(b"</TABLEDATA>\n")
        else:
            file.write(f'<{form}>\n<STREAM encoding="base64">\n'.encode())
            cells = [_cells(v, d, a) for v, (_, d, a, _) in zip(values, fields, strict=True)]
            mask = bytes((len(fields) + 7) // 8) if form == "BINARY2" else b""
            text = base64.b64encode(b"".join(mask + b"".join(row) for row in zip(*cells, strict=True)))
            for at in range(0, len(text), 64):
                file.write(text[at : at + 64] + b"\n")
            file.write(f"</STREAM>\n</{form}>\n".encode())
        file.write(TAIL.encode())
    temporary.rename(path)
    return path
