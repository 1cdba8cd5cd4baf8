import warnings
import zipfile

from tests.fuzz.make_seeds import fits, geotiff, jpeg2000, votable
from tests.fuzz.seeds import ARCHIVE

MAKERS = {"fits": fits.files, "geotiff": geotiff.files, "jpeg2000": jpeg2000.files, "votable": votable.files}


def main():
    warnings.simplefilter("ignore")
    with zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for kind, files in MAKERS.items():
            made = dict(files())
            for name, data in sorted(made.items()):
                archive.writestr(zipfile.ZipInfo(f"{kind}/{name}"), data, zipfile.ZIP_DEFLATED, 9)
            print(f"{kind}: {len(made)} files, {sum(map(len, made.values()))} bytes")


main()
