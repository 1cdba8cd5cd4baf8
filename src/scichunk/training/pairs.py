"""Batches as pairs of inputs and targets, as Keras and tf.data like them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.training.patches import Patches

__all__ = ["Names", "pair_of"]

Names = str | Sequence[str] | None
Array = npt.NDArray[Any]


def pair_of(
    patches: Patches, inputs: Names, targets: Names, *, channels_last: bool
) -> Callable[[Mapping[str, Array]], Any]:
    """Return what makes a pair of a batch.

    Parameters
    ----------
    patches
        What the batches are of.
    inputs, targets
        Names of layers: one, or several for a dict. ``"auto"`` targets are all layers that are no inputs; None for none.
    channels_last
        Whether the first axis of each patch is put last; a patch of two dimensions gets one.

    Raises
    ------
    ValueError
        For a layer that is not there.
    """
    names = [layer.name for layer in patches.layers]
    first = names[0] if inputs is None else inputs
    given = {first} if isinstance(first, str) else {*first}
    second = targets
    if targets == "auto":
        rest = [n for n in names if n not in given]
        second = rest[0] if len(rest) == 1 else (rest or None)
    unknown = [
        n
        for n in (*given, *(() if second is None else [second] if isinstance(second, str) else second))
        if n not in names
    ]
    if unknown:
        msg = f"there are no layers {unknown}; there are {names}"
        raise ValueError(msg)

    def pick(batch: Mapping[str, Array], wanted: Names) -> Any:
        if isinstance(wanted, str):
            return _last(batch[wanted]) if channels_last else batch[wanted]
        return {n: pick(batch, n) for n in wanted or ()}

    def pair(batch: Mapping[str, Array]) -> Any:
        return pick(batch, first) if second is None else (pick(batch, first), pick(batch, second))

    return pair


def _last(values: Array) -> Array:
    return values[..., None] if values.ndim == 3 else np.ascontiguousarray(np.moveaxis(values, 1, -1))
