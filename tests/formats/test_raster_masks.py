"""Masks, mask files and alpha bands count as they do for GDAL: what has no data is NaN, on overviews and in stacks too."""

import asyncio
import pickle
import struct

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.enums import ColorInterp

import scichunk

RNG = np.random.default_rng(3)


def write(
    path,
    bands=3,
    dtype="uint8",
    size=(90, 130),
    mask=None,
    alpha=False,
    overviews=(),
    external=False,
    beside=False,
    **profile,
):
    """Write a raster; returns its stored values."""
    profile = {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate", **profile}
    data = RNG.integers(1, 200, (bands, *size)).astype(dtype)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not external, COMPRESS_OVERVIEW="DEFLATE", TIFF_USE_OVR=beside):
        with rasterio.open(
            path, "w", driver="GTiff", count=bands, height=size[0], width=size[1], dtype=dtype, **profile
        ) as ds:
            if alpha:
                data[-1] = np.where(RNG.random(size) > 0.3, data[-1], 0)
                ds.colorinterp = [
                    *[ColorInterp.gray, ColorInterp.green, ColorInterp.blue][: bands - 1],
                    ColorInterp.alpha,
                ]
            ds.write(data)
            if mask is not None:
                ds.write_mask(mask)
        if overviews:
            with rasterio.open(path, "r+") as ds:
                ds.build_overviews(overviews)
    return data


def as_gdal(path, level=None):
    """Decoded bands with NaN where GDAL's masks are 0."""
    options = {} if level is None else {"overview_level": level}
    with rasterio.open(path, **options) as ds:
        kind = "f4" if np.dtype(ds.dtypes[0]).itemsize <= 2 or ds.dtypes[0] == "float32" else "f8"
        values = ds.read().astype(kind)
        for band, (scale, offset) in enumerate(zip(ds.scales, ds.offsets, strict=True)):
            values[band] = values[band] * scale + offset
        values[ds.read_masks() == 0] = np.nan
        return values


MASK = np.where(RNG.random((90, 130)) > 0.4, 255, 0).astype("u1")
MASK[10:60, :40] = 0
KINDS = {
    "internal mask": {"mask": MASK},
    "mask file": {"mask": MASK, "external": True},
    "mask and nodata": {"mask": MASK, "nodata": 7},
    "mask of strips": {"mask": MASK, "tiled": False, "blockysize": 10},
    "mask of floats": {"mask": MASK, "dtype": "float32"},
    "mask of long integers": {"mask": MASK, "dtype": "int32"},
    "mask, interleaved": {"mask": MASK, "interleave": "pixel"},
    "alpha of four": {"bands": 4, "alpha": True},
    "alpha of two": {"bands": 2, "alpha": True, "interleave": "pixel"},
    "alpha of uint16": {"bands": 4, "alpha": True, "dtype": "uint16"},
    "alpha of five": {"bands": 5},
    "alpha and nodata": {"bands": 4, "alpha": True, "nodata": 9},
    "alpha and mask": {"bands": 4, "alpha": True, "mask": MASK},
    "none": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_decoded_values_are_gdals(tmp_path, kind):
    path = tmp_path / "image.tif"
    data = write(path, **KINDS[kind])
    decoded = xr.open_dataset(path, engine="geotiff")
    if kind in {"none", "alpha of five"}:
        assert decoded.band_data.dtype == data.dtype
        return
    assert list(decoded.data_vars) == ["band_data"]
    np.testing.assert_array_equal(decoded.band_data.values, as_gdal(path))
    raw = xr.open_dataset(path, engine="geotiff", mask_and_scale=False)
    np.testing.assert_array_equal(raw.band_data.values, data)
    np.testing.assert_array_equal(scichunk.from_geotiff(path).compute(), data)
    assert ("mask" in raw) == ("mask" in KINDS[kind])
    if "mask" in raw:
        np.testing.assert_array_equal(raw.mask.values, MASK)
        assert raw.mask.encoding["reader"] == "indexed"


@pytest.mark.parametrize("kind", ["internal mask", "alpha of four", "alpha of two"])
def test_every_way_of_indexing(tmp_path, kind):
    path = tmp_path / "image.tif"
    write(path, **KINDS[kind])
    want = as_gdal(path)
    array = xr.open_dataset(path, engine="geotiff").band_data
    p = {
        "band": xr.DataArray([0, 1, 0], dims="p"),
        "y": xr.DataArray([5, 80, 33], dims="p"),
        "x": xr.DataArray([1, 2, 129], dims="p"),
    }
    cases = [
        {"band": 0}, {"band": [1, 0]}, {"y": slice(20, 70, 3), "x": slice(100, 3, -7)}, {"y": [3, 88, 4], "x": 17}, {"y": slice(0, 0)},
        {"band": slice(None, None, -1), "y": slice(None, None, -1)},
    ]  # fmt: skip
    whole = xr.DataArray(want, dims=("band", "y", "x"))
    for case in [*cases, p, {k: p[k] for k in ("y", "x")}, {k: p[k] for k in ("band", "y")}, {"band": p["band"]}]:
        np.testing.assert_array_equal(array.isel(case).values, whole.isel(case).values)
    lazily = xr.open_dataset(path, engine="geotiff", chunks={"x": 50}).band_data
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazily)).values, want)
    loaded = asyncio.run(xr.open_dataset(path, engine="geotiff").load_async())
    np.testing.assert_array_equal(loaded.band_data.values, want)


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("kind", ["mask", "alpha", "mask, overviews beside the file"])
def test_overviews_are_masked(tmp_path, kind, external):
    path = tmp_path / "image.tif"
    how = {"bands": 4, "alpha": True} if kind == "alpha" else {"mask": MASK}
    write(path, overviews=(2, 4), external=external, beside="beside" in kind, **how)
    assert (tmp_path / "image.tif.msk.ovr").exists() == ("beside" in kind and external)
    for level in (0, 1):
        got = xr.open_dataset(path, engine="geotiff", overview=level).band_data
        np.testing.assert_array_equal(got.values, as_gdal(path, level))
        assert np.isnan(got.values[0]).any() == (
            external or "beside" not in kind
        )  # GDAL has none for overviews in .ovr


def test_what_is_written_has_no_false_zeros(tmp_path):
    netcdf = pytest.importorskip("scipy", reason="a netCDF library writes the file")
    del netcdf
    path = tmp_path / "image.tif"
    write(path, mask=MASK)
    decoded = xr.open_dataset(path, engine="geotiff")
    decoded.to_netcdf(tmp_path / "image.nc", engine="scipy")
    np.testing.assert_array_equal(
        xr.open_dataset(tmp_path / "image.nc", engine="scipy").band_data.values, decoded.band_data.values
    )


def test_stacks_of_masked_and_unmasked_files(tmp_path):
    paths = [tmp_path / f"{n}.tif" for n in range(3)]
    for number, path in enumerate(paths):
        write(path, mask=MASK if number == 1 else None)
    for order in ([0, 1, 2], [1, 0, 2]):
        files = [paths[n] for n in order]
        stack = scichunk.open_stack(files)
        for i, n in enumerate(order):
            with rasterio.open(paths[n]) as ds:
                values = ds.read().astype("f4")
                values[ds.read_masks() == 0] = np.nan
            np.testing.assert_array_equal(stack.band_data[i].values, values)
        raw = scichunk.open_stack(files, mask_and_scale=False)
        for i, n in enumerate(order):
            np.testing.assert_array_equal(raw.mask[i].values, MASK if n == 1 else np.full_like(MASK, 255))


def write_mask_file(path, planes, flags, **options):
    """Write an ``.msk`` file whose metadata say of each band what is given."""
    planes = np.where(RNG.random((planes, 90, 130)) > 0.4, 255, 0).astype("u1")
    profile = {"tiled": True, "blockxsize": 32, "blockysize": 48, "compress": "deflate", **options}
    with rasterio.open(
        f"{path}.msk", "w", driver="GTiff", width=130, height=90, count=len(planes), dtype="uint8", **profile
    ) as ds:
        ds.write(planes)
        ds.update_tags(**{f"INTERNAL_MASK_FLAGS_{n}": str(f) for n, f in enumerate(flags, 1) if f is not None})


@pytest.mark.parametrize("flags", [(), (0, 0, 0), (1, 1, 1), (2, 2, 2), (2, None, None), (0, None, 2), ("8 x",) * 3, ("x",) * 3, (6, 4, 3)])  # fmt: skip
@pytest.mark.parametrize("planes", [1, 2, 3])
@pytest.mark.parametrize("nodata", [None, 7])
def test_mask_files_say_whose_masks_they_have(tmp_path, planes, flags, nodata):
    path = tmp_path / "image.tif"
    write(path, nodata=nodata)
    write_mask_file(path, planes, flags)
    want = as_gdal(path)
    decoded = xr.open_dataset(path, engine="geotiff").band_data
    np.testing.assert_array_equal(decoded.values, want)
    raw = xr.open_dataset(path, engine="geotiff", mask_and_scale=False)
    assert ("mask" in raw) == any(f is not None for f in flags)
    if "mask" in raw and raw.mask.dims == ("band", "y", "x"):
        assert nodata or (np.isnan(want) == (raw.mask.values == 0)).all()


@pytest.mark.parametrize("flags", [(0, 0, 0), (0, None, 2)])
def test_every_way_of_indexing_masks_of_bands(tmp_path, flags):
    path = tmp_path / "image.tif"
    write(path, nodata=9)
    write_mask_file(path, 3, flags, interleave="pixel")
    for level in (None, 0):
        if level == 0:
            with rasterio.open(path, "r+") as ds:
                ds.build_overviews([2])
        whole = xr.DataArray(as_gdal(path, level), dims=("band", "y", "x"))
        array = xr.open_dataset(path, engine="geotiff", overview=level).band_data
        p = {n: xr.DataArray(v, dims="p") for n, v in {"band": [2, 0, 2], "y": [5, 40, 33], "x": [1, 2, 64]}.items()}
        cases = [
            {}, {"band": 1}, {"band": [2, 0]}, {"y": slice(20, 44, 3), "x": slice(60, 3, -7)}, {"y": [3, 44, 4], "x": 17},
            {"band": slice(None, None, -1)}, p, {k: p[k] for k in ("y", "x")}, {k: p[k] for k in ("band", "y")}, {"band": p["band"]},
        ]  # fmt: skip
        for case in cases:
            np.testing.assert_array_equal(array.isel(case).values, whole.isel(case).values)
        lazily = xr.open_dataset(path, engine="geotiff", overview=level, chunks={"x": 50}).band_data
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazily)).values, whole.values)
        loaded = asyncio.run(xr.open_dataset(path, engine="geotiff", overview=level).load_async())
        np.testing.assert_array_equal(loaded.band_data.values, whole.values)
        raw = xr.open_dataset(path, engine="geotiff", overview=level, mask_and_scale=False).mask
        np.testing.assert_array_equal(raw.isel(p).values, raw.load().isel(p).values)


def test_masks_within_the_file_come_first(tmp_path):
    path = tmp_path / "image.tif"
    write(path, mask=MASK, overviews=[2])
    write_mask_file(path, 1, (2, 2, 2))
    for level in (None, 0):
        decoded = xr.open_dataset(path, engine="geotiff", overview=level).band_data
        np.testing.assert_array_equal(decoded.values, as_gdal(path, level))


def two_directories(images):
    """TIFF of uncompressed images, each with its NewSubfileType, bits and samples."""
    content, at = bytearray(b"II" + struct.pack("<HI", 42, 8)), 8
    for number, (data, subfile, bits, samples) in enumerate(images):
        tags = {254: subfile, 256: 16, 257: 20, 258: bits, 259: 1, 262: 1, 277: samples, 278: 20, 279: len(data)}
        first = at + 2 + 12 * (len(tags) + 1) + 4
        tags[273] = first + 2 * samples
        head = struct.pack("<H", len(tags))
        for code, value in sorted(tags.items()):
            kind, count, field = 3 if code in {258, 259, 262, 277} else 4, 1, struct.pack("<I", value)
            if code == 258:
                count, field = samples, struct.pack("<HH", bits, bits) if samples < 3 else struct.pack("<I", first)
            head += struct.pack("<HHI", code, kind, count) + field
        at = tags[273] + len(data)
        content += head + struct.pack("<I", at if number < len(images) - 1 else 0)
        content = content.ljust(first, b"\0") + struct.pack("<H", bits) * samples + data
    return bytes(content)


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize(("subfile", "bits"), [(4, 8), (4, 1), (4, 16), (5, 8), (6, 8)])
def test_directories_that_are_masks(tmp_path, samples, subfile, bits):
    """A mask has one sample or as many as the image, of bits or bytes; that of a reduced image is none of the image."""
    path = tmp_path / "image.tif"
    mask = RNG.integers(0, 2, 20 * 16 * samples * bits // 8).astype("u1").tobytes()
    path.write_bytes(
        two_directories([(RNG.integers(1, 200, 960, "u1").tobytes(), 0, 8, 3), (mask, subfile, bits, samples)])
    )
    decoded = xr.open_dataset(path, engine="geotiff").band_data
    want = as_gdal(path)
    np.testing.assert_array_equal(decoded.values, want)
    assert np.isnan(want).any() == (subfile != 5 and samples != 2 and bits < 16)


def test_nodata_values_of_all_bands(tmp_path):
    path = tmp_path / "image.tif"
    data = write(path, size=(40, 40))
    data[:, :9, :9] = 0
    data[0, 20:, 20:] = 0
    with rasterio.open(path, "r+") as ds:
        ds.write(data)
        ds.update_tags(NODATA_VALUES="0 0 0")
    np.testing.assert_array_equal(xr.open_dataset(path, engine="geotiff").band_data.values, as_gdal(path))


NODATA_TEXTS = "0 0.1 1.5 -0.4 -1 -1.5 44 300 256 255.7 70000 40000 -40000 -129 200 5000000000 4294967294.5 9007199254740993 1e30 -1e300"
NODATA_TEXTS += " -9999.9 3.4028235e38 3.5e38 inf -inf nan 2147483647.5 18446744073709551615"


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "complex64", "complex128"])  # fmt: skip
def test_nodata_values_are_compared_in_the_type_of_the_pixels(tmp_path, dtype):
    """As GDAL does: 0.1 is the number that float32 has for it, and numbers beyond an unsigned type are taken modulo its width."""
    path, kind = tmp_path / "image.tif", np.dtype(dtype)
    numbers = np.array([float(text) for text in NODATA_TEXTS.split()])
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        inner = [int(v) for v in numbers.tolist() if limits.min <= v <= limits.max]
        values = np.array(
            sorted({*inner, *range(100), limits.min, limits.max, limits.max - 1, 705032704 & limits.max}), kind
        )
    else:
        with np.errstate(over="ignore"):
            values = np.concatenate([numbers.astype(kind), numbers.astype(kind) + kind.type(1)])
    for text in NODATA_TEXTS.split():
        with rasterio.open(path, "w", driver="GTiff", width=len(values), height=1, count=2, dtype=dtype) as ds:
            ds.write(np.stack([values[None], values[None]]))
            ds.update_tags(NODATA_VALUES=f"{text} {text}")
        with rasterio.open(path) as ds:
            want = ds.read_masks() == 0
        got = xr.open_dataset(path, engine="geotiff").band_data.values
        np.testing.assert_array_equal(np.isnan(got) & ~np.isnan(values), want & ~np.isnan(values), err_msg=text)


def test_single_bits_are_indexed(tmp_path):
    for compress in ("none", "deflate", "lzw", "packbits", "zstd"):
        for layout in ({"tiled": True, "blockxsize": 48, "blockysize": 32}, {"tiled": False, "blockysize": 7}):
            path = tmp_path / "bits.tif"
            data = RNG.integers(0, 2, (1, 61, 83)).astype("u1")
            with rasterio.open(
                path,
                "w",
                driver="GTiff",
                count=1,
                height=61,
                width=83,
                dtype="uint8",
                nbits=1,
                compress=compress,
                **layout,
            ) as ds:
                ds.write(data)
            np.testing.assert_array_equal(scichunk.from_geotiff(path, reader="indexed").compute(), data)
            np.testing.assert_array_equal(
                scichunk.from_geotiff(path, reader="indexed")[0, 50:3:-4, 11:70:3].compute(), data[0, 50:3:-4, 11:70:3]
            )


@pytest.mark.parametrize("external", [False, True])
def test_info_lists_masks(tmp_path, external):
    """With their overviews, and where they are."""
    path = tmp_path / "image.tif"
    write(path, mask=MASK, overviews=[2], external=external)
    masks = {a.group: a.notes["mask"] for a in scichunk.info(path).arrays}
    assert masks["/page_0"].startswith("90 x 130, chunks ")
    assert masks["/page_0"].endswith("image.tif.msk" if external else "in this file")
    assert masks["/overview_1"].startswith("45 x 65, chunks ")
    assert "mask: 90 x 130" in str(scichunk.info(path))


def test_info_lists_no_mask_where_there_is_none(tmp_path):
    write(tmp_path / "image.tif")
    assert "mask" not in scichunk.info(tmp_path / "image.tif").arrays[0].notes


def test_masks_lie_on_the_grid_of_the_image(tmp_path):
    write(tmp_path / "image.tif", mask=MASK)
    raw = xr.open_dataset(tmp_path / "image.tif", engine="geotiff", mask_and_scale=False)
    assert raw["mask"].encoding["grid_mapping"] == raw.band_data.encoding["grid_mapping"] == "spatial_ref"
    plain = xr.open_dataset(tmp_path / "image.tif", engine="geotiff", decode_cf=False)
    assert plain["mask"].attrs["grid_mapping"] == "spatial_ref"
