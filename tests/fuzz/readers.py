"""What is read of a mutant: pixels and rows in every public way, not headers alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

EDGE, BANDS, ROWS = 70, 4, 200
"""What is compared with the reference library: the first pixels, bands and rows."""
_MOST_BYTES = 1 << 24
"""Arrays up to this size are read whole."""

Way = Callable[[], Any]
Read = Callable[[bytes], Any]


def ways(kind: str, data: bytes, number: int) -> Iterator[tuple[str, Way]]:
    """Yield name and function of each way to read a file; what the functions return is compared by the name.

    Those that are always gone come first; of the others, which cost more, the number of the mutant picks some. Of twenty mutants
    nineteen are read without dask, whose graphs take six times as long as what is tried here.
    """
    if number % 20:
        yield from ((way.__name__, lambda way=way: way(data)) for way in _direct(kind))
        return
    always, others = _WAYS[kind]
    yield from ((way.__name__, lambda way=way: way(data)) for way in always)
    for way in random.Random(number).sample(others, 2):
        yield way.__name__, lambda way=way: way(data)


def _values_of(found: Any) -> np.ndarray:
    return np.asarray(found if isinstance(found, np.ndarray) else found.compute(scheduler="synchronous"))


def _corner(array: Any) -> np.ndarray:
    shape = array.shape
    lead = tuple(slice(0, BANDS) for _ in shape[:-2])
    return _values_of(array[(*lead, *(slice(0, EDGE) for _ in shape[-2:]))])


def _inner(array: Any) -> None:
    _values_of(array[tuple(slice(n // 3, n // 3 + 50, 3) for n in array.shape)])
    _values_of(array[tuple(slice(max(0, n - 9), n) for n in array.shape)])


def _whole(read: Callable[..., Any], data: bytes) -> None:
    """All of an array that is small, in its own chunks; of a large one they are more than dask can list."""
    if read(data).nbytes <= _MOST_BYTES:
        array = read(data, chunks="native")
        if array.npartitions <= 2000:
            array.compute(scheduler="synchronous")


def _values(dataset: Any) -> None:
    for name in list(dataset.variables)[:8]:
        variable = dataset[name]
        variable[tuple(slice(0, 20) for _ in variable.shape)].to_numpy()


def _tree(data: bytes) -> None:
    import scichunk

    tree = scichunk.open(data)
    try:
        for node in list(tree.subtree)[:6]:
            _values(node.to_dataset())
    finally:
        tree.close()


def _info(data: bytes) -> None:
    import scichunk

    found = scichunk.info(data)
    str(found)
    found.to_dict()
    found._repr_html_()


def _dataset(engine: str) -> Callable[[bytes], None]:
    def dataset(data: bytes) -> None:
        import xarray as xr

        with xr.open_dataset(data, engine=engine) as found:
            _values(found)

    return dataset


def _direct(kind: str) -> list[Read]:
    """The readers that dask would call, and nothing around them."""
    from scichunk.adapters.dask.frames import ReadRows
    from scichunk.adapters.opening import lazy_array, open_any
    from scichunk.core.handles import TableHandle

    def pixels(data):
        return _corner(lazy_array(open_any(kind, data), {}, "pixels"))

    def inner(data):
        _inner(lazy_array(open_any(kind, data), {}, "inner"))

    def rows(data):
        opened = open_any(kind, data)
        place = opened.file.find_table()
        read = ReadRows(TableHandle(opened.format, opened.location, opened.file.fingerprint, place))
        parts = [(p.start, p.stop, p.first_byte, p.last_byte) for p in read.handle.resolve().partitions(1 << 26)]
        frames = [read(part) for part in parts[:50]]
        return _columns(pd.concat(frames).head(ROWS)) if frames else None

    import pandas as pd

    return {"fits": [pixels, inner, rows], "votable": [rows]}.get(kind, [pixels, inner])


def _images(read: Callable[..., Any]) -> dict[str, Read]:
    """Ways that all formats of images have."""

    def pixels(data):
        return _corner(read(data))

    def inner(data):
        _inner(read(data))

    def whole(data):
        _whole(read, data)

    def reference(data):
        _corner(read(data, reader="reference"))

    return {way.__name__: way for way in (pixels, inner, whole, reference)}


def _geotiff() -> tuple[list[Read], list[Read]]:
    from scichunk import from_geotiff

    def overview(data):
        _corner(from_geotiff(data, overview=0))

    def last_band(data):
        array = from_geotiff(data)
        _corner(from_geotiff(data, bands=[array.shape[0] - 1]))

    way = _images(from_geotiff)
    others = [way["inner"], way["reference"], overview, last_band, _dataset("geotiff"), _tree, _info]
    return [way["pixels"], way["whole"]], others


def _jpeg2000() -> tuple[list[Read], list[Read]]:
    from scichunk import from_jpeg2000

    def reduced(data):
        _inner(from_jpeg2000(data, reduce=1))

    def expanded(data):
        _corner(from_jpeg2000(data, expand=True))

    way = _images(from_jpeg2000)
    others = [way["whole"], way["reference"], reduced, expanded, _dataset("jpeg2000"), _tree, _info]
    return [way["pixels"], way["inner"]], others


def _fits() -> tuple[list[Read], list[Read]]:
    from scichunk import from_fits, read_fits_table, to_qtable

    def raw(data):
        _corner(from_fits(data, raw=True))

    def rows(data):
        return _columns(read_fits_table(data).head(ROWS, npartitions=-1))

    def qtable(data):
        to_qtable(read_fits_table(data))

    way = _images(from_fits)
    others = [way["inner"], raw, way["whole"], way["reference"], qtable, _dataset("fits"), _tree, _info]
    return [way["pixels"], rows], others


def _votable() -> tuple[list[Read], list[Read]]:
    import scichunk

    def rows(data):
        return _columns(scichunk.read_votable(data).head(ROWS, npartitions=-1))

    def nulls(data):
        scichunk.read_votable(data, on_error="null").compute(scheduler="synchronous")

    def one(data):
        frame = scichunk.read_votable(data)
        for name in list(frame.columns)[:3]:
            scichunk.from_votable(data, name)[:50].compute(scheduler="synchronous")

    def header(data):
        scichunk.votable_header(data)

    def blocks(data):
        frame = scichunk.read_votable(data, blocksize=64)
        if frame.npartitions <= 2000:
            frame.compute(scheduler="synchronous")

    def qtable(data):
        scichunk.to_qtable(scichunk.read_votable(data))

    def compatible(data):
        scichunk.read_votable(data, astropy_compat=True).compute(scheduler="synchronous")

    return [rows, nulls], [one, header, blocks, qtable, compatible, _dataset("votable"), _tree, _info]


def _columns(frame: Any) -> dict[int, np.ndarray]:
    """Numbers of a frame by the position of their column, as floats; where they are null, NaN. Others are left out."""
    import pandas as pd

    found = {}
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype):
            found[place] = column.to_numpy(dtype="f8", na_value=np.nan)
    return found | {-1: np.array([len(frame), frame.shape[1]], "f8")}


class _Lazily(dict):
    """The ways of a format, made when they are first asked for: scichunk is not imported before limits are set."""

    def __missing__(self, kind: str) -> Any:
        self[kind] = {"fits": _fits, "geotiff": _geotiff, "jpeg2000": _jpeg2000, "votable": _votable}[kind]()
        return self[kind]


_WAYS = _Lazily()
