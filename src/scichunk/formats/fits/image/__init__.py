"""Images of FITS files: plain, tile-compressed and random groups."""
