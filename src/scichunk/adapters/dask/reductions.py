"""``reduce``: reductions over any number of native chunks in few tasks."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import numpy.typing as npt

from scichunk.adapters.dask.accumulating import NAMES, Reduction, State
from scichunk.adapters.dask.mapping import required_reader
from scichunk.adapters.dask.native import Borders, Native, boxes, cut_axis, find_reader, reading_steps
from scichunk.core.grid import ChunkGrid

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["reduce"]

Array = npt.NDArray[Any]
Run = tuple[int, int]
_FAN: Final = 8
"""Partial results that one task joins."""
_OF_NUMBERS: Final = ("mean", "sum", "std", "var")
_BLOCK_BYTES: Final = 64 << 20
"""Largest partial result of a task; larger ones are cut along the axes that are kept."""


def reduce(
    obj: Any,
    how: str | Callable[..., Any],
    dim: Any = None,
    *,
    combine: Callable[..., Any] | None = None,
    skipna: bool | None = None,
    ddof: int = 0,
    tasks: int = 64,
) -> Any:
    """Reduce an array of any number of native chunks in few tasks.

    Each task goes through its native chunks (tiles, files of a stack) one after the other and adds them up in place, whatever the chunks of
    the dask array. A mean over 100,000 files is 75 tasks, where dask plans 133,000; a task holds a few chunks and its part of the result.

    Parameters
    ----------
    obj
        A dask array, ``xarray.DataArray`` or ``Dataset`` as scichunk has opened it. Of anything else, such as what was computed or cut
        from one, dask's own reduction is returned.
    how
        ``"mean"``, ``"sum"``, ``"min"``, ``"max"``, ``"std"``, ``"var"``, ``"count"`` (of values that are not NaN); a binary ufunc whose
        order does not matter, such as ``np.logical_or``; or a function ``f(values, axis=axis)``. Without ``combine`` that gets all values
        along ``dim`` at once, so that a median is right; these have to fit into memory.
    dim
        Names of dimensions, or for dask arrays numbers of axes; one or several. By default all.
    combine
        Joins what the function made of two parts: with it, ``f`` is called with a few chunks at a time, in their order.
    skipna
        Whether NaN is left out; by default as xarray and dask do: it is for what xarray opened, and is not for a dask array.
    ddof
        Of ``"std"`` and ``"var"``.
    tasks
        Tasks that read, about; more of them for more workers. There are at most as many as native chunks, and more where the result is
        large.

    Returns
    -------
    dask.array.Array, xarray.DataArray or xarray.Dataset
        Lazy, of the type, values, dimensions and coordinates that ``obj.mean(dim)`` and its sisters give. Sums are made in double
        precision.

    Raises
    ------
    TypeError
        If ``obj`` is no array, or a function is to reduce what was not opened by scichunk.
    ValueError
        If ``how`` or ``dim`` are not known.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.reduce(scichunk.open_stack("dem_*.tif").band_data, "mean", dim="file").compute()  # doctest: +SKIP
    """
    if not callable(how) and how not in NAMES:
        msg = f"how must be one of {', '.join(NAMES)}, or a function, got {how!r}"
        raise ValueError(msg)
    dim = None if dim is ... else dim  # as xarray takes it
    if operator.index(tasks) < 1:
        msg = f"tasks must be 1 or more, got {tasks}"
        raise ValueError(msg)
    if hasattr(obj, "variables") and hasattr(obj, "data_vars"):  # a Dataset of xarray
        if dim is not None and not {*([dim] if isinstance(dim, str) else dim)} <= {*obj.dims}:
            msg = f"dim={dim!r} is not among the dimensions {tuple(obj.dims)}"
            raise ValueError(msg)
        texts = [n for n, v in obj.data_vars.items() if how in _OF_NUMBERS and v.dtype.kind in "OSTUV"]
        return obj.drop_vars(texts).map(  # as xarray leaves them out
            lambda v: reduce(v, how, _dims_in(v, dim), combine=combine, skipna=skipna, ddof=ddof, tasks=tasks)
        )
    if hasattr(obj, "variable") and hasattr(obj, "dims"):  # a DataArray
        chunked = obj if obj.chunks is not None or not obj.ndim else obj.chunk()
        if not callable(how) and not _is_for_us(
            obj.dtype, how
        ):  # times and texts, of which xarray knows what is missing
            words = {"count": {}, "std": {"skipna": skipna, "ddof": ddof}, "var": {"skipna": skipna, "ddof": ddof}}
            return getattr(chunked, how)(dim, **words.get(how, {"skipna": skipna}))
        return chunked.reduce(
            lambda data, axis=None: _reduce(
                data, axis, _make(how, combine, True if skipna is None else skipna, ddof), tasks
            ),
            dim=dim,
        )
    if not hasattr(obj, "dask") or not hasattr(obj, "chunks"):
        msg = f"reduce takes a dask array, or a DataArray or Dataset of xarray, got {type(obj).__name__}"
        raise TypeError(msg)
    return _reduce(obj, dim, _make(how, combine, bool(skipna), ddof), tasks)


def _dims_in(array: Any, dim: Any) -> Any:
    """Return those of the dimensions to be reduced that a variable of a dataset has."""
    return None if dim is None else [d for d in ([dim] if isinstance(dim, str) else dim) if d in array.dims]


def _make(how: Any, combine: Any, skipna: bool, ddof: int) -> Reduction:
    """Describe a reduction whose axes and type are not known yet."""
    nothing = np.dtype("V")
    if not callable(how):
        return Reduction(how, (), nothing, skipna, ddof)
    if isinstance(how, np.ufunc):
        if how.nin != 2 or how.nout != 1:
            msg = f"{how} takes {how.nin} arguments; ufuncs of two can reduce"
            raise ValueError(msg)
        if combine is None and not _can_join(how):
            msg = f"{how} of parts is not that of the whole: give what joins two parts by combine="
            raise ValueError(msg)
        combine = combine or how
    return Reduction("call", (), nothing, False, ddof, how, combine)


def _can_join(how: np.ufunc) -> bool:
    """Whether a ufunc makes of what it made of parts what it makes of all values: NumPy knows of which the order does not matter."""
    try:
        how.reduce(np.ones((1, 1), how.types[0][0]), axis=(0, 1))
    except (ValueError, TypeError, RuntimeError):  # "not reorderable"; or it reduces nothing
        return False
    return True


def _reduce(array: Any, axis: Any, kind: Reduction, tasks: int) -> da.Array:
    """Reduce a dask array."""
    from numpy.lib.array_utils import normalize_axis_tuple

    ndim = len(array.shape)
    axes = tuple(range(ndim)) if axis is None else tuple(sorted(normalize_axis_tuple(axis, ndim)))
    reader = find_reader(array)
    ours = reader is not None and array.size and axes and _is_for_us(reader.dtype, kind.how)
    if not ours and kind.how == "call":
        required_reader(array, "reduce with a function")
    if not ours or reader is None:
        return _by_dask(array, axes, kind)
    dtype = _result_type(kind, reader.dtype, len(reader.shape), axes)
    skipna = kind.skipna and reader.dtype.kind in "fc"
    made = Reduction(kind.how, axes, dtype, skipna, kind.ddof, kind.function, kind.combine)
    return _graph(reader, made, _plan(reader.grid, made, tasks))


def _is_for_us(dtype: np.dtype[Any], how: str) -> bool:
    """Whether the values are numbers; complex ones have no order."""
    return dtype.kind in "biuf" or (dtype.kind == "c" and how in {"sum", "mean", "count", "call"})


def _by_dask(array: Any, axes: tuple[int, ...], kind: Reduction) -> da.Array:
    """Reduce what is not ours, or what has no values, as dask does it."""
    import dask.array as da

    floats = array.dtype.kind in "fc"
    if kind.how == "count":
        there = ~da.isnan(array) if floats else da.notnull(array)
        counted: da.Array = there.sum(axis=axes, dtype=np.int64)
        return counted
    function = getattr(da, f"nan{kind.how}" if kind.skipna and floats else kind.how)
    made: da.Array = function(array, axis=axes, **({"ddof": kind.ddof} if kind.how in {"std", "var"} else {}))
    return made


def _result_type(kind: Reduction, dtype: np.dtype[Any], ndim: int, axes: tuple[int, ...]) -> np.dtype[Any]:
    one = np.ones((1,) * ndim, dtype)
    if kind.how == "count":
        return np.dtype(np.int64)
    trial = Reduction("call", axes, dtype, function=kind.function)
    made = getattr(np, kind.how)(one) if kind.how != "call" else trial.begin(one)[0]
    return np.dtype(str(made.dtype))


@dataclass(frozen=True, slots=True)
class _Block:
    """A block of the result, and the runs of native chunks of each task that reads for it."""

    number: tuple[int, ...]
    """Its position among the chunks of the result."""
    parts: list[tuple[Run, ...]]


@dataclass(frozen=True, slots=True)
class _Plan:
    blocks: list[_Block]
    chunks: tuple[tuple[int, ...], ...]
    """Of the result."""


def _plan(grid: ChunkGrid, kind: Reduction, tasks: int) -> _Plan:
    """Share out native chunks: cut the result only where it is large, or where nothing else can be shared out."""
    kept = [a for a in range(len(grid.shape)) if a not in kind.axes]
    whole = kind.how == "call" and kind.combine is None
    along = 1 if whole else math.prod(grid.counts[a] for a in kind.axes)
    cuts = dict.fromkeys(kept, 1)
    width = 24 if kind.how in {"std", "var"} else 16

    def block_bytes() -> int:
        held = math.prod(grid.shape[a] for a in kind.axes) if whole else 1
        return (
            held
            * width
            * math.prod(-(-grid.counts[a] // cuts[a]) * min(grid.chunk_shape[a], grid.shape[a]) for a in kept)
        )

    while block_bytes() > _BLOCK_BYTES or math.prod(cuts.values()) * along < tasks:
        longest = max(kept, key=lambda a: -(-grid.counts[a] // cuts[a]), default=None)
        if longest is None or cuts[longest] >= grid.counts[longest]:
            break
        cuts[longest] = min(cuts[longest] * 2, grid.counts[longest])
    runs = {a: cut_axis(grid, a, cuts[a]) for a in kept}
    need = 1 if whole else -(-tasks // math.prod(cuts.values()))
    for axis in sorted(kind.axes, key=lambda a: -grid.counts[a]):
        parts = min(grid.counts[axis], need)
        need = max(1, need // parts)
        runs[axis] = cut_axis(grid, axis, parts)
    blocks = []
    for number in itertools.product(*(range(len(runs[a])) for a in kept)):
        chosen = dict(zip(kept, number, strict=True))
        choices = [[runs[a][chosen[a]]] if a in chosen else runs[a] for a in range(len(grid.shape))]
        blocks.append(_Block(number, list(itertools.product(*choices))))
    lengths = [[grid.bounds(a, b - 1)[1] - grid.bounds(a, f)[0] for f, b in runs[a]] for a in kept]
    return _Plan(blocks, tuple(tuple(n) for n in lengths))


def _graph(reader: Native, kind: Reduction, plan: _Plan) -> da.Array:
    """Make the graph: tasks that read, and a tree of tasks that join."""
    import dask.array as da
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    what = kind.how if kind.how != "call" else getattr(kind.function, "__name__", "call")
    token = tokenize(reader, what, kind.function, kind.combine, kind.axes, kind.skipna, kind.ddof, repr(plan))
    name = f"reduce-{what}-{token}"
    graph: dict[Hashable, Any] = {f"reader-{token}": reader}  # once a worker: a stack carries the names of its files
    for block in plan.blocks:
        level: list[Hashable] = []
        for part, runs in enumerate(block.parts):
            key = (f"read-{name}", *block.number, part)
            whole = kind.how == "call" and kind.combine is None
            graph[key] = (
                _read_part,
                f"reader-{token}",
                _Task(kind, _whole(reader, runs) if whole else reading_steps(reader, runs)),
            )
            level.append(key)
        depth = 0
        while len(level) > _FAN:
            joined: list[Hashable] = []
            for first in range(0, len(level), _FAN):
                key = (f"join-{name}", *block.number, depth, first // _FAN)
                graph[key] = (_join, level[first : first + _FAN], kind)
                joined.append(key)
            level, depth = joined, depth + 1
        graph[(name, *block.number)] = (_finish, level, kind)
    make: Any = da.Array  # the annotations of dask are those of another class of this name
    made: da.Array = make(
        HighLevelGraph.from_collections(name, cast("Any", graph), dependencies=()),
        name,
        plan.chunks,
        meta=np.empty((0,) * len(plan.chunks), kind.dtype),
    )
    return made


@dataclass(frozen=True, slots=True)
class _Task:
    """What a task reads; in an object, through which dask does not look for keys."""

    kind: Reduction
    borders: tuple[Borders, ...]


def _whole(reader: Native, runs: Sequence[Run]) -> tuple[Borders, ...]:
    grid = reader.grid
    return tuple((grid.bounds(a, f)[0], grid.bounds(a, b - 1)[1]) for a, (f, b) in enumerate(runs))


def _read_part(reader: Native, task: _Task) -> State:
    """Read box by box in file order, and add up in place."""
    kind, states = task.kind, dict[tuple[int, ...], State]()
    for box in boxes(task.borders):
        place = tuple(0 if a in kind.axes else box[a].start for a in range(len(box)))
        made = kind.begin(reader[box])
        states[place] = kind.join(states[place], made) if place in states else made
    return _put_together(states, task.borders, kind)


def _put_together(states: dict[tuple[int, ...], State], borders: Sequence[Borders], kind: Reduction) -> State:
    """Make one partial result of those of several places along the axes that are kept."""
    if len(states) == 1:
        return next(iter(states.values()))
    firsts = [0 if a in kind.axes else axis[0] for a, axis in enumerate(borders)]
    shape = [1 if a in kind.axes else axis[-1] - axis[0] for a, axis in enumerate(borders)]
    out = [np.empty(shape, part.dtype) for part in next(iter(states.values()))]
    for place, state in states.items():
        for whole, part in zip(out, state, strict=True):
            at = (slice(p - f, p - f + n) for p, f, n in zip(place, firsts, part.shape, strict=True))
            whole[tuple(at)] = part
    return out


def _join(parts: Sequence[State], kind: Reduction) -> State:
    """Join partial results; the first is copied, since dask may hand it out again."""
    total = [part.copy() for part in parts[0]]
    for part in parts[1:]:
        total = kind.join(total, part)
    return total


def _finish(parts: Sequence[State], kind: Reduction) -> Array:
    return kind.finish(_join(parts, kind) if len(parts) > 1 else parts[0])
