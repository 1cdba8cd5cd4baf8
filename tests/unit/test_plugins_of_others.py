"""What the base of formats does for those who write only ``node`` and ``select``; and plug-ins that ask for what there is not."""

from dataclasses import dataclass

import numpy as np
import pytest

from scichunk.adapters import warmup
from scichunk.codecs.raw import RawCodec
from scichunk.core import registry
from scichunk.core.arrays import IndexedArray, WindowArray
from scichunk.core.files import ArrayId, ArrayVar, FormatFile, Node
from scichunk.core.grid import ChunkGrid
from scichunk.core.manifest import ChunkManifest
from scichunk.core.registry import FormatSpec
from scichunk.core.selection import Span
from scichunk.core.selectors import Selector, index
from scichunk.errors import FormatError, PluginWarning, ScichunkError
from scichunk.sources import locate


@dataclass(frozen=True)
class LevelId(ArrayId):
    level: int
    raw: bool = False


class Levels(FormatFile):
    """Three arrays of one byte each, with stored values beside them."""

    def groups(self):
        return ["/level_0", "/level_1", "/level_2"]

    def select(self, *, level=0):
        return self.groups()[level]

    def node(self, group="/"):
        level = self.groups().index(group)
        index_ = ChunkManifest(
            ChunkGrid((1,), (1,)), np.dtype("u1"), RawCodec(np.dtype("u1"), (0,)), np.array([level], "u8"), np.ones(1, "u8")
        )  # fmt: skip
        source = IndexedArray(index_, self.source, (level,))
        raw = ArrayVar("data", ("x",), LevelId(level, True), source, {"scale_factor": 2.0})
        return Node((ArrayVar("data", ("x",), LevelId(level), source, raw=raw),))


@pytest.fixture
def levels():
    location = locate(b"abc")
    return Levels(location, location.open())


def test_the_first_array_of_the_group_that_is_selected(levels):
    for level in range(3):
        found, bands = levels.find_array(
            level=level, reader="auto", bands=(0,)
        )  # what select does not take is no matter
        assert (found, bands) == (LevelId(level), (0,))
    assert levels.find_array()[0] == LevelId(0)


def test_stored_values_are_found(levels):
    raw = LevelId(2, True)
    assert levels.array(raw).shape == (1,)
    assert levels.layout(raw).meaning["scale_factor"] == 2.0
    assert "scale_factor" not in levels.layout(LevelId(2)).meaning
    with pytest.raises(FormatError, match="no array"):
        levels.array(LevelId(3))


def spec(**fields):
    return FormatSpec("other", "of another package", (".other",), lambda head: False, "nowhere", **fields)


def test_kernels_that_there_are_not_are_passed_over(monkeypatch):
    formats = {**registry.list_formats(), "other": spec(kernels=("of nobody", "scaling"))}
    monkeypatch.setattr(registry, "_all_formats", lambda: formats)
    done = []
    monkeypatch.setattr(warmup, "_compile", done.append)
    with pytest.warns(PluginWarning, match="of nobody"):
        assert "fits image" in warmup.warmup()
    assert "of nobody" not in done
    with pytest.warns(PluginWarning, match="of nobody"):
        assert warmup.warmup("other") == ["scaling"]


@pytest.mark.unforeseen
def test_siblings_that_fail_are_an_error_of_the_tree(tmp_path):
    def fails(name):
        raise RuntimeError("of a bad plug-in")

    (tmp_path / "a.other").write_bytes(b"abc")
    location = locate(tmp_path / "a.other")
    for siblings in (fails, lambda name: None):
        with pytest.raises(ScichunkError, match=r"a\.other"):
            spec(siblings=siblings).version(location, location.open().fingerprint)


@pytest.mark.parametrize(
    "fields", [{"selectors": (Selector("x", index, "", uses=None),)}, {"selectors": (Selector("x", None, ""),)}, {"suffixes": ("",)}]
)  # fmt: skip
def test_fields_that_would_break_the_other_formats(fields):
    made = FormatSpec(
        **{"name": "other", "description": "", "suffixes": (".other",), "sniff": bool, "module": "nowhere"} | fields
    )
    with pytest.raises(TypeError, match=r"uses|checks|empty"):
        registry._check_types(made)


def test_corrupt_metadata_of_any_package(tmp_path, monkeypatch):
    info = tmp_path / "corrupt-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\n")
    (info / "entry_points.txt").write_text("[of.anything]\nno name and no value\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._all_formats.cache_clear()
    try:
        with pytest.warns(PluginWarning, match="corrupt"):
            assert {*registry.list_formats()} >= {"geotiff", "jpeg2000", "fits", "votable"}
    finally:
        registry._all_formats.cache_clear()


def test_values_of_a_type_that_loses_them():
    for dtype, well in (("i4", False), ("f4", True), ("f8", True), ("u1", False), ("c8", True)):
        array = WindowArray(ChunkGrid((3,), (2,)), np.dtype(dtype), "indexed", lambda window: np.full(3, 1.5)[window])
        if well:
            np.testing.assert_array_equal(array.read([Span(0, 3)]), [1.5] * 3)
            continue
        with pytest.raises(FormatError, match="type float64"):
            array.read([Span(0, 3)])
        with pytest.raises(FormatError, match="type float64"):
            array.read([Span(0, 3, 2)])
