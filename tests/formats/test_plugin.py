"""A format of another package, installed with its entry points: found, opened, and as good as the built-in ones."""

import dataclasses
import importlib
import itertools
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from xarray.backends.plugins import refresh_engines

import scichunk
from scichunk.core.files import ArrayId
from scichunk.testing import CHECKS, Case, check_format

PLUGIN = Path(__file__).parents[1] / "plugins" / "envi"
CODES = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "c8": 6, "u2": 12, "u8": 15}
ORDERS = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}


def look_again():
    """Let Python, scichunk and xarray look for installed packages anew."""
    importlib.invalidate_caches()
    scichunk.clear_caches()
    refresh_engines()


@pytest.fixture(scope="module", autouse=True)
def installed():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PLUGIN)
        look_again()
        yield
    for name in ("envi_scichunk", "envi_scichunk_engine"):
        sys.modules.pop(name, None)
    look_again()
    assert "envi" not in scichunk.list_formats()


def write(folder, interleave="bsq", kind="<u2", shape=(3, 250, 190), offset=0, header=".hdr", more=""):
    """Write an image and its header; returns its path and its values."""
    dtype = np.dtype(kind)
    values = np.random.default_rng(1).integers(0, 200, shape).astype(dtype.newbyteorder("="))
    path = folder / f"scene.{interleave}"
    path.write_bytes(bytes(offset) + np.ascontiguousarray(values.transpose(ORDERS[interleave])).astype(dtype).tobytes())
    beside = path.with_suffix(".hdr") if header == ".hdr" else Path(f"{path}.hdr")
    lines = {
        "samples": shape[2],
        "lines": shape[1],
        "bands": shape[0],
        "header offset": offset,
        "interleave": interleave,
    }
    lines |= {"data type": CODES[dtype.str[1:]], "byte order": int(dtype.str[0] == ">")}
    beside.write_text("ENVI\ndescription = {two\n lines}\n" + "".join(f"{k} = {v}\n" for k, v in lines.items()) + more)
    return path, values


@pytest.mark.parametrize("kind", ["|u1", "<i2", ">i2", ">i4", "<f4", ">f8", ">c8", "<u8"])
@pytest.mark.parametrize("interleave", ORDERS)
@pytest.mark.parametrize(("offset", "header"), [(0, ".hdr"), (77, ".x.hdr")])
def test_values_are_exact(tmp_path, interleave, kind, offset, header):
    path, values = write(tmp_path, interleave, kind, (3, 250, 190), offset, header)
    ds = xr.open_dataset(path, engine="envi", chunks={})
    assert ds.band_data.dtype == values.dtype
    np.testing.assert_array_equal(ds.band_data.values, values)
    np.testing.assert_array_equal(ds.band_data[1:, 100:20:-3, 7].values, values[1:, 100:20:-3, 7])


def test_places_and_words(tmp_path):
    path, values = write(tmp_path, more="map info = {UTM, 1, 1, 500000, 4100000, 30, 20, 33, North}\n")
    ds = xr.open_dataset(path, engine="envi")
    assert (float(ds.x[0]), float(ds.y[0]), float(ds.y[1])) == (500015, 4099990, 4099970)
    assert ds.attrs["description"] == "{two  lines}"
    np.testing.assert_array_equal(ds.band_data.sel(x=500046, y=4099969, method="nearest"), values[:, 1, 1])


def test_it_stands_beside_the_built_in_formats(tmp_path):
    path, values = write(tmp_path)
    assert list(scichunk.list_formats()) == ["geotiff", "jpeg2000", "fits", "votable", "envi"]
    assert scichunk.info(path).format == "envi"
    np.testing.assert_array_equal(scichunk.open(path).band_data, values)
    np.testing.assert_array_equal(xr.open_dataset(path, engine="scichunk").band_data, values)
    stack = scichunk.open_stack([path, path], dim="time", format="envi")
    np.testing.assert_array_equal(stack.band_data.values, np.stack([values, values]))


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, id=c.__name__.removeprefix("check_")) for c in CHECKS],
)
@pytest.mark.parametrize("interleave", ORDERS)
def test_conformance(tmp_path, interleave, check):
    check(Case("envi", write(tmp_path, interleave, ">i2")[0]))


INSIDE: list[object] = []
"""Arrays that are being read: of all threads, each of which may have made its own."""


class Faulty:
    """An array that does one thing wrong."""

    def __init__(self, inner, fault, source):
        self.inner, self.fault, self.file = inner, fault, source
        self.shape, self.dtype, self.grid, self.reader = inner.shape, inner.dtype, inner.grid, inner.reader
        self.index = inner.index

    def read(self, axes, out=None):
        if self.fault == "empty" and not all(len(a) for a in axes):
            raise IndexError("nothing")
        if self.fault == "threads":
            INSIDE.append(self)
            time.sleep(0.01)
            INSIDE.pop()
            assert not INSIDE, "not made for threads"
        if self.fault == "whole":
            self.file.read_ranges([0], [self.file.fingerprint.size])
        try:
            found = self.inner.read(axes)
        except scichunk.errors.SourceError:
            if self.fault not in ("swallows", "unchanged"):
                raise
            return np.zeros([len(a) for a in axes], self.dtype)
        if self.fault == "steps" and any(getattr(a, "step", 1) > 1 for a in axes):
            return found[..., ::-1]
        if self.fault == "changes":
            return found + next(COUNTER)
        return found

    def read_points(self, points, spans):
        return self.inner.read_points(points, spans) * (self.fault != "points")

    async def read_async(self, axes):
        return await self.inner.read_async(axes) * (self.fault != "async")


KEPT = []
COUNTER = itertools.count()
FAULTS = {
    "describes": "info",
    "named": "names",
    "ghost": "groups",
    "changes": "tree",
    "any group": "unknown_group",
    "wrong error": "other_files",
    "steps": "indexing",
    "points": "points",
    "empty": "empty_selections",
    "async": "async",
    "threads": "threads",
    "unchanged": "changed_file",
    "kept open": "close",
    "damage": "damage",
    "reads again": "header_reads",
    "whole": "window_reads",
    "swallows": "failing_source",
}


@pytest.mark.unforeseen
@pytest.mark.parametrize("fault", FAULTS)
def test_each_check_finds_its_fault(tmp_path, monkeypatch, fault):
    import envi_scichunk

    class Broken(envi_scichunk.ENVIFile):
        def __init__(self, location, source):
            try:
                super().__init__(location, source)
            except scichunk.errors.FormatError:
                raise ValueError("another error") if fault == "wrong error" else AssertionError from None
            if fault == "kept open":
                KEPT.append(location.open())

        def array(self, place):
            return Faulty(self.image, fault, self.source)

        def groups(self):
            return ["/", "/ghost"] if fault == "ghost" else ["/"]

        def node(self, group="/"):
            if fault == "reads again":
                self.source.head()
            if fault == "damage" and self.fingerprint.size < 200_000:
                raise IndexError("too short")
            found = super().node("/" if fault == "any group" else group)
            image = dataclasses.replace(found.arrays[0], source=self.array(ArrayId()))
            return dataclasses.replace(found, arrays=(image,))

        def describe(self):
            (info,) = super().describe()
            if fault == "describes":
                return [dataclasses.replace(info, shape=(1, *info.shape[1:]))]
            return [dataclasses.replace(info, name="data" if fault == "named" else info.name)]

    monkeypatch.setattr(
        envi_scichunk, "open_file", lambda location, source=None: Broken(location, source or location.open())
    )
    check = next(c for c in CHECKS if c.__name__ == f"check_{FAULTS[fault]}")
    path, _ = write(tmp_path, "bil", "<i2")
    with pytest.raises((AssertionError, ValueError, IndexError)):
        check(Case("envi", path))
    KEPT.clear()


def test_the_suite_in_one_call_tells_all_that_is_wrong(tmp_path):
    with pytest.raises(
        AssertionError, match=r"check_info: FormatError: .*no header(?s:.*)check_groups: FormatError: .*no header"
    ):
        (tmp_path / "alone.img").write_bytes(bytes(100))
        check_format("envi", [tmp_path / "alone.img"], groups=["/"])


def test_a_child_finds_it_by_its_entry_points(tmp_path):
    path, values = write(tmp_path, "bil")
    code = f"""
import sys
sys.path.insert(0, {str(PLUGIN)!r})
import xarray as xr, scichunk
print(int(xr.open_dataset({str(path)!r}, engine="envi").band_data.sum()), sorted(scichunk.list_formats()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split(" ", 1) == [str(values.sum()), "['envi', 'fits', 'geotiff', 'jpeg2000', 'votable']\n"]


def test_bad_headers(tmp_path):
    path, _ = write(tmp_path)
    header = path.with_suffix(".hdr")
    text = header.read_text()
    for bad in (
        "",
        "ENVI\n",
        text.replace("lines = 250", "lines = 2500"),
        text.replace("bands = 3", "bands = -3"),
        text.replace("data type = 12", "data type = 99"),
    ):
        header.write_text(bad)
        scichunk.clear_caches()
        with pytest.raises(scichunk.errors.ScichunkError, match="scene"):
            xr.open_dataset(path, engine="envi")
