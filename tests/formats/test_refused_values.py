"""Encoded data that are not those of their tile decode to something all the same; the reference libraries refuse them, and so do we."""

import io
import re
import struct

import imagecodecs
import numpy as np
import pytest
import rasterio
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError
from tests.tiff_files import LONG, SHORT, page, tiff

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 90, (24, 20)).astype("i4")
FLOATS = RNG.normal(50, 9, (24, 20)).astype("f4")
FLOATS[3, 4] = np.nan


@pytest.fixture(params=["small ways", "kernels"])
def both_ways(request):
    """Through NumPy, as small files are, and through the compiled kernels."""
    with scichunk.options.set(kernel_bytes=1 << 40 if request.param == "small ways" else 0):
        yield


def packed(pixels, kind, **options):
    file = io.BytesIO()
    hdus = [fits.PrimaryHDU(), fits.CompImageHDU(pixels, compression_type=kind, tile_shape=(6, 20), **options)]
    fits.HDUList(hdus).writeto(file)
    return bytearray(file.getvalue())


def quantised():
    return packed(FLOATS, "RICE_1", quantize_level=4, quantize_method=1, dither_seed=5)


def places(data):
    """Where the rows of the table of tiles begin, how wide they are, where its heap begins, and how long that is."""
    with fits.open(io.BytesIO(data), disable_image_compression=True) as file:
        table = file[1]
        width, rows = table.header["NAXIS1"], table.header["NAXIS2"]
        return table._data_offset, width, table._data_offset + width * rows, table.header["PCOUNT"]


def descriptor(data, tile):
    start, width, _, _ = places(data)
    return struct.unpack_from(">ii", data, start + tile * width)


def with_descriptor(data, tile, count, offset):
    start, width, _, _ = places(data)
    struct.pack_into(">ii", data, start + tile * width, count, offset)
    return bytes(data)


def with_card(data, name, value):
    return re.sub(rf"(?s){name:<8}= .{{70}}".encode(), f"{name:<8}= {value}".ljust(80).encode(), bytes(data), count=1)


def refused_by_astropy(data):
    with pytest.raises(Exception), fits.open(io.BytesIO(data)) as file:  # noqa: B017  # of many classes
        np.asarray(file[1].data)
    return True


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4"])
def test_rice_data_that_end_before_their_tile_does(dtype):
    """A damaged code takes other bits than the sound one did, and all codes behind it: where they end is the only check there is."""
    data, silent = packed(PIXELS.astype(dtype), "RICE_1"), 0
    _, _, heap, size = places(data)
    for at in range(heap, heap + size, 5):
        damaged = bytearray(data)
        damaged[at] ^= 16
        try:
            found = scichunk.reader(bytes(damaged))[...]
        except FormatError:
            continue
        with fits.open(io.BytesIO(damaged)) as file:  # what is read, astropy reads too
            np.testing.assert_array_equal(found, file[1].data)
        silent += 1
    assert 0 < silent < size  # the low bits of a value are no matter of its code


@pytest.mark.usefixtures("both_ways")
def test_a_rice_tile_with_bytes_behind_it():
    data = packed(PIXELS, "RICE_1")
    count, offset = descriptor(data, 0)
    longer = with_descriptor(data, 0, count + 1, offset)
    assert refused_by_astropy(longer)
    with pytest.raises(FormatError, match="RICE_1 data of"):
        scichunk.reader(longer)[:6]
    np.testing.assert_array_equal(scichunk.reader(longer)[6:], PIXELS[6:])


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS"])
@pytest.mark.parametrize("beyond", [1, 40, 1 << 20, -(1 << 30)])
def test_a_tile_that_reaches_beyond_the_heap(kind, beyond):
    """What follows the heap is the end of the block, or another extension."""
    data = packed(PIXELS, kind)
    size, (count, _) = places(data)[3], descriptor(data, 2)
    # PLIO_1 counts words.
    nbytes = count * (2 if kind == "PLIO_1" else 1)
    wrong = with_descriptor(data, 2, count, size - nbytes + beyond)
    if kind in {"RICE_1", "NOCOMPRESS"}:  # of others astropy takes what is left
        assert refused_by_astropy(wrong)
    with pytest.raises(FormatError, match=r"no possible place.*tile 2"):
        scichunk.reader(wrong)[12:18]
    np.testing.assert_array_equal(scichunk.reader(wrong)[:12], PIXELS[:12])
    within = with_descriptor(data, 2, *descriptor(packed(PIXELS, kind), 2))
    np.testing.assert_array_equal(scichunk.reader(within)[...], PIXELS)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ZQUANTIZ", "255", "ZQUANTIZ is 255"),
        ("ZQUANTIZ", "T", "ZQUANTIZ is True"),
        ("ZQUANTIZ", "no text", "ZQUANTIZ is None"),
        ("ZBLANK", "'x'", "ZBLANK is 'x'"),
        ("ZNAME1", "5", "ZNAME1 is 5"),
        ("TTYPE3", "'OTHER   '", "there is only ZZERO"),
        ("TTYPE4", "'OTHER   '", "there is only ZSCALE"),
    ],
)
def test_keywords_that_say_nothing_of_how_floats_were_made_integers(name, value, message):
    data = with_card(quantised(), name, value)
    assert refused_by_astropy(data)
    with pytest.raises(FormatError, match=message):
        scichunk.reader(data)[...]


def test_floats_that_were_made_integers_are_read_as_astropy_reads_them():
    with fits.open(io.BytesIO(quantised())) as file:
        np.testing.assert_array_equal(scichunk.reader(bytes(quantised()))[...], file[1].data)


def encoded(codec, rows):
    """An image of so many rows and 16 columns; compression, samples, further tags."""
    grey = (np.add.outer(np.arange(rows) * 3, np.arange(16) * 2) % 200).astype("u1")
    colours = np.ascontiguousarray(np.stack([grey] * 3, -1))
    return {
        "jpeg": lambda: (imagecodecs.jpeg8_encode(grey), 7, 1, {}),
        "webp": lambda: (imagecodecs.webp_encode(colours, lossless=True), 50001, 3, {}),
        "lerc": lambda: (imagecodecs.lerc_encode(grey), 34887, 1, {"t50674": (LONG, [4, 0])}),
        "jpegxl": lambda: (imagecodecs.jpegxl_encode(colours, lossless=True), 50002, 3, {}),
    }[codec]()


def raster(codec, *rows, tiled, height=32):
    """A raster of blocks of 16 rows, whose images have these numbers of rows."""
    images = [encoded(codec, n) for n in rows]
    _, compression, samples, tags = images[0]
    tags = tags | {"t259": (SHORT, [compression]), "t262": (SHORT, [1 if samples == 1 else 2])}
    if not tiled:
        tags["t278"] = (SHORT, [16])
    blocks = [bytes(data) for data, *_ in images]
    return tiff(page((samples, height, 16), blocks=blocks, tile=(16, 16) if tiled else None, **tags))


def by_rasterio(data):
    with rasterio.MemoryFile(data) as memory, memory.open() as ds:
        return ds.read()


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("codec", ["jpeg", "webp", "lerc", "jpegxl"])
def test_images_of_other_sizes_than_their_tile(codec, tiled):
    if not getattr(imagecodecs, codec.upper()).available:
        pytest.skip(f"imagecodecs has no {codec}")
    sound = raster(codec, 16, 16, tiled=tiled)
    expected = scichunk.reader(sound)[...]
    if codec != "jpegxl":  # libtiff in rasterio's wheels has none
        np.testing.assert_array_equal(expected, by_rasterio(sound))
    for rows in (24, 17, 15):
        wrong = raster(codec, rows, 16, tiled=tiled)
        if codec != "jpegxl" and rows > 16:
            with pytest.raises(rasterio.errors.RasterioIOError):
                by_rasterio(wrong)
        with pytest.raises(FormatError, match=rf"hold an image of \({rows}, 16, .*(strip|tile) 0"):
            scichunk.reader(wrong)[:, :16]
        np.testing.assert_array_equal(scichunk.reader(wrong)[:, 16:], expected[:, 16:])


@pytest.mark.parametrize("rows", [8, 16, 24])
@pytest.mark.parametrize("codec", ["jpeg", "webp", "lerc"])
def test_a_last_strip_that_goes_on_behind_the_image(codec, rows):
    """Some writers of JPEG make all strips alike; libtiff reads them, of JPEG alone."""
    data = raster(codec, 16, rows, tiled=False, height=24)
    if codec == "jpeg" or rows == 8:
        np.testing.assert_array_equal(scichunk.reader(data)[...], by_rasterio(data))
        return
    with pytest.raises(rasterio.errors.RasterioIOError):
        by_rasterio(data)
    with pytest.raises(FormatError, match="strip 1"):
        scichunk.reader(data)[...]


@pytest.mark.parametrize("compression", [5, 8, 50000])
def test_a_predictor_that_there_is_not(compression, tmp_path):
    """Number 0; 1 is none."""
    path = tmp_path / "a.tif"
    name = {5: "LZW", 8: "DEFLATE", 50000: "ZSTD"}[compression]
    with rasterio.open(
        path, "w", driver="GTiff", width=20, height=24, count=1, dtype="int32", compress=name, predictor=2
    ) as ds:
        ds.write(PIXELS[None])
    data = path.read_bytes()
    at = data.index(struct.pack("<HHI", 317, 3, 1)) + 8
    for number in (0, 9):
        wrong = data[:at] + struct.pack("<H", number) + data[at + 2 :]
        with pytest.raises(rasterio.errors.RasterioIOError):
            by_rasterio(wrong)
        with pytest.raises(FormatError, match=f"Predictor.* value {number} not supported"):
            scichunk.reader(wrong)[...]


@pytest.mark.parametrize("compress", [imagecodecs.zstd_encode, imagecodecs.zlib_encode])
def test_lerc_data_that_are_compressed_again_without_a_word_of_it(compress):
    """A decoder that finds that out by itself would also allocate what their header says, which nobody has looked at."""
    blob, compression, _, tags = encoded("lerc", 16)
    tags = tags | {"t259": (SHORT, [compression]), "t262": (SHORT, [1])}
    wrong = tiff(page((1, 16, 16), blocks=[bytes(compress(blob))], **tags))
    with pytest.raises(rasterio.errors.RasterioIOError):
        by_rasterio(wrong)
    with pytest.raises(FormatError, match="LERC data do not begin with the header"):
        scichunk.reader(wrong)[...]
    told = tags | {"t50674": (LONG, [4, 2 if compress is imagecodecs.zstd_encode else 1])}
    np.testing.assert_array_equal(
        scichunk.reader(tiff(page((1, 16, 16), blocks=[bytes(compress(blob))], **told)))[...],
        by_rasterio(tiff(page((1, 16, 16), blocks=[blob], **tags))),
    )
