"""Dask: arrays, dataframes and stacks of any format."""
