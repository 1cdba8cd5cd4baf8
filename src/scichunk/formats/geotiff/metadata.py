"""What rasterio says of a raster, as plain values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.errors import MetadataWarning
from scichunk.formats.geotiff.structure import TIFFImage
from scichunk.formats.geotiff.stub import TELLING, choose_tags, make_stub
from scichunk.lru import LRU, memory_of
from scichunk.raster.gdal import RasterMetadata, ask_gdal, empty_metadata
from scichunk.raster.texts import metadata_problems, number_problem, read_beside
from scichunk.sources import Location
from scichunk.warned import warn_caller

__all__ = ["fill_value", "filled_with", "read_metadata"]

_NAMES: Final = {
    269: "DocumentName", 270: "ImageDescription", 282: "XResolution", 283: "YResolution", 305: "Software", 306: "DateTime",
    315: "Artist", 320: "ColorMap", 338: "ExtraSamples", 33432: "Copyright", 33550: "ModelPixelScale", 33922:
    "ModelTiepoint", 34264: "ModelTransformation", 34735: "GeoKeyDirectory", 34736: "GeoDoubleParams", 34737:
    "GeoAsciiParams", 42112: "GDAL_METADATA", 42113: "GDAL_NODATA", 50844: "RPCCoefficient",
}  # fmt: skip
_NUMBER: Final = re.compile(r"(?:\+?-|\+)?(\d{1,400}(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?inf|nan", re.ASCII | re.IGNORECASE)
"""What GDAL takes of the text of nodata: the number that it begins with (CPLAtof)."""
_MICROSOFT: Final = re.compile(r"(-?1\.#INF)|1\.#(?:QNAN|SNAN)|-1\.#(?:QNAN|IND)", re.ASCII | re.IGNORECASE)
"""How older libraries of Microsoft write infinity and NaN."""
_INTEGER: Final = re.compile(r"([+-]?)0*(\d{0,21})", re.ASCII)
"""What it takes of integers of 64 bits (strtoll): 20 digits are all that may count."""
_MANY_BANDS: Final = 4096
"""Metadata of more bands are not kept: weighing them takes longer than asking GDAL."""
_known: LRU[RasterMetadata] = LRU(
    lambda: 1 << 24, memory_of, weigh_key=memory_of, most=lambda: 256, name="metadata of GeoTIFF"
)
_problems: LRU[tuple[str, ...]] = LRU(
    lambda: 1 << 22, memory_of, weigh_key=memory_of, most=lambda: 256, name="problems of GeoTIFF's metadata"
)


def read_metadata(image: TIFFImage, name: str = "", beside: Sequence[Location] = ()) -> RasterMetadata:
    """Let GDAL interpret the tags of a directory.

    Parameters
    ----------
    image
        The directory.
    name
        Of the file, by which GDAL finds what lies beside it.
    beside
        Files beside it (PAM, world files, ...) that count.

    Warns
    -----
    MetadataWarning
        For tags whose values lie outside the file, or are too long, and for texts that GDAL leaves out without a word.
    """
    texts, problems = read_beside(beside)
    _check_tags(image, problems)
    if not texts and not TELLING.intersection(image.directory.tags):
        return empty_metadata(image.samples)
    stub = make_stub(image)
    if image.samples > _MANY_BANDS:
        return _with_exact_nodata(ask_gdal("GTiff", stub, name, texts) or empty_metadata(image.samples), image)
    key = (stub, name if texts else "", *texts.items())
    known = _known.get(key)
    if known is None:
        known = _known.put(key, ask_gdal("GTiff", stub, name, texts) or empty_metadata(image.samples))
    return _with_exact_nodata(known, image)


def _with_exact_nodata(metadata: RasterMetadata, image: TIFFImage) -> RasterMetadata:
    """Put the nodata value of 64-bit integers in as the integer of its tag.

    rasterio hands it out as a double, which is another number beyond 2^53, and None where the double lies outside of the type. A value
    that differs otherwise is that of a file beside the raster, and stays.
    """
    if 42113 not in image.directory.tags or set(image.bits) != {64} or not set(image.sample_format) <= {1, 2}:
        return metadata
    kind = np.dtype("i8" if set(image.sample_format) == {2} else "u8")
    exact = _long_integer(image.directory.get_text(42113), kind)
    outside = float(exact) > np.iinfo(kind).max
    return replace(
        metadata, nodata=tuple(exact if n == float(exact) or (n is None and outside) else n for n in metadata.nodata)
    )


def _long_integer(text: str, dtype: np.dtype[Any]) -> int:
    """Integer of 64 bits that a text begins with, 0 without one, as C has it: clamped, and of unsigned ones -1 is the largest."""
    found = _INTEGER.match(text.strip())
    if found is None or not found[2]:
        return 0
    number, limits = int(found[2]), np.iinfo(dtype)
    if dtype.kind == "u":
        highest = int(limits.max)
        return highest if number > highest else -number % (highest + 1) if found[1] == "-" else number
    return int(min(max(-number if found[1] == "-" else number, limits.min), limits.max))


def _check_tags(image: TIFFImage, beside: Sequence[str]) -> None:
    """Warn of what is left out, here or by GDAL, and of what is wrong with the files beside."""
    directory = image.directory
    found = [f"{_tag_name(code)} lies outside the file" for code in directory.lost]
    chosen, left_out = choose_tags(directory)
    found += [f"{_tag_name(code)} {why}" for code, why in left_out.items()]
    if 42112 in chosen:
        text = directory.raw_bytes(42112)
        problems = _problems.get(text)
        if problems is None:  # files of a series have the same text, and it is XML
            problems = _problems.put(text, tuple(metadata_problems(text.split(b"\0", 1)[0])))
        found += problems
    if 42113 in directory.tags and (nodata := number_problem("nodatavalue", directory.get_text(42113))):
        found.append(nodata)
    found += beside
    if found:
        msg = f"metadata that are left out or make no sense: {'; '.join(found)} [{directory.reader.source.url}]"
        warn_caller(msg, MetadataWarning)


def _tag_name(code: int) -> str:
    known = _NAMES.get(code)
    return f"tag {code} ({known})" if known else f"tag {code}"


def fill_value(image: TIFFImage, dtype: np.dtype[Any]) -> int | float | complex:
    """Value of absent tiles: nodata (tag 42113) clamped to the type, as GDAL fills them, else 0."""
    if 42113 not in image.directory.tags:
        return 0
    text = image.directory.get_text(42113)
    if dtype.kind in "iu" and dtype.itemsize == 8:
        return _long_integer(text, dtype)
    return _clamp_number(_parse_number(text), dtype)


def filled_with(nodata: Sequence[float | None], dtype: np.dtype[Any]) -> int | float | complex | npt.NDArray[Any]:
    """Value of absent tiles, or of those of each band, where GDAL says what nodata is, as where a PAM file does."""
    numbers = [0 if n is None else _clamp_number(n, dtype) for n in nodata]
    alike = len({repr(n) for n in numbers}) <= 1  # NaN is
    return (numbers or [0])[0] if alike else np.array(numbers, dtype)


def _parse_number(text: str) -> float:
    """The number that the text of nodata begins with; 0 without one."""
    text = text.strip()
    odd = _MICROSOFT.match(text)
    if odd is not None:
        return math.nan if odd[1] is None else math.copysign(math.inf, -1 if text[0] == "-" else 1)
    found = _NUMBER.match(text.replace(",", "."))
    return 0.0 if found is None else float(found[0].replace("+-", "-"))


def _clamp_number(number: float, dtype: np.dtype[Any]) -> int | float | complex:
    """A number as GDAL converts it to a type."""
    if dtype.kind in "fc":
        return number
    if number != number:  # noqa: PLR0124  # NaN in integers
        return 0
    limits = np.iinfo(dtype)
    if abs(number) == math.inf:
        return int(limits.max if number > 0 else limits.min)
    whole = isinstance(number, int)  # of 64 bits, which a double would round
    nearest = number if whole else math.trunc(number + math.copysign(0.5, number))  # halves away from 0
    return int(min(max(nearest, limits.min), limits.max))
