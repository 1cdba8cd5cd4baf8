"""``predict``: a model over all patches, and what it says as an array on the grid of the scene."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.errors import DataWarning
from scichunk.training.blending import Canvas, Tiling, window_weights
from scichunk.training.outputs import MemoryOutput, Output, ZarrOutput, open_raster
from scichunk.training.patches import Patches
from scichunk.training.placing import find_crs, find_transform, is_georeferenced, with_transform

__all__ = ["predict"]

Array = npt.NDArray[Any]
Batch = Mapping[str, Array]
_OPTIONS: Final = ("dtype", "normalize", "fill", "threads", "ahead", "mix", "buffers", "keep_bytes")
"""Of batches, those that leave each patch in its place: others would put predictions where they do not belong, or leave some out."""


def predict(
    patches: Patches,
    model: Callable[[Batch], Any],
    out: Any = None,
    *,
    name: str = "prediction",
    batch_size: int = 16,
    blend: str | None = "linear",
    finish: Callable[[Array], Array] | None = None,
    chunks: tuple[int, int] = (512, 512),
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    cog_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Apply a model to all patches of a scene, and put what it says together on the grid of the scene.

    Where patches overlap (``stride`` smaller than ``size``), predictions are blended. Each chunk is written once it is complete; what
    is held in memory are the chunks that patches still reach into. A run that was broken off goes on where it stopped.

    Parameters
    ----------
    patches
        Of one scene, cut along two dimensions: ``scichunk.patches(..., stride=size // 2, edges="shift")`` covers all of it.
    model
        Called with batches, dicts of arrays by the names of layers; returns an array or a tensor (patch, ..., row, column) on the
        pixels of the first layer.
    out
        A path or URL of a Zarr group; a path ending in ``.tif`` for a cloud-optimized GeoTIFF (which is written by way of a Zarr group
        in a hidden folder beside it); None for memory.
    name
        Of the variable.
    batch_size
        Patches a batch.
    blend
        How patches that overlap are weighted: ``"linear"``, ``"hann"``, or None for all alike.
    finish
        Called with the blended values of each chunk (..., row, column); what it returns is written: ``lambda p: p.argmax(0).astype("u1")``.
    chunks
        Rows and columns of a chunk of the result.
    overwrite
        Replace a file or group that is there, and remove masks, overviews and metadata beside a raster, which would count for the new
        one. A run that was broken off goes on without it.
    storage_options
        For fsspec, where ``out`` is a URL.
    cog_options
        Of GDAL's driver COG: ``{"compress": "zstd"}``.
    **options
        As for :meth:`scichunk.Patches.batches`: ``dtype``, ``normalize``, ``fill``, ``threads``, ``ahead``, ``mix``, ``buffers``,
        ``keep_bytes``; not those that move, turn or leave out patches.

    Returns
    -------
    xarray.Dataset
        With the coordinates and the CRS of the scene; lazy unless in memory.

    Raises
    ------
    TypeError
        If an option is not one of those.
    ValueError
        If there are several scenes or other than two dimensions, if the model gives another shape, or if ``out`` holds a part of other
        predictions.
    SourceError
        If there is a file or group already, or it cannot be written.
    UnsupportedFeature
        If a GeoTIFF is to be written elsewhere than to a local file.

    Warns
    -----
    DataWarning
        If no patch covers some of the scene: there is NaN, or 0 of integers.

    Examples
    --------
    >>> import scichunk
    >>> p = scichunk.patches("scene.tif", 256, stride=128, edges="shift")  # doctest: +SKIP
    >>> scichunk.predict(p, lambda batch: model(batch["image"]), "classes.tif")  # doctest: +SKIP
    """
    scene = _check(patches, chunks, options)
    first = patches.layers[0]
    height, width = (first.arrays[scene].shape[a] for a in first.axes if a is not None)
    size = (patches.size[0], patches.size[1])
    tiling = Tiling((height, width), (min(chunks[0], height), min(chunks[1], width)), size, patches.samples.corners)
    path = str(out) if isinstance(out, str | os.PathLike) else ""
    is_raster = path.lower().endswith((".tif", ".tiff"))
    weights = window_weights(size, blend if any(s < n for s, n in zip(patches.stride, size, strict=True)) else None)
    with contextlib.ExitStack() as stack:
        output: Output
        if out is None:
            output = MemoryOutput(tiling.counts)
        elif is_raster:
            profile = {**_georeference(patches, scene), **(cog_options or {})}
            output = stack.enter_context(open_raster(path, name, tiling.counts, overwrite=overwrite, profile=profile))
        else:
            output = ZarrOutput(out, name, tiling.counts, overwrite=overwrite, storage_options=storage_options)
        missing = _Run(patches, model, tiling, output, finish, name).go(weights, batch_size, options)
        if missing:
            msg = f'no patch covers {missing} of {height * width} pixels; edges="shift" in scichunk.patches covers the whole scene'
            warnings.warn(msg, DataWarning, stacklevel=2)
        found = output.finish()
    if not is_raster:
        return found
    import xarray as xr

    from scichunk.adapters.xarray.engine import ScichunkBackend

    return xr.open_dataset(path, engine=ScichunkBackend, chunks={})


def _check(patches: Patches, chunks: Sequence[int], options: Mapping[str, Any]) -> int:
    """Look whether predictions can be made so; return the number of the only scene."""
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        msg = f"predict has no keyword {', '.join(unknown)}; of the options of batches it takes {', '.join(_OPTIONS)}"
        raise TypeError(msg)
    if len(chunks) != 2 or any(isinstance(n, str) or n != int(n) or n < 1 for n in chunks):
        msg = f"chunks are rows and columns, whole numbers of at least 1, got {chunks!r}"
        raise ValueError(msg)
    scenes = np.unique(patches.samples.scenes)
    if len(scenes) != 1:
        msg = f"predictions are of one scene, and these are patches of {len(scenes)}: patches.isel(scene=0) has those of the first"
        raise ValueError(msg)
    if len(patches.dims) != 2:
        msg = f"predictions are made along two dimensions, and patches are cut along {list(patches.dims)}"
        raise ValueError(msg)
    return int(scenes[0])


def _georeference(patches: Patches, scene: int) -> dict[str, Any]:
    """CRS and transform of the scene, as rasterio takes them."""
    from rasterio import Affine

    array = patches.layers[0].arrays[scene]
    transform = find_transform(array, patches.dims)
    if transform is None and is_georeferenced(array):
        msg = "the pixels of the scene are not evenly spaced, so that a raster cannot say where they lie: write a Zarr group"
        raise ValueError(msg)
    return {"crs": find_crs(array), "transform": Affine.identity() if transform is None else Affine(*transform)}


@dataclass
class _Run:
    """One run over what is not done yet."""

    patches: Patches
    model: Callable[[Batch], Any]
    tiling: Tiling
    output: Output
    finish: Callable[[Array], Array] | None
    name: str

    def go(self, weights: Array, batch_size: int, options: Mapping[str, Any]) -> int:
        """Predict, and write each chunk that is complete; return how many pixels nothing covers."""
        done, by_cell = self.output.done(), self.tiling.patches_by_cell()
        left = {cell: len(which) for cell, which in by_cell.items() if not done[cell]}
        numbers = np.unique([n for cell in left for n in by_cell[cell]]).astype(np.int64)
        canvas, prepared = Canvas(self.tiling, weights, left), False
        for corner, values in self._predictions(numbers, batch_size, options):
            if not prepared:
                self._prepare(values)
                prepared = True
            for cell, whole in canvas.add(corner, values):
                self.output.write(cell, self.tiling.box(cell), self._finished(whole, values.dtype))
        boxes = map(self.tiling.box, by_cell)  # of others there may be any number
        reached: int = sum((b.stop - b.start) * (c.stop - c.start) for b, c in boxes)
        return canvas.missing + self.tiling.shape[0] * self.tiling.shape[1] - reached

    def _predictions(self, numbers: Array, batch_size: int, options: Mapping[str, Any]) -> Iterator[tuple[Any, Array]]:
        some = replace(self.patches.take(numbers), sample_weights=None)  # each once
        corners = some.samples.corners.tolist()
        for batch in some.batches(batch_size, shuffle=False, index=True, **options):
            index = batch.pop("index")
            del batch["seed"]
            with _without_gradients():
                found = _as_array(self.model(batch))
            if found.shape[:1] != index.shape or found.shape[-2:] != self.tiling.size or found.ndim > 4:
                msg = (
                    f"the model gives {found.shape} for {len(index)} patches: "
                    f"expected ({len(index)}, ..., {', '.join(map(str, self.tiling.size))})"
                )
                raise ValueError(msg)
            for number, values in zip(index.tolist(), found, strict=True):
                yield corners[number], values

    def _finished(self, whole: Array, kind: np.dtype[Any]) -> Array:
        if self.finish is not None:
            return np.asarray(self.finish(whole))
        if kind.kind in "iub":
            return np.nan_to_num(np.rint(whole)).astype(kind)
        return whole.astype(kind, copy=False)

    def _prepare(self, values: Array) -> None:
        """Make room for what the first patch shows the predictions to be like."""
        import xarray as xr

        array = self.patches.layers[0].arrays[int(self.patches.samples.scenes[0])]
        labelled = array.labelled()
        probe = self._finished(
            np.zeros((*values.shape[:-2], 1, 1), np.float64 if values.dtype.kind in "iu" else values.dtype),
            values.dtype,
        )
        dims = (*("band", "axis_1")[: probe.ndim - 2], *self.patches.dims)
        coords = {n: c for n, c in labelled.coords.items() if set(c.dims) <= set(self.patches.dims)}
        coords = with_transform(coords, find_transform(array, self.patches.dims))
        empty = np.broadcast_to(np.zeros((), probe.dtype), (*probe.shape[:-2], *self.tiling.shape))
        template = xr.DataArray(empty, coords, dims, self.name)
        if "spatial_ref" in coords:
            template.encoding["grid_mapping"] = "spatial_ref"
        self.output.prepare(template, (*probe.shape[:-2], *self.tiling.chunks))


def _as_array(values: Any) -> Array:
    """A tensor of any package, wherever it lies, as an array."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)


def _without_gradients() -> Any:
    """PyTorch keeps what gradients need, where it is not told otherwise."""
    torch: Any = sys.modules.get("torch")
    return torch.inference_mode() if hasattr(torch, "inference_mode") else contextlib.nullcontext()
