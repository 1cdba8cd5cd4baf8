"""What a run has found: kept as bytes and a few words, once for each place in the code, and as small as is simple."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Find:
    """A mutant, and what is wrong with it."""

    format: str
    what: str  # crash, time-out, untyped error, parser error, memory, difference
    text: str
    sound: str  # the file it was made of
    seed: int
    number: int
    trace: str = ""

    @property
    def signature(self) -> str:
        """Equal for finds of one cause, as far as can be told: numbers are left out."""
        of = self.sound if self.what == "difference" else ""
        return re.sub(r"\d+", "#", f"{self.format} {self.what} {of} {self.text.splitlines()[0][:110]}")


class Finds:
    """Finds of a run, saved as they come.

    Parameters
    ----------
    folder
        Where they go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.counts = folder, Counter[str]()
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def is_new(self, find: Find) -> bool:
        """Count a find; true for the first of its kind."""
        with self._lock:
            self.counts[f"{find.format}: {find.what}"] += 1
            self._seen[find.signature] += 1
            return self._seen[find.signature] == 1

    def save(self, find: Find, data: bytes) -> Path:
        """Write the bytes and the words; print both, with the command that repeats it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{find.format}-{find.what.replace(' ', '_')}-{hashlib.sha256(data).hexdigest()[:10]}"
        path = self.folder / name
        path.write_bytes(data)
        path.with_suffix(".json").write_text(json.dumps(asdict(find), indent=1))
        print(f"FIND {find.format}, {find.what}: {find.text}\n"
              f"     seed {find.seed}, number {find.number}, of {find.sound}, {len(data)} bytes: {path}\n"
              f"     again: python -m tests.fuzz --repeat {path}", flush=True)  # fmt: skip
        return path


def minimised(data: bytes, sound: bytes, still: Callable[[bytes], bool], tries: int = 60) -> bytes:
    """Undo changes as long as the find stays; then cut the end off.

    Only mutants as long as the sound file are undone, run by run of changed bytes; where lengths differ it is not simple.
    """
    if len(data) == len(sound):
        runs, at = [], 0
        while at < len(data):
            if data[at] != sound[at]:
                start = at
                while at < len(data) and data[at : at + 4] != sound[at : at + 4]:
                    at += 1
                runs.append((start, at))
            at += 1
        for start, stop in runs if len(runs) > 1 else ():
            tries -= 1
            if tries < 0:
                break
            other = data[:start] + sound[start:stop] + data[stop:]
            data = other if still(other) else data
    for share in (2, 4, 8):
        other = data[: len(data) - len(data) // share]
        if tries > 0 and still(other):
            data = other
    return data
