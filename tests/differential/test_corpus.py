"""Real files of many origins against rasterio, where a folder of them is at hand."""

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
        try:
            got = scichunk.from_geotiff(path)
            got = got.compute() if got.nbytes < 1 << 30 else None
        except scichunk.errors.ScichunkError as error:
            if want is not None:
                wrong.append(f"{name}: {type(error).__name__}: {error}")
            continue
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
