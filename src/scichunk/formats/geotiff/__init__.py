"""GeoTIFF and cloud-optimised GeoTIFF (TIFF 6.0, BigTIFF, OGC 19-008)."""
