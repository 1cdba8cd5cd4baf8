"""Sizes in headers are compared with the limits before anything is allocated, and opening is linear in what a file holds."""

import base64
import io
import struct
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

import scichunk
from scichunk.errors import FormatError, LimitExceeded, MetadataWarning
from tests.children import run
from tests.jpeg2000_files import encode, texture
from tests.votable_docs import doc


def tiff(tags, data=bytes(64)):
    """A TIFF of one directory: {code: (type, values)}; its one strip lies at byte 8."""
    sizes = {2: "s", 3: "H", 4: "I", 16: "Q"}
    table = b""
    for code, (kind, *values) in sorted(tags.items()):
        raw = struct.pack(f"<{len(values)}{sizes[kind]}", *values)
        assert len(raw) <= 8
        table += struct.pack("<HHQ", code, kind, len(values)) + raw.ljust(8, b"\0")
    at = 16 + len(data)
    return b"II+\0\x08\0\0\0" + struct.pack("<Q", at) + data + struct.pack("<Q", len(tags)) + table + bytes(8)


PLAIN = {256: (4, 8), 257: (4, 8), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, 16), 277: (3, 1), 278: (4, 8)} | {
    279: (4, 64)
}


@pytest.mark.parametrize("number", [65_536, 20_000_000, 0x7FFFFFFF])
def test_more_samples_than_there_can_be(tmp_path, number):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(PLAIN | {277: (4, number)}))
    code = "print(outcome(scichunk.from_geotiff, sys.argv[1])); print(outcome(scichunk.info, sys.argv[1]))"
    for line in run(code, path, max_mb=4000):
        assert line.startswith(f"FormatError: {number} samples per pixel"), line


@pytest.mark.parametrize("code", [256, 257])
def test_more_pixels_than_there_can_be(code):
    with pytest.raises(FormatError, match="pixels"):
        scichunk.from_geotiff(tiff(PLAIN | {code: (16, 1 << 63)}))


@pytest.mark.parametrize("code", [258, 330, 339])
def test_texts_in_the_place_of_numbers(code):
    """They say nothing: one bit and no sub-directories are what is taken where there is no such tag."""
    file = tiff(PLAIN | {code: (2, b"x")})
    assert scichunk.from_geotiff(file, reader="indexed").compute().shape == (1, 8, 8)
    assert len(scichunk.info(file).arrays) == 1


@pytest.mark.parametrize("edge", [1 << 16, 1 << 20, 0xFFFFFFF0])
@pytest.mark.parametrize("compression", [5, 8, 50000])
def test_tiles_far_larger_than_their_image(edge, compression):
    tiles = {259: (3, compression), 322: (4, edge), 323: (4, edge), 324: (4, 16), 325: (4, 64)}
    file = tiff({c: v for c, v in PLAIN.items() if c not in {273, 278, 279}} | tiles)
    with pytest.raises(LimitExceeded, match=r"max_chunk_bytes.*tile 0"):
        scichunk.from_geotiff(file, reader="indexed").compute()


def test_blocks_of_the_reference_reader(tmp_path):
    """One strip of 2**31 - 1 pixels of 8 bytes, of which a few are wanted."""
    path = tmp_path / "a.tif"
    wide = {256: (4, 0x7FFFFFFF), 257: (4, 2), 258: (3, 64), 278: (4, 1), 273: (4, 16, 16), 279: (4, 2, 2)}
    path.write_bytes(tiff(PLAIN | wide))
    code = "print(outcome(scichunk.from_geotiff(sys.argv[1], reader='reference')[:, :1, :70].compute))"
    assert run(code, path, max_mb=6000)[0].startswith("LimitExceeded: GDAL would have to decode 17179869176 bytes")


def test_windows_of_the_reference_readers(tmp_path):
    import rasterio

    data = np.arange(4096, dtype="uint16").reshape(1, 64, 64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(
            tmp_path / "a.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype="uint16"
        ) as file:
            file.write(data)
    fits.CompImageHDU(data[0].astype("i4"), compression_type="GZIP_1", tile_shape=(8, 64)).writeto(tmp_path / "a.fits")
    (tmp_path / "a.j2k").write_bytes(encode([texture((64, 64))]))
    tif = scichunk.from_geotiff(tmp_path / "a.tif", reader="reference", chunks=(1, 64, 64))
    fit = scichunk.from_fits(tmp_path / "a.fits", reader="reference", chunks=(64, 64))
    jp2 = scichunk.from_jpeg2000(tmp_path / "a.j2k", reader="reference", chunks=(1, 64, 64))
    np.testing.assert_array_equal(tif.compute(), data)
    np.testing.assert_array_equal(fit.compute(), data[0])
    assert jp2.compute().shape == (1, 64, 64)
    with scichunk.options.set(max_chunk_bytes=4000):
        for name, read in (("a.tif", "from_geotiff"), ("a.fits", "from_fits"), ("a.j2k", "from_jpeg2000")):
            array = getattr(scichunk, read)(tmp_path / name, reader="reference", chunks=-1)
            with pytest.raises(LimitExceeded, match=r"would have to .* \(options.max_chunk_bytes\)"):
                array.compute()
        rows = scichunk.from_fits(tmp_path / "a.fits", reader="reference", chunks=(8, 64))[8:16]
        np.testing.assert_array_equal(rows.compute(), data[0, 8:16])


def test_columns_of_wide_tiles_in_the_reference_reader(tmp_path):
    """astropy decodes whole tiles, so that a narrow window of many wide ones is large."""
    fits.CompImageHDU(np.zeros((200, 1000), "i4"), compression_type="GZIP_1", tile_shape=(1, 1000)).writeto(
        tmp_path / "a.fits"
    )
    with scichunk.options.set(max_chunk_bytes=100_000):
        array = scichunk.from_fits(tmp_path / "a.fits", reader="reference", chunks=(200, 1))
        with pytest.raises(LimitExceeded, match="800000 bytes"):
            array[:, 0].compute()
        assert array[:10, 0].shape == (10,)


def pages(path, count, gap=20_000):
    """A sparse file of small images that lie far apart."""
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", 8))
        for i in range(count):
            at = 8 + i * gap
            tags = [(256, 4, 9), (257, 4, 9), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, at + 200), (277, 3, 1)]
            tags += [(278, 4, 9), (279, 4, 81)]
            table = b"".join(struct.pack("<HHII", code, kind, 1, value) for code, kind, value in tags)
            following = struct.pack("<I", at + gap if i + 1 < count else 0)
            file.seek(at)
            file.write(struct.pack("<H", len(tags)) + table + following)
            file.seek(at + 200)
            file.write(bytes([i % 251]) * 81)
    return path


def test_chains_of_very_many_pages(tmp_path):
    """A search through all that was read before would take far longer than the bound."""
    path = pages(tmp_path / "a.tif", 20_000)
    code = "print(int(scichunk.from_geotiff(sys.argv[1], page=19999)[0, 0, 0].compute()))"
    assert run(code, path) == [str(19_999 % 251)]


def test_what_is_read_ahead_does_not_cost_pages(tmp_path):
    path = pages(tmp_path / "a.tif", 1000)
    with scichunk.options.set(max_header_bytes=1 << 18), warnings.catch_warnings():
        warnings.simplefilter("error", MetadataWarning)
        assert int(scichunk.from_geotiff(path, page=999)[0, 0, 0].compute()) == 999 % 251
        assert len(scichunk.info(path).arrays) == 1000


@pytest.mark.parametrize(("option", "value"), [("max_pages", 10), ("max_header_bytes", 61)])
def test_pages_left_out_are_told(tmp_path, option, value):
    path = pages(tmp_path / "a.tif", 100)
    with scichunk.options.set(**{option: value}):
        with pytest.warns(MetadataWarning, match=rf"left out.*options.{option}") as told:
            found = scichunk.info(path)
        assert len(told) == 1
        assert 1 < len(found.arrays) < 100
        with pytest.raises(
            FormatError, match=r"there is no page 99; the file has \d+, and its chain of directories is broken"
        ):
            scichunk.from_geotiff(path, page=99)


def test_sub_directories_again_and_again(tmp_path):
    """Each page refers to very many sub-directories, all of them the same."""
    count, n = 2000, 60_000
    body, at = bytearray(b"II*\0" + struct.pack("<I", 8)), 8
    subs = 8 + count * 126
    for i in range(count):
        tags = [
            (256, 4, 1, 9),
            (257, 4, 1, 9),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (273, 4, 1, 8),
            (277, 3, 1, 1),
        ]
        tags += [(278, 4, 1, 9), (279, 4, 1, 81), (330, 4, n, subs)]
        following = struct.pack("<I", at + 126 if i + 1 < count else 0)
        body += struct.pack("<H", 10) + b"".join(struct.pack("<HHII", *t) for t in tags) + following
        at += 126
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(body) + struct.pack("<I", 8) * n)
    code = "print(outcome(scichunk.info, sys.argv[1]))"
    assert run(code, path, seconds=120, max_mb=4000) == ["fine"]


def parquet(table, **options):
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", **options)
    text = base64.b64encode(file.getvalue()).decode()
    fields = "".join(f'<FIELD name="{n}" datatype="long"/>' for n in table.column_names)
    return doc(fields=fields, body=f'<PARQUET><STREAM encoding="base64">{text}</STREAM></PARQUET>').encode()


def test_rows_of_parquet_that_cost_nothing():
    document = parquet(pa.table({"a": np.zeros(2_000_000, "i8")}), row_group_size=2_000_000)
    assert len(document) < 100_000
    with scichunk.options.set(max_chunk_bytes=1 << 20):
        frame = scichunk.read_votable(document, blocksize="64MiB")
        assert frame.npartitions >= 16
        parts = [len(frame.get_partition(i).compute()) for i in (0, 7, frame.npartitions - 1)]
        assert max(parts) * 8 <= 1 << 20
        with pytest.raises(LimitExceeded, match=r"rows 0 to 2000000 of 16000000 bytes.*max_chunk_bytes"):
            scichunk.from_votable(document, column="a", chunks=-1).compute()
    assert len(scichunk.read_votable(document)) == 2_000_000


def test_texts_of_parquet_that_are_stored_once():
    table = pa.table({"a": pa.array(["x" * 10_000] * 20_000)})
    with scichunk.options.set(max_chunk_bytes=1 << 20), pytest.raises(LimitExceeded, match="max_chunk_bytes"):
        scichunk.read_votable(parquet(table)).compute(scheduler="synchronous")
    assert len(scichunk.read_votable(parquet(table)).compute(scheduler="synchronous")) == 20_000


def test_blocks_of_parquet_below_a_row_group():
    rng = np.random.default_rng(1)
    table = pa.table({"a": np.arange(50_000), "b": rng.integers(0, 1 << 40, 50_000), "c.d": np.arange(50_000) % 7})
    document = parquet(table, row_group_size=20_000)
    frame = scichunk.read_votable(document, blocksize=100_000)
    assert frame.npartitions >= 10
    sizes = [len(frame.get_partition(i)) for i in range(frame.npartitions)]
    assert sum(sizes) == 50_000
    assert max(sizes) * 24 <= 200_000
    found = frame.compute(scheduler="synchronous")
    for name in table.column_names:
        np.testing.assert_array_equal(found[name].to_numpy(dtype="i8"), table[name].to_numpy())
    assert scichunk.read_votable(document, blocksize="64MiB").npartitions == 1


def test_absent_blocks_of_any_size_are_read(tmp_path):
    import rasterio
    from rasterio.windows import Window

    profile = {
        "driver": "GTiff",
        "width": 512,
        "height": 256,
        "count": 1,
        "dtype": "uint8",
        "tiled": True,
        "SPARSE_OK": True,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "a.tif", "w", blockxsize=256, blockysize=256, **profile) as file:
            file.write(np.ones((1, 256, 256), "u1"), window=Window(0, 0, 256, 256))
    array = scichunk.from_geotiff(tmp_path / "a.tif", reader="reference", chunks=(1, 64, 64))
    with scichunk.options.set(max_chunk_bytes=5000):
        assert not array[:, :64, 448:].compute().any()
        with pytest.raises(LimitExceeded, match="65536 bytes"):
            array[:, :64, :64].compute()


@pytest.mark.parametrize("edge", [1 << 17, 0xFFFFFFF0])
@pytest.mark.parametrize("compression", [5, 8])
def test_tiles_of_single_bits_far_larger_than_their_image(edge, compression):
    tiles = {258: (3, 1), 259: (3, compression), 322: (4, edge), 323: (4, edge), 324: (4, 16), 325: (4, 64)}
    file = tiff({c: v for c, v in PLAIN.items() if c not in {273, 278, 279}} | tiles)
    with pytest.raises(LimitExceeded, match=r"decoded block .*max_chunk_bytes"):
        scichunk.from_geotiff(file, reader="indexed").compute()


@pytest.mark.slow
@pytest.mark.parametrize("read", ["read_votable(path)", "info(path)", "xr.open_dataset(path, engine='votable')"])
def test_a_table_of_very_many_columns(tmp_path, read):
    fields = "".join(f'<FIELD name="c{i}" datatype="{("int", "double", "float")[i % 3]}"/>' for i in range(60_000))
    (tmp_path / "a.vot").write_text(doc("<TR>" + "<TD>1</TD>" * 60_000 + "</TR>", fields))
    call = read if read.startswith("xr") else f"scichunk.{read}"
    code = f"path = sys.argv[1]\nprint(len(str(type({call}))) > 0)"
    assert run(code, tmp_path / "a.vot", seconds=100) == ["True"]
