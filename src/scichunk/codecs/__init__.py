"""Bytes to pixels: pure functions that decode into the output."""
