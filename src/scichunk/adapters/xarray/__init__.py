"""xarray: the engine, datasets, stacks, and the accessor ``sky`` of images of the sky.

xarray imports this package with its engines, and ``import scichunk`` makes it follow xarray, so it is as light as it can be: the
accessor imports what it needs when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    from xarray import DataArray, Dataset, DataTree

__all__ = ["SkyAccessor"]


@xr.register_datatree_accessor("sky")  # type: ignore[no-untyped-call]
@xr.register_dataarray_accessor("sky")  # type: ignore[no-untyped-call]
@xr.register_dataset_accessor("sky")  # type: ignore[no-untyped-call]
class SkyAccessor:
    """``ds.sky``, ``da.sky`` and, of a node with an image, ``tree["SCI"].sky``: pixels by their position on the sky.

    It needs the header in the attributes (``fits_header``), and the pixel numbers in the coordinates of the two dimensions of
    the sky, both as the engine ``fits`` leaves them. So it works on slices, stacks and results of arithmetic, and on what was stored
    as netCDF or Zarr and opened again.
    """

    def __init__(self, obj: Dataset | DataArray | DataTree) -> None:
        self._given = obj

    @property
    def _obj(self) -> Any:
        # xarray keeps the accessor of a node, whose data may be replaced meanwhile.
        return self._given.to_dataset() if isinstance(self._given, xr.DataTree) else self._given

    def sel(
        self,
        position: Any = None,
        *,
        method: str = "nearest",
        tolerance: Any = None,
        outside: str | None = None,
        **lonlat: Any,
    ) -> Any:
        """Select the pixels nearest to positions on the sky.

        Parameters
        ----------
        position
            ``astropy.coordinates.SkyCoord``, one or many, in any frame that astropy can transform to that of the image.
        method
            ``"nearest"``: positions fall between pixels.
        tolerance
            Largest distance on the sky between a position and the centre of its pixel: degrees, or an astropy quantity.
        outside
            What becomes of positions outside of the image: ``"nan"``, or ``"raise"``. By default one position raises, and of many
            those outside are NaN.
        **lonlat
            Instead of ``position``: longitude and latitude by the names that they have in the image (``ra=, dec=``; ``glon=,
            glat=``; ...), or as ``lon=, lat=``. Numbers in degrees, astropy quantities, or arrays of them that are broadcast; of a
            ``DataArray`` in the unit of its attribute ``units``, if that is one of angles.

        Returns
        -------
        xarray.Dataset or xarray.DataArray
            Without the dimensions of the sky. Many positions make a new dimension ``points``, or have those of the
            ``DataArray`` that they came in. Longitude and latitude are coordinates: those of the centres of the pixels.

        Raises
        ------
        KeyError
            If a position is not in the image, and is not to be NaN.
        FormatError
            If there is no header, or it cannot be told where the pixels lie.
        ValueError, TypeError
            If the position is incomplete.
        """
        from scichunk.adapters.xarray.positions import select_nearest

        return select_nearest(self._obj, position, lonlat, method=method, tolerance=tolerance, outside=outside)

    def box(self, position: Any = None, *, size: Any = None, **lonlat: Any) -> Any:
        """Cut out the smallest rectangle of pixels that has all pixels whose centres lie within a box on the sky.

        Parameters
        ----------
        position
            ``SkyCoord`` of two corners; or of the centre, with ``size``.
        size
            Width and height of the box: degrees or a quantity, one or a pair. The width is an angle on the sky, so it covers more
            degrees of longitude towards the poles.
        **lonlat
            Longitudes and latitudes from and to, each as a slice or a pair of numbers in degrees or quantities; or, with ``size``,
            of the centre. Longitudes go from the smaller to the larger
            one; or through 0, where the first is larger by more than half a circle.

        Returns
        -------
        xarray.Dataset or xarray.DataArray
            A slice; of length 0 where the box is outside of the image.

        Raises
        ------
        FormatError
            If there is no header, or it cannot be told where the pixels lie.
        ValueError, TypeError
            If the box is incomplete.
        """
        from scichunk.adapters.xarray.positions import cut_box

        return cut_box(self._obj, position, size, lonlat)

    def expand(self, dim: str) -> Any:
        """Give an image a dimension of images, along which it keeps its header and its reference point.

        ``xr.concat`` and ``xr.open_mfdataset`` keep the attributes of the first object only, and so its header; what went through
        this keeps them all: ``xr.open_mfdataset(paths, engine="fits", combine="nested", concat_dim="night", preprocess=lambda ds:
        ds.sky.expand("night"))``. :func:`scichunk.open_stack` does so by itself.

        Parameters
        ----------
        dim
            Name of the new dimension.

        Returns
        -------
        xarray.Dataset or xarray.DataArray
            With the dimension, of length 1, and the coordinates ``wcs_header`` and longitude and latitude of the reference point
            along it, instead of the attribute ``fits_header``.

        Raises
        ------
        FormatError
            If there is no header.
        ValueError
            If there is a header for each image already, or a dimension of that name.
        """
        from scichunk.adapters.xarray.sky import with_own_header

        return with_own_header(self._obj, dim)
