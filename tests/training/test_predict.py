"""Predictions: equal to the model over the whole scene, georeferenced, chunk by chunk, resumed."""

import os
import stat
import traceback

import fsspec
import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
import zarr

import scichunk
from scichunk.errors import SourceError, UnsupportedFeature
from scichunk.testing import RangeServer
from tests.training.files import values, write_geotiff


@pytest.fixture
def scene(tmp_path):
    return write_geotiff(tmp_path / "scene.tif", values((3, 150, 230)))


def brightness(batch):
    return batch["image"].mean(axis=1, dtype="f4")


def expected_of(scene):
    with rasterio.open(scene) as file:
        return file.read().mean(axis=0, dtype="f4")


@pytest.mark.parametrize("blend", ["linear", "hann", None])
@pytest.mark.parametrize("size, stride", [(32, None), (32, 16), ((40, 33), (17, 20))])
def test_what_depends_on_single_pixels_is_as_if_there_were_no_patches(scene, blend, size, stride):
    p = scichunk.patches(scene, size, stride=stride, edges="shift", block_bytes=50_000)
    found = scichunk.predict(p, brightness, blend=blend, chunks=(64, 48), batch_size=5)
    assert found.prediction.dims == ("y", "x")
    np.testing.assert_allclose(found.prediction, expected_of(scene), rtol=1e-5)
    assert found.rio.crs.to_epsg() == 32633
    whole = xr.open_dataset(scene, engine="geotiff")
    np.testing.assert_array_equal(found.x, whole.x)


def test_weights_for_training_change_no_prediction(scene):
    p = scichunk.patches(scene, 32, edges="shift")
    weighted = p.weighted(np.arange(len(p)) % 3)
    np.testing.assert_allclose(scichunk.predict(weighted, brightness).prediction, expected_of(scene), rtol=1e-5)


def test_overlapping_patches_are_blended(scene):
    p = scichunk.patches(scene, 32, stride=16, edges="shift")
    calls = iter(range(10**6))

    def number(batch):
        return np.stack([np.full((32, 32), next(calls), "f4") for _ in batch["image"]])

    found = scichunk.predict(p, number, chunks=(64, 64)).prediction.values
    assert len(np.unique(found)) > 1000  # no patch shows its edges
    assert (found >= 0).all()
    assert (np.abs(np.diff(found[:16, :], axis=1)) < 3).all()


def test_a_zarr_group_has_the_grid_of_the_scene(tmp_path, scene):
    p = scichunk.patches(scene, 32, stride=16, edges="shift")
    out = str(tmp_path / "out.zarr")
    found = scichunk.predict(p, brightness, out, chunks=(64, 64), name="bright")
    np.testing.assert_allclose(found.bright, expected_of(scene), rtol=1e-5)
    again = xr.open_zarr(out, consolidated=False, decode_coords="all")
    assert set(again.data_vars) == {"bright"}
    assert again.bright.encoding["chunks"] == (64, 64)
    with rioxarray.open_rasterio(scene) as original:
        assert again.rio.crs == original.rio.crs
        assert again.rio.transform() == original.rio.transform()
    found.close()


def test_a_cloud_optimized_geotiff_has_the_grid_of_the_scene(tmp_path, scene):
    p = scichunk.patches(scene, 32, edges="shift")
    out = tmp_path / "classes.tif"

    def scores(batch):
        return np.stack([(batch["image"][:, 0] > k * 20000).astype("f4") for k in (0, 1, 2)], axis=1)

    scichunk.predict(p, scores, out, finish=lambda s: s.sum(0).astype("u1"), cog_options={"compress": "zstd"}).close()
    with rioxarray.open_rasterio(out) as found, rioxarray.open_rasterio(scene) as original:
        assert found.rio.crs == original.rio.crs
        assert found.rio.transform() == original.rio.transform()
        image = original.values[0]
        np.testing.assert_array_equal(found.values[0], (image > 0).astype("u1") + (image > 20000) + (image > 40000))
    with rasterio.open(out) as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["classes.tif", "scene.tif"]


@pytest.mark.parametrize("name", ["out.zarr", "out.tif"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_was_broken_off_goes_on(tmp_path, scene, name, overwrite):
    p = scichunk.patches(scene, 32, stride=24, edges="shift", block_bytes=50_000)
    out = str(tmp_path / name)
    how = {"chunks": (48, 48), "batch_size": 8, "overwrite": overwrite}
    calls = []

    def failing(batch):
        if len(calls) == 6:
            raise OSError("power failure")
        calls.append(len(batch["image"]))
        return brightness(batch)

    with pytest.raises(OSError, match=r"^power failure$"):
        scichunk.predict(p, failing, out, **how)
    assert len(os.listdir(tmp_path)) == 2
    again = []

    def counting(batch):
        again.append(len(batch["image"]))
        return brightness(batch)

    found = scichunk.predict(p, counting, out, **how)
    np.testing.assert_allclose(np.squeeze(next(iter(found.data_vars.values()))), expected_of(scene), rtol=1e-5)
    assert sum(again) < len(p)
    assert len(found.data_vars) == 1
    found.close()
    assert sorted(os.listdir(tmp_path)) == sorted([name, "scene.tif"])


def test_what_is_predicted_is_kept_until_the_file_is_there(tmp_path, scene):
    p = scichunk.patches(scene, 32, edges="shift")
    out = tmp_path / "out.tif"
    calls = []

    def counting(batch):
        calls.append(1)
        out.write_bytes(b"came meanwhile")
        return brightness(batch)

    with pytest.raises(SourceError, match="exists already"):
        scichunk.predict(p, counting, out)
    assert out.read_bytes() == b"came meanwhile"
    del calls[:]
    scichunk.predict(p, counting, out, overwrite=True).close()
    assert calls == []
    with rasterio.open(out) as file:
        np.testing.assert_allclose(file.read(1), expected_of(scene), rtol=1e-5)
    assert sorted(os.listdir(tmp_path)) == ["out.tif", "scene.tif"]


def test_files_of_the_user_stay(tmp_path, scene):
    p = scichunk.patches(scene, 32, edges="shift")
    before = set(os.listdir(tmp_path))
    own = {name: tmp_path / name for name in ("a.tif.zarr", "a.tif.part.tif", "a.tif.whole.tif")}
    for path in own.values():
        path.mkdir()
        (path / "mine").write_text("mine")
    scichunk.predict(p, brightness, tmp_path / "a.tif").close()
    assert set(os.listdir(tmp_path)) == before | {*own, "a.tif"}
    assert {(path / "mine").read_text() for path in own.values()} == {"mine"}
    hidden = tmp_path / ".b.tif-predictions"
    hidden.mkdir()
    (hidden / "mine").write_text("mine")
    with pytest.raises(SourceError, match="in the way"):
        scichunk.predict(p, brightness, tmp_path / "b.tif")
    assert os.listdir(hidden) == ["mine"]


@pytest.mark.parametrize("make", ["file", "folder", "group", "array", "complete"])
def test_nothing_is_replaced_unasked(tmp_path, scene, make):
    p, out = scichunk.patches(scene, 32, edges="shift"), tmp_path / "out.zarr"
    if make == "file":
        out.write_text("mine")
    elif make == "folder":
        out.mkdir()
        (out / "mine").write_text("mine")
    elif make == "group":
        zarr.open_group(out, mode="w").create_array("mine", shape=3, dtype="i4")
    elif make == "array":
        zarr.create_array(out, shape=3, dtype="i4")
    else:
        scichunk.predict(p, brightness, out).close()
    before = sorted(path for path in out.rglob("*"))

    def never(batch):
        raise AssertionError

    with pytest.raises(SourceError):
        scichunk.predict(p, never, out)
    assert sorted(path for path in out.rglob("*")) == before
    if make in {"file", "folder"}:  # overwrite= is for predictions
        with pytest.raises(SourceError):
            scichunk.predict(p, brightness, out, overwrite=True)
    else:
        found = scichunk.predict(p, brightness, out, overwrite=True)
        np.testing.assert_allclose(found.prediction, expected_of(scene), rtol=1e-5)
        assert "mine" not in os.listdir(out)


def test_a_group_of_which_nothing_is_done_is_begun_anew(tmp_path, scene):
    p, out = scichunk.patches(scene, 32, edges="shift"), tmp_path / "out.zarr"
    marks = {"shape": (1, 1), "chunks": (1, 1), "dtype": "u1"}
    zarr.open_group(out, mode="w").create_array("prediction_done", **marks)
    found = scichunk.predict(p, brightness, out)
    np.testing.assert_allclose(found.prediction, expected_of(scene), rtol=1e-5)


def test_geotiffs_are_written_as_other_files_are(tmp_path, scene):
    p = scichunk.patches(scene, 32, edges="shift")

    def never(batch):
        raise AssertionError

    (tmp_path / "folder.tif").mkdir()
    os.mkfifo(tmp_path / "pipe.tif")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tif")
    for out in (scene, tmp_path / "folder.tif", tmp_path / "pipe.tif", tmp_path / "no" / "x.tif", odd, "a\0b.tif"):
        with pytest.raises((SourceError, UnsupportedFeature)):
            scichunk.predict(p, never, out)
    with pytest.raises(UnsupportedFeature) as caught:
        scichunk.predict(p, never, "memory://bucket/x?sig=hunter2.tif")
    assert "hunter2" not in str(caught.value)
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "x.tif", tmp_path / "link.tif"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to(target)
    scichunk.predict(p, brightness, link, overwrite=True).close()
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with rasterio.open(target) as file:
        np.testing.assert_allclose(file.read(1), expected_of(scene), rtol=1e-5)
    assert sorted(os.listdir(tmp_path)) == ["folder.tif", "link.tif", "pipe.tif", "real", "scene.tif"]
    assert os.listdir(tmp_path / "real") == ["x.tif"]


@pytest.mark.parametrize("there", [False, True])
def test_what_lies_beside_a_raster_that_is_replaced_goes_with_it(tmp_path, scene, there):
    """Its mask, scale and overviews would be those of the new one."""
    p, out = scichunk.patches(scene, 32, edges="shift"), tmp_path / "out.tif"
    size = {"count": 1, "height": 8, "width": 8, "dtype": "uint8"}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(out, "w", driver="GTiff", **size) as file:
        file.write_mask(np.zeros((8, 8), bool))
    band = '<PAMRasterBand band="1"><Scale>3</Scale><Offset>1</Offset></PAMRasterBand>'
    (tmp_path / "out.tif.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")
    (tmp_path / "out.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    if not there:
        out.unlink()
    assert (tmp_path / "out.tif.msk").exists()
    with pytest.raises(SourceError, match="exists" if there else "would be read with it"):
        scichunk.predict(p, brightness, out)
    with scichunk.predict(p, brightness, out, overwrite=True) as found:
        np.testing.assert_allclose(found.band_data[0], expected_of(scene), rtol=1e-5)
    assert sorted(os.listdir(tmp_path)) == ["out.tfw", "out.tif", "scene.tif"]


def test_two_runs_do_not_write_the_same_file(tmp_path, scene):
    p, out = scichunk.patches(scene, 32, edges="shift"), tmp_path / "out.tif"

    def meddling(batch):
        with pytest.raises(SourceError, match="another run"):
            scichunk.predict(p, brightness, out)
        return brightness(batch)

    scichunk.predict(p, meddling, out).close()
    with rasterio.open(out) as file:
        np.testing.assert_allclose(file.read(1), expected_of(scene), rtol=1e-5)


def test_words_for_gdal_that_it_does_not_know_are_an_error_of_the_file(tmp_path, scene):
    p = scichunk.patches(scene, 32, edges="shift")
    with pytest.raises(SourceError, match=r"cannot be written.*kept in '.out.tif-predictions'"):
        scichunk.predict(p, brightness, tmp_path / "out.tif", cog_options={"blocksize": 100})
    scichunk.predict(p, lambda batch: 1 / 0, tmp_path / "out.tif").close()
    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_allclose(file.read(1), expected_of(scene), rtol=1e-5)


@pytest.mark.parametrize("fault", ["403", "404", "drop", ""])
def test_secrets_of_urls_are_not_told(scene, fault):
    p, secret = scichunk.patches(scene, 32, edges="shift"), "hunter2swordfish"
    with RangeServer({"x": b"x"}) as server, scichunk.options.set(retries=0, timeout=5):
        server.fault = fault
        out = server.url("o.zarr").replace("http://", f"http://me:{secret}@") + f"?sig={secret}"
        with pytest.raises(SourceError) as caught:
            scichunk.predict(p, brightness, out)
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_a_part_of_other_predictions_is_told_without_secrets(scene):
    url = "memory://predictions/o.zarr?sig=hunter2"
    p = scichunk.patches(scene, 32, stride=24, edges="shift", block_bytes=50_000)
    how = {"chunks": (48, 48), "batch_size": 8}
    calls = []

    def failing(batch):
        if len(calls) == 6:
            raise RuntimeError
        calls.append(1)
        return brightness(batch)

    try:
        with pytest.raises(RuntimeError):
            scichunk.predict(p, failing, url, **how)
        with pytest.raises(ValueError, match="a part of other predictions") as caught:
            scichunk.predict(p, lambda batch: brightness(batch).astype("f8"), url, **how)
        assert "hunter2" not in str(caught.value)
        found = scichunk.predict(p, brightness, url, **how)
        np.testing.assert_allclose(found.prediction, expected_of(scene), rtol=1e-5)
        with pytest.raises(SourceError, match="exists already"):
            scichunk.predict(p, brightness, url, **how)
    finally:
        fsspec.filesystem("memory").rm("/predictions", recursive=True)


def test_integers_stay_integers_and_what_nothing_covers_is_told(scene):
    p = scichunk.patches(scene, 32)
    with pytest.warns(scichunk.errors.DataWarning, match="no patch covers"):
        found = scichunk.predict(p, lambda b: (b["image"][:, 0] > 30000).astype("u1"), chunks=(64, 64))
    assert found.prediction.dtype == "u1"
    with rasterio.open(scene) as file:
        expected = (file.read(1) > 30000).astype("u1")
    expected[128:], expected[:, 224:] = 0, 0
    np.testing.assert_array_equal(found.prediction, expected)


def test_what_cannot_be_predicted_is_an_error(tmp_path, scene):
    p = scichunk.patches(scene, 32, edges="shift")
    with pytest.raises(ValueError, match="the model gives"):
        scichunk.predict(p, lambda b: b["image"][..., ::2])
    with pytest.raises(ValueError, match="blend"):
        scichunk.predict(scichunk.patches(scene, 32, stride=16), brightness, blend="cubic")
    with pytest.raises(ValueError, match="one scene"):
        scichunk.predict(scichunk.patches([scene, scene], 32), brightness)
    with pytest.raises(ValueError, match="two dimensions"):
        scichunk.predict(scichunk.patches(scene, {"band": 1, "y": 32, "x": 32}), brightness)


@pytest.mark.parametrize("chunks", [(70, 64), (64, 70)])
def test_a_run_does_not_go_on_with_chunks_of_another_length(scene, tmp_path, chunks):
    p, out, calls = scichunk.patches(scene, 32), tmp_path / "out.zarr", []

    def breaks(batch):
        calls.append(1)
        if len(calls) > 12:
            raise KeyboardInterrupt
        return brightness(batch)

    with pytest.raises(KeyboardInterrupt):
        scichunk.predict(p, breaks, out, chunks=(64, 64), batch_size=1)
    assert zarr.open_group(str(out), mode="r")["prediction_done"][...].any()
    # There are as many of them, so that the marks fit; what is done of the old ones is another part of the scene.
    with pytest.raises(ValueError, match=r"chunks of \(64, 64\) instead of"):
        scichunk.predict(p, brightness, out, chunks=chunks)


def test_what_no_patch_reaches_is_nan_in_memory_as_in_a_group(scene, tmp_path):
    p = scichunk.patches(scene, 64)
    with pytest.warns(scichunk.errors.DataWarning, match="no patch covers"):
        kept = scichunk.predict(p, brightness, chunks=(16, 16)).prediction.values
    with pytest.warns(scichunk.errors.DataWarning, match="no patch covers"):
        written = scichunk.predict(p, brightness, tmp_path / "out.zarr", chunks=(16, 16)).prediction.values
    np.testing.assert_array_equal(kept, written)
    assert np.isnan(kept[128:]).all() and np.isnan(kept[:, 192:]).all()
    with pytest.warns(scichunk.errors.DataWarning, match="no patch covers"):
        counted = scichunk.predict(p, lambda b: b["image"][:, 0], chunks=(16, 16)).prediction.values
    assert (counted[128:] == 0).all()


@pytest.mark.parametrize(
    "options", [{"drop_last": True}, {"shards": 2}, {"crops": True}, {"augment": True}, {"shuffle": True}, {"words": 1}]
)
def test_options_that_move_or_leave_out_patches_are_refused(scene, options):
    with pytest.raises(TypeError, match="predict has no keyword"):
        scichunk.predict(scichunk.patches(scene, 32), brightness, **options)


@pytest.mark.parametrize("chunks", [(0, 64), (64,), (64, 2.5), ("a", 64)])
def test_chunks_of_predictions_are_rows_and_columns(scene, chunks):
    with pytest.raises(ValueError, match="chunks are rows and columns"):
        scichunk.predict(scichunk.patches(scene, 32), brightness, chunks=chunks)


@pytest.mark.parametrize(
    "part", [{"y": slice(20, 120), "x": slice(33, None)}, {"y": slice(None, None, 2), "x": slice(1, None, 3)}, {"y": slice(None, None, -1)}]
)  # fmt: skip
def test_predictions_of_a_part_lie_where_the_part_does(scene, tmp_path, part):
    picked = xr.open_dataset(scene, engine="geotiff").band_data.isel(part)
    p = scichunk.patches(picked, 16, edges="shift")
    scichunk.predict(p, brightness, tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as file:
        x, y = file.xy(0, 0)
        assert (x, y) == (float(picked.x[0]), float(picked.y[0]))
        assert file.transform.a == float(picked.x[1] - picked.x[0]) and file.transform.e == float(
            picked.y[1] - picked.y[0]
        )
    kept = scichunk.predict(p, brightness)
    assert kept.rio.transform() == rasterio.open(tmp_path / "out.tif").transform


def test_pixels_at_uneven_distances_make_no_raster(scene, tmp_path):
    picked = xr.open_dataset(scene, engine="geotiff").band_data.isel(x=[*range(40), *range(50, 90)])
    p = scichunk.patches(picked, 16, edges="shift")
    with pytest.raises(ValueError, match="not evenly spaced"):
        scichunk.predict(p, brightness, tmp_path / "out.tif")
    assert "GeoTransform" not in scichunk.predict(p, brightness).spatial_ref.attrs


def test_predictions_of_a_part_of_a_rotated_raster_lie_where_the_part_does(tmp_path):
    path, turned = tmp_path / "turned.tif", rasterio.Affine(8, 6, 300000, 6, -8, 5000000)
    data = values((1, 90, 70))
    with rasterio.open(path, "w", driver="GTiff", count=1, height=90, width=70, dtype=data.dtype, crs="EPSG:32633", transform=turned) as file:  # fmt: skip
        file.write(data)
    for part, expected in (
        ({}, turned),
        ({"y": slice(10, None), "x": slice(20, None)}, turned @ rasterio.Affine.translation(20, 10)),
        ({"y": slice(None, None, 2)}, turned @ rasterio.Affine.translation(0, -0.5) @ rasterio.Affine.scale(1, 2)),
    ):
        picked = xr.open_dataset(path, engine="geotiff").band_data.isel(part)
        scichunk.predict(scichunk.patches(picked, 16, edges="shift"), brightness, tmp_path / "out.tif", overwrite=True)
        with rasterio.open(tmp_path / "out.tif") as file:
            assert file.transform.almost_equals(expected, 1e-6)


@pytest.mark.parametrize(
    "model", [lambda b: b["image"][:, 0].astype(str), lambda b: np.full(b["image"][:, 0].shape, 2**60 + 1)]
)
def test_predictions_that_cannot_be_added_up_are_refused(scene, model):
    with pytest.raises(ValueError, match="the model gives"):
        scichunk.predict(scichunk.patches(scene, 32), model)


def test_complex_predictions_are_blended(scene):
    p = scichunk.patches(scene, 32, stride=16, edges="shift")
    found = scichunk.predict(p, lambda b: (brightness(b) * 1j).astype("c8")).prediction.values
    np.testing.assert_allclose(found, expected_of(scene) * 1j, rtol=1e-5)


def test_coordinates_place_what_has_only_a_crs(tmp_path):
    """As rioxarray has it where the user gives an array coordinates and a CRS."""
    image = xr.DataArray(
        np.ones((40, 30), "f4"), dims=("y", "x"), coords={"y": 80 - 2.0 * np.arange(40), "x": 5 + 3.0 * np.arange(30)}
    )
    image = image.rio.write_crs("EPSG:4326")
    scichunk.predict(scichunk.patches(image, 10), lambda b: b["image"], tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.transform == rasterio.Affine(3, 0, 3.5, 0, -2, 81) == image.rio.transform()
        assert file.crs == image.rio.crs


def test_the_source_of_predictions_shows_no_secret(scene, tmp_path):
    p = scichunk.patches(scene, 32, edges="shift")
    found = scichunk.predict(p, brightness, "memory://me:hunter2@bucket/source.zarr?sig=swordfish")
    assert found.encoding["source"] == "memory://bucket/source.zarr?sig=..."
    np.testing.assert_allclose(found.prediction, expected_of(scene), rtol=1e-5)
    assert scichunk.predict(p, brightness, tmp_path / "a.zarr").encoding["source"] == str(tmp_path / "a.zarr")
