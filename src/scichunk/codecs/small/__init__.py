"""Decoders of small data, by the standard library, NumPy and imagecodecs: what kernels do, without their start (see ``codecs/ways.py``)."""
