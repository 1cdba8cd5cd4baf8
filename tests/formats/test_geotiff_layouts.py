"""Layouts that writers of TIFF files leave out parts of: rows below the image, byte counts, lists of directories."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import rasterio
import xarray as xr

import scichunk
from scichunk.errors import FormatError

RNG = np.random.default_rng(8)
IMAGE = RNG.integers(0, 40, (3, 87, 35), dtype="u1")
ENCODERS = {
    1: bytes,
    5: imagecodecs.lzw_encode,
    8: zlib.compress,
    32773: imagecodecs.packbits_encode,
    34925: imagecodecs.lzma_encode,
    50000: imagecodecs.zstd_encode,
}


def tiff(blocks, tags, counts=None):
    """Return a TIFF file of encoded blocks; ``tags`` by code, those of one value as a number, all others as (type, count, bytes)."""
    tiled = 322 in tags
    counts = [len(b) for b in blocks] if counts is None else counts
    n = len(blocks)
    tags = {259: 1, 262: 1, 277: 1, 284: 1, **tags}
    entries = {c: (4, 1, struct.pack("<I", v)) if isinstance(v, int) else v for c, v in tags.items()}
    entries[324 if tiled else 273] = (4, n, b"\0" * (4 * n))
    entries[325 if tiled else 279] = (4, n, struct.pack(f"<{n}I", *counts))
    at = 8 + 2 + 12 * len(entries) + 4
    for _ in range(2):  # the second time with the offsets of the blocks
        head, tail = b"", b""
        for code in sorted(entries):
            kind, count, value = entries[code]
            if len(value) > 4:
                place, tail = struct.pack("<I", at + len(tail)), tail + value
            else:
                place = value.ljust(4, b"\0")
            head += struct.pack("<HHI", code, kind, count) + place
        first = at + len(tail)
        places = np.cumsum([first, *(len(b) for b in blocks[:-1])])
        entries[324 if tiled else 273] = (4, n, struct.pack(f"<{n}I", *places))
    return (
        b"II*\0"
        + struct.pack("<IH", 8, len(entries))
        + head
        + struct.pack("<I", 0)
        + tail
        + b"".join(bytes(b) for b in blocks)
    )


def tiled_image(compression, predictor, planar, short):
    """A file of tiles of 64 x 64, of which the lower ones hold only the rows of the image if ``short``."""
    bands, height, width = IMAGE.shape
    padded = np.zeros((bands, 128, 64), "u1")
    padded[:, :height, :width] = IMAGE
    blocks = []
    for plane in [padded] if planar == 1 else padded[:, None]:
        for top in (0, 64):
            tile = plane[:, top : min(top + 64, height if short else 128)].transpose(1, 2, 0)
            if predictor == 2:
                tile = np.concatenate([tile[:, :1], np.diff(tile, axis=1)], axis=1)
            blocks.append(ENCODERS[compression](np.ascontiguousarray(tile).tobytes()))
    bits = (3, 3, struct.pack("<3H", 8, 8, 8))
    tags = {256: width, 257: height, 258: bits, 259: compression, 262: 2, 277: 3, 284: planar, 317: predictor}
    return tiff(blocks, {**tags, 322: 64, 323: 64})


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize(
    ("compression", "predictor"), [*((c, 1) for c in ENCODERS), *((c, 2) for c in (5, 8, 34925, 50000))]
)
def test_lower_tiles_may_end_with_the_image(tmp_path, compression, predictor, planar):
    path = tmp_path / "short.tif"
    path.write_bytes(tiled_image(compression, predictor, planar, short=True))
    with rasterio.open(path) as ds:
        np.testing.assert_array_equal(ds.read(), IMAGE)
    array = scichunk.from_geotiff(path, reader="indexed")
    np.testing.assert_array_equal(array.compute(), IMAGE)
    np.testing.assert_array_equal(array[1:, 70:80, 3:9].compute(), IMAGE[1:, 70:80, 3:9])


@pytest.mark.parametrize("compression", ENCODERS)
def test_rows_of_the_image_must_be_there(tmp_path, compression):
    whole = tiled_image(compression, 1, 2, short=True)
    rows = np.zeros((20, 64), "u1")  # 23 are in the image
    cut = ENCODERS[compression](rows.tobytes())
    _, height, width = IMAGE.shape
    upper = ENCODERS[compression](bytes(64 * 64))
    bits = (3, 3, struct.pack("<3H", 8, 8, 8))
    tags = {256: width, 257: height, 258: bits, 259: compression, 262: 2, 277: 3, 284: 2, 322: 64, 323: 64}
    data = tiff([upper, cut] * 3, tags)
    assert len(whole) > len(data)
    path = tmp_path / "cut.tif"
    path.write_bytes(data)
    with pytest.raises(rasterio.errors.RasterioError), rasterio.open(path) as ds:
        ds.read()
    with pytest.raises(scichunk.errors.FormatError):
        scichunk.from_geotiff(path).compute()


@pytest.mark.parametrize("compression", ["", "deflate"])
def test_lower_tiles_of_bits(compression):
    pixels = RNG.integers(0, 2, (40, 30), dtype="u1")
    padded = np.zeros((40, 32), "u1")
    padded[:, :30] = pixels
    lower = np.packbits(padded[32:], axis=1).tobytes()
    blocks = [np.packbits(padded[:32], axis=1).tobytes(), lower]
    blocks = [zlib.compress(b) for b in blocks] if compression else blocks
    data = tiff(blocks, {256: 30, 257: 40, 258: 1, 259: 8 if compression else 1, 322: 32, 323: 32})
    np.testing.assert_array_equal(scichunk.from_geotiff(data, reader="indexed").compute()[0], pixels)


@pytest.mark.parametrize("compression", [1, 8, 5])
@pytest.mark.parametrize("kind", ["u1", "<u2"])
def test_one_strip_without_a_byte_count(tmp_path, compression, kind):
    """GDAL estimates its length; zeros would be wrong values."""
    pixels = RNG.integers(1, 200, (20, 30)).astype(kind)
    path = tmp_path / "strip.tif"
    bits = 8 * pixels.itemsize
    path.write_bytes(
        tiff([ENCODERS[compression](pixels.tobytes())], {256: 30, 257: 20, 258: bits, 259: compression, 278: 20}, [0])
    )
    with rasterio.open(path) as ds:
        want = ds.read(1)
    np.testing.assert_array_equal(want, pixels)
    np.testing.assert_array_equal(scichunk.from_geotiff(path).compute()[0], want)


def test_two_strips_without_byte_counts_are_gdals(tmp_path):
    pixels = RNG.integers(1, 200, (20, 30), dtype="u1")
    path = tmp_path / "strips.tif"
    path.write_bytes(tiff([pixels[:10].tobytes(), pixels[10:].tobytes()], {256: 30, 257: 20, 258: 8, 278: 10}, [0, 0]))
    with rasterio.open(path) as ds:
        want = ds.read()
    np.testing.assert_array_equal(scichunk.from_geotiff(path).compute(), want)


def test_a_list_of_directories_outside_of_the_file():
    """The first image is read; what the list would name is left out, with a warning."""
    pixels = RNG.integers(1, 200, (8, 8), dtype="u1")
    data = tiff([pixels.tobytes()], {256: 8, 257: 8, 258: 8, 278: 8, 330: (4, 3, b"lost!" * 2 + b"..")})
    data = data.replace(struct.pack("<HHI", 330, 4, 3), struct.pack("<HHI", 330, 4, 1 << 20))
    with pytest.warns(scichunk.errors.MetadataWarning, match="left out"):
        assert len(scichunk.info(data).arrays) == 1
    np.testing.assert_array_equal(scichunk.from_geotiff(data).compute()[0], pixels)


@pytest.mark.parametrize("kind", [1, 3, 4, 13, 16, 18], ids=["BYTE", "SHORT", "LONG", "IFD", "LONG8", "IFD8"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("room", [4, 8], ids=["TIFF", "BigTIFF"])
def test_numbers_of_any_type_within_and_outside_of_their_entries(kind, order, room):
    """Sizes of an image as each unsigned type of number, several strips with their places, in both orders of bytes."""
    letter = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}[kind]
    start, pixels = 16 if room == 8 else 8, np.arange(12, dtype="u1").reshape(4, 3)
    first = start + 12
    tags = {256: [3], 257: [4], 258: [8], 259: [1], 262: [1], 273: [start, start + 6], 277: [1], 278: [2], 279: [6, 6]}
    outside, entries = b"", b""
    values_at = first + (8 if room == 8 else 2) + len(tags) * (room * 2 + 4) + room
    for code, numbers in tags.items():
        raw = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(raw) > room:
            raw, outside = struct.pack(order + "IQ"[room == 8], values_at + len(outside)), outside + raw
        entries += struct.pack(order + ("HHI", "HHQ")[room == 8], code, kind, len(numbers)) + raw.ljust(room, b"\xee")
    mark = b"II" if order == "<" else b"MM"
    head = mark + (struct.pack(order + "HHHQ", 43, 8, 0, first) if room == 8 else struct.pack(order + "HI", 42, first))
    count = struct.pack(order + "HQ"[room == 8], len(tags))
    data = head + pixels.tobytes() + count + entries + bytes(room) + outside
    found = scichunk.from_geotiff(data).compute()
    np.testing.assert_array_equal(found[0], pixels)


@pytest.mark.parametrize("text", [
    b"1e2", b"7.6", b"-7.6", b"1,5", b"-1", b" 5", b"abc", b"inf", b"-inf", b"nan", b"", b"0x10", b"99999999999999999999999", b"-99999999999999999999999",
    b"9223372036854775807", b"18446744073709551615", b"-18446744073709551615", b"-18446744073709551617", b"0" * 40 + b"12",
])  # fmt: skip
@pytest.mark.parametrize(("form", "bits"), [(2, 64), (1, 64), (2, 32), (1, 8), (3, 64)])
@pytest.mark.filterwarnings("ignore::scichunk.errors.MetadataWarning")
def test_absent_tiles_have_the_value_that_is_masked(tmp_path, text, form, bits):
    """Of integers of 64 bits GDAL reads nodata as C's strtoll does; what fills a tile is what counts as no data there."""
    path = tmp_path / "a.tif"
    tags = {256: 8, 257: 8, 258: bits, 339: form, 322: 16, 323: 16, 42113: (2, len(text) + 1, text + b"\0")}
    path.write_bytes(tiff([b""], tags))
    with rasterio.open(path) as ds:
        want, masked = ds.read(), ds.read_masks() == 0
    np.testing.assert_array_equal(scichunk.from_geotiff(path).compute(), want)
    decoded = xr.open_dataset(path, engine="geotiff").band_data.values
    np.testing.assert_array_equal(np.isnan(decoded), masked)


@pytest.mark.parametrize("sampling", ["444", "422", "420", "440", "411"])
def test_jpeg_that_is_said_to_be_rgb(tmp_path, sampling):
    """Subsampled components are no red, green and blue, as which they would come out; others are taken as they are, by libtiff too."""
    y, x = np.mgrid[:48, :64]
    image = np.stack([y * 5, x * 4, (x + y) * 2], -1).astype("u1")
    data = imagecodecs.jpeg8_encode(image, level=90, colorspace="RGB", outcolorspace="YCBCR", subsampling=sampling)
    bits = (3, 3, struct.pack("<3H", 8, 8, 8))
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([data], {256: 64, 257: 48, 258: bits, 259: 7, 262: 2, 277: 3, 278: 48}))
    array = scichunk.from_geotiff(path)
    if sampling == "444":
        with rasterio.open(path) as ds:
            np.testing.assert_allclose(array.compute().astype(int), ds.read(), atol=1)
        return
    with rasterio.open(path) as ds, pytest.raises(rasterio.errors.RasterioIOError):
        ds.read()
    with pytest.raises(FormatError, match="sampled differently"):
        array.compute()
