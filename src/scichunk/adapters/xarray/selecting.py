"""``ds.sel(ra=..., dec=..., method="nearest")`` for images of the sky.

An index of xarray that owned ``ra`` and ``dec`` would break ordinary work (docs/internals.md says how), so these are plain
coordinates, which ``Dataset.sel`` refuses. Here it answers instead where it could only have raised: for labels of coordinates
without an index that hold the reference point of an image, or (``coords="celestial"``) the positions of all pixels. All else goes
through untouched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr

__all__ = ["install_selection"]


def install_selection() -> None:
    """Let ``Dataset.sel`` (which that of arrays calls; trees have the accessor) answer positions on the sky; once in a process."""
    if not hasattr(xr.Dataset.sel, "knows_the_sky"):
        xr.Dataset.sel = _with_positions(xr.Dataset.sel)  # type: ignore[assignment, method-assign]


def _with_positions(original: Callable[..., xr.Dataset]) -> Callable[..., xr.Dataset]:
    @functools.wraps(original)
    def sel(
        self: xr.Dataset,
        indexers: Mapping[Any, Any] | None = None,
        method: str | None = None,
        tolerance: Any = None,
        drop: bool = False,  # xarray's signature
        **indexers_kwargs: Any,
    ) -> xr.Dataset:
        labels = {**(indexers or {}), **indexers_kwargs}
        if not any(_is_position(self, name) for name in labels):
            return original(self, indexers, method, tolerance, drop, **indexers_kwargs)
        from scichunk.adapters.xarray.positions import RANGE_IS_BOX, select_nearest

        lonlat = {name: labels.pop(name) for name in [*labels] if _is_position(self, name)}
        if any(isinstance(value, slice) for value in lonlat.values()):
            raise TypeError(RANGE_IS_BOX)
        if method is None:
            msg = "positions fall between pixels: give method='nearest'"
            raise ValueError(msg)
        rest = original(self, labels, method, None, drop) if labels else self
        found: xr.Dataset = select_nearest(rest, None, lonlat, method=method, tolerance=tolerance, outside="raise")
        picked = {*lonlat, *self.dims} & {*found.coords} if drop else set()
        return found.drop_vars([n for n in picked if not found[n].ndim])

    sel.knows_the_sky = True  # type: ignore[attr-defined]
    return sel


def _is_position(ds: xr.Dataset, name: Any) -> bool:
    """Whether a name is that of a coordinate with positions on the sky, for which xarray has no way to select."""
    if name in ds.dims or name not in ds.coords or name in ds.xindexes:
        return False
    from scichunk.adapters.xarray.sky import is_position

    return is_position(ds.coords[name])
