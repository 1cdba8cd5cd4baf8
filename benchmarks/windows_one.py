"""``python -m benchmarks.windows_one READER PATH COUNT CACHE``: random windows of one file, kept open; prints CPU seconds a window and a checksum."""

import json
import sys
import time
import warnings

import numpy as np

SIDE = 256


def read_scichunk(path, cache):
    import scichunk

    scichunk.options.set(cached_tile_bytes=cache)
    return scichunk.reader(path).__getitem__


def read_xarray(path, cache):
    import xarray as xr

    import scichunk

    scichunk.options.set(cached_tile_bytes=cache)
    array = xr.open_dataset(path, engine="geotiff", chunks=None, cache=False, mask_and_scale=False).band_data
    return lambda key: array[key].values


def read_rasterio(path, cache, driver="GTiff"):
    import rasterio
    from rasterio.windows import Window

    rasterio.Env(GDAL_CACHEMAX=cache).__enter__()  # until the process ends
    dataset = rasterio.open(path, driver=driver)

    def read(key):
        _, rows, columns = key
        return dataset.read(window=Window(columns.start, rows.start, SIDE, SIDE))

    return read


READERS = {
    "scichunk.reader": read_scichunk,
    "scichunk, xarray": read_xarray,
    "rasterio": read_rasterio,
    "rasterio LIBERTIFF": lambda path, cache: read_rasterio(path, cache, "LIBERTIFF"),
}


def main():
    warnings.simplefilter("ignore")
    name, path, count, cache = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    read = READERS[name](path, cache)
    corners = np.random.default_rng(1).integers(0, int(sys.argv[5]) - SIDE, (count + 3, 2)).tolist()
    keys = [np.s_[:, y : y + SIDE, x : x + SIDE] for y, x in corners]
    for key in keys[:3]:  # what is imported and compiled at first
        read(key)
    begun, total = time.process_time(), 0
    for key in keys[3:]:
        total += int(read(key)[0, ::17, ::13].sum())
    print(json.dumps({"cpu": (time.process_time() - begun) / count, "sum": total}))


if __name__ == "__main__":
    main()
