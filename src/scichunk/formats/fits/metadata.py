"""Names of dimensions."""

from __future__ import annotations

from scichunk.formats.fits.structure import HDU

__all__ = ["dim_names"]


def dim_names(hdu: HDU) -> tuple[str, ...]:
    """Names of the axes in NumPy's order."""
    n = len(hdu.shape)
    return tuple({0: "x", 1: "y"}.get(n - 1 - i, f"axis_{n - i}") for i in range(n))
