"""The public function ``save_index``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from scichunk import options
from scichunk.adapters.files import work_together
from scichunk.adapters.headers import Rules, open_first
from scichunk.adapters.indexes import RowLook, SavedIndex, is_index, load_index, rows_of, write_index
from scichunk.adapters.opening import id_for_all, named_part
from scichunk.adapters.scanning import look_by_all_cores
from scichunk.errors import MissingFile
from scichunk.sources.base import public_url
from scichunk.sources.siblings import one_look

__all__ = ["save_index"]


def save_index(
    urls: Sequence[Any] | str,
    path: Any,
    *,
    append: bool = False,
    format: str | None = None,  # noqa: A002  # the word users know
    group: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **selectors: Any,
) -> int:
    """Write down what the headers of many files say, so that a stack of them opens without looking at each.

    Give the path of the index to :func:`scichunk.open_stack` or :func:`scichunk.from_files` in place of the files. Their tasks then carry
    the path of the index instead of all names. The version of each file is kept: one that has changed since is an error when it is read.

    Parameters
    ----------
    urls
        Paths or fsspec URLs, or a pattern with ``*``.
    path
        Name of the index, a Parquet file: it ends with ``.parquet``. Workers must see it under the same name.
    append
        Add to an index that is there: files that it has already are looked at again only where their version has changed.
    format
        Name of the format; by default found from the first file.
    group
        The group that will be stacked; or give the selectors of the format.
    storage_options
        For fsspec; they are not written down, while urls are, as they are.
    **selectors
        Such as ``hdu`` or ``overview``.

    Returns
    -------
    int
        How many files were looked at.

    Raises
    ------
    ScichunkError
        If a file cannot be read.
    ValueError
        If the path does not end with ``.parquet``.

    Examples
    --------
    >>> import scichunk
    >>> scichunk.save_index("dem_*.tif", "dem.parquet")  # doctest: +SKIP
    >>> scichunk.open_stack("dem.parquet", dim="time")  # doctest: +SKIP
    """
    if not is_index(path):
        given = public_url(str(path)) if isinstance(path, str | os.PathLike) else type(path).__name__
        msg = f"the name of an index ends with .parquet, got {given}"
        raise ValueError(msg)
    rules = Rules(limits=options.take_snapshot())
    stack = open_first(urls, format, rules, storage_options)
    words = stack.first.selectors(selectors, "dataset", "save_index")
    if words and group is not None:
        msg = f"group= and {', '.join(words)}= say the same in two ways; give one"
        raise TypeError(msg)
    chosen = stack.first.file.select(**words) if words else group or "/"
    arrays = [v for var in stack.first.file.node(chosen).arrays for v in (var, var.raw) if v is not None]
    word = named_part(group, words)
    array_ids = list(dict.fromkeys(id_for_all(stack.first.file, v.array_id, word) for v in arrays))
    before = _load_before(path, stack.format, storage_options) if append else None
    known = {row[0]: row for row in (rows_of(before) if before is not None else ())}
    names, first = [str(location.target) for location in stack.locations], stack.locations[0]
    look = RowLook(stack.format, names, first.options, array_ids, chosen, known, options.take_snapshot())
    with one_look():
        if first.local_path is None or len(names) < options.get().parallel_headers:
            found = work_together(look, range(len(names)), remote=first.local_path is None)
        else:
            found = look_by_all_cores(look, range(len(names)))
    write_index(path, stack.format, list((known | {row[0]: row for row, _ in found}).values()), storage_options)
    return sum(looked for _, looked in found)


def _load_before(path: Any, format_name: str, storage_options: Mapping[str, Any] | None) -> SavedIndex | None:
    """Return the index that is there; None the first time.

    Raises
    ------
    ValueError
        If it is of files of another format.
    """
    try:
        before = load_index(path, storage_options)
    except MissingFile:
        return None
    if before.format != format_name:
        msg = f"the index is of files of the format {before.format}, and these are {format_name}"
        raise ValueError(msg)
    return before
