"""What to do instead, where a name or a content is not what scichunk takes but what people often give."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Final

from scichunk.core import registry

__all__ = ["content_hint", "name_hint"]

_Match = re.Match[str]


def _restore_root(path: str) -> str:
    """A path that lost its first slash when two of them became one."""
    return "/" + path if not path.startswith("/") and os.path.exists("/" + path) else path


_NAMES: Final[tuple[tuple[re.Pattern[str], Callable[[_Match], str]], ...]] = (
    (
        re.compile(r"^(zip|tar)(?:\+file)?://(?P<archive>[^!]+)!/?(?P<member>.+)$"),
        lambda m: f"members of archives are named {m[1]}://{m['member']}::{m['archive']} here",
    ),
    (
        re.compile(r"^(zip|tar)\+(?P<way>\w+)://(?P<archive>[^!]+)!/?(?P<member>.+)$"),
        lambda m: f"members of archives are named {m[1]}://{m['member']}::{m['way']}://{m['archive']} here",
    ),
    (
        re.compile(r"/vsi(?P<kind>zip|tar)/(?P<archive>.+?\.(?:zip|tar|tgz|kmz))\}?/(?P<member>.+)$", re.IGNORECASE),
        lambda m: f"members of archives are named {m['kind']}://{m['member']}::{_restore_root(m['archive'].lstrip('{'))} here",
    ),
    (re.compile(r"/vsi(?:zip|tar)/"), lambda _: "members of archives are named zip://member::archive.zip here"),
    (re.compile(r"/vsicurl(?:_streaming)?/(?:\?.*?url=)?(?P<url>.+)$"), lambda m: f"give the URL itself: {m['url']}"),
    (re.compile(r"/vsi(?P<kind>s3|gs)(?:_streaming)?/(?P<path>.+)$"), lambda m: f"give the URL: {m['kind']}://{m['path']}"),
    (re.compile(r"/vsiaz(?:_streaming)?/(?P<path>.+)$"), lambda m: f"give the URL: az://{m['path']}"),
    (re.compile(r"/vsigzip/"), lambda _: "expand the file first, or give a file object of gzip.open"),
    (re.compile(r"/vsimem/"), lambda _: "give the bytes, or the rasterio MemoryFile itself"),
    (
        re.compile(r"(?:^|/)GTIFF_DIR:(?P<number>\d+):(?P<path>.+)$"),
        lambda m: f"give the file and which image of it: {m['path']} with page= or overview= (GDAL counts directories from 1)",
    ),
    (re.compile(r"(?:^|/)GTIFF_(?:DIR|RAW):"), lambda _: "give the file itself, and page= or overview= for an image of it"),
    (re.compile(r"^https?\+|^(?:s3|gs|az|https?)\+"), lambda _: "give the URL without the prefix before the plus sign"),
    (re.compile(r"(?:^|/)file:(?!//)"), lambda _: "URLs of files begin with file://"),
    (
        re.compile(r"(?:^|/)(?:vrt|netcdf|hdf4|hdf5|hdf4_sds):", re.IGNORECASE),
        lambda _: "names of GDAL's subdatasets are for the engine 'rasterio'",
    ),
    (re.compile(r"^[^?]*\*"), lambda _: "patterns of several files are for scichunk.open_stack, from_files and read_table"),
)  # fmt: skip
_HTML: Final = re.compile(
    rb"^(?:<\?xml[^>]*+>\s*+)?(?:<!--(?:(?!-->).)*+-->\s*+)*+<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_VRT: Final = re.compile(rb"^(?:<\?xml[^>]*+>\s*+)?<VRTDataset\b")
_BEGINNINGS: Final = (
    (b"\x89PNG\r\n", "it is a PNG image, which the engine 'rasterio' reads"),
    (b"\xff\xd8\xff", "it is a JPEG image, which the engine 'rasterio' reads"),
    (b"GIF8", "it is a GIF image, which the engine 'rasterio' reads"),
    (b"BM", "it looks like a BMP image, which the engine 'rasterio' reads"),
    (b"%PDF", "it is a PDF document"),
    (b"PK\3\4", "it is a zip archive: its members are named zip://member::archive.zip"),
    (b"PK\5\6", "it is an empty zip archive"),
    (b"\x1f\x8b", "it is compressed by gzip as a whole: expand it first"),
    (b"BZh", "it is compressed by bzip2 as a whole: expand it first"),
    (b"\xfd7zXZ\0", "it is compressed by xz as a whole: expand it first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd as a whole: expand it first"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive"),
    (b"\x89HDF\r\n", "it is an HDF5 or netCDF-4 file, for the engines 'h5netcdf' and 'netcdf4'"),
    (b"CDF\1", "it is a netCDF file, for the engines 'scipy' and 'netcdf4'"),
    (b"CDF\2", "it is a netCDF file, for the engines 'scipy' and 'netcdf4'"),
    (b"GRIB", "it is a GRIB file, for the engine 'cfgrib'"),
    (b"version https://git-lfs", "it is a pointer of git-lfs, not the file: run 'git lfs pull'"),
    (b"/annex/objects/", "it is a pointer of git-annex, not the file: run 'git annex get'"),
)  # fmt: skip


def name_hint(name: str) -> str:
    """Say how scichunk names what GDAL or rasterio would find under a name; empty if nothing is known."""
    for pattern, say in _NAMES:
        found = pattern.search(name)
        if found:
            return say(found)
    return ""


def content_hint(head: bytes) -> str:
    """Say what a file is by its first bytes; empty if they say nothing."""
    if not head:
        return "it is empty"
    spec = registry.sniff_format(head)
    if spec is not None:
        return f"it looks like {spec.name}, which the engine 'scichunk' would find"
    for beginning, text in _BEGINNINGS:
        if head.startswith(beginning):
            return text
    body = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _VRT.match(body):
        return "it is a VRT, which refers to other files: give those, or use the engine 'rasterio'"
    if _HTML.match(body):
        return "it is an HTML page, perhaps of an error or a login"
    if body.startswith(b"<"):
        return "it is an XML text, perhaps the error of a server"
    if body.startswith((b"{", b"[")):
        return "it is a JSON text; of a STAC item give the href of an asset"
    return ""
