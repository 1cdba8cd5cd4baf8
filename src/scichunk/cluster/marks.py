"""``on``: what is computed inside is computed by one pool of a cluster."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from scichunk.cluster.placing import ANNOTATION, keep_annotations, prefix

if TYPE_CHECKING:
    import dask.dataframe as dd

__all__ = ["Mark", "known", "on"]

_LIVE: weakref.WeakKeyDictionary[Any, tuple[str, ...]] = weakref.WeakKeyDictionary()
"""The pools of this process and the names that they have, to tell a slip of the pen."""
_RUNNING = ("created", "starting", "running")


def known(cluster: Any, names: Iterable[str]) -> None:
    """Remember the names of the pools of a cluster for as long as it lives."""
    _LIVE[cluster] = tuple(names)


def on(pool: str) -> Mark:
    """Mark what is computed inside: it runs on the workers of that pool, and nowhere else.

    Parameters
    ----------
    pool
        Name of a pool of a :class:`scichunk.cluster.Pools`. On a cluster without pools, and on none, the mark means nothing.

    Returns
    -------
    Mark
        A context manager. Steps on dask arrays and on xarray objects that are *made* inside are marked, wherever they are computed
        later; ``compute()`` and ``persist()`` inside mark everything that they compute. Tables of dask keep no annotations:
        :meth:`Mark.map_partitions` marks a step on them.

    Raises
    ------
    ValueError
        If this process has clusters with pools, and none of them has a pool of that name.

    Notes
    -----
    Open files outside of the block. Dask sends out tasks that are restricted to some workers all at once, and holds back others until
    a worker is free: of 200 reads, 197 marked ones were sent at once and 4 of those that were not. Nothing would keep marked reads from
    outrunning what is computed of them, and from filling the memory.

    Examples
    --------
    >>> with scichunk.cluster.on("big"):  # doctest: +SKIP
    ...     result = array.map_blocks(model)
    >>> result.compute()  # doctest: +SKIP
    """
    if not isinstance(pool, str) or not pool or "~" in pool:
        msg = f"the name of a pool is a text without '~', not {pool!r}"
        raise ValueError(msg)
    there = sorted(
        {name for cluster, names in list(_LIVE.items()) if cluster.status.name in _RUNNING for name in names}
    )
    if there and pool not in there:
        msg = f"there is no pool {pool!r}, only {', '.join(there)}"
        raise ValueError(msg)
    return Mark(pool)


class Mark:
    """What :func:`on` gives: a context manager that marks steps with a pool.

    Attributes
    ----------
    pool : str
        Its name.
    """

    def __init__(self, pool: str) -> None:
        self.pool = pool
        self._entered = threading.local()

    def __repr__(self) -> str:
        return f"scichunk.cluster.on({self.pool!r})"

    def __enter__(self) -> Self:
        from dask.base import annotate

        keep_annotations()
        stack = contextlib.ExitStack()
        stack.enter_context(annotate(**{ANNOTATION: self.pool}))
        self._stacks().append(stack)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stacks().pop().__exit__(kind, error, trace)

    def _stacks(self) -> list[contextlib.ExitStack]:
        found: list[contextlib.ExitStack] = self._entered.__dict__.setdefault("stacks", [])
        return found

    def map_partitions(
        self, function: Callable[..., Any], frame: dd.DataFrame, *args: Any, **kwargs: Any
    ) -> dd.DataFrame:
        """Apply a function to each partition of a table on the workers of the pool.

        Parameters
        ----------
        function
            Takes a :class:`pandas.DataFrame`, and gives one.
        frame
            A table of dask. What it is made of is not marked.
        *args, **kwargs
            Further values for the function; but ``meta``, an empty table as the function gives it. By default the function is asked,
            with an empty table.

        Returns
        -------
        dask.dataframe.DataFrame
            With the divisions of ``frame``. The columns of ``frame`` that later steps do not need are read all the same.

        Raises
        ------
        TypeError
            If another argument is a collection of dask.
        """
        import dask.dataframe as dd
        from dask._task_spec import Task, TaskRef
        from dask.base import is_dask_collection, tokenize
        from dask.utils import funcname

        meta = kwargs.pop("meta", None)
        if any(map(is_dask_collection, [*args, *kwargs.values()])):
            msg = "arguments beside the table are values, not collections of dask: compute them before"
            raise TypeError(msg)
        if meta is None:
            meta = function(frame._meta, *args, **kwargs)  # noqa: SLF001  # the empty table, which every collection of dask has
        ready = frame.optimize()
        graph, keys = dict(ready.__dask_graph__()), ready.__dask_keys__()
        name = f"{prefix(self.pool)}{funcname(function)}"
        token = tokenize(function, frame, args, kwargs)
        call = partial(_call, function, args, kwargs)
        marked = [(f"{name}-{token}", number) for number in range(len(keys))]
        graph |= {new: Task(new, call, TaskRef(old)) for new, old in zip(marked, keys, strict=True)}
        found: dd.DataFrame = dd.from_graph(graph, meta, ready.divisions, marked, name)
        return found


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], rows: Any) -> Any:
    """A step on one partition."""
    return function(rows, *args, **kwargs)
