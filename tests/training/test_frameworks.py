"""Keras, tf.data and Grain: the batches of the plan, pairs of inputs and targets, and states."""

import subprocess
import sys

import numpy as np
import pytest

import scichunk
from tests.training.files import values, write_geotiff

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def patches(tmp_path):
    image = write_geotiff(tmp_path / "scene.tif", values((3, 160, 224)))
    label = write_geotiff(tmp_path / "label.tif", values((1, 160, 224), "u1", 2))
    return scichunk.patches({"image": image, "label": label}, 32, block_bytes=50_000)


@pytest.mark.parametrize("name, install", [("torch", "pip install torch"), ("keras", "pip install keras"), ("tensorflow", "pip install tensorflow"), ("grain", "pip install grain")])  # fmt: skip
def test_a_framework_that_is_missing_is_named_with_what_to_install(name, install):
    code = f"""
import sys
sys.modules[{name!r}] = None
import scichunk
try:
    scichunk.{name}
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert install in done.stdout, done.stderr


def test_importing_patches_imports_no_framework_nor_xarray():
    code = """
import sys, scichunk
scichunk.patches
print([m for m in ("torch", "keras", "jax", "tensorflow", "grain", "xarray", "dask", "pandas", "rasterio") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


@pytest.mark.framework("keras", "jax")
def test_keras_is_given_pairs_and_goes_through_epochs(patches, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    import keras

    options = {"dtype": {"image": "float32"}, "normalize": {"image": (30000, 20000)}, "seed": 2}
    data = scichunk.keras.PyDataset(patches, 8, **options)
    assert data.num_batches == 5
    reference = patches.batches(8, **options)
    for epoch in (0, 1):
        for number, expected in enumerate(reference):
            image, label = data[number]
            np.testing.assert_array_equal(image, np.moveaxis(expected["image"], 1, -1))
            np.testing.assert_array_equal(label, np.moveaxis(expected["label"], 1, -1))
        data.on_epoch_end()
        assert data.epoch == epoch + 1
    again = scichunk.keras.PyDataset(patches, 8, **options)
    again.load_state_dict(data.state_dict())
    np.testing.assert_array_equal(again[0][0], data[0][0])
    model = keras.Sequential([keras.layers.Conv2D(1, 3, padding="same")])
    model.compile("sgd", "mse")
    history = model.fit(data, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert data.epoch >= 4  # Keras of some versions says once more that an epoch is over
    assert model.predict(
        scichunk.keras.PyDataset(patches, 8, targets=None, shuffle=False, **options), verbose=0
    ).shape == (35, 32, 32, 1)
    with pytest.raises(ValueError, match="no layers"):
        scichunk.keras.PyDataset(patches, 8, inputs="nothing")


@pytest.mark.framework("tensorflow")
def test_tf_data_gives_the_batches_of_the_plan(patches):
    data = scichunk.tensorflow.dataset(patches, 8, seed=2, channels_last=False)
    assert int(data.cardinality()) == 5
    reference = patches.batches(8, seed=2)
    for _ in range(2):
        for (image, label), expected in zip(data.prefetch(1), list(reference), strict=True):
            np.testing.assert_array_equal(image.numpy(), expected["image"])
            np.testing.assert_array_equal(label.numpy(), expected["label"])
    single = scichunk.tensorflow.dataset(patches, 8, inputs=["image"], targets=None)
    assert next(iter(single))["image"].shape == (8, 32, 32, 3)


@pytest.mark.framework("grain")
def test_grain_gives_the_batches_of_the_plan_and_goes_on(patches):
    import grain.python as grain

    data = scichunk.grain.dataset(patches, 8, seed=2)
    iterator = iter(data)
    full = list(iter(data))
    expected = list(patches.batches(8, seed=2))
    for a, b in zip(full, expected, strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])
    next(iterator)
    next(iterator)
    state = iterator.get_state()
    other = iter(data)
    other.set_state(state)
    np.testing.assert_array_equal(next(other)["image"], full[2]["image"])
    np.testing.assert_array_equal(next(iterator)["image"], full[2]["image"])
    source = scichunk.grain.source(patches)
    mapped = grain.MapDataset.source(source).shuffle(seed=1).batch(4)
    assert mapped[0]["image"].shape == (4, 3, 32, 32)
    np.testing.assert_array_equal(source[3]["label"], patches[3]["label"])
