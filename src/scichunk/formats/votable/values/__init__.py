"""Cells to values, whatever they were read from."""
