"""Patches by the labels of their scenes, and by the values of coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.training.layers import Layer
from scichunk.training.positions import edges_along, values_along
from scichunk.training.samples import Samples

__all__ = ["Cuts", "bounds_of", "find_scenes", "lies_within"]


@dataclass(frozen=True)
class Cuts:
    """How patches are cut along one dimension."""

    layer: Layer
    dim: str
    along: int
    """Its number among the dimensions of the patches."""
    length: int


def lies_within(cuts: Cuts, samples: Samples, ends: tuple[Any, Any], *, edges: bool) -> npt.NDArray[np.bool_]:
    """Tell which patches lie within two values of a coordinate: their first and last centres, or the edges of these pixels."""
    keep = np.zeros(len(samples), bool)
    for scene in np.unique(samples.scenes).tolist():
        which = np.flatnonzero(samples.scenes == scene)
        array = cuts.layer.arrays[scene]
        lower: Any
        upper: Any
        if edges:
            lower, upper = edges_along(array, cuts.dim)
        else:
            values = values_along(array, cuts.dim)
            lower = upper = np.arange(array.shape[array.dims.index(cuts.dim)]) if values is None else values
        first = samples.corners[which, cuts.along]
        last = first + cuts.length - 1
        least, most = np.minimum(lower[first], lower[last]), np.maximum(upper[first], upper[last])
        low, high = _in_order(*ends)
        if lower.dtype.kind == "M":
            low, high = _times(low, high)
        keep[which] = (True if low is None else least >= low) & (True if high is None else most <= high)
    return keep


def bounds_of(across: Cuts, along: Cuts, samples: Samples) -> npt.NDArray[np.float64]:
    """Return left, bottom, right and top of each patch."""
    found = np.empty((len(samples), 4))
    for scene in np.unique(samples.scenes).tolist():
        which = np.flatnonzero(samples.scenes == scene)
        for cuts, low, high in ((across, 0, 2), (along, 1, 3)):
            lower, upper = edges_along(cuts.layer.arrays[scene], cuts.dim)
            first = samples.corners[which, cuts.along]
            last = first + cuts.length - 1
            found[which, low] = np.minimum(lower[first], lower[last])
            found[which, high] = np.maximum(upper[first], upper[last])
    return found


def _in_order(low: Any, high: Any) -> tuple[Any, Any]:
    """Coordinates may fall, and slices follow them."""
    return (low, high) if low is None or high is None or low <= high else (high, low)


def _times(low: Any, high: Any) -> tuple[Any, Any]:
    """The first and the last moment of two dates, which may be as coarse as ``"2024-03"``."""
    first = None if low is None else np.datetime64(low).astype("M8[ns]")
    if high is None:
        return first, None
    last = np.datetime64(high)
    one: Any = np.ones((), f"m8[{np.datetime_data(last)[0]}]")
    return first, (last + one).astype("M8[ns]") - np.timedelta64(1, "ns")


def find_scenes(labels: Sequence[Any], wanted: Any) -> npt.NDArray[np.intp]:
    """Return the numbers of the scenes with some labels: one, a list, or a slice of them.

    Raises
    ------
    ValueError
        For a label that no scene has.
    """
    values = np.asarray(labels)
    if isinstance(wanted, slice):
        low, high = _in_order(wanted.start, wanted.stop)
        if values.dtype.kind == "M":
            low, high = _times(low, high)
        keep = np.ones(len(values), bool)
        keep &= True if low is None else values >= low
        keep &= True if high is None else values <= high
        return np.flatnonzero(keep)
    several = list(wanted) if isinstance(wanted, list | tuple | set | np.ndarray) else [wanted]
    missing = [w for w in several if w not in labels]
    if missing:
        msg = f"there are no scenes {missing}; there are {list(labels)[:10]}"
        raise ValueError(msg)
    return np.flatnonzero([label in several for label in labels])
