"""Readers for intake 2 (extra ``intake``): catalogs of files that scichunk reads.

>>> import intake
>>> from scichunk.adapters.intake import Dataset, GeoTIFFArray
>>> catalog = intake.Catalog()  # doctest: +SKIP
>>> catalog["dem"] = Dataset(intake.datatypes.TIFF("s3://bucket/dem.tif"), chunks={})  # doctest: +SKIP
>>> catalog.to_yaml_file("catalog.yaml")  # doctest: +SKIP
>>> intake.open_catalog("catalog.yaml")["dem"].read()  # doctest: +SKIP

A catalog names its readers by module, so those who open one need no import of this one.
"""

from __future__ import annotations

from typing import Any, ClassVar

from intake.readers.datatypes import FITS, TIFF, FileData
from intake.readers.readers import FileReader

__all__ = [
    "JPEG2000",
    "Dataset",
    "FITSArray",
    "FITSFrame",
    "GeoTIFFArray",
    "JPEG2000Array",
    "Tree",
    "VOTable",
    "VOTableFrame",
]


class JPEG2000(FileData):
    """Wavelet-compressed images (ISO/IEC 15444), as Sentinel-2 ships them."""

    filepattern = "(jp2$|j2k$|jpx$|jph$|j2c$|jhc$)"
    structure: ClassVar = {"array", "image"}
    magic: ClassVar = {b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"}
    mimetypes = "image/(jp2|jpx|jph|j2c)"


class VOTable(FileData):
    """Tables of the Virtual Observatory (IVOA)."""

    filepattern = "(vot$|votable$)"
    structure: ClassVar = {"table"}
    mimetypes = "application/x-votable[+]xml"


class _Reader(FileReader):
    imports: ClassVar = {"scichunk"}
    storage_options = True

    def discover(self, **kwargs: Any) -> Any:
        """Nothing but headers is read before values are asked for: the whole is the discovery."""
        return self.read(**kwargs)


class _Stackable(_Reader):
    """One file, or many aligned ones as one array."""

    many = ""

    def _read(self, data: Any, **kwargs: Any) -> Any:
        if isinstance(data.url, list | tuple):
            from intake import import_name

            return import_name(self.many)(data.url, storage_options=data.storage_options, **kwargs)
        return super()._read(data, **kwargs)


class GeoTIFFArray(_Stackable):
    """:func:`scichunk.from_geotiff`; of a list of files :func:`scichunk.from_geotiffs`."""

    implements: ClassVar = {TIFF}
    func = "scichunk:from_geotiff"
    many = "scichunk:from_geotiffs"
    output_instance = "dask.array:Array"


class FITSArray(_Stackable):
    """:func:`scichunk.from_fits`; of a list of files :func:`scichunk.from_fits_files`."""

    implements: ClassVar = {FITS}
    func = "scichunk:from_fits"
    many = "scichunk:from_fits_files"
    output_instance = "dask.array:Array"


class JPEG2000Array(_Reader):
    """:func:`scichunk.from_jpeg2000`."""

    implements: ClassVar = {JPEG2000}
    func = "scichunk:from_jpeg2000"
    output_instance = "dask.array:Array"


class FITSFrame(_Reader):
    """:func:`scichunk.read_fits_table`."""

    implements: ClassVar = {FITS}
    func = "scichunk:read_fits_table"
    output_instance = "dask.dataframe:DataFrame"


class VOTableFrame(_Reader):
    """:func:`scichunk.read_votable`."""

    implements: ClassVar = {VOTable}
    func = "scichunk:read_votable"
    output_instance = "dask.dataframe:DataFrame"


class Dataset(_Stackable):
    """:func:`xarray.open_dataset` with the engine that the file calls for; of a list of files :func:`scichunk.open_stack`."""

    implements: ClassVar = {TIFF, FITS, JPEG2000, VOTable}
    func = "xarray:open_dataset"
    many = "scichunk:open_stack"
    url_arg = "filename_or_obj"
    output_instance = "xarray:Dataset"

    def _read(self, data: Any, **kwargs: Any) -> Any:
        if not isinstance(data.url, list | tuple):
            kwargs = {"engine": "scichunk", "chunks": {}, **kwargs}
        return super()._read(data, **kwargs)


class Tree(_Reader):
    """:func:`scichunk.open`: every page, overview, HDU or table of a file."""

    implements: ClassVar = {TIFF, FITS, JPEG2000, VOTable}
    func = "scichunk:open"
    output_instance = "xarray:DataTree"
