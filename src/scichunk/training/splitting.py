"""Splits without leakage: no pixel of one part is in another. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scichunk.training.samples import Blocks, Samples, touched_blocks

__all__ = ["split_samples"]

Ints = npt.NDArray[np.int64]


def split_samples(
    blocks: Blocks, samples: Samples, size: Sequence[int], shares: Sequence[float], *, by: str, seed: int
) -> list[Ints]:
    """Deal blocks or scenes out at random, and return the numbers of the patches of each part.

    Parameters
    ----------
    blocks, samples, size
        Of the patches.
    shares
        Of each part; they add up to 1.
    by
        ``"block"``, where patches that reach into a block of another part are left out, or ``"scene"``.
    seed
        Decides who gets what.

    Raises
    ------
    ValueError
        If there are fewer blocks or scenes than parts.
    """
    if by not in {"block", "scene"}:
        msg = f'by must be "block" or "scene", got {by!r}'
        raise ValueError(msg)
    owners = samples.blocks if by == "block" else samples.scenes
    used, inverse, counts = np.unique(owners, return_inverse=True, return_counts=True)
    if len(used) < len(shares):
        msg = f"{len(used)} {by}{'s' if len(used) != 1 else ''} cannot be dealt out to {len(shares)} parts" + (
            "; a smaller block_bytes gives more blocks" if by == "block" else ""
        )
        raise ValueError(msg)
    order = np.random.default_rng([seed, 77]).permutation(len(used))
    ends = np.cumsum(counts[order])
    middles = (ends - counts[order] / 2) / ends[-1]
    cuts = np.searchsorted(middles, np.cumsum(shares)[:-1], side="right").tolist()
    for place, cut in enumerate(cuts):  # each part gets at least one, and leaves one for each that follows
        least = cuts[place - 1] + 1 if place else 1
        cuts[place] = min(max(cut, least), len(used) - (len(shares) - 1 - place))
    part = np.searchsorted(cuts, np.arange(len(used)), side="right")
    of_owner = np.empty(len(used), np.int64)
    of_owner[order] = part
    of_sample = of_owner[inverse]
    keep = np.ones(len(samples), bool)
    if by == "block":
        of_block = np.full(blocks.size, -1)
        of_block[used] = of_owner
        for touched in touched_blocks(blocks, samples, size):
            # a block without a corner of its own belongs to whoever reaches into it first; no one may, unless all who do are of one part
            _claim(of_block, touched, of_sample)
        for touched in touched_blocks(blocks, samples, size):
            keep &= of_block[touched] == of_sample
    return [np.flatnonzero(keep & (of_sample == p)) for p in range(len(shares))]


def _claim(of_block: Ints, touched: Ints, of_sample: Ints) -> None:
    """Give blocks in which no patch begins to the part of the patches that reach into them."""
    free = of_block[touched] == -1
    of_block[touched[free]] = of_sample[free]
