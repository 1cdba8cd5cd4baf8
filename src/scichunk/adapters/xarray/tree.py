"""``scichunk.open``: any file as a tree."""

from __future__ import annotations

from typing import Any

from xarray import DataTree

__all__ = ["open"]


def open(url: Any, **kwargs: Any) -> DataTree:  # noqa: A001  # the name is the contract's
    """Open a file of any format as an :class:`xarray.DataTree`, all arrays lazy.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes.
    **kwargs
        What :func:`xarray.open_datatree` takes: ``chunks`` (for dask arrays), ``mask_and_scale``, ``storage_options``, ...

    Returns
    -------
    xarray.DataTree

    Raises
    ------
    FormatError
        If it is a file of no known format, or a corrupt one.
    SourceError
        If it is missing or cannot be read.
    """
    import xarray as xr

    return xr.open_datatree(url, engine=kwargs.pop("engine", "scichunk"), **kwargs)
