"""The public function ``save_index``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scichunk import options
from scichunk.adapters.headers import Rules, open_first
from scichunk.adapters.indexes import (
    Row,
    is_index,
    layout_of,
    load_index,
    merge_rows,
    versions_of_an_index,
    write_index,
)
from scichunk.core import registry
from scichunk.core.files import OpenFile
from scichunk.core.handles import open_file
from scichunk.errors import MissingFile, located
from scichunk.sources import Fingerprint, Location

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
        msg = f"the name of an index ends with .parquet, got {path!r}"
        raise ValueError(msg)
    rules = Rules(limits=options.take_snapshot())
    stack = open_first(urls, format, rules, storage_options)
    words = stack.first.selectors(selectors, "dataset", "save_index")
    if words and group is not None:
        msg = f"group= and {', '.join(words)}= say the same in two ways; give one"
        raise TypeError(msg)
    chosen = stack.first.file.select(**words) if words else group or "/"
    arrays = [v for var in stack.first.file.node(chosen).arrays for v in (var, var.raw) if v is not None]
    array_ids = list(dict.fromkeys(v.array_id for v in arrays))
    spec = registry.get_format(stack.format)
    keep = len(stack.locations) <= options.get().cached_files

    def look(location: Location) -> Row:
        with located(url=location.url), versions_of_an_index():
            file: OpenFile = open_file(stack.format, location, keep=keep)
            mark = file.fingerprint
            return str(location.target), mark.size, mark.tag, layout_of(file, array_ids, chosen)

    def version_of(location: Location) -> Fingerprint:
        with versions_of_an_index():
            return spec.version(location, location.open().fingerprint)

    before = None
    if append:
        try:
            before = load_index(path, storage_options)
        except MissingFile:  # the first time there is none to add to
            before = None
    if before is not None and before.format != stack.format:
        msg = f"the index is of files of the format {before.format}, and these are {stack.format}"
        raise ValueError(msg)
    rows, looked = merge_rows(before, stack.locations, look, version_of)
    write_index(path, stack.format, rows, storage_options)
    return looked
