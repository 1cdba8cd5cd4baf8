"""Warnings of libraries are silenced in the thread that calls them, and nowhere else; nothing of it is left behind."""

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.errors import DataWarning

SAMPLES = Path("test_data")
NO_TIMES = {"decode_times": False, "decode_timedelta": False}
"""xarray adds a filter where it decodes times."""
CELESTIAL = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CTYPE3": "FREQ", "CUNIT3": "HZ", "CRVAL1": 10.0, "CRVAL2": 20.0,
    "CRVAL3": 1.4e9, "CRPIX1": 2.0, "CRPIX2": 2.0, "CDELT1": -0.1, "CDELT2": 0.1, "CDELT3": 1e6,
    "DATE-OBS": "01/02/98",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _imports():
    """Import everything: libraries set filters when they are imported."""
    for path, engine in (("cube.fits", "fits"), ("scene_deflate.tif", "geotiff"), ("stars.vot", "votable")):
        xr.open_dataset(SAMPLES / path, engine=engine)
    scichunk.from_jpeg2000(SAMPLES / "bgr.jp2", reader="reference")[:1, :2, :2].compute()
    scichunk.from_fits(SAMPLES / "scaled.fits", reader="reference").compute()
    scichunk.votable_header(SAMPLES / "stars.vot")


def _cube(path, number):
    fits = pytest.importorskip("astropy.io.fits")
    header = fits.Header()
    for key, value in CELESTIAL.items():
        header[key] = value
    header["OBJECT"] = f"object {number}"  # a header of its own: its WCS is in no cache
    fits.PrimaryHDU(np.zeros((4, 5, 6), "f4"), header).writeto(path)
    return str(path)


def _plain_tiff(path):
    rasterio = pytest.importorskip("rasterio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8") as file:
            file.write(np.zeros((1, 8, 8), "u1"))
    return str(path)


def _heard(message):
    with warnings.catch_warnings(record=True) as caught:  # by the filters that are in force
        warnings.warn(message, DataWarning, stacklevel=1)
    return [str(w.message) for w in caught]


def test_overlapping_readers_leave_the_filters_alone(tmp_path):
    pytest.importorskip("glymur")
    pytest.importorskip("rasterio")
    cubes = [_cube(tmp_path / f"{n}.fits", n) for n in range(12)]
    tiffs = [_plain_tiff(tmp_path / f"{n}.tif") for n in range(12)]
    fits = scichunk.from_fits(SAMPLES / "scaled.fits", reader="reference")
    image = scichunk.from_jpeg2000(SAMPLES / "bgr.jp2", reader="reference")

    def open_all(paths, engine):
        for path in paths:
            xr.open_dataset(path, engine=engine, **NO_TIMES)

    def many(array):
        for _ in range(12):
            array.compute(scheduler="synchronous")

    before = list(warnings.filters)
    with ThreadPoolExecutor(5) as pool:
        work = [
            pool.submit(many, fits),
            pool.submit(many, image),
            pool.submit(open_all, cubes, "fits"),
            pool.submit(open_all, tiffs, "geotiff"),
            pool.submit(scichunk.votable_header, SAMPLES / "stars.vot"),
        ]
        [w.result() for w in work]
    assert list(warnings.filters) == before
    assert _heard("something that matters") == ["something that matters"]


def test_a_thread_that_reads_quietly_does_not_silence_another(tmp_path):
    cube = _cube(tmp_path / "a.fits", 0)
    array = scichunk.from_fits(cube, reader="reference")
    stop, heard = threading.Event(), []

    def read():
        while not stop.is_set():
            array.compute(scheduler="synchronous")

    thread = threading.Thread(target=read)
    thread.start()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for number in range(200):
                warnings.warn(f"number {number}", DataWarning, stacklevel=1)
                heard.append(number)
            own = [w for w in caught if w.category is DataWarning]
    finally:
        stop.set()
        thread.join()
    assert len(own) == len(heard) == 200


def test_mended_headers_and_plain_images_say_nothing(tmp_path):
    cube, tiff = _cube(tmp_path / "a.fits", 1), _plain_tiff(tmp_path / "a.tif")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        assert "frequency" in xr.open_dataset(cube, engine="fits", **NO_TIMES).coords
        xr.open_dataset(tiff, engine="geotiff", **NO_TIMES)
        assert list(warnings.filters) == before
    assert not [str(w.message) for w in caught]


def test_a_filter_that_makes_errors_of_warnings_does_not_reach_into_libraries(tmp_path):
    cube = _cube(tmp_path / "a.fits", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "frequency" in xr.open_dataset(cube, engine="fits", **NO_TIMES).coords


def test_what_we_say_ourselves_is_heard_where_libraries_are_quiet(tmp_path):
    pytest.importorskip("astropy")
    frame = xr.Dataset({"a": ("row", np.arange(3.0))}, attrs={"note": object()})
    with pytest.warns(scichunk.errors.MetadataWarning, match="note"):
        scichunk.write_fits_table(frame, tmp_path / "a.fits")


GLYMUR = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(args) if event in {"os.putenv", "os.unsetenv"} else None)
import scichunk
scichunk.from_jpeg2000("test_data/bgr.jp2", reader="reference")[:1, :4, :4].compute()
print([args for args in seen if b"XDG" in args[0]])
"""


def test_glymur_is_shown_a_library_without_touching_the_environment():
    pytest.importorskip("glymur")
    done = subprocess.run([sys.executable, "-c", GLYMUR], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
