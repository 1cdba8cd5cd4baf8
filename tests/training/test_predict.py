"""Predictions: equal to the model over the whole scene, georeferenced, chunk by chunk, resumed."""

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr

import scichunk
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


def test_a_run_that_was_broken_off_goes_on(tmp_path, scene):
    p = scichunk.patches(scene, 32, stride=24, edges="shift", block_bytes=50_000)
    out = str(tmp_path / "out.zarr")
    calls = []

    def failing(batch):
        if len(calls) == 6:
            raise RuntimeError("power failure")
        calls.append(len(batch["image"]))
        return brightness(batch)

    with pytest.raises(RuntimeError, match="power failure"):
        scichunk.predict(p, failing, out, chunks=(48, 48), batch_size=8)
    again = []

    def counting(batch):
        again.append(len(batch["image"]))
        return brightness(batch)

    found = scichunk.predict(p, counting, out, chunks=(48, 48), batch_size=8)
    np.testing.assert_allclose(found.prediction, expected_of(scene), rtol=1e-5)
    assert sum(again) < len(p)
    assert set(found.data_vars) == {"prediction"}
    found.close()


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
