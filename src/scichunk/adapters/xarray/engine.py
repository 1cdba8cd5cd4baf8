"""xarray's entry points. They only translate; everything heavy is imported when a file is opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    from xarray import Dataset, DataTree

__all__ = ["FITSBackend", "GeoTIFFBackend", "JPEG2000Backend", "ScichunkBackend", "VOTableBackend"]

_DECODERS = (
    "mask_and_scale",
    "decode_times",
    "concat_characters",
    "decode_coords",
    "use_cftime",
    "decode_timedelta",
)

_SNIFFED = 4096
"""Bytes that are looked at: XML may begin with declarations and comments."""


class ScichunkBackend(BackendEntrypoint):
    """Any format that scichunk reads, found by the first bytes of the file, then by its suffix."""

    description = "Chunked, lazy readers of every format that scichunk knows, found by content"
    supports_groups = True
    # xarray reads the decoders it may pass from here; without it, it refuses **selectors
    open_dataset_parameters = ("filename_or_obj", "drop_variables", *_DECODERS, "group", "storage_options")
    format_name: str | None = None

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Dataset:
        """Open one group of a file, named by its path or by the format's selectors (``page=``, ``overview=``, ...)."""
        from scichunk.adapters.xarray import datasets

        flags = datasets.Decoders(**{k: options.pop(k) for k in _DECODERS if k in options})
        which = datasets.Which(self.format_name, filename_or_obj, storage_options, group, options)
        return datasets.open_dataset(which, drop_variables, flags)

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        group: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Dataset]:
        """Open all groups of a file, or those below one."""
        from scichunk.adapters.xarray import datasets

        flags = datasets.Decoders(**{k: options.pop(k) for k in _DECODERS if k in options})
        which = datasets.Which(self.format_name, filename_or_obj, storage_options, group, options)
        return datasets.open_groups(which, drop_variables, flags)

    def open_datatree(self, filename_or_obj: Any, **kwargs: Any) -> DataTree:
        """Open all groups of a file as a tree."""
        from xarray import DataTree

        groups = self.open_groups_as_dict(filename_or_obj, **kwargs)
        tree = DataTree.from_dict(groups)
        for path, ds in groups.items():
            tree[path].set_close(ds.close)
        return tree

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this is a file of ours; looks at its first bytes where that costs no request."""
        found = _guess(filename_or_obj)
        return found is not None and (self.format_name or found) == found and not _left_to_rasterio(found)


class _OneFormat(ScichunkBackend):
    """An engine of one format."""

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Never by itself: the engine ``scichunk`` answers for all formats, so that xarray finds one engine, not two."""
        del filename_or_obj
        return False


class GeoTIFFBackend(_OneFormat):
    """GeoTIFF, COG and BigTIFF."""

    description = "Chunked, lazy GeoTIFF and COG"
    format_name = "geotiff"


class JPEG2000Backend(_OneFormat):
    """JPEG 2000: JP2, JPX, JPH and raw codestreams."""

    description = "Chunked, lazy JPEG 2000"
    format_name = "jpeg2000"


class FITSBackend(_OneFormat):
    """FITS images, plain and tile-compressed."""

    description = "Chunked, lazy FITS"
    format_name = "fits"


class VOTableBackend(_OneFormat):
    """VOTable: dimension ``row``, one variable a column."""

    description = "Chunked, lazy VOTable, all serializations"
    format_name = "votable"


def _left_to_rasterio(format_name: str) -> bool:
    """Users who have rioxarray expect ``.tif`` to go there, unless they say otherwise."""
    if format_name != "geotiff":
        return False
    from scichunk import options

    if options.get().claim_rasters:
        return False
    from xarray.backends.plugins import list_engines

    return "rasterio" in list_engines()


def _guess(target: Any) -> str | None:
    from scichunk.core import registry

    head = _first_bytes(target)
    if head is not None:
        spec = registry.sniff(head)
    else:
        name = target if isinstance(target, str) else getattr(target, "path", None) or getattr(target, "name", None)
        spec = registry.sniff_suffix(name) if isinstance(name, str) else None
    return spec.name if spec else None


def _first_bytes(target: Any) -> bytes | None:
    """First bytes of what can be looked at for free; None for URLs and what else cannot."""
    if isinstance(target, os.PathLike):
        target = os.fspath(target)
    if isinstance(target, str):
        if "://" in target:
            return None
        try:
            with open(os.path.expanduser(target), "rb") as file:
                return file.read(_SNIFFED)
        except (OSError, ValueError):
            return b""
    if isinstance(target, bytes | bytearray | memoryview):
        return bytes(target[:_SNIFFED])
    if hasattr(target, "getvalue"):
        return bytes(target.getvalue()[:_SNIFFED])
    name = getattr(target, "name", None)
    if isinstance(name, str) and os.path.isfile(name):
        return _first_bytes(name)
    return None
