"""Files of features drawn at random, written by GDAL: those pairs of features that a matrix leaves out."""

import random

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.errors import RasterioError
from rasterio.transform import Affine

import scichunk

TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "complex64", "complex128", "complex_int16")  # fmt: skip
CODECS = (None, "deflate", "lzw", "zstd", "packbits", "lzma", "lerc", "lerc_deflate", "lerc_zstd", "jpeg", "webp", "ccittfax4")  # fmt: skip
SHAPES = ((1, 1), (7, 5), (64, 64), (100, 130), (257, 300), (33, 1000))


def profile(rng):
    """Type, options and shape that GDAL writes; some are refused, and left out."""
    dtype, codec = rng.choice(TYPES), rng.choice(CODECS)
    count, (height, width) = rng.choice((1, 1, 2, 3, 4, 5, 7)), rng.choice(SHAPES)
    options = {"interleave": rng.choice(("pixel", "band"))}
    if codec in {"jpeg", "webp", "ccittfax4"}:
        dtype, count = "uint8", {"webp": 3, "ccittfax4": 1}.get(codec, rng.choice((1, 3)))
    lerc = (codec or "").startswith("lerc")
    if lerc and dtype not in {"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"}:
        codec = None
    if codec:
        options["compress"] = codec
    if codec == "jpeg" and count == 3 and rng.random() < 0.5:
        options |= {"photometric": "ycbcr", "interleave": "pixel"}
    if codec == "webp":
        options["interleave"] = "pixel"
    if codec == "ccittfax4":
        options["nbits"] = 1
    if codec in {"deflate", "lzw", "zstd"} and "complex" not in dtype and rng.random() < 0.6:
        options["predictor"] = 3 if "float" in dtype and rng.random() < 0.7 else 2
    if rng.random() < 0.5:
        options |= {"tiled": True, "blockxsize": rng.choice((16, 64, 128)), "blockysize": rng.choice((16, 64, 128))}
    elif rng.random() < 0.7:
        options["blockysize"] = rng.choice((1, 3, 16, 50))
    if codec in {None, "deflate"} and "predictor" not in options and rng.random() < 0.2:
        options |= {"uint8": {"nbits": rng.choice((1, 2, 4, 7))}, "uint16": {"nbits": 12}}.get(dtype, {})
    options |= {"bigtiff": "yes"} if rng.random() < 0.2 else {}
    options |= {"endianness": "big"} if rng.random() < 0.25 else {}
    options |= {"sparse_ok": True} if rng.random() < 0.3 else {}
    options |= {"alpha": "yes"} if count in {2, 4} and rng.random() < 0.4 else {}
    if "complex" not in dtype and rng.random() < 0.4:
        options["nodata"] = rng.choice((0, 1, float("nan")) if "float" in dtype else (0, 1, 7))
    if rng.random() < 0.8:
        options["crs"] = rng.choice(("EPSG:4326", "EPSG:32633", "EPSG:2056"))
        options["transform"] = rng.choice((Affine(10, 0, 500, 0, -10, 900), Affine(0.5, 0.1, 3, -0.1, -0.5, 9)))
    return {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": dtype, **options}


def write(path, rng, given):
    count, height, width, dtype = given["count"], given["height"], given["width"], given["dtype"]
    noise = np.random.default_rng(rng.randrange(1 << 30))
    values = noise.normal(50, 30, (count, height, width))
    if "complex" in dtype:
        values = (values + 1j * values[::-1]).astype("complex64" if dtype == "complex_int16" else dtype)
    else:
        values = values.clip(0, (1 << given.get("nbits", 7)) - 1).astype(dtype)
        if "float" in dtype and rng.random() < 0.3:
            values[:, ::3] = np.nan
    with rasterio.open(path, "w", **given) as ds:
        if given.get("sparse_ok"):
            rows, columns = min(16, height), min(16, width)
            ds.write(values[:, :rows, :columns], window=((0, rows), (0, columns)))
        else:
            ds.write(values)
        if rng.random() < 0.3 and "complex" not in dtype:
            ds.scales = [0.5 + i for i in range(count)] if rng.random() < 0.5 else [0.5] * count
            ds.offsets = [1.0] * count
        if rng.random() < 0.2 and "complex" not in dtype and min(height, width) > 20:
            ds.build_overviews([2, 4])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
def test_random_files(seed, tmp_path):
    rng = random.Random(seed)
    compared = 0
    for number in range(60):
        given, path = profile(rng), tmp_path / f"{number}.tif"
        try:
            write(path, rng, given)
        except RasterioError:
            continue  # GDAL refuses the combination
        with rasterio.open(path) as ds:
            want, masks = ds.read(), ds.read_masks()
        got = scichunk.from_geotiff(path).compute()
        assert (got.shape, got.dtype) == (want.shape, want.dtype), given
        if given.get("compress") in {"jpeg", "webp"}:
            assert np.abs(got.astype(int) - want).max() <= 3, given
        else:
            np.testing.assert_array_equal(got, want, err_msg=str(given))
        part = (slice(None), slice(rng.randrange(given["height"]), None, rng.choice((1, 2))), slice(rng.randrange(given["width"]), None, 3))  # fmt: skip
        np.testing.assert_array_equal(scichunk.from_geotiff(path)[part], got[part], err_msg=str(given))
        raw = xr.open_dataset(path, engine="geotiff", mask_and_scale=False).load()
        if "complex" not in given["dtype"] and not {"scales", "nodatavals"} & set(raw.band_data.attrs):
            masked = xr.open_dataset(path, engine="geotiff").band_data
            known = xr.decode_cf(
                raw
            ).band_data  # xarray knows nothing of alpha bands, and scales short integers in float64
            if "_FillValue" not in raw.band_data.attrs and not masks.all():
                known = known.where(masks != 0)
            xr.testing.assert_allclose(masked, known, rtol=1e-6)
        compared += 1
    assert compared > 40
