"""Patches in Grain, for JAX. Needs ``grain``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.training.patches import Patches

try:
    import grain.python as grain
except ImportError as error:
    _MESSAGE = "scichunk.grain needs Grain: pip install grain"
    raise ImportError(_MESSAGE) from error

__all__ = ["dataset", "source"]

Batch = dict[str, npt.NDArray[Any]]


class _Source(grain.RandomAccessDataSource[Batch]):
    """Patches by number."""

    def __init__(self, patches: Patches) -> None:
        self._patches = patches

    def __len__(self) -> int:
        return len(self._patches)

    def __getitem__(self, number: int) -> Batch:
        return self._patches[int(number)]

    def __repr__(self) -> str:
        return f"scichunk.grain.source({self._patches!r})"


class _Iterator(grain.DatasetIterator[Batch]):
    def __init__(self, patches: Patches, batch_size: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        self._batches = patches.batches(batch_size, **options)
        self._following = self._batches.iterate(np.empty)
        self._state = self._batches.state_dict()

    def __next__(self) -> Batch:
        try:
            batch = next(self._following)
        except StopIteration:
            self._following = self._batches.iterate(np.empty)
            raise
        self._state = self._batches.state_dict()
        return batch

    def get_state(self) -> dict[str, int]:
        """Return what :meth:`set_state` takes."""
        return dict(self._state)

    def set_state(self, state: dict[str, int]) -> None:
        """Go on behind the batch that was handed out last."""
        self._following.close()
        self._batches.load_state_dict(state)
        self._following, self._state = self._batches.iterate(np.empty), dict(state)


class _Dataset(grain.IterDataset[Batch]):
    def __init__(self, patches: Patches, batch_size: int, options: Mapping[str, Any]) -> None:
        super().__init__()
        self._given = (patches, batch_size, options)

    def __iter__(self) -> _Iterator:
        return _Iterator(*self._given)


def source(patches: Patches) -> Any:
    """Return a random-access source of single patches, for ``grain.DataLoader`` and ``grain.MapDataset.source``.

    Its sampler decides the order, so that chunks are decoded many times; :func:`dataset` reads in the order of a plan.
    """
    return _Source(patches)


def dataset(patches: Patches, batch_size: int, **options: Any) -> Any:
    """Return a ``grain.IterDataset`` of batches, dicts of arrays, whose iterators have ``get_state`` and ``set_state``.

    Parameters
    ----------
    patches, batch_size
        What the batches are of, and patches a batch.
    **options
        As for :meth:`scichunk.Patches.batches`; ``shard=jax.process_index(), shards=jax.process_count()`` for several processes.
    """
    return _Dataset(patches, batch_size, options)
