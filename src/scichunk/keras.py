"""Patches in Keras, with any backend. Needs ``keras``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.training.pairs import Names, pair_of
from scichunk.training.patches import Patches

try:
    import keras
except ImportError as error:
    _MESSAGE = "scichunk.keras needs Keras and one of its backends: pip install keras jax"
    raise ImportError(_MESSAGE) from error

__all__ = ["PyDataset"]

Batch = dict[str, npt.NDArray[Any]]


class PyDataset(keras.utils.PyDataset):
    """Batches for ``model.fit`` and ``model.evaluate``, each epoch in another order.

    They are read in the order of the plan by one worker of Keras; blocks are read ahead by threads.

    Parameters
    ----------
    patches
        What the batches are of.
    batch_size
        Patches a batch.
    inputs, targets
        Names of the layers that the model takes, and of those that it is compared with: one, a list, or None for no targets. By default
        the first layer, and the others if there are any.
    channels_last
        Whether the first axis of each layer is put last, as the backends JAX and TensorFlow like it.
    transform
        Called with each batch, a dict of arrays, before it is taken apart.
    **options
        As for :meth:`scichunk.Patches.batches`: ``seed``, ``shuffle``, ``mix``, ``dtype``, ``normalize``, ``augment``, ...
    """

    def __init__(
        self,
        patches: Patches,
        batch_size: int,
        *,
        inputs: Names = None,
        targets: Names = "auto",
        channels_last: bool = True,
        transform: Callable[[Batch], Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(workers=1)
        self._pair = pair_of(patches, inputs, targets, channels_last=channels_last)
        self._transform = transform
        self._batches = patches.batches(batch_size, **options)
        self._epoch = self._batches.epoch
        self._following = self._batches.iterate(np.empty)
        self._next = 0
        """Number of the batch that comes next."""

    @property
    def num_batches(self) -> int:
        """Batches of an epoch."""
        return len(self._batches)

    @property
    def epoch(self) -> int:
        """The epoch that is read next, or now."""
        return self._epoch

    def on_epoch_end(self) -> None:
        """Go on to the next epoch; Keras says when."""
        self._epoch += 1

    def __getitem__(self, number: int) -> Any:
        if not number or number != self._next:
            # Keras asks for batches one after the other, though now and then for the first one once more, to see what it is like
            self._following.close()
            self._batches.set_epoch(self._epoch)
            self._batches.skip(number)
            self._following = self._batches.iterate(np.empty)
        batch = next(self._following)
        self._next = number + 1
        if self._transform is not None:
            batch = dict(self._transform(batch))
        return self._pair(batch)

    def state_dict(self) -> dict[str, int]:
        """Return what :meth:`load_state_dict` takes: the epoch, as Keras has batches prepared in advance."""
        return {**self._batches.state_dict(), "epoch": self._epoch, "position": 0}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on with the epoch of a state."""
        self._batches.load_state_dict(state)
        self._epoch = self._batches.epoch
