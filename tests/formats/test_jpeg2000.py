"""JPEG 2000 files as users meet them."""

import asyncio
import json
import pickle
import re
import shutil
import struct
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

import scichunk
from scichunk.core.cache import files
from scichunk.core.handles import open_file
from scichunk.errors import DataWarning, FormatError, LimitExceeded, MetadataWarning, ScichunkError, UnsupportedFeature
from scichunk.formats.jpeg2000.array_ids import ImageId
from scichunk.formats.jpeg2000.metadata import GEOJP2
from scichunk.formats.jpeg2000.reference import lend_glymur
from scichunk.sources import locate
from tests.jpeg2000_files import decode, encode, jp2, texture

DATA = Path(__file__).parents[2] / "test_data"
SAMPLES = ("band_tlm_plt.jp2", "palette.jp2", "bgr.jp2", "subsampled.j2k", "signed_97.j2k", "high_throughput.jph")


def boxes(data):
    """(kind, start, stop) of the boxes of a file."""
    at, found = 0, []
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        found.append((kind, at, at + length if length else len(data)))
        at = found[-1][2]
    return found


@pytest.mark.parametrize("name", [n for n in SAMPLES if n != "subsampled.j2k"])
def test_equal_to_glymur(name):
    with lend_glymur() as glymur:
        image = glymur.Jp2k(DATA / name)
        image.ignore_pclr_cmap_cdef = True
        want = image[:]
    want = want[None] if want.ndim == 2 else np.moveaxis(want, -1, 0)
    for target in (DATA / name, str(DATA / name), (DATA / name).read_bytes(), (DATA / name).open("rb")):
        array = scichunk.from_jpeg2000(target)
        assert array.dtype == want.dtype
        np.testing.assert_array_equal(array.compute(), want)
    np.testing.assert_array_equal(scichunk.from_jpeg2000(DATA / name, reader="reference").compute(), want)


def test_reference_reads_reduced_and_unequal_components():
    for bands, reduce in (([0], 0), ([1, 2], 1)):
        ours = scichunk.from_jpeg2000(DATA / "subsampled.j2k", bands=bands, reduce=reduce)
        theirs = scichunk.from_jpeg2000(DATA / "subsampled.j2k", bands=bands, reduce=reduce, reader="reference")
        np.testing.assert_array_equal(ours.compute(), theirs.compute())


def test_dataset_is_what_rasterio_says():
    with rasterio.open(DATA / "band_tlm_plt.jp2") as ds:
        wkt, transform = ds.crs.to_wkt(), ds.transform
    found = xr.open_dataset(DATA / "band_tlm_plt.jp2", engine="jpeg2000", chunks={})
    assert found.band_data.dims == ("band", "y", "x")
    assert found.band_data.attrs["valid_bits"] == 15
    assert found.band_data.encoding["reader"] == "indexed"
    assert found.spatial_ref.attrs["crs_wkt"] == wkt
    assert found.x.values[0] == transform.c + 5
    assert found.y.values[-1] == transform.f - 10 * 299.5
    assert found.band_data.data.chunksize == (1, 300, 260)
    native = scichunk.from_jpeg2000(DATA / "band_tlm_plt.jp2", chunks="native")
    assert native.chunksize == (1, 128, 128)
    assert xr.open_dataset(DATA / "band_tlm_plt.jp2", engine="jpeg2000").equals(
        xr.open_dataset(DATA / "band_tlm_plt.jp2", engine="scichunk")
    )


def test_groups_and_selectors():
    path = DATA / "band_tlm_plt.jp2"
    tree = scichunk.open(path)
    assert list(tree.children) == ["page_0", "reduce_1", "reduce_2", "reduce_3"]
    for level in (1, 2, 3):
        want = decode(path.read_bytes(), level)
        np.testing.assert_array_equal(tree[f"reduce_{level}"].band_data[0].values, want[0])
        for keywords in ({"reduce": level}, {"overview": level - 1}, {"group": f"reduce_{level}"}):
            one = xr.open_dataset(path, engine="jpeg2000", **keywords)
            np.testing.assert_array_equal(one.band_data[0].values, want[0])
        assert one.x.values[0] == 600000 + 5 * 2**level
    with pytest.raises(FormatError, match="no group"):
        xr.open_dataset(path, engine="jpeg2000", reduce=4)
    with pytest.raises(FormatError, match="halved 3 times"):
        scichunk.from_jpeg2000(path, reduce=4)
    with pytest.raises(ValueError, match="reduce counts from 0"):
        scichunk.from_jpeg2000(path, reduce=-1)
    with pytest.raises(TypeError, match="two ways"):
        xr.open_dataset(path, engine="jpeg2000", reduce=1, overview=0)


def test_palette():
    raw = xr.open_dataset(DATA / "palette.jp2", engine="jpeg2000")
    assert raw.band_data.shape == (1, 64, 80)
    table = np.array(json.loads(raw.band_data.attrs["palette"]))
    assert table.shape == (8, 3)
    with lend_glymur() as glymur:
        want = np.moveaxis(glymur.Jp2k(DATA / "palette.jp2")[:], -1, 0)
    array = scichunk.from_jpeg2000(DATA / "palette.jp2", expand=True)
    np.testing.assert_array_equal(array.compute(), want)
    np.testing.assert_array_equal(table[raw.band_data.values[0]][..., 1], want[1])
    np.testing.assert_array_equal(array[[2, 0], 5:20, ::3].compute(), want[[2, 0], 5:20, ::3])
    expanded = xr.open_dataset(DATA / "palette.jp2", engine="jpeg2000", expand=True)
    np.testing.assert_array_equal(expanded.band_data.values, want)
    assert "palette" not in expanded.band_data.attrs
    points = expanded.band_data.isel(band=xr.DataArray([0, 2], dims="p"), y=xr.DataArray([3, 9], dims="p"))
    np.testing.assert_array_equal(points.values, want[[0, 2], [3, 9]])
    pixels = expanded.band_data.isel(x=xr.DataArray([1, 5], dims="p"), y=xr.DataArray([3, 9], dims="p"))
    np.testing.assert_array_equal(pixels.transpose("band", "p").values, want[:, [3, 9], [1, 5]])
    np.testing.assert_array_equal(
        scichunk.from_jpeg2000(DATA / "palette.jp2", reduce=1, expand=True).compute().shape, (3, 32, 40)
    )


def test_what_is_said_of_indices_is_not_said_of_colours(tmp_path):
    """A PAM file gives the index that stands for nothing, and a scale."""
    index = texture((20, 30)) % 7
    colours = np.array([[3, 10], [10, 3], [20, 4], [30, 3], [40, 3], [50, 5], [60, 6]], "u1")
    header = [*palette_boxes((7, 7), [bytes(row) for row in colours], ((0, 1, 0), (1, 0, 0), (0, 1, 1)))]
    boxes = b"".join(struct.pack(">I4s", 8 + len(body), kind) + body for kind, body in header)
    other = texture((20, 30), seed=1)
    (tmp_path / "a.jp2").write_bytes(jp2(encode([index, other], levels=1), header=boxes, count=2, size=(20, 30)))
    (tmp_path / "a.jp2.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><NoDataValue>3</NoDataValue><Scale>2</Scale></PAMRasterBand>"
        "<PAMRasterBand band='2'><NoDataValue>100</NoDataValue></PAMRasterBand></PAMDataset>"
    )
    with xr.open_dataset(tmp_path / "a.jp2", engine="jpeg2000", expand=True) as found:
        values = found.band_data.values
        assert "colormap_1" not in found.band_data.attrs
        np.testing.assert_array_equal(values[[0, 2]], np.moveaxis(colours[index], -1, 0))
        np.testing.assert_array_equal(values[1], np.where(other == 100, np.nan, other))
    with xr.open_dataset(tmp_path / "a.jp2", engine="jpeg2000") as found:
        np.testing.assert_array_equal(found.band_data.values[0], np.where(index == 3, np.nan, index * 2.0))


def test_what_is_said_of_components_goes_with_them(tmp_path):
    planes = [texture((20, 30), seed=i) for i in range(3)]
    channels = struct.pack(">H9H", 3, *(0, 0, 3), *(1, 0, 2), *(2, 0, 1))  # blue, green, red
    header = struct.pack(">I4s", 8 + len(channels), b"cdef") + channels
    (tmp_path / "a.jp2").write_bytes(jp2(encode(planes, levels=1), header=header, count=3, size=(20, 30)))
    bands = "".join(
        f"<PAMRasterBand band='{i + 1}'><NoDataValue>{99 + i}</NoDataValue><Scale>{i + 2}</Scale></PAMRasterBand>"
        for i in range(3)
    )
    (tmp_path / "a.jp2.aux.xml").write_text(f"<PAMDataset>{bands}</PAMDataset>")
    want = np.stack([np.where(p == 99 + i, np.nan, p * (i + 2.0)) for i, p in enumerate(planes)])
    with xr.open_dataset(tmp_path / "a.jp2", engine="jpeg2000", expand=True) as found:
        np.testing.assert_array_equal(found.band_data.values, want[::-1])
    with xr.open_dataset(tmp_path / "a.jp2", engine="jpeg2000") as found:
        np.testing.assert_array_equal(found.band_data.values, want)


def with_boxes(*found, count=1):
    """A file of some components, each of one value and noise, with more boxes in its header."""
    code = encode([texture((40, 50), seed=i) // 8 + 40 * i for i in range(count)], levels=1)
    header = b"".join(struct.pack(">I4s", 8 + len(body), kind) + body for kind, body in found)
    return jp2(code, header=header, count=count, size=(40, 50))


def palette_boxes(depths, rows, mapping=((0, 1, 0), (0, 1, 1), (0, 1, 2))):
    """Palette of as many columns as depths (B of ``pclr``)."""
    yield b"pclr", struct.pack(">HB", len(rows), len(depths)) + bytes(depths) + b"".join(rows)
    yield b"cmap", b"".join(struct.pack(">HBB", *m) for m in mapping)


def expanded(path, data):
    """What scichunk and glymur make of the channels of a file."""
    path.write_bytes(data)
    with lend_glymur() as glymur:
        want = np.moveaxis(np.asarray(glymur.Jp2k(path)[:]), -1, 0)
    return scichunk.from_jpeg2000(path, expand=True).compute(), want


@pytest.mark.parametrize(
    ("depth", "width"), [(7, 1), (4, 1), (0x87, 1), (0x84, 1), (15, 2), (11, 2), (0x8F, 2), (0x8B, 2)]
)
def test_palettes_of_any_depth_and_sign(tmp_path, depth, width):
    bits = (depth & 0x7F) + 1
    low = -(1 << (bits - 1)) if depth & 0x80 else 0
    values = np.random.default_rng(3).integers(low, low + (1 << bits), (256, 3)).tolist()
    rows = [b"".join(v.to_bytes(width, "big", signed=low < 0) for v in row) for row in values]
    got, want = expanded(tmp_path / "a.jp2", with_boxes(*palette_boxes([depth] * 3, rows)))
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    table = json.loads(xr.open_dataset(tmp_path / "a.jp2", engine="jpeg2000").band_data.attrs["palette"])
    assert table == values


def test_palettes_of_columns_of_different_sign():
    """Signed entries are the low bits of their bytes (ITU-T T.800, I.5.3.4); one type holds all columns."""
    rows = [bytes([i, i & 31]) for i in range(256)]
    data = with_boxes(*palette_boxes([7, 0x84], rows, ((0, 1, 0), (0, 1, 1))))
    index = scichunk.from_jpeg2000(data).compute()[0].astype(int)
    found = scichunk.from_jpeg2000(data, expand=True).compute()
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found, [index, (index & 31) - 32 * ((index & 31) > 15)])


@pytest.mark.parametrize("components", [(4, 5), (0, 5)])
def test_palettes_for_components_that_are_not_there(components):
    mapping = [(c, 1, i) for i, c in enumerate(components)]
    data = with_boxes(*palette_boxes([7, 7], [bytes(2)] * 256, mapping))
    assert scichunk.from_jpeg2000(data).shape == (1, 40, 50)
    with pytest.raises(FormatError, match=r"components \[.*5\] of 1"):
        scichunk.from_jpeg2000(data, expand=True)


@pytest.mark.parametrize(
    "colours", ["ARGB", "ABGR", "RAGB", "RGAB", "BGRA", "GBAR", "PRGB", "URGB", "AG", "GA", "ARAGB", "RRGB", "BARGA"]
)
@pytest.mark.parametrize("backwards", [False, True])
def test_channels_stand_where_glymur_has_them(tmp_path, colours, backwards):
    kinds = {
        "A": (1, 0),
        "P": (2, 0),
        "U": (65535, 65535),
        "R": (0, 1),
        "G": (0, 1 if len(colours) == 2 else 2),
        "B": (0, 3),
    }
    entries = [struct.pack(">3H", number, *kinds[c]) for number, c in enumerate(colours)]
    body = struct.pack(">H", len(entries)) + b"".join(entries[:: -1 if backwards else 1])
    got, want = expanded(tmp_path / "a.jp2", with_boxes((b"cdef", body), count=len(colours)))
    np.testing.assert_array_equal(got, want)


def test_channel_definition():
    raw = scichunk.from_jpeg2000(DATA / "bgr.jp2").compute()
    with lend_glymur() as glymur:
        want = np.moveaxis(glymur.Jp2k(DATA / "bgr.jp2")[:], -1, 0)
    np.testing.assert_array_equal(scichunk.from_jpeg2000(DATA / "bgr.jp2", expand=True).compute(), want)
    np.testing.assert_array_equal(raw[::-1], want)
    found = xr.open_dataset(DATA / "bgr.jp2", engine="jpeg2000")
    assert found.band_data.attrs["colorinterp"] == ("blue", "green", "red")
    assert found.attrs["xml"].endswith("<note>blue first</note>")


def test_components_of_unequal_size():
    path = DATA / "subsampled.j2k"
    with pytest.raises(UnsupportedFeature, match="several sizes"):
        scichunk.from_jpeg2000(path)
    want = decode(path.read_bytes())
    for band in range(3):
        np.testing.assert_array_equal(scichunk.from_jpeg2000(path, bands=[band]).compute()[0], want[band])
    found = xr.open_dataset(path, engine="jpeg2000")
    assert found.band_data.shape == (1, 101, 141)
    assert found.band_data_2.dims == ("band_2", "y_2", "x_2")
    np.testing.assert_array_equal(found.band_data_2.values, np.stack(want[1:]))
    # the image begins at column 7: its first chrominance sample is at column 8, and 2 wide
    np.testing.assert_allclose(found.x_2.values[:2], [2.0, 4.0])
    np.testing.assert_allclose(found.y_2.values[:2], [2.0, 4.0])
    assert found.band_data.attrs["image_offset"] == (7, 3)
    assert found.band_data.attrs["tile_offset"] == (2, 1)
    assert found.band_data_2.attrs["sample_distance"] == (2, 2)


def test_reduced_images_with_offset_keep_their_place():
    data = encode([texture((60, 61))], offset=(5, 3))
    half = xr.open_dataset(data, engine="jpeg2000", reduce=1)
    assert half.band_data.shape == (1, 30, 30)
    np.testing.assert_allclose(half.x.values[:2], [2.0, 4.0])  # samples at columns 6 and 8 of the reference grid
    np.testing.assert_allclose(half.y.values[:2], [2.0, 4.0])


def test_signed_stays_signed():
    found = xr.open_dataset(DATA / "signed_97.j2k", engine="jpeg2000").band_data
    assert found.dtype == np.int16
    assert found.attrs["valid_bits"] == 11
    assert found.values.min() < 0


def test_conflicting_places(tmp_path):
    data = (DATA / "band_tlm_plt.jp2").read_bytes()
    assert data.count(b"600005") == 1
    moved = tmp_path / "moved.jp2"
    moved.write_bytes(data.replace(b"600005", b"700005"))
    with pytest.warns(MetadataWarning, match="GeoJP2 and GMLJP2"):
        found = xr.open_dataset(moved, engine="jpeg2000")
    with rasterio.open(moved) as ds:
        assert found.x.values[0] == ds.transform.c + 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.open_dataset(DATA / "band_tlm_plt.jp2", engine="jpeg2000")


@pytest.mark.parametrize("kept", ["GeoJP2", "GMLJP2", "neither"])
def test_one_place(kept, tmp_path):
    data = (DATA / "band_tlm_plt.jp2").read_bytes()
    out = b""
    for kind, start, stop in boxes(data):
        geo = kind == b"uuid" and data[start + 8 : start + 24] == GEOJP2
        if not (geo and kept != "GeoJP2") and not (kind == b"asoc" and kept != "GMLJP2"):
            out += data[start:stop]
    path = tmp_path / "one.jp2"
    path.write_bytes(out)
    found = xr.open_dataset(path, engine="jpeg2000")
    with rasterio.open(path) as ds:
        assert found.x.values[0] == ds.transform.c + ds.transform.a / 2
        assert ("crs_wkt" in found.spatial_ref.attrs) == bool(ds.crs)


def test_files_beside(tmp_path):
    path = tmp_path / "a.j2k"
    path.write_bytes(encode([texture((40, 50))]))
    (tmp_path / "a.wld").write_text("2\n0\n0\n-2\n101\n199\n")
    found = xr.open_dataset(path, engine="jpeg2000")
    np.testing.assert_allclose(found.x.values[:2], [101, 103])
    np.testing.assert_allclose(found.y.values[:2], [199, 197])
    shutil.copy(DATA / "band_tlm_plt.jp2", tmp_path / "b.jp2")
    (tmp_path / "b.jp2.aux.xml").write_text("<PAMDataset><GeoTransform>1, 3, 0, 2, 0, -3</GeoTransform></PAMDataset>")
    with pytest.warns(MetadataWarning, match="beside"):
        found = xr.open_dataset(tmp_path / "b.jp2", engine="jpeg2000")
    np.testing.assert_allclose(found.x.values[:2], [2.5, 5.5])


def test_info():
    found = scichunk.info(DATA / "band_tlm_plt.jp2")
    text = str(found)
    assert "OpenJPEG 2." in text
    assert "tile index: TLM" in text
    assert [a.group for a in found.arrays] == ["/page_0", "/reduce_1", "/reduce_2", "/reduce_3"]
    json.dumps(found.to_dict())
    within = r"\([^()]*\)"  # what a box holds stands in parentheses
    text = re.sub(within, "", re.sub(within, "", re.sub(within, "", found.arrays[0].notes["boxes"])))
    listed = text.replace(" GeoJP2", "").split(", ")
    assert listed == [f"{k.decode().strip()} at {a}" for k, a, _ in boxes((DATA / "band_tlm_plt.jp2").read_bytes())]


def test_readers_are_thin_and_survive_pickling():
    array = scichunk.from_jpeg2000(DATA / "band_tlm_plt.jp2", chunks=(1, 100, 100))
    files.clear()
    again = pickle.loads(pickle.dumps(array))
    np.testing.assert_array_equal(again.compute(), array.compute())
    reader = next(v for v in array.dask.values() if hasattr(v, "args"))
    assert len(pickle.dumps(reader)) < 600
    parts = open_file("jpeg2000", locate(DATA / "band_tlm_plt.jp2")).parts.get()
    assert len(pickle.dumps(parts)) < 2000
    assert (
        scichunk.from_jpeg2000(DATA / "band_tlm_plt.jp2").name == scichunk.from_jpeg2000(DATA / "band_tlm_plt.jp2").name
    )


@pytest.mark.parametrize("name", ["band_tlm_plt.jp2", "high_throughput.jph"])
def test_threads(name):
    array = open_file("jpeg2000", locate(DATA / name)).array(ImageId())
    from scichunk.core.selection import Span

    want = decode((DATA / name).read_bytes())[0]
    wrong, done = [], []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(64):
            y, x = rng.integers(0, want.shape[0] - 40), rng.integers(0, want.shape[1] - 50)
            got = array.read((Span(0, 1), Span(y, y + 40), Span(x, x + 50)))[0]
            done.append(1)
            if not np.array_equal(got, want[y : y + 40, x : x + 50]):
                wrong.append((seed, y, x))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert (len(done), wrong) == (512, [])


def test_async():
    found = xr.open_dataset(DATA / "band_tlm_plt.jp2", engine="jpeg2000")
    want = decode((DATA / "band_tlm_plt.jp2").read_bytes())[0]
    got = asyncio.run(found.band_data[:, 20:200, 30:190].load_async())
    np.testing.assert_array_equal(got.values[0], want[20:200, 30:190])


def test_wrong_lengths_in_tlm_are_noticed():
    data = bytearray((DATA / "band_tlm_plt.jp2").read_bytes())
    want = decode(bytes(data))[0]
    at = data.index(b"\xff\x55\x00") + 6
    step = 6 if data[at - 1] == 0x60 else 5 if data[at - 1] == 0x50 else 4
    width = step - 4
    first, second = (int.from_bytes(data[at + i * step + width : at + (i + 1) * step], "big") for i in (0, 1))
    for i, value in ((0, first + 7), (1, second - 7)):
        data[at + i * step + width : at + (i + 1) * step] = value.to_bytes(4, "big")
    file = open_file("jpeg2000", locate(bytes(data)))
    assert file.parts.get().found == "TLM"
    np.testing.assert_array_equal(scichunk.from_jpeg2000(bytes(data))[0].compute(), want)
    np.testing.assert_array_equal(scichunk.from_jpeg2000(bytes(data))[0, :20, :20].compute(), want[:20, :20])


@pytest.mark.parametrize("reduce", [0, 2])
def test_a_tile_part_that_tlm_gives_to_another_tile(reduce):
    plane = texture((200, 200), 8)
    data = bytearray(encode([plane], tile=(100, 100), parts="R", tlm=True))
    want = decode(bytes(data), reduce)[0]
    at = data.index(b"\xff\x55") + 6
    assert data[at - 1] == 0x50  # a byte for the tile, four for the length
    tiles = list(data[at::5][:16])
    assert tiles == sorted(tiles)
    assert set(tiles) == {0, 1, 2, 3}
    data[at + 5 * (tiles.index(2) - 1)] = 0  # the last part of the second tile
    for window in (
        (slice(0, 100), slice(100, 200)),
        (slice(20, 60), slice(120, 150)),
        (slice(0, 200), slice(0, 200)),
    ):
        rows, columns = (slice(s.start >> reduce, s.stop >> reduce) for s in window)
        scichunk.clear_caches()
        found = scichunk.from_jpeg2000(bytes(data), reduce=reduce)[0, rows, columns].compute()
        np.testing.assert_array_equal(found, want[rows, columns])


def test_wrong_lengths_of_packets_are_not_used():
    data = bytearray(encode([texture((300, 300), 12)], bits=12, plt=True, precincts=((64, 64),)))
    want = decode(bytes(data))
    at = data.index(b"\xff\x58") + 5
    data[at] ^= 1  # the sum no longer fits
    array = scichunk.from_jpeg2000(bytes(data))
    np.testing.assert_array_equal(array[0, 30:60, 40:80].compute(), want[0][30:60, 40:80])
    np.testing.assert_array_equal(scichunk.from_jpeg2000(bytes(data), reduce=2).compute()[0], decode(bytes(data), 2)[0])


def test_truncated_files_read_what_is_there():
    data = (DATA / "band_tlm_plt.jp2").read_bytes()
    want = decode(data)[0]
    cut = data[: len(data) // 2]
    array = scichunk.from_jpeg2000(cut)
    np.testing.assert_array_equal(array[0, :100, :100].compute(), want[:100, :100])
    with pytest.raises(FormatError, match="tile 8"):
        array[0, 260:, 258:].compute()
    with pytest.raises(FormatError, match="tile 8"):
        array[0, 256:, 256:].compute()


def tile_parts(data):
    """Main header, tile-parts and end of a codestream."""
    parts = open_file("jpeg2000", locate(data)).parts.get()
    bounds = zip(parts.starts.tolist(), parts.stops.tolist(), strict=True)
    return data[: parts.starts[0]], [data[a:b] for a, b in bounds], data[parts.stops[-1] :]


def test_absent_tiles_are_zero_where_the_file_is_whole():
    head, parts, end = tile_parts(encode([texture((64, 64))], tile=(32, 32)))
    without = head + b"".join(parts[:2] + parts[3:]) + end
    lazy = scichunk.from_jpeg2000(without)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lazy[0, :32].compute(scheduler="synchronous")
    with pytest.warns(DataWarning, match="1 of 4 tiles are not in the codestream"):
        array = lazy.compute(scheduler="synchronous")[0]
    want = decode(without)[0]
    np.testing.assert_array_equal(array, want)
    assert not array[32:, :32].any()


@pytest.mark.parametrize("last", [2, 3])
def test_tile_parts_up_to_the_end_hide_no_tiles(last):
    """Psot of 0 says that a tile-part is the last: where others are behind it, they are lost, not 0."""
    image = texture((64, 64))
    head, parts, end = tile_parts(encode([image], tile=(32, 32)))
    parts[last] = parts[last][:6] + bytes(4) + parts[last][10:]
    array = scichunk.from_jpeg2000(head + b"".join(parts) + end, chunks="native")[0]
    np.testing.assert_array_equal(array[:32].compute(), image[:32])
    np.testing.assert_array_equal(array[32:, :32].compute(), image[32:, :32])
    if last == 3:
        np.testing.assert_array_equal(array.compute(), image)
    else:
        with pytest.raises(FormatError, match="tile 3"):
            array.compute()


def test_a_tile_that_lacks_tile_parts_is_no_whole_tile():
    """TNsot says how many there are: in a file that breaks off before the others they are lost, not a coarser image."""
    image = texture((64, 64))
    head, parts, end = tile_parts(encode([image], tile=(32, 32), order="RLCP", parts="R"))
    whole = scichunk.from_jpeg2000(head + b"".join(parts) + end, chunks="native")[0]
    np.testing.assert_array_equal(whole.compute(), image)
    broken = scichunk.from_jpeg2000(head + b"".join(parts[:-1]) + b"\xff\x90", chunks="native")[0]
    np.testing.assert_array_equal(broken[:, :32].compute(), image[:, :32])
    with pytest.raises(FormatError, match=r"1 of 4 tile-parts are missing.*truncated"):
        broken[32:, 32:].compute()
    ended = head + b"".join(parts[:-1]) + end
    with pytest.warns(DataWarning, match="1 of 4 tile-parts of a tile are not in the codestream"):
        array = scichunk.from_jpeg2000(ended, chunks="native")[0].compute(scheduler="synchronous")
    np.testing.assert_array_equal(array, decode(ended)[0])


HOSTILE = {
    "empty": b"",
    "signature only": b"\0\0\0\x0cjP  \r\n\x87\n",
    "box of length 3": b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\3ftyp" + bytes(40),
    "boxes of no length": b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08free" * 100_000,
    "markers without end": b"\xff\x4f\xff\x51" + b"\xff\x30" * 100_000,
    "no tile size": None,
}


def siz(**changes):
    fields = {"x1": 64, "y1": 64, "x0": 0, "y0": 0, "tx": 64, "ty": 64, "tx0": 0, "ty0": 0} | changes
    body = struct.pack(">H8IH", 0, *fields.values(), 1) + b"\7\1\1"
    code = encode([texture((64, 64))])
    return code[:4] + struct.pack(">H", 2 + len(body)) + body + code[4 + struct.unpack(">H", code[4:6])[0] :]


@pytest.mark.parametrize(
    "data",
    [
        *(v for v in HOSTILE.values() if v is not None),
        siz(tx=0), siz(ty=0), siz(x1=0), siz(x0=64), siz(tx0=70), siz(x1=0xFFFFFFFF, tx=0xFFFFFFFF), siz(tx=1, ty=1, x1=4096, y1=4096),
        siz(x1=0x7FFFFFFF, tx=0x7FFFFFFF, y1=0x7FFFFFFF, ty=0x7FFFFFFF), siz(x1=60000, tx=60000, y1=60000, ty=60000),
        siz(x1=0x40000000, tx=0x40000000),
        encode([texture((64, 64))])[:90], encode([texture((64, 64))])[:-300],
        encode([texture((64, 64))]).replace(b"\xff\x90\0\x0a\0\0", b"\xff\x90\0\x0a\0\7"),
    ],
    ids=lambda d: str(len(d)),
)  # fmt: skip
@pytest.mark.timeout(60)  # none may take long, whatever sizes it tells
def test_hostile_headers(data):
    with pytest.raises(ScichunkError) as caught:
        array = scichunk.from_jpeg2000(data)
        array[:, -50:, -50:].compute(scheduler="synchronous")
        array[:, :50, :50].compute(scheduler="synchronous")
    assert caught.value.url
    assert isinstance(caught.value, FormatError | LimitExceeded | UnsupportedFeature)


@pytest.mark.parametrize("distances", ["equal", "different"])
def test_thousands_of_components(distances):
    code = encode([texture((64, 64))])
    parts = b"".join(
        bytes((7, 1 + i % 250, 1 + i // 250) if distances == "different" else (7, 1, 1)) for i in range(16384)
    )
    body = struct.pack(">H8IH", 0, 64, 64, 0, 0, 64, 64, 0, 0, 16384) + parts
    data = code[:4] + struct.pack(">H", 2 + len(body)) + body + code[4 + struct.unpack(">H", code[4:6])[0] :]
    with pytest.raises(ScichunkError):
        scichunk.from_jpeg2000(data)[:3, :9, :9].compute(scheduler="synchronous")


def test_fragments_are_refused():
    start = b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4s", 20, b"ftyp") + b"jpx \0\0\0\0jpx "
    with pytest.raises(UnsupportedFeature, match="fragments"):
        scichunk.from_jpeg2000(start + struct.pack(">I4s", 8, b"ftbl"))


def test_icc_and_resolution():
    code = encode([texture((40, 50))])
    res = struct.pack(">I4s", 18, b"resc") + struct.pack(">4H2b", 300, 1, 150, 1, 2, 2)
    data = jp2(code, header=struct.pack(">I4s", 8 + len(res), b"res ") + res, size=(40, 50))
    attrs = xr.open_dataset(data, engine="jpeg2000").band_data.attrs
    assert attrs["samples_per_metre"] == (30000.0, 15000.0)
    assert attrs["color_space"] == "greyscale"
