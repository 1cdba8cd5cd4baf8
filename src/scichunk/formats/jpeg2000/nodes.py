"""From structure and metadata to nodes, and to descriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from scichunk.codecs.jpeg2000 import openjpeg
from scichunk.codecs.jpeg2000.parameters import ceil_div
from scichunk.core.arrays import ArraySource
from scichunk.core.files import ArrayInfo, ArrayVar, Coordinate, Node
from scichunk.core.staged import StagedArray
from scichunk.errors import ScichunkError
from scichunk.formats.jpeg2000.array_ids import DecodedId, ImageId
from scichunk.formats.jpeg2000.metadata import box_names, box_texts, component_attrs, pick_metadata
from scichunk.formats.jpeg2000.structure import Group, JPEG2000Structure
from scichunk.raster.affine import Affine6, scale_transform, shift_transform
from scichunk.raster.gdal import RasterMetadata
from scichunk.raster.points import count_other_pixels, is_placed_by_points
from scichunk.raster.variables import Masked, Naming, band_data, coordinates, crs_name, is_masked

__all__ = ["build_node", "describe_group", "name_group", "notes_of"]


def build_node(
    structure: JPEG2000Structure,
    metadata: RasterMetadata,
    array: Callable[[ImageId], ArraySource],
    reduce: int,
    *,
    expand: bool,
) -> Node:
    """Build the node of the full image (``reduce=0``) or of a reduced one: a variable for each group of components."""
    arrays: list[ArrayVar] = []
    coords: dict[str, Coordinate] = {}
    for number, group in enumerate(structure.groups):
        names = name_group(number)
        array_id = ImageId(number, reduce, expand=expand)
        source = array(array_id)
        mine = pick_metadata(structure, metadata, group, expand=expand)
        masked = None
        if is_masked(mine, source.shape[0], source.dtype):
            where = DecodedId(number, reduce, expand=expand)
            masked = Masked(where, array(where))
        var = band_data(source, array_id, mine, codec_name(source), names, masked=masked)
        arrays.append(_with_attrs(var, component_attrs(structure, group), expand=expand))
        found = coordinates(*place_group(structure, group, mine, reduce), source.shape, names)
        coords = {**found, **coords}  # the first group's spatial_ref stays
    return Node(tuple(arrays), coords, box_texts(structure))


def name_group(number: int) -> Naming:
    """Name the variable of a group of components, and its dimensions."""
    end = f"_{number + 1}" if number else ""
    return Naming("band_data" + end, ("band" + end, "y" + end, "x" + end))


def _with_attrs(var: ArrayVar, attrs: dict[str, Any], *, expand: bool) -> ArrayVar:
    if expand:
        attrs = {
            k: v
            for k, v in attrs.items()
            if k not in {"palette", "palette_mapping", "channel_definition", "valid_bits"}
        }
    raw = None if var.raw is None else replace(var.raw, attrs={**var.raw.attrs, **attrs})
    return replace(var, attrs={**var.attrs, **attrs}, raw=raw)


def place_group(
    structure: JPEG2000Structure, group: Group, metadata: RasterMetadata, reduce: int
) -> tuple[RasterMetadata, Affine6]:
    """Metadata and transform of a group's pixels, halved some times, from those of the full first group."""
    mine = count_other_pixels(metadata, place_on_grid(structure, group, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), reduce))
    placed = is_placed_by_points(metadata)
    return mine, metadata.transform if placed else place_on_grid(structure, group, metadata.transform, reduce)


def place_on_grid(structure: JPEG2000Structure, group: Group, transform: Affine6, reduce: int) -> Affine6:
    """Transform of a group's pixels, halved some times, from that of the finest pixels, which need not be those of the first (B.2, B.5).

    The grid of a reduced image begins at a multiple of its step, which need not be where the image begins.
    """
    s, dx, dy = structure.header.size, min(g.dx for g in structure.groups), min(g.dy for g in structure.groups)
    moves = []
    for low, step, unit in ((s.x0, group.dx, dx), (s.y0, group.dy, dy)):
        start = ceil_div(ceil_div(low, step), 1 << reduce) * (step << reduce)
        moves.append(start / unit - ceil_div(low, unit))
    if moves != [0, 0]:
        transform = shift_transform(transform, *moves)
    if reduce or (group.dx, group.dy) != (dx, dy):
        transform = scale_transform(transform, (group.dx << reduce) / dx, (group.dy << reduce) / dy)
    return transform


def codec_name(source: ArraySource) -> str:
    """How the pixels are encoded, for people."""
    return source.index.codec.name if isinstance(source, StagedArray) else "JPEG 2000"


def describe_group(
    structure: JPEG2000Structure,
    path: str,
    which: ImageId,
    array: Callable[[ImageId], ArraySource],
    notes: Mapping[str, Any],
) -> ArrayInfo:
    """Describe the samples of a group of components; those that cannot be read say why."""
    group, names = structure.groups[which.group], name_group(which.group)
    shape: tuple[int, ...] = structure.group_shape(group, which.reduce)
    native, dtype, codec = shape, "?", "?"
    try:
        source = array(which)
        native, dtype, codec, reader = source.grid.chunk_shape, str(source.dtype), codec_name(source), source.reader
    except ScichunkError as error:
        reader = f"cannot be read: {error.message}"
    stored = None if which.reduce or which.group else structure.stop - structure.start
    return ArrayInfo(path, names.variable, names.dims, shape, dtype, native, codec, reader, stored, notes)


def notes_of(structure: JPEG2000Structure, metadata: RasterMetadata, tile_index: str) -> dict[str, Any]:
    """What is said of a file as a whole; ``tile_index``: how its tile-parts were found, empty if nobody has looked yet."""
    header, size = structure.header, structure.header.size
    notes: dict[str, Any] = {
        "tiles": f"{size.down} x {size.across} of {size.tile_y} x {size.tile_x}, {len(size.components)} components",
        "coding": f"{header.levels} levels, {header.layers} layers, {header.order}",
        "tile index": tile_index or ("TLM" if len(header.lengths) else "by tile-parts, on first read"),
        "decoder": openjpeg.describe_library(),
        "crs": crs_name(metadata),
        "transform": list(metadata.transform),
    }
    if structure.boxes:
        notes["boxes"] = ", ".join(box_names(structure))
    return notes
