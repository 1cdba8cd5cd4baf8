"""Filling the cache of compiled code before it is needed, and saying what is in it."""

from __future__ import annotations

import itertools
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from scichunk.errors import PluginWarning
from scichunk.warned import warn_caller

__all__ = ["describe_surroundings", "warmup"]


def warmup(*formats: str) -> list[str]:
    """Compile all kernels that files of some formats need, or load what the cache has of them.

    Nothing needs it: what is not there is compiled on first use. It is worth a call before many processes start at once, and where
    an image of a container is made; ``client.run(scichunk.warmup, "geotiff")`` does it on all workers of Dask.

    Parameters
    ----------
    *formats
        Names of formats; none: all.

    Returns
    -------
    list of str
        The families of kernels that are there now.

    Raises
    ------
    FormatError
        If there is no such format.
    """
    families = _families(formats)
    for family in families:
        _compile(family)
    return families


def _families(formats: Iterable[str]) -> list[str]:
    from scichunk.codecs import ways
    from scichunk.core import registry

    specs = [registry.get_format(name) for name in formats] or list(registry.list_formats().values())
    for spec in specs:
        unknown = [family for family in spec.kernels if family not in ways.FAMILIES]
        if unknown:  # of a format of another package
            msg = f"the format {spec.name!r} asks for kernels that there are not: {', '.join(unknown)}"
            warn_caller(msg, PluginWarning)
    return list(dict.fromkeys(family for spec in specs for family in spec.kernels if family in ways.FAMILIES))


def _compile(family: str) -> None:
    from scichunk.codecs import _numba, ways
    from scichunk.codecs.compiling import sole_compiler
    from scichunk.codecs.signatures import FIRST, LATER

    for name in ways.FAMILIES[family]:
        module = import_module(f"scichunk.codecs.{name}")
        with sole_compiler(_numba.folder_of(module), wait=True):
            for table in (FIRST, LATER):
                _numba.prepare(module, table.get(name, {}))


def _kernel_folders() -> Iterator[Path]:
    """Where numba keeps what it compiles."""
    from scichunk.codecs import _numba, ways

    for name in itertools.chain.from_iterable(ways.FAMILIES.values()):
        module: ModuleType = import_module(f"scichunk.codecs.{name}")
        folder = _numba.folder_of(module)
        if folder is not None:
            yield folder


def _describe_kernels() -> Iterator[tuple[str, bool]]:
    """What there is of each family, and whether it is all."""
    from scichunk.codecs import object_files, ways

    for family, names in ways.FAMILIES.items():
        found = [entry for name in names for entry in object_files.list_objects(name)]
        compiled = [reason for _, reason in found if reason is not None]
        yield f"  {family}: {len(compiled)} of {len(found)} kernels compiled", len(compiled) == len(found)
        yield from ((f"    only through numba: {kernel}: {reason}", True) for kernel, reason in found if reason)


def describe_surroundings() -> tuple[list[str], bool]:
    """Say where compiled code is kept, whether that can be written, what is in it, and what this process remembers.

    Returns
    -------
    list of str
        Lines for people.
    bool
        Whether all is well: the folder can be written.
    """
    import scichunk
    from scichunk.adapters.checks import check_surroundings
    from scichunk.codecs import compiling, object_files

    lines = [
        f"scichunk {scichunk.__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"libraries: {', '.join(_versions())}",
    ]
    folders = set(_kernel_folders())
    writable = bool(folders) and all(_is_writable(folder) for folder in folders)
    states = {folder: "writable" if _is_writable(folder) else "NOT writable" for folder in sorted(folders)}
    lines += [f"compiled code: {folder} ({state})" for folder, state in states.items()]
    if object_files.HAS_OBJECTS:
        lines.append(f"as it is loaded: {object_files.writable_folder() or 'nowhere: no folder can be written'}")
    if not folders:
        lines.append("compiled code: no folder can be written; each process compiles anew. Set SCICHUNK_CACHE_DIR.")
    named = [n for n in ("SCICHUNK_CACHE_DIR", "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME") if os.environ.get(n)]
    for name in named:
        unused = name.endswith("DIR") and not _is_writable(Path(os.environ[name]))
        lines.append(f"  {name}={os.environ[name]}{' (NOT writable, so it is not used)' if unused else ''}")
    lines.append(f"compiled for: {_processor()}")
    kernels = list(_describe_kernels())
    lines += [line for line, _ in kernels]
    if not all(well for _, well in kernels):
        lines.append("  scichunk warmup compiles the rest")
    lines += [f"lock while compiling: {compiling.lock_path(folder)}" for folder in sorted(folders)]
    found = list(check_surroundings())
    lines += ["", *(line for line, _ in found), "", "caches of this process:", str(scichunk.cache_info())]
    return lines, writable and all(well for _, well in found)


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or in the one that it would be made in."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def _processor() -> str:
    import llvmlite.binding as llvm

    from scichunk.codecs._numba import CONFIG

    return str(CONFIG.CPU_NAME or llvm.get_host_cpu_name())


def _versions() -> Iterator[str]:
    from importlib.metadata import PackageNotFoundError, version

    for name in ("numpy", "dask", "xarray", "pyarrow", "imagecodecs", "rasterio", "astropy", "numba", "llvmlite"):
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            yield f"{name} is missing"
    yield f"byte order {sys.byteorder}"
