"""What a JPEG 2000 file says of its image: georeferencing through GDAL, texts of boxes, meaning of the components."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from scichunk.errors import FormatError, MetadataWarning
from scichunk.formats.jpeg2000.boxes import SIGNATURE, Box
from scichunk.formats.jpeg2000.channels import find_channels
from scichunk.formats.jpeg2000.structure import Group, JPEG2000Structure
from scichunk.lru import LRU, memory_of
from scichunk.raster.gdal import RasterMetadata, ask_gdal, empty_metadata
from scichunk.raster.texts import MOST_BYTES, MOST_POINTS, excess, read_beside
from scichunk.sources import Location
from scichunk.warned import warn_caller

__all__ = ["GEOJP2", "box_names", "box_texts", "component_attrs", "pick_metadata", "read_metadata"]

GEOJP2: Final = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")
_XMP: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_POINT_BYTES: Final = 48
"""Of a control point in GeoJP2."""
_MOST_BANDS: Final = 1024

_known: LRU[RasterMetadata] = LRU(
    lambda: 1 << 24, memory_of, weigh_key=memory_of, most=lambda: 256, name="metadata of JPEG 2000"
)


def read_metadata(structure: JPEG2000Structure, name: str = "", files: Sequence[Location] = ()) -> RasterMetadata:
    """Let GDAL interpret boxes and files beside a local one, in its order: PAM, GeoJP2, GMLJP2, world file.

    Parameters
    ----------
    structure
        Of the file.
    name
        Of the file, by which GDAL finds what lies beside it.
    files
        Files beside it that count.

    Returns
    -------
    RasterMetadata
        One entry for each component.

    Warns
    -----
    MetadataWarning
        If two of these place the image differently, or a PAM file is damaged, or boxes or files are too large.
    """
    texts, problems = read_beside(files)
    boxes = [b for b in structure.all_boxes if b.kind != b"jp2c"]
    problems += _choose_boxes(structure, boxes)[1]
    if problems:
        msg = f"metadata that are left out or make no sense: {'; '.join(problems)} [{structure.reader.source.url}]"
        warn_caller(msg, MetadataWarning)
    bands = len(structure.header.size.components)
    found = _metadata_inside(structure) if structure.boxes else None
    beside = ask_gdal("JP2OpenJPEG", _write_stub(structure, boxes), name, texts) if texts else None
    if beside is not None:
        if found is not None and found.crs_wkt and _placements_differ(found, beside):
            msg = f"{structure.reader.source.url}: a file beside it places the image differently than its boxes do; it wins, as in GDAL"
            warn_caller(msg, MetadataWarning)
        found = beside
    plain = replace(empty_metadata(bands), tags={})
    if found is None:
        return plain
    if len(found.nodata) != bands:  # an image of more components than GDAL was shown
        return replace(plain, crs_wkt=found.crs_wkt, transform=found.transform, gcps=found.gcps, tags=found.tags)
    return found


def _metadata_inside(structure: JPEG2000Structure) -> RasterMetadata | None:
    """Ask GDAL what the boxes say; where two of them place the image, whether they agree."""
    boxes = [b for b in structure.all_boxes if b.kind != b"jp2c"]
    geojp2 = {b.start for b in boxes if _read_uuid(structure, b) == GEOJP2}  # by place: there may be thousands of boxes
    gml = {b.start for b in boxes if b.kind == b"asoc"}
    found = _ask_cached(structure, boxes)
    if geojp2 and gml:
        one = _ask_cached(structure, [b for b in boxes if b.start not in gml])
        other = _ask_cached(structure, [b for b in boxes if b.start not in geojp2])
        if one and other and other.crs_wkt and _placements_differ(one, other):
            msg = f"{structure.reader.source.url}: its boxes GeoJP2 and GMLJP2 place the image differently; GeoJP2 wins, as in GDAL"
            warn_caller(msg, MetadataWarning)
    return found


def _placements_differ(one: RasterMetadata, other: RasterMetadata) -> bool:
    """Whether two placements differ by more than a thousandth of a pixel, or in the coordinate system."""
    pixel = max(abs(v) for v in (*one.transform[:2], *one.transform[3:5])) or 1.0
    if any(abs(a - b) > 1e-3 * pixel for a, b in zip(one.transform, other.transform, strict=True)):
        return True
    if one.crs_wkt == other.crs_wkt or not (one.crs_wkt and other.crs_wkt):
        return False
    from rasterio.crs import CRS

    return bool(CRS.from_wkt(one.crs_wkt) != CRS.from_wkt(other.crs_wkt))


def _ask_cached(structure: JPEG2000Structure, boxes: list[Box]) -> RasterMetadata | None:
    stub = _write_stub(structure, boxes)
    known = _known.get((stub,))
    if known is None:
        known = ask_gdal("JP2OpenJPEG", stub)
        if known is not None:
            _known.put((stub,), known)
    return known


def _choose_boxes(structure: JPEG2000Structure, boxes: list[Box]) -> tuple[set[int], list[str]]:
    """Choose the boxes that GDAL is given with their content; of too many bytes together, the shorter ones.

    Returns
    -------
    tuple of set and list
        Where these begin, and what is left out of those that may describe the image.
    """
    chosen: set[int] = set()
    left_out: list[str] = []
    room = MOST_BYTES
    for box in sorted(boxes, key=lambda b: (b.stop - b.first, b.start)):
        size = box.stop - box.first
        much = f"{size} bytes" if size > room else ""
        if not much and box.kind == b"uuid" and size > MOST_POINTS * _POINT_BYTES:
            much = f"{size} bytes"
        elif not much and box.kind in {b"xml ", b"asoc"}:
            much = excess(bytes(structure.reader.get(box.first, box.stop)))
        if not much:
            room -= size
            chosen.add(box.start)
        elif box.kind in {b"xml ", b"asoc", b"uuid"}:
            left_out.append(f"box {box.kind.decode().strip()} at {box.start} has {much}")
    return chosen, left_out


def _write_stub(structure: JPEG2000Structure, boxes: list[Box]) -> bytes:
    """Write a JP2 file of the same boxes and size without any pixels, which GDAL interprets as it would the file."""
    chosen, parts = _choose_boxes(structure, boxes)[0], list[bytes]()
    for box in boxes:
        body = bytes(structure.reader.get(box.first, box.stop)) if box.start in chosen else b""
        parts.append(struct.pack(">I4s", 8 + len(body), box.kind) + body)
    _, rows, columns = structure.group_shape(structure.groups[0], 0)
    components = structure.header.size.components
    shown = components if len(components) <= _MOST_BANDS else components[:1]
    depths = b"".join(bytes(((c.bits - 1) | (c.signed << 7), 1, 1)) for c in shown)
    siz = struct.pack(">HHH8IH", 0xFF51, 38 + len(depths), 0, columns, rows, 0, 0, columns, rows, 0, 0, len(shown))
    cod = struct.pack(">HHBBHBBBBBB", 0xFF52, 12, 0, 0, 1, 0, 0, 4, 4, 0, 1)
    tile = struct.pack(">HHBB", 0xFF5C, 4, 0x40, 0x40) + struct.pack(">HHHIBBH", 0xFF90, 10, 0, 14, 0, 1, 0xFF93)
    # A codestream of one empty tile: GDAL reads the boxes as it opens a file, and opens none without a codestream.
    code = b"\xff\x4f" + siz + depths + cod + tile + b"\xff\xd9"
    if not boxes:  # a bare codestream
        return code
    if not parts[0].startswith(SIGNATURE[:8]):
        parts.insert(0, SIGNATURE)
    return b"".join([*parts, struct.pack(">I4s", 8 + len(code), b"jp2c"), code])


def pick_metadata(
    structure: JPEG2000Structure, metadata: RasterMetadata, group: Group, *, expand: bool
) -> RasterMetadata:
    """Metadata of a group's components, or of channels that are made of them: what is said of indices is not said of colours."""
    mine = _pick_components(metadata, group.components)
    if not expand:
        return mine
    channels = find_channels(structure.image, len(group.components))

    def some(values: Sequence[Any], otherwise: Any) -> tuple[Any, ...]:
        return tuple(values[c.component] if c.column is None else otherwise for c in channels)

    found = replace(
        mine, nodata=some(mine.nodata, None), scales=some(mine.scales, 1.0), offsets=some(mine.offsets, 0.0),
        units=some(mine.units, None), descriptions=some(mine.descriptions, None),
    )  # fmt: skip
    return found if structure.image.palette is None else replace(found, colorinterp=(), band_tags=(), colormaps={})


def _pick_components(metadata: RasterMetadata, components: tuple[int, ...]) -> RasterMetadata:
    """Metadata of some of the components."""
    if len(components) == len(metadata.nodata):
        return metadata

    def some(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[i] for i in components) if len(values) > max(components) else ()

    return replace(
        metadata, nodata=some(metadata.nodata), scales=some(metadata.scales), offsets=some(metadata.offsets),
        units=some(metadata.units), descriptions=some(metadata.descriptions), colorinterp=some(metadata.colorinterp),
        band_tags=some(metadata.band_tags),
        colormaps={n: metadata.colormaps[i + 1] for n, i in enumerate(components, 1) if i + 1 in metadata.colormaps},
    )  # fmt: skip


def component_attrs(structure: JPEG2000Structure, group: Group) -> dict[str, Any]:
    """Attributes of the samples as they are stored: depth, channels, palette, place on the reference grid."""
    image, size = structure.image, structure.header.size
    same = len(set(group.bits)) == 1
    attrs: dict[str, Any] = {"valid_bits": group.bits[0] if same else group.bits}
    if len(set(group.signed)) > 1:
        attrs["stored_signed"] = tuple(int(s) for s in group.signed)
    if image.colour:
        attrs["color_space"] = image.colour
    if image.channels:
        attrs["channel_definition"] = json.dumps(
            [list(c) for c in image.channels]
        )  # netCDF has no attributes of two dimensions
    if image.palette is not None:
        attrs["palette"] = json.dumps(image.palette.table.tolist())
        attrs["palette_mapping"] = json.dumps([list(m) for m in image.palette.mapping])
    if image.resolution is not None:
        attrs["samples_per_metre"] = image.resolution
    if size.x0 or size.y0:
        attrs["image_offset"] = (size.x0, size.y0)
    if size.tile_x0 or size.tile_y0:
        attrs["tile_offset"] = (size.tile_x0, size.tile_y0)
    if (group.dx, group.dy) != (1, 1):
        attrs["sample_distance"] = (group.dx, group.dy)
    return attrs


def box_texts(structure: JPEG2000Structure) -> Mapping[str, Any]:
    """Texts of the file: XML boxes, XMP, GMLJP2, comments of the codestream; as they are."""
    found: dict[str, list[str]] = {"comment": [c.rstrip("\0") for c in structure.header.comments]}
    room = MOST_BYTES
    for outer in structure.all_boxes:
        for box in outer.iterate_boxes():
            name = "xml" if box.kind == b"xml " else "xmp" if _read_uuid(structure, box) == _XMP else ""
            if name and box.stop - box.first <= room:
                room -= box.stop - box.first
                body = bytes(structure.reader.get(box.first + (16 if name == "xmp" else 0), box.stop))
                name = "gml" if outer.kind == b"asoc" else name
                found.setdefault(name, []).append(body.rstrip(b"\0").decode("utf-8", "replace"))
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in found.items() if texts}


def box_names(structure: JPEG2000Structure) -> list[str]:
    """Names of all boxes and where they begin, for people: ``jp2h(ihdr, colr) at 32``."""

    def name(box: Box) -> str:
        text = box.kind.decode("latin-1").strip()
        if _read_uuid(structure, box) == GEOJP2:
            text += " GeoJP2"
        inner = ", ".join(name(b) for b in box.children)
        return f"{text}({inner})" if inner else text

    return [f"{name(b)} at {b.start}" for b in structure.all_boxes]


def _read_uuid(structure: JPEG2000Structure, box: Box) -> bytes:
    if box.kind != b"uuid" or box.stop - box.first < 16:
        return b""
    try:
        return bytes(structure.reader.get(box.first, box.first + 16))
    except FormatError:  # the box ends beyond the file; what cannot be fetched is an error
        return b""
