"""The engine ``envi`` of xarray; apart from the format, so that looking for engines imports nothing else."""

from scichunk.adapters.xarray.engine import FormatBackend


class ENVIBackend(FormatBackend):
    description = "ENVI: raw samples with a header beside them"
    format_name = "envi"
