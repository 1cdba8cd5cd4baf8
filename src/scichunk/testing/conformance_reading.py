"""Checks that every way to read a part of an array gives the values of a full read."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from scichunk.testing.conformance_case import Case, require, require_same

__all__ = ["check_async", "check_empty_selections", "check_indexing", "check_points", "check_threads"]

_THREADS = 8
_KEYS = 24


def check_indexing(case: Case) -> None:
    """Slices, steps, negative steps, integers, index arrays and their mixtures select what they select from an array in memory."""
    rng = random.Random(1)  # noqa: S311
    for label, variable in case.variables():
        full = _in_memory(variable)
        if not full.size:
            continue
        for key in _make_keys(full.sizes, rng):
            require_same(variable.variable.isel(key).values, full.isel(key).values, f"{label}, isel({_key_text(key)})")
        first = {d: slice(n // 4, None) for d, n in full.sizes.items()}
        second = {d: slice(None, None, -2) for d in full.sizes}
        got = variable.variable.isel(first).isel(second).values
        require_same(got, full.isel(first).isel(second).values, f"{label}, a selection of a selection")


def check_points(case: Case) -> None:
    """Vectorised selections (points, and arrays of points) select what they select from an array in memory."""
    import xarray as xr

    rng = np.random.default_rng(2)
    for label, variable in case.variables():
        full = _in_memory(variable)
        if not full.size:
            continue
        for several in range(1, full.ndim + 1):
            for shape in ((2, 3), (7, 1)):
                key = {
                    d: xr.Variable(("i", "j"), rng.integers(-full.sizes[d], full.sizes[d], shape))
                    for d in full.dims[:several]
                }
                got = variable.variable.isel(key).values
                require_same(got, full.isel(key).values, f"{label}, {shape} points of the first {several} axes")


def check_empty_selections(case: Case) -> None:
    """A selection of nothing has the right shape and type."""
    for label, variable in case.variables():
        full = _in_memory(variable)
        for dim in full.dims:
            for nothing in (slice(0, 0), slice(5, 2), np.zeros(0, int)):
                key = {dim: nothing}
                require_same(
                    variable.variable.isel(key).values, full.isel(key).values, f"{label}, isel({_key_text(key)})"
                )


def check_async(case: Case) -> None:
    """Asynchronous reads, many at a time, give what the others give, coordinates included."""
    for group in case.wanted():
        parts = [{d: slice(n // 3, None, 2) for d, n in case.dataset(group).sizes.items()}, {}]

        async def load(group: str = group, parts: Any = parts) -> list[Any]:
            return await asyncio.gather(*(case.dataset(group).isel(p).load_async() for p in parts))

        for part, ds in zip(parts, asyncio.run(load()), strict=True):
            want = case.dataset(group).isel(part)
            for name in want.variables:
                require_same(
                    ds[name].values, want[name].values, f"{case.file}, group {group}, {name}, read asynchronously"
                )


def check_threads(case: Case) -> None:
    """Threads that open one file, or read one dataset, at the same time get the right values."""
    import scichunk

    want = {label: v.values for label, v in case.variables()}
    shared = [(label, v.variable) for label, v in case.variables()]
    scichunk.clear_caches()
    barrier = threading.Barrier(_THREADS)
    wrong: list[str] = []

    def work(number: int) -> None:
        try:
            barrier.wait(60)
            own = [(label, v.variable) for label, v in case.variables()] if number % 2 else shared
            for label, variable in own:
                require_same(variable.copy(deep=False).values, want[label], label)
        except BaseException as error:  # noqa: BLE001  # told by the thread that waits
            wrong.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(n,), name=f"conformance {n}") for n in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    require(not any(t.is_alive() for t in threads), f"{case.file}: {_THREADS} threads do not end")
    require(not wrong, f"{case.file}: with {_THREADS} threads: " + "; ".join(wrong))


def _in_memory(variable: Any) -> Any:
    """Read all of a variable, as an ``xarray.Variable`` of NumPy values."""
    import xarray as xr

    return xr.Variable(variable.dims, variable.values)


def _make_keys(sizes: Any, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Each kind of selection on each axis, with any selection on the others."""
    for dim in sizes:
        for kind in range(8):
            others = {
                d: _select_axis(n, rng.randrange(8), rng) for d, n in sizes.items() if d != dim and rng.random() < 0.7
            }
            yield {**others, dim: _select_axis(sizes[dim], kind, rng)}
    for _ in range(_KEYS):
        yield {d: _select_axis(n, rng.randrange(8), rng) for d, n in sizes.items()}


def _select_axis(n: int, kind: int, rng: random.Random) -> Any:
    a, b = sorted((rng.randrange(n), rng.randrange(n)))
    return (
        slice(a, b + 1),
        slice(a, None, rng.randrange(1, 6)),
        slice(b, a - 1 if a else None, -rng.randrange(1, 4)),
        slice(None),
        rng.randrange(n),
        -1 - rng.randrange(n),
        np.array([rng.randrange(-n, n) for _ in range(rng.randrange(1, 6))]),
        np.array(sorted(rng.sample(range(n), min(n, 4)))),
    )[kind]


def _key_text(key: dict[str, Any]) -> str:
    return ", ".join(f"{d}={k.tolist() if isinstance(k, np.ndarray) else k}" for d, k in key.items())
