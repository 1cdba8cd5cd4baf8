"""Every feature that the own decoders claim, crossed, written by GDAL and compared bit for bit with rasterio's GTiff driver, by both readers."""

import itertools

import numpy as np
import pytest
import rasterio

import scichunk

LOSSLESS = ["NONE", "DEFLATE", "LZW", "ZSTD", "PACKBITS"]
DTYPES = [
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
GDAL_311 = tuple(int(n) for n in rasterio.__gdal_version__.split(".")[:2]) >= (3, 11)


def pixels(dtype, bands, height, width, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([np.sin(x / (9 + b)) * np.cos(y / (7 + b)) for b in range(bands)]) + 0.05 * rng.standard_normal(
        (bands, height, width)
    )
    if np.dtype(dtype).kind == "c":
        return (base + 1j * base[..., ::-1]).astype(dtype)
    if np.dtype(dtype).kind == "f":
        base[0, 1, 2:5] = np.nan
        return (base * 1000).astype(dtype)
    info = np.iinfo(dtype)
    return ((base / 2.6 + 0.5).clip(0, 1) * 0.9 * (float(info.max) - float(info.min)) + float(info.min)).astype(dtype)


def write(path, data, **options):
    bands, height, width = data.shape
    profile = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": data.dtype.name} | options
    with rasterio.open(path, "w", **profile) as ds:
        ds.write(data)
    return path


def check(path, indexed=True):
    with rasterio.open(path, driver="GTiff") as ds:
        want = ds.read()
    for reader in (["indexed"] if indexed else []) + ["auto", "reference"]:
        lazy = scichunk.from_geotiff(path, reader=reader, chunks="native")
        got = lazy.compute(scheduler="synchronous")
        assert got.dtype == want.dtype == lazy.dtype, reader
        np.testing.assert_array_equal(got.view("u1"), want.view("u1"), err_msg=reader)  # bit for bit, NaNs too
        window = (slice(None, None, -1), slice(11, 67, 3), slice(70, 5, -2))
        np.testing.assert_array_equal(lazy[window].compute(scheduler="synchronous"), want[window])


def layouts():
    yield {"tiled": True, "blockxsize": 32, "blockysize": 48}
    yield {"tiled": False, "blockysize": 1}
    yield {"tiled": False, "blockysize": 7}


@pytest.mark.parametrize("endianness", ["LITTLE", "BIG"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("layout", layouts(), ids=["tiles", "rows", "strips"])
@pytest.mark.parametrize("compress", LOSSLESS)
def test_lossless(tmp_path, compress, layout, interleave, endianness):
    for dtype, bands, predictor in itertools.product(DTYPES, (1, 3), (1, 2, 3)):
        kind = np.dtype(dtype)
        if predictor > 1 and compress in {"NONE", "PACKBITS"}:
            continue
        if predictor == 2 and kind.itemsize > 8:  # GDAL writes no other
            continue
        if predictor == 3 and dtype not in {"float32", "float64"}:  # GDAL writes no other
            continue
        if dtype == "float16" and not GDAL_311:
            continue
        if bands == 1 and interleave == "pixel":
            continue
        path = tmp_path / f"{dtype}-{bands}-{predictor}.tif"
        options = {
            "compress": compress,
            "interleave": interleave,
            "ENDIANNESS": endianness,
            "predictor": predictor,
            **layout,
        }
        write(path, pixels(dtype, bands, 75, 83), **options)
        check(path)


@pytest.mark.parametrize("compress", ["LERC", "LERC_DEFLATE", "LERC_ZSTD"])
@pytest.mark.parametrize("layout", layouts(), ids=["tiles", "rows", "strips"])
def test_lerc(tmp_path, compress, layout):
    for dtype, bands, interleave, error in itertools.product(
        ["uint8", "int16", "uint32", "float32", "float64"], (1, 3), ("pixel", "band"), (0, 0.5)
    ):
        path = tmp_path / f"{dtype}-{bands}-{interleave}-{error}.tif"
        write(path, pixels(dtype, bands, 75, 83), compress=compress, interleave=interleave, max_z_error=error, **layout)
        check(path)


@pytest.mark.parametrize("compress", ["LERC", "LERC_DEFLATE", "LERC_ZSTD"])
@pytest.mark.parametrize("layout", layouts(), ids=["tiles", "rows", "strips"])
@pytest.mark.parametrize("endianness", ["LITTLE", "BIG"])
def test_lerc_with_alpha(tmp_path, compress, layout, endianness):
    """An alpha of 0 and 255 is stored as the mask of the blob, one of other values as a sample."""
    alphas = {"holes": [0, 255], "opaque": [255], "empty": [0], "smooth": range(256)}
    for bands, alpha, kind in itertools.product((2, 4), ("YES", "PREMULTIPLIED", "NO"), alphas):
        data = pixels("uint8", bands, 75, 83)
        data[-1] = np.random.default_rng(1).choice(list(alphas[kind]), data.shape[1:])
        path = tmp_path / f"{bands}-{alpha}-{kind}.tif"
        options = {"interleave": "pixel", "photometric": "RGB" if bands == 4 else "MINISBLACK"}
        write(path, data, compress=compress, ALPHA=alpha, ENDIANNESS=endianness, **options, **layout)
        check(path)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_lerc_in_big_endian_files(tmp_path, dtype):
    path = tmp_path / "a.tif"
    write(path, pixels(dtype, 2, 75, 83), compress="LERC", ENDIANNESS="BIG")
    with rasterio.open(path, driver="GTiff") as ds:
        want = ds.read()
    for reader in ("auto", "reference"):
        np.testing.assert_array_equal(scichunk.from_geotiff(path, reader=reader), want)


@pytest.mark.parametrize(
    "layout",
    [{"tiled": True, "blockxsize": 32, "blockysize": 48}, {"tiled": False, "blockysize": 16}],
    ids=["tiles", "strips"],
)
def test_jpeg_and_webp(tmp_path, layout):
    for name, bands, options in [
        ("gray", 1, {"compress": "JPEG"}),
        ("rgb", 3, {"compress": "JPEG", "photometric": "RGB", "interleave": "pixel"}),
        ("ycbcr", 3, {"compress": "JPEG", "photometric": "YCBCR", "interleave": "pixel"}),
        ("planes", 3, {"compress": "JPEG", "interleave": "band"}),
        ("tables", 3, {"compress": "JPEG", "photometric": "YCBCR", "interleave": "pixel", "JPEGTABLESMODE": 0}),
        ("webp", 3, {"compress": "WEBP", "interleave": "pixel", "WEBP_LOSSLESS": True}),
        ("webp4", 4, {"compress": "WEBP", "interleave": "pixel", "WEBP_LOSSLESS": True}),
        ("webp_lossy", 3, {"compress": "WEBP", "interleave": "pixel"}),
    ]:
        path = tmp_path / f"{name}.tif"
        write(path, pixels("uint8", bands, 80, 96), **layout, **options)
        with rasterio.open(path, driver="GTiff") as ds:
            want = ds.read()
        for reader in ("auto", "reference"):
            got = scichunk.from_geotiff(path, reader=reader).compute()
            assert got.shape == want.shape
            assert np.abs(got.astype(int) - want).max() <= 1, (name, reader)


@pytest.mark.parametrize("big", ["YES", "NO"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", None),
        ("uint16", 7),
        ("int16", -9999),
        ("float32", np.nan),
        ("float64", -1e300),
        ("int64", -5),
        ("uint8", 255),
    ],
)
def test_sparse(tmp_path, dtype, nodata, interleave, big):
    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=2,
        height=200,
        width=150,
        dtype=dtype,
        nodata=nodata,
        SPARSE_OK=True,
        tiled=True,
        blockxsize=64,
        blockysize=64,
        compress="DEFLATE",
        interleave=interleave,
        BIGTIFF=big,
    ) as ds:
        ds.write(np.full((64, 64), 9, dtype), 1, window=((64, 128), (64, 128)))
    check(path)


@pytest.mark.parametrize("compress", ["NONE", "DEFLATE"])
def test_single_bits(tmp_path, compress):
    check(write(tmp_path / "bits.tif", pixels("uint8", 1, 75, 83) % 2, NBITS=1, compress=compress))


@pytest.mark.parametrize("bits", [2, 4, 7, 12])
@pytest.mark.parametrize("compress", ["NONE", "DEFLATE"])
def test_odd_bits_go_to_the_reference(tmp_path, bits, compress):
    dtype = "uint8" if bits <= 8 else "uint16"
    path = write(tmp_path / "bits.tif", pixels(dtype, 1, 75, 83) % (1 << bits), NBITS=bits, compress=compress)
    check(path, indexed=False)
    with pytest.raises(scichunk.errors.UnsupportedFeature, match=f"samples of {bits} bits"):
        scichunk.from_geotiff(path, reader="indexed")


@pytest.mark.parametrize("compress", ["CCITTFAX4", "CCITTRLE", "LZMA"])
def test_rare_codecs(tmp_path, compress):
    options = {"NBITS": 1} if compress.startswith("CCITT") else {}
    data = pixels("uint8", 1, 75, 83)
    path = tmp_path / "rare.tif"
    write(path, data % 2 if options else data, compress=compress, **options)
    check(path, indexed=compress == "LZMA")


def test_cmyk_and_miniswhite(tmp_path):
    check(
        write(tmp_path / "cmyk.tif", pixels("uint8", 4, 75, 83), photometric="CMYK", interleave="pixel"), indexed=False
    )
    check(write(tmp_path / "white.tif", pixels("uint8", 1, 75, 83), photometric="MINISWHITE"))
