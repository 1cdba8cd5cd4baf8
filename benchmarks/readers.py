"""The readers, each as path -> dask array with the same chunks; imported one at a time in a fresh process."""

import threading

import numpy as np


def scichunk(path, chunks):
    import scichunk

    return scichunk.from_geotiff(path, chunks=chunks)


def rioxarray(path, chunks, lock=None):
    import rioxarray

    names = dict(zip(("band", "y", "x"), chunks, strict=True))
    return rioxarray.open_rasterio(path, chunks=names, lock=lock).data


def rioxarray_nolock(path, chunks):
    return rioxarray(path, chunks, lock=False)


def _rasterio(path, chunks, driver):
    import dask.array as da
    import rasterio
    from rasterio.windows import Window

    local = threading.local()
    with rasterio.open(path, driver=driver) as ds:
        shape, dtype = (ds.count, ds.height, ds.width), ds.dtypes[0]

    def read(block_info=None):
        if not hasattr(local, "ds"):
            local.ds = rasterio.open(path, driver=driver)
        bands, rows, columns = block_info[None]["array-location"]
        window = Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
        return local.ds.read(list(range(bands[0] + 1, bands[1] + 1)), window=window)

    return da.map_blocks(
        read, chunks=da.core.normalize_chunks(chunks, shape, dtype=dtype), dtype=dtype, meta=np.empty((0, 0, 0), dtype)
    )


def rasterio_gtiff(path, chunks):
    return _rasterio(path, chunks, "GTiff")


def rasterio_libertiff(path, chunks):
    return _rasterio(path, chunks, "LIBERTIFF")


def async_geotiff(path, chunks):
    import asyncio

    import dask.array as da
    from async_geotiff import GeoTIFF, Window
    from obstore.store import LocalStore

    async def open_it():
        return await GeoTIFF.open(str(path).lstrip("/"), store=LocalStore("/"))

    tiff = asyncio.run(open_it())
    shape, dtype = (tiff.count, tiff.height, tiff.width), np.dtype(tiff.dtype)

    def read(block_info=None):
        _, rows, columns = block_info[None]["array-location"]
        window = Window(col_off=columns[0], row_off=rows[0], width=columns[1] - columns[0], height=rows[1] - rows[0])
        return asyncio.run(tiff.read(window=window)).data

    return da.map_blocks(
        read, chunks=da.core.normalize_chunks(chunks, shape, dtype=dtype), dtype=dtype, meta=np.empty((0, 0, 0), dtype)
    )


def tifffile(path, chunks):
    import dask.array as da
    import zarr
    from tifffile import imread

    array = da.from_zarr(zarr.open(imread(path, aszarr=True), mode="r"))
    array = array[None] if array.ndim == 2 else da.moveaxis(array, -1, 0)
    return array.rechunk(chunks)


def xarray_spatial(path, chunks):
    from xrspatial.geotiff import open_geotiff

    array = open_geotiff(path, chunks=tuple(chunks[1:])).data  # (y, x), or (y, x, band)
    array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return array.rechunk(chunks)


def virtual_tiff(path, chunks):
    import dask.array as da
    import zarr
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtual_tiff import VirtualTIFF

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    group = zarr.open_group(VirtualTIFF(ifd=0)(f"file://{path}", registry), mode="r")
    array = da.from_zarr(next(iter(group.arrays()))[1])
    if array.ndim == 2:
        array = array[None]
    return array.rechunk(chunks)


def _dataset(path, chunks, engine, decoded, **keywords):
    import xarray as xr

    names = dict(zip(("band", "y", "x"), chunks, strict=True))
    return xr.open_dataset(path, engine=engine, chunks=names, mask_and_scale=decoded, **keywords)["band_data"].data


def scichunk_decoded(path, chunks):
    return _dataset(path, chunks, "geotiff", decoded=True)


def scichunk_stored(path, chunks):
    return _dataset(path, chunks, "geotiff", decoded=False)


def rasterio_decoded(path, chunks):
    return _dataset(path, chunks, "rasterio", decoded=True, lock=False)


def rasterio_stored(path, chunks):
    return _dataset(path, chunks, "rasterio", decoded=False, lock=False)


READERS = {
    "scichunk decoded": scichunk_decoded,
    "scichunk stored": scichunk_stored,
    "rasterio decoded": rasterio_decoded,
    "rasterio stored": rasterio_stored,
    "scichunk": scichunk,
    "rioxarray lock=False": rioxarray_nolock,
    "rioxarray": rioxarray,
    "rasterio GTiff": rasterio_gtiff,
    "rasterio LIBERTIFF": rasterio_libertiff,
    "async-geotiff": async_geotiff,
    "tifffile": tifffile,
    "xarray-spatial": xarray_spatial,
    "virtual-tiff": virtual_tiff,
    "scichunk, nothing compiled": scichunk,
}
