"""Train a small network to tell classes of land, and write what it says of the whole scene as a GeoTIFF.

``python scripts/segmentation.py [FOLDER]``: Keras on JAX (``pip install keras jax zarr``), on the files of ``test_data``, in a minute.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import scichunk

DATA = Path(__file__).resolve().parent.parent / "test_data"
SIZE = 32
READ = {"dtype": {"image": "float32"}, "normalize": {"image": (4500, 2600)}}


def make_network():
    """Two layers that see 5 x 5 pixels, and a score a class."""
    layer = keras.layers.Conv2D
    return keras.Sequential([
        layer(16, 3, padding="same", activation="relu"),
        layer(16, 3, padding="same", activation="relu"),
        layer(3, 1),
    ])  # fmt: skip


def main(folder=".", epochs=4):
    """Train, predict and compare; returns losses by epoch, and the shares of pixels that are right: of training, and of the rest."""
    keras.utils.set_random_seed(1)
    layers = {"image": DATA / "scene_deflate.tif", "label": DATA / "scene_classes.tif"}
    # Small blocks, since the scene is small: they are what is dealt out to training and validation.
    patches = scichunk.patches(layers, SIZE, stride=16, block_bytes=9 * 64 * 64)
    train, rest = patches.split(0.7, seed=1)
    print(f"{len(train)} patches to train with, {len(rest)} for validation")

    network = make_network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    history = network.fit(
        scichunk.keras.PyDataset(train, 8, seed=1, augment=True, **READ),
        validation_data=scichunk.keras.PyDataset(rest, 8, shuffle=False, **READ),
        epochs=epochs,
        verbose=2,
    )

    whole = scichunk.patches(layers["image"], SIZE, stride=16, edges="shift")
    out = Path(folder) / "classes.tif"
    found = scichunk.predict(
        whole,
        lambda batch: np.moveaxis(np.asarray(network(np.moveaxis(batch["image"], 1, -1))), -1, 1),
        out,
        finish=lambda scores: scores.argmax(axis=0).astype("u1"),
        overwrite=True,
        **READ,
    )
    right = float((found.band_data.values[0] == scichunk.reader(layers["label"])[0]).mean())
    found.close()
    print(f"{out}: {right:.1%} of all pixels are right")
    return {**history.history, "right": right}


if __name__ == "__main__":
    main(*sys.argv[1:])
