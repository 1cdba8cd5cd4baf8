"""Maps to the conventions of CF and xarray that several formats share."""
