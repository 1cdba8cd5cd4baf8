"""Draw the pictures of the README from the bundled files: `python scripts/pictures.py` (group demo)."""

from pathlib import Path

import matplotlib as mpl
import xarray as xr

import scichunk

mpl.use("agg")
ROOT = Path(__file__).resolve().parents[1]
DATA, OUT = ROOT / "test_data", ROOT / "docs" / "images"


def main() -> None:
    from matplotlib import pyplot as plt

    def save(name: str) -> None:
        plt.gcf().set_size_inches(4.4, 3)
        plt.tight_layout()
        plt.savefig(OUT / name, dpi=80, metadata={"Software": None})
        plt.close()

    OUT.mkdir(exist_ok=True)
    scichunk.open(DATA / "scene_deflate.tif")["overview_1"].band_data[[2, 1, 0]].plot.imshow(robust=True)
    save("scene.png")
    image = xr.open_dataset(DATA / "exposure.fits", engine="fits", hdu="SCI", chunks={})
    image.sci.plot.imshow(robust=True)
    save("exposure.png")


if __name__ == "__main__":
    main()
