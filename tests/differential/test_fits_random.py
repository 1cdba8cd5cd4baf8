"""Images of features drawn at random, written by astropy: those pairs of features that a matrix leaves out."""

import io
import random

import numpy as np
import pytest
from astropy.io import fits

import scichunk

TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
KINDS = ("plain", "RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS")


def values(rng, dtype, shape):
    noise = np.random.default_rng(rng.randrange(1 << 30))
    if dtype[0] == "f":
        array = noise.normal(100, 20, shape).astype(dtype)
        for chance, step, value in ((0.4, 5, np.nan), (0.3, 7, 0), (0.1, 1, 5)):
            if rng.random() < chance:
                array.flat[::step] = value
        return array
    limits = np.iinfo(dtype)
    if rng.random() < 0.3:
        return noise.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
    return noise.normal(60, 20, shape).clip(0, 120).astype(dtype)


def image(rng):
    """A file with one image; what astropy refuses to write or to read is left out."""
    shape = tuple(rng.choice((1, 3, 7, 20, 33, 64)) for _ in range(rng.choice((1, 2, 2, 3, 4))))
    dtype, kind = rng.choice(TYPES), rng.choice(KINDS)
    array, options = values(rng, dtype, shape), {}
    if kind == "plain":
        hdu = fits.ImageHDU(array)
        if dtype in {"u1", "i2", "i4", "i8"} and rng.random() < 0.4:
            hdu.header["BSCALE"], hdu.header["BZERO"] = rng.choice((1, 0.5, -3)), rng.choice((0, 10.5))
    else:
        if dtype[0] == "f":
            options = {"quantize_level": rng.choice((16, 4, 0, -0.5)), "quantize_method": rng.choice((-1, 1, 2)), "dither_seed": rng.choice((1, 42, 9999))}  # fmt: skip
        if kind == "HCOMPRESS_1":
            options["hcomp_scale"] = rng.choice((0, 1, 4))
        tile = tuple(rng.randint(1, n) for n in shape) if rng.random() < 0.7 else None
        hdu = fits.CompImageHDU(array, compression_type=kind, tile_shape=tile, **options)
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    if dtype in {"u1", "i2", "i4"} and rng.random() < 0.3:
        with fits.open(file, disable_image_compression=True, do_not_scale_image_data=True) as opened:
            opened[1].header["BLANK" if kind == "plain" else "ZBLANK"] = int(array.flat[0])
            file = io.BytesIO()
            opened.writeto(file, output_verify="ignore")
    return file.getvalue(), f"{kind} {dtype} {shape} {options}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
def test_random_images(seed):
    rng = random.Random(seed)
    compared = 0
    for _ in range(120):
        try:
            data, label = image(rng)
            with fits.open(io.BytesIO(data)) as opened:
                want = opened[1].data
        except Exception:
            continue  # not writable, or not readable by astropy
        got = scichunk.from_fits(data, hdu=1, reader="indexed").compute()
        assert (got.shape, got.dtype) == (want.shape, want.dtype.newbyteorder("=")), label
        np.testing.assert_array_equal(got, want, err_msg=label)
        part = tuple(slice(rng.randrange(n), None, rng.choice((1, 1, 2))) for n in want.shape)
        np.testing.assert_array_equal(scichunk.from_fits(data, hdu=1)[part], got[part], err_msg=label)
        compared += 1
    assert compared > 80
