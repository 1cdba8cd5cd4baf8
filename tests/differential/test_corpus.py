"""Real files of many origins against the reference readers, where a folder of them is at hand."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

import scichunk

CORPUS = Path(os.environ.get("SCICHUNK_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))


def manifest(kind):
    listing = CORPUS / "manifest.csv"
    if not listing.exists():
        return []
    with listing.open(newline="", encoding="utf-8") as file:
        return [row["path"] for row in csv.DictReader(file) if row["format"] == kind]


def read(function, name, want, wrong, limit):
    """Values by scichunk, or None; a refusal of what the reference reads goes to the list."""
    try:
        array = function(CORPUS / name)
        return array.compute() if array.nbytes < limit else None
    except scichunk.errors.ScichunkError as error:
        if want is not None:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
        return None


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.skipif(not manifest("geotiff"), reason="no corpus")
@pytest.mark.parametrize("part", range(8))
def test_geotiff(part):
    import rasterio

    wrong, compared = [], 0
    for name in manifest("geotiff")[part::8]:
        path = CORPUS / name
        try:
            with rasterio.open(path) as ds:
                if ds.count * ds.height * ds.width > 1 << 26:
                    continue
                want = ds.read() if len(set(ds.dtypes)) == 1 else None
        except Exception:
            want = None
        got = read(scichunk.from_geotiff, name, want, wrong, 1 << 30)
        if want is None or got is None:
            continue
        compared += 1
        lossy = got.dtype == np.uint8 and got.shape == want.shape and np.abs(got.astype(int) - want).max(initial=0) <= 3
        same = got.shape == want.shape and np.array_equal(
            got.astype(want.dtype), want, equal_nan=want.dtype.kind in "fc"
        )
        if not (same or lossy):
            wrong.append(f"{name}: differs")
    assert compared > 20
    assert not wrong, "\n".join(wrong)


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.skipif(not manifest("jp2"), reason="no corpus")
@pytest.mark.parametrize("part", range(4))
def test_jpeg2000(part):
    """Whole images against glymur, components as they are stored; windows and reduced images against a full decode."""
    from scichunk.formats.jpeg2000.reference import lent
    from tests.jpeg2000_files import decode

    wrong, compared = [], 0
    for name in manifest("jp2")[part::4]:
        path = CORPUS / name
        try:
            with lent() as glymur:
                image = glymur.Jp2k(path)
                image.ignore_pclr_cmap_cdef = True
                want = image[:] if image.shape[0] * image.shape[1] < 1 << 24 else None
        except Exception:
            want = None
        got = read(scichunk.from_jpeg2000, name, want, wrong, 1 << 26)
        if want is None or got is None:
            continue
        compared += 1
        want = np.stack(want) if isinstance(want, list) else want  # components of several depths
        want = want[None] if want.ndim == 2 else want if want.shape == got.shape else np.moveaxis(want, -1, 0)
        if got.shape != want.shape or np.abs(got.astype("i8") - want).max(initial=0) > 0:
            wrong.append(f"{name}: differs")
        try:
            half = np.stack(decode(path.read_bytes(), 1))
        except Exception:
            continue
        array = scichunk.from_jpeg2000(path, reduce=1)
        window = (slice(None), slice(half.shape[1] // 3, None), slice(None, half.shape[2] // 2 + 1))
        if np.abs(array[window].compute().astype("i8") - half[window]).max(initial=0) > 1:
            wrong.append(f"{name}: reduced image differs")
    assert compared > 15
    assert not wrong, "\n".join(wrong)


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.skipif(not manifest("jp2"), reason="no corpus")
def test_boxes_are_those_of_glymur():
    from scichunk.formats.jpeg2000.open import open_file
    from scichunk.formats.jpeg2000.reference import lent
    from scichunk.sources import locate

    wrong, compared = [], 0
    for name in manifest("jp2"):
        try:
            structure = open_file(locate(CORPUS / name)).structure
            with lent() as glymur:
                image = glymur.Jp2k(CORPUS / name)
                size = structure.reader.size
                want = [(b.box_id, b.offset, min(size, b.offset + b.length)) for b in image.box]
        except Exception:
            continue
        if not structure.boxes:
            continue
        compared += 1
        got = [(b.kind.decode("latin-1"), b.start, b.stop) for b in structure.all_boxes]
        # glymur calls a box that it does not know xxxx
        if len(got) != len(want) or any(g[1:] != w[1:] or w[0] not in (g[0], "xxxx") for g, w in zip(got, want)):  # noqa: B905
            wrong.append(f"{name}: {got} {want}")
    assert compared > 40
    assert not wrong, "\n".join(wrong)
