"""World coordinates that are valid, or nearly, but not as most: older conventions in stacks, axes that belong together, random groups."""

import io
import tracemalloc

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.wcs import WCS

import scichunk
from scichunk.errors import DataWarning, FormatError

TAN = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.2, "CRPIX1": 5.0, "CRPIX2": 4.0, "CDELT1": -0.01, "CDELT2": 0.01}  # fmt: skip
MATRIX = {"CD1_1": -0.01, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.01}


def surface(kind, term):
    """A surface of IRAF: a term of it is given."""
    place = {k: v for k, v in TAN.items() if "CDELT" not in k} | MATRIX
    text = 'wtype=tnx axtype=%s %scor = "3. 2. 2. 2. -0.1 0.1 -0.1 0.1 %s 0.03 0.002 "'
    return place | {
        "CTYPE1": f"RA---{kind}",
        "CTYPE2": f"DEC--{kind}",
        "WAT0_001": "system=image",
        **cut("WAT1", text % ("ra", "lng", 0.001)),
        **cut("WAT2", text % ("dec", "lat", term)),
    }


def cut(name, text):
    return {f"{name}_{i + 1:03d}": text[68 * i : 68 * (i + 1)] for i in range(-(-len(text) // 68))}


def write(path, shape=(6, 8), more=(), **cards):
    hdu = fits.PrimaryHDU(np.arange(np.prod(shape)).reshape(shape).astype("f4"))
    for name, value in cards.items():
        hdu.header[name] = value
    for card in more:
        hdu.header.append(card, end=True)
    hdu.writeto(path, output_verify="ignore")
    return str(path)


OLD = {
    "surfaces": lambda i: surface("TNX", 0.002) | {"CRVAL1": 150.0 + i},
    "other surfaces": lambda i: surface("TNX", 0.002 + 0.01 * i),
    "old matrix": lambda i: TAN | {"CRVAL1": 150.0 + i, "PC001001": 0.6, "PC001002": 0.8, "PC002001": -0.8, "PC002002": 0.6},
    "old parameters": lambda i: TAN | {"CTYPE1": "RA---AZP", "CTYPE2": "DEC--AZP", "CRVAL1": 150.0 + i, "CDELT1": -5.0, "PROJP1": 2.0},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
@pytest.mark.parametrize("kind", OLD)
def test_what_wcslib_knows_beside_the_standard_stays_in_stacks(tmp_path, kind):
    paths = [write(tmp_path / f"{i}.fits", **OLD[kind](i)) for i in range(2)]
    corners = [[0, 0], [7, 0], [0, 5], [7, 5]]
    with pytest.warns(DataWarning, match="different places"):
        ds = scichunk.open_stack(paths, dim="night")
    for i, path in enumerate(paths):
        want = WCS(fits.getheader(path)).all_pix2world(corners, 0)
        np.testing.assert_allclose(scichunk.wcs(ds.isel(night=i)).all_pix2world(corners, 0), want, rtol=1e-12)


def test_the_last_of_several_cards_counts_in_stacks(tmp_path):
    paths = [write(tmp_path / f"{i}.fits", more=[("CRVAL1", 150.0 + i)], **TAN) for i in range(2)]
    with pytest.warns(DataWarning, match="different places"):
        assert scichunk.open_stack(paths, dim="night").ra.values.tolist() == [150, 151]


# ---- axes of the sky that astropy does not take apart


ODD = {
    "two systems": ({"CTYPE2": "GLAT-TAN"}, (6, 8)),
    "tied to a third axis": ({"CTYPE3": "FREQ", "CRVAL3": 1e9, "CRPIX3": 1.0, "CDELT3": 1e6, "PC1_3": 0.5}, (3, 6, 8)),
    "faces of a cube": ({"CTYPE1": "GLON-CSC", "CTYPE2": "GLAT-CSC", "CTYPE3": "CUBEFACE", "CRVAL1": 0.0, "CRVAL2": 0.0}, (6, 6, 8)),
    "no such projection": ({"CTYPE1": "RA---ZZZ", "CTYPE2": "DEC--ZZZ"}, (6, 8)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::scichunk.errors.MetadataWarning")
@pytest.mark.parametrize("kind", ODD)
def test_positions_that_astropy_cannot_tell_are_an_error_of_the_tree(tmp_path, kind):
    cards, shape = ODD[kind]
    path = write(tmp_path / "odd.fits", shape, **TAN | cards)
    ds = xr.open_dataset(path, engine="fits", coords="celestial")
    lon = next(n for n in ds.coords if ds[n].ndim == 2)
    with pytest.raises(FormatError):
        _ = ds[lon].values
    with pytest.raises(FormatError):
        ds.sky.sel(lon=150.0, lat=2.2)
    with pytest.raises(FormatError):
        ds.sky.box(lon=(149.0, 151.0), lat=(2.0, 2.4))
    np.testing.assert_array_equal(ds.data.values.ravel(), np.arange(np.prod(shape)))


@pytest.mark.filterwarnings("ignore::scichunk.errors.MetadataWarning")
@pytest.mark.parametrize("kind", ODD)
def test_images_whose_positions_are_unknown_can_be_stacked(tmp_path, kind):
    cards, shape = ODD[kind]
    paths = [write(tmp_path / f"{i}.fits", shape, **TAN | cards | {"CRVAL2": 2.2 + i}) for i in range(2)]
    with pytest.warns(DataWarning, match="different places"):
        ds = scichunk.open_stack(paths, dim="night")
    assert ds.data.shape == (2, *shape)
    np.testing.assert_allclose(ds.coords[next(n for n in ds.coords if n in {"dec", "glat"})], [2.2, 3.2])


def test_celestial_coordinates_take_memory_in_proportion():
    side = 2000
    cards = [("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", side), ("NAXIS2", side), *TAN.items()]
    data = fits.Header([fits.Card(*c) for c in cards]).tostring().encode()
    ds = xr.open_dataset(io.BytesIO(data), engine="fits", coords="celestial")
    want = ds.dec[-3:, -4:].values
    tracemalloc.start()
    got = ds.dec.values
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(got[-3:, -4:], want)
    assert peak < 1.5 * got.nbytes


# ---- random groups


def test_axes_of_random_groups(tmp_path):
    values = np.arange(7 * 2 * 5 * 4 * 3).reshape(7, 1, 2, 5, 4, 3).astype("f4")
    hdu = fits.GroupsHDU(
        fits.GroupData(values, bitpix=-32, parnames=["UU", "VV"], pardata=[np.arange(7.0), np.arange(7.0)])
    )
    axes = [("COMPLEX", 1.0, 1.0), ("STOKES", -1.0, -1.0), ("FREQ", 1.4e9, 1e6), ("IF", 1.0, 1.0), ("DEC", 2.2, 1.0)]
    for number, (kind, first, step) in enumerate(axes, 2):
        more = {"CTYPE": kind, "CRVAL": first, "CDELT": step, "CRPIX": 1.0}
        hdu.header.update({f"{name}{number}": value for name, value in more.items()})
    hdu.writeto(tmp_path / "groups.fits")
    ds = xr.open_dataset(tmp_path / "groups.fits", engine="fits")
    np.testing.assert_array_equal(ds.data, values)
    assert (ds.data.dims[3], ds.data.dims[4]) == ("frequency", "stokes")
    np.testing.assert_array_equal(ds.stokes, [-1, -2, -3, -4])
    np.testing.assert_allclose(ds.frequency, 1.4e9 + 1e6 * np.arange(5))
    left = scichunk.wcs(ds.data[:, :, :, 1::2])
    assert [*left.wcs.ctype] == ["COMPLEX", "STOKES", "FREQ", "IF", "DEC", ""]
    assert left.array_shape == (7, 1, 2, 2, 4, 3)
    assert left.wcs_pix2world([[0, 0, 0, 0, 0, 0]], 0)[0][2] == 1.401e9
