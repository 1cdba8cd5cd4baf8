"""Tables of FITS files: binary, ASCII and tile-compressed."""
