"""From stored values of a patch to those of a batch: symmetries, scaling and types, in one pass over memory that is in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.training.layers import Layer

__all__ = ["Finish", "finish_patch", "make_finishes", "turned"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Finish:
    """What becomes of one layer."""

    dtype: np.dtype[Any]
    """Type in the batch."""
    mean: Array | None = None
    """Subtracted, before it is divided by ``deviation``; broadcast against the patch."""
    deviation: Array | None = None
    fill: float | None = None
    """In place of NaN."""


def make_finishes(layers: Sequence[Layer], dtype: Any, normalize: Any, fill: Any) -> tuple[Finish, ...]:
    """Turn the user's words, for all layers or by their names, into what is done to each.

    Raises
    ------
    ValueError
        For a layer that is not there, or a normalization of integers.
    """
    names = [layer.name for layer in layers]
    for word, given in (("dtype", dtype), ("normalize", normalize), ("fill", fill)):
        unknown = [n for n in given if n not in names] if isinstance(given, Mapping) else []
        if unknown:
            msg = f"{word} names layers that are not there: {unknown}; there are {names}"
            raise ValueError(msg)
    made = []
    for layer in layers:
        kind = np.dtype(_of(dtype, layer.name) or layer.out_dtype)
        pair = _of(normalize, layer.name) if isinstance(normalize, Mapping) else normalize
        if pair is not None and kind.kind not in "fc":
            msg = f"{layer.name!r} is {kind}: normalized values need a floating point dtype"
            raise ValueError(msg)
        mean, deviation = (None, None) if pair is None else (_spread(layer, v, kind) for v in pair)
        value = _of(fill, layer.name)
        made.append(Finish(kind, mean, deviation, value))
    return tuple(made)


def _of(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, Mapping) else given


def _spread(layer: Layer, value: Any, kind: np.dtype[Any]) -> Array:
    """A number, or one for each position along the first axis."""
    found = np.asarray(value, kind)
    if found.ndim == 1:
        if found.size != layer.patch_shape[0]:
            msg = f"{layer.name!r} has {layer.patch_shape[0]} positions along its first axis, and normalize has {found.size} values"
            raise ValueError(msg)
        found = found.reshape(-1, *(1,) * (len(layer.patch_shape) - 1))
    return found


def finish_patch(layer: Layer, finish: Finish, stored: Array, out: Array) -> None:
    """Write a patch into its place of a batch.

    Parameters
    ----------
    layer, finish
        Which layer it is, and what is done to it.
    stored
        Values as they are stored, in any memory layout.
    out
        The place.
    """
    if finish.fill is not None and out.dtype.kind not in "fc":
        if layer.out_dtype.kind == "f":  # an integer cannot say that it was NaN, so it is filled before
            plain = np.empty(layer.patch_shape, layer.out_dtype)
            finish_patch(layer, Finish(plain.dtype, fill=finish.fill), stored, plain)
            np.copyto(out, plain, casting="unsafe")
            return
        finish = Finish(finish.dtype)
    decoding = layer.decoding
    if decoding is None:
        np.copyto(out, stored, casting="unsafe")
    elif len(decoding.steps) == 1:
        decoding.steps[0].apply(stored, out)
    else:
        for step, values, target in zip(decoding.steps, stored, out, strict=True):
            step.apply(values, target)
    if finish.mean is not None and finish.deviation is not None:
        np.subtract(out, finish.mean, out=out)
        np.divide(out, finish.deviation, out=out)
    if finish.fill is not None:
        np.copyto(out, out.dtype.type(finish.fill), where=np.isnan(out))


def turned(values: Array, number: int, plane: tuple[int, int]) -> Array:
    """Return a view by one of the eight symmetries of the square; numbers below 4 are those of a rectangle."""
    rows, columns = plane
    if number & 1:
        values = np.flip(values, rows)
    if number & 2:
        values = np.flip(values, columns)
    return np.swapaxes(values, rows, columns) if number & 4 else values
