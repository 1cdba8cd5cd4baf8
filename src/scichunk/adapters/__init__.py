"""Thin faces to xarray, dask and the command line."""
