"""The command ``scichunk``."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

__all__ = ["main"]

_LENGTH: Final = re.compile(r"-?[0-9]+")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    import scichunk

    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may have bytes that are no text
    given = _parser().parse_args(arguments)
    try:
        status = int(given.run(given))
        sys.stdout.flush()
    except scichunk.errors.ScichunkError as error:
        print(f"scichunk: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except OSError as error:
        if error.filename is not None:  # not of what is printed to, which has none
            raise
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # Python would try again as it ends
        if isinstance(error, BrokenPipeError):  # as of "| head", which has what it wanted
            return 0
        print(f"scichunk: cannot print: {error.strerror or error}", file=sys.stderr)  # noqa: T201
        return 1
    return status


class _Parser(argparse.ArgumentParser):
    """Repeats arguments that it does not know without what is secret in them."""

    def error(self, message: str) -> NoReturn:
        from scichunk.sources.base import without_secrets

        super().error(without_secrets(message, ""))


def _parser() -> argparse.ArgumentParser:
    import scichunk

    parser = _Parser(prog="scichunk", description="Chunked, lazy readers for scientific formats.")
    parser.add_argument("--version", action="version", version=f"scichunk {scichunk.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("info", help="what is in a file, how it is chunked, and which reader serves it")
    show.add_argument("url", help="path or fsspec URL")
    show.add_argument("--json", action="store_true", help="machine-readable")
    show.set_defaults(run=_info)
    warm = commands.add_parser("warmup", help="compile what large files need, before a job starts many processes")
    warm.add_argument("formats", nargs="*", metavar="FORMAT", help="names of formats; all if none is given")
    warm.set_defaults(run=_warmup)
    doctor = commands.add_parser("doctor", help="where compiled code is kept, whether that works, and what is cached")
    doctor.set_defaults(run=_doctor)
    ahead = commands.add_parser("plan", help="what reading an array will take, before it is read")
    ahead.add_argument("url", help="path or fsspec URL")
    ahead.add_argument(
        "--chunks", default="auto", help='"auto", "native", a size such as "64MiB", or lengths: "1,512,512"'
    )
    ahead.add_argument("--workers", type=int, default=1)
    ahead.add_argument("--threads", type=int, default=4, help="of each worker")
    ahead.add_argument("--memory", default="4 GiB", help="of each worker, for the chunks that are suggested")
    ahead.set_defaults(run=_plan)
    past = commands.add_parser("history", help="what was computed, after scichunk.history.start()")
    past.add_argument("--since", metavar="WHEN", help='"12h", "7d", "2w" or a date; by default all that is kept')
    past.add_argument(
        "--html", metavar="FILE", help="write a page with throughput, waiting and decoding by day and folder"
    )
    past.add_argument("--path", metavar="FILE", help="the file of the history, if it is not the usual one")
    past.set_defaults(run=_history)
    return parser


def _plan(given: argparse.Namespace) -> int:
    import scichunk

    parts = [part.strip() for part in given.chunks.split(",")]
    chunks = tuple(map(int, parts)) if all(_LENGTH.fullmatch(part) for part in parts) else given.chunks
    try:
        array = scichunk.from_file(given.url, chunks=chunks)
        planned = scichunk.plan(array, workers=given.workers, threads=given.threads)
        better = scichunk.suggest_chunks(array, workers=given.workers, threads=given.threads, memory=given.memory)
    # Dask has no sizes for chunks of objects, and says so by a NotImplementedError.
    except (ValueError, NotImplementedError) as error:
        if isinstance(error, scichunk.errors.ScichunkError):
            raise
        print(f"scichunk: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(planned)  # noqa: T201
    print(f"suggested: --chunks {','.join(map(str, better))}")  # noqa: T201
    return 0


def _history(given: argparse.Namespace) -> int:
    import scichunk

    try:
        if given.html:
            scichunk.history.to_html(given.html, given.since, path=given.path)
        else:
            print(scichunk.history.report(given.since, path=given.path))  # noqa: T201
    except ValueError as error:
        if isinstance(error, scichunk.errors.ScichunkError):
            raise
        print(f"scichunk: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _info(given: argparse.Namespace) -> int:
    import scichunk

    found = scichunk.info(given.url)
    print(json.dumps(found.to_dict(), indent=2, default=str) if given.json else found)  # noqa: T201
    return 0


def _warmup(given: argparse.Namespace) -> int:
    import time

    from scichunk.adapters.warmup import warmup

    families = warmup(*given.formats)
    print(f"compiled code is ready: {', '.join(families) or 'none is needed'} ({time.process_time():.1f} CPU s)")  # noqa: T201
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from scichunk.adapters.warmup import describe_surroundings

    del given
    lines, well = describe_surroundings()
    print("\n".join(lines))  # noqa: T201
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
