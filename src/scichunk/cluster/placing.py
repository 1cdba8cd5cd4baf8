"""How a mark reaches the workers of its pool: annotations that survive dask's optimisation, and a plugin that reads them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["ANNOTATION", "keep_annotations", "mark_of_key", "optimize", "place", "prefix", "resource"]

ANNOTATION = "scichunk_pool"
"""The word of a mark among dask's annotations. A scheduler that knows no pools ignores it, so the same program runs on a laptop."""

_PREFIX = "pool~"
_NAMES = frozenset({"span"})
"""Annotations that only give work a name, for the books of distributed."""


def resource(pool: str) -> str:
    """The name of the resource of dask that workers of a pool offer."""
    return f"pool-{pool}"


def prefix(pool: str) -> str:
    """How the keys of marked tasks begin: the mark of those that carry no annotation, and a name of their own for all."""
    return f"{_PREFIX}{pool}~"


def mark_of_key(key: Any) -> str | None:
    """The pool that a key names, if it names one."""
    name = key[0] if isinstance(key, tuple) and key else key
    if not isinstance(name, str) or not name.startswith(_PREFIX):
        return None
    return name.split("~", 2)[1]


def keep_annotations() -> None:
    """Let array computations of this process keep their annotations while they are optimised.

    The hook is dask's own, ``array_optimize`` in its configuration. It is asked when a computation begins, which may be long after a
    mark was set; so it stays. Somebody else's hook is left in place.
    """
    import dask.config

    if dask.config.get("array_optimize", None) is None:
        dask.config.set({"array_optimize": optimize})


def optimize(graph: Any, keys: Any, **kwargs: Any) -> Any:
    """Do what :func:`dask.array.optimization.optimize` does, once for each set of annotations, so that they are still there at the end.

    Dask fuses steps of different annotations and then forgets them (dask#7036). Here steps are fused where their annotations are
    equal, but for those that only give work a name. Slices still reach the reader. A graph without annotations goes to dask as it is.
    """
    import dask.config
    from dask.array.optimization import optimize as plain
    from dask.blockwise import optimize_blockwise
    from dask.core import flatten
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
    from dask.utils import ensure_dict

    if not any(_placing(layer.annotations) for layer in getattr(graph, "layers", {}).values()):
        return plain(graph, keys, **kwargs)
    asked = set(flatten(keys if isinstance(keys, list | set) else [keys]))
    graph, names = _without_names(graph)
    with dask.config.set({"optimization.annotations.fuse": False}):
        graph = optimize_blockwise(graph, keys=list(asked))
    groups = _groups_of(graph.cull(asked))
    kept = asked | _handed_over([tasks for _, tasks in groups])
    merged: dict[Any, Any] = {}
    notes: dict[str, dict[Any, Any]] = {}
    for noted, tasks in groups:
        done = ensure_dict(plain(tasks, list(kept & tasks.keys())))
        merged |= done
        for word, value in noted.items():
            notes.setdefault(word, {}).update((k, value(k) if callable(value) else value) for k in done)
    for key in merged:
        for word, value in names.get(key[0] if isinstance(key, tuple) else key, {}).items():
            notes.setdefault(word, {})[key] = value(key) if callable(value) else value
    merged, notes = _renamed(merged, notes, asked)
    # One layer whose annotations are asked key by key: between layers a step back and forth would be a circle.
    layer = MaterializedLayer(merged, annotations={word: values.get for word, values in notes.items()})
    name = f"placed-{uuid.uuid4().hex}"
    return HighLevelGraph({name: layer}, {name: set()})


def _placing(annotations: Mapping[str, Any] | None) -> dict[str, Any]:
    """Annotations that say where or when a step runs."""
    return {word: value for word, value in (annotations or {}).items() if word not in _NAMES}


def _without_names(graph: Any) -> tuple[Any, dict[str, dict[str, Any]]]:
    """The graph without annotations that only give work a name, and these: by layer, then by word.

    A span that begins between a read and the first step upon it would else keep the two from being fused; and a read that is a task of
    its own has the same key in all computations, so that distributed counts it for the span of the first.
    """
    import copy

    from dask.highlevelgraph import HighLevelGraph

    layers, found = dict(graph.layers), dict[str, dict[str, Any]]()
    for name, layer in graph.layers.items():
        noted = layer.annotations or {}
        if _NAMES.intersection(noted):
            layers[name] = plain = copy.copy(layer)
            plain.annotations = _placing(noted) or None
            found[name] = {word: value for word, value in noted.items() if word in _NAMES}
    return (HighLevelGraph(layers, graph.dependencies) if found else graph), found


def _groups_of(graph: Any) -> list[tuple[dict[str, Any], dict[Any, Any]]]:
    """The tasks of all layers with equal annotations, together with these.

    They are brought into dask's newer form as a whole: in the older one a key is told from a tuple by all keys that there are.
    """
    from dask._task_spec import convert_legacy_graph

    layers = {name: dict(layer) for name, layer in graph.layers.items()}
    whole = convert_legacy_graph({key: task for layer in layers.values() for key, task in layer.items()})
    found: dict[str, tuple[dict[str, Any], dict[Any, Any]]] = {}
    for name, layer in graph.layers.items():
        noted = dict(layer.annotations or {})
        group = found.setdefault(repr(sorted(noted.items(), key=repr)), (noted, {}))
        group[1].update((key, whole[key]) for key in layers[name])
    return list(found.values())


def _handed_over(groups: list[dict[Any, Any]]) -> set[Any]:
    """Keys of one group that another group needs: they keep their names."""
    home = {key: number for number, tasks in enumerate(groups) for key in tasks}
    found = set()
    for number, tasks in enumerate(groups):
        needed = {key for task in tasks.values() for key in task.dependencies}
        found |= {key for key in needed if home.get(key, number) != number}
    return found


def _renamed(
    tasks: dict[Any, Any], notes: dict[str, dict[Any, Any]], asked: set[Any]
) -> tuple[dict[Any, Any], dict[str, dict[Any, Any]]]:
    """Give marked keys that nobody waits for by name the name of their pool.

    A scheduler takes annotations from new keys only: the same step, computed elsewhere at that moment, would stay where it is.
    """
    names = {k: _with_prefix(k, pool) for k, pool in notes.get(ANNOTATION, {}).items() if k not in asked}
    if not names or not all(hasattr(task, "substitute") for task in tasks.values()):
        return tasks, notes
    renamed = {}
    for key, task in tasks.items():
        new = names.get(key, key)
        renamed[new] = task.substitute(names, key=new)
    return renamed, {word: {names.get(k, k): v for k, v in values.items()} for word, values in notes.items()}


def _with_prefix(key: Any, pool: str) -> Any:
    """A key with the mark of a pool before its name."""
    if isinstance(key, tuple):
        return (prefix(pool) + str(key[0]), *key[1:])
    return prefix(pool) + str(key)


def place(tasks: Mapping[Any, Any], keys: Iterable[Any], annotations: Mapping[str, Mapping[Any, Any]]) -> None:
    """Restrict marked tasks of a scheduler to workers that offer the resource of their pool, other restrictions kept.

    Parameters
    ----------
    tasks
        The states of tasks of a scheduler by their keys.
    keys
        Those of the graph that has arrived.
    annotations
        The annotations of its new tasks: by word, then by key.
    """
    marked = annotations.get(ANNOTATION, {})
    for key in keys:
        pool = marked.get(key) or mark_of_key(key)
        state = tasks.get(key)
        if pool and state is not None:
            # an amount of zero takes a worker that has the resource, and nothing of it
            others = {k: v for k, v in (state.resource_restrictions or {}).items() if not k.startswith(resource(""))}
            state.resource_restrictions = others | {resource(pool): 0}
