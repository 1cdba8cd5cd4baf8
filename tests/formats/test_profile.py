"""``scichunk.profile`` and ``scichunk.history``: exact numbers of what was read, and what is left of them."""

import contextlib
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading

import dask
import numpy as np
import pytest
import xarray as xr

import scichunk
from scichunk.testing import RangeServer
from tests.children import outcomes
from tests.formats.test_reduce import write_tiff


@pytest.fixture
def scene(tmp_path):
    values = np.random.default_rng(0).integers(0, 4000, (1, 64, 96)).astype("u2")
    return write_tiff(tmp_path / "scene.tif", values, compress=None), values


@pytest.fixture
def history(tmp_path):
    path = tmp_path / "past" / "history.sqlite"
    scichunk.history.start(path)
    yield str(path)
    scichunk.history.stop()


def test_exact_numbers(scene, capsys):
    path, values = scene
    array = scichunk.from_geotiff(path, chunks="native")
    with scichunk.profile() as found, dask.config.set(scheduler="sync"):
        array.sum().compute()
    total = found.total
    assert total["reads"] == total["chunks"] == total["requests"] == 4 * 6
    assert total["asked"] == total["fetched"] == total["decoded"] == values.nbytes
    assert total["retries"] == total["hits"] == 0
    assert found.rows[0]["format"] == "geotiff"
    assert found.rows[0]["dataset"] == os.path.dirname(path)
    assert found.peak_memory > 1 << 20
    assert found.seconds > 0 < total["decode_seconds"]
    printed = capsys.readouterr().out
    assert str(found) in printed
    assert "24" in printed
    with scichunk.profile(show=False) as nothing:
        pass
    assert nothing.rows == []
    assert capsys.readouterr().out == ""
    assert "all" in str(nothing)


def test_cache_hits_and_masks(tmp_path):
    values = np.arange(32 * 32, dtype="u2").reshape(1, 32, 32)
    path = write_tiff(tmp_path / "a.tif", values, nodata=0)
    scichunk.clear_caches()
    reader = xr.open_dataset(path, engine="geotiff").band_data
    with scichunk.profile(show=False) as found:
        reader[0, 0:4, 0:4].load()
        reader[0, 5:7, 5:7].copy().load()
    assert found.total["hits"] == 1
    assert found.total["chunks"] == 1
    assert found.total["place_seconds"] > 0


def read_object(path):
    with open(path, "rb") as file:
        return scichunk.from_geotiff(file).compute(scheduler="sync")


@pytest.mark.parametrize("make", ["stack", "frame", "jpeg2000", "reference", "file object", "points"])
def test_everything_that_reads_counts(make, scene, pytestconfig):
    data = pytestconfig.rootpath / "test_data"
    works = {
        "stack": lambda: scichunk.open_stack([scene[0]] * 3).load(),
        "frame": lambda: scichunk.read_fits_table(data / "catalogue.fits").compute(),
        "jpeg2000": lambda: scichunk.from_jpeg2000(data / "bgr.jp2").compute(),
        "reference": lambda: scichunk.from_geotiff(scene[0], reader="reference").compute(),
        "file object": lambda: read_object(scene[0]),
        "points": lambda: (
            xr.open_dataset(scene[0], engine="geotiff")
            .band_data.isel(x=xr.DataArray([1, 40], dims="p"), y=xr.DataArray([1, 40], dims="p"))
            .load()
        ),
    }
    with scichunk.profile(show=False) as found:
        works[make]()
    assert found.total["reads"] >= 1
    if make != "reference":
        assert found.total["requests"] >= 1
        assert found.total["fetched"] > 0
    if make != "frame":
        assert found.total["chunks"] >= 1


def test_remote_requests_and_retries(tmp_path):
    values = np.random.default_rng(0).integers(0, 4000, (1, 512, 512)).astype("u2")
    path = write_tiff(tmp_path / "large.tif", values, compress=None, blockxsize=128, blockysize=128)
    with open(path, "rb") as file, RangeServer({"large.tif": file.read()}) as server:
        array = scichunk.from_geotiff(server.url("large.tif"), chunks=(1, 128, 512))[:, 128:]
        server.reset()
        server.fail("503")
        quick = scichunk.options.set(retry_wait=0.01)
        with quick, scichunk.profile(show=False) as found, dask.config.set(scheduler="sync"):
            np.testing.assert_array_equal(array.compute(), values[:, 128:])
        assert found.total["requests"] + found.total["retries"] == server.requests
    total = found.total
    assert total["reads"] == 3
    assert total["chunks"] == 12
    assert total["retries"] == 1
    assert total["asked"] == values[:, 128:].nbytes <= total["fetched"]
    assert total["fetch_seconds"] > 0
    assert found.rows[0]["dataset"].startswith("http://127.0.0.1")


def test_threads_are_all_counted(scene):
    array = scichunk.from_geotiff(scene[0], chunks="native")
    with scichunk.profile(show=False) as found:
        threads = [threading.Thread(target=array.compute, kwargs={"scheduler": "sync"}) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found.total["reads"] == 4 * 24


def test_history_of_this_process(scene, history):
    array = scichunk.from_geotiff(scene[0], chunks="native")
    array.sum().compute(scheduler="sync")
    array.max().compute(scheduler="threads")
    with contextlib.suppress(ZeroDivisionError):
        array.map_blocks(lambda b: b / (1 // 0), dtype="f8").compute(scheduler="sync")
    found = scichunk.history.runs(path=history)
    assert [run["erred"] for run in found] == [0, 0, 1]
    assert found[0]["reads"][0]["fetched"] == scene[1].nbytes
    assert found[1]["reads"][0]["reads"] == 24
    assert found[0]["finished"] >= found[0]["started"]
    scichunk.history.stop()
    array.min().compute()
    assert len(scichunk.history.runs(path=history)) == 3
    assert len(scichunk.history.runs("1h", path=history)) == 3
    assert scichunk.history.runs("2999-01-01", path=history) == []
    assert scichunk.history.runs(path=history + ".none") == []
    with pytest.raises(ValueError, match="since must be"):
        scichunk.history.runs("soon", path=history)


def test_a_folder_whose_name_is_no_text_is_told_in_escapes(scene, history):
    folder = os.fsdecode(os.fsencode(os.path.dirname(scene[0])) + b"/run\xff")
    os.mkdir(folder)
    path = shutil.copy(scene[0], folder)
    with scichunk.profile(show=False) as found:
        scichunk.from_geotiff(path).compute(scheduler="sync")
    (run,) = scichunk.history.runs(path=history)
    for row in (found.rows[0], run["reads"][0]):
        assert row["dataset"].endswith(r"/run\udcff")
        assert row["fetched"] == scene[1].nbytes


def test_history_on_the_command_line(scene, history, tmp_path, capsys):
    from scichunk.adapters.cli import main

    scichunk.from_geotiff(scene[0]).sum().compute()
    assert main(["history", "--path", history]) == 0
    assert "requests" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert main(["history", "--path", history, "--since", "7d", "--html", str(page)]) == 0
    text = page.read_text("utf-8")
    assert text.count("<svg") == 4
    assert "<rect" in text
    assert "src=" not in text
    assert main(["history", "--path", history, "--since", "soon"]) == 2
    assert main(["history", "--path", str(tmp_path / "none"), "--html", str(page)]) == 0
    assert "0 runs" in page.read_text("utf-8")
    assert main(["history", "--path", str(tmp_path / "none")]) == 0
    assert "history.start" in capsys.readouterr().out


def spoil(make, path):
    """Make a history one into which nothing can be written; return what ends that."""
    if make == "damaged":
        with open(path, "wb") as file:
            file.write(b"x" * 5000)
    elif make == "folder lost":
        shutil.rmtree(os.path.dirname(path))
        with open(os.path.dirname(path), "w"):
            pass
    elif make == "folder":
        os.unlink(path)
        os.mkdir(path)
    else:
        other = sqlite3.connect(path)
        other.execute("begin exclusive")
        return other.close
    return lambda: None


@pytest.mark.parametrize("make", ["damaged", "folder lost", "folder", "locked"])
def test_what_hinders_the_history_does_not_hinder_the_compute(make, scene, history, monkeypatch):
    from scichunk.adapters.history import store

    array = scichunk.from_geotiff(scene[0])
    array.compute(scheduler="sync")
    end = spoil(make, history)
    monkeypatch.setattr(store, "_WAIT_SECONDS", 0.2)
    try:
        with pytest.warns(scichunk.errors.HistoryWarning, match="cannot be written") as told:
            np.testing.assert_array_equal(array.compute(scheduler="sync"), scene[1])
            array.compute(scheduler="sync")
        assert len(told) == 1
        assert history in store._failing
        with contextlib.suppress(scichunk.errors.ScichunkError):  # of a folder that is lost there is none
            assert scichunk.history.runs(path=history) == []
    finally:
        end()
    if make == "locked":  # it goes on
        array.compute(scheduler="sync")
        assert len(scichunk.history.runs(path=history)) == 2
        assert history not in store._failing


def test_a_file_that_is_no_history_is_an_error(scene, tmp_path, capsys):
    from scichunk.adapters.cli import main

    with pytest.raises(scichunk.errors.FormatError, match="no history"):
        scichunk.history.runs(path=scene[0])
    assert main(["history", "--path", scene[0]]) == 1
    assert "no history" in capsys.readouterr().err
    with pytest.raises(scichunk.errors.SourceError, match="cannot be read"):
        scichunk.history.report(path=str(tmp_path))
    other = str(tmp_path / "other.sqlite")
    with contextlib.closing(sqlite3.connect(other)) as file:
        file.execute("create table mine(a int)")
    assert scichunk.history.runs(path=other) == []
    with contextlib.closing(sqlite3.connect(other)) as file:
        assert file.execute("select name from sqlite_master").fetchall() == [("mine",)]


def test_pages_are_written_as_other_files_are(scene, history, tmp_path):
    from scichunk.adapters.cli import main

    scichunk.from_geotiff(scene[0]).compute(scheduler="sync")
    os.mkfifo(tmp_path / "pipe.html")
    for target in (tmp_path, tmp_path / "no" / "x.html", "a\0b", tmp_path / "pipe.html"):
        with pytest.raises(scichunk.errors.SourceError):
            scichunk.history.to_html(target, path=history)
    assert main(["history", "--path", history, "--html", str(tmp_path)]) == 1
    page = tmp_path / "page.html"
    page.write_text("old")
    page.chmod(0o600)
    scichunk.history.to_html(page, path=history)
    assert "1 runs" in page.read_text("utf-8")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


WRITER = """
import sys, scichunk
scichunk.history.start(sys.argv[2])
array = scichunk.from_geotiff(sys.argv[1])
for _ in range(5):
    array.sum().compute(scheduler="sync")
"""


def test_many_writers(scene, tmp_path):
    path = str(tmp_path / "h.sqlite")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, scene[0], path]) for _ in range(3)]
    assert [w.wait(120) for w in writers] == [0, 0, 0]
    found = scichunk.history.runs(path=path)
    assert len(found) == 15
    assert {run["reads"][0]["fetched"] for run in found} == {scene[1].nbytes}
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("pragma integrity_check").fetchone() == ("ok",)


def test_logging_is_off_until_it_is_set_up(scene, caplog, capfd):
    scichunk.clear_caches()
    with caplog.at_level(logging.DEBUG, "scichunk"):
        scichunk.from_geotiff(scene[0], reader="reference").compute()
    said = [r.getMessage() for r in caplog.records if r.name == "scichunk"]
    assert any("opening" in m and "geotiff" in m for m in said)
    assert any("reference library" in m for m in said)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_is_forked_while_a_read_is_counted(scene):
    """Its reads would wait for a lock that a thread of the parent had."""
    code = f"""
import os, signal
with scichunk.profile(show=False) as found:
    with found._tally._lock:
        child = os.fork()
        if not child:
            signal.alarm(10)
            scichunk.reader({scene[0]!r})[0, :4, :4]
            os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert outcomes(code) == ["0"]


@pytest.mark.parametrize(
    ("column", "value"),
    [("started", "abc"), ("started", 1e300), ("finished", b"\xff"), ("tasks", "x"), ("tasks", None), ("peak_memory", "y"), ("fetched", "z"), ("reads", None)],
)  # fmt: skip
def test_a_history_of_other_values_is_an_error(scene, history, tmp_path, column, value):
    """SQLite takes any kind of value into any column."""
    scichunk.from_geotiff(scene[0]).compute(scheduler="sync")
    table = "reads" if column in {"fetched", "reads"} else "runs"
    with contextlib.closing(sqlite3.connect(history)) as file, file:
        file.execute(f"update {table} set {column} = ?", [value])
    for tell in (scichunk.history.report, lambda path: scichunk.history.to_html(tmp_path / "a.html", path=path)):
        with pytest.raises(scichunk.errors.FormatError, match=column):
            tell(path=history)


def test_a_history_may_lie_at_home(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    scichunk.history.start("~/past.sqlite")
    scichunk.from_geotiff(scene[0]).sum().compute()
    scichunk.history.stop()
    assert (tmp_path / "past.sqlite").exists()
    assert len(scichunk.history.runs(path="~/past.sqlite")) == 1
