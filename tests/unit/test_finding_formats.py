"""Which formats there are, and how a file's is found."""

import bz2
import gzip
import lzma
import subprocess
import sys

import pytest

import scichunk
from scichunk.core import registry
from scichunk.core.registry import FormatSpec

HEADS = {
    "geotiff": [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"],
    "jpeg2000": [b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"],
    "fits": [b"SIMPLE  =                    T"],
    "votable": [
        b"<VOTABLE>",
        b"<?xml version='1.0'?>\n<VOTABLE version='1.4'>",
        b"\xef\xbb\xbf<?xml version='1.0'?><!-- hello --><v:VOTABLE xmlns:v='x'>",
        "<?xml version='1.0'?><VOTABLE>".encode("utf-16-le"),
    ],
}


@pytest.mark.parametrize(("name", "head"), [(name, head) for name, heads in HEADS.items() for head in heads])
def test_first_bytes(name, head):
    assert registry.sniff_format(head + bytes(64)).name == name


def test_first_bytes_of_utf16():
    assert registry.sniff_format("<?xml version='1.0'?><VOTABLE>".encode("utf-16")).name == "votable"


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["fits", "votable"])
def test_first_bytes_of_compressed_files(name, compress):
    assert registry.sniff_format(compress(HEADS[name][0] + bytes(2880))).name == name


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\0",
        b"hello",
        b"<html>",
        b"<?xml version='1.0'?><kml>",
        b"II",
        bytes(4096),
        gzip.compress(b"hello", mtime=0),
    ],
)
def test_other_first_bytes(head):
    assert registry.sniff_format(head) is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("a.tif", "geotiff"),
        ("/x.y/a.TIFF", "geotiff"),
        ("https://host/a.jp2?token=x.fits#y", "jpeg2000"),
        ("a.fits.gz", "fits"),
        ("a.vot", "votable"),
        ("s3://bucket/b.xml.gz", "votable"),
        ("a.gz", None),
        ("tif", None),
        ("", None),
    ],
)
def test_suffixes(url, name):
    found = registry.sniff_suffix(url)
    assert (found.name if found else None) == name


def test_names():
    assert list(registry.list_formats()) == ["geotiff", "jpeg2000", "fits", "votable"]
    for name, spec in registry.list_formats().items():
        assert isinstance(spec, FormatSpec)
        assert registry.get_format(name) is spec
    with pytest.raises(
        scichunk.errors.FormatError, match=r"no format 'gif'; known are fits, geotiff, jpeg2000, votable"
    ):
        registry.get_format("gif")


def test_the_public_function_works_before_and_after_a_file_was_opened():
    code = """
import scichunk
before = scichunk.list_formats()
scichunk.info("test_data/masked.tif")
assert scichunk.list_formats() == before and list(before) == ["geotiff", "jpeg2000", "fits", "votable"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


PLUGIN = """
import sys
from pathlib import Path
folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
import scichunk
"""


def plug(folder, entry, module=""):
    (folder / "other-1.dist-info").mkdir()
    (folder / "other-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (folder / "other-1.dist-info" / "entry_points.txt").write_text(f"[scichunk.formats]\nother = {entry}\n")
    (folder / "other_module.py").write_text(module)


def run(folder, code):
    done = subprocess.run(
        [sys.executable, "-c", PLUGIN + code, str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SPEC = "from scichunk.core.registry import FormatSpec\n{}FormatSpec('other', 'Other', ('.other',), lambda head: head[:5] == b'other', 'other_module')\n"


@pytest.mark.parametrize("made", ["SPEC = ", "SPEC = lambda: "])
def test_a_format_of_another_package(tmp_path, made):
    plug(tmp_path, "other_module:SPEC", SPEC.format(made))
    assert run(tmp_path, "print([*scichunk.list_formats()])") == "['geotiff', 'jpeg2000', 'fits', 'votable', 'other']"


def test_a_built_in_format_is_not_replaced(tmp_path):
    plug(tmp_path, "other_module:SPEC", SPEC.format("SPEC = ").replace("'other'", "'fits'", 1))
    assert run(tmp_path, "print(scichunk.list_formats()['fits'].module)") == "scichunk.formats.fits.file"


@pytest.mark.parametrize(
    ("entry", "module"),
    [
        ("no_such_module:SPEC", ""),
        ("other_module:SPEC", "import no_such_dependency"),
        ("other_module:SPEC", "SPEC = 3"),
    ],
)
def test_a_broken_package_is_left_out(tmp_path, entry, module):
    plug(tmp_path, entry, module)
    found = run(
        tmp_path,
        """
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    print(scichunk.from_geotiff("test_data/masked.tif").ndim, [*scichunk.list_formats()], any("other" in str(w.message) for w in told))
""",
    )
    assert found == "3 ['geotiff', 'jpeg2000', 'fits', 'votable'] True"


def test_a_format_says_in_a_line_what_it_is():
    for name, spec in scichunk.list_formats().items():
        assert repr(spec).startswith(f"<FormatSpec {name}: {spec.description}; {spec.suffixes[0]}")
        assert all(f", {selector.name}=" in repr(spec) for selector in spec.selectors)
        assert len(repr(spec)) < 160
