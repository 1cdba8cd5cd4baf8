"""ENVI: raw samples in a file, and a text header beside it. A format of another package, as its author would write it."""

from functools import cached_property

import numpy as np

from scichunk.codecs.raw import RawCodec
from scichunk.core.arrays import IndexedArray
from scichunk.core.files import FormatFile, Node
from scichunk.core.grid import ChunkGrid
from scichunk.core.manifest import ChunkManifest
from scichunk.core.registry import FormatSpec
from scichunk.core.selectors import BANDS
from scichunk.errors import FormatError, MissingFile, UnsupportedFeature
from scichunk.raster.gdal import nothing
from scichunk.raster.variables import band_data, coordinates

SLAB = 1 << 16  # bytes that make up a chunk, about
TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 6: "c8", 9: "c16", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
ORDERS = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}  # axes of (band, y, x), slowest first
SUFFIXES = (".img", ".bsq", ".bil", ".bip")


def headers(name):
    return [name.rpartition(".")[0] + ".hdr", name + ".hdr"]


SPEC = FormatSpec(
    "envi", "ENVI raster", SUFFIXES, lambda head: False, "envi_scichunk", selectors=(BANDS,), siblings=headers
)


def open_file(location, source):
    return ENVIFile(location, source)


class ENVIFile(FormatFile):
    def __init__(self, location, source):
        super().__init__(location, source)
        self.header = read_header(location)

    def node(self, group="/"):
        self.check_group(group)
        metadata = nothing(self.image.shape[0])
        image = band_data(self.image, ("image",), metadata, "uncompressed")
        attrs = {"description": self.header.get("description", "")}
        return Node((image,), coordinates(metadata, self.transform(), self.image.shape), attrs)

    @cached_property
    def image(self):
        shape = bands, lines, samples = tuple(self.number(key, 1) for key in ("bands", "lines", "samples"))
        kind, offset = self.number("data type", 1), self.number("header offset", 0, 0)
        order = ORDERS.get(self.header.get("interleave", "bsq").lower())
        if kind not in TYPES or order is None:
            raise UnsupportedFeature(f"data type {kind}, interleave {order}", url=self.source.url)
        stored = np.dtype(TYPES[kind]).newbyteorder("<>"[self.number("byte order", 0, 0) & 1])
        if offset + bands * lines * samples * stored.itemsize > self.fingerprint.size:
            raise FormatError(f"{self.fingerprint.size} bytes are too few for the shape {shape}", url=self.source.url)
        layers = 1 if order[0] == 0 else bands  # that lie together, line by line
        line = layers * samples * stored.itemsize
        edge = max(1, SLAB // line)
        grid = ChunkGrid(shape, (layers, edge, samples))
        first = np.arange(0, lines, edge)
        band = np.arange(0, bands, layers) * (lines * samples * stored.itemsize)
        starts = (offset + (band[:, None] + first * line).reshape(-1)).astype("u8")
        lengths = np.broadcast_to(np.minimum(edge, lines - first) * line, grid.counts[:2]).reshape(-1).astype("u8")
        codec, values = RawCodec(stored, order), stored.newbyteorder("=")
        return IndexedArray(ChunkManifest(grid, values, codec, starts, lengths, noun="slab"), self.source, ("image",))

    def number(self, key, least, default=None):
        try:
            found = int(self.header.get(key, default))
        except (TypeError, ValueError):
            found = least - 1
        if found < least:
            raise FormatError(f"the header says {key} = {self.header.get(key)!r}", url=self.source.url, part="header")
        return found

    def transform(self):
        """From ``map info = {projection, column and row of a pixel from 1, easting and northing of its corner, width, height, ...}``."""
        try:
            x, y, east, north, width, height = (float(v) for v in self.header["map info"].strip("{}").split(",")[1:7])
        except KeyError:
            return (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        except ValueError as error:
            raise FormatError(f"map info is corrupt: {error}", url=self.source.url, part="header") from error
        return (width, 0.0, east - (x - 1) * width, 0.0, -height, north + (y - 1) * height)


def read_header(location):
    for beside in map(location.sibling, headers(location.name)):
        try:
            text = bytes(beside.open().head()).decode("latin-1") if beside else ""
        except MissingFile:
            continue
        if not text.startswith("ENVI"):
            raise FormatError("the header does not begin with ENVI", url=location.url, part="header")
        return parse_header(text)
    raise FormatError("there is no header beside it", url=location.url)


def parse_header(text):
    found, lines = {}, iter(text.splitlines()[1:])
    for line in lines:
        key, equal, value = line.partition("=")
        while equal and value.count("{") > value.count("}"):
            value += " " + next(lines, "}")
        found[" ".join(key.lower().split())] = value.strip()
    return found
