"""Where bytes come from: a location that can be sent to a worker, and the source that it opens there."""

from __future__ import annotations

from scichunk.sources.base import ByteSource, Fingerprint
from scichunk.sources.location import Location, locate
from scichunk.sources.part import PartSource

__all__ = ["ByteSource", "Fingerprint", "Location", "PartSource", "locate"]
