"""JPEG 2000: JP2, JPX, JPH and raw codestreams (ITU-T T.800, T.801, T.814)."""
