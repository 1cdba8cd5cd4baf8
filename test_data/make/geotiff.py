"""Write the GeoTIFF files of test_data. Run from anywhere: python test_data/make/geotiff.py."""

from pathlib import Path

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import Resampling
from rasterio.rpc import RPC
from rasterio.transform import Affine

HERE = Path(__file__).resolve().parent.parent
UTM = {"crs": "EPSG:32633", "transform": Affine(10.0, 0.0, 300000.0, 0.0, -10.0, 5000000.0)}


def terrain(bands, height, width, seed, top):
    """Hills with a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    hills = [
        np.sin(x / (17 + 3 * b)) * np.cos(y / (23 - 2 * b)) + 0.02 * rng.standard_normal((height, width))
        for b in range(bands)
    ]
    return (np.stack(hills) + 1.2) / 2.4 * top


def write(name, data, **profile):
    data = np.asarray(data)
    base = {
        "driver": "GTiff",
        "count": data.shape[0],
        "height": data.shape[1],
        "width": data.shape[2],
        "dtype": data.dtype.name,
    }
    path = HERE / name
    for old in HERE.glob(name + "*"):
        old.unlink()
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **{**base, **profile}) as ds:
        ds.write(data)
    return path


def update(path, function):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as ds:
        function(ds)


def main():
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}

    def scene(ds):
        ds.scales, ds.offsets, ds.units = (0.0001,) * 4, (-0.1,) * 4, ("1",) * 4
        ds.descriptions = ("blue", "green", "red", "nir")
        ds.update_tags(sensor="made up")

    path = write(
        "scene_deflate.tif",
        terrain(4, 200, 300, 1, 9000).astype("u2") + 1,
        compress="deflate",
        predictor=2,
        interleave="pixel",
        nodata=0,
        **tiles,
        **UTM,
    )
    update(path, scene)
    update(path, lambda ds: ds.build_overviews([2, 4], Resampling.average))

    blue, _, red, near = terrain(4, 200, 300, 1, 9000).astype("f4")
    classes = np.argmax([blue, red, near], axis=0).astype("u1")[None]  # of whatever is brightest: water, soil, plants
    path = write("scene_classes.tif", classes, compress="deflate", **tiles, **UTM)
    update(
        path, lambda ds: ds.write_colormap(1, {0: (50, 90, 180, 255), 1: (190, 140, 80, 255), 2: (60, 140, 60, 255)})
    )

    height = terrain(1, 150, 170, 2, 3000).astype("f4")
    height[0, :20, :30] = -9999
    write("elevation_zstd.tif", height, compress="zstd", predictor=3, nodata=-9999, **tiles, **UTM)
    rgb = terrain(3, 128, 160, 3, 255).astype("u1")
    write("photo_jpeg.tif", rgb, compress="jpeg", photometric="ycbcr", interleave="pixel", **tiles, **UTM)

    path = write("landcover_palette.tif", (terrain(1, 90, 110, 4, 5)).astype("u1"), compress="packbits", **UTM)
    update(path, lambda ds: ds.write_colormap(1, {i: (40 * i, 200 - 30 * i, 90, 255) for i in range(6)}))

    path = write("masked.tif", terrain(1, 100, 120, 5, 200).astype("u1"), compress="lzw", **tiles, **UTM)
    mask = np.full((100, 120), 255, "u1")
    mask[40:60, 30:90] = 0
    update(path, lambda ds: ds.write_mask(mask))

    pages = HERE / "pages_lzw.tif"
    pages.unlink(missing_ok=True)
    for number in range(3):
        data = terrain(1, 60 + 10 * number, 70, 6 + number, 1000).astype("i2")
        with rasterio.open(
            pages,
            "w",
            driver="GTiff",
            count=1,
            height=data.shape[1],
            width=70,
            dtype="int16",
            compress="lzw",
            APPEND_SUBDATASET=bool(number),
            **UTM,
        ) as ds:
            ds.write(data)

    holes = terrain(1, 100, 100, 9, 50).astype("f4")
    holes[0, 30:50, 20:70] = np.nan
    write("holes_lerc.tif", holes, compress="lerc_zstd", max_z_error=0, **tiles, **UTM)
    write(
        "rotated.tif",
        terrain(1, 40, 50, 10, 255).astype("u1"),
        crs="EPSG:32633",
        transform=Affine(8.0, 3.0, 300000.0, 2.0, -9.0, 5000000.0),
    )

    points = [
        GroundControlPoint(r, c, 10 + c / 100 + r / 900, 50 - r / 100, 5.0, id=str(i))
        for i, (r, c) in enumerate([(0, 0), (0, 49), (39, 0), (39, 49)])
    ]
    write("gcps.tif", terrain(1, 40, 50, 11, 255).astype("u1"), gcps=points, crs="EPSG:4326")
    rpcs = RPC(
        height_off=50,
        height_scale=100,
        lat_off=10,
        lat_scale=0.1,
        line_den_coeff=[1.0] + [0.0] * 19,
        line_num_coeff=[0.0, 1.0] + [0.0] * 18,
        line_off=20,
        line_scale=20,
        long_off=5,
        long_scale=0.1,
        samp_den_coeff=[1.0] + [0.0] * 19,
        samp_num_coeff=[0.0, 0.0, 1.0] + [0.0] * 17,
        samp_off=25,
        samp_scale=25,
    )
    write("rpcs.tif", terrain(1, 40, 50, 12, 255).astype("u1"), rpcs=rpcs)

    sparse = HERE / "sparse_bigtiff.tif"
    sparse.unlink(missing_ok=True)
    with rasterio.open(
        sparse,
        "w",
        driver="GTiff",
        count=2,
        height=300,
        width=300,
        dtype="uint16",
        nodata=7,
        compress="deflate",
        BIGTIFF="YES",
        SPARSE_OK=True,
        interleave="band",
        **tiles,
        **UTM,
    ) as ds:
        ds.write(np.full((64, 64), 99, "u2"), 1, window=((64, 128), (128, 192)))
    wave = terrain(2, 50, 60, 13, 1)
    write("wave_complex_big_endian.tif", (wave[:1] + 1j * wave[1:]).astype("c8"), ENDIANNESS="BIG", **UTM)
    for month in (1, 2, 3):
        path = write(
            f"dem_2024-{month:02d}-01.tif",
            (terrain(1, 80, 96, 20, 500) + month).astype("i2"),
            compress="deflate",
            predictor=2,
            nodata=-1,
            **tiles,
            **UTM,
        )
        update(path, lambda ds, month=month: ds.update_tags(TIFFTAG_DATETIME=f"2024:{month:02d}:01 00:00:00"))

    write("sidecars.tif", terrain(1, 30, 40, 14, 255).astype("u1"))
    (HERE / "sidecars.tfw").write_text("2.0\n0.0\n0.0\n-2.0\n501.0\n899.0\n")
    (HERE / "sidecars.tif.aux.xml").write_text(
        '<PAMDataset>\n  <SRS>EPSG:32633</SRS>\n  <PAMRasterBand band="1">\n    <NoDataValue>3</NoDataValue>\n'
        "    <UnitType>m</UnitType>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )


if __name__ == "__main__":
    main()
