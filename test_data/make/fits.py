"""Write the FITS sample files: ``python test_data/make/fits.py``."""

from pathlib import Path

import numpy as np
from astropy.io import fits

HERE = Path(__file__).resolve().parent.parent
RNG = np.random.default_rng(11)


def sky(height, width):
    y, x = np.mgrid[:height, :width]
    image = (
        100 + 20 * np.exp(-((x - width / 2) ** 2 + (y - height / 3) ** 2) / 200) + RNG.normal(0, 1.5, (height, width))
    )
    for _ in range(12):
        a, b = RNG.integers(3, height - 3), RNG.integers(3, width - 3)
        image[a - 2 : a + 3, b - 2 : b + 3] += RNG.exponential(80)
    return image


def celestial(header, height, width):
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 202.47, 47.2
    header["CRPIX1"], header["CRPIX2"] = width / 2, height / 2
    header["CDELT1"], header["CDELT2"] = -0.0005, 0.0005
    header["CUNIT1"] = header["CUNIT2"] = "deg"
    header["RADESYS"] = "ICRS"


def write(name, *hdus):
    fits.HDUList(list(hdus)).writeto(HERE / name, overwrite=True, checksum=True)


def exposure():
    primary = fits.PrimaryHDU()
    primary.header["TELESCOP"], primary.header["DATE-OBS"] = "example", "2024-05-01T20:15:00"
    image = sky(80, 100)
    parts = [fits.ImageHDU(image.astype("f4"), name="SCI"), fits.ImageHDU(np.sqrt(image).astype("f4"), name="ERR")]
    mask = fits.ImageHDU((image > 140).astype("u2"), name="DQ")
    for hdu in (*parts, mask):
        celestial(hdu.header, 80, 100)
    parts[0].header["BUNIT"] = "electron / s"
    write("exposure.fits", primary, *parts, mask)


def cube():
    freq = np.stack([sky(24, 32) * (1 + 0.1 * i) for i in range(10)]).astype("f4")
    hdu = fits.PrimaryHDU(freq[None])
    celestial(hdu.header, 24, 32)
    hdu.header["CTYPE3"], hdu.header["CRVAL3"], hdu.header["CDELT3"] = "FREQ", 1.4204e9, 1e6
    hdu.header["CRPIX3"], hdu.header["CUNIT3"], hdu.header["CTYPE4"] = 1.0, "Hz", "STOKES"
    hdu.header["CRVAL4"], hdu.header["CDELT4"], hdu.header["CRPIX4"] = 1.0, 1.0, 1.0
    hdu.header["BUNIT"], hdu.header["RESTFRQ"] = "Jy/beam", 1.420405752e9
    write("cube.fits", hdu)


def scaled():
    raw = np.round((sky(60, 70) - 50) / 0.01).clip(-32000, 32000).astype("i2")
    raw[::9, ::7] = -32768
    header = fits.PrimaryHDU(raw).header
    header["BSCALE"], header["BZERO"], header["BLANK"] = 0.01, 50.0, -32768
    header["BUNIT"] = "adu"
    data = raw.astype(">i2").tobytes()
    (HERE / "scaled.fits").write_bytes(header.tostring().encode() + data + bytes(-len(data) % 2880))


def compressed():
    image = sky(120, 150)
    floats = image.astype("f4")
    floats[10:14, 20:40] = np.nan
    options = {"quantize_level": 16, "quantize_method": 2, "dither_seed": 7}
    write(
        "compressed.fits",
        fits.PrimaryHDU(),
        fits.CompImageHDU(image.astype("i2"), name="RICE", compression_type="RICE_1", tile_shape=(32, 32)),
        fits.CompImageHDU(image.astype("u2"), name="GZIP", compression_type="GZIP_2"),
        fits.CompImageHDU((image > 120).astype("i2"), name="PLIO", compression_type="PLIO_1"),
        fits.CompImageHDU(image.astype("i4"), name="HCOMP", compression_type="HCOMPRESS_1", tile_shape=(40, 50)),
        fits.CompImageHDU(floats, name="FLUX", compression_type="RICE_1", **options),
    )


if __name__ == "__main__":
    exposure()
    cube()
    scaled()
    compressed()
