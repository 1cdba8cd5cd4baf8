"""A broken format of another package is named in a warning, and breaks nothing."""

import os
import subprocess
import sys

MODULE = """
from scichunk.core.registry import FormatSpec
def raises(head): raise RuntimeError("sniff of a bad plug-in")
def quits(head): raise SystemExit(3)
nothing = lambda: None
sniffs = FormatSpec("sniffs", "a bad sniff", (".bad",), raises, "nowhere")
quits = FormatSpec("quits", "a sniff that leaves Python", (".bad",), quits, "nowhere")
empty = FormatSpec("empty", "an empty suffix", ("",), raises, "nowhere")
taken = FormatSpec("geotiff", "a name that is taken", (".tif",), lambda head: True, "nowhere", priority=9)
listed = FormatSpec("listed", "suffixes of the wrong type", [".bad"], raises, "nowhere")
ranked = FormatSpec("ranked", "a priority of the wrong type", (".bad",), raises, "nowhere", priority="high")
chosen = FormatSpec("chosen", "selectors of the wrong type", (".bad",), raises, "nowhere", selectors=None)
magical = FormatSpec("magical", "first bytes of the wrong type", (".bad",), raises, "nowhere", magic="GOOD")
driven = FormatSpec("driven", "an engine of the wrong type", (".bad",), raises, "nowhere", engine=object)
good = twice = lambda: FormatSpec("good", "a good one", (".good",), lambda head: head[:4] == b"GOOD", "nowhere")
"""
PROGRAM = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import scichunk, xarray as xr
    formats = scichunk.list_formats
    for _ in range(2):
        print(scichunk.from_geotiff("test_data/scene_deflate.tif").shape)
        print(len(scichunk.open("test_data/stars.vot").children) >= 0)
        print(sorted(xr.open_dataset("test_data/scene_deflate.tif", engine="scichunk").sizes))
        try: scichunk.open(b"a file of no format")
        except scichunk.errors.FormatError: print("of no format")
        print(sorted(set(formats()) - {"geotiff", "jpeg2000", "fits", "votable"}))
for w in caught:
    if w.category is scichunk.errors.PluginWarning:
        print("WARNED", w.message)
"""
BROKEN = {
    "gone": "a_module_that_is_missing:spec",
    "absent": "bad_formats:not_there",
    "nothing": "bad_formats:nothing",
    "listed": "bad_formats:listed",
    "ranked": "bad_formats:ranked",
    "chosen": "bad_formats:chosen",
    "magical": "bad_formats:magical",
    "driven": "bad_formats:driven",
    "sniffs": "bad_formats:sniffs",
    "quits": "bad_formats:quits",
    "empty": "bad_formats:empty",
    "leaves": "a_script",
    "taken": "bad_formats:taken",
    "twice": "bad_formats:twice",
}


def test_broken_plugins_are_named_and_left_out(tmp_path):
    (tmp_path / "bad_formats.py").write_text(MODULE)
    (tmp_path / "a_script.py").write_text("import sys\nsys.exit(3)\n")
    info = tmp_path / "bad_formats-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-formats\nVersion: 1\n")
    points = {"good": "bad_formats:good", **BROKEN}
    lines = "\n".join(f"{name} = {where}" for name, where in points.items())
    (info / "entry_points.txt").write_text(f"[scichunk.formats]\n{lines}\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = done.stdout.splitlines()
    said = [line for line in out if line.startswith("WARNED")]
    assert [line for line in out if line not in said][:5] == [
        "(4, 200, 300)",
        "True",
        "['band', 'x', 'y']",
        "of no format",
        "['good', 'quits', 'sniffs']",
    ]
    for name, where in BROKEN.items():
        assert sum(f"{name!r} ({where}) of the package bad-formats" in line for line in said) == 1, said
    assert len(said) == len(BROKEN)
