"""Write the FITS sample files: ``python test_data/make/fits.py``."""

import gzip
from pathlib import Path

import imagecodecs
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


def catalogue():
    n = 200
    spectra = np.empty(n, object)
    spectra[:] = [RNG.normal(10, 1, k).astype("f4") for k in RNG.integers(0, 8, n)]
    stars = fits.BinTableHDU.from_columns(
        [
            fits.Column("id", "K", array=np.arange(n) + (1 << 60)),
            fits.Column("name", "12A", array=np.array([f"star {i}" for i in range(n)])),
            fits.Column("ra", "D", unit="deg", array=RNG.uniform(202, 203, n)),
            fits.Column("dec", "D", unit="deg", array=RNG.uniform(47, 48, n)),
            fits.Column("mag", "E", unit="mag", disp="F6.2", array=RNG.normal(18, 2, n)),
            fits.Column("visits", "I", null=-1, array=RNG.integers(-1, 9, n)),
            fits.Column("temperature", "I", unit="K", array=RNG.integers(-3000, 3000, n)),
            fits.Column("flags", "J", bzero=1 << 31, array=RNG.integers(0, 1 << 32, n, dtype="u4")),
            fits.Column("bits", "12X", array=RNG.random((n, 12)) > 0.5),
            fits.Column("covariance", "9E", dim="(3,3)", array=RNG.normal(size=(n, 3, 3))),
            fits.Column("visibility", "C", array=RNG.normal(size=2 * n).astype("f4").view("c8")),
            fits.Column("spectrum", "PE()", unit="mJy", array=spectra),
            fits.Column("good", "L", array=RNG.random(n) > 0.3),
        ],
        name="STARS",
    )
    stars.header["TSCAL7"], stars.header["TZERO7"] = 0.5, 5000.0
    stars.header["TCOMM3"], stars.header["TUCD3"] = "right ascension (ICRS)", "pos.eq.ra;meta.main"
    log = fits.TableHDU.from_columns(
        [
            fits.Column("time", "A19", array=np.array([f"2024-05-01T20:{i:02}:00" for i in range(20)])),
            fits.Column("seeing", "F8.3", unit="arcsec", array=RNG.uniform(0.6, 1.4, 20)),
            fits.Column("frames", "I6", array=RNG.integers(0, 99, 20)),
        ],
        name="LOG",
    )
    write("catalogue.fits", fits.PrimaryHDU(), stars, log)


def compressed_table():
    """Each column of each tile of 50 rows by itself (FITS 4.0, section 10.3)."""
    n, tile = 120, 50
    columns = [("id", "J", "RICE_1", np.arange(n)), ("x", "E", "GZIP_2", RNG.normal(size=n)), ("band", "4A", "GZIP_1", RNG.choice([b"g", b"r", b"i"], n).astype("S4"))]  # fmt: skip
    types = {"J": ">i4", "E": ">f4", "4A": "S4"}
    heap, descriptors = b"", []
    for first in range(0, n, tile):
        for _, form, codec, values in columns:
            part = values[first : first + tile].astype(types[form])
            if codec == "RICE_1":
                encoded = bytes(imagecodecs.rcomp_encode(part.astype("i4"), nblock=32))
            else:
                raw = part.view("u1").reshape(len(part), -1)
                encoded = gzip.compress((raw.T if codec == "GZIP_2" else raw).tobytes(), mtime=0)
            descriptors.append((len(encoded), len(heap)))
            heap += encoded
    rows = np.array(descriptors, ">i8").tobytes()
    header = fits.Header(
        [
            ("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 48), ("NAXIS2", -(-n // tile)), ("PCOUNT", len(heap)), ("GCOUNT", 1),
            ("TFIELDS", 3), ("ZTABLE", True), ("ZTILELEN", tile), ("ZNAXIS1", 12), ("ZNAXIS2", n), ("ZPCOUNT", 0), ("EXTNAME", "COMPRESSED"),
        ]
    )  # fmt: skip
    for i, (name, form, codec, _) in enumerate(columns, 1):
        header[f"TTYPE{i}"], header[f"TFORM{i}"], header[f"ZFORM{i}"], header[f"ZCTYP{i}"] = name, "1QB", form, codec
    data = fits.PrimaryHDU().header.tostring().encode() + header.tostring().encode() + rows + heap
    (HERE / "compressed_table.fits").write_bytes(data + bytes(-len(data) % 2880))


if __name__ == "__main__":
    exposure()
    cube()
    scaled()
    compressed()
    catalogue()
    compressed_table()
