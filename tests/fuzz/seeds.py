"""The sound files that mutants are made of: those of test_data, and those that tests/fuzz/make_seeds has written."""

from __future__ import annotations

import gzip
import zipfile
from functools import cache
from pathlib import Path

ARCHIVE = Path(__file__).with_name("seeds.zip")
DATA = Path(__file__).resolve().parents[2] / "test_data"
SUFFIXES = {
    "fits": (".fits",),
    "geotiff": (".tif",),
    "jpeg2000": (".jp2", ".j2k", ".jph"),
    "votable": (".vot", ".vot.gz"),
}
KINDS = tuple(SUFFIXES)
_MOST_BYTES = 40_000
"""Larger samples are left out: they cost time, and hold nothing that smaller ones do not."""


@cache
def seeds(kind: str) -> dict[str, bytes]:
    """Files of a format by name; compressed ones also without their compression, so that mutators see inside."""
    found = {}
    with zipfile.ZipFile(ARCHIVE) as archive:
        for name in archive.namelist():
            if name.startswith(f"{kind}/"):
                found[name.removeprefix(f"{kind}/")] = archive.read(name)
    for path in sorted(DATA.iterdir()):
        if path.name.endswith(SUFFIXES[kind]) and path.stat().st_size <= _MOST_BYTES:
            found[path.name] = path.read_bytes()
    inside = {f"{name} inside": gzip.decompress(data) for name, data in found.items() if data[:2] == b"\x1f\x8b"}
    return found | {name: data for name, data in inside.items() if len(data) <= _MOST_BYTES}
