"""Every kind of FITS image against astropy, own decoders only."""

import io
import itertools
import warnings

import numpy as np
import pytest
from astropy.io import fits

import scichunk

TYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
CODECS = ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS")
TILES = {"rows": (1, 1, 41), "squares": (1, 8, 16), "planes": (1, 30, 41), "cubes": (3, 7, 9)}
SHAPE = (7, 30, 41)


def values(dtype):
    rng = np.random.default_rng(5)
    data = rng.normal(60, 12, SHAPE).clip(0, 120) + np.arange(41)
    if dtype in ("u2", "u4", "u8"):
        data[0] += 40_000
    return data.astype(dtype)


def compare(data, number=0, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = fits.open(io.BytesIO(data))[number].data
    array = scichunk.from_fits(data, hdu=number, reader="indexed", **options)
    assert array.dtype == want.dtype.newbyteorder("=")
    same(array.compute(), want)
    inner = tuple(slice(n // 3, n // 3 + max(1, n // 2)) for n in want.shape)
    same(array[inner].compute(), want[inner])
    back = (slice(None, None, -2),) * want.ndim
    same(array[back].compute(), want[back])
    pick = [0, want.shape[-1] - 1, want.shape[-1] // 2]
    same(array[..., pick].compute(), want[..., pick])


def same(got, want):
    np.testing.assert_array_equal(got, want)
    if want.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


def written(*hdus):
    file = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(file)
    return file.getvalue()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("extension", [False, True])
def test_plain(dtype, extension):
    data = values(dtype)
    hdus = (fits.PrimaryHDU(), fits.ImageHDU(data)) if extension else (fits.PrimaryHDU(data),)
    compare(written(*hdus), len(hdus) - 1)


@pytest.mark.parametrize("blank", [None, -5, 0, 100_000])
@pytest.mark.parametrize("zero", [0, 32768, 3.5])
@pytest.mark.parametrize("scale", [1, 0.25, -2])
@pytest.mark.parametrize("bitpix", [8, 16, 32, 64, -32, -64])
def test_scaled(bitpix, scale, zero, blank):
    stored = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[bitpix]
    raw = values("f8").astype(stored)
    raw[0, :3] = 0
    if bitpix in (16, 32, 64):
        raw[1, :3] = -5
    header = fits.PrimaryHDU(raw.astype(raw.dtype.newbyteorder("="))).header
    for name in ("BSCALE", "BZERO"):
        header.remove(name, ignore_missing=True)
    header["BSCALE"], header["BZERO"] = scale, zero
    if blank is not None:
        header["BLANK"] = blank
    body = raw.tobytes()
    compare(header.tostring().encode() + body + bytes(-len(body) % 2880))


def compressed(dtype, codec, tile, **options):
    """A compressed file, or None where astropy cannot write or read back this combination."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hdu = fits.CompImageHDU(values(dtype), compression_type=codec, tile_shape=tile, **options)
            data = written(fits.PrimaryHDU(), hdu)
            fits.open(io.BytesIO(data))[1].data
    except Exception:
        return None
    return data


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", TYPES)
def test_compressed(dtype, codec):
    done = 0
    for tile in TILES.values():
        data = compressed(dtype, codec, tile, quantize_level=0)
        if data is not None:
            compare(data, 1)
            done += 1
    allowed = dtype in ("u1", "i2", "i4") or (dtype == "u2" and codec != "PLIO_1")
    if allowed and codec != "NOCOMPRESS":
        assert done >= (2 if codec == "HCOMPRESS_1" else 4)


@pytest.mark.parametrize("method", [-1, 1, 2])
@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_quantised(dtype, codec, method):
    done = 0
    for tile in TILES.values():
        data = compressed(dtype, codec, tile, quantize_level=8, quantize_method=method, dither_seed=9_998)
        if data is not None:
            compare(data, 1)
            done += 1
    assert done >= 2


@pytest.mark.parametrize("method", [-1, 1, 2])
def test_quantised_with_nan_and_exact_zero(method):
    data = np.random.default_rng(2).normal(0, 3, (64, 300)).astype("f4")
    data[::5, ::7] = np.nan
    data[::3, ::11] = 0
    data[7] = np.nan
    hdu = fits.CompImageHDU(data, compression_type="RICE_1", quantize_level=16, quantize_method=method, dither_seed=1)
    compare(written(fits.PrimaryHDU(), hdu), 1)


@pytest.mark.parametrize(("block", "size"), list(itertools.product((16, 32), (1, 2, 4))))
def test_rice_blocks(block, size):
    """Steps, runs of equal pixels, and noise: every branch of the code."""
    from tests.tile_kernels import decode_rice

    astropy = pytest.importorskip("astropy.io.fits.hdu.compressed._codecs")
    rng = np.random.default_rng(size)
    for n, spread in itertools.product((1, 31, 32, 33, 500), (0, 1, 40, 1e4, 1e9)):
        pixels = (
            np.cumsum(rng.normal(0, spread, n)).clip(-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1).astype(f"i{size}")
        )
        pixels[n // 2 :: 7] = rng.integers(-(2 ** (8 * size - 1)), 2 ** (8 * size - 1), len(pixels[n // 2 :: 7]))
        codec = astropy.Rice1(blocksize=block, bytepix=size, tilesize=n)
        encoded = np.frombuffer(codec.encode(pixels), np.uint8)
        out, status, zero = np.empty(n, np.int32), np.empty(1, np.int64), np.zeros(1, np.int64)
        decode_rice(encoded, zero, np.array([encoded.size]), zero, np.array([n]), block, size, out, status)
        assert status[0] == 0
        np.testing.assert_array_equal(out.astype(pixels.dtype), pixels)
        if encoded.size > size + 1 and spread:  # cut anywhere: an error, or pixels, but no crash
            for cut in rng.integers(0, encoded.size, 5):
                decode_rice(encoded, zero, np.array([cut]), zero, np.array([n]), block, size, out, status)


def test_smoothed_hcompress_is_left_to_astropy():
    data = np.random.default_rng(0).normal(100, 9, (64, 64)).astype("i4")
    hdu = fits.CompImageHDU(data, compression_type="HCOMPRESS_1", hcomp_scale=5, hcomp_smooth=1, tile_shape=(32, 32))
    file = written(fits.PrimaryHDU(), hdu)
    array = scichunk.from_fits(file)
    np.testing.assert_array_equal(array.compute(), fits.open(io.BytesIO(file))[1].data)
    with pytest.raises(scichunk.errors.UnsupportedFeature, match="smooth"):
        scichunk.from_fits(file, reader="indexed")
