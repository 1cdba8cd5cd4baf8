"""What has been read stays as it is: nothing of it lies in the scratch memory that the next read of the thread writes to."""

import itertools

import dask
import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk import buffers
from scichunk.errors import ScichunkError
from tests.fits_tables import table
from tests.fuzz.seeds import seeds
from tests.votable_docs import binary

pytestmark = pytest.mark.filterwarnings("ignore")
ARRAYS = {"fits": scichunk.from_fits, "geotiff": scichunk.from_geotiff, "jpeg2000": scichunk.from_jpeg2000}
FRAMES = {"fits": scichunk.read_fits_table, "votable": scichunk.read_votable}
TYPES = [
    ("char", "8", 8),
    ("char", None, 1),
    ("char", "*", 0),
    ("char", "2x4", 8),
    ("char", "2x*", 0),
    ("unicodeChar", "4", 8),
    ("unicodeChar", None, 2),
    ("unicodeChar", "*", 0),
    ("unsignedByte", "8", 8),
    ("unsignedByte", None, 1),
    ("unsignedByte", "*", 0),
    ("short", "4", 8),
    ("double", None, 8),
    ("boolean", "8", 8),
    ("bit", "64", 8),
]


def overwrite_scratch():
    for buffer in buffers._local.__dict__.values():
        buffer[:] = 0x58


def texts(frame):
    return [repr(value) for name in frame for value in frame[name]]


def stays(found, as_text):
    """Whether values are the same after all scratch memory was overwritten."""
    before = as_text(found)
    overwrite_scratch()
    return as_text(found) == before


def frame_of(kind, path):
    with dask.config.set(scheduler="synchronous"):
        return FRAMES[kind](path).compute()


def columns_of(kind, path):
    dataset = xr.open_dataset(path, engine="fits" if kind == "fits" else kind)
    return {name: dataset[name].to_numpy() for name in dataset.variables}


def column_texts(columns):
    return [repr(value) for values in columns.values() for value in np.asarray(values).reshape(-1).tolist()]


@pytest.mark.parametrize("kind", ARRAYS)
def test_pixels_are_the_callers_own(kind, tmp_path):
    read = 0
    for number, (_, data) in enumerate(sorted(seeds(kind).items())):
        path = tmp_path / f"{number}"
        path.write_bytes(data)
        try:
            array = ARRAYS[kind](path)
        except ScichunkError:
            continue
        pixels = array[tuple(slice(0, 100) for _ in array.shape)].compute(scheduler="synchronous")
        assert stays(pixels, np.ndarray.tobytes), path
        read += 1
    assert read > 20


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize(("read", "as_text"), [(frame_of, texts), (columns_of, column_texts)], ids=["frame", "dataset"])
def test_values_of_tables_are_the_callers_own(kind, read, as_text, tmp_path):
    count = 0
    for number, (_, data) in enumerate(sorted(seeds(kind).items())):
        path = tmp_path / f"{number}"
        path.write_bytes(data)
        try:
            found = read(kind, path)
        except (ScichunkError, ValueError):  # xarray's own for files without what it can show
            continue
        assert stays(found, as_text), path
        count += 1
    assert count > 20


@pytest.mark.parametrize("kind", ["BINARY", "BINARY2"])
@pytest.mark.parametrize(("rows", "alone"), list(itertools.product([1, 3], [True, False])))
@pytest.mark.parametrize(("datatype", "arraysize", "width"), TYPES)
def test_cells_that_lie_together_already(kind, rows, alone, datatype, arraysize, width, tmp_path):
    """A single column or row needs no gathering: its bytes could be handed on, but they are not ours."""
    letter = b"T" if datatype == "boolean" else b"A"
    cell = letter * (width or 8)
    if datatype == "unicodeChar":
        cell = (b"\0" + letter) * (width // 2 or 4)
    counts = {"2x*": 4}.get(arraysize, len(cell) // (2 if datatype == "unicodeChar" else 1))
    cell = cell if width else counts.to_bytes(4, "big") + cell
    sizes = f' arraysize="{arraysize}"' if arraysize else ""
    fields = f'<FIELD name="a" datatype="{datatype}"{sizes}/>'
    if not alone:
        fields, cell = f'<FIELD name="b" datatype="int"/>{fields}', bytes(4) + cell
    path = tmp_path / "one.vot"
    path.write_text(binary((b"\0" * (kind == "BINARY2") + cell) * rows, fields, kind))
    assert stays(frame_of("votable", path), texts)
    assert stays(columns_of("votable", path), column_texts)


@pytest.mark.parametrize(
    "form", ["8A", "1A", "8B", "1D", "8L", "64X", "2J", "2E", "1C", "1PA", "1PB", "1PX", "1PD", "1PL"]
)
@pytest.mark.parametrize("rows", [1, 3])
def test_cells_of_fits_tables_that_lie_together_already(form, rows, tmp_path):
    heap = b""
    if "P" in form:
        count = {"X": 64, "D": 1}.get(form[-1], 8)
        data, heap = np.array([[count, 8 * i] for i in range(rows)], ">i4").tobytes(), b"A" * 8 * rows
    else:
        data = b"A" * (1 if form == "1A" else 8) * rows
    path = tmp_path / "one.fits"
    path.write_bytes(table([form], data, rows, heap=heap))
    assert stays(frame_of("fits", path), texts)
    assert stays(columns_of("fits", path), column_texts)
