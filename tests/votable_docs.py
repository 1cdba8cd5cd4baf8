"""VOTables written by hand: small, odd and hostile."""

import base64
import gzip

FIELDS = '<FIELD name="a" datatype="int"/><FIELD name="s" datatype="char" arraysize="*"/>'
ROW = "<TR><TD>1</TD><TD>x</TD></TR>"


def doc(
    rows="",
    fields=FIELDS,
    *,
    before="",
    version="1.4",
    declaration='<?xml version="1.0"?>',
    body=None,
    ns="",
    p="",
    after="",
):
    body = f"<{p}TABLEDATA>{rows}</{p}TABLEDATA>" if body is None else body
    fields = fields.replace("<FIELD", f"<{p}FIELD")
    return (
        f'{declaration}{before}<{p}VOTABLE version="{version}"{ns}><{p}RESOURCE><{p}TABLE>{fields}<{p}DATA>{body}</{p}DATA>'
        f"{after}</{p}TABLE></{p}RESOURCE></{p}VOTABLE>"
    )  # fmt: skip


def one(datatype, *cells, arraysize=None, extra="", **more):
    """A table of one column."""
    size = f' arraysize="{arraysize}"' if arraysize else ""
    rows = "".join(f"<TR><TD>{c}</TD></TR>" for c in cells)
    return doc(rows, f'<FIELD name="a" datatype="{datatype}"{size}>{extra}</FIELD>', **more)


def binary(data, fields='<FIELD name="a" datatype="int"/>', kind="BINARY", text=None, encoding=' encoding="base64"'):
    text = base64.b64encode(data).decode() if text is None else text
    return doc(fields=fields, body=f"<{kind}><STREAM{encoding}>{text}</STREAM></{kind}>")


NS = ' xmlns:v="http://www.ivoa.net/xml/VOTable/v1.3"'
PREFIXED = "<v:TR><v:TD>1</v:TD><v:TD>x</v:TD></v:TR>"
DTD = "<!DOCTYPE VOTABLE [{}]>"

# what astropy reads as well, with the same values
SAME = {
    "plain": doc(ROW * 3),
    "white space": doc("\n <TR >\n\t<TD >1</TD >\r\n<TD>x</TD></TR >\n" * 2),
    "CDATA": doc("<TR><TD><![CDATA[1]]></TD><TD><![CDATA[<x>&amp;]]></TD></TR>" + ROW),
    "comment in a cell": doc("<TR><TD>1<!-- c --></TD><TD>x<!-- c -->y</TD></TR>" + ROW),
    "comments between": doc("<!-- a --><TR><!-- <TR> --><TD>1</TD><!-- </TD> --><TD>x</TD></TR><!-- b -->" + ROW),
    "rows in a comment": doc(ROW + "<!--" + ROW * 5 + "-->" + ROW),
    "end tag in a comment": doc(ROW + "<!-- </TABLEDATA> -->" + ROW),
    "end tag in CDATA": doc("<TR><TD>1</TD><TD><![CDATA[</TABLEDATA></TD>]]></TD></TR>" + ROW),
    "instruction": doc(ROW + "<?php echo ?>" + ROW),
    "instruction in a cell": doc("<TR><TD>1<?x y?></TD><TD>x</TD></TR>"),
    "references": doc("<TR><TD>&#49;</TD><TD>&lt;&amp;&gt;&quot;&apos;&#x41;&#233;&#x1F600;</TD></TR>"),
    "white space in the last end tag": doc(ROW + "<TR><TD>1</TD><TD>x</TD></TR >"),
    "line end in the last end tag": doc("<TR><TD>1</TD><TD>x</TD></TR\n>"),
    "references with zeros in front": doc(
        "<TR><TD>&#x00000000000000000031;</TD><TD>&#00000000000000000000000233;&#x0000000000001F600;</TD></TR>"
    ),
    "attributes": doc('<TR ID="r1"><TD ID="x">1</TD><TD ref="y">x</TD></TR>' + ROW),
    "base64 cell": doc('<TR><TD encoding="base64">AAAABw==</TD><TD>x</TD></TR>' + ROW),
    "no rows": doc(body="<TABLEDATA/>"),
    "line ends": doc("<TR><TD>1</TD><TD>a\r\nb\rc</TD></TR>\r\n"),
    "hexadecimal": doc("<TR><TD>0x1F</TD><TD>x</TD></TR>"),
    "sign": doc("<TR><TD>+1</TD><TD>x</TD></TR>"),
    "prefix": doc(PREFIXED * 2, p="v:", ns=NS),
    "prefix or not": doc(PREFIXED + ROW, p="v:", ns=NS),
    "DOCTYPE": doc(ROW, before='<!DOCTYPE VOTABLE SYSTEM "http://127.0.0.1:1/VOTable.dtd">'),
    "DOCTYPE with elements": doc(ROW, before=DTD.format("<!ELEMENT x ANY>")),
    "UTF-16": doc("<TR><TD>1</TD><TD>héé</TD></TR>", declaration='<?xml version="1.0" encoding="utf-16"?>').encode("utf-16"),
    "Latin-1": doc("<TR><TD>1</TD><TD>héé</TD></TR>" + ROW, declaration='<?xml version="1.0" encoding="iso-8859-1"?>').encode("latin-1"),
    "byte order mark": b"\xef\xbb\xbf" + doc(ROW).encode(),
    "blank before": "\n  " + doc(ROW, declaration=""),
    "same names": doc(ROW, '<FIELD name="a" datatype="int"/><FIELD name="a" datatype="char" arraysize="*"/>'),
    "gzip": gzip.compress(doc(ROW).encode()),
    "body in a comment": doc(ROW, before="<!-- <TABLEDATA> -->"),
    "body in an attribute": doc(ROW, FIELDS.replace('"int"/>', '"int" ucd="&lt;TABLEDATA&gt;"/>')),
    "body in CDATA": doc(ROW, FIELDS.replace('"int"/>', '"int"><DESCRIPTION><![CDATA[<TABLEDATA>]]></DESCRIPTION></FIELD>')),
    "> in an attribute": doc(ROW, FIELDS.replace('"a"', '"a>b"')),
    "lower case": doc("<tr><td>1</td><td>x</td></tr>"),
    "stream in CDATA": binary(b"", text="<![CDATA[AAAAAQAAAAI=]]>"),
    "comment in a stream": binary(b"", text="AAAA<!-- xx -->AQAAAAI="),
    "reference in a stream": binary(b"", text="AAAAAQAAAAI&#61;"),
    "empty stream": binary(b""),
    "stream that does not say base64": binary(b"", text="AAAAAQAAAAI=", encoding=""),
    "indented lines": binary(b"", text="\n    AAAA\n    AQAA\n    AAI=\n  "),
    "unequal lines": binary(b"", text="\nAA\nAAAQ\nA\nAAAI=\n"),
    "stream without fields": binary(b"\0" * 8, fields=""),
}  # fmt: skip

# what must be refused, with a word of the message
REFUSED = {
    "undefined entity": (doc("<TR><TD>1</TD><TD>&nbsp;</TD></TR>"), "entity"),
    "bare ampersand": (doc("<TR><TD>1</TD><TD>a & b</TD></TR>"), "entity"),
    "less-than in a cell": (doc("<TR><TD>1</TD><TD>a < b</TD></TR>"), "well-formed"),
    "unclosed cell": (doc("<TR><TD>1<TD>x</TD></TR>"), "mismatched"),
    "few cells": (doc("<TR><TD>1</TD></TR>" + ROW), "1 cells for 2"),
    "many cells": (doc("<TR><TD>1</TD><TD>x</TD><TD>y</TD></TR>"), "3 cells for 2"),
    "empty row": (doc("<TR/>" + ROW), "0 cells for 2"),
    "control character": (doc("<TR><TD>1</TD><TD>a\x01b</TD></TR>"), "control"),
    "NUL": (doc("<TR><TD>1</TD><TD>a\0b</TD></TR>"), "control"),
    "end of CDATA": (doc("<TR><TD>1</TD><TD>a]]>b</TD></TR>"), "forbids"),
    "word for an integer": (doc("<TR><TD>abc</TD><TD>x</TD></TR>"), "'abc' is no int"),
    "float for an integer": (doc("<TR><TD>1.0</TD><TD>x</TD></TR>"), "'1.0' is no int"),
    "word for a boolean": (one("boolean", "yes"), "no boolean"),
    "letters in bits": (one("bit", "01x", arraysize="3"), "no bit"),
    "half a complex number": (one("floatComplex", "1"), "1 elements"),
    "part of an item": (one("int", "1 2 3", arraysize="2x*"), "multiple of 2"),
    "internal entity": (doc("<TR><TD>1</TD><TD>&x;</TD></TR>", before=DTD.format('<!ENTITY x "y">')), "entit"),
    "external entity": (doc("<TR><TD>1</TD><TD>&x;</TD></TR>", before=DTD.format('<!ENTITY x SYSTEM "file:///etc/passwd">')), "entit"),
    "billion laughs": (doc(ROW, before=DTD.format('<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">')), "entit"),
    "parameter entity": (doc(ROW, before=DTD.format('<!ENTITY % p SYSTEM "http://127.0.0.1:1/x">%p;')), "entit"),
    "UTF-7": (doc(ROW, declaration='<?xml version="1.0" encoding="utf-7"?>'), "encoding"),
    "Punycode": (doc(ROW, declaration='<?xml version="1.0" encoding="punycode"?>'), "encoding 'punycode'"),
    "host names": (doc(ROW, declaration='<?xml version="1.0" encoding="IDNA"?>'), "encoding 'IDNA'"),
    "escapes of Python": (doc(ROW, declaration='<?xml version="1.0" encoding="unicode_escape"?>'), "encoding"),
    "raw escapes": (doc(ROW, declaration='<?xml version="1.0" encoding="Raw-Unicode-Escape"?>'), "encoding"),
    "no text": (doc(ROW, declaration='<?xml version="1.0" encoding="base64"?>'), "encoding 'base64'"),
    "another alphabet": (doc(ROW, declaration='<?xml version="1.0" encoding="cp037"?>'), "encoding 'cp037'"),
    "unknown encoding": (doc(ROW, declaration='<?xml version="1.0" encoding="foo-9"?>'), "encoding"),
    "bad UTF-8": (doc("<TR><TD>1</TD><TD>XX</TD></TR>").encode().replace(b"XX", b"\xff\xfe"), "UTF-8"),
    "truncated": (doc(ROW * 5)[:-90], "truncated"),
    "truncated in a row": (doc(ROW * 5)[:-120], "truncated"),
    "no VOTable": ('<?xml version="1.0"?><html></html>', "html"),
    "nothing": ("", "well-formed"),
    "text": ("hello", "well-formed"),
    "deep": ("<VOTABLE>" + "<RESOURCE>" * 100_000, "deep"),
    "long attribute": (doc(ROW, FIELDS.replace('"int"/>', f'"int" ucd="{"x" * 2_000_000}"/>')), "attributes"),
    "huge array": (one("int", "1", arraysize="99999999999"), "impossible"),
    "huge axes": (one("int", "1", arraysize="1000000x1000000x100000"), "impossible"),
    "array that is not there": (one("int", "1", arraysize="500000000"), "declared"),
    "bits that are not there": (one("bit", "1", arraysize="500000000"), "declared"),
    "texts that are not there": (one("char", "1", arraysize="2x500000000"), "declared"),
    "unknown datatype": (one("bar", "1"), "datatype"),
    "partial row": (binary(b"\0\0\0\1\0\0\0\1\0"), "truncated"),
    "no base64": (binary(b"", text="AA*AAQAAAAE="), "base64"),
    "padding inside": (binary(b"", text="AAAAAQ==AAAAAQ=="), "row 2"),
    "negative length": (binary(b"\xff\xff\xff\xff\0\0", '<FIELD name="a" datatype="int" arraysize="*"/>'), "impossible length"),
    "huge length": (binary(b"\x7f\xff\xff\xff\0\0", '<FIELD name="a" datatype="int" arraysize="*"/>'), "truncated"),
    "no boolean in binary": (binary(b"x", '<FIELD name="a" datatype="boolean"/>'), "0x78"),
    "unknown stream encoding": (binary(b"\0\0\0\1", encoding=' encoding="rot13"'), "rot13"),
    "wrong nesting": ("<VOTABLE><RESOURCE></TABLE></RESOURCE></VOTABLE>", "mismatched"),
    "unclosed comment": (doc(ROW + "<!-- "), "truncated"),
    "unclosed CDATA": (doc("<TR><TD><![CDATA[ 1"), "truncated"),
    "dashes in a comment": (doc("<!-- a -- b -->" + ROW), "well-formed"),
}  # fmt: skip
