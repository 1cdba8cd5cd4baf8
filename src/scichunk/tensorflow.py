"""Patches in tf.data. Needs ``tensorflow``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from scichunk.training.pairs import Names, pair_of
from scichunk.training.patches import Patches

try:
    import tensorflow as tf
except ImportError as error:
    _MESSAGE = "scichunk.tensorflow needs TensorFlow: pip install tensorflow"
    raise ImportError(_MESSAGE) from error

__all__ = ["dataset"]


def dataset(
    patches: Patches,
    batch_size: int,
    *,
    inputs: Names = None,
    targets: Names = "auto",
    channels_last: bool = True,
    **options: Any,
) -> Any:
    """Make a ``tf.data.Dataset`` of batches: each pass is an epoch, in an order of its own.

    Parameters
    ----------
    patches, batch_size
        What the batches are of, and patches a batch.
    inputs, targets
        Names of layers, as for :class:`scichunk.keras.PyDataset`.
    channels_last
        Whether the first axis of each layer is put last.
    **options
        As for :meth:`scichunk.Patches.batches`; ``shard`` and ``shards`` for several processes.

    Returns
    -------
    tf.data.Dataset
        Its cardinality is known; patches are read ahead already, so that ``prefetch(1)`` is enough.
    """
    made = patches.batches(batch_size, **options)
    pair = pair_of(patches, inputs, targets, channels_last=channels_last)
    empty = pair({k: np.empty((0, *shape), kind) for k, (shape, kind) in made.specification().items()})
    signature = tf.nest.map_structure(lambda a: tf.TensorSpec((None, *a.shape[1:]), tf.dtypes.as_dtype(a.dtype)), empty)

    def generate() -> Iterator[Any]:
        for batch in made:
            yield pair(batch)

    found = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return found.apply(tf.data.experimental.assert_cardinality(len(made)))
