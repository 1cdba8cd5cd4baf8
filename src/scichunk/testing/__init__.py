"""For tests of scichunk and of formats by third parties: a counted web server, and damaged files."""

from scichunk.testing.fuzz import mutations
from scichunk.testing.server import RangeServer, Request

__all__ = ["RangeServer", "Request", "mutations"]
