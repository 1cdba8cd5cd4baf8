"""Batches of patches, epoch after epoch, with a state from which they go on."""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from scichunk.training.finishing import finish_patch, make_finishes, turned
from scichunk.training.layers import Layer
from scichunk.training.plan import EpochPlan, PlanOptions, sample_seeds
from scichunk.training.reading import BlockBuffers, KeptBlocks, Places, ReadAhead, follow
from scichunk.training.samples import Samples
from scichunk.training.units import parse_size

__all__ = ["BatchOptions", "Batches"]

Array = npt.NDArray[Any]
Batch = dict[str, Array]
Allocate = Callable[[tuple[int, ...], np.dtype[Any]], Array]


@dataclass(frozen=True)
class BatchOptions:
    """What becomes of patches on their way into a batch, and how they are read."""

    dtype: Any = None
    normalize: Any = None
    fill: Any = None
    augment: bool = False
    crops: bool = False
    index: bool = False
    drop_last: bool = False
    threads: int = 2
    ahead: int = 2
    buffers: int = 0
    keep_bytes: int | str = 0


class PatchSource(Protocol):
    """What batches need of patches."""

    @property
    def layers(self) -> Sequence[Layer]:
        """What a patch has."""
        ...

    @property
    def size(self) -> Sequence[int]:
        """Of a patch, in pixels of the first layer."""
        ...

    @property
    def samples(self) -> Samples:
        """Where the patches lie."""
        ...

    @property
    def is_square(self) -> bool:
        """Whether rows and columns can change places."""
        ...

    def __len__(self) -> int: ...

    def plan(self, options: PlanOptions) -> EpochPlan:
        """Plan an epoch, or a shard of it."""
        ...

    def draw_crops(self, numbers: npt.NDArray[np.int64], seeds: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Return corners of patches that are moved at random."""
        ...


class Batches:
    """An iterable of batches: each pass is an epoch, in an order of its own.

    Made by :meth:`scichunk.Patches.batches`.

    Parameters
    ----------
    patches
        What the batches are of.
    batch_size
        Patches a batch.
    plan
        Seed, first epoch, shard and so on.
    options
        What becomes of the patches.
    """

    def __init__(self, patches: PatchSource, batch_size: int, plan: PlanOptions, options: BatchOptions) -> None:
        least = {"batch_size": (batch_size, 1), "ahead": (options.ahead, 0), "buffers": (options.buffers, 0)}
        for name, (value, lowest) in least.items():
            if operator.index(value) < lowest:
                msg = f"{name} must be at least {lowest}, got {value}"
                raise ValueError(msg)
        self.patches, self.batch_size, self.plan_options, self.options = patches, batch_size, plan, options
        self.epoch = plan.epoch
        self.position = 0
        """Patches of the epoch that were handed out."""
        self._finishes = make_finishes(patches.layers, options.dtype, options.normalize, options.fill)
        if options.crops and options.keep_bytes:
            msg = "crops are other ones each epoch, so that nothing can be kept for the next one: give crops or keep_bytes"
            raise ValueError(msg)
        self._memory = BlockBuffers(), KeptBlocks(parse_size(options.keep_bytes, "keep_bytes", least=0))
        self._ring: list[Batch] = []
        self._begun = 0
        self._resume = 0
        """Where the next pass begins; all others begin at the start of their epoch."""

    def __len__(self) -> int:
        o = self.plan_options
        return self._count(len(self.patches) if o.shards == 1 else len(self._plan()))

    def _count(self, samples: int) -> int:
        return samples // self.batch_size if self.options.drop_last else -(-samples // self.batch_size)

    def _plan(self) -> EpochPlan:
        return self.patches.plan(replace(self.plan_options, epoch=self.epoch))

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        self.epoch, self.position, self._resume = int(epoch), 0, 0

    def state_dict(self) -> dict[str, int]:
        """Return what :meth:`load_state_dict` takes to go on behind the last batch that was handed out."""
        o = self.plan_options
        return {
            "seed": o.seed,
            "epoch": self.epoch,
            "position": self.position,
            "shards": o.shards,
            "samples": len(self.patches),
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where another run stopped; nothing is read again.

        Raises
        ------
        ValueError
            If the state is of other patches or another seed, or of another number of shards and not of the beginning of an epoch.
        """
        o = self.plan_options
        here = {"seed": o.seed, "samples": len(self.patches)}
        if state["position"]:  # within an epoch the shards are those that began it
            here["shards"] = o.shards
        wrong = {k: (state[k], v) for k, v in here.items() if state[k] != v}
        if wrong:
            told = ", ".join(f"{k} {was} (here {now})" for k, (was, now) in wrong.items())
            msg = f"this state is of another run: {told}"
            raise ValueError(msg)
        self.epoch, self.position = int(state["epoch"]), int(state["position"])
        self._resume = self.position

    def skip(self, batches: int) -> None:
        """Begin the next pass behind some batches of its epoch; nothing is read for them."""
        self._resume = batches * self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate(np.empty)

    def specification(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Return shape and type of one patch of a batch, by the names of layers."""
        pairs = list(zip(self.patches.layers, self._finishes, strict=True))
        return {layer.name: (layer.patch_shape, finish.dtype) for layer, finish in pairs}

    def iterate(self, allocate: Allocate) -> Generator[Batch, None, None]:
        """Iterate over an epoch, or what is left of the one that was resumed, with batches in memory that an adapter makes."""
        self.position, self._resume = self._resume, 0
        plan = self._plan()[self.position :]
        epoch, total = self.epoch, self.position + len(plan)
        for batch, count in self._fill(plan, epoch, allocate):
            self.position += count
            if self.position == total or (self.options.drop_last and total - self.position < self.batch_size):
                self.epoch, self.position = (
                    epoch + 1,
                    0,
                )  # set before the last batch is out: who stops there has had all
            yield batch

    def _fill(self, plan: EpochPlan, epoch: int, allocate: Allocate) -> Iterator[tuple[Batch, int]]:
        o, patches = self.options, self.patches
        count = len(plan) - (len(plan) % self.batch_size if o.drop_last else 0)
        plan = plan[:count]
        seeds = sample_seeds(self.plan_options.seed, epoch, plan.numbers, plan.repeats)
        scenes, corners = patches.samples.scenes[plan.numbers], patches.samples.corners[plan.numbers]
        if o.crops:
            corners = patches.draw_crops(plan.numbers, seeds)
        turns = (seeds & np.uint64(7 if patches.is_square else 3)).tolist() if o.augment else None
        views = follow(
            patches.layers,
            patches.size,
            Places(scenes, corners, plan.visits),
            ReadAhead(o.threads, o.ahead),
            self._memory,
        )
        batch: Batch = {}
        for i, patch in enumerate(views):
            place = i % self.batch_size
            if not place:
                batch = self._new_batch(min(self.batch_size, count - i), allocate)
                if o.index:
                    these = slice(i, i + self.batch_size)
                    batch["index"], batch["seed"] = plan.numbers[these].copy(), seeds[these].copy()
            for layer, finish, stored in zip(patches.layers, self._finishes, patch, strict=True):
                out = batch[layer.name][place]
                # the place is turned, not the patch: what is read along rows is scattered in the cache, not in memory
                finish_patch(layer, finish, stored, out if turns is None else turned(out, turns[i], layer.plane))
            if place == self.batch_size - 1 or i == count - 1:
                yield batch, place + 1

    def _new_batch(self, length: int, allocate: Allocate) -> Batch:
        o = self.options
        if not o.buffers:
            return self._allocate(length, allocate)
        place = self._begun % o.buffers
        self._begun += 1
        if place == len(self._ring):
            self._ring.append(self._allocate(self.batch_size, allocate))
        return {name: values[:length] for name, values in self._ring[place].items()}

    def _allocate(self, length: int, allocate: Allocate) -> Batch:
        return {name: allocate((length, *shape), kind) for name, (shape, kind) in self.specification().items()}
