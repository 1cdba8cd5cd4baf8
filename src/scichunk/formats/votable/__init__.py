"""VOTable: all serializations (VOTable 1.0 to 1.5)."""

from __future__ import annotations

import re
from typing import Final

from scichunk.core.registry import FormatSpec
from scichunk.core.selectors import Selector, choice, flag, index_or_name, text

__all__ = ["SPEC"]

_ROOT: Final = re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?VOTABLE[\s>/]|<!DOCTYPE\s+VOTABLE\b")


def _sniff(head: bytes) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] != b"<":
        from scichunk.sources.whole_file import find_compression, first_bytes

        if head[:2] in {b"\xff\xfe", b"\xfe\xff", b"\0<"} or head[:2] == b"<\0":
            start = head.replace(b"\0", b"").lstrip(b"\xff\xfe \t\r\n")  # UTF-16, with its byte order mark or without
        elif find_compression(head) in {"gzip", "bzip2", "xz"}:
            begins_well = first_bytes(head, 1)[:1] in {b"<", b"\xef"}
            return begins_well and _sniff(first_bytes(head, 4096).lstrip())
    if start[:2] == b"<\0":
        start = start.replace(b"\0", b"")
    # Declarations, comments and DOCTYPE come before the root; of a long comment only the beginning is here.
    return _ROOT.search(start[:4096]) is not None and start[:1] == b"<"


SPEC: Final = FormatSpec(
    "votable",
    "VOTable: TABLEDATA, BINARY, BINARY2, FITS and PARQUET",
    tuple(stem + end for stem in (".vot", ".votable", ".xml") for end in ("", ".gz", ".bz2", ".xz")),
    _sniff,
    "scichunk.formats.votable.file",
    selectors=(
        Selector(
            "table", index_or_name, "position in document order, or its ID or name", ("array", "table", "dataset")
        ),
        Selector("column", text, "name of a column", ("array",)),
        Selector("on_error", choice("raise", "null"), "what becomes of values that cannot be read", ("table",)),
        Selector("astropy_compat", flag, "lose what astropy loses", ("table",)),
    ),
    writer="scichunk.formats.votable.write.writer",
    engine="scichunk.formats.votable.engine:VOTableBackend",
    mime_types=("application/x-votable+xml",),
    kernels=("tabledata", "binary"),
)
