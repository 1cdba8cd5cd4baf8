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


def case(name, file, check):
    short = check.__name__.removeprefix("check_")
    first = file == QUICK[name][0]
    marks = [] if first or (file in QUICK[name] and short != "processes") else [pytest.mark.slow]
    return pytest.param(name, file, check, marks=marks, id=f"{file}-{short}")


CASES = [case(n, f, check) for files in (QUICK, MORE) for n, those in files.items() for f in those for check in CHECKS]


@pytest.mark.parametrize(("name", "file", "check"), CASES)
def test_built_in(name, file, check):
    check(Case(name, f"test_data/{file}"))
