"""Grids of native chunks, indexes of their bytes, and the algebra of regions."""
