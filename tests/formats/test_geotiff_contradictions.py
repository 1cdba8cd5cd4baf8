"""GeoTIFF files that are sound and odd: other files beside them, texts and tags that say things in two ways, what was read before."""

import json
import struct
import zlib

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

import scichunk
from scichunk.errors import MetadataWarning
from tests.tiff_files import ASCII, DOUBLE, LONG, SHORT, image, items, page, tiff, tiles

GDAL_311 = tuple(int(n) for n in rasterio.__gdal_version__.split(".")[:2]) >= (3, 11)

RNG = np.random.default_rng(7)
PIXELS = RNG.integers(1, 200, (1, 64, 64), dtype="u1")
HALVED, QUARTERED = PIXELS[:, ::2, ::2].copy(), PIXELS[:, ::4, ::4].copy()
REDUCED = (LONG, [1])


def deflated(values, **tags):
    blocks = [zlib.compress(block) for block in tiles(values)]
    return page(values.shape, values.dtype, blocks=blocks, tile=(16, 16), t259=(SHORT, [8]), **tags)


def sparse(shape=(1, 32, 64), dtype="f4", **tags):
    """A page of tiles of which only the first is there, with ones."""
    first = np.ones((16, 16, shape[0]), dtype).tobytes()
    return page(shape, dtype, blocks=[first, *[None] * (shape[1] * shape[2] // 256 - 1)], tile=(16, 16), **tags)


def write_beside(path, *nodata):
    bands = [
        f'<PAMRasterBand band="{i}"><NoDataValue>{n}</NoDataValue></PAMRasterBand>' for i, n in enumerate(nodata, 1)
    ]
    path.with_name(path.name + ".aux.xml").write_text(f"<PAMDataset>{''.join(bands)}</PAMDataset>")


def values_of(path):
    with rasterio.open(path) as ds:
        return ds.read()


def test_overviews_beside_a_file_that_are_opened_by_themselves_too(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(deflated(PIXELS)))
    (tmp_path / "a.tif.ovr").write_bytes(tiff(deflated(HALVED, t254=REDUCED), deflated(QUARTERED, t254=REDUCED)))
    window = (slice(None), slice(3, 10), slice(3, 10))
    np.testing.assert_array_equal(scichunk.reader(path, overview=0)[window], HALVED[window])
    np.testing.assert_array_equal(scichunk.reader(tmp_path / "a.tif.ovr", overview=0)[window], QUARTERED[window])


@pytest.mark.parametrize("nodata", [(9,), (9, 8), (9, "nan"), (7.6, 7)])
@pytest.mark.parametrize("tag", [None, b"7\0"])
@pytest.mark.parametrize("dtype", ["f4", "u1", "i8"])
def test_absent_tiles_have_the_nodata_of_a_pam_file(tmp_path, nodata, tag, dtype):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(sparse((len(nodata), 32, 64), dtype, **({} if tag is None else {"t42113": (ASCII, tag)}))))
    write_beside(path, *nodata)
    expected = values_of(path)
    np.testing.assert_array_equal(scichunk.from_geotiff(path).compute(), expected)
    np.testing.assert_array_equal(scichunk.reader(path)[::-1, 20, [3, 1]], expected[::-1, 20, [3, 1]])
    stored = xr.open_dataset(path, engine="geotiff", mask_and_scale=False).band_data
    rows, columns = xr.DataArray([0, 20, 31], dims="p"), xr.DataArray([0, 1, 63], dims="p")
    np.testing.assert_array_equal(stored.isel(y=rows, x=columns).values, expected[:, rows, columns])
    last = xr.DataArray([len(nodata) - 1, 0, 0], dims="p")
    np.testing.assert_array_equal(stored.isel(band=last, x=columns).values, expected[last, :, columns])


@pytest.mark.parametrize("dtype", ["f4", "c8", "i2"])
@pytest.mark.parametrize(
    "text", ["1.#QNAN", "1.#QNB", "-1.#IND", "1.#INF", "-1.#INF00", "1.#SNAN", "+-5", "-nan", "1,5", "5."]
)
def test_absent_tiles_where_nodata_is_spelt_as_few_do(tmp_path, text, dtype):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(sparse(dtype=dtype, t42113=(ASCII, text.encode() + b"\0"))))
    np.testing.assert_array_equal(scichunk.from_geotiff(path).compute(), values_of(path))


@pytest.mark.parametrize("nodata", [b"1\0", b"0\0", b"255\0", b"-1\0"])
def test_absent_tiles_of_single_bits(tmp_path, nodata):
    path = tmp_path / "a.tif"
    bits = page(
        (1, 32, 64), blocks=[b"\xaa" * 32, *[None] * 7], tile=(16, 16), t258=(SHORT, [1]), t42113=(ASCII, nodata)
    )
    path.write_bytes(tiff(bits))
    np.testing.assert_array_equal(scichunk.from_geotiff(path).compute(), values_of(path))


@pytest.mark.parametrize("name", ["/FillValue", " scale_factor", "/Unsigned", " add_offset", " CLASS", " units"])
@pytest.mark.parametrize("sample", ["", ' sample="0"'])
def test_items_whose_names_become_those_that_change_values(tmp_path, name, sample):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(image(PIXELS, t42112=items(f'<Item name="{name}"{sample}>2</Item>'))))
    found = xr.open_dataset(path, engine="geotiff").band_data
    assert found.dtype == np.uint8
    assert not found.attrs.keys() - {"colorinterp"}
    np.testing.assert_array_equal(found.values, PIXELS)


@pytest.mark.parametrize(
    "item",
    [
        '<Item name="x>" sample="0" role="scale">{}</Item>',
        '<Item name="a" sample="0" role="scale"><![CDATA[{}]]></Item>',
        '<ITEM NAME="a" SAMPLE="0" ROLE="SCALE">{}</ITEM>',
        '<Item name="a" sample="0" role="sc&#97;le">{}</Item>',
        '<Item role="offset" sample="0" name="a">{}</Item>',
    ],
)
def test_stacks_of_scales_however_they_are_written(tmp_path, item):
    paths = [tmp_path / f"{n}.tif" for n in (2, 3)]
    for path in paths:
        path.write_bytes(tiff(image(PIXELS, t42112=items(item.format(path.stem)))))
    with pytest.raises(scichunk.errors.FormatError, match="scale and offset"):
        scichunk.open_stack(paths, "time")


def test_stacks_of_items_that_change_nothing_are_compared_by_their_tags(tmp_path, monkeypatch):
    paths = [tmp_path / f"{n}.tif" for n in range(3)]
    for path in paths:
        text = (
            f'<Item name="DATE">{path.stem}</Item>\n  <Item name="D" sample="0" role="description">{path.stem}</Item>'
        )
        path.write_bytes(tiff(image(PIXELS, t42112=items(text + '<Item name="a" sample="0" role="scale">2</Item>'))))
    asked = []
    layout = scichunk.core.layout.Layout.difference
    monkeypatch.setattr(scichunk.core.layout.Layout, "difference", lambda *of: asked.append(of) or layout(*of))
    scichunk.open_stack(paths, "time")
    assert not asked


GEOGRAPHIC = (SHORT, [1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326])


@pytest.mark.parametrize("scale", [[float("nan"), 0.2, 0], [float("inf"), 0.2, 0], [1e300, 1e300, 0]])
def test_stacks_of_grids_that_are_no_numbers(tmp_path, scale):
    places = {"t33922": (DOUBLE, [0, 0, 0, 10, 50, 0]), "t34735": GEOGRAPHIC}
    paths = [tmp_path / f"{n}.tif" for n in "abc"]
    for path, size in zip(paths, ([0.1, 0.2, 0], scale, scale), strict=True):
        path.write_bytes(tiff(image(PIXELS, t33550=(DOUBLE, size), **places)))
    for pair in (paths[:2], paths[1::-1]):
        with pytest.raises(scichunk.errors.FormatError, match="grid is off"):
            scichunk.open_stack(pair, "time")
    assert scichunk.open_stack(paths[1:], "time").sizes["time"] == 2


def test_stacks_of_overviews_of_images_of_unlike_size(tmp_path):
    paths = [tmp_path / f"{n}.tif" for n in (64, 63)]
    for path in paths:
        full = np.zeros((1, int(path.stem), 64), "u1")
        tags = {"t33550": (DOUBLE, [0.1, 0.1, 0]), "t33922": (DOUBLE, [0, 0, 0, 10, 50, 0]), "t34735": GEOGRAPHIC}
        path.write_bytes(tiff(image(full, **tags), image(HALVED, t254=REDUCED)))
    with pytest.raises(scichunk.errors.FormatError, match="grid is off"):
        scichunk.open_stack(paths, "time", overview=0)


@pytest.mark.parametrize(("photometric", "samples"), [("CMYK", 4), ("CIELAB", 3)])
@pytest.mark.parametrize("compress", ["LERC", "LERC_ZSTD", "WEBP"])
def test_colours_that_gdal_converts_in_any_codec(tmp_path, photometric, samples, compress):
    path = tmp_path / "a.tif"
    values = RNG.integers(0, 200, (samples, 24, 40), dtype="u1")
    profile = {"photometric": photometric, "compress": compress, "interleave": "pixel"}
    with rasterio.open(path, "w", driver="GTiff", width=40, height=24, count=samples, dtype="uint8", **profile) as ds:
        ds.write(values)
    np.testing.assert_array_equal(scichunk.from_geotiff(path).compute(), values_of(path))


def test_masks_of_single_bits_that_the_reference_library_reads(tmp_path):
    path, mask = tmp_path / "a.tif", RNG.random((64, 64)) > 0.5
    bits = np.packbits(mask, axis=1, bitorder="little").tobytes()  # fill order 2: the lowest bit first
    kind = {"t254": (LONG, [4]), "t258": (SHORT, [1]), "t262": (SHORT, [4]), "t266": (SHORT, [2])}
    path.write_bytes(tiff(image(PIXELS), page((1, 64, 64), blocks=[bits], **kind)))
    found = xr.open_dataset(path, engine="geotiff", mask_and_scale=False)["mask"]
    np.testing.assert_array_equal(found.values, np.where(mask, 255, 0))


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("a.tif", "a.WLD"), ("a.tif", "a.tfw"), ("a.TIF", "a.TFW"), ("a.Tif", "a.Tfw"), ("a.tif", "a.TIFW"), ("a.tiff", "a.TIFFW"),
        ("a.btf", "a.bfw"), ("a.btf", "a.btfw"), ("a.tf8", "a.t8w"), ("a.gtiff", "a.gfw"), ("a.geotiff", "a.geotiffw"), ("a", "a.wld"),
    ],
)  # fmt: skip
def test_world_files_by_the_suffix_of_the_raster(tmp_path, name, beside):
    (tmp_path / name).write_bytes(tiff(image(PIXELS)))
    (tmp_path / beside).write_text("0.5\n0\n0\n-0.5\n100.25\n200.25\n")
    with rasterio.open(tmp_path / name) as ds:
        expected = ds.transform.to_gdal()
    assert expected[1] == 0.5
    found = xr.open_dataset(tmp_path / name, engine="geotiff").spatial_ref.attrs["GeoTransform"]
    assert tuple(float(n) for n in found.split()) == expected


@pytest.mark.parametrize("name", ["a.tif.MSK", "a.tif.msk", "a.tif.OVR", "a.tif.ovr"])
def test_masks_and_overviews_beside_in_capitals(tmp_path, name):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(image(PIXELS)))
    flags = items('<Item name="INTERNAL_MASK_FLAGS_1">2</Item>')
    mask = image(np.where(PIXELS > 99, 255, 0).astype("u1"), t42112=flags)
    (tmp_path / name).write_bytes(tiff(mask if name.lower().endswith("msk") else image(HALVED)))
    with rasterio.open(path) as ds:
        expected, levels = np.where(ds.read_masks() == 0, np.nan, ds.read()), len(ds.overviews(1))
    np.testing.assert_array_equal(xr.open_dataset(path, engine="geotiff").band_data.values, expected)
    assert len(scichunk.info(path).arrays) == 1 + levels


def test_what_was_left_out_under_other_limits_is_there_again(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(*[image(PIXELS + n) for n in range(5)]))
    with scichunk.options.set(max_pages=2), pytest.warns(scichunk.errors.MetadataWarning, match="max_pages"):
        assert len(scichunk.info(path).arrays) == 2
    assert len(scichunk.info(path).arrays) == 5
    np.testing.assert_array_equal(scichunk.from_geotiff(path, page=4).compute(), PIXELS + 4)


def twelve_bits(width, value):
    """A page of pixels of 12 bits, which GDAL decodes."""
    row = int("".join(f"{value:03x}" for _ in range(width)), 16).to_bytes(-(-12 * width // 8), "big")
    return page((1, 2, width), "u2", blocks=[row * 2], t258=(SHORT, [12]))


def test_pages_that_are_alike_are_opened_once_to_say_what_they_are(tmp_path, monkeypatch):
    path, opened = tmp_path / "a.tif", []
    path.write_bytes(tiff(*[twelve_bits(8, n) for n in range(60)]))
    monkeypatch.setattr(
        rasterio, "open", lambda *of, _open=rasterio.open, **more: opened.append(of) or _open(*of, **more)
    )
    found = scichunk.info(path).arrays
    assert {(a.shape, a.dtype, a.reader) for a in found} == {((1, 2, 8), "uint16", found[0].reader)}
    assert found[0].reader.startswith("reference")
    assert len(opened) <= 2
    for number in (0, 7, 59):
        np.testing.assert_array_equal(scichunk.from_geotiff(path, page=number).compute(), np.full((1, 2, 8), number))


def test_pages_of_which_none_is_alike_are_not_all_opened(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(*[twelve_bits(2 * n, n) for n in range(1, 21)]))
    monkeypatch.setattr("scichunk.formats.geotiff.reference._MOST_STEPS", 100)
    readers = [a.reader for a in scichunk.info(path).arrays]
    assert sum("GDAL would have to go through 20 directories" in reader for reader in readers) == 15
    np.testing.assert_array_equal(scichunk.from_geotiff(path, page=0).compute(), np.full((1, 2, 2), 1))


def write_placed(path, *, points):
    """A raster of 64 x 48 pixels with an overview, placed by control points or by polynomials."""
    term = [0.0, 1.0, *[0.0] * 18]
    with rasterio.open(path, "w", driver="GTiff", width=64, height=48, count=1, dtype="uint8") as ds:
        ds.write(np.ones((1, 48, 64), "u1"))
        if points:
            corners = [(0, 0, 10, 50), (0, 64, 11, 50), (48, 0, 10, 49), (48.5, 63.25, 11, 49)]
            ds.gcps = [GroundControlPoint(*corner) for corner in corners], rasterio.CRS.from_epsg(4326)
        else:
            ds.rpcs = RPC(
                0.0,
                1.0,
                50.0,
                1.0,
                [1.0, *[0.0] * 19],
                term,
                24.0,
                25.0,
                10.0,
                1.0,
                [1.0, *[0.0] * 19],
                term,
                32.5,
                33.0,
            )
        ds.build_overviews([2])


@pytest.mark.parametrize("points", [True, False])
def test_points_and_polynomials_count_the_pixels_of_an_overview(tmp_path, points):
    path = tmp_path / "a.tif"
    write_placed(path, points=points)
    for kept, level in (({}, None), ({"overview_level": 0}, 0)):
        with rasterio.open(path, **kept) as ds:
            placed, terms = [(p.row, p.col) for p in ds.gcps[0]], ds.rpcs
        found = xr.open_dataset(path, engine="geotiff", overview=level).spatial_ref.attrs
        # As GDAL has it where pixels have no other place; 3.10 gives what lay in memory for overviews.
        assert tuple(float(n) for n in found["GeoTransform"].split()) == (0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
        if points:
            mine = [feature["properties"] for feature in json.loads(found["gcps"])["features"]]
            assert [(p["row"], p["col"]) for p in mine] == placed
        elif level is None or GDAL_311:  # older ones count from the corner of a pixel, not from its centre
            mine = json.loads(found["rpcs"])
            assert {n: mine[n] for n in mine if n.startswith(("line", "samp"))} == {
                n: v for n, v in terms.to_dict().items() if n.startswith(("line", "samp"))
            }


def with_alpha(values, extra, **tags):
    return image(values, t262=(SHORT, [2]), t338=(SHORT, [extra]), **tags)


VALUES_OF_BANDS = items('<Item name="NODATA_VALUES">1 2 3 4</Item>')
MASK = image(np.where(PIXELS[:, :8, :8] > 99, 255, 0).astype("u1"), t254=(LONG, [4]), t262=(SHORT, [4]))


@pytest.mark.parametrize("headers", ["all", "index"])
@pytest.mark.parametrize(
    "kinds", ["plain alpha", "plain values", "plain alpha mask", "mask alpha", "alpha plain", "plain plain"]
)
def test_stacks_of_which_only_later_files_say_where_data_are(tmp_path, kinds, headers):
    values = RNG.integers(1, 5, (4, 8, 8), dtype="u1")
    values[3] = np.where(RNG.random((8, 8)) > 0.5, 255, 0)
    values[:, 2, 3] = [1, 2, 3, 4]
    pages = {
        "plain": [with_alpha(values, 0)],
        "alpha": [with_alpha(values, 2)],
        "values": [with_alpha(values, 0, t42112=VALUES_OF_BANDS)],
        "mask": [with_alpha(values, 0), MASK],
    }
    paths = [tmp_path / f"{n}.tif" for n in range(len(kinds.split()))]
    for path, kind in zip(paths, kinds.split(), strict=True):
        path.write_bytes(tiff(*pages[kind]))
    found = paths
    if headers == "index":
        found = tmp_path / "index.parquet"
        scichunk.save_index(paths, found)
    ds = scichunk.open_stack(found, "time")
    for number, path in enumerate(paths):
        one = xr.open_dataset(path, engine="geotiff").band_data
        np.testing.assert_array_equal(ds.band_data.isel(time=number).values, one.values)
    raw = scichunk.open_stack(found, "time", mask_and_scale=False)
    assert ("mask" in raw) == ("mask" in kinds)
    assert raw.band_data.dtype == np.uint8
    np.testing.assert_array_equal(raw.band_data.values, [values] * len(paths))


def places_of_directories(data):
    """Where the directories of the chain begin."""
    found, at = [], struct.unpack_from("<I", data, 4)[0]
    while at:
        found.append(at)
        at = struct.unpack_from("<I", data, at + 2 + 12 * struct.unpack_from("<H", data, at)[0])[0]
    return found


@pytest.mark.parametrize("listed", [[1], [1, 2], [2, 1]])
def test_sub_directories_that_the_chain_has_too(recwarn, listed):
    pages = [deflated(values, t254=kind) for values, kind in ((HALVED, REDUCED), (QUARTERED, REDUCED))]
    last = deflated(PIXELS + 1)
    places = [0, 0]
    for _ in range(2):  # the second time where they are known
        data = tiff(deflated(PIXELS, t330=(LONG, places[: len(listed)])), *pages, last)
        places = [places_of_directories(data)[n] for n in listed]
    tree = scichunk.open(data)
    assert not recwarn.list
    assert set(tree.children) == {"page_0", "overview_1", "overview_2", "page_1"}
    np.testing.assert_array_equal(scichunk.from_geotiff(data, page=1).compute(), PIXELS + 1)
    shapes = {scichunk.from_geotiff(data, overview=n).shape for n in range(2)}
    assert shapes == {HALVED.shape, QUARTERED.shape}


def test_a_chain_that_comes_back_to_a_sub_directory_ends():
    pages = [deflated(HALVED, t254=REDUCED), deflated(PIXELS + 1)]
    data = tiff(deflated(PIXELS, t330=(LONG, [0])), *pages)
    first, below, last = places_of_directories(data)
    data = bytearray(tiff(deflated(PIXELS, t330=(LONG, [below])), *pages))
    struct.pack_into("<I", data, last + 2 + 12 * struct.unpack_from("<H", data, last)[0], below)
    with pytest.warns(MetadataWarning, match=f"comes back to byte {below}"):
        assert set(scichunk.open(bytes(data)).children) == {"page_0", "overview_1", "page_1"}
    assert first


WGS_84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]]'
)


@pytest.mark.parametrize("projection", ["Albers_Conic_Equal_Area", "Transverse_Mercator", "Geostationary_Satellite"])
@pytest.mark.parametrize("place", ["raster", "points"])
def test_systems_that_leave_out_parameters(tmp_path, projection, place):
    """Others take them for 0; CF names them all, so that only the text is there."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(image(PIXELS)))
    text = f'PROJCS["x",{WGS_84},PROJECTION["{projection}"],PARAMETER["central_meridian",9],UNIT["metre",1]]'
    placed = {
        "raster": f"<SRS>{text}</SRS><GeoTransform>500, 10, 0, 900, 0, -10</GeoTransform>",
        "points": f"<GCPList Projection='{text}'><GCP Id='' Pixel='1' Line='2' X='3' Y='4'/></GCPList>",
    }[place]
    path.with_name("a.tif.aux.xml").write_text(f"<PAMDataset>{placed}</PAMDataset>")
    found = xr.open_dataset(path, engine="geotiff")
    np.testing.assert_array_equal(found.band_data.values, PIXELS)
    assert projection in found.spatial_ref.attrs["crs_wkt"]
    scichunk.open_stack([path, path], "time")


def rpc_file(**changed):
    names = ("LINE", "SAMP", "LAT", "LONG", "HEIGHT")
    terms = {f"{name}_{kind}": "10" for name in names for kind in ("OFF", "SCALE")} | changed
    many = [f"{of}_{part}_COEFF_{n}: 1" for of in ("LINE", "SAMP") for part in ("NUM", "DEN") for n in range(1, 21)]
    return "\n".join([*(f"{name}: {value}" for name, value in terms.items()), *many])


@pytest.mark.parametrize("changed", [{"ERR_BIAS": ""}, {"LINE_OFF": ""}])
def test_polynomials_with_a_term_of_no_value(tmp_path, changed):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(image(PIXELS)))
    (tmp_path / "a_RPC.TXT").write_text(rpc_file())
    assert "rpcs" in xr.open_dataset(path, engine="geotiff").spatial_ref.attrs
    (tmp_path / "a_RPC.TXT").write_text(rpc_file(**changed))
    with pytest.warns(MetadataWarning, match="RPCs left out"):
        found = xr.open_dataset(path, engine="geotiff")
    np.testing.assert_array_equal(found.band_data.values, PIXELS)


@pytest.mark.parametrize("domain", ["RPC", "rpc"])
def test_stacks_of_other_polynomials_in_the_xml_of_gdal(tmp_path, domain):
    paths = [tmp_path / f"{n}.tif" for n in (10, 20)]
    for path in paths:
        terms = dict(line.split(": ") for line in rpc_file(LINE_OFF=path.stem).splitlines())
        lists = {name: [] for name in ("LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF")}
        for name, value in [*terms.items()]:
            if name.rpartition("_")[0] in lists:
                lists[name.rpartition("_")[0]].append(terms.pop(name) and value)
        terms |= {name: " ".join(values) for name, values in lists.items()}
        text = "".join(f'<Item name="{name}" domain="{domain}">{value}</Item>' for name, value in terms.items())
        path.write_bytes(tiff(image(PIXELS, t42112=items(text))))
        assert "rpcs" in xr.open_dataset(path, engine="geotiff").spatial_ref.attrs
    with pytest.raises(scichunk.errors.FormatError, match="RPCs"):
        scichunk.open_stack(paths, "time")


@pytest.mark.parametrize("kind", ["items", "points", "bytes"])
@pytest.mark.parametrize("bits", [12, 1])
def test_a_pam_file_with_very_much_is_not_read_with_the_pixels_either(tmp_path, kind, bits):
    """GDAL reads it where it opens the raster itself: in this process, and in another where it decodes CCITT."""
    much = {
        "items": "<Metadata>" + "<MDI key='a'>1</MDI>" * 20_001 + "</Metadata>",
        "points": "<GCPList>" + "<GCP Id='' Pixel='1' Line='2' X='1' Y='3'/>" * 100_001 + "</GCPList>",
        "bytes": " " * (1 << 24),
    }[kind]
    path, tags = tmp_path / "a.tif", {"t258": (SHORT, [bits]), "t259": (SHORT, [4 if bits == 1 else 1])}
    path.write_bytes(tiff(page((1, 32, 32), blocks=[bytes(384), *[None] * 3], tile=(16, 16), **tags)))
    for text, value in (("", 1), (much, 0)):
        pam = f"<PAMDataset>{text}<PAMRasterBand band='1'><NoDataValue>1</NoDataValue></PAMRasterBand></PAMDataset>"
        path.with_name("a.tif.aux.xml").write_text(pam)
        reader = scichunk.reader(path)
        assert reader.backend.startswith("reference")
        assert (reader[:, 16:, 16:] == value).all()
