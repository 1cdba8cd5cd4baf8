"""Open the bundled files the ways a user would, print what comes out, draw demo-out/quicklook.png.

A format joins in with one function in TOURS, which prints and returns the pictures to draw. Formats without one still
have their files opened and listed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

import scichunk

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "demo-out"

Picture = tuple[str, np.ndarray, dict]


def step(code: str) -> None:
    print(f"\n>>> {code}")


def geotiff(files: list[Path]) -> list[Picture]:
    scene = str(next((f for f in files if f.name.startswith("scene")), files[0]))
    name = Path(scene).name

    step(f'scichunk.info("{name}")')
    print(scichunk.info(scene))

    step(f'scichunk.from_geotiff("{name}", chunks="native")')
    array = scichunk.from_geotiff(scene, chunks="native")
    print(array)
    print("mean of each band:", array.mean(axis=(1, 2)).compute())

    step(f'xr.open_dataset("{name}", engine="geotiff", chunks={{}})')
    dataset = xr.open_dataset(scene, engine="geotiff", chunks={})
    print(dataset)
    band = dataset.band_data
    corner = band.isel(band=0).sel(x=slice(*band.x.values[[0, 9]]), y=slice(*band.y.values[[0, 9]]))
    print("mean of the upper left corner, by coordinates:", float(corner.mean()))

    step(f'scichunk.open("{name}")  # a tree: overviews and pages are groups')
    tree = scichunk.open(scene)
    print(*tree.groups, sep="\n")

    pictures = [(f"{name}, band 1", band[0].values, {"cmap": "viridis"})]
    groups = [tree[group].to_dataset() for group in tree.groups if "overview" in group]
    if groups:
        pictures.append((f"{name}, an overview", groups[-1].band_data[0].values, {"cmap": "viridis"}))

    stack = sorted(str(f) for f in files if f.name.startswith("dem_"))
    if stack:
        step('scichunk.open_stack(sorted(glob("dem_*.tif")), dim="time", coordinate=date)')
        dates = [np.datetime64(Path(f).stem.removeprefix("dem_")) for f in stack]
        cube = scichunk.open_stack(stack, dim="time", coordinate=dates)
        print(cube)
        variable = cube.band_data if isinstance(cube, xr.Dataset) else cube
        pictures.append((f"mean of {len(stack)} dates", variable.mean("time")[0].values, {"cmap": "terrain"}))
    for part, cmap in (("elevation", "terrain"), ("holes", "magma"), ("landcover", "tab20")):
        for file in files:
            if file.name.startswith(part):
                image = xr.open_dataset(file, engine="geotiff").band_data[0]  # nodata masked
                pictures.append((file.name, image.values, {"cmap": cmap}))
    return pictures


def tables(catalogue: Path) -> list[Picture]:
    step(f'stars = scichunk.read_fits_table("{catalogue.name}")  # dask.dataframe')
    stars = scichunk.read_fits_table(catalogue)
    print(stars.dtypes)

    step("stars[stars.mag < 17].groupby('visits', dropna=False).mag.mean().compute()")
    print(stars[stars.mag < 17].groupby("visits", dropna=False).mag.mean().compute())

    step('scichunk.to_qtable(stars[["name", "ra", "dec", "temperature"]].head(3))')
    print(scichunk.to_qtable(stars[["name", "ra", "dec", "temperature"]].head(3)))

    step(f'xr.open_dataset("{catalogue.name}", engine="fits", hdu="STARS").covariance')
    dataset = xr.open_dataset(catalogue, engine="fits", hdu="STARS")
    print(dataset.covariance)
    density, _, _ = np.histogram2d(dataset.dec.values, dataset.ra.values, bins=12)
    return [(f"{catalogue.name}, stars on the sky", density, {"cmap": "Blues", "origin": "lower"})]


def jpeg2000(files: list[Path]) -> list[Picture]:
    band = next(f for f in files if f.name.startswith("band"))
    palette = next(f for f in files if f.name.startswith("palette"))

    step(f'scichunk.info("{band.name}")')
    print(scichunk.info(band))

    step(f'scichunk.from_jpeg2000("{band.name}", chunks="native")')
    print(scichunk.from_jpeg2000(band, chunks="native"))

    step(f'xr.open_dataset("{band.name}", engine="jpeg2000", reduce=2)')
    small = xr.open_dataset(band, engine="jpeg2000", reduce=2)
    print(small)

    step(f'scichunk.from_jpeg2000("{palette.name}", expand=True)  # colours instead of indices')
    colours = scichunk.from_jpeg2000(palette, expand=True)
    print(colours)
    return [
        (f"{band.name}, halved twice", small.band_data[0].values, {"cmap": "viridis"}),
        (f"{palette.name}, expanded", np.moveaxis(colours.compute(), 0, -1), {}),
    ]


def fits(files: list[Path]) -> list[Picture]:
    exposure = next(f for f in files if f.name == "exposure.fits")
    cube = next(f for f in files if f.name == "cube.fits")

    step(f'scichunk.from_fits("{exposure.name}", hdu="SCI")')
    print(scichunk.from_fits(exposure, hdu="SCI"))

    step(f'xr.open_dataset("{cube.name}", engine="fits", chunks={{}})')
    spectral = xr.open_dataset(cube, engine="fits", chunks={})
    print(spectral)

    step('ds.sel(ra=202.472, dec=47.201, method="nearest").data.values  # a spectrum')
    spectrum = spectral.sel(ra=202.472, dec=47.201, method="nearest").data
    print(spectrum.values.ravel())

    step(f'scichunk.open("{exposure.name}")  # a node for each HDU')
    tree = scichunk.open(exposure)
    print(*tree.groups, sep="\n")
    print(scichunk.wcs(tree["SCI"].sci[20:60, 10:90:2]))
    return [
        *tables(next(f for f in files if f.name == "catalogue.fits")),
        ("exposure.fits, SCI", tree["SCI"].sci.values, {"cmap": "gray", "vmin": 90, "vmax": 160, "origin": "lower"}),
        ("cube.fits, mean over frequency", spectral.data.mean("frequency")[0].values, {"cmap": "inferno"}),
    ]


def votable(files: list[Path]) -> list[Picture]:
    stars = next(f for f in files if f.name == "stars.vot")

    step(f'df = scichunk.read_votable("{stars.name}"); df[df.parallax > 5][["name", "parallax"]].compute()')
    df = scichunk.read_votable(stars)
    print(df[df.parallax > 5][["name", "parallax"]].compute())

    step(f'xr.open_dataset("{stars.name}", engine="votable", chunks={{}})')
    dataset = xr.open_dataset(stars, engine="votable", chunks={})
    print(dataset.drop_attrs(deep=False))
    print({k: v for k, v in dataset.attrs.items() if k != "votable_header"})

    step('scichunk.to_qtable(df[["name", "ra", "dec", "colours"]].head(3))')
    print(scichunk.to_qtable(df[["name", "ra", "dec", "colours"]].head(3)))

    OUT.mkdir(exist_ok=True)
    near = OUT / "near.vot"
    step(f'scichunk.write_votable(df[df.parallax > 2], "{near.name}"); scichunk.info("{near.name}")')
    scichunk.write_votable(df[df.parallax > 2], near, overwrite=True)
    print(scichunk.info(near))
    density = np.histogram2d(dataset.dec.values, dataset.ra.values, bins=(16, 20))[0]
    return [("stars.vot, stars per cell", density, {"cmap": "viridis", "origin": "lower"})]


TOURS: dict[str, Callable[[list[Path]], list[Picture]]] = {
    "geotiff": geotiff,
    "jpeg2000": jpeg2000,
    "fits": fits,
    "votable": votable,
}


def listing(files: list[Path]) -> None:
    """Every file through the engine that finds the format itself: opened, read in full, which reader served it."""
    print(f"\n{'file':<32}{'groups':>7}{'arrays':>8}{'MB':>8}{'ms':>7}  reader")
    for file in files:
        start = time.perf_counter()
        tree = scichunk.open(file, mask_and_scale=False)
        arrays = [v.load() for node in tree.subtree for v in node.to_dataset(inherit=False).data_vars.values()]
        milliseconds = 1000 * (time.perf_counter() - start)
        readers = ", ".join(dict.fromkeys(str(v.encoding.get("reader", "?")) for v in arrays))
        size = sum(v.nbytes for v in arrays) / 1e6
        print(f"{file.name:<32}{len(tree.groups):>7}{len(arrays):>8}{size:>8.2f}{milliseconds:>7.0f}  {readers}")


def draw(pictures: list[Picture]) -> Path:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    columns = min(3, len(pictures))
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.2 * columns, 3.6 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (title, image, options) in zip(axes.flat, pictures, strict=False):
        figure.colorbar(axis.imshow(image, interpolation="nearest", **options), ax=axis, shrink=0.8)
        axis.set_title(title, fontsize=9)
    OUT.mkdir(exist_ok=True)
    path = OUT / "quicklook.png"
    figure.savefig(path, dpi=110)
    return path


def main() -> int:
    folder = Path(os.environ.get("SCICHUNK_TEST_DATA", ROOT / "test_data"))
    print(f"scichunk {scichunk.__version__} reads {', '.join(scichunk.list_formats())}")
    pictures = []
    for name, spec in scichunk.list_formats().items():
        found = (f for f in folder.iterdir() if not f.name.endswith(".aux.xml"))  # beside a GeoTIFF, no VOTable
        files = sorted(f for f in found if f.name.lower().endswith(tuple(spec.suffixes)))
        print(f"\n{'=' * 100}\n{spec.description}: {len(files)} bundled files")
        if not files:
            continue
        listing(files)
        if name in TOURS:
            pictures += TOURS[name](files)
    if not pictures:
        print("nothing to draw", file=sys.stderr)
        return 1
    print(f"\n{'=' * 100}\nwrote {os.path.relpath(draw(pictures))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
