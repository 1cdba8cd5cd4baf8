"""ENVI: raw samples in a file, and a text header beside it. A format of another package, as its author would write it."""

import re

import numpy as np

from scichunk import options
from scichunk.codecs.raw import RawCodec
from scichunk.core.arrays import IndexedArray
from scichunk.core.files import ArrayId, FormatFile, Node
from scichunk.core.grid import ChunkGrid
from scichunk.core.manifest import ChunkManifest
from scichunk.core.registry import FormatSpec
from scichunk.core.selectors import BANDS
from scichunk.errors import FormatError, LimitExceeded, MissingFile, UnsupportedFeature, located
from scichunk.raster.gdal import empty_metadata
from scichunk.raster.variables import band_data, coordinates

TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 6: "c8", 9: "c16", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
ORDERS = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}  # axes of (band, y, x), slowest first
CHUNK_BYTES = 1 << 16  # the format has no chunks: some whole lines, of about this size, are one


def headers(name):
    return [re.sub(r"\.[^.]*$", "", name) + ".hdr", name + ".hdr"]


class ENVIFile(FormatFile):
    def __init__(self, location, source):
        super().__init__(location, source)
        with located(url=location.url, part="header"):
            self.header = read_header(location)
            self.transform = self.read_transform()
            self.image = IndexedArray(self.find_chunks(), source, ("image",))

    def node(self, group="/"):
        self.check_group(group)
        metadata = empty_metadata(self.image.shape[0])
        image = band_data(self.image, ArrayId(), metadata, "uncompressed")
        attrs = {"description": self.header.get("description", "")}
        return Node((image,), coordinates(metadata, self.transform, self.image.shape), attrs)

    def find_chunks(self):
        shape = bands, lines, samples = tuple(self.number(key) for key in ("bands", "lines", "samples"))
        kind, order = self.number("data type"), ORDERS.get(self.header.get("interleave", "bsq").lower())
        if kind not in TYPES or order is None:
            raise UnsupportedFeature(f"data type {kind}, interleave {self.header.get('interleave')}")
        stored = np.dtype(TYPES[kind]).newbyteorder("<>"[self.number("byte order", 0) & 1])
        offset, size = self.number("header offset", 0), self.fingerprint.size
        if offset + bands * lines * samples * stored.itemsize > size:  # before anything of this size is made
            raise FormatError(f"{size} bytes are too few for the shape {shape}")
        together = 1 if order[0] == 0 else bands  # bands whose lines lie together
        line = together * samples * stored.itemsize
        edge = max(1, CHUNK_BYTES // line)
        first = np.arange(0, lines, edge)
        starts = offset + line * (first + lines * np.arange(bands // together)[:, None])
        lengths = np.broadcast_to(line * np.minimum(edge, lines - first), starts.shape)
        grid, tables = ChunkGrid(shape, (together, edge, samples)), (starts.ravel(), lengths.ravel())
        return ChunkManifest(grid, stored.newbyteorder("="), RawCodec(stored, order), *(t.astype("u8") for t in tables))

    def number(self, key, default=None):
        text = self.header.get(key, default)
        if not re.fullmatch(r"\d{1,18}", str(text)) or (default is None and int(text) == 0):
            raise FormatError(f"{key} is {text!r}")
        return int(text)

    def read_transform(self):
        """From ``map info = {projection, pixel x and y from 1, easting and northing of its corner, width, height, ...}``."""
        text = self.header.get("map info", "{, 1, 1, 0, 0, 1, -1}")
        try:
            x, y, east, north, width, height = (float(v) for v in text.strip("{}").split(",")[1:7])
        except ValueError as error:
            raise FormatError(f"map info is corrupt: {error}") from error
        return (width, 0.0, east - (x - 1) * width, 0.0, -height, north + (y - 1) * height)


def read_header(location):
    for beside in filter(None, map(location.sibling, headers(location.name))):
        try:
            source = beside.open()
        except MissingFile:
            continue
        size = source.fingerprint.size
        if size > options.get().max_header_bytes:
            raise LimitExceeded(f"the header has {size} bytes, more than options.max_header_bytes")
        text = bytes(source.read_ranges([0], [size])[0]).decode("latin-1")
        if not text.startswith("ENVI"):
            raise FormatError("the header does not begin with ENVI")
        text = re.sub(r"\{[^}]*\}?", lambda value: " ".join(value[0].splitlines()), text)
        pairs = (line.partition("=") for line in text.splitlines()[1:])
        return {" ".join(key.lower().split()): value.strip() for key, _, value in pairs}
    raise FormatError("there is no header beside it")


SPEC = FormatSpec(
    name="envi",
    description="ENVI raster",
    suffixes=(".img", ".bsq", ".bil", ".bip"),
    sniff=lambda head: False,  # the file begins with samples, so that only its name tells
    module="envi_scichunk",
    selectors=(BANDS,),
    siblings=headers,
)
open_file = ENVIFile
