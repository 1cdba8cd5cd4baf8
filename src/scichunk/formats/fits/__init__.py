"""FITS: images plain and tile-compressed (FITS 4.0)."""
