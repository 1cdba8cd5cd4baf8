"""The four built-in formats do what scichunk promises of all formats."""

import pytest

from scichunk.testing import CHECKS, Case

QUICK = {
    "geotiff": ["scene_deflate.tif", "masked.tif"],
    "jpeg2000": ["palette.jp2", "subsampled.j2k"],
    "fits": ["compressed.fits", "catalogue.fits"],
    "votable": ["stars_binary2.vot.gz"],
}
MORE = {
    "geotiff": [
        "pages_lzw.tif",
        "sparse_bigtiff.tif",
        "photo_jpeg.tif",
        "rotated.tif",
        "wave_complex_big_endian.tif",
        "landcover_palette.tif",
        "sidecars.tif",
        "elevation_zstd.tif",
        "holes_lerc.tif",
        "gcps.tif",
        "rpcs.tif",
    ],
    "jpeg2000": ["band_tlm_plt.jp2", "bgr.jp2", "signed_97.j2k", "high_throughput.jph"],
    "fits": ["cube.fits", "exposure.fits", "scaled.fits", "compressed_table.fits"],
    "votable": ["stars.vot"],
}

PAGE_0 = "the tree calls the group / of a file of several groups /page_0"
KNOWN = [
    ("names", ["jpeg2000", "scene_deflate.tif", "pages_lzw.tif"], PAGE_0),
    ("names", ["compressed.fits", "exposure.fits"], "info calls every image 'data'"),
    ("names", ["cube.fits", "scaled.fits"], "info says /PRIMARY where the tree of one HDU says /"),
    ("groups", ["jpeg2000"], "the tree has /page_0, which open_dataset refuses"),
    ("tree", ["jpeg2000"], "the tree has /page_0, which open_dataset refuses"),
    ("unknown_group", ["geotiff", "jpeg2000"], "the group '_' opens the first page"),
    ("async", ["rotated.tif"], "computed coordinates of rotated rasters have no asynchronous read"),
]
"""What fails today, by check and by format or file; each fix removes its line."""
EXPECTED = {"strict": True, "raises": (AssertionError, NotImplementedError)}


def case(name, file, check):
    short = check.__name__.removeprefix("check_")
    first = file == QUICK[name][0]
    marks = [] if first or (file in QUICK[name] and short != "processes") else [pytest.mark.slow]
    known = [reason for which, where, reason in KNOWN if short == which and {name, file} & {*where}]
    marks += [pytest.mark.xfail(reason=reason, **EXPECTED) for reason in known]
    return pytest.param(name, file, check, marks=marks, id=f"{file}-{short}")


CASES = [case(n, f, check) for files in (QUICK, MORE) for n, those in files.items() for f in those for check in CHECKS]


@pytest.mark.parametrize(("name", "file", "check"), CASES)
def test_built_in(name, file, check):
    check(Case(name, f"test_data/{file}"))
