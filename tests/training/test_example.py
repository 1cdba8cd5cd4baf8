"""The example trains, and what it predicts lies on the grid of the scene."""

import importlib.util
from pathlib import Path

import pytest
import rioxarray

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.framework("keras", "jax")
@pytest.mark.timeout(280)
def test_segmentation_of_the_bundled_scene(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    spec = importlib.util.spec_from_file_location("segmentation", ROOT / "scripts" / "segmentation.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    found = example.main(tmp_path, epochs=4)
    assert found["loss"][-1] < 0.5 * found["loss"][0]
    assert found["val_loss"][-1] < 0.5 * found["val_loss"][0]
    assert found["right"] > 0.9
    with (
        rioxarray.open_rasterio(tmp_path / "classes.tif") as classes,
        rioxarray.open_rasterio(ROOT / "test_data" / "scene_deflate.tif") as scene,
    ):
        assert classes.rio.crs == scene.rio.crs
        assert classes.rio.transform() == scene.rio.transform()
        assert classes.shape[1:] == scene.shape[1:]
