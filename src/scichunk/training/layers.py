"""Layers of patches: image, label, ..., each an array a scene, all cut at the same places."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk.adapters.files import thread_pool
from scichunk.adapters.opening import expand_names
from scichunk.raster.affine import is_georeferenced, scale_transform
from scichunk.raster.cf import Decoding
from scichunk.training.arrays import PatchArray, as_array, is_dataset, is_labelled

__all__ = ["Layer", "collect_arrays", "grain_of", "make_layers", "parse_size"]

Array = npt.NDArray[Any]
_FINEST: Final = 1000
"""Largest whole number by which the pixels of two layers may differ."""
_FEW: Final = 4
_OPENED_AT_ONCE: Final = 32
_SHIFT: Final = 1e-2
"""Share of a pixel by which the corners of two layers may differ."""
_REACH: Final = (1e-4, 1e-4, 1, 1e-4, 1e-4, 1)
"""How exactly each number of a transform must agree: sizes of pixels add up over ten thousand of them, corners do not."""


@dataclass(frozen=True)
class Layer:
    """One array a scene, of one type and with the same axes."""

    name: str
    arrays: tuple[PatchArray, ...]
    """One for each scene."""
    axes: tuple[int | None, ...]
    """Which axis each dimension of the patches is; None for a layer that does not have it."""
    factors: tuple[Fraction, ...]
    """Positions of this layer for each position of the first layer, along each dimension of the patches."""
    size: tuple[int, ...]
    """Of a patch, in positions of this layer."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values as they are stored."""
        return self.arrays[0].dtype

    @property
    def decoding(self) -> Decoding | None:
        """What makes of stored values what the user sees."""
        return self.arrays[0].decoding

    @property
    def out_dtype(self) -> np.dtype[Any]:
        """Type of the values as the user sees them."""
        return self.dtype if self.decoding is None else np.dtype(self.decoding.dtype)

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Shape of this layer of a patch."""
        shape = list(self.arrays[0].shape)
        for axis, length in zip(self.axes, self.size, strict=True):
            if axis is not None:
                shape[axis] = length
        return tuple(shape)

    @property
    def plane(self) -> tuple[int, int]:
        """The axes of rows and columns of a patch."""
        return len(self.patch_shape) - 2, len(self.patch_shape) - 1

    @property
    def bytes_a_position(self) -> float:
        """Stored bytes for each position of the first layer."""
        shape = self.arrays[0].shape
        rest = math.prod(n for a, n in enumerate(shape) if a not in self.axes)
        inside = (float(f) for f, a in zip(self.factors, self.axes, strict=True) if a is not None)
        return rest * math.prod(inside) * self.dtype.itemsize

    def window(self, scene: int, first: Sequence[int], last: Sequence[int]) -> tuple[slice, ...]:
        """Return the window of this layer from one corner of the first layer to another."""
        found = [slice(0, n) for n in self.arrays[scene].shape]
        for axis, factor, a, b in zip(self.axes, self.factors, first, last, strict=True):
            if axis is not None:
                found[axis] = slice(int(a * factor), math.ceil(b * factor))
        return tuple(found)


def collect_arrays(obj: Any, size: Any, **how: Any) -> tuple[dict[str, list[PatchArray]], tuple[str, ...]]:
    """Turn what the user gives into arrays, by layer and scene.

    Parameters
    ----------
    obj
        An array or a dataset of xarray, a window reader, or what names a file; several of them, one a scene; or a mapping of the names
        of layers to them.
    size
        Of a patch: by names of dimensions, or of the last two.
    **how
        Passed on to :func:`~scichunk.training.arrays.as_array`.

    Returns
    -------
    layers
        The arrays of each, one a scene.
    dims
        Along which patches are cut.
    """
    if isinstance(obj, Mapping) and not is_dataset(obj):
        parts = {str(name): _each_scene(value, how.get("storage_options")) for name, value in obj.items()}
    else:
        scenes = _each_scene(obj, how.get("storage_options"))
        if scenes and all(is_dataset(s) for s in scenes):
            names = [str(n) for n in scenes[0].data_vars]
            parts = {name: [s[name] for s in scenes] for name in names}
        else:
            parts = {"image": scenes}
    if not parts or not all(parts.values()):
        msg = "there is nothing to cut patches from"
        raise ValueError(msg)
    if len({len(scenes) for scenes in parts.values()}) > 1:
        counts = ", ".join(f"{len(scenes)} of {name!r}" for name, scenes in parts.items())
        msg = f"each layer needs an array for each scene, got {counts}"
        raise ValueError(msg)
    found = {name: _open_all(scenes, how) for name, scenes in parts.items()}
    first = next(iter(found.values()))[0]
    dims = parse_size(size, first.dims)
    if is_dataset(obj) or (
        isinstance(obj, list | tuple) and is_dataset(obj[0])
    ):  # variables of other dimensions stay behind
        found = {name: arrays for name, arrays in found.items() if set(dims) & set(arrays[0].dims)}
    return found, tuple(dims)


def _open_all(scenes: Sequence[Any], how: Mapping[str, Any]) -> list[PatchArray]:
    """Open all scenes of a layer: far away, many headers are waited for at once."""
    if len(scenes) < _FEW:
        return [as_array(s, **how) for s in scenes]
    with thread_pool(_OPENED_AT_ONCE, "scichunk-patches") as pool:
        return list(pool.map(lambda s: as_array(s, **how), scenes))


def _each_scene(obj: Any, storage_options: Any) -> list[Any]:
    if isinstance(obj, str):
        return expand_names(obj, storage_options)
    single = is_labelled(obj) or is_dataset(obj) or hasattr(obj, "read") or hasattr(obj, "__fspath__")
    if single or isinstance(obj, bytes | bytearray | memoryview) or not isinstance(obj, Iterable):
        return [obj]
    return list(obj)


def parse_size(size: Any, dims: Sequence[str], like: str = "size") -> dict[str, int]:
    """Return lengths by names of dimensions, in the order of the array.

    Raises
    ------
    ValueError
        For a dimension that is not there, or a length below 1.
    """
    if isinstance(size, Mapping):
        unknown = [d for d in size if d not in dims]
        if unknown:
            msg = f"{like} names dimensions that are not there: {unknown}; there are {list(dims)}"
            raise ValueError(msg)
        found = {d: size[d] for d in dims if d in size}
    else:
        pair = (size, size) if isinstance(size, int | np.integer) else tuple(size)
        if len(pair) > len(dims):
            msg = f"{like} has {len(pair)} lengths, and the array has the dimensions {list(dims)}"
            raise ValueError(msg)
        found = dict(zip(dims[len(dims) - len(pair) :], pair, strict=True))
    wrong = {d: n for d, n in found.items() if int(n) != n or n < 1}
    if wrong or not found:
        msg = f"{like} must be whole numbers of at least 1, got {size!r}"
        raise ValueError(msg)
    return {d: int(n) for d, n in found.items()}


def make_layers(arrays: Mapping[str, Sequence[PatchArray]], size: Mapping[str, int]) -> tuple[Layer, ...]:
    """Make the layers; the first one counts positions.

    Raises
    ------
    ValueError
        If arrays of one layer differ in type or axes, or if pixels of two layers do not fit into each other.
    """
    (first_name, first), *_ = arrays.items()
    made = []
    for name, scenes in arrays.items():
        _check_alike(name, scenes, size)
        axes = _axes_of(name, scenes[0], tuple(size), len(first[0].dims))
        factors = {_factors_of(name, a, b, axes, tuple(size)) for a, b in zip(scenes, first, strict=True)}
        for array, reference in zip(scenes, first, strict=True):
            _check_place(name, array, reference)
        if len(factors) > 1:
            msg = f"the pixels of {name!r} are not in each scene the same times finer than those of {first_name!r}"
            raise ValueError(msg)
        (ratio,) = factors
        inner = tuple(n * f for n, f in zip(size.values(), ratio, strict=True))
        if any(n.denominator != 1 for n in inner):
            told = {d: str(f) for d, f in zip(size, ratio, strict=True)}
            msg = f"{name!r} has {told} pixels for each of {first_name!r}: the size {dict(size)} is no whole number of them"
            raise ValueError(msg)
        made.append(Layer(name, tuple(scenes), axes, ratio, tuple(int(n) for n in inner)))
    return tuple(made)


def _check_alike(name: str, scenes: Sequence[PatchArray], size: Mapping[str, int]) -> None:
    first = scenes[0]
    # A missing value that is NaN equals no other one, but is written alike.
    kind = (first.dtype, repr(first.decoding), first.dims, _fixed(first, size))
    for other in scenes[1:]:
        found = (other.dtype, repr(other.decoding), other.dims, _fixed(other, size))
        if found != kind:
            msg = (
                f"the scenes of {name!r} differ: {other.name} is {other.dtype} {dict(zip(other.dims, other.shape, strict=True))}, "
                f"{first.name} is {first.dtype} {dict(zip(first.dims, first.shape, strict=True))}"
                + (", and they are scaled in other ways" if found[0] == kind[0] and found[2:] == kind[2:] else "")
            )
            raise ValueError(msg)


def _fixed(array: PatchArray, size: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(n for d, n in zip(array.dims, array.shape, strict=True) if d not in size)


def _axes_of(name: str, array: PatchArray, dims: tuple[str, ...], ndim: int) -> tuple[int | None, ...]:
    if any(d in array.dims for d in dims):
        return tuple(array.dims.index(d) if d in array.dims else None for d in dims)
    if len(array.dims) < min(len(dims), ndim):
        msg = f"{name!r} has the dimensions {array.dims}, and patches are cut along {dims}"
        raise ValueError(msg)
    return tuple(range(len(array.dims) - len(dims), len(array.dims)))


def _factors_of(
    name: str, array: PatchArray, first: PatchArray, axes: Sequence[int | None], dims: tuple[str, ...]
) -> tuple[Fraction, ...]:
    """How many positions of a layer there are for each of the first layer."""
    found = []
    for axis, dim in zip(axes, dims, strict=True):
        along = first.dims.index(dim)
        if axis is None or array.shape[axis] == first.shape[along]:
            found.append(Fraction(1))
            continue
        ratio = Fraction(array.shape[axis], first.shape[along]) if first.shape[along] else Fraction(1)
        if max(ratio.numerator, ratio.denominator) > _FINEST or min(ratio.numerator, ratio.denominator) > 20:
            msg = (
                f"{array.name} ({name}) has {array.shape[axis]} positions along {dim!r} and {first.name} has {first.shape[along]}: "
                "layers must cover the same area, with pixels that fit into each other"
            )
            raise ValueError(msg)
        found.append(ratio)
    return tuple(found)


def grain_of(layers: Sequence[Layer]) -> tuple[int, ...]:
    """Return of what corners are multiples along each dimension, so that they fall on borders of pixels in all layers."""
    columns = zip(*(layer.factors for layer in layers), strict=True)
    return tuple(math.lcm(*(f.denominator for f in column)) for column in columns)


def _check_place(name: str, array: PatchArray, first: PatchArray) -> None:
    """Refuse a layer that lies elsewhere on the ground than the first one, where both say where they lie."""
    if array is first or array.name == first.name:
        return
    mine, other = array.transform, first.transform
    if mine is None or other is None or not (is_georeferenced(mine) and is_georeferenced(other)):
        return
    rows, columns = (array.shape[a] / first.shape[a] for a in (-2, -1))
    scaled = scale_transform(mine, columns, rows)
    pixel = max(map(abs, (*other[:2], *other[3:5])))
    if any(abs(a - b) > _SHIFT * pixel * n for a, b, n in zip(scaled, other, _REACH, strict=True)):
        msg = (
            f"{array.name} ({name}) does not cover the area of {first.name}: its transform is {mine}, with {array.shape[-2:]} pixels, "
            f"and the other one is {other}, with {first.shape[-2:]}"
        )
        raise ValueError(msg)
