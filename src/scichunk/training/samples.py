"""The table of patches: scene and first corner of each, and the block by which it is read. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.core.limits import check_decoded
from scichunk.training.layers import Layer

__all__ = ["Blocks", "Samples", "grid_samples", "limits", "make_blocks", "touched_blocks", "with_blocks"]

Ints = npt.NDArray[np.int64]
_MORE_COLUMNS: Final = 3
"""Of the table, beside the corners."""


@dataclass(frozen=True)
class Samples:
    """Patches by number."""

    scenes: Ints
    """Number of the scene, shape (n,)."""
    corners: Ints
    """First position along each dimension of the patches, in the first layer, shape (n, k)."""
    blocks: Ints
    """Number of the block that holds the corner."""
    rows: Ints
    """Number of the row of the table of positions, or of the patch before any were picked."""

    def __len__(self) -> int:
        return len(self.scenes)

    def take(self, which: Any) -> Samples:
        """Return some of them: by numbers, a mask, or a slice."""
        return Samples(self.scenes[which], self.corners[which], self.blocks[which], self.rows[which])


@dataclass(frozen=True)
class Blocks:
    """Boxes of whole native chunks, a regular grid in each scene: what is read at once."""

    shapes: Ints
    """Lengths of a block, shape (scenes, k)."""
    phases: Ints
    """How far the first position lies behind the border of a block."""
    counts: Ints
    """Blocks along each dimension."""
    firsts: Ints
    """Number of the first block of each scene."""

    @property
    def size(self) -> int:
        """Number of blocks."""
        return int(self.counts.prod(axis=1).sum())

    def cells(self, scenes: Ints, corners: Ints) -> Ints:
        """Return which block of its scene holds a position, along each dimension."""
        found: Ints = (corners + self.phases[scenes]) // self.shapes[scenes]
        return found

    def ends(self, scenes: Ints, positions: Ints) -> Ints:
        """Return where the block that holds a position ends, along each dimension."""
        found: Ints = (self.cells(scenes, positions) + 1) * self.shapes[scenes] - self.phases[scenes]
        return found

    def numbers(self, scenes: Ints, cells: Ints) -> Ints:
        """Return the numbers of blocks."""
        number = np.zeros(len(scenes), np.int64)
        for axis in range(cells.shape[1]):
            number = number * self.counts[scenes, axis] + cells[:, axis]
        return number + self.firsts[scenes]


def make_blocks(layers: Sequence[Layer], size: Sequence[int], stride: Sequence[int], block_bytes: int) -> Blocks:
    """Choose the blocks: native chunks of the first layer, doubled along the shorter side while they stay within ``block_bytes``.

    What patches reach beyond their block is read with it, and counts.
    """
    reference = layers[0]
    bytes_a_position = sum(layer.bytes_a_position for layer in layers)
    shapes, phases, counts = [], [], []
    for array in reference.arrays:
        axes = [a for a in reference.axes if a is not None]
        lengths = [max(1, array.shape[a]) for a in axes]
        native = [min(array.chunks[a], n) for a, n in zip(axes, lengths, strict=True)]
        # a block is at least a patch in each direction: else each patch would be read by several
        shape = [min(-(-s // c) * c, n) for s, c, n in zip(size, native, lengths, strict=True)]
        most = block_bytes / bytes_a_position
        beyond = [
            0 if c % step == 0 and s <= step and not p else s - 1
            for s, c, step, p in zip(size, native, stride, (array.phase[a] for a in axes), strict=True)
        ]
        open_axes = {i for i, n in enumerate(lengths) if shape[i] < n}
        while open_axes:
            axis = min(open_axes, key=lambda i: shape[i])
            grown = min(shape[axis] * 2, lengths[axis])
            larger = [grown if i == axis else n for i, n in enumerate(shape)]
            if math.prod(n + b for n, b in zip(larger, beyond, strict=True)) > most:
                open_axes.discard(axis)
                continue
            shape[axis] = grown
            if grown == lengths[axis]:
                open_axes.discard(axis)
        phase = [array.phase[a] if n > s else 0 for a, n, s in zip(axes, lengths, shape, strict=True)]
        shapes.append(shape)
        phases.append(phase)
        counts.append([-(-(n + p) // s) for n, p, s in zip(lengths, phase, shape, strict=True)])
    table = np.asarray(counts, np.int64)
    sizes = table.prod(axis=1)
    return Blocks(np.asarray(shapes, np.int64), np.asarray(phases, np.int64), table, np.cumsum(sizes) - sizes)


def limits(layers: Sequence[Layer], scene: int, size: Sequence[int]) -> list[int]:
    """Return the last corner at which a patch fits into the scene, along each dimension; negative if none does."""
    array = layers[0].arrays[scene]
    return [array.shape[a] - n for a, n in zip(layers[0].axes, size, strict=True) if a is not None]


def grid_samples(
    layers: Sequence[Layer], size: Sequence[int], stride: Sequence[int], edges: str, grain: Sequence[int]
) -> tuple[Ints, Ints]:
    """Return scenes and corners of patches at even distances.

    Parameters
    ----------
    layers, size, stride
        Positions are those of the first layer.
    edges
        ``"drop"`` leaves out what would reach beyond the edge; ``"shift"`` has one more patch there that ends with the scene.

    Raises
    ------
    LimitExceeded
        If there are so many that their table is beyond the limits: a header of some bytes may promise any number of pixels.
    """
    scenes, corners, count = [], [], 0
    for scene, array in enumerate(layers[0].arrays):
        along_each = (
            max(0, last + step) // step for last, step in zip(limits(layers, scene, size), stride, strict=True)
        )
        count += math.prod(along_each)
        check_decoded(f"a table of {count} patches", count * 8 * (len(size) + _MORE_COLUMNS), url=array.name)
        axes = []
        for last, step, fine in zip(limits(layers, scene, size), stride, grain, strict=True):
            along = np.arange(0, last + 1, step, dtype=np.int64)
            if edges == "shift" and len(along) and along[-1] != last // fine * fine:
                along = np.append(along, last // fine * fine)
            axes.append(along)
        found = np.stack([g.reshape(-1) for g in np.meshgrid(*axes, indexing="ij")], axis=1)
        scenes.append(np.full(len(found), scene, np.int64))
        corners.append(found)
    return np.concatenate(scenes), np.concatenate(corners)


def with_blocks(blocks: Blocks, scenes: Ints, corners: Ints, *, keep_order: bool) -> Samples:
    """Make the table; unless their order has a meaning, patches are numbered block by block, so that reading them in order is cheap."""
    numbers = blocks.numbers(scenes, blocks.cells(scenes, corners))
    made = Samples(scenes, corners, numbers, np.arange(len(scenes), dtype=np.int64))
    if keep_order or (np.diff(numbers) >= 0).all():
        return made
    made = made.take(np.argsort(numbers, kind="stable"))
    return Samples(made.scenes, made.corners, made.blocks, np.arange(len(scenes), dtype=np.int64))


def touched_blocks(blocks: Blocks, samples: Samples, size: Sequence[int]) -> list[Ints]:
    """Return the blocks that each patch reaches into, as arrays of one block number a patch."""
    first = blocks.cells(samples.scenes, samples.corners)
    last = blocks.cells(samples.scenes, samples.corners + (np.asarray(size) - 1))
    spans = (last - first).max(axis=0, initial=0).tolist()
    steps = itertools.product(*(range(n + 1) for n in spans))
    return [blocks.numbers(samples.scenes, np.minimum(first + np.asarray(step), last)) for step in steps]
