"""Lazy, chunked Dask and xarray readers for scientific formats.

Importing scichunk imports no reference library: everything is loaded on first use. The accessor ``sky`` of xarray is there as soon as
xarray is imported too, in whichever order.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scichunk import errors, options
from scichunk.adapters.following import import_after

if TYPE_CHECKING:
    from scichunk import cluster, formats
    from scichunk.adapters import history
    from scichunk.adapters.caches import CacheInfo, CacheReport, cache_info
    from scichunk.adapters.columns import columns
    from scichunk.adapters.dask.arrays import from_file
    from scichunk.adapters.dask.frames import read_table
    from scichunk.adapters.dask.mapping import map_chunks
    from scichunk.adapters.dask.reductions import reduce
    from scichunk.adapters.dask.stacks import from_files
    from scichunk.adapters.info import FileInfo, info
    from scichunk.adapters.plans import Plan, plan, suggest_chunks
    from scichunk.adapters.profiling import Profile, profile
    from scichunk.adapters.reader import WindowReader, reader
    from scichunk.adapters.saving import save_index
    from scichunk.adapters.tables import to_qtable
    from scichunk.adapters.warmup import warmup
    from scichunk.adapters.xarray.sky import wcs
    from scichunk.adapters.xarray.stacks import open_stack
    from scichunk.adapters.xarray.tree import open  # noqa: A004
    from scichunk.core.registry import list_formats
    from scichunk.formats.fits.api import from_fits, from_fits_files, read_fits_table, write_fits_table
    from scichunk.formats.geotiff.api import from_geotiff, from_geotiffs
    from scichunk.formats.jpeg2000.api import from_jpeg2000
    from scichunk.formats.votable.api import from_votable, read_votable, votable_header, write_votable
    from scichunk.lru import clear_caches
    from scichunk.training.cutting import patches
    from scichunk.training.patches import Patches
    from scichunk.training.predicting import predict

__version__ = "0.1.0"

__all__ = [
    "CacheInfo",
    "CacheReport",
    "FileInfo",
    "Patches",
    "Plan",
    "Profile",
    "WindowReader",
    "__version__",
    "cache_info",
    "clear_caches",
    "cluster",
    "columns",
    "errors",
    "formats",
    "from_file",
    "from_files",
    "from_fits",
    "from_fits_files",
    "from_geotiff",
    "from_geotiffs",
    "from_jpeg2000",
    "from_votable",
    "history",
    "info",
    "list_formats",
    "map_chunks",
    "open",
    "open_stack",
    "options",
    "patches",
    "plan",
    "predict",
    "profile",
    "read_fits_table",
    "read_table",
    "read_votable",
    "reader",
    "reduce",
    "save_index",
    "suggest_chunks",
    "to_qtable",
    "votable_header",
    "warmup",
    "wcs",
    "write_fits_table",
    "write_votable",
]

_WHERE = {
    "CacheInfo": "scichunk.adapters.caches",
    "CacheReport": "scichunk.adapters.caches",
    "cache_info": "scichunk.adapters.caches",
    "FileInfo": "scichunk.adapters.info",
    "clear_caches": "scichunk.lru",
    "columns": "scichunk.adapters.columns",
    "from_file": "scichunk.adapters.dask.arrays",
    "from_files": "scichunk.adapters.dask.stacks",
    "from_fits": "scichunk.formats.fits.api",
    "from_fits_files": "scichunk.formats.fits.api",
    "from_geotiff": "scichunk.formats.geotiff.api",
    "from_geotiffs": "scichunk.formats.geotiff.api",
    "from_jpeg2000": "scichunk.formats.jpeg2000.api",
    "from_votable": "scichunk.formats.votable.api",
    "WindowReader": "scichunk.adapters.reader",
    "info": "scichunk.adapters.info",
    "list_formats": "scichunk.core.registry",
    "map_chunks": "scichunk.adapters.dask.mapping",
    "open": "scichunk.adapters.xarray.tree",
    "open_stack": "scichunk.adapters.xarray.stacks",
    "Plan": "scichunk.adapters.plans",
    "plan": "scichunk.adapters.plans",
    "suggest_chunks": "scichunk.adapters.plans",
    "Profile": "scichunk.adapters.profiling",
    "profile": "scichunk.adapters.profiling",
    "Patches": "scichunk.training.patches",
    "patches": "scichunk.training.cutting",
    "predict": "scichunk.training.predicting",
    "read_fits_table": "scichunk.formats.fits.api",
    "read_table": "scichunk.adapters.dask.frames",
    "read_votable": "scichunk.formats.votable.api",
    "reader": "scichunk.adapters.reader",
    "reduce": "scichunk.adapters.dask.reductions",
    "save_index": "scichunk.adapters.saving",
    "to_qtable": "scichunk.adapters.tables",
    "votable_header": "scichunk.formats.votable.api",
    "warmup": "scichunk.adapters.warmup",
    "wcs": "scichunk.adapters.xarray.sky",
    "write_fits_table": "scichunk.formats.fits.api",
    "write_votable": "scichunk.formats.votable.api",
}


import_after("xarray", "scichunk.adapters.xarray")  # which registers the accessor ``sky``


_FRAMEWORKS = ("grain", "keras", "tensorflow", "torch")
"""Modules for other packages: they are imported when they are asked for, and in no list of names, since not everybody has all of them."""


def __getattr__(name: str) -> Any:  # PEP 562
    if name in {
        *_FRAMEWORKS,
        "cluster",
        "formats",
    }:  # packages; the last can be called: as a function the name is deprecated
        return import_module(f"scichunk.{name}")
    if name == "history":
        globals()[name] = import_module("scichunk.adapters.history")
        return globals()[name]
    if name not in _WHERE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(import_module(_WHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
