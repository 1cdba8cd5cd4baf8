"""VOTables: each serialization with each datatype, and the odd documents of the tests."""

import base64
import io
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fits_tables import columns, table
from tests.votable_docs import SAME, binary, doc

CODES = {"short": "h", "int": "i", "long": "q", "float": "f", "double": "d", "unsignedByte": "B"}
TEXTS = {"boolean": ("T", "F", "?"), "bit": ("1", "0", "1"), "char": ("a", "b", "c"), "unicodeChar": ("é", "b", "ÿ"),
         "floatComplex": ("1 2", "3 4", "5 6"), "doubleComplex": ("1 2", "3 4", "5 6")}  # fmt: skip
SIZES = (None, "3", "*", "2x2", "2x*")


def files():
    found = {**dict(_rows()), **dict(_streams()), **dict(_others())}
    return (
        (f"{name.replace(' ', '_').replace('>', 'gt')}.vot", v if isinstance(v, bytes) else v.encode())
        for name, v in found.items()
    )


def _parquet(rows, **options):
    file = io.BytesIO()
    pq.write_table(rows, file, **options)
    text = base64.b64encode(file.getvalue()).decode()
    return doc(body=f'<PARQUET type="Parquet-local-XML"><STREAM encoding="base64">{text}</STREAM></PARQUET>')


def _count(size):
    return {None: 1, "3": 3, "2x2": 4}.get(size)


def _rows():
    for datatype in (*CODES, *TEXTS):
        fields, cells = "", [[], [], []]
        for k, size in enumerate(SIZES):
            fields += f'<FIELD name="c{k}" datatype="{datatype}"' + (f' arraysize="{size}"/>' if size else "/>")
            for i in range(3):
                word = TEXTS[datatype][i] if datatype in TEXTS else str(i + k)
                joint = "" if "har" in datatype else " "
                cells[i].append(joint.join([word] * (_count(size) or 2 * i)))
        rows = "".join("<TR>" + "".join(f"<TD>{c}</TD>" for c in row) + "</TR>\n" for row in cells)
        yield f"rows_{datatype}", doc(rows, fields)
    values = '<FIELD name="a" datatype="int" unit="m" ucd="x"><VALUES null="-9"><MIN value="0"/></VALUES></FIELD><FIELD name="t" datatype="char" arraysize="19" xtype="timestamp"/>'  # fmt: skip
    yield "rows_null", doc("<TR><TD>-9</TD><TD>2020-01-01T00:00:00</TD></TR><TR><TD/><TD/></TR>" * 3, values)


def _cell(datatype, size, i, k):
    """A cell of a stream (VOTable 1.5, section 6)."""
    count = _count(size) if size in {None, "3", "2x2"} else 2 * i
    head = b"" if size in {None, "3", "2x2"} else struct.pack(">i", count)
    if datatype == "bit":
        return head + bytes([0b10100000] * -(-count // 8))
    if datatype in {"boolean", "char"}:
        return head + TEXTS[datatype][i].encode() * count
    if datatype == "unicodeChar":
        return head + TEXTS[datatype][i].encode("utf-16-be") * count
    if "Complex" in datatype:
        return head + struct.pack(">2f" if datatype[0] == "f" else ">2d", i, k) * count
    return head + struct.pack(">" + CODES[datatype], i + k) * count


def _streams():
    for kind in ("BINARY", "BINARY2"):
        for datatype in (*CODES, *TEXTS):
            fields, data = "", b""
            for k, size in enumerate(SIZES):
                fields += f'<FIELD name="c{k}" datatype="{datatype}"' + (f' arraysize="{size}"/>' if size else "/>")
            for i in range(3):
                flags = bytes([0b01000000 * (i == 2)]) if kind == "BINARY2" else b""
                data += flags + b"".join(_cell(datatype, size, i, k) for k, size in enumerate(SIZES))
            yield f"{kind}_{datatype}", binary(data, fields, kind)


def _others():
    yield from ((f"doc {name}", document) for name, document in SAME.items())
    fits = table(
        ["J", "6A", "2E"], columns(np.arange(4, dtype=">i4"), np.full((4, 6), 65, "u1"), np.ones((4, 2), ">f4")), 4
    )
    stream = f'<STREAM encoding="base64">{base64.b64encode(fits).decode()}</STREAM>'
    yield "fits", doc(fields="", body=f'<FITS extnum="1">{stream}</FITS>')
    few = pa.table({"a": [1, 2, 3], "s": ["x", "y", None]})
    yield "parquet", _parquet(few)
    yield "parquet_zstd", _parquet(few, compression="zstd", row_group_size=2)
    yield "parquet_plain", _parquet(few, compression="none", use_dictionary=False, data_page_version="2.0")
    one, two = (
        doc("<TR><TD>1</TD><TD>x</TD></TR>"),
        "<TABLE>" + doc("<TR><TD>2</TD><TD>y</TD></TR>").split("<TABLE>")[1],
    )
    yield "two_tables", one.replace("</RESOURCE></VOTABLE>", two)
    extra = '<GROUP name="g"><FIELDref ref="a"/><PARAM name="p" datatype="double" value="1.5"/></GROUP>'
    yield (
        "group",
        doc(
            "<TR><TD>1</TD><TD>x</TD></TR>",
            extra + '<FIELD ID="a" name="a" datatype="int"/><FIELD name="s" datatype="char" arraysize="*"/>',
        ),
    )
