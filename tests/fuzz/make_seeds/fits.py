"""FITS files: images of each type, tiles of each compression, tables of each form of column."""

import gzip
import io

import numpy as np
from astropy.io import fits

from tests.fits_tables import columns, compress, header, padded, random_values, table, variable

RNG = np.random.default_rng(7)
SHAPE = (12, 14)


def written(*hdus):
    file = io.BytesIO()
    first = [] if isinstance(hdus[0], fits.PrimaryHDU) else [fits.PrimaryHDU()]
    fits.HDUList([*first, *hdus]).writeto(file, output_verify="ignore")
    return file.getvalue()


def picture(shape=SHAPE):
    return np.cumsum(RNG.integers(-3, 4, shape), axis=-1) + 40


def files():
    found = {**dict(_images()), **dict(_tiles()), **dict(_tables()), **dict(_compressed_tables())}
    return ((f"{name}.fits", data) for name, data in found.items())


def _images():
    for dtype in ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"):
        yield f"image_{dtype}", written(fits.PrimaryHDU(picture().astype(dtype)))
    scaled = fits.PrimaryHDU(picture().astype("i2"))
    scaled.header.update(BLANK=41, BSCALE=0.5, BZERO=3)
    yield "image_blank", written(scaled)
    yield (
        "image_cube",
        written(
            fits.ImageHDU(picture((2, 3, 5)).astype("f4"), name="A"), fits.ImageHDU(picture().astype("i2"), name="B")
        ),
    )
    placed = fits.PrimaryHDU(picture().astype("f4"))
    placed.header.update(CTYPE1="RA---TAN", CTYPE2="DEC--TAN", CRVAL1=10.0, CRVAL2=-5.0, CRPIX1=3.0, CRPIX2=4.0, CDELT1=-0.1, CDELT2=0.1,
                         CUNIT1="deg", CUNIT2="deg", BUNIT="Jy", COMMENT="of the maker", OBJECT="a 'name' that is long " * 5)  # fmt: skip
    yield "image_sky", written(placed)
    yield from _distorted()
    line = fits.PrimaryHDU(picture((4, 3, 2)).astype("f4"))
    line.header.update(
        CTYPE1="GLON-CAR", CTYPE2="GLAT-CAR", CTYPE3="FREQ", CRVAL3=1e9, CDELT3=1e6, CUNIT3="Hz", PC1_1=0.9, PC1_2=0.1
    )
    yield "image_line", written(line)
    yield "image_gzip", gzip.compress(written(fits.PrimaryHDU(picture().astype("i2"))), mtime=0)
    groups = header(("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 3), ("NAXIS1", 0), ("NAXIS2", 4), ("NAXIS3", 2), ("GROUPS", True),
                    ("PCOUNT", 2), ("GCOUNT", 3), ("PTYPE1", "UU"), ("PTYPE2", "VV"))  # fmt: skip
    yield "image_groups", groups + padded(np.arange(30, dtype=">f4").tobytes())


def _distorted():
    """Images whose coordinates are bent, in the ways that wcslib knows."""
    place = {"CRVAL1": 10.0, "CRVAL2": -5.0, "CRPIX1": 3.0, "CRPIX2": 4.0, "CDELT1": -0.1, "CDELT2": 0.1}
    terms = {f"AMD{axis}{n}": 67.0 if n == 1 else 1e-3 * n for axis in "XY" for n in range(1, 14)}
    plate = {
        "PLTRAH": 23, "PLTRAM": 19, "PLTRAS": 21.5, "PLTDECSN": "+", "PLTDECD": 6, "PLTDECM": 47, "PLTDECS": 32.2, "CNPIX1": 7152,
        "CNPIX2": 4123, "PLTSCALE": 67.2, "XPIXELSZ": 25.3, "YPIXELSZ": 25.3, "PPO3": 177500.0, "PPO6": 177500.0, "AMDX20": 0.0,
    }  # fmt: skip
    surface = "1. 2. 2. 0. -20. 20. -20. 20. 0.01 0.02 0.03 "
    kinds = {
        "plate": ("TAN", plate | terms, ()),
        "sip": ("TAN-SIP", {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_0_2": 1e-4, "AP_ORDER": 1, "BP_ORDER": 1}, ()),
        "tpv": ("TPV", {"PV1_1": 1.0, "PV2_1": 1.0, "PV1_4": 1e-3, "PV2_12": 1e-3}, ()),
        "zpn": ("ZPN", {"PV2_1": 1.0, "PV2_3": 42.0}, ()),
        "tnx": ("TNX", {}, [
            (f"WAT{n}_{k + 1:03d}", text[68 * k : 68 * k + 68])
            for n, text in ((1, f'wtype=tnx axtype=ra lngcor = "{surface}"'), (2, f'wtype=tnx axtype=dec latcor = "{surface}"'))
            for k in range(2)
        ]),
        "records": ("TAN", {}, [
            ("CQDIS1", "TPD"), ("CQDIS2", "TPD"), ("DQ1", "NAXES: 2"), ("DQ1", "AXIS.1: 1"), ("DQ1", "AXIS.2: 2"), ("DQ1", "OFFSET.1: 0.5"),
            ("DQ1", "SCALE.2: 2.0"), ("DQ1", "TPD.FWD.1: 1.0"), ("DQ1", "TPD.FWD.3: 0.25"), ("DQ2", "NAXES: 2"), ("DQ2", "TPD.FWD.1: 1.0"),
        ]),
    }  # fmt: skip
    for name, (kind, values, texts) in kinds.items():
        image = fits.PrimaryHDU(picture().astype("i2"))
        image.header.update({"CTYPE1": f"RA---{kind}", "CTYPE2": f"DEC--{kind}", **place, **values})
        for key, text in texts:
            image.header.append(fits.Card.fromstring(f"{key:8}= '{text:8}'"), end=True)
        yield f"image_bent_{name}", written(image)


def _tiles():
    for kind in ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1", "NOCOMPRESS"):
        for dtype in ("u1", "i2", "i4", "f4", "f8", "u2"):
            if kind == "PLIO_1" and dtype not in {"i2", "u1", "i4"}:
                continue
            values = picture().astype(dtype) + (RNG.normal(0, 3, SHAPE).astype(dtype) if dtype[0] == "f" else 0)
            if dtype == "f4":
                values[2, 3:5] = np.nan
            options = (
                {"quantize_level": 16, "quantize_method": 2 if dtype == "f4" else 1, "dither_seed": 42}
                if dtype[0] == "f"
                else {}
            )
            tile = (6, 7) if kind == "HCOMPRESS_1" else (5, 14)
            if kind == "HCOMPRESS_1" and dtype == "i2":
                options["hcomp_scale"] = 4
            yield (
                f"tiles_{kind}_{dtype}",
                written(fits.CompImageHDU(values, compression_type=kind, tile_shape=tile, **options)),
            )
    exact = RNG.normal(0, 1, SHAPE).astype("f4")
    yield (
        "tiles_exact",
        written(fits.CompImageHDU(exact, compression_type="GZIP_2", quantize_level=0, tile_shape=(4, 14))),
    )
    yield (
        "tiles_plain_quantized",
        written(fits.CompImageHDU(exact, compression_type="RICE_1", quantize_level=4, quantize_method=-1)),
    )
    blank = written(fits.CompImageHDU(picture().astype("i2"), compression_type="RICE_1"))
    with fits.open(io.BytesIO(blank), disable_image_compression=True) as file:
        file[1].header["ZBLANK"] = 41
        out = io.BytesIO()
        file.writeto(out, output_verify="ignore")
    yield "tiles_blank", out.getvalue()


def _tables():
    n = 9
    for code in "LXBIJKAEDCM":
        size = 11 if code == "X" else 3
        values = RNG.integers(0, 256, (n, 2), dtype="u1") if code == "X" else random_values(code, (n, size), RNG)
        yield f"table_{code}", table([f"{size}{code}"], columns(values), n)
    for code, wide in (("J", False), ("D", True), ("A", False), ("X", False), ("B", True), ("C", False), ("L", False)):
        counts = [i % 4 for i in range(n)]
        pairs, heap, _ = variable(code, counts, RNG, wide)
        extra = RNG.integers(0, 9, n).astype(">i2")
        yield (
            f"table_variable_{code}",
            table([f"1{'Q' if wide else 'P'}{code}(3)", "I"], columns(pairs, extra), n, heap, gap=16),
        )
    mixed = columns(np.arange(n, dtype=">i4"), RNG.normal(size=n).astype(">f8"), random_values("A", (n, 8), RNG), np.arange(4 * n, dtype=">i2").reshape(n, 4))  # fmt: skip
    yield (
        "table_mixed",
        table(
            ["J", "D", "8A", "4I"], mixed, n, TNULL1=5, TSCAL4=0.5, TZERO4=1.0, TDIM4="(2,2)", TUNIT2="m", TDIM3="(4,2)"
        ),
    )
    unsigned = columns(np.arange(n, dtype=">i2"), np.arange(n, dtype=">i4"), np.arange(n, dtype=">i8"))
    yield (
        "table_unsigned",
        table(["I", "J", "K"], unsigned, n, TZERO1=32768, TZERO2=2147483648, TZERO3=9223372036854775808),
    )
    yield "table_empty", table(["J", "8A"], b"", 0, width=12)
    two = table(["J"], columns(np.arange(n, dtype=">i4")), n)
    yield "table_twice", two + two[2880:]
    texts = [fits.Column("a", "I6", array=np.arange(n)), fits.Column("b", "E12.5", array=RNG.normal(size=n)),
             fits.Column("c", "A5", array=np.array(["ab", "c", ""] * 3)), fits.Column("d", "D20.10", array=RNG.normal(size=n)),
             fits.Column("e", "F8.3", array=RNG.normal(size=n))]  # fmt: skip
    yield "table_ascii", written(fits.TableHDU.from_columns(texts))
    yield "table_and_image", written(fits.ImageHDU(picture().astype("i2"))) + padded(b"")


def _compressed_tables():
    n = 11
    fixed = columns(np.arange(n, dtype=">i4"), np.arange(n, dtype=">i2"), RNG.normal(size=n).astype(">f4"), random_values("A", (n, 6), RNG), RNG.integers(0, 9, n).astype("u1"))  # fmt: skip
    plain = table(["J", "I", "E", "6A", "B"], fixed, n)
    for name, codecs in {
        "gzip": ("GZIP_1",) * 5,
        "shuffled": ("GZIP_2", "GZIP_2", "GZIP_2", "GZIP_1", "GZIP_1"),
        "rice": ("RICE_1", "RICE_1", "GZIP_2", "NOCOMPRESS", "RICE_1"),
    }.items():
        yield f"compressed_{name}", compress(plain, 4, codecs)
