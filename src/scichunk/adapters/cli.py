"""The command ``scichunk``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    import scichunk

    parser = argparse.ArgumentParser(prog="scichunk", description="Chunked, lazy readers for scientific formats.")
    parser.add_argument("--version", action="version", version=f"scichunk {scichunk.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("info", help="what is in a file, how it is chunked, and which reader serves it")
    show.add_argument("url", help="path or fsspec URL")
    show.add_argument("--json", action="store_true", help="machine-readable")
    given = parser.parse_args(arguments)
    try:
        found = scichunk.info(given.url)
    except scichunk.errors.ScichunkError as error:
        print(f"scichunk: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(json.dumps(found.to_dict(), indent=2, default=str) if given.json else found)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
