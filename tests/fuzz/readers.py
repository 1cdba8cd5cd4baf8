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


def ways(kind: str, data: bytes, number: int) -> Iterator[tuple[str, Way]]:
    """Yield name and function of each way to read a file; what the functions return is compared by the name.

    Those that are always gone come first; of the others, which cost more, the number of the mutant picks some.
    """
    always, others = _WAYS[kind]
    yield from ((way.__name__, lambda way=way: way(data)) for way in always)
    for way in random.Random(number).sample(others, 2):
        yield way.__name__, lambda way=way: way(data)


def _corner(array: Any) -> np.ndarray:
    shape = array.shape
    lead = tuple(slice(0, BANDS) for _ in shape[:-2])
    return np.asarray(array[(*lead, *(slice(0, EDGE) for _ in shape[-2:]))].compute(scheduler="synchronous"))


def _inner(array: Any) -> None:
    array[tuple(slice(n // 3, n // 3 + 50, 3) for n in array.shape)].compute(scheduler="synchronous")
    array[tuple(slice(max(0, n - 9), n) for n in array.shape)].compute(scheduler="synchronous")


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


def _geotiff() -> tuple[list[Callable[[bytes], Any]], list[Callable[[bytes], Any]]]:
    import scichunk

    def pixels(data):
        return _corner(scichunk.from_geotiff(data))

    def inner(data):
        _inner(scichunk.from_geotiff(data))

    def whole(data):
        _whole(scichunk.from_geotiff, data)

    def reference(data):
        _corner(scichunk.from_geotiff(data, reader="reference"))

    def overview(data):
        _corner(scichunk.from_geotiff(data, overview=0))

    def last_band(data):
        array = scichunk.from_geotiff(data)
        _corner(scichunk.from_geotiff(data, bands=[array.shape[0] - 1]))

    return [pixels, whole], [inner, reference, overview, last_band, _dataset("geotiff"), _tree, _info]


def _jpeg2000() -> tuple[list[Callable[[bytes], Any]], list[Callable[[bytes], Any]]]:
    import scichunk

    def pixels(data):
        return _corner(scichunk.from_jpeg2000(data))

    def inner(data):
        _inner(scichunk.from_jpeg2000(data))

    def whole(data):
        _whole(scichunk.from_jpeg2000, data)

    def reference(data):
        _corner(scichunk.from_jpeg2000(data, reader="reference"))

    def reduced(data):
        _inner(scichunk.from_jpeg2000(data, reduce=1))

    def expanded(data):
        _corner(scichunk.from_jpeg2000(data, expand=True))

    return [pixels, inner], [whole, reference, reduced, expanded, _dataset("jpeg2000"), _tree, _info]


def _fits() -> tuple[list[Callable[[bytes], Any]], list[Callable[[bytes], Any]]]:
    import scichunk

    def pixels(data):
        return _corner(scichunk.from_fits(data))

    def inner(data):
        _inner(scichunk.from_fits(data))

    def raw(data):
        _corner(scichunk.from_fits(data, raw=True))

    def whole(data):
        _whole(scichunk.from_fits, data)

    def reference(data):
        _corner(scichunk.from_fits(data, reader="reference"))

    def rows(data):
        return _columns(scichunk.read_fits_table(data).head(ROWS, npartitions=-1))

    def qtable(data):
        scichunk.to_qtable(scichunk.read_fits_table(data))

    return [pixels, rows], [inner, raw, whole, reference, qtable, _dataset("fits"), _tree, _info]


def _votable() -> tuple[list[Callable[[bytes], Any]], list[Callable[[bytes], Any]]]:
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
