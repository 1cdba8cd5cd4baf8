"""Small files of many chunks, written by the reference libraries."""

import numpy as np
import rasterio


def values(shape, dtype="u2", seed=1):
    """Random values: each patch differs from each other."""
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1000
    return np.random.default_rng(seed).integers(0, min(top, 60000), shape).astype(dtype)


def write_geotiff(path, data, tile=32, pixel=10.0, **profile):
    """A tiled file with a CRS, its upper left corner at (300000, 5000000)."""
    count, height, width = data.shape
    options = {"tiled": True, "blockxsize": tile, "blockysize": tile, "compress": "deflate", **profile}
    transform = rasterio.Affine(pixel, 0, 300000, 0, -pixel, 5000000)
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=data.dtype, crs="EPSG:32633", transform=transform, **options
    ) as file:  # fmt: skip
        file.write(data)
    return str(path)
