"""xarray: engines, datasets, trees, stacks, and positions on the sky."""
