"""What places the pixels of images of the sky is kept, compared and bounded; the accessor follows its node; shares are counted."""

import pickle

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.wcs import WCS

import scichunk
from scichunk.core import handles
from scichunk.errors import DataWarning, LimitExceeded
from tests.formats.test_hostile_wcs import PLATE

TAN = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.2, "CRPIX1": 6.0, "CRPIX2": 5.0,
       "CD1_1": -1e-4, "CD2_2": 1e-4}  # fmt: skip


def image(path, *, shape=(10, 12), **cards):
    primary = fits.PrimaryHDU(np.arange(np.prod(shape), dtype="f4").reshape(shape))
    for name, value in {**TAN, **cards}.items():
        primary.header[name] = value
    primary.writeto(path, overwrite=True)
    return str(path)


def test_the_accessor_of_a_node_follows_its_data(tmp_path):
    tree = xr.DataTree.from_dict({"/SCI": xr.open_dataset(image(tmp_path / "a.fits"), engine="fits")})
    node = tree["SCI"]
    before = float(node.sky.sel(ra=150.0, dec=2.2).data)
    with xr.set_options(keep_attrs=True):
        node["data"] = node["data"] * 2
    assert float(node.sky.sel(ra=150.0, dec=2.2).data) == 2 * before
    node.dataset = node.to_dataset().isel(x=slice(0, 3))
    with pytest.raises(KeyError):
        node.sky.sel(ra=150.0, dec=2.2)


def test_positions_of_catalogues_are_in_their_unit(tmp_path):
    ds = xr.open_dataset(image(tmp_path / "a.fits"), engine="fits")
    want = ds.sky.sel(ra=[150.0, 150.0002], dec=[2.2, 2.2001])
    for unit, factor in (
        ("rad", np.pi / 180),
        ("arcsec", 3600.0),
        ("deg", 1.0),
        ("mag", 1.0),
        ("no unit", 1.0),
        (None, 1.0),
    ):
        lon, lat = (
            xr.DataArray(np.array(values) * factor, dims="points", attrs={"units": unit} if unit else {})
            for values in ([150.0, 150.0002], [2.2, 2.2001])
        )
        xr.testing.assert_equal(ds.sky.sel(ra=lon, dec=lat).data, want.data)


def test_a_box_needs_ranges_or_a_size(tmp_path):
    ds = xr.open_dataset(image(tmp_path / "a.fits"), engine="fits")
    with pytest.raises(TypeError, match="a range is a slice or a pair, and 150 is not iterable; with size="):
        ds.sky.box(ra=150, dec=2)


def surface(kind, coefficient):
    """Cards of a surface of IRAF."""
    found = {"CTYPE1": f"RA---{kind}", "CTYPE2": f"DEC--{kind}", "WAT0_001": "system=image"}
    for axis, name, cor in ((1, "ra", "lngcor"), (2, "dec", "latcor")):
        terms = f"{coefficient} 0. {coefficient} 0. {coefficient} 0."
        text = f'wtype={kind.lower()} axtype={name} {cor} = "3. 3. 3. 2. -0.01 0.01 -0.01 0.01 {terms} "'
        found |= {f"WAT{axis}_{at // 68 + 1:03d}": text[at : at + 68] for at in range(0, len(text), 68)}
    return found


def test_surfaces_stay_in_stacks(tmp_path):
    paths = [image(tmp_path / f"{n}.fits", CRVAL1=150 + n / 100, **surface("TNX", 2e-3)) for n in range(2)]
    with pytest.warns(DataWarning, match="point to different places"):
        stack = scichunk.open_stack(paths, dim="night")
    for number, path in enumerate(paths):
        found = scichunk.wcs(stack.isel(night=number)).all_pix2world([[3.0, 4.0]], 0)
        np.testing.assert_allclose(found, WCS(fits.getheader(path)).all_pix2world([[3.0, 4.0]], 0), rtol=1e-12)


@pytest.mark.parametrize("kind", ["surface", "plate", "last card"])
def test_places_are_compared_by_all_that_places_pixels(tmp_path, kind):
    more = {"surface": (surface("TNX", 1e-3), surface("TNX", 0.05)), "plate": (PLATE, PLATE | {"CNPIX1": 8152})}
    one, two = (image(tmp_path / f"{n}.fits", **more.get(kind, ({}, {}))[n]) for n in range(2))
    if kind == "last card":
        content = bytearray((tmp_path / "1.fits").read_bytes())
        end = content.index(b"END".ljust(80))
        content[end : end + 160] = b"CRVAL1  =                151.0".ljust(80) + b"END".ljust(80)
        (tmp_path / "1.fits").write_bytes(content)
    with pytest.warns(DataWarning, match="point to different places"):
        scichunk.open_stack([one, two])


def test_positions_along_axes_of_any_length_are_within_the_limits(tmp_path):
    head = fits.Header({"SIMPLE": True, "BITPIX": 8, "NAXIS": 2, "NAXIS1": 1, "NAXIS2": 2**31 - 1} | TAN)
    (tmp_path / "long.fits").write_bytes(head.tostring().encode() + bytes(2880))
    ds = xr.open_dataset(tmp_path / "long.fits", engine="fits")
    for ask in (
        lambda: ds.sky.sel(ra=150, dec=2),
        lambda: ds.sky.box(ra=(149, 151), dec=(2, 3)),
        lambda: scichunk.wcs(ds),
    ):
        with pytest.raises(LimitExceeded, match="the pixels along y"):
            ask()


# -- closing ------------------------------------------------------------------------------------------------------------------------


def test_a_copy_that_travelled_has_a_share_of_its_own(tmp_path):
    path = image(tmp_path / "a.fits")
    ds = xr.open_dataset(path, engine="fits")
    copy = pickle.loads(pickle.dumps(ds))
    opened = scichunk.cache_info()["opened files"].entries
    copy.close()
    assert scichunk.cache_info()["opened files"].entries == opened == 1
    assert [count for key, count in handles._shares.items() if key.location == path] == [1]
    ds.close()
    assert scichunk.cache_info()["opened files"].entries == 0
