"""GeoTIFF files that say where there is no data, decoded and as they are stored, beside the engine ``rasterio``."""

import numpy as np
import rasterio

from benchmarks.data import TILES, terrain
from benchmarks.geotiff import compare_chunked
from benchmarks.settle import settle

PACKED = {**TILES, "interleave": "pixel", "compress": "deflate", "predictor": 2}
# name: (type, bands, how it says so, options)
CASES = {
    "RGB DEFLATE p2, internal mask": ("uint8", 3, "mask", {**PACKED, "photometric": "rgb"}),
    "RGB DEFLATE p2, `.msk` file": ("uint8", 3, "file", {**PACKED, "photometric": "rgb"}),
    "RGBA DEFLATE p2, alpha band": ("uint8", 4, "alpha", {**PACKED, "photometric": "rgb", "alpha": "yes"}),
    "uint16 ZSTD p2, nodata": ("uint16", 1, "nodata", {**TILES, "compress": "zstd", "predictor": 2, "nodata": 0}),
    "uint16 ZSTD p2, internal mask": ("uint16", 1, "mask", {**TILES, "compress": "zstd", "predictor": 2}),
    "float32 ZSTD p3, internal mask": ("float32", 1, "mask", {**TILES, "compress": "zstd", "predictor": 3}),
}
PAIRS = {"decoded": ("scichunk decoded", "rasterio decoded"), "stored": ("scichunk stored", "rasterio stored")}


def make(folder, name, side):
    """Write one case, unless it is there; a quarter of it has no data."""
    dtype, bands, how, options = CASES[name]
    plain = "".join(c if c.isalnum() else "_" for c in name)
    path = folder / f"masks_{plain}_{side}.tif"
    if path.exists():
        return path
    rng = np.random.default_rng(7)
    data = np.stack([terrain(side, side, rng) for _ in range(bands)])
    data += 0.002 * rng.standard_normal(data.shape, dtype="f4")
    data = (data.clip(0, 1) * (254 if dtype == "uint8" else 9000) + 1).astype(dtype)
    mask = np.where(terrain(side, side, rng) > 0.35, 255, 0).astype("u1")
    profile = {"driver": "GTiff", "count": bands, "height": side, "width": side, "dtype": dtype, "crs": "EPSG:32633"}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=how != "file"),
        rasterio.open(path, "w", transform=rasterio.Affine(10, 0, 3e5, 0, -10, 5e6), **profile, **options) as ds,
    ):
        if how == "alpha":
            data[-1] = mask
        if how == "nodata":
            data[:, mask == 0] = 0
        ds.write(data)
        if how in {"mask", "file"}:
            ds.write_mask(mask)
    return path


def section(given):
    """Measure everything; returns lines of markdown."""
    rows = []
    for name in CASES:
        if given.only not in name:
            continue
        path = settle(make(given.data, name, given.side))
        found = compare_chunked(
            path, [CASES[name][1], 2048, 2048], given.rounds, 1, [r for pair in PAIRS.values() for r in pair]
        )
        cells = []
        for ours, peer in PAIRS.values():
            one, other = found[ours], found[peer]
            cells += [
                f"{one['cpu'] / one['gb']:.2f} ({other['cpu'] / one['cpu']:.2f})",
                f"{other['cpu'] / other['gb']:.2f}",
            ]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return [
        f"Files of {given.side} x {given.side} pixels, a quarter of them without data, chunks of 2048 x 2048, one thread, {given.rounds} rounds. CPU-seconds per GB of",
        "the values that come out (float32 where they are decoded, so that decoded bytes come cheaper); in parentheses how many times less CPU than the engine",
        '`rasterio` with `lock=False`. "Decoded" is `mask_and_scale=True`: NaN where there is no data; "stored" is `mask_and_scale=False`.',
        "",
        "| file | scichunk, decoded | rasterio, decoded | scichunk, stored | rasterio, stored |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]
