"""From what was decoded to where it goes: selections within a chunk, orthogonal or pointwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.core.selection import Positions

__all__ = ["assign_selection", "bounding_slice", "shift_selection", "take_selection"]

Array = npt.NDArray[np.generic]


def bounding_slice(selector: slice | Positions) -> slice:
    """Return the smallest ascending slice that holds a selection within a chunk."""
    if isinstance(selector, slice):
        return selector
    return slice(int(selector.min()), int(selector.max()) + 1, 1)


def shift_selection(selector: slice | Positions, window: slice) -> slice | Positions:
    """Count the same selection within the window that was read."""
    if isinstance(selector, slice):
        return slice(None) if window.step == selector.step else slice(0, window.stop - window.start, selector.step)
    return np.asarray(selector - window.start, np.intp)


def take_selection(tile: Array, source: Sequence[slice | Positions], points: tuple[int, ...]) -> Array:
    """Apply a piece's selection; pointwise axes come first as one, as in the output."""
    if points:
        lead = tuple(source[a] for a in points)
        others = [a for a in range(tile.ndim) if a not in points]
        found: Array = np.moveaxis(tile, points, range(len(points)))[lead]
        rest = [source[a] for a in others]
        return _select_outer(found, (slice(None), *rest))
    return _select_outer(tile, tuple(source))


def _select_outer(array: Array, selectors: tuple[slice | Positions, ...]) -> Array:
    for axis, selector in enumerate(selectors):
        array = (
            array[(slice(None),) * axis + (selector,)]
            if isinstance(selector, slice)
            else np.take(array, selector, axis=axis)
        )
    return array


def assign_selection(out: Array, target: tuple[slice | Positions, ...], value: Any) -> None:
    """Put values at an orthogonal target (with points, the first selector is an array along the points)."""
    if all(isinstance(t, slice) for t in target):
        out[target] = value
        return
    grids = np.ix_(*(np.arange(n)[t] for t, n in zip(target, out.shape, strict=True)))
    out[grids] = value
