"""Write the JPEG 2000 sample files: ``python test_data/make/jpeg2000.py``."""

import struct
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import rasterio
from rasterio.io import MemoryFile
from rasterio.shutil import copy

HERE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HERE.parent))

from tests.jpeg2000_files import encode, jp2, texture  # noqa: E402


def box(kind, body):
    return struct.pack(">I4s", 8 + len(body), kind) + body


def band():
    """Like a band of Sentinel-2: 15 bits, tiles, TLM, PLT, placed by GeoJP2 and GMLJP2."""
    image = texture((300, 260), 12).astype("u2")
    profile = {"driver": "GTiff", "width": 260, "height": 300, "count": 1, "dtype": "uint16"}
    place = {"crs": "EPSG:32632", "transform": rasterio.transform.from_origin(600000, 5100000, 10, 10)}
    options = {"BLOCKXSIZE": "128", "BLOCKYSIZE": "128", "RESOLUTIONS": "4", "TLM": "YES", "PLT": "YES", "NBITS": "15"}
    with MemoryFile() as memory:
        with memory.open(**profile, **place) as ds:
            ds.write(image, 1)
        with memory.open() as ds:
            copy(ds, HERE / "band_tlm_plt.jp2", driver="JP2OpenJPEG", REVERSIBLE="YES", QUALITY="100", **options)


def palette():
    """Eight colours, raw indices in the codestream."""
    colours = np.array([[i * 36, 255 - i * 30, (i * 90) % 256] for i in range(8)], "u1")
    pclr = struct.pack(">HB3B", 8, 3, 7, 7, 7) + colours.tobytes()
    cmap = b"".join(struct.pack(">HBB", 0, 1, i) for i in range(3))
    code = encode([texture((64, 80), 3)], bits=3)
    header = box(b"pclr", pclr) + box(b"cmap", cmap)
    (HERE / "palette.jp2").write_bytes(jp2(code, header=header, bits=3, count=1, size=(64, 80)))


def bgr():
    """Components in the order blue, green, red, as the channel definition says; XML about it."""
    code = encode([texture((60, 70), seed=i) for i in range(3)], tile=(32, 32))
    cdef = struct.pack(">H9H", 3, 0, 0, 3, 1, 0, 2, 2, 0, 1)
    xml = (b"xml ", b'<?xml version="1.0"?><note>blue first</note>')
    (HERE / "bgr.jp2").write_bytes(jp2(code, xml, header=box(b"cdef", cdef), count=3, size=(60, 70)))


def subsampled():
    """Luminance and halved chrominance, image and tiles not at the origin, progression by position."""
    sizes = [(101, 141), (50, 70), (50, 70)]
    planes = [texture(s, seed=i) for i, s in enumerate(sizes)]
    (HERE / "subsampled.j2k").write_bytes(
        encode(
            planes, distances=[(1, 1), (2, 2), (2, 2)], offset=(7, 3), tile=(64, 64), tile_offset=(2, 1), order="PCRL"
        )
    )


def signed():
    """11 bits with a sign, 9/7."""
    (HERE / "signed_97.j2k").write_bytes(
        encode([texture((90, 70), 11, signed=True)], bits=11, signed=True, irreversible=True)
    )


if __name__ == "__main__":
    band()
    palette()
    bgr()
    subsampled()
    signed()
    data = imagecodecs.htj2k_encode(texture((150, 170), 12).astype("u2"), reversible=True, tile=(64, 64), tlm=True)
    (HERE / "high_throughput.jph").write_bytes(data)
