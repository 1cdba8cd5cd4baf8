"""What a header promises is compared with the file and the limits before a reference library makes room for it."""

import gzip
import io
import struct

import numpy as np
import pytest
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError, LimitExceeded
from tests.children import outcomes
from tests.fits_tables import columns, table
from tests.formats.test_hostile_sizes import PLAIN, tiff
from tests.votable_docs import doc

PIXELS = np.arange(4096, dtype=np.int32).reshape(64, 64)


def of_one_tile(kind, data, *, edge=64, **cards):
    """A compressed image whose only tile is these bytes."""
    head = {"ZIMAGE": True, "ZCMPTYPE": kind, "ZBITPIX": 32, "ZNAXIS": 2, "ZNAXIS1": edge, "ZNAXIS2": edge}
    tile = np.empty(1, object)
    tile[0] = np.frombuffer(data, "u1")
    hdu = fits.BinTableHDU.from_columns([fits.Column("COMPRESSED_DATA", "PB", array=tile)])
    hdu.header.update(head | {"ZTILE1": edge, "ZTILE2": edge} | cards)
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    return file.getvalue()


def hcompress(rows, columns, rest=bytes(64)):
    return b"\xdd\x99" + struct.pack(">iiiq", rows, columns, 1, 1) + rest


SMOOTH = {"ZNAME1": "SCALE", "ZVAL1": 0, "ZNAME2": "SMOOTH", "ZVAL2": 1}


@pytest.mark.parametrize("cards", [SMOOTH, {}], ids=["smooth", "plain"])
def test_tiles_of_hcompress_that_are_larger_than_they_should_be(cards):
    """astropy's decoder writes as many pixels as the tile says; smoothed images are read by it always."""
    sizes = [
        (-1, 1 << 30),
        (0x7FFFFFFF, 0x7FFFFFFF),
        (1 << 15, 1 << 15),
        (65, 64),
        (1 << 16, 1 << 16),
        (0, 0),
        (-64, -64),
    ]
    files = [of_one_tile("HCOMPRESS_1", hcompress(*size), **cards) for size in sizes]
    files.append(of_one_tile("HCOMPRESS_1", hcompress(64, 64)[:8], **cards))
    reads = [f"scichunk.from_fits({data!r}, reader='reference').compute()" for data in files]
    assert outcomes(*reads) == ["FormatError"] * len(files)
    if cards:
        reads = [f"scichunk.from_fits({data!r}).compute()" for data in files]
        assert outcomes(*reads) == ["FormatError"] * len(files)


def compressed(kind, pixels=PIXELS, **options):
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels, compression_type=kind, **options)]).writeto(file)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1"])
@pytest.mark.parametrize("shape", [(64, 64), (52, 61)])
def test_sound_tiles_are_read_by_the_reference_library(kind, shape):
    pixels = PIXELS[: shape[0], : shape[1]] % 1000
    data = compressed(kind, pixels, tile_shape=(16, 64) if kind == "HCOMPRESS_1" else (7, 32))
    np.testing.assert_array_equal(scichunk.from_fits(data, reader="reference").compute(), pixels)
    np.testing.assert_array_equal(
        scichunk.from_fits(data, reader="reference")[20:30, 40:].compute(), pixels[20:30, 40:]
    )


@pytest.mark.parametrize("cards", [SMOOTH, {}], ids=["smooth", "plain"])
def test_memory_to_decode_hcompress_is_limited(cards):
    """It is several times the pixels, of which few bytes may be very many."""
    data = of_one_tile("HCOMPRESS_1", hcompress(64, 64), **cards)
    found = scichunk.from_fits(data)
    with scichunk.options.set(max_chunk_bytes=18 * 64 * 64 - 1), pytest.raises(LimitExceeded, match="tile 0") as caught:
        found.compute()
    assert "HCOMPRESS_1 of 73728 bytes" in str(caught.value)
    assert caught.value.url
    with scichunk.options.set(max_chunk_bytes=18 * 64 * 64):
        assert found.compute().shape == (64, 64)


@pytest.mark.parametrize("columns", [1, 2])
def test_tiles_of_very_many_short_rows(columns):
    """The table of what goes where would be many times as large as the pixels."""
    import tracemalloc

    rows, cards = 1 << 18, {"ZNAME1": "BLOCKSIZE", "ZVAL1": 1 << 16, "ZTILE1": columns, "ZNAXIS1": columns}
    data = of_one_tile("RICE_1", b"\0\0\0\7" + bytes((20 * columns + 7) // 8), edge=rows, **cards)
    array, peaks = scichunk.from_fits(data)[:, :1], []
    with scichunk.options.set(kernel_bytes=0):
        for _ in range(4):  # the first ones compile and load kernels
            scichunk.clear_caches()
            tracemalloc.start()
            try:
                found = array.compute(scheduler="synchronous")
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
    assert found.shape == (rows, 1)
    assert (found == 7).all()
    assert min(peaks) < 12 * found.nbytes


def test_smoothed_images_are_read():
    data = compressed("HCOMPRESS_1", tile_shape=(64, 64), hcomp_scale=2, hcomp_smooth=1)
    found = scichunk.from_fits(data)
    assert found.shape == (64, 64)
    assert np.abs(found.compute() - PIXELS).max() < 200


MEMORY = """
import pathlib, re
def peak():  # of this program; getrusage begins with that of the process that started it
    return int(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) >> 10
{before}
before = peak()
try:
    {read}
except scichunk.errors.{error} as error:
    print(peak() - before < {most}, {match!r} in str(error))
"""


@pytest.mark.parametrize("kind", ["GZIP_1", "GZIP_2", "GZIP_COMPRESSED_DATA"])
def test_bombs_of_gzip_in_the_reference_library(kind):
    bomb = gzip.compress(bytes(1 << 28), 1)
    data = with_column(bomb) if kind == "GZIP_COMPRESSED_DATA" else of_one_tile(kind, bomb)
    sound = of_one_tile("GZIP_1", gzip.compress(PIXELS.astype(">i4").tobytes()))
    read, before = (f"scichunk.from_fits({d!r}, reader='reference').compute()" for d in (data, sound))
    code = MEMORY.format(before=before, read=read, error="FormatError", most=64, match="hold more than 32768 bytes")
    assert outcomes(code) == ["True True"]
    np.testing.assert_array_equal(scichunk.from_fits(sound, reader="reference").compute(), PIXELS)


def with_column(bomb):
    """The only tile is in the column for what could not be quantised."""
    tiles = np.empty(1, object)
    tiles[0] = np.frombuffer(bomb, "u1")
    none = np.empty(1, object)
    none[0] = np.zeros(0, "u1")
    columns = [fits.Column("COMPRESSED_DATA", "PB", array=none), fits.Column("GZIP_COMPRESSED_DATA", "PB", array=tiles)]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header.update({"ZIMAGE": True, "ZCMPTYPE": "RICE_1", "ZBITPIX": -32, "ZNAXIS": 2, "ZNAXIS1": 64, "ZNAXIS2": 64})
    hdu.header.update({"ZTILE1": 64, "ZTILE2": 64})
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "words",
    [(0, 7, -100, 0x7FFF, 0x7FFF, 0, 0), (0, 7, -100, 100, 0, 0, 0), (0, 7, 100), (0, 7), (0, -5, -100, 7, 0, 0, 0)],
)
def test_lists_of_plio_that_say_they_are_longer_than_they_are(words):
    data = of_one_tile("PLIO_1", struct.pack(f">{len(words)}h", *words))
    with pytest.raises(FormatError, match="PLIO data of"):
        scichunk.from_fits(data, reader="reference").compute()


def bits(count, rows):
    """A table of 100 kB, the arrays of which are the same ``count`` bits."""
    pairs = np.tile(np.array([[count, 0]], ">i4"), (rows, 1))
    return table(["1PX"], columns(pairs), rows, bytes(100_000))


def test_bits_that_share_their_bytes_are_counted_as_they_are_in_memory():
    """Each bit is a byte there; packed they are within the limit."""
    before = f"scichunk.read_fits_table({bits(8, 2)!r}).compute(); scichunk.options.set(max_chunk_bytes=1 << 26)"
    read = f"scichunk.read_fits_table({bits(800_000, 500)!r}).compute()"
    code = MEMORY.format(before=before, read=read, error="LimitExceeded", most=128, match="max_chunk_bytes")
    assert outcomes(code) == ["True True"]


def test_bits_are_unpacked_without_indexes_of_each():
    read = f"print(scichunk.read_fits_table({bits(799_999, 80)!r}).compute().shape, peak() - before < 320)"
    before = f"scichunk.read_fits_table({bits(7, 2)!r}).compute()"
    assert outcomes(MEMORY.format(before=before, read=read, error="FormatError", most=0, match="")) == ["(80, 1) True"]


# ---------------------------------------------------------------- VOTable: the header through astropy


def field(size, datatype="double"):
    return f'<FIELD name="a" datatype="{datatype}" arraysize="{size}"/>'


@pytest.mark.parametrize(
    "fields",
    [field(1 << 26), field(f"{1 << 26}x*"), field(1 << 28, "char"), field(f"{1 << 28}*", "char"), field(1 << 26, "unicodeChar"),
     field(1 << 28, "bit"), field("4000") * 2000],
)  # fmt: skip
def test_headers_of_rows_of_any_length(fields):
    for text in (doc("", fields), doc("", fields, body="<BINARY><STREAM></STREAM></BINARY>")):
        with (
            scichunk.options.set(max_chunk_bytes=1 << 26),
            pytest.raises(LimitExceeded, match=r"astropy's room.*max_chunk_bytes"),
        ):
            scichunk.votable_header(text.encode())


def test_params_of_fewer_values_than_they_say():
    param = '<PARAM name="p" datatype="double" arraysize="{}" value="{}"/>'
    for text in (
        doc(after=param.format(1 << 26, 1)),
        doc(before="").replace("<TABLE>", param.format(1 << 26, 1) + "<TABLE>"),
    ):
        with pytest.raises(LimitExceeded, match=r"'p' has 67108864 elements in a value of 1 characters"):
            scichunk.votable_header(text.encode())
    sound = doc().replace("<TABLE>", param.format(3, "1 2 3") + "<TABLE>").encode()
    assert list(scichunk.votable_header(sound).resources[0].params[0].value) == [1, 2, 3]


@pytest.mark.parametrize("rows", [4_000_000_000, 3])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_numbers_of_rows_take_no_memory(rows, quote):
    text = doc("<TR><TD>1</TD><TD>x</TD></TR>").replace(
        "<TABLE>", f"<TABLE name='t' nrows ={quote}{rows}{quote} ID='b'>"
    )
    found = scichunk.votable_header(text.encode()).get_first_table()
    assert (found.nrows, found.name, found.ID, len(found.array)) == (rows, "t", "b", 0)


# ---------------------------------------------------------------- Parquet within VOTable, and texts in cells


@pytest.mark.parametrize("length", [1 << 19, 1 << 14])
def test_texts_of_any_length_that_are_stored_once(length):
    """8192 rows, which are a batch, of a text of half a megabyte: 4 GiB of a document of some kilobytes."""
    import pyarrow as pa

    from tests.formats.test_hostile_sizes import parquet

    data, few = (parquet(pa.table({"a": pa.array(["x" * length] * n)})) for n in (8192, 3))
    assert len(data) < 1 << 14
    read = f"scichunk.read_votable({data!r}).compute()"
    before = f"scichunk.read_votable({few!r}).compute(); scichunk.options.set(max_chunk_bytes=1 << 26)"
    code = MEMORY.format(before=before, read=read, error="LimitExceeded", most=64, match="max_chunk_bytes")
    assert outcomes(code) == ["True True"]
    assert scichunk.read_votable(few)["a"].compute().tolist() == ["x" * length] * 3


def test_texts_that_are_stored_once_are_read():
    import pyarrow as pa

    from tests.formats.test_hostile_sizes import parquet

    texts = [None if i % 7 == 3 else "abcdefgh"[: i % 9] for i in range(30_000)]
    found = scichunk.read_votable(
        parquet(pa.table({"a": pa.array(texts), "b": np.arange(30_000)}), row_group_size=11_000)
    )
    column = found["a"].compute()
    assert column.astype(object).where(column.notna(), None).tolist() == texts
    assert found["b"].compute().tolist() == list(range(30_000))


def test_errors_are_no_causes_of_themselves():
    """Whoever follows the causes of an error would do so for ever."""
    import pyarrow as pa

    from tests.formats.test_hostile_sizes import parquet

    data = parquet(pa.table({"a": pa.array(["x" * 10_000] * 1000)}))
    with scichunk.options.set(max_chunk_bytes=1 << 20), pytest.raises(LimitExceeded) as caught:
        scichunk.read_votable(data).compute(scheduler="synchronous")
    causes, error = [], caught.value
    while error is not None and len(causes) < 10:
        causes.append(error)
        error = error.__cause__
    assert len(set(map(id, causes))) == len(causes) < 10


def test_lists_of_equal_values():
    import pyarrow as pa

    from tests.formats.test_hostile_sizes import parquet

    data = parquet(pa.table({"a": pa.array([[0.0] * 1_000_000] * 40)}))
    few = parquet(pa.table({"a": pa.array([[0.0, 1.0]] * 4)}))
    read = f"scichunk.from_votable({data!r}, column='a', chunks=-1).compute()"
    before = f"scichunk.read_votable({few!r}).compute(); scichunk.options.set(max_chunk_bytes=1 << 26)"
    code = MEMORY.format(before=before, read=read, error="LimitExceeded", most=64, match="max_chunk_bytes")
    assert outcomes(code) == ["True True"]


@pytest.mark.parametrize("kind", ["double", "doubleComplex"])
def test_cells_of_items_larger_than_any(kind):
    data = doc("<TR><TD>1 2</TD></TR>" * 3, f'<FIELD name="a" datatype="{kind}" arraysize="2147483647x*"/>').encode()
    with pytest.raises(FormatError, match="a multiple of"):
        scichunk.read_votable(data).compute()
    with pytest.warns(scichunk.errors.DataWarning, match="null"):
        assert len(scichunk.read_votable(data, on_error="null").compute()) == 3


# ---------------------------------------------------------------- errors


def test_an_error_holds_nothing_once_it_is_gone():
    """What was expanded before a limit was met lies in frames of its traceback: these must not hold each other."""
    import gc
    import tracemalloc

    data = gzip.compress(bytes(b"SIMPLE  =                    T".ljust(80)) + bytes(1 << 25))
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        with scichunk.options.set(max_expanded_bytes=1 << 24):
            for _ in range(4):
                with pytest.raises(LimitExceeded, match="max_expanded_bytes"):
                    scichunk.from_fits(data)
        assert tracemalloc.get_traced_memory()[0] < 1 << 23
    finally:
        tracemalloc.stop()
        gc.enable()


# ---------------------------------------------------------------- TIFF: very large blocks, very many bands through GDAL


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("kind", "nodata"), [("uint8", 7), ("int16", -3), ("float32", np.nan), ("uint8", None)])
def test_absent_blocks_of_any_size_take_the_memory_of_the_window(tmp_path, kind, nodata):
    """A block of 2**32 pixels that is not in the file: GDAL would make room for it, and fill it."""
    import rasterio

    edges = {"width": 1 << 18, "height": 1 << 17, "blockxsize": 1 << 16, "blockysize": 1 << 16}
    profile = {"count": 2, "dtype": kind, "tiled": True, "SPARSE_OK": True, "nodata": nodata, "interleave": "band"}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **edges, **profile):
        pass
    read = f"print(scichunk.from_geotiff({str(tmp_path / 'a.tif')!r}, reader='reference')[:, 9:12, -3:].compute().tolist())"
    value = 0 if nodata is None else nodata
    want = np.full((2, 3, 3), value, kind).tolist()
    assert outcomes(read, gib=4) == [str(want)]


def test_bands_that_gdal_would_go_through_again_and_again():
    """Time and memory of a pixel-interleaved image grow with the square of its bands."""
    data = tiff(PLAIN | {277: (4, 65_535), 279: (4, 64 * 65_535)}, bytes(64 * 65_535))
    array = scichunk.from_geotiff(data, reader="reference")
    with pytest.raises(LimitExceeded, match=r"65535 bands.*bands="):
        array[:, :1, :1].compute()


@pytest.mark.parametrize("size", [16_000, 8])
def test_strips_of_whole_images_are_not_divided(size):
    """GDAL says that an image of one strip has blocks of one row; WEBP is decoded as a whole."""
    from tests.formats.test_hostile_geotiff import larger_webp

    image = larger_webp(size, size)
    tags = {
        256: (4, size),
        257: (4, size),
        258: (3, 8, 8, 8),
        259: (3, 50001),
        262: (3, 2),
        277: (3, 3),
        278: (4, size),
    }
    data = tiff(PLAIN | tags | {279: (4, len(image))}, image)
    with scichunk.options.set(max_chunk_bytes=1 << 26):
        array = scichunk.from_geotiff(data, reader="reference")[:, :1, :1]
        if size == 8:
            assert array.compute().shape == (3, 1, 1)
        else:
            with pytest.raises(LimitExceeded, match="GDAL would have to decode 768000000 bytes"):
                array.compute()
