"""Lazy, chunked Dask and xarray readers for scientific formats.

Importing scichunk imports no reference library: everything is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scichunk import errors, options

if TYPE_CHECKING:
    from scichunk.adapters.dask.arrays import from_fits, from_geotiff, from_jpeg2000, from_votable
    from scichunk.adapters.dask.frames import read_fits_table, read_votable
    from scichunk.adapters.dask.stacks import from_fits_files, from_geotiffs
    from scichunk.adapters.info import FileInfo, info
    from scichunk.adapters.tables import to_qtable, votable_header, write_fits_table, write_votable
    from scichunk.adapters.xarray.sky import wcs
    from scichunk.adapters.xarray.stacks import open_stack
    from scichunk.adapters.xarray.tree import open  # noqa: A004
    from scichunk.core.registry import formats
    from scichunk.lru import clear_caches

__version__ = "0.1.0"

__all__ = [
    "FileInfo",
    "__version__",
    "clear_caches",
    "errors",
    "formats",
    "from_fits",
    "from_fits_files",
    "from_geotiff",
    "from_geotiffs",
    "from_jpeg2000",
    "from_votable",
    "info",
    "open",
    "open_stack",
    "options",
    "read_fits_table",
    "read_votable",
    "to_qtable",
    "votable_header",
    "wcs",
    "write_fits_table",
    "write_votable",
]

_WHERE = {
    "FileInfo": "scichunk.adapters.info",
    "clear_caches": "scichunk.lru",
    "formats": "scichunk.core.registry",
    "from_fits": "scichunk.adapters.dask.arrays",
    "from_fits_files": "scichunk.adapters.dask.stacks",
    "from_geotiff": "scichunk.adapters.dask.arrays",
    "from_geotiffs": "scichunk.adapters.dask.stacks",
    "from_jpeg2000": "scichunk.adapters.dask.arrays",
    "from_votable": "scichunk.adapters.dask.arrays",
    "info": "scichunk.adapters.info",
    "open": "scichunk.adapters.xarray.tree",
    "open_stack": "scichunk.adapters.xarray.stacks",
    "read_fits_table": "scichunk.adapters.dask.frames",
    "read_votable": "scichunk.adapters.dask.frames",
    "to_qtable": "scichunk.adapters.tables",
    "votable_header": "scichunk.adapters.tables",
    "wcs": "scichunk.adapters.xarray.sky",
    "write_fits_table": "scichunk.adapters.tables",
    "write_votable": "scichunk.adapters.tables",
}


def __getattr__(name: str) -> Any:  # PEP 562
    if name not in _WHERE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
