"""Patches in PyTorch: an iterable and a map-style data set, and a loader that resumes. Needs ``torch``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scichunk.training.patches import Patches

try:
    import torch
    from torch.utils import data
except ImportError as error:
    _MESSAGE = "scichunk.torch needs PyTorch: pip install torch (without CUDA: --index-url https://download.pytorch.org/whl/cpu)"
    raise ImportError(_MESSAGE) from error

__all__ = ["IterableDataset", "Loader", "MapDataset", "loader"]

Tensors = dict[str, Any]
_COMPUTED = {"u2": "i4", "u4": "i8"}
"""Types with which torch hardly computes, and which it does instead."""


def _types(patches: Patches, dtype: Any) -> dict[str, Any]:
    """Types of all layers in a batch: what the user says, else the stored ones if torch computes with them."""
    found = {}
    for layer in patches.layers:
        given = dtype.get(layer.name) if isinstance(dtype, Mapping) else dtype
        kind = layer.out_dtype
        found[layer.name] = np.dtype(_COMPUTED.get(kind.str[1:], kind) if given is None else given)
    return found


def _empty_pinned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Memory that is copied to a GPU while the program goes on."""
    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    pinned: npt.NDArray[Any] = torch.empty(shape, dtype=kind, pin_memory=True).numpy()
    return pinned


def _as_tensors(batch: Mapping[str, npt.NDArray[Any]]) -> Tensors:
    return {k: torch.from_numpy(v.astype(np.int64) if v.dtype == np.uint64 else v) for k, v in batch.items()}


def _ranks() -> tuple[int, int]:
    """Rank and number of the processes that train together."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class IterableDataset(data.IterableDataset):
    """Batches as dicts of tensors, each epoch in another order, sharded over ranks and workers.

    It is used with ``DataLoader(dataset, batch_size=None)``; :func:`loader` makes one that also resumes. No sampler is to be used with it.
    A loader of one's own with workers calls :meth:`set_epoch` before each epoch, since one worker cannot speak for all.

    Parameters
    ----------
    patches
        What the batches are of.
    batch_size
        Patches a batch.
    transform
        Called with each batch, in the process that reads it.
    rank, world
        Which of the processes that train together this is; by default what ``torch.distributed`` says.
    dtype
        Of all layers, or by their names; by default the stored one, or a signed one where torch computes only with that.
    pin_memory
        Whether batches lie in pinned memory: for copies to a GPU with ``non_blocking=True``. Not in workers.
    **options
        As for :meth:`scichunk.Patches.batches`: ``seed``, ``shuffle``, ``mix``, ``normalize``, ``fill``, ``augment``, ...
    """

    def __init__(
        self,
        patches: Patches,
        batch_size: int,
        *,
        transform: Callable[[Tensors], Any] | None = None,
        rank: int | None = None,
        world: int | None = None,
        dtype: Any = None,
        pin_memory: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.patches, self.batch_size, self.transform = patches, batch_size, transform
        self.workers = 0
        """Of the loader: its length depends on them."""
        self._options = {**options, "dtype": _types(patches, dtype)}
        self._ranks = None if rank is None or world is None else (rank, world)
        self._pin_memory = pin_memory
        # Shared with the workers, which may live longer than an epoch: the epoch, and how many of its batches were handed out before.
        self._cursor = torch.tensor([int(self._options.pop("epoch", 0)), 0]).share_memory_()
        self._made: dict[tuple[int, int, int], Any] = {}
        self._batches(0, 1)  # errors in the options are told here, not in a worker

    def _batches(self, shard: int, shards: int) -> Any:
        """Batches of a shard, the same object for each epoch: it holds memory, and blocks that are kept."""
        key = (
            shard,
            shards,
            os.getpid(),
        )  # a forked worker takes nothing over: locks may have been held when it was forked
        if key not in self._made:
            self._made = {key: self.patches.batches(self.batch_size, shard=shard, shards=shards, **self._options)}
        made = self._made[key]
        made.set_epoch(self.epoch)
        return made

    def __getstate__(self) -> dict[str, Any]:
        # a worker that is not forked knows nothing of the other ranks
        return {**self.__dict__, "_ranks": self._ranks or _ranks(), "_made": {}}

    @property
    def epoch(self) -> int:
        """The epoch that is read next, or now."""
        return int(self._cursor[0])

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch; also in workers, from their next pass on."""
        self.go_to(epoch, 0)

    def go_to(self, epoch: int, batches: int) -> None:
        """Begin the next pass behind some batches of an epoch, counted over all workers."""
        self._cursor[0], self._cursor[1] = epoch, batches

    def run(self) -> dict[str, int]:
        """Return what must be equal for an epoch to be resumed."""
        _, world = self._ranks or _ranks()
        return {
            "seed": int(self._options.get("seed", 0)),
            "samples": len(self.patches),
            "batch_size": self.batch_size,
            "world": world,
            "workers": self.workers,
        }

    def __len__(self) -> int:
        """Batches of an epoch of this rank, with all its workers."""
        _, world = self._ranks or _ranks()
        workers = max(1, self.workers)
        return workers * len(self.patches.batches(self.batch_size, shards=world * workers, **self._options))

    def __iter__(self) -> Iterator[Any]:
        rank, world = self._ranks or _ranks()
        info = data.get_worker_info()
        workers, worker = (1, 0) if info is None else (info.num_workers, info.id)
        epoch, done = (int(n) for n in self._cursor)
        # A loader asks its workers in turn, beginning with the first: who resumes in between lets that one do what another was to do.
        worker = (worker + done) % workers
        made = self._batches(rank * workers + worker, world * workers)
        made.skip((done - worker + workers - 1) // workers)
        allocate = _empty_pinned if self._pin_memory and info is None and torch.cuda.is_available() else np.empty
        for batch in made.iterate(allocate):
            tensors = _as_tensors(batch)
            yield tensors if self.transform is None else self.transform(tensors)
        if info is None:
            self.go_to(epoch + 1, 0)


class MapDataset(data.Dataset):
    """Patches by number, for samplers of one's own; reading in a random order decodes chunks many times.

    Parameters
    ----------
    patches
        What it is of.
    transform
        Called with each patch, a dict of tensors.
    dtype
        As for :class:`IterableDataset`.
    """

    def __init__(
        self, patches: Patches, *, transform: Callable[[Tensors], Any] | None = None, dtype: Any = None
    ) -> None:
        self.patches, self.transform = patches, transform
        self._dtypes = _types(patches, dtype)

    def __len__(self) -> int:
        return len(self.patches)

    def __getitem__(self, number: int) -> Any:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        """Return some patches; over a network, all are asked for at once."""
        read = self.patches.read(np.asarray(numbers))
        batch = _as_tensors({k: v.astype(self._dtypes[k], copy=False) for k, v in read.items()})
        found = [{k: v[i] for k, v in batch.items()} for i in range(len(numbers))]
        return found if self.transform is None else [self.transform(patch) for patch in found]


class Loader:
    """A ``DataLoader`` that goes on to the next epoch with each pass, and resumes; made by :func:`loader`.

    Parameters
    ----------
    dataset
        What it loads.
    **keywords
        Of ``torch.utils.data.DataLoader``.
    """

    def __init__(self, dataset: IterableDataset, **keywords: Any) -> None:
        self.dataset = dataset
        dataset.workers = int(keywords.get("num_workers", 0))
        self._loader = data.DataLoader(dataset, batch_size=None, **keywords)
        self._done: tuple[int, int] | None = None
        """Epoch, and batches of it that were handed out."""
        self._start = 0
        """Batches behind which the next pass begins."""

    def __len__(self) -> int:
        return len(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        self.dataset.set_epoch(epoch)
        self._done, self._start = None, 0

    def state_dict(self) -> dict[str, int]:
        """Return what :meth:`load_state_dict` takes to go on behind the last batch that was handed out."""
        epoch, batches = self._done or (self.dataset.epoch, 0)
        return {**self.dataset.run(), "epoch": epoch, "batches": batches}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where another run stopped, with the same ranks and workers; between epochs these may be others.

        Raises
        ------
        ValueError
            If the state is of another run.
        """
        here = self.dataset.run()
        always = ("seed", "samples")
        wrong = [k for k in here if state[k] != here[k] and (k in always or state["batches"])]
        if wrong:
            told = ", ".join(f"{k} {state[k]} (here {here[k]})" for k in wrong)
            msg = f"this state is of another run: {told}"
            raise ValueError(msg)
        self.dataset.go_to(state["epoch"], state["batches"])
        self._done, self._start = (state["epoch"], state["batches"]), state["batches"]

    def __iter__(self) -> Iterator[Any]:
        dataset, total = self.dataset, len(self.dataset)
        epoch, done, self._start = dataset.epoch, self._start, 0
        dataset.go_to(epoch, done)
        following = epoch
        try:
            for batch in self._loader:
                done += 1
                following = epoch + (done == total)
                self._done = (following, 0) if done == total else (epoch, done)
                yield batch
        finally:
            dataset.go_to(following, 0)


def loader(
    patches: Patches,
    batch_size: int,
    *,
    num_workers: int = 0,
    pin_memory: bool | None = None,
    multiprocessing_context: Any = None,
    loader_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Loader:
    """Make a loader of batches.

    Without workers, blocks are read ahead by threads of this process, which is mostly the fastest way: nothing is copied between
    processes. Workers are for transforms that take long in Python.

    Parameters
    ----------
    patches, batch_size
        What the batches are of, and patches a batch.
    num_workers
        Processes that read, each another shard.
    pin_memory
        Whether batches lie in pinned memory; by default if there is a GPU.
    multiprocessing_context
        How workers are started; by default as PyTorch does, or ``"forkserver"`` where files are remote.
    loader_options
        Further keywords of ``torch.utils.data.DataLoader``: ``prefetch_factor``, ``persistent_workers``, ...
    **options
        As for :class:`IterableDataset`.

    Returns
    -------
    Loader
        Each pass is an epoch; ``len``, ``set_epoch``, ``state_dict`` and ``load_state_dict``.

    Examples
    --------
    >>> import scichunk
    >>> p = scichunk.patches({"image": "scene.tif", "label": "label.tif"}, 256)  # doctest: +SKIP
    >>> for batch in scichunk.torch.loader(p, 16, dtype={"image": "float32"}):  # doctest: +SKIP
    ...     model(batch["image"])
    """
    pin = torch.cuda.is_available() if pin_memory is None else pin_memory
    keywords = dict(loader_options or {})
    if num_workers:
        remote = any(array.is_remote for layer in patches.layers for array in layer.arrays)
        context = multiprocessing_context or ("forkserver" if remote else None)
        keywords = {"persistent_workers": True, "multiprocessing_context": context, "pin_memory": pin, **keywords}
    dataset = IterableDataset(patches, batch_size, pin_memory=pin, **options)
    return Loader(dataset, num_workers=num_workers, **keywords)
