"""For tests of scichunk and of formats by third parties: checks, counted and failing sources, a web server, and damaged files."""

from scichunk.sources.base import ByteSource
from scichunk.testing.conformance import CHECKS, Case, check_format
from scichunk.testing.fuzz import mutations
from scichunk.testing.server import RangeServer, Reply, Request
from scichunk.testing.sources import CountingSource, FlakySource

__all__ = [
    "CHECKS",
    "ByteSource",
    "Case",
    "CountingSource",
    "FlakySource",
    "RangeServer",
    "Reply",
    "Request",
    "check_format",
    "mutations",
]
