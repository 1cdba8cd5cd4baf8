"""For tests of scichunk and of formats by third parties: checks, counted and failing sources, a web server, and damaged files."""

from scichunk.testing.conformance import CHECKS, Case, check_format
from scichunk.testing.fuzz import mutations
from scichunk.testing.server import RangeServer, Request
from scichunk.testing.sources import CountingSource, FlakySource

__all__ = [
    "CHECKS",
    "Case",
    "CountingSource",
    "FlakySource",
    "RangeServer",
    "Request",
    "check_format",
    "mutations",
]
