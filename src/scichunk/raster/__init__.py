"""Georeferencing and meaning of rasters: affine transforms, coordinate systems, GDAL's metadata, CF attributes, variables."""
