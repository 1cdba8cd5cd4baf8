"""Files to be timed: made-up scenes with the statistics of real ones (1/f noise plus sensor noise)."""

from pathlib import Path

import numpy as np
import rasterio

TILES = {"tiled": True, "blockxsize": 512, "blockysize": 512}
PIXEL = {"interleave": "pixel"}
# name: (type, bands, options)
CASES = {
    "uint16 raw tiles": ("uint16", 1, TILES),
    "uint16 DEFLATE p2": ("uint16", 1, {**TILES, "compress": "deflate", "predictor": 2}),
    "uint16 ZSTD p2": ("uint16", 1, {**TILES, "compress": "zstd", "predictor": 2}),
    "uint16 LZW p2": ("uint16", 1, {**TILES, "compress": "lzw", "predictor": 2}),
    "uint16 DEFLATE p1": ("uint16", 1, {**TILES, "compress": "deflate"}),
    "float32 DEFLATE p3": ("float32", 1, {**TILES, "compress": "deflate", "predictor": 3}),
    "float32 ZSTD p3": ("float32", 1, {**TILES, "compress": "zstd", "predictor": 3}),
    "float32 LERC_ZSTD": ("float32", 1, {**TILES, "compress": "lerc_zstd", "max_z_error": 0.5}),
    "RGB JPEG YCbCr": ("uint8", 3, {**TILES, **PIXEL, "compress": "jpeg", "photometric": "ycbcr"}),
    "RGB WEBP": ("uint8", 3, {**TILES, **PIXEL, "compress": "webp"}),
    "RGB raw pixel-interleaved": ("uint8", 3, {**TILES, **PIXEL}),
    "8-band uint16 DEFLATE p2 pixel-interleaved": (
        "uint16",
        8,
        {**TILES, **PIXEL, "compress": "deflate", "predictor": 2},
    ),
    "uint16 raw 1-row strips": ("uint16", 1, {"blockysize": 1}),
    "uint16 DEFLATE p2 16-row strips": ("uint16", 1, {"blockysize": 16, "compress": "deflate", "predictor": 2}),
}


def terrain(height, width, rng):
    """Sum of octaves of smooth noise, 0..1."""
    total = np.zeros((height, width), "f4")
    for octave in range(1, 8):
        n = 2**octave + 1
        coarse = rng.standard_normal((n, n)).astype("f4")
        rows, columns = np.linspace(0, n - 1.001, height), np.linspace(0, n - 1.001, width)
        i, j = rows.astype(int), columns.astype(int)
        fi, fj = (rows - i).astype("f4")[:, None], (columns - j).astype("f4")[None]
        top = coarse[i][:, j] * (1 - fj) + coarse[i][:, j + 1] * fj
        low = coarse[i + 1][:, j] * (1 - fj) + coarse[i + 1][:, j + 1] * fj
        total += (top * (1 - fi) + low * fi) / 1.8**octave
    total -= total.min()
    return total / total.max()


def make(folder: Path, name: str, side: int) -> Path:
    """Write one case, unless it is there."""
    dtype, bands, options = CASES[name]
    path = folder / (name.replace(" ", "_") + f"_{side}.tif")
    if path.exists():
        return path
    rng = np.random.default_rng(7)
    side = side // 2 if bands == 8 else side
    data = np.stack([terrain(side, side, rng) for _ in range(bands)])
    data += 0.002 * rng.standard_normal(data.shape, dtype="f4")
    data = data.clip(0, 1) * (255 if dtype == "uint8" else 9000)
    profile = {"driver": "GTiff", "count": bands, "height": side, "width": side, "dtype": dtype, "crs": "EPSG:32633"}
    with rasterio.open(path, "w", transform=rasterio.Affine(10, 0, 3e5, 0, -10, 5e6), **profile, **options) as ds:
        ds.write(data.astype(dtype))
    return path
