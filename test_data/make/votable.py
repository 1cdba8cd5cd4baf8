"""Write the VOTable sample files: ``python test_data/make/votable.py``."""

import base64
import gzip
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent
RNG = np.random.default_rng(12)

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<DESCRIPTION>Made-up stars</DESCRIPTION>
<COOSYS ID="icrs" system="ICRS" epoch="J2016.0"/>
<RESOURCE type="results">
<INFO name="QUERY" value="SELECT TOP {rows} * FROM stars"/>
<PARAM name="radius" datatype="double" unit="deg" value="0.25"><DESCRIPTION>of the search</DESCRIPTION></PARAM>
<TABLE name="stars" nrows="{rows}">
<FIELD name="source_id" datatype="long" ucd="meta.id;meta.main"><DESCRIPTION>Identifier</DESCRIPTION></FIELD>
<FIELD ID="ra" name="ra" datatype="double" unit="deg" ucd="pos.eq.ra;meta.main" ref="icrs"><DESCRIPTION>Right ascension</DESCRIPTION></FIELD>
<FIELD ID="dec" name="dec" datatype="double" unit="deg" ucd="pos.eq.dec;meta.main" ref="icrs"><DESCRIPTION>Declination</DESCRIPTION></FIELD>
<FIELD name="parallax" datatype="float" unit="mas" ucd="pos.parallax.trig"/>
<FIELD name="n_obs" datatype="short" ucd="meta.number"><VALUES null="-1"><MIN value="0"/></VALUES></FIELD>
<FIELD name="name" datatype="unicodeChar" arraysize="*"/>
<FIELD name="variable" datatype="boolean"/>
<FIELD name="colours" datatype="float" arraysize="3" unit="mag"/>
<FIELD name="epochs" datatype="double" arraysize="*" unit="d"/>
<GROUP name="position"><FIELDref ref="ra"/><FIELDref ref="dec"/></GROUP>
<DATA>
"""
TAIL = """</DATA>
</TABLE>
<INFO name="QUERY_STATUS" value="OVERFLOW"/>
</RESOURCE>
</VOTABLE>
"""


def rows(count):
    for i in range(count):
        yield (
            4418124178542129792 + i, float(RNG.uniform(200, 205)), float(RNG.uniform(45, 49)), np.float32(RNG.exponential(2)),
            -1 if i % 7 == 3 else int(RNG.integers(0, 300)), f"Σ {i} & Co" if i % 5 == 0 else f"star {i}", i % 3 == 0,
            RNG.normal(1, 0.3, 3).astype("f4"), np.sort(RNG.uniform(0, 1000, i % 4)),
        )  # fmt: skip


def cells(row):
    identifier, ra, dec, parallax, n, name, variable, colours, epochs = row
    name = name.replace("&", "&amp;")
    texts = (identifier, ra, dec, parallax, "" if n < 0 else n, name, "FT"[variable], " ".join(map(str, colours)), " ".join(map(str, epochs.tolist())))  # fmt: skip
    return "<TR>" + "".join(f"<TD>{t}</TD>" for t in texts) + "</TR>\n"


def packed(row):
    identifier, ra, dec, parallax, n, name, variable, colours, epochs = row
    null = (n < 0) << 11
    text = name.encode("utf-16-be")
    return b"".join((
        null.to_bytes(2, "big"), identifier.to_bytes(8, "big"), np.array([ra, dec], ">f8").tobytes(), np.array(parallax, ">f4").tobytes(),
        np.array(n, ">i2").tobytes(), (len(text) // 2).to_bytes(4, "big"), text, b"FT"[variable : variable + 1],
        colours.astype(">f4").tobytes(), len(epochs).to_bytes(4, "big"), epochs.astype(">f8").tobytes(),
    ))  # fmt: skip


def main():
    count = 200
    table = list(rows(count))
    head = HEAD.format(rows=count)
    text = head + "<TABLEDATA>\n" + "".join(map(cells, table)) + "</TABLEDATA>\n" + TAIL
    (HERE / "stars.vot").write_text(text, encoding="utf-8")
    stream = base64.b64encode(b"".join(map(packed, table))).decode()
    lines = "".join(stream[i : i + 64] + "\n" for i in range(0, len(stream), 64))
    body = f'<BINARY2>\n<STREAM encoding="base64">\n{lines}</STREAM>\n</BINARY2>\n'
    (HERE / "stars_binary2.vot.gz").write_bytes(gzip.compress((head + body + TAIL).encode(), mtime=0))


main()
