"""How often a file is looked up by its path, which is a request to the metadata server of a shared file system."""

import shutil
import subprocess
import sys

import pytest

import scichunk

PROGRAM = """
import os, sys, warnings
warnings.simplefilter("ignore")
import scichunk
names = sys.argv[1:]
scichunk.from_files(names[:1]).compute(scheduler="sync")
os.path.exists("/mark-scan")
array = scichunk.from_files(names[1:], chunks="native")
os.path.exists("/mark-first")
array.compute(scheduler="sync")
os.path.exists("/mark-again")
array.compute(scheduler="sync")
os.path.exists("/mark-end")
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_system_calls_of_a_stack(tmp_path, pytestconfig):
    """The header scan opens each file once; what it has opened is not opened, nor looked up, again by the reads after it."""
    names = [str(tmp_path / f"f{n}.tif") for n in range(11)]
    for name in names:
        shutil.copy(pytestconfig.rootpath / "test_data" / "dem_2024-01-01.tif", name)
    log = tmp_path / "calls"
    traced = ["strace", "-f", "-e", "trace=open,openat,stat,newfstatat,fstat,statx", "-o", str(log)]
    done = subprocess.run(
        [*traced, sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, check=False, timeout=300
    )
    if "ptrace" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("processes may not be traced here")
    assert done.returncode == 0, done.stderr
    parts, part = {"start": []}, "start"
    for line in log.read_text("utf-8", errors="replace").splitlines():
        if "/mark-" in line:
            part = line.partition("/mark-")[2].partition('"')[0]
            parts[part] = []
        else:
            parts[part].append(line)
    opened = {name: sum("open" in line and '.tif"' in line for line in lines) for name, lines in parts.items()}
    by_path = {name: sum("stat" in line and '.tif"' in line for line in lines) for name, lines in parts.items()}
    assert opened["scan"] == 10
    assert opened["first"] == opened["again"] == 0
    assert by_path["scan"] == by_path["first"] == by_path["again"] == 0
    # The folder, of which files beside them would be: once a scan, however many files it has.
    assert sum("stat" in line and f'"{tmp_path}"' in line for line in parts["scan"]) <= 2


def test_names_that_cannot_be():
    for name in ("test_data/dem_2024-01-01.tif/x.tif", "test_data/none.tif"):
        with pytest.raises(FileNotFoundError):
            scichunk.from_geotiff(name)
    with pytest.raises(scichunk.errors.SourceError):
        scichunk.from_geotiff("a\0.tif")


def test_a_file_that_was_removed_or_replaced_is_noticed(tmp_path, pytestconfig):
    source = pytestconfig.rootpath / "test_data" / "dem_2024-01-01.tif"
    other = pytestconfig.rootpath / "test_data" / "dem_2024-02-01.tif"
    path = tmp_path / "a.tif"
    shutil.copy(source, path)
    array = scichunk.from_geotiff(path)
    array.compute()
    shutil.copy(other, tmp_path / "b.tif")
    (tmp_path / "b.tif").replace(path)
    with pytest.raises(scichunk.errors.SourceError, match="changed"):
        array.compute()
    array = scichunk.from_geotiff(path)
    array.compute()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        array.compute()
