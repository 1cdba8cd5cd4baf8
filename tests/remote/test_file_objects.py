"""Open file objects of any kind: right values, or an error that says what the object did."""

import gzip
import io
import itertools
import os
import pickle
import sys
import tempfile
import threading
import time
import warnings
import zipfile

import numpy as np
import pytest
from astropy.io import fits

import scichunk
from scichunk.errors import SourceError
from scichunk.sources import locate

PIXELS = np.arange(300 * 300, dtype="i4").reshape(300, 300)


def fits_bytes(pixels):
    out = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(out)
    return out.getvalue()


FIRST, SECOND = fits_bytes(PIXELS), fits_bytes(PIXELS + 1)


def test_an_open_file_whose_content_is_replaced_is_another_version():
    with tempfile.TemporaryFile() as file:
        file.write(FIRST)
        first = scichunk.from_fits(file)
        np.testing.assert_array_equal(first, PIXELS)
        file.seek(0)
        file.write(SECOND)
        second = scichunk.from_fits(file)
        np.testing.assert_array_equal(second, PIXELS + 1)
        assert first.name != second.name


def test_an_open_file_that_has_travelled_is_the_same_version():
    with tempfile.TemporaryFile() as file:
        file.write(FIRST)
        here = locate(file)
        there = pickle.loads(pickle.dumps(here))
        assert here.open().fingerprint == there.open().fingerprint
        assert here.key == there.key
        array = scichunk.from_fits(file)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(array)), PIXELS)


def open_for_both(path):
    path.write_bytes(FIRST)
    return path.open("r+b")


def open_and_remove(path):
    path.write_bytes(FIRST)
    file = path.open("rb")
    path.unlink()
    return file


def open_temporary(path):
    file = tempfile.NamedTemporaryFile(dir=path.parent)  # noqa: SIM115  # the test closes it
    file.write(FIRST)
    file.flush()
    return file


@pytest.mark.parametrize("make", [open_for_both, open_and_remove, open_temporary])
@pytest.mark.parametrize("keeps_date", [False, True])
def test_an_open_file_that_is_written_after_the_opening(tmp_path, make, keeps_date):
    with make(tmp_path / "a.fits") as file:
        array = scichunk.from_fits(file, chunks=(100, 300))
        np.testing.assert_array_equal(array[:100], PIXELS[:100])
        date = os.fstat(file.fileno()).st_mtime_ns
        with open(f"/proc/self/fd/{file.fileno()}", "r+b") as other:
            other.write(SECOND)
        os.utime(file.fileno(), ns=(1, date if keeps_date else date + 1))
        with pytest.raises(SourceError, match="changed since it was opened"):
            array.compute()


def test_an_open_file_that_loses_its_name_is_the_same(tmp_path):
    with open_for_both(tmp_path / "a.fits") as file:
        array = scichunk.from_fits(file)
        (tmp_path / "a.fits").unlink()
        np.testing.assert_array_equal(array, PIXELS)


def test_open_files_with_a_descriptor_are_cheap(tmp_path):
    with tempfile.TemporaryFile() as file:
        file.write(FIRST)
        assert locate(file).open().is_cheap
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(FIRST))
    with gzip.open(packed) as file:
        source = locate(file).open()
        assert not source.is_cheap
        assert source.fingerprint.size == len(FIRST)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.fits", FIRST)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("a.fits") as file:
        assert not locate(file).open().is_cheap


def test_a_deleted_file_that_is_still_open_is_read_without_moving_it(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(FIRST)
    with open(path, "rb") as file:
        file.seek(17)
        path.unlink()
        np.testing.assert_array_equal(scichunk.from_fits(file), PIXELS)
        assert file.tell() == 17


class Odd:
    """An open file of which nothing is known; some of its methods can be replaced."""

    def __init__(self, data, **methods):
        self._file = io.BytesIO(data)
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell
        for name, method in methods.items():
            setattr(self, name, method)


def raising(error):
    def method(*args):
        raise error

    return method


def after(count, then, method):
    """Go on as usual for some calls."""
    numbers = itertools.count()
    return lambda *args: method(*args) if next(numbers) < count else then(*args)


@pytest.mark.parametrize("error", [OSError("x"), RuntimeError("x"), KeyError("x"), TypeError("x"), EOFError()])
@pytest.mark.parametrize("method", ["read", "seek", "tell"])
def test_whatever_an_open_file_raises(method, error):
    with pytest.raises(SourceError, match="file object") as caught:
        scichunk.from_fits(Odd(FIRST, **{method: raising(error)}))
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


@pytest.mark.parametrize("error", [RuntimeError("x"), ValueError("I/O operation on closed file")])
def test_whatever_an_open_file_raises_later(error):
    file = Odd(FIRST)
    array = scichunk.from_fits(file)
    file.read = raising(error)
    with pytest.raises(SourceError, match=r"bytes \d+ to \d+.*file object"):
        array.compute(scheduler="synchronous")


@pytest.mark.parametrize("given", ["text", None, 7, [1, 2], b"x" * 10**6, object()], ids=lambda v: type(v).__name__)
def test_whatever_an_open_file_gives(given):
    with pytest.raises(SourceError, match="file object"):
        scichunk.from_fits(Odd(FIRST, read=lambda size: given))


@pytest.mark.parametrize("given", ["text", None, -1, 2.5, True])
def test_whatever_an_open_file_says_of_its_position(given):
    with pytest.raises(SourceError, match=r"tell\(\)"):
        scichunk.from_fits(Odd(FIRST, tell=lambda: given))


def test_text_mode(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("SIMPLE  = T" * 1000)
    with open(path) as file, pytest.raises(SourceError, match="open it in binary mode"):
        scichunk.from_fits(file)
    with pytest.raises(SourceError, match="open it in binary mode"):
        scichunk.from_fits(io.StringIO("SIMPLE  = T"))


def test_objects_that_give_other_kinds_of_bytes_and_seek_silently():
    data = io.BytesIO(FIRST)
    odd = Odd(FIRST, read=lambda n: bytearray(data.read(n)), seek=lambda *a: data.seek(*a) and None, tell=data.tell)
    np.testing.assert_array_equal(scichunk.from_fits(odd), PIXELS)


def test_memory_files_of_rasterio():
    rasterio = pytest.importorskip("rasterio")
    from rasterio.io import MemoryFile

    with warnings.catch_warnings(), MemoryFile() as file:
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with file.open(driver="GTiff", width=300, height=300, count=1, dtype="int32") as out:
            out.write(PIXELS[None])
        np.testing.assert_array_equal(scichunk.from_geotiff(file)[0], PIXELS)


def test_open_files_with_few_bytes_at_a_time():
    data = io.BytesIO(FIRST)
    odd = Odd(FIRST, read=lambda n: data.read(min(n, 1000)), seek=data.seek, tell=data.tell)
    np.testing.assert_array_equal(scichunk.from_fits(odd), PIXELS)
    cut = Odd(FIRST, seek=after(10**6, None, io.BytesIO(FIRST + b"x" * 2880).seek))
    with pytest.raises((SourceError, scichunk.errors.FormatError)):
        scichunk.from_fits(cut).compute(scheduler="synchronous")


class Holder(io.RawIOBase):
    """Gives other bytes than the file that it holds, as one that decrypts does."""

    def __init__(self, path, data):
        self.file, self.data = path.open("rb"), io.BytesIO(data)

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, *where):
        return self.data.seek(*where)

    def tell(self):
        return self.data.tell()

    def read(self, size=-1):
        return self.data.read(size)


class Later(io.BufferedReader):
    """Shows what lies behind a byte of a file."""

    def __init__(self, path, first):
        super().__init__(io.FileIO(path))
        self.first = first
        super().seek(first)

    def seek(self, offset, whence=0):
        return super().seek(offset + self.first * (whence == 0), whence) - self.first

    def tell(self):
        return super().tell() - self.first


class Turned(io.FileIO):
    """A file whose bytes are stored turned."""

    def read(self, size=-1):
        return bytes(255 - b for b in super().read(size))


class TurnedBytes(io.BytesIO):
    def read(self, size=-1):
        return bytes(255 - b for b in super().read(size))


def test_what_stands_between_an_object_and_its_file_is_not_passed_by(tmp_path):
    other, turned = fits_bytes(PIXELS + 1), bytes(255 - b for b in FIRST)
    path, hidden = tmp_path / "a.fits", tmp_path / "hidden"
    path.write_bytes(other + FIRST)
    hidden.write_bytes(turned)
    objects = [Holder(path, FIRST), Later(path, len(other)), Turned(hidden), TurnedBytes(turned)]
    for file in objects:
        np.testing.assert_array_equal(scichunk.from_fits(file).compute(scheduler="synchronous"), PIXELS)


def test_a_detached_file_is_a_source_error(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(FIRST)
    file = path.open("rb")
    with file.detach(), pytest.raises(SourceError, match="is closed"):
        scichunk.from_fits(file)


@pytest.mark.parametrize("kind", ["buffered", "raw", "memory", "gzip"])
def test_a_closed_file_is_a_source_error(tmp_path, kind):
    path = tmp_path / "a.fits"
    path.write_bytes(FIRST)
    make = {"buffered": lambda: path.open("rb"), "raw": lambda: path.open("rb", buffering=0)}
    make |= {
        "memory": lambda: io.BytesIO(FIRST),
        "gzip": lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(FIRST))),
    }
    file = make[kind]()
    file.close()
    with pytest.raises(SourceError, match="is closed"):
        scichunk.from_fits(file)


class Slotted:
    """A file object that cannot be watched, so that nobody knows when it is gone."""

    __slots__ = ("inner",)

    def __init__(self, data):
        self.inner = io.BytesIO(data)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def seek(self, *place):
        return self.inner.seek(*place)

    def read(self, size=-1):
        time.sleep(0)  # others get their turn between seek and read
        return self.inner.read(size)


@pytest.mark.parametrize("kind", ["gzip", "member", "slots"])
@pytest.mark.parametrize("how", ["other limits", "cleared"])
def test_readers_of_one_object_take_turns(kind, how):
    """It has one position, and each reader that was opened by itself had a lock of its own: values of other places came."""
    pixels = np.arange(400 * 400, dtype="i4").reshape(400, 400)
    data, packed = fits_bytes(pixels), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.fits", data)
    file = {
        "gzip": lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(data, 1))),
        "member": lambda: zipfile.ZipFile(packed).open("a.fits"),  # noqa: SIM115  # it is read after this
        "slots": lambda: Slotted(data),
    }[kind]()
    readers = [scichunk.reader(file)]
    readers[0][0]
    if how == "cleared":
        scichunk.clear_caches()
    with scichunk.options.set(max_pages=1000 if how == "other limits" else 1 << 16):
        readers.append(scichunk.reader(file))
    wrong = []

    def work(number):
        for row in np.random.default_rng(number).integers(0, 390, 40).tolist():
            found = readers[number % 2][row : row + 10]
            wrong.extend([row] * (not np.array_equal(found, pixels[row : row + 10])))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong
