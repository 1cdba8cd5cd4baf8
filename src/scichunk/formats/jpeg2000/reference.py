"""Images through glymur: what is asked for explicitly, and the oracle of the tests."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scichunk import options
from scichunk.codecs.jpeg2000 import openjpeg
from scichunk.codecs.jpeg2000.codec import check_structures
from scichunk.core.arrays import ReferenceArray
from scichunk.core.grid import ChunkGrid
from scichunk.errors import FormatError, LimitExceeded, ScichunkError, UnsupportedFeature
from scichunk.formats.jpeg2000.manifest import group_type
from scichunk.formats.jpeg2000.structure import Group, JPEG2000Structure
from scichunk.quiet import library_lock, quiet
from scichunk.sources import ByteSource
from scichunk.sources.spill import LocalCopy, Spill

__all__ = ["lend_glymur", "open_reference"]

Array = npt.NDArray[Any]
_STEP_BYTES: Final = 1 << 24


@contextlib.contextmanager
def lend_glymur() -> Iterator[Any]:
    """glymur, with an OpenJPEG: its wheel brings none, so where it finds none it is shown ours."""
    with library_lock(), quiet():
        import glymur
        from glymur.lib import openjp2

        if openjp2.OPENJP2 is None:
            _show_library(glymur, openjp2)
        yield glymur


def _show_library(glymur: Any, openjp2: Any) -> None:
    """Run the module of glymur that looks for the library again, with our answer to its question.

    It is run again since its structures are laid out by the version that it finds. The answer is given in the place of glymur's own
    function, which nothing else calls after the import; its other ways, a file in the current folder and an environment variable, are
    seen by all threads of the process.
    """
    from glymur import config
    from packaging.version import parse

    path = openjpeg.shared_path()
    if path is None:
        msg = "glymur has no OpenJPEG library, and none was found for it"
        raise UnsupportedFeature(msg)
    own = config.glymur_config
    config.glymur_config = lambda name: ctypes.CDLL(path) if name == "openjp2" else own(name)
    try:
        importlib.reload(openjp2)
    finally:
        config.glymur_config = own
    glymur.version.openjpeg_version = openjp2.version()
    glymur.version.openjpeg_version_tuple = parse(openjp2.version()).release


class GlymurWindows:
    """Reads windows of one group of components, one glymur object each."""

    def __init__(self, source: ByteSource, structure: JPEG2000Structure, group: Group, reduce: int, why: str) -> None:
        self._source, self._why = source, f"the reference reader (glymur) is needed: {why}"
        self._copy: LocalCopy | None = None
        self._structure, self._group, self._reduce = structure, group, reduce
        self._dtype = group_type(group)

    def __call__(self, window: tuple[slice, ...]) -> Array:
        """Read a window of (band, y, x)."""
        shape = self._structure.group_shape(self._group, self._reduce)
        self._check_size()
        try:
            with self._file_for_glymur().path() as path, lend_glymur() as glymur:
                planes = self._read_planes(glymur.Jp2k(path))
        except ScichunkError:
            raise
        except Exception as error:  # glymur raises what it meets
            msg = f"glymur cannot read it: {type(error).__name__}: {error}"
            raise FormatError(msg, tried="reference (glymur)") from error
        out = np.empty(tuple(s.stop - s.start for s in window), self._dtype)
        for band, component in enumerate(self._group.components[window[0]]):
            if planes[component].shape != shape[1:]:
                msg = f"glymur gives component {component} as {planes[component].shape}, not {shape[1:]}"
                raise FormatError(msg, tried="reference (glymur)")
            out[band] = planes[component][window[1:]]
        return out

    def close(self) -> None:
        """Give up the copy of the file if there is one."""
        if self._copy is not None:
            self._copy.close()

    def _check_size(self) -> None:
        """Compare the image, all of which glymur decodes, with the limit."""
        structure = self._structure
        shapes = [(structure.group_shape(g, self._reduce), group_type(g).itemsize) for g in structure.groups]
        size, limit = sum(math.prod(s) * n for s, n in shapes), options.get().max_chunk_bytes
        if size > limit:
            msg = f"glymur would have to decode {size} bytes, beyond the limit of {limit} (options.max_chunk_bytes)"
            raise LimitExceeded(msg, tried="reference (glymur)")
        check_structures(structure.header)

    def _file_for_glymur(self) -> LocalCopy:
        """The file for glymur, without boxes: it reads a TIFF in them without any bound, and boxes of no length without an end."""
        if self._copy is None:
            source, structure = self._source, self._structure
            if structure.start:
                spill = Spill(source.url)
                try:
                    for start in range(structure.start, structure.stop, _STEP_BYTES):
                        spill.write(source.read_ranges([start], [min(structure.stop, start + _STEP_BYTES)])[0])
                    source = spill.finish(source.fingerprint.tag)
                finally:
                    spill.close()
            self._copy = LocalCopy(source, ".jp2", self._why)
        return self._copy

    def _read_planes(self, image: Any) -> list[Array]:
        """All components, at full size of what is asked: areas of images with an offset are not glymur's strength."""
        image.ignore_pclr_cmap_cdef = True
        if len(self._structure.groups) > 1:
            bands = image.read_bands(rlevel=self._reduce)
            # where all are of one size after all, as halving makes them, it is one array, with the components last
            return list(np.moveaxis(bands, -1, 0)) if isinstance(bands, np.ndarray) else [np.asarray(p) for p in bands]
        found = np.asarray(image._read(rlevel=self._reduce))  # noqa: SLF001  # the only way to name a level
        if found.ndim == 2:
            return [found]
        count = len(self._structure.header.size.components)
        return list(found) if found.shape[0] == count != found.shape[-1] else list(np.moveaxis(found, -1, 0))


def open_reference(
    source: ByteSource, structure: JPEG2000Structure, group: Group, reduce: int, why: str
) -> ReferenceArray:
    """Serve a group of components through glymur."""
    shape = structure.group_shape(group, reduce)
    if min(shape) < 1:
        msg = f"components {group.components} have no samples"
        raise FormatError(msg)
    windows = GlymurWindows(source, structure, group, reduce, why)
    return ReferenceArray(ChunkGrid(shape, shape), group_type(group), why, windows)
