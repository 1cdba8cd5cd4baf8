"""``patches``: from arrays and files to patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scichunk.training.layers import collect_arrays, grain_of, make_layers, parse_size
from scichunk.training.patches import Patches
from scichunk.training.positions import position_samples
from scichunk.training.samples import grid_samples, make_blocks, with_blocks
from scichunk.training.units import parse_size as parse_bytes

__all__ = ["patches"]


def patches(
    obj: Any,
    size: Any,
    *,
    stride: Any = None,
    edges: str = "drop",
    at: Any = None,
    where: Any = None,
    weights: Any = None,
    block_bytes: int | str = 1 << 24,
    mask_and_scale: bool = False,
    scenes: Sequence[Any] | None = None,
    format: str | None = None,  # noqa: A002  # the word users know
    storage_options: Mapping[str, Any] | None = None,
) -> Patches:
    """Cut arrays into patches, without reading any of them yet.

    Parameters
    ----------
    obj
        What patches are cut from: a path or URL, a pattern with ``*``, a :func:`scichunk.reader` (which picks bands, pages, HDUs), an
        array or a dataset of xarray; a list of them, one a scene; or a mapping of the names of layers to any of these. All layers
        are cut at the same places; their pixels may be a whole number of times finer or coarser.
    size
        Lengths of a patch by names of dimensions, ``{"y": 256, "x": 256}``; or of the last dimensions, ``256`` and ``(256, 256)``.
        Of dimensions that are not named a patch has all.
    stride
        Distances of patches, as ``size``; by default as long as they are, so that they touch.
    edges
        ``"drop"`` leaves out patches that would reach beyond the edge of a scene; ``"shift"`` adds some that end with it, so that all
        of it is covered.
    at
        A table of positions, instead of a grid: a mapping or a frame with columns ``ra`` and ``dec`` (or what the axes of the sky are
        called, in degrees), the names of the dimensions (values of the coordinates), or ``row`` and ``col`` (pixels), and ``scene``
        where there are several. Patches are numbered in its order.
    where
        Which patches to keep: a mask, or a function of a patch (a dict of arrays), which reads all of them once; or
        ``{layer: function}``, which reads that layer only.
    weights
        How often patches come in an epoch, in proportion: numbers, or functions as for ``where``.
    block_bytes
        How much is read at once, of all layers, about.
    mask_and_scale
        Whether files are read as xarray would decode them: NaN where there is no data, scaled. Arrays of xarray are what they are.
    scenes
        Labels of the scenes, for :meth:`Patches.sel`: names, or times. By default the names of the files.
    format, storage_options
        For the files, as for :func:`scichunk.reader`.

    Returns
    -------
    Patches
        A sequence: ``p[7]`` is a dict of arrays by the names of layers. It pickles, and many threads may read from it.

    Raises
    ------
    FormatError, SourceError
        If a file cannot be read.
    LimitExceeded
        If there are so many patches that their table is beyond :mod:`scichunk.options`.
    ValueError
        If scenes or layers do not fit together, or an argument has an impossible value.

    Examples
    --------
    >>> import scichunk
    >>> p = scichunk.patches({"image": "scene.tif", "label": "label.tif"}, 256)  # doctest: +SKIP
    >>> for batch in p.batches(16, seed=0):  # doctest: +SKIP
    ...     train(batch["image"], batch["label"])
    """
    how = {"mask_and_scale": mask_and_scale, "format": format, "storage_options": storage_options}
    arrays, dims = collect_arrays(obj, size, **how)
    first = next(iter(arrays.values()))
    lengths = parse_size(size, first[0].dims)
    steps = lengths if stride is None else {**lengths, **parse_size(stride, first[0].dims, "stride")}
    if edges not in {"drop", "shift"}:
        msg = f'edges must be "drop" or "shift", got {edges!r}'
        raise ValueError(msg)
    if set(steps) != set(lengths):
        msg = f"stride names dimensions along which patches are not cut: {sorted(set(steps) - set(lengths))}"
        raise ValueError(msg)
    layers = make_layers(arrays, lengths)
    shape, step = tuple(lengths.values()), tuple(steps[d] for d in dims)
    grain = grain_of(layers)
    if any(s % g for s, g in zip(step, grain, strict=True)):
        msg = f"stride {step} must be a multiple of {grain}, so that patches begin on borders of pixels in all layers"
        raise ValueError(msg)
    blocks = make_blocks(layers, shape, step, parse_bytes(block_bytes, "block_bytes"))
    if at is None:
        table = with_blocks(blocks, *grid_samples(layers, shape, step, edges, grain), keep_order=False)
    else:
        where_from, corners, rows = position_samples(layers, dims, shape, at, grain)
        table = replace(with_blocks(blocks, where_from, corners, keep_order=True), rows=rows)
    labels = tuple(a.name for a in first) if scenes is None else tuple(scenes)
    if len(labels) != len(first):
        msg = f"scenes has {len(labels)} labels, and there are {len(first)} scenes"
        raise ValueError(msg)
    made = Patches(layers, dims, shape, step, blocks, table, labels)
    made = made if where is None else made.where(where)
    return made if weights is None else made.weighted(weights)
