"""``scichunk.open``: any file as a tree."""

from __future__ import annotations

import inspect
import os
from typing import Any, cast

from xarray import DataTree

from scichunk.adapters.opening import open_any
from scichunk.sources import locate

__all__ = ["open"]


def open(url: Any, **kwargs: Any) -> DataTree:  # noqa: A001  # the name is the contract's
    """Open a file of any format as an :class:`xarray.DataTree` of dask arrays.

    Parameters
    ----------
    url
        Path, fsspec URL, open binary file object, or bytes; compressed as a whole (.gz, .zip, ...) or not.
    **kwargs
        What :func:`xarray.open_datatree` takes: ``mask_and_scale``, ``storage_options``, ``drop_variables``, ... By default ``chunks``
        is ``{}``, the file's own chunks, tiny ones merged; ``chunks=None`` gives lazy arrays of xarray, without dask.

    Returns
    -------
    xarray.DataTree

    Raises
    ------
    FormatError
        If it is a file of no known format, or a corrupt one; or if a service sent an error instead of a table, with its text.
    SourceError
        If it is missing or cannot be read.
    """
    import xarray as xr

    if "engine" not in kwargs and "create_default_indexes" in inspect.signature(xr.open_datatree).parameters:
        # our datasets have theirs; xarray would copy the tree to look for more, which takes a fifth of the time of many pages
        kwargs.setdefault("create_default_indexes", False)
    kwargs = {"engine": "scichunk", "chunks": {}, **kwargs}
    # Content has one digest then, instead of one for each group, and xarray takes no bytes where there are chunks.
    target = url if isinstance(url, str | os.PathLike) else locate(url, kwargs.get("storage_options"))
    tree = xr.open_datatree(cast("Any", target), **kwargs)
    if not any(
        node.variables for node in tree.subtree
    ):  # where a service sent an error instead, its format raises that
        open_any(None, target, kwargs.get("storage_options")).file.node("/")
    return tree
