"""Names that plug-ins may import and that have been changed: the old ones work, and say so."""

import importlib

import numpy as np
import pytest

from scichunk.codecs.raw import RawCodec
from scichunk.core.grid import ChunkGrid
from scichunk.core.manifest import ChunkManifest

OLD = [("scichunk.core.files", "Place", "ArrayId"), ("scichunk.raster.gdal", "nothing", "empty_metadata")]


@pytest.mark.parametrize(("module", "old", "new"), OLD)
def test_old_names_warn(module, old, new):
    found = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=rf"{old} is called {new} now") as caught:
        assert getattr(found, old) is getattr(found, new)
    assert caught[0].filename == __file__
    assert old not in found.__all__
    with pytest.raises(AttributeError, match="nonsense"):
        found.nonsense


@pytest.mark.parametrize(("module", "old", "new"), OLD)
def test_old_names_can_be_imported(module, old, new):
    with pytest.warns(DeprecationWarning, match=new):
        exec(f"from {module} import {old}")


def test_a_manifest_takes_the_former_name_of_its_label():
    grid, none = ChunkGrid((4,), (4,)), np.zeros(1, np.uint64)
    with pytest.warns(DeprecationWarning, match="label"):
        manifest = ChunkManifest(grid, np.dtype("u1"), RawCodec(np.dtype("u1"), (0,)), none, none, noun="slab")
    assert manifest.label == "slab"
    assert ChunkManifest(grid, np.dtype("u1"), RawCodec(np.dtype("u1"), (0,)), none, none).label == "chunk"
