"""Damaged JPEG 2000 files: an error of the tree or pixels, never anything else."""

import random
from pathlib import Path

import pytest
import xarray as xr

import scichunk
from scichunk.errors import ScichunkError
from scichunk.testing.fuzz import mutations

DATA = Path(__file__).parents[2] / "test_data"
SAMPLES = ("band_tlm_plt.jp2", "palette.jp2", "bgr.jp2", "subsampled.j2k", "signed_97.j2k", "high_throughput.jph")


def read(data):
    """Whether it can be read in each of several ways."""
    ways = (
        lambda: scichunk.from_jpeg2000(data, bands=[0])[:, :200, :200].compute(scheduler="synchronous"),
        lambda: scichunk.from_jpeg2000(data, bands=[0])[:, 30:90, 40:70].compute(scheduler="synchronous"),
        lambda: scichunk.from_jpeg2000(data, bands=[0], reduce=1)[:, -90:, -90:].compute(scheduler="synchronous"),
        lambda: scichunk.info(data),
        lambda: xr.open_dataset(data, engine="jpeg2000"),
    )
    good = 0
    for way in ways:
        try:
            way()
            good += 1
        except ScichunkError as error:
            assert error.url
    return good


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_headers(name):
    data = (DATA / name).read_bytes()
    assert read(data) == 5
    outcomes = [read(copy) for copy in mutations(data, 25, seed=3, head=700)]
    assert min(outcomes) == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_anywhere(name, seed):
    data = (DATA / name).read_bytes()
    for copy in mutations(data, 60, seed=seed):
        read(copy)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_tiles(name):
    data = (DATA / name).read_bytes()
    first = data.index(b"\xff\x90\0\x0a")
    rng = random.Random(5)
    for _ in range(12):
        copy = bytearray(data)
        for _ in range(rng.choice((1, 2, 5))):
            copy[rng.randrange(first, len(data))] = rng.randrange(256)
        read(bytes(copy))
