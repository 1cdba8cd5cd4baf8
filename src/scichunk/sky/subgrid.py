"""The WCS of an even sub-grid of an image: pixel ``start + step * k`` becomes pixel ``k``, exactly.

astropy's own slicing takes a step for binning, and pixels for whole ones, so the arithmetic is here: a pixel axis is linear in all
that a WCS does with it. CRPIX and the columns of CD or PC take it (FITS 4.0, section 8.1), SIP its powers, lookup tables
their grid and their values.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scichunk.errors import FormatError
from scichunk.quiet import library_lock, quiet

__all__ = ["AxisGrid", "sub_grid"]

_EVEN = 1e-6
"""Pixels that positions may be off an even grid: they were computed from world coordinates."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AxisGrid:
    """What is left of an axis of the header."""

    name: str
    start: float
    step: float
    size: int
    """0 if the axis is gone, and nothing says which pixel it was."""
    dimension: int | None
    """Position among the axes that are left, in the order of FITS; None if it is gone."""

    @classmethod
    def from_positions(cls, name: Hashable, pixels: Floats | None, dimension: int | None) -> Self:
        """Find start and step of positions along an axis.

        Raises
        ------
        FormatError
            If they are not evenly spaced.
        """
        if pixels is None:
            return cls(str(name), 0.0, 1.0, 0, dimension)
        if not pixels.size:
            msg = f"no pixel along {name} is left"
            raise FormatError(msg)
        start = float(pixels[0])
        step = float((pixels[-1] - pixels[0]) / (pixels.size - 1)) if pixels.size > 1 else 1.0
        even = start + step * np.arange(pixels.size)
        if step == 0 or np.abs(pixels - even).max() > _EVEN:
            msg = f"the pixels along {name} are not evenly spaced, which is all that a WCS can express"
            raise FormatError(msg)
        return cls(str(name), start, step, pixels.size, dimension)

    @property
    def origin(self) -> float:
        """Where position 0 of the new pixel axis lies on the old one, both counted from 1 as in FITS."""
        return self.start + 1 - self.step


def sub_grid(whole: Any, grids: Sequence[AxisGrid]) -> Any:
    """Make the WCS of a sub-grid.

    Parameters
    ----------
    whole
        astropy's WCS of the image.
    grids
        What is left of each axis, in the order of FITS.

    Returns
    -------
    astropy.wcs.WCS
        Or, where a part of axes that belong together is left, a ``HighLevelWCSWrapper`` of astropy's sliced WCS.

    Raises
    ------
    FormatError
        If it cannot be expressed, or only with an error.
    """
    beyond = [g.name for g in grids[whole.naxis :] if g.dimension is not None and g.size > 1]
    if beyond:
        msg = f"the header has world coordinates of {whole.naxis} axes only, not of {', '.join(beyond)}"
        raise FormatError(msg)
    known = list(grids[: whole.naxis])
    known += [AxisGrid(f"axis_{i + 1}", 0.0, 1.0, 1, None) for i in range(len(known), whole.naxis)]
    with library_lock(), quiet():
        made = whole.deepcopy()
        made.pixel_bounds = None
        for axis, grid in enumerate(known):
            if grid.start != 0 or grid.step != 1:
                _rescale_axis(made, axis, grid)
        _rescale_distortions(made, known)
        made.wcs.set()
        _check_positions(whole, made, known)
        return _pick_axes(made, known)


def _rescale_axis(wcs: Any, axis: int, grid: AxisGrid) -> None:
    """Apply start and step to the linear part of an axis."""
    inner = wcs.wcs
    crpix = np.array(inner.crpix)
    crpix[axis] = (crpix[axis] - grid.origin) / grid.step
    inner.crpix = crpix
    if grid.step == 1:
        return
    if not inner.has_pc():  # CROTA is turned into the matrix that it stands for
        matrix = np.array(inner.cd if inner.has_cd() else wcs.pixel_scale_matrix)
        matrix[:, axis] *= grid.step
        inner.cd = matrix
        return
    if inner.has_cd():  # of both the standard allows only one, and PC counts
        del inner.cd
    matrix = np.array(inner.get_pc())
    across = np.delete(matrix[:, axis], axis), np.delete(matrix[axis], axis)
    if any(part.any() for part in across):
        matrix[:, axis] *= grid.step
        inner.pc = matrix
        return
    cdelt = np.array(inner.cdelt)
    cdelt[axis] *= grid.step
    inner.cdelt = cdelt


def _rescale_distortions(wcs: Any, grids: Sequence[AxisGrid]) -> None:
    """Apply starts and steps to SIP and to lookup tables, which are of the first two axes."""
    if not wcs.has_distortion or len(grids) < 2:
        return
    first, second = grids[:2]
    if (first.start, first.step, second.start, second.step) == (0, 1, 0, 1):
        return
    origins, steps = np.array([first.origin, second.origin]), np.array([first.step, second.step])
    if wcs.sip is not None:
        from astropy.wcs import Sip

        parts = [(wcs.sip.a, 0), (wcs.sip.b, 1), (wcs.sip.ap, 0), (wcs.sip.bp, 1)]
        scaled = [None if part is None else _rescale_polynomial(np.array(part), steps, axis) for part, axis in parts]
        wcs.sip = Sip(*scaled, (np.array(wcs.sip.crpix) - origins) / steps)
    for name, axis in (("cpdis1", 0), ("cpdis2", 1), ("det2im1", 0), ("det2im2", 1)):
        table = getattr(wcs, name)
        if table is not None:
            setattr(wcs, name, _rescale_lookup(table, origins, steps, axis))


def _rescale_polynomial(coefficients: Floats, steps: Floats, axis: int) -> Floats:
    """Coefficients of u**p * v**q that give pixels of an axis, for u and v in pixels of the new size."""
    p, q = np.indices(coefficients.shape)
    found: Floats = coefficients * steps[0] ** p * steps[1] ** q / steps[axis]
    return found


def _rescale_lookup(table: Any, origins: Floats, steps: Floats, axis: int) -> Any:
    from astropy.wcs import DistortionLookupTable

    data = (np.array(table.data, np.float64) / steps[axis]).astype(np.float32)
    crval = (np.array(table.crval) - origins) / steps
    return DistortionLookupTable(data, tuple(table.crpix), tuple(crval), tuple(np.array(table.cdelt) / steps))


def _check_positions(whole: Any, made: Any, grids: Sequence[AxisGrid]) -> None:
    """Compare with the whole image at some pixels: what is not exact is refused.

    Raises
    ------
    FormatError
        If positions differ: distortions that are applied to pixels within wcslib cannot be moved.
    """
    sizes = np.array([max(1, g.size) for g in grids], np.float64)
    turned = np.arange(len(grids)) % 2 == 1
    fractions = np.array([0.0, 0.31, 0.5, 0.77, 1.0])[:, None]
    points = np.concatenate([fractions * (sizes - 1), np.where(turned, 1 - fractions, fractions) * (sizes - 1)])
    where = np.array([g.start for g in grids]) + points * np.array([g.step for g in grids])
    mine, want, beside = (
        np.array(np.broadcast_arrays(*np.atleast_1d(w.pixel_to_world_values(*p.T)))).reshape(-1, len(p))
        if w.world_n_dim > 1
        else np.asarray(w.pixel_to_world_values(*p.T)).reshape(1, -1)
        for w, p in ((made, points), (whole, where), (whole, where + 0.25))
    )
    distance = np.abs(mine - want)
    for axis, unit in enumerate(whole.world_axis_units):
        if unit == "deg":
            distance[axis] = np.minimum(distance[axis], np.abs(distance[axis] - 360))
    allowed = 1e-5 * np.abs(beside - want) + 1e-11 * np.abs(want) + 1e-12
    if not (np.isnan(want) | np.isnan(beside) | (distance <= allowed)).all():
        msg = "the world coordinates have a distortion that cannot be moved to other pixels; take all of the image"
        raise FormatError(msg)


def _pick_axes(wcs: Any, grids: Sequence[AxisGrid]) -> Any:
    """Keep the axes that are left, in their order."""
    left = sorted((g.dimension, axis) for axis, g in enumerate(grids) if g.dimension is not None)
    kept = [axis for _, axis in left]
    gone = [axis for axis, g in enumerate(grids) if g.dimension is None]
    shape = tuple(grids[axis].size for axis in reversed(kept))
    if not kept:
        msg = "no axis of the image is left"
        raise FormatError(msg)
    tied = np.asarray(wcs.axis_correlation_matrix)
    worlds = tied[:, kept].any(axis=1)
    if not tied[np.ix_(worlds, gone)].any() and int(worlds.sum()) == len(kept):
        if kept == list(range(wcs.naxis)):
            wcs.array_shape = shape
            return wcs
        if wcs.has_distortion and not (kept == sorted(kept) and {0, 1} <= {*kept}) and {0, 1} & {*kept}:
            msg = "the axes of a distorted image of the sky must keep their order; transpose it back"
            raise FormatError(msg)
        found = wcs.sub([axis + 1 for axis in kept])
        if not {0, 1} & {*kept}:
            found.sip = found.cpdis1 = found.cpdis2 = found.det2im1 = found.det2im2 = None
        found.array_shape = shape
        return found
    unknown = [grids[axis].name for axis in gone if not grids[axis].size]
    if unknown:
        msg = f"it cannot be told which part of {', '.join(unknown)} this is: its coordinate is gone"
        raise FormatError(msg)
    if kept != sorted(kept):
        msg = "the axes of a cut across axes that belong together must keep their order; transpose it back"
        raise FormatError(msg)
    from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS

    wcs.array_shape = tuple(max(1, g.size) for g in reversed(grids))
    cut = [0 if axis in gone else slice(None) for axis in reversed(range(wcs.naxis))]
    return HighLevelWCSWrapper(SlicedLowLevelWCS(wcs, cut))
