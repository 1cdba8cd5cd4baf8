"""JPEG 2000: codestreams, tile-parts and packets, and OpenJPEG; usable by any format that holds a codestream."""
