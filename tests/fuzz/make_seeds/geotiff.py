"""TIFF files: each codec with each predictor, both layouts, and the odd corners."""

import struct

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from tests.formats.test_hostile_geotiff import BASE, tiff

LOSSLESS = ("none", "deflate", "lzw", "packbits", "zstd", "lzma", "lerc", "lerc_deflate", "lerc_zstd")
PREDICTORS = {"u1": (1, 2), "i2": (1, 2), "u4": (2,), "f4": (1, 3), "f8": (3, 2), "u8": (2,)}


def picture(bands, rows=24, columns=20):
    rng = np.random.default_rng(5)
    return np.cumsum(rng.integers(-2, 4, (bands, rows, columns)), axis=2) + 60


def write(values, dtype, change=None, **options):
    """A file that GDAL writes, or None."""
    values = values.astype(dtype)
    bands, rows, columns = values.shape
    profile = {"driver": "GTiff", "count": bands, "height": rows, "width": columns, "dtype": values.dtype.name}
    place = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5e6, 10, 10)} if options.pop("placed", True) else {}
    try:
        with MemoryFile() as memory:
            with memory.open(**profile, **place, **options) as ds:
                ds.write(values)
            if change:
                with rasterio.open(memory.name, "r+") as ds:
                    change(ds)
            return bytes(memory.getbuffer())
    except (RasterioError, RuntimeError, ValueError) as error:
        print("left out:", options, error)
        return None


def files():
    found = {**dict(_codecs()), **dict(_images()), **dict(_odd())}
    return ((f"{name}.tif", data) for name, data in found.items() if data)


def _codecs():
    tiled = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    for codec in LOSSLESS:
        for dtype, predictors in PREDICTORS.items():
            for predictor in predictors if codec in {"deflate", "lzw", "zstd"} else (1,):
                layout = tiled if (predictor + len(dtype) + len(codec)) % 2 else {"blockysize": 7}
                bands = 3 if dtype in {"u1", "f4"} else 1
                more = {"predictor": predictor} if predictor > 1 else {}
                if codec.startswith("lerc") and dtype == "u8":
                    continue
                yield f"{codec}_{dtype}_{predictor}", write(picture(bands), dtype, compress=codec, **layout, **more)


def _images():
    tiled = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    for codec in ("jpeg", "webp", "jxl"):
        for layout in (tiled, {"blockysize": 8}):
            number = len(layout)
            yield f"{codec}_{number}", write(picture(3), "u1", compress=codec, **layout)
    yield "jpeg_ycbcr", write(picture(3), "u1", compress="jpeg", photometric="ycbcr", **tiled)
    yield "jpeg_grey", write(picture(1), "u1", compress="jpeg", **tiled)
    yield "jpeg_planes", write(picture(3), "u1", compress="jpeg", interleave="band", **tiled)
    yield "webp_lossless", write(picture(4), "u1", compress="webp", webp_lossless=True, **tiled)
    yield "fax4", write(picture(1) % 2, "u1", compress="ccittfax4", nbits=1)
    yield "fax3", write(picture(1) % 2, "u1", compress="ccittfax3", nbits=1)


def _odd():
    tiled = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    deflate = {"compress": "deflate"}
    yield "planes", write(picture(3), "u2", interleave="band", **deflate, **tiled)
    yield "big", write(picture(2), "u2", bigtiff="yes", **deflate, **tiled)
    yield "big_end", write(picture(2), "u2", endianness="big", bigtiff="yes", **tiled)
    yield "big_end_lzw", write(picture(3), "i2", endianness="big", compress="lzw", predictor=2)
    yield "big_end_floats", write(picture(1), "f4", endianness="big", predictor=3, **deflate)
    yield "complex", write(picture(1) * (1 + 2j), "c8", **deflate)
    yield "complex_planes", write(picture(2) * (1 + 2j), "c16", interleave="band")
    for bits in (1, 2, 4, 7):
        yield f"bits_{bits}", write(picture(1) % (1 << bits), "u1", nbits=bits, **deflate)
    yield "bits_12", write(picture(1), "u2", nbits=12)
    yield "half", write(picture(1), "f4", nbits=16, **deflate)
    yield "bit_tiles", write(picture(1) % 2, "u1", nbits=1, **tiled)
    yield "sparse", write(picture(1) * 0, "u1", sparse_ok=True, **deflate, **tiled)
    yield "nodata", write(picture(2), "i2", nodata=60, **deflate)
    yield "alpha", write(picture(4), "u1", alpha="yes", photometric="rgb", **deflate)
    yield "unplaced", write(picture(1), "u1", placed=False)
    yield "overviews", write(picture(1, 64, 64), "u1", lambda ds: ds.build_overviews([2, 4]), **deflate, **tiled)
    yield "mask", write(picture(1), "u1", lambda ds: ds.write_mask(np.eye(24, 20, dtype=bool)), **deflate)
    yield (
        "palette",
        write(picture(1) % 4, "u1", lambda ds: ds.write_colormap(1, {i: (i, 2 * i, 9, 255) for i in range(256)})),
    )
    yield "tags", write(picture(2), "i2", _tags)
    yield "wide", write(picture(1, 3, 700), "u1", compress="lzw")
    yield "many_bands", write(picture(17, 6, 5), "u1", interleave="band")
    yield "crafted", tiff(BASE)
    yield "pages", _pages(3)
    yield "old_jpeg", tiff(BASE | {259: (3, [6])})
    yield "child", tiff(BASE | {330: (4, [8])})


def _tags(ds):
    ds.update_tags(AREA_OR_POINT="Point", note="of the maker")
    ds.update_tags(1, unit="m")
    ds.scales, ds.offsets, ds.descriptions = (0.5, 2.0), (1.0, 0.0), ("one", "two")


def _pages(count):
    """Directories one behind the other, each with pixels of its own before it."""
    data = b"II*\0" + struct.pack("<I", 8 + 64)
    for i in range(count):
        tags = BASE | {273: (4, [len(data)])}
        entries = b"".join(
            struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", values[0])
            for tag, (kind, values) in sorted(tags.items())
        )
        directory = struct.pack("<H", len(tags)) + entries
        place = len(data) + 64 + len(directory) + 4
        data += bytes(range(i, i + 64)) + directory + struct.pack("<I", place + 64 if i < count - 1 else 0)
    return data
