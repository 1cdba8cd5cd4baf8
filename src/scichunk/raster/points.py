"""Control points and rational polynomials, which place pixels by their numbers: of an image, and of a reduced one."""

from __future__ import annotations

import json
from dataclasses import replace

from scichunk.raster.affine import Affine6, is_georeferenced
from scichunk.raster.gdal import RasterMetadata

__all__ = ["count_other_pixels", "is_placed_by_points"]


def is_placed_by_points(metadata: RasterMetadata) -> bool:
    """Whether control points or polynomials say where pixels lie, and no transform does."""
    return bool(metadata.gcps or metadata.rpcs) and not is_georeferenced(metadata.transform)


def count_other_pixels(metadata: RasterMetadata, pixels: Affine6) -> RasterMetadata:
    """Let control points and polynomials count the pixels of another image of the same place, as GDAL does for overviews.

    Parameters
    ----------
    metadata
        Of the full image.
    pixels
        Where the pixels of the other image lie among those of the full one; without rotation.
    """
    if not (metadata.gcps or metadata.rpcs) or pixels == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0):
        return metadata
    wide, _, left, _, high, top = pixels
    gcps, rpcs = metadata.gcps, metadata.rpcs
    if gcps:
        found = json.loads(gcps)
        for feature in found["features"]:
            point = feature["properties"]
            point |= {"row": (point["row"] - top) / high, "col": (point["col"] - left) / wide}
        gcps = json.dumps(found)
    if rpcs:
        terms = json.loads(rpcs)
        for name, first, size in (("line", top, high), ("samp", left, wide)):
            # They count centres of pixels, control points count corners.
            terms[f"{name}_off"] = (terms[f"{name}_off"] + 0.5 - first) / size - 0.5
            terms[f"{name}_scale"] /= size
        rpcs = json.dumps(terms)
    return replace(metadata, gcps=gcps, rpcs=rpcs)
