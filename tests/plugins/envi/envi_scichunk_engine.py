"""The engine ``envi`` of xarray; apart from the format, so that looking for engines imports nothing else."""

from scichunk.adapters.xarray.engine import ScichunkBackend


class ENVIBackend(ScichunkBackend):
    description = "ENVI: raw samples with a header beside them"
    format_name = "envi"

    def guess_can_open(self, filename_or_obj):
        return False  # the engine "scichunk" answers for all formats
