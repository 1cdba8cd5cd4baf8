"""Patches as a user meets them: equal to the reference libraries, layers together, picked, split, weighted."""

import pickle

import numpy as np
import pytest
import rasterio
import xarray as xr
from astropy.io import fits
from rasterio.windows import Window

import scichunk
from scichunk.formats.jpeg2000.reference import lend_glymur
from scichunk.testing import RangeServer
from tests.training.files import values, write_geotiff


@pytest.fixture
def scene(tmp_path):
    return write_geotiff(tmp_path / "scene.tif", values((3, 200, 280)))


@pytest.fixture
def label(tmp_path):
    return write_geotiff(tmp_path / "label.tif", values((1, 200, 280), "u1", 2))


def collect(batches):
    """All patches of an epoch by their numbers; each must come once."""
    found = {}
    for batch in batches:
        for place, number in enumerate(batch["index"].tolist()):
            assert number not in found
            found[number] = {k: v[place].copy() for k, v in batch.items() if k not in {"index", "seed"}}
    return found


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("size, stride", [(32, None), (48, 32), ((40, 24), (17, 30))])
def test_every_patch_equals_rasterio(tmp_path, interleave, size, stride):
    image = write_geotiff(tmp_path / "a.tif", values((3, 200, 280)), interleave=interleave, predictor=2)
    label = write_geotiff(tmp_path / "b.tif", values((1, 200, 280), "u1"), tile=64)
    p = scichunk.patches({"image": image, "label": label}, size, stride=stride, block_bytes=40_000)
    found = collect(p.batches(7, index=True, mix=3, seed=3))
    assert sorted(found) == list(range(len(p)))
    with rasterio.open(image) as a, rasterio.open(label) as b:
        for number, patch in found.items():
            window = Window(p.table["x"][number], p.table["y"][number], p.size[1], p.size[0])
            np.testing.assert_array_equal(patch["image"], a.read(window=window))
            np.testing.assert_array_equal(patch["label"], b.read(window=window))
            assert all(np.array_equal(p[number][k], patch[k]) for k in patch)


def test_every_patch_equals_astropy(tmp_path):
    data = values((150, 170), "i2")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, compression_type="RICE_1")]).writeto(tmp_path / "a.fits")
    p = scichunk.patches(tmp_path / "a.fits", 32, stride=24, block_bytes=10_000)
    found = collect(p.batches(5, index=True))
    assert len(found) == len(p) == 30
    for number, patch in found.items():
        y, x = p.table["y"][number], p.table["x"][number]
        np.testing.assert_array_equal(patch["image"], data[y : y + 32, x : x + 32])


def test_every_patch_equals_glymur(tmp_path):
    data = values((160, 200, 3), "u1")
    with lend_glymur() as glymur:
        glymur.Jp2k(tmp_path / "a.jp2", data=data, tilesize=(64, 64))
        np.testing.assert_array_equal(glymur.Jp2k(tmp_path / "a.jp2")[:], data)
    p = scichunk.patches(tmp_path / "a.jp2", 40, block_bytes=20_000)
    found = collect(p.batches(5, index=True))
    assert len(found) == len(p) == 20
    for number, patch in found.items():
        y, x = p.table["y"][number], p.table["x"][number]
        np.testing.assert_array_equal(np.moveaxis(patch["image"], 0, -1), data[y : y + 40, x : x + 40])


@pytest.mark.parametrize("how", ["lazy", "dask", "memory", "sliced", "masked"])
def test_arrays_of_xarray_give_what_they_hold(tmp_path, how):
    path = write_geotiff(tmp_path / "a.tif", values((3, 100, 120)), nodata=77)
    masked = how == "masked"
    ds = xr.open_dataset(path, engine="geotiff", chunks={} if how == "dask" else None, mask_and_scale=masked)
    array = {
        "memory": ds.band_data.load,
        "sliced": lambda: ds.band_data.isel(band=[2, 0], y=slice(10, 90), x=slice(5, None)),
    }.get(how, lambda: ds.band_data)()
    p = scichunk.patches(array, {"y": 20, "x": 24}, block_bytes=15_000)
    found = collect(p.batches(4, index=True))
    assert len(found) == (array.sizes["y"] // 20) * (array.sizes["x"] // 24)
    for number, patch in found.items():
        y, x = p.table["y"][number], p.table["x"][number]
        expected = array[:, y : y + 20, x : x + 24].values
        np.testing.assert_array_equal(patch["image"], expected)
        assert patch["image"].dtype == expected.dtype
        np.testing.assert_array_equal(p[number]["image"], expected)


def test_lazy_arrays_of_ours_are_read_without_xarray(scene):
    array = xr.open_dataset(scene, engine="geotiff", chunks=None).band_data[:2]
    layer = scichunk.patches(array, 32).layers[0]
    assert (layer.dtype, layer.arrays[0].chunks) == (np.dtype("u2"), (2, 32, 32))


def test_variables_of_a_dataset_are_layers(tmp_path):
    ds = xr.Dataset(
        {
            "image": (("t", "y", "x"), values((4, 40, 50))),
            "label": (("y", "x"), values((40, 50), "u1")),
            "name": ((), 3),
        }
    )
    p = scichunk.patches(ds, {"t": 2, "y": 20, "x": 25})
    assert [la.name for la in p.layers] == ["image", "label"]
    assert len(p) == 2 * 2 * 2
    for number in range(len(p)):
        t, y, x = (p.table[d][number] for d in "tyx")
        np.testing.assert_array_equal(p[number]["image"], ds.image[t : t + 2, y : y + 20, x : x + 25])
        np.testing.assert_array_equal(p[number]["label"], ds.label[y : y + 20, x : x + 25])


@pytest.mark.parametrize("times", [2, 3])
def test_layers_may_be_finer_or_coarser(tmp_path, times):
    fine, coarse = values((2, 96 * times, 120 * times)), values((1, 96, 120), "u1")
    a, b = write_geotiff(tmp_path / "a.tif", fine), write_geotiff(tmp_path / "b.tif", coarse, pixel=10.0 * times)
    for layers, size in (({"fine": a, "coarse": b}, 24 * times), ({"coarse": b, "fine": a}, 24)):
        p = scichunk.patches(layers, size, block_bytes=20_000)
        found = collect(p.batches(3, index=True))
        assert len(found) == 20
        scale = times if "coarse" in p.layers[0].name else 1
        for number, patch in found.items():
            y, x = p.table["y"][number] * scale, p.table["x"][number] * scale
            np.testing.assert_array_equal(patch["fine"], fine[:, y : y + 24 * times, x : x + 24 * times])
            y, x = y // times, x // times
            np.testing.assert_array_equal(patch["coarse"], coarse[:, y : y + 24, x : x + 24])


def test_layers_that_do_not_fit_are_refused(tmp_path, scene):
    other = write_geotiff(tmp_path / "b.tif", values((1, 199, 280)))
    with pytest.raises(ValueError, match=r"b\.tif.*199 positions along 'y'.*280|b\.tif.*199.*200"):
        scichunk.patches({"image": scene, "label": other}, 32)
    half = write_geotiff(tmp_path / "c.tif", values((1, 100, 140)), pixel=20.0)
    with pytest.raises(ValueError, match="no whole number"):
        scichunk.patches({"image": scene, "label": half}, 33)
    with pytest.raises(ValueError, match="stride"):
        scichunk.patches({"image": scene, "label": half}, 32, stride=31)
    with pytest.raises(ValueError, match="differ"):
        scichunk.patches([scene, half], 32)


def test_what_cannot_be_is_an_error(scene):
    with pytest.raises(ValueError, match=r"not there.*time"):
        scichunk.patches(scene, {"time": 3})
    with pytest.raises(ValueError, match="at least 1"):
        scichunk.patches(scene, 0)
    with pytest.raises(ValueError, match="edges"):
        scichunk.patches(scene, 32, edges="pad")
    with pytest.raises(scichunk.errors.SourceError):
        scichunk.patches("missing.tif", 32)
    p = scichunk.patches(scene, 32)
    with pytest.raises(IndexError):
        p[len(p)]
    for wrong in ({"mix": 0}, {"shards": 2, "shard": 2}, {"dtype": {"nothing": "f4"}}, {"normalize": (1, 2)}):
        with pytest.raises(ValueError, match=r"mix|shards|layers|floating"):
            next(iter(p.batches(4, **wrong)))


def test_a_scene_too_small_for_a_patch_has_none(tmp_path, scene):
    small = write_geotiff(tmp_path / "small.tif", values((3, 20, 300)))
    p = scichunk.patches([small, scene], 64)
    assert set(p.table["scene"]) == {1}
    empty = scichunk.patches(small, 64)
    assert len(empty) == 0
    assert list(empty.batches(3)) == []


def test_shifted_edges_cover_the_whole_scene(scene):
    p = scichunk.patches(scene, 64, edges="shift")
    covered = np.zeros((200, 280), bool)
    for y, x in zip(p.table["y"], p.table["x"], strict=True):
        covered[y : y + 64, x : x + 64] = True
    assert covered.all()
    assert p.table["y"].max() == 200 - 64


def test_many_scenes_and_picking_among_them(tmp_path):
    urls = [write_geotiff(tmp_path / f"s{i}.tif", values((1, 70 + 10 * i, 96), seed=i)) for i in range(4)]
    times = np.array(["2024-01-05", "2024-02-05", "2024-02-20", "2024-03-01"], "M8[D]")
    p = scichunk.patches(urls, 32, scenes=times)
    assert set(p.sel(scene=slice("2024-02", "2024-02")).table["scene"]) == {1, 2}
    assert set(p.isel(scene=[0, -1]).table["scene"]) == {0, 3}
    assert set(p.isel(scene=2).table["scene"]) == {2}
    names = scichunk.patches(str(tmp_path / "s*.tif"), 32)
    assert set(names.sel(scene=names.scenes[1]).table["scene"]) == {1}
    with pytest.raises(ValueError, match="no scenes"):
        names.sel(scene="nowhere.tif")
    for number, patch in collect(p.batches(5, index=True)).items():
        with rasterio.open(urls[p.table["scene"][number]]) as file:
            window = Window(p.table["x"][number], p.table["y"][number], 32, 32)
            np.testing.assert_array_equal(patch["image"], file.read(window=window))


def test_patches_by_bounds_and_by_coordinates(scene):
    p = scichunk.patches(scene, 20)
    inside = p.sel(bounds=(300400, 4999000, 301000, 4999600))
    assert sorted(set(inside.table["x"])) == [40, 60, 80]
    assert sorted(set(inside.table["y"])) == [40, 60, 80]
    north = p.sel(y=slice(None, 4999000))
    assert set(north.table["y"]) == {100, 120, 140, 160, 180}
    assert set(p.sel(y=slice(5000000, 4999000)).table["y"]) == {0, 20, 40, 60, 80}
    left, bottom, right, top = inside.bounds.T
    assert (left.min(), bottom.min(), right.max(), top.max()) == (300400, 4999000, 301000, 4999600)
    shapely = pytest.importorskip("shapely")
    near = p.where(shapely.intersects(shapely.box(*p.bounds.T), shapely.Point(300450, 4999950)))
    assert (near.table["y"].tolist(), near.table["x"].tolist()) == ([0], [40])
    with pytest.raises(ValueError, match="not along 'time'"):
        p.sel(time=slice(1, 2))


def test_patches_of_a_stack_by_time():
    time = np.arange("2024-01-01", "2024-01-11", dtype="M8[D]").astype("M8[ns]")
    data = xr.DataArray(values((10, 16, 16)), dims=("time", "y", "x"), coords={"time": time})
    p = scichunk.patches(data, {"time": 2, "y": 16, "x": 16}, stride={"time": 1})
    assert p.sel(time=slice("2024-01-03", "2024-01-06")).table["time"].tolist() == [2, 3, 4]


def test_where_keeps_patches_by_mask_or_function(tmp_path, scene):
    label = np.zeros((1, 200, 280), "u1")
    label[:, 64:100, 32:70] = 1
    url = write_geotiff(tmp_path / "label.tif", label)
    p = scichunk.patches({"image": scene, "label": url}, 32)
    kept = scichunk.patches({"image": scene, "label": url}, 32, where={"label": np.any})
    assert set(zip(kept.table["y"], kept.table["x"], strict=True)) == {(y, x) for y in (64, 96) for x in (32, 64)}
    same = p.where(lambda patch: patch["label"].any() and patch["image"].shape == (3, 32, 32))
    np.testing.assert_array_equal(same.table["row"], kept.table["row"])
    mask = np.arange(len(p)) % 2 == 0
    assert len(p.where(mask)) == mask.sum()
    with pytest.raises(ValueError, match="shape"):
        p.where([True])


def test_patches_around_the_positions_of_a_table(scene):
    with rasterio.open(scene) as file:
        full = file.read()
    rows, columns = np.array([50, 100, 3, 150]), np.array([60, 33, 100, 200])
    x, y = 300000 + 10 * (columns + 0.5), 5000000 - 10 * (rows + 0.5)
    with pytest.warns(scichunk.errors.DataWarning, match="1 of 4 positions"):
        p = scichunk.patches(scene, 32, at={"x": x, "y": y})
    assert p.table["row"].tolist() == [0, 1, 3]
    with pytest.warns(scichunk.errors.DataWarning, match="1 of 4 positions"):
        q = scichunk.patches(scene, 32, at={"row": rows, "col": columns})
    np.testing.assert_array_equal(p.samples.corners, q.samples.corners)
    for number, patch in collect(p.batches(2, index=True)).items():
        row = p.table["row"][number]
        top, left = rows[row] - 16, columns[row] - 16
        np.testing.assert_array_equal(patch["image"], full[:, top : top + 32, left : left + 32])
    with pytest.raises(ValueError, match="at= needs columns"):
        scichunk.patches(scene, 32, at={"a": rows})


@pytest.mark.parametrize("kind", ["table", "frame", "quantities", "radians"])
def test_cut_outs_around_a_catalogue_equal_those_of_astropy(tmp_path, kind):
    from astropy import units as u
    from astropy.nddata import Cutout2D
    from astropy.table import QTable, Table
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (
        ["RA---TAN", "DEC--TAN"],
        [150, 2],
        [60, 50],
        [-3e-4, 3e-4],
    )
    data = values((100, 120), "f4")
    fits.PrimaryHDU(data, wcs.to_header()).writeto(tmp_path / "sky.fits")
    rng = np.random.default_rng(2)
    px, py = rng.uniform(20, 90, 12), rng.uniform(20, 75, 12)
    ra, dec = wcs.wcs_pix2world(px, py, 0)
    at = {
        "table": lambda: Table({"ra": ra, "dec": dec}),
        "frame": lambda: Table({"ra": ra, "dec": dec}).to_pandas(),
        "quantities": lambda: QTable({"ra": (ra * u.deg).to("hourangle"), "dec": dec * u.deg}),
        "radians": lambda: Table({"ra": np.deg2rad(ra), "dec": np.deg2rad(dec)}, units={"ra": "rad", "dec": "rad"}),
    }[kind]()
    p = scichunk.patches(tmp_path / "sky.fits", (16, 21), at=at)
    assert p.table["row"].tolist() == list(range(12))
    for number in range(12):
        expected = Cutout2D(data, (px[number], py[number]), (16, 21)).data
        np.testing.assert_array_equal(p[number]["image"], expected)


@pytest.fixture
def sky(tmp_path):
    """An image of the sky, each pixel with a value of its own; and its header."""
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 10,
        "CRVAL2": 20,
        "CRPIX1": 50,
        "CRPIX2": 60,
        "CDELT1": -0.01,
        "CDELT2": 0.01,
    }
    fits.PrimaryHDU(np.arange(100 * 120, dtype="f4").reshape(100, 120), fits.Header(cards)).writeto(
        tmp_path / "sky.fits"
    )
    return xr.open_dataset(tmp_path / "sky.fits", engine="fits").data


@pytest.mark.parametrize(
    "part",
    [
        {"y": slice(20, None), "x": slice(10, 90)},
        {"y": slice(None, None, 2), "x": slice(None, None, 2)},
        {"y": slice(3, None, 2), "x": slice(1, None, 3)},
        {"y": slice(None, None, -1), "x": slice(None, None, -2)},
        {"x": [*range(0, 60, 2), *range(60, 120)]},
    ],
)
def test_positions_on_a_part_of_an_image(sky, part):
    picked = sky.isel(part)
    ra, dec = (sky.sky.sel(ra=10.05, dec=20.1).coords[n].item() for n in ("ra", "dec"))
    expected = picked.sky.sel(ra=ra, dec=dec).item()
    x, y = (int(picked.sky.sel(ra=ra, dec=dec)[n]) for n in ("x", "y"))
    for at in ({"ra": [ra], "dec": [dec]}, {"x": [x], "y": [y]}):
        found = scichunk.patches(picked, 3, at=at)
        assert len(found) == 1
        assert found[0]["image"][1, 1] == expected


def test_coordinates_at_uneven_distances():
    image = xr.DataArray(
        np.arange(100.0).reshape(10, 10), dims=("y", "x"), coords={"x": np.arange(10.0) ** 2, "y": np.arange(10.0)}
    )
    found = scichunk.patches(image, 1, at={"x": [16, 35.5, 81, 49.5], "y": [0, 1, 2, 3]})
    assert found.read(range(4))["image"].reshape(-1).tolist() == [4, 16, 29, 37]
    with pytest.warns(scichunk.errors.DataWarning, match="2 of 2 positions"):
        assert len(scichunk.patches(image, 1, at={"x": [-1, 95], "y": [0, 0]})) == 0
    # each pixel reaches to the middle between its centre and the next
    assert scichunk.patches(image, 1).isel(patch=slice(0, 4)).bounds[:, [0, 2]].tolist() == [
        [-0.5, 0.5],
        [0.5, 2.5],
        [2.5, 6.5],
        [6.5, 12.5],
    ]
    folded = image.assign_coords(x=[0, 1, 2, 1, 0, 1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="neither rises nor falls"):
        scichunk.patches(folded, 1, at={"x": [1], "y": [0]})


def test_scenes_whose_missing_value_is_nan(tmp_path):
    data = values((1, 64, 64), "f4")
    data[0, :5] = np.nan
    paths = [write_geotiff(tmp_path / f"s{n}.tif", data, nodata=np.nan) for n in range(2)]
    for scenes in (paths, [xr.open_dataset(p, engine="geotiff").band_data for p in paths]):
        p = scichunk.patches(scenes, 64, mask_and_scale=True)
        np.testing.assert_array_equal(p.read([0, 1])["image"], np.stack([data, data]))


def test_patches_are_kept_for_a_reason(scene):
    p = scichunk.patches(scene, 32)
    for nothing in (lambda patch: None, lambda patch: np.nan, np.full(len(p), np.nan)):
        with pytest.raises(ValueError, match="where must be true or false"):
            p.where(nothing)
    for options in ({"ahead": -1}, {"buffers": -1}):
        with pytest.raises(ValueError, match="must be at least 0"):
            p.batches(4, **options)
    with pytest.raises(TypeError):
        p.batches(2.5)


def test_names_of_scenes_tell_no_secrets():
    image = xr.DataArray(np.zeros((8, 8)), dims=("y", "x"))
    image.encoding["source"] = "https://user:password@host/image.nc?token=abcdefgh"
    assert scichunk.patches(image, 4).scenes == ("https://host/image.nc?token=...",)


@pytest.mark.parametrize("stride", [32, 20])
def test_parts_of_a_split_have_no_pixel_in_common(scene, stride):
    p = scichunk.patches(scene, 32, stride=stride, block_bytes=3 * 2 * 64 * 64)
    parts = p.split([0.6, 0.2, 0.2], seed=4)
    owner = np.full((200, 280), -1)
    for part, these in enumerate(parts):
        assert len(these)
        for y, x in zip(these.table["y"], these.table["x"], strict=True):
            assert set(np.unique(owner[y : y + 32, x : x + 32])) <= {-1, part}
            owner[y : y + 32, x : x + 32] = part
    rows = np.concatenate([these.table["row"] for these in parts])
    assert len(set(rows)) == len(rows)
    if stride == 32:
        assert len(rows) == len(p)
    again = p.split([0.6, 0.2, 0.2], seed=4)
    assert all(np.array_equal(a.table["row"], b.table["row"]) for a, b in zip(parts, again, strict=True))
    with pytest.raises(ValueError, match="add up to 1"):
        p.split([0.5, 0.6])
    with pytest.raises(ValueError, match="smaller block_bytes"):
        scichunk.patches(scene, 32).split(0.5)


def test_scenes_are_split_as_a_whole(tmp_path):
    urls = [write_geotiff(tmp_path / f"s{i}.tif", values((1, 64, 64), seed=i)) for i in range(5)]
    train, test = scichunk.patches(urls, 32).split(0.6, by="scene")
    assert not set(train.table["scene"]) & set(test.table["scene"])
    assert len(train) == 12


def test_a_patch_has_coordinates_and_its_crs(scene, label):
    p = scichunk.patches({"image": scene, "label": label}, 32)
    got = p.to_xarray(9)
    window = (p.table["y"][9], p.table["x"][9])
    np.testing.assert_array_equal(got.image.values, p[9]["image"])
    np.testing.assert_array_equal(got.label.values, p[9]["label"])
    whole = xr.open_dataset(scene, engine="geotiff")
    np.testing.assert_array_equal(got.x.values, whole.x.values[window[1] : window[1] + 32])
    assert got.rio.crs.to_epsg() == 32633
    assert p.to_xarray(9, layer="label").dims == ("band", "y", "x")
    with pytest.raises(ValueError, match="no layer"):
        p.to_xarray(9, layer="nothing")


def test_a_window_reader_picks_bands(scene):
    p = scichunk.patches(scichunk.reader(scene, bands=[2, 0]), 32)
    with rasterio.open(scene) as file:
        np.testing.assert_array_equal(p[0]["image"], file.read([3, 1], window=Window(0, 0, 32, 32)))
    assert p.to_xarray(0, "image").band.values.tolist() == [3, 1]


def test_patches_travel(scene):
    p = scichunk.patches(scene, 32)
    q = pickle.loads(pickle.dumps(p))
    np.testing.assert_array_equal(p[3]["image"], q[3]["image"])
    made = p.batches(8, seed=1)
    a, b = next(iter(pickle.loads(pickle.dumps(made)))), next(iter(made))
    np.testing.assert_array_equal(a["image"], b["image"])


def test_a_failing_file_names_itself(scene):
    p = scichunk.patches(scene, 32)
    with open(scene, "r+b") as file:
        file.truncate(2000)
    scichunk.clear_caches()
    with pytest.raises(scichunk.errors.ScichunkError, match=r"scene\.tif"):
        list(p.batches(8))


def test_over_http_each_byte_is_fetched_once(scene):
    with open(scene, "rb") as file:
        content = file.read()
    with RangeServer({"scene.tif": content}) as server, scichunk.options.set(cached_tile_bytes=0):
        p = scichunk.patches(server.url("scene.tif"), 32, block_bytes=3 * 2 * 64 * 64)
        server.reset()
        found = collect(p.batches(8, index=True))
        assert len(found) == 48
        assert server.bytes_sent <= 1.1 * len(content)
    with rasterio.open(scene) as file:
        for number, patch in found.items():
            window = Window(p.table["x"][number], p.table["y"][number], 32, 32)
            np.testing.assert_array_equal(patch["image"], file.read(window=window))


def test_layers_that_lie_elsewhere_are_refused(tmp_path, scene):
    moved = write_geotiff(tmp_path / "moved.tif", values((1, 200, 280)), pixel=10.0)
    with rasterio.open(moved, "r+") as file:
        file.transform = file.transform.translation(5, 0) * file.transform
    with pytest.raises(ValueError, match=r"moved\.tif.*does not cover the area"):
        scichunk.patches({"image": scene, "label": moved}, 32)
    other = write_geotiff(
        tmp_path / "other.tif", values((1, 100, 140)), pixel=10.0
    )  # half as many pixels, of the same size
    with pytest.raises(ValueError, match="does not cover the area"):
        scichunk.patches({"image": scene, "label": other}, 32)
    array = xr.open_dataset(scene, engine="geotiff", chunks=None).band_data
    label = xr.open_dataset(
        write_geotiff(tmp_path / "l.tif", values((1, 200, 280))), engine="geotiff", chunks=None
    ).band_data
    same = {"image": array[:, 32:, 64:], "label": label[:, 32:, 64:]}
    assert len(scichunk.patches(same, 32)) == 5 * 6
    with pytest.raises(ValueError, match="does not cover the area"):
        scichunk.patches({"image": array[:, 32:, 64:], "label": label[:, :-32, :-64]}, 32)


def test_stacks_over_time_are_cut_like_cubes(tmp_path):
    urls = [write_geotiff(tmp_path / f"t{i}.tif", values((2, 64, 96), seed=i)) for i in range(3)]
    stack = scichunk.open_stack(urls, dim="time", mask_and_scale=False).band_data
    p = scichunk.patches(stack, 32)
    assert p[0]["image"].shape == (3, 2, 32, 32)
    for number, patch in collect(p.batches(2, index=True)).items():
        y, x = p.table["y"][number], p.table["x"][number]
        np.testing.assert_array_equal(patch["image"], stack[:, :, y : y + 32, x : x + 32].values)


def test_a_batch_by_number_is_asked_for_at_once(scene):
    with open(scene, "rb") as file:
        content = file.read()
    with RangeServer({"scene.tif": content}, latency=0.4) as server:
        p = scichunk.patches(server.url("scene.tif"), 32)
        got = p.read(range(0, 48, 6))["image"]
        assert server.max_concurrent > 4
    local = scichunk.patches(scene, 32)
    np.testing.assert_array_equal(got, local.read(range(0, 48, 6))["image"])


def test_headers_of_many_scenes_are_waited_for_together(tmp_path):
    with open(write_geotiff(tmp_path / "a.tif", values((1, 64, 64))), "rb") as file:
        content = file.read()
    with RangeServer({f"s{i}.tif": content for i in range(12)}, latency=0.4) as server:
        p = scichunk.patches([server.url(f"s{i}.tif") for i in range(12)], 32)
        assert len(p) == 48
        assert server.max_concurrent > 6


def test_headers_that_promise_very_many_patches(tmp_path):
    path = tmp_path / "wide.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", width=2**31 - 1, height=2**15, blockxsize=2**15, blockysize=2**15,
        tiled=True, SPARSE_OK=True, BIGTIFF="YES", compress="deflate",
    ):  # fmt: skip
        pass
    for size, options in ((1, {}), (32, {}), (256, {"stride": 16, "edges": "shift"}), ({"x": 1}, {})):
        with pytest.raises(scichunk.errors.LimitExceeded, match=r"a table of \d+ patches"):
            scichunk.patches(path, size, **options)
    large = scichunk.patches(path, 2**14)
    assert len(large) == 2 * (2**17 - 1)
    for ask in (lambda: large.bounds, lambda: large.sel(bounds=(0, 0, 9, 9))):
        with pytest.raises(scichunk.errors.LimitExceeded, match="the coordinate 'x'"):
            ask()
    few = scichunk.patches(path, 16, at={"row": [50, 90], "col": [2**30, 70]})
    assert few.read([0, 1])["image"].shape == (2, 1, 16, 16)
