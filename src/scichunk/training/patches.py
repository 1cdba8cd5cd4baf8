"""Patches by number: reading some, picking some, and batches of all."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.adapters.files import thread_pool
from scichunk.training.batches import Batches, BatchOptions
from scichunk.training.finishing import finish_patch, make_finishes
from scichunk.training.layers import Layer, grain_of
from scichunk.training.plan import EpochPlan, PlanOptions, draw_crops, make_plan
from scichunk.training.reading import BlockBuffers, KeptBlocks, Places, ReadAhead, follow
from scichunk.training.samples import Blocks, Samples, limits
from scichunk.training.selecting import Cuts, bounds_of, find_scenes, lies_within
from scichunk.training.splitting import split_samples

__all__ = ["Patches", "default_threads"]

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Patch = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of all scenes by number; made by :func:`scichunk.patches`.

    ``p[7]`` reads one, ``p.read([7, 9])`` several, ``p.batches(16)`` all, in an order in which each chunk is decoded once.
    """

    layers: tuple[Layer, ...]
    """What a patch has: image, label, ..."""
    dims: tuple[str, ...]
    """Along which patches are cut."""
    size: tuple[int, ...]
    """Of a patch, in pixels of the first layer."""
    stride: tuple[int, ...]
    """Distances of patches."""
    blocks: Blocks
    """What is read at once."""
    samples: Samples
    """Where the patches lie."""
    scenes: tuple[Any, ...]
    """Labels of the scenes."""
    sample_weights: npt.NDArray[np.float64] | None = None
    """How often each comes in an epoch, in proportion."""
    is_part: bool = False
    """Whether neighbouring blocks may belong to another part of a split: crops then reach into none that the patch does not."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def is_square(self) -> bool:
        """Whether rows and columns of all layers can change places."""
        return all(len({layer.patch_shape[a] for a in layer.plane}) == 1 for layer in self.layers)

    @property
    def table(self) -> dict[str, Array]:
        """Columns by name: the scene of each patch, its first pixel along each dimension, and its row in the table of positions."""
        corners = {d: self.samples.corners[:, i] for i, d in enumerate(self.dims)}
        return {"scene": self.samples.scenes, **corners, "row": self.samples.rows}

    @property
    def bounds(self) -> npt.NDArray[np.float64]:
        """Left, bottom, right and top of each patch, in the coordinates x and y of its scene, shape (patches, 4).

        ``p.where(shapely.intersects(shapely.box(*p.bounds.T), polygon))`` keeps those that touch a polygon.
        """
        return bounds_of(_cuts_along(self, "x"), _cuts_along(self, "y"), self.samples)

    def __repr__(self) -> str:
        size = ", ".join(f"{d}: {n}" for d, n in zip(self.dims, self.size, strict=True))
        told = ", ".join(f"{la.name} {la.out_dtype}{la.patch_shape}" for la in self.layers)
        return f"<scichunk.Patches {len(self)} of {{{size}}}, {len(self.scenes)} scenes, {told}>"

    # ---- reading

    def __getitem__(self, number: int) -> Patch:
        if not -len(self) <= number < len(self):
            msg = f"there are {len(self)} patches, got {number}"
            raise IndexError(msg)
        return {name: values[0] for name, values in self.read([int(number) % len(self)]).items()}

    def __iter__(self) -> Iterator[Patch]:
        """Read all in order, block by block."""
        for batch in replace(self, sample_weights=None).batches(1, shuffle=False):
            yield {name: values[0] for name, values in batch.items()}

    def read(self, numbers: Sequence[int] | Ints, *, threads: int | None = None) -> Patch:
        """Read some patches, each by itself.

        Parameters
        ----------
        numbers
            Of the patches.
        threads
            How many are read at the same time; by default as many as there are, up to 16, where reading waits for a network.

        Returns
        -------
        dict of ndarray
            By the names of layers, the patches along the first axis.
        """
        which = np.asarray(numbers, np.int64)
        scenes, corners = self.samples.scenes[which], self.samples.corners[which]
        finishes = make_finishes(self.layers, None, None, None)
        out = {la.name: np.empty((len(which), *la.patch_shape), la.out_dtype) for la in self.layers}
        remote = any(a.is_remote for la in self.layers for a in la.arrays[:1])

        def read_one(place: int) -> None:
            first = corners[place]
            for layer, finish in zip(self.layers, finishes, strict=True):
                window = layer.window(int(scenes[place]), first.tolist(), (first + np.asarray(self.size)).tolist())
                target = out[layer.name][place]
                if layer.decoding is None:
                    layer.arrays[scenes[place]].read_into(target, window)
                else:
                    stored = np.empty(layer.patch_shape, layer.dtype)
                    layer.arrays[scenes[place]].read_into(stored, window)
                    finish_patch(layer, finish, stored, target)

        count = min(len(which), threads or (16 if remote else 1))
        if count > 1:
            with thread_pool(count, "scichunk-patches") as pool:
                list(pool.map(read_one, range(len(which))))
        else:
            for place in range(len(which)):
                read_one(place)
        return out

    def to_xarray(self, number: int, layer: str | None = None) -> Any:
        """Return a patch with its coordinates and its CRS, lazily.

        Parameters
        ----------
        number
            Of the patch.
        layer
            Name of the layer; by default all of them.

        Returns
        -------
        xarray.Dataset, or xarray.DataArray if a layer is named

        Raises
        ------
        ValueError
            If all layers are asked for, and their pixels differ in size.
        """
        which = self.samples.take([number])
        first = which.corners[0]
        found = {}
        for each in self.layers:
            if layer is None or each.name == layer:
                array = each.arrays[int(which.scenes[0])]
                window = each.window(int(which.scenes[0]), first.tolist(), (first + np.asarray(self.size)).tolist())
                found[each.name] = array.labelled().isel(dict(zip(array.dims, window, strict=True))).rename(each.name)
        if layer is not None:
            if layer not in found:
                msg = f"there is no layer {layer!r}; there are {[la.name for la in self.layers]}"
                raise ValueError(msg)
            return found[layer]
        if len({la.factors for la in self.layers}) > 1:
            msg = "pixels of the layers differ in size, so they have no common coordinates: name one by layer="
            raise ValueError(msg)
        import xarray as xr

        lengths = dict(next(iter(found.values())).sizes)
        for name, array in found.items():  # bands of two layers are not the same bands
            other = {d: f"{d}_{name}" for d, n in array.sizes.items() if lengths.get(d, n) != n}
            found[name] = array.rename(other)
        return xr.merge(found.values(), join="override", compat="override", combine_attrs="drop_conflicts")

    # ---- which patches

    def take(self, which: Any) -> Patches:
        """Return the patches of some numbers, or those where a mask is true."""
        weights = self.sample_weights
        return replace(
            self, samples=self.samples.take(which), sample_weights=None if weights is None else weights[which]
        )

    def isel(self, *, scene: Any = None, patch: Any = None) -> Patches:
        """Return the patches of some scenes, or some of the patches, by number."""
        found = self
        if scene is not None:
            wanted = np.atleast_1d(np.arange(len(self.scenes))[scene])
            found = found.take(np.isin(found.samples.scenes, wanted))
        if patch is not None:
            found = found.take(np.atleast_1d(np.arange(len(found))[patch]))
        return found

    def sel(self, *, scene: Any = None, bounds: Sequence[float] | None = None, **ranges: slice) -> Patches:
        """Return the patches that lie within something as a whole.

        Parameters
        ----------
        scene
            A label, a list of labels, or a slice of them, such as ``slice("2024-03", "2024-05")`` where they are times.
        bounds
            (left, bottom, right, top), in the coordinates x and y of the scenes.
        **ranges
            A slice of values by the name of a dimension: the centres of the first and the last pixel lie within it.
        """
        found = self if scene is None else self.take(np.isin(self.samples.scenes, find_scenes(self.scenes, scene)))
        keep = np.ones(len(found), bool)
        if bounds is not None:
            left, bottom, right, top = bounds
            for dim, low, high in (("x", left, right), ("y", bottom, top)):
                keep &= lies_within(_cuts_along(found, dim), found.samples, (low, high), edges=True)
        for dim, wanted in ranges.items():
            if not isinstance(wanted, slice) or wanted.step is not None:
                msg = f"{dim} must be a slice of two values, got {wanted!r}"
                raise ValueError(msg)
            keep &= lies_within(_cuts_along(found, dim), found.samples, (wanted.start, wanted.stop), edges=False)
        return found if keep.all() else found.take(keep)

    def where(self, keep: Any) -> Patches:
        """Return the patches that a mask or a function keeps; see :func:`scichunk.patches`."""
        found = self._values_of(keep, "where")
        if (
            found.dtype.kind == "f" and np.isnan(found).any()
        ):  # of a function that returns nothing, or means of no pixels
            msg = f"where must be true or false, and is NaN for {int(np.isnan(found).sum())} of {len(found)} patches"
            raise ValueError(msg)
        return self.take(found.astype(bool))

    def weighted(self, weights: Any) -> Patches:
        """Return the same patches with weights; see :func:`scichunk.patches`."""
        found = self._values_of(weights, "weights").astype(np.float64)
        if not (np.isfinite(found).all() and (found >= 0).all() and (found.sum() > 0 or not len(found))):
            msg = "weights must be finite, not negative, and not all 0"
            raise ValueError(msg)
        return replace(self, sample_weights=found)

    def _values_of(self, given: Any, word: str) -> Array:
        """One value a patch, as they are given or as a function of a patch gives them."""
        if isinstance(given, Mapping):
            names = [la.name for la in self.layers]
            if len(given) != 1 or next(iter(given)) not in names:
                msg = f"{word} takes one function by the name of its layer, one of {names}; got {list(given)}"
                raise ValueError(msg)
            ((name, function),) = given.items()
            return self._map(lambda patch: function(patch[name]), [la for la in self.layers if la.name == name])
        if callable(given):
            return self._map(given, self.layers)
        found = np.asarray(given)
        if found.shape != (len(self),):
            msg = f"{word} has the shape {found.shape}, and there are {len(self)} patches"
            raise ValueError(msg)
        return found

    def _map(self, function: Callable[[Patch], Any], layers: Sequence[Layer]) -> Array:
        order = make_plan(self.samples.blocks, None, PlanOptions(shuffle=False))
        places = Places(self.samples.scenes[order.numbers], self.samples.corners[order.numbers], order.visits)
        finishes = make_finishes(layers, None, None, None)
        found = np.zeros(len(self))
        views = follow(layers, self.size, places, ReadAhead(default_threads(), 2), (BlockBuffers(), KeptBlocks()))
        for number, stored in zip(order.numbers.tolist(), views, strict=True):
            patch = {}
            for layer, finish, values in zip(layers, finishes, stored, strict=True):
                patch[layer.name] = np.empty(layer.patch_shape, layer.out_dtype)
                finish_patch(layer, finish, values, patch[layer.name])
            found[number] = function(patch)
        return found

    def split(self, shares: float | Sequence[float], *, by: str = "block", seed: int = 0) -> tuple[Patches, ...]:
        """Split at random into parts that have no pixel in common.

        Parameters
        ----------
        shares
            Of the patches: of the first of two parts, or of each.
        by
            ``"block"`` deals out what is read at once, and leaves out patches that reach into another part; ``"scene"`` deals out
            whole scenes.
        seed
            Another one gives another split.

        Returns
        -------
        tuple of Patches
        """
        parts = [shares, 1 - shares] if isinstance(shares, int | float) else list(shares)
        if any(s <= 0 for s in parts) or not math.isclose(sum(parts), 1, abs_tol=1e-6):
            msg = f"shares must be positive and add up to 1, got {shares!r}"
            raise ValueError(msg)
        numbers = split_samples(self.blocks, self.samples, self.size, parts, by=by, seed=seed)
        return tuple(replace(self.take(which), is_part=self.is_part or by == "block") for which in numbers)

    # ---- in which order

    def plan(self, options: PlanOptions) -> EpochPlan:
        """Plan an epoch, or a shard of it."""
        return make_plan(self.samples.blocks, self.sample_weights, options)

    def draw_crops(self, numbers: Ints, seeds: npt.NDArray[np.uint64]) -> Ints:
        """Return corners of patches that are moved at random, each within its cell of the grid."""
        ends = np.asarray([limits(self.layers, s, self.size) for s in range(len(self.scenes))], np.int64)
        corners, scenes = self.samples.corners[numbers], self.samples.scenes[numbers]
        last = ends[scenes]
        if self.is_part:
            last = np.minimum(last, self.blocks.ends(scenes, corners + (np.asarray(self.size) - 1)) - self.size)
        stride, grain = (np.asarray(v, np.int64) for v in (self.stride, grain_of(self.layers)))
        return draw_crops(corners, last, (stride, grain), seeds)

    def batches(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
        mix: int = 4,
        shard: int = 0,
        shards: int = 1,
        even: bool = True,
        threads: int | None = None,
        **options: Any,
    ) -> Batches:
        """Return an iterable of batches: each pass over it is an epoch.

        Parameters
        ----------
        batch_size
            Patches a batch; the last one of an epoch may have fewer.
        seed, epoch
            Decide the order. The epoch is the first; each pass goes on to the next one.
        shuffle
            Whether the order is random. Patches are numbered block by block: in order, reading is as cheap.
        mix
            How many blocks are open at a time: neighbours in a batch come from as many.
        shard, shards
            Which part of each epoch: of as many processes, each takes another.
        even
            Whether all shards are equally long; the last ones begin again at the start for it.
        threads
            Blocks that are read at the same time; by default as many as there are processors, up to 4.
        **options
            ``dtype``, ``normalize=(mean, deviation)`` (numbers, or one a band) and ``fill`` (in place of NaN), each for all layers or by
            their names; ``augment``: turn and mirror at random; ``crops``: move each patch at random within its cell of the grid;
            ``index``: add numbers and seeds of the patches as ``"index"`` and ``"seed"``; ``drop_last``: leave out a last batch that is
            not full; ``ahead``: blocks that are read before they are needed, 2; ``buffers``: as many batches share their memory
            in turn, 0 for new memory; ``keep_bytes``: decoded blocks up to this size are kept for the next epochs, none by default.

        Returns
        -------
        Batches
            Its batches are dicts of arrays by the names of layers, patches along the first axis; it has ``state_dict`` and
            ``load_state_dict``. It holds at most ``mix + ahead + 1`` blocks in memory, beside those that are kept.
        """
        plan = PlanOptions(seed, epoch, shard, shards, mix, shuffle, even)
        if mix < 1 or shards < 1:
            msg = f"mix and shards must be at least 1, got {mix} and {shards}"
            raise ValueError(msg)
        return Batches(self, batch_size, plan, BatchOptions(threads=threads or default_threads(), **options))


def default_threads() -> int:
    """Return how many blocks are read at the same time, if nobody says."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, count)


def _cuts_along(patches: Patches, dim: str) -> Cuts:
    if dim not in patches.dims:
        msg = f"patches are cut along {list(patches.dims)}, not along {dim!r}"
        raise ValueError(msg)
    along = patches.dims.index(dim)
    return Cuts(patches.layers[0], dim, along, patches.size[along])
