"""The plan of an epoch: which patch comes when, as integers that depend on seed, epoch and shard alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["EpochPlan", "PlanOptions", "draw_crops", "make_plan", "sample_seeds"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class PlanOptions:
    """What a plan depends on, beside the patches."""

    seed: int = 0
    epoch: int = 0
    shard: int = 0
    shards: int = 1
    mix: int = 4
    """How many blocks are open at once: neighbouring patches of a batch come from as many."""
    shuffle: bool = True
    even: bool = True
    """Each shard gets the same number of patches: the last ones begin again at the start."""


@dataclass(frozen=True)
class EpochPlan:
    """One shard of an epoch."""

    numbers: Ints
    """Numbers of patches, in order."""
    visits: Ints
    """Which reading of a block each is cut from, counted in the order of first use: a block may be visited again later."""
    repeats: Ints
    """How often the patch came before in the epoch, where weights repeat it."""

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, which: slice) -> EpochPlan:
        return EpochPlan(self.numbers[which], self.visits[which], self.repeats[which])


def make_plan(blocks: Ints, weights: npt.NDArray[np.float64] | None, options: PlanOptions) -> EpochPlan:
    """Plan a shard of an epoch.

    The blocks are put into a random order and their patches laid end to end; the line is cut into equal runs, one a shard. Within a
    shard ``mix`` blocks are open at a time, and when one is used up, the next one takes its place.

    Parameters
    ----------
    blocks
        The block of each patch.
    weights
        How often each patch comes, in proportion; None for once. It is resampled systematically, within the blocks.
    options
        Seed, epoch, shard and so on.

    Returns
    -------
    EpochPlan
    """
    o = options
    if not 0 <= o.shard < o.shards:
        msg = f"there are shards 0 to {o.shards - 1}, got {o.shard}"
        raise ValueError(msg)
    line, repeats = _lay_out(blocks, weights, o)
    if o.even:
        length = -(-len(line) // o.shards)
        places = np.arange(o.shard * length, (o.shard + 1) * length) % max(1, len(line))
    else:
        places = np.arange(o.shard * len(line) // o.shards, (o.shard + 1) * len(line) // o.shards)
    mine = line[places]
    of_block = blocks[mine]
    visits = np.concatenate([[0], np.cumsum(of_block[1:] != of_block[:-1])]).astype(np.int64)[: len(mine)]
    plan = EpochPlan(mine, visits, repeats[places])
    if not o.shuffle or not len(mine):
        return plan
    return _mix_blocks(plan, np.random.default_rng([o.seed, o.epoch, o.shard]), o.mix)


def _lay_out(blocks: Ints, weights: npt.NDArray[np.float64] | None, o: PlanOptions) -> tuple[Ints, Ints]:
    """Lay all patches of the epoch end to end, block by block: the same line for all shards."""
    rng = np.random.default_rng([o.seed, o.epoch])
    if o.shuffle and len(blocks):
        used, inverse = np.unique(blocks, return_inverse=True)
        line = np.argsort(rng.permutation(len(used))[inverse], kind="stable")
    elif len(blocks) and (np.diff(blocks) < 0).any():
        line = np.argsort(blocks, kind="stable")
    else:
        line = np.arange(len(blocks))
    if weights is None or not len(line):
        return line, np.zeros(len(line), np.int64)
    ends = np.cumsum(weights[line])
    if not np.isfinite(ends[-1]) or ends[-1] <= 0:
        msg = "weights must be finite, not negative, and not all 0"
        raise ValueError(msg)
    # Systematic resampling (Kitagawa 1996): each comes floor or ceil of its share, and neighbours stay neighbours.
    marks = np.floor(ends / ends[-1] * len(line) + rng.random())
    times = np.diff(marks, prepend=0).astype(np.int64)
    times[-1] += len(line) - int(times.sum())
    picked = np.repeat(line, times)
    return picked, np.arange(len(picked)) - np.repeat(np.cumsum(times) - times, times)


def _mix_blocks(plan: EpochPlan, rng: np.random.Generator, mix: int) -> EpochPlan:
    """Let each visit be open for ``mix`` units of time, one beginning a unit: so many are open at any time, also at both ends."""
    total = int(plan.visits[-1]) + 1
    mix = max(1, min(mix, total))
    opens, closes = np.maximum(plan.visits, mix - 1), np.minimum(plan.visits + mix, total)
    order = np.argsort(opens + rng.random(len(plan)) * (closes - opens), kind="stable")
    mixed = EpochPlan(plan.numbers[order], plan.visits[order], plan.repeats[order])
    # Visits are counted anew in the order of their first use, which is the order in which they are read.
    _, first, inverse = np.unique(mixed.visits, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return EpochPlan(mixed.numbers, rank[inverse], mixed.repeats)


def sample_seeds(seed: int, epoch: int, numbers: Ints, repeats: Ints) -> Words:
    """Return a seed for each patch that depends on neither shards nor workers."""
    words: Any = [seed, epoch, numbers, repeats]
    found = np.zeros(len(numbers), np.uint64)
    for word in words:
        found = _scramble(found ^ np.asarray(word).astype(np.uint64))
    return found


def _scramble(words: Words) -> Words:
    """SplitMix64 (Steele, Lea and Flood 2014)."""
    z = words + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Words = z ^ (z >> np.uint64(31))
    return found


def draw_crops(corners: Ints, last: Ints, cells: tuple[Ints, Ints], seeds: Words) -> Ints:
    """Move each corner to a random position of its cell of the grid.

    Parameters
    ----------
    corners
        Of the grid, shape (n, k).
    last
        The last corner that lies within the scene.
    cells
        Lengths of a cell; and of what corners are multiples, so that they fall on borders of pixels in all layers.
    seeds
        Of each patch.
    """
    (stride, grain), found, words = cells, np.empty_like(corners), seeds
    for axis in range(corners.shape[1]):
        words = _scramble(words)
        share = (words >> np.uint64(11)).astype(np.float64) / (1 << 53)
        step = int(grain[axis])
        room = np.minimum(int(stride[axis]), last[:, axis] - corners[:, axis] + 1)
        choices = np.maximum(1, -(-room // step))
        found[:, axis] = corners[:, axis] + (share * choices).astype(np.int64) * step
    return found
