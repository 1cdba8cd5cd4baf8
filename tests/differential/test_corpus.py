"""Real files of many origins against the reference readers, where a folder of them is at hand."""

import csv
import os
import re
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


CODED_AGAIN = {"JPEG": 3, "WEBP": 3, "JXL": 3}
"""How far pixels of lossy codecs may lie apart: their standards leave the arithmetic to the decoder. All others are exact."""

corpus = pytest.mark.skipif(not (CORPUS / "manifest.csv").exists(), reason="no corpus")


def oracle(what, error):
    """Skip a file that the reference reader refuses: there is nothing to compare with."""
    pytest.skip(f"{what} does not read it: {type(error).__name__}: {error}")


@pytest.mark.corpus
@pytest.mark.slow
@corpus
@pytest.mark.parametrize("name", manifest("geotiff"))
def test_geotiff(name):
    import rasterio

    try:
        with rasterio.open(CORPUS / name) as ds:
            if ds.count * ds.height * ds.width > 1 << 26:
                pytest.skip("larger than is compared")
            if len(set(ds.dtypes)) > 1:
                pytest.skip("rasterio reads no bands of different types together")
            want, codec = ds.read(), str(getattr(ds.compression, "name", ds.compression))  # unknown ones are texts
    except rasterio.errors.RasterioError as error:
        oracle("rasterio", error)
    got = scichunk.from_geotiff(CORPUS / name).compute()
    assert got.shape == want.shape
    near = CODED_AGAIN.get(codec.upper(), 0)
    if near:
        assert np.abs(got.astype(int) - want).max(initial=0) <= near
    else:
        np.testing.assert_array_equal(got.astype(want.dtype), want)


@pytest.mark.corpus
@pytest.mark.slow
@corpus
@pytest.mark.parametrize("name", manifest("jp2"))
def test_jpeg2000(name):
    """Whole images against glymur, components as they are stored."""
    from scichunk.formats.jpeg2000.reference import lend_glymur

    with lend_glymur() as glymur:
        try:
            image = glymur.Jp2k(CORPUS / name)
            image.ignore_pclr_cmap_cdef = True
            if image.shape[0] * image.shape[1] >= 1 << 24:
                pytest.skip("larger than is compared")
            want = image[:]
        except Exception as error:
            oracle("glymur", error)
    got = scichunk.from_jpeg2000(CORPUS / name).compute()
    want = np.stack(want) if isinstance(want, list) else want  # components of several depths
    want = want[None] if want.ndim == 2 else want if want.shape == got.shape else np.moveaxis(want, -1, 0)
    np.testing.assert_array_equal(got.astype("i8"), want)


@pytest.mark.corpus
@pytest.mark.slow
@corpus
@pytest.mark.parametrize("name", manifest("jp2"))
def test_reduced_windows_of_jpeg2000(name):
    """Windows of the image reduced once, against a full decode by OpenJPEG."""
    from tests.jpeg2000_files import decode

    path = CORPUS / name
    try:
        half = np.stack(decode(path.read_bytes(), 1))
    except Exception as error:
        oracle("OpenJPEG", error)
    array = scichunk.from_jpeg2000(path, reduce=1)
    window = (slice(None), slice(half.shape[1] // 3, None), slice(None, half.shape[2] // 2 + 1))
    assert np.abs(array[window].compute().astype("i8") - half[window]).max(initial=0) <= 1


@pytest.mark.corpus
@pytest.mark.slow
@corpus
@pytest.mark.parametrize("name", manifest("jp2"))
def test_boxes_are_those_of_glymur(name):
    from scichunk.formats.jpeg2000.file import open_file
    from scichunk.formats.jpeg2000.reference import lend_glymur
    from scichunk.sources import locate

    with lend_glymur() as glymur:
        try:
            boxes = [(b.box_id, b.offset, b.offset + b.length) for b in glymur.Jp2k(CORPUS / name).box]
        except Exception as error:
            oracle("glymur", error)
    try:
        structure = open_file(locate(CORPUS / name)).structure
    except scichunk.errors.FormatError as error:
        assert re.search("can be numbered|impossible image", str(error)), error
        pytest.skip("boxes around a codestream that is corrupt")
    if not structure.boxes:
        pytest.skip("a codestream without boxes")
    size = structure.reader.size
    want = [(kind, start, min(size, stop)) for kind, start, stop in boxes]
    got = [(b.kind.decode("latin-1"), b.start, b.stop) for b in structure.all_boxes]
    # glymur calls a box that it does not know xxxx
    assert len(got) == len(want), (got, want)
    for ours, theirs in zip(got, want, strict=True):
        assert ours[1:] == theirs[1:], (got, want)
        assert theirs[0] in (ours[0], "xxxx"), (got, want)
