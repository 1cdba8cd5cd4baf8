"""Files like those that are shipped: Sentinel-2 bands with and without TLM and PLT, one large tile, HTJ2K."""

import struct

import numpy as np

SIDE, SMALL = 10980, 4096


def scene(side, seed=3):
    """A band of 15 bits: relief, fields, noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side].astype("f4")
    image = 3000 + 1500 * np.sin(x / 700) * np.cos(y / 900) + 400 * np.sin(x / 37 + y / 53)
    fields = rng.normal(0, 600, (side // 90 + 1, side // 90 + 1)).astype("f4")
    image += np.kron(fields, np.ones((90, 90), "f4"))[:side, :side]
    image += rng.normal(0, 40, (side, side)).astype("f4")
    return image.clip(0, 32767).astype("u2")


def write(path, image, **options):
    """Write through GDAL's JP2OpenJPEG."""
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy

    profile = {"driver": "GTiff", "width": image.shape[1], "height": image.shape[0], "count": 1, "dtype": "uint16"}
    place = {"crs": "EPSG:32632", "transform": rasterio.transform.from_origin(600000, 5100000, 10, 10)}
    with MemoryFile() as memory:
        with memory.open(**profile, **place) as ds:
            ds.write(image, 1)
        with memory.open() as ds:
            copy(ds, path, driver="JP2OpenJPEG", REVERSIBLE="YES", QUALITY="100", NBITS="15", **options)


def without(path, target, markers):
    """Copy a JP2 file without some marker segments (0xFF55 TLM, 0xFF58 PLT), lengths corrected."""
    data = path.read_bytes()
    start = data.index(b"\xff\x4f\xff\x51")
    out, at = bytearray(data[start : start + 2]), start + 2
    while data[at : at + 2] != b"\xff\x90":
        at = _copy(data, at, out, markers)
    while data[at : at + 2] == b"\xff\x90":
        length = struct.unpack(">I", data[at + 6 : at + 10])[0]
        end, part = at + length, bytearray(data[at : at + 12])
        at += 12
        while data[at : at + 2] != b"\xff\x93":
            at = _copy(data, at, part, markers)
        part += data[at:end]
        part[6:10] = struct.pack(">I", len(part))
        out += part
        at = end
    out += b"\xff\xd9"
    target.write_bytes(data[: start - 8] + struct.pack(">I4s", len(out) + 8, b"jp2c") + out)


def _copy(data, at, out, markers):
    marker, length = struct.unpack(">HH", data[at : at + 4])
    if marker not in markers:
        out += data[at : at + 2 + length]
    return at + 2 + length


def make(folder, name, side=SIDE, small=SMALL):
    """Path of one file, written if it is not there."""
    path = folder / f"{name}_{small if name in {'single', 'single_plain', 'ht', 'classic'} else side}.jp2"
    if path.exists():
        return path
    tiles = {"BLOCKXSIZE": "1024", "BLOCKYSIZE": "1024", "RESOLUTIONS": "6", "PROGRESSION": "LRCP"}
    precincts = {"PRECINCTS": ",".join(["{256,256}"] * 6)}
    draft = path.with_suffix(".part.jp2")
    if name == "s2":
        write(draft, scene(side), TLM="YES", PLT="YES", **tiles, **precincts)
    elif name == "s2_plain":
        without(make(folder, "s2", side, small), draft, {0xFF55, 0xFF58})
    elif name == "single":
        one = {"BLOCKXSIZE": str(small), "BLOCKYSIZE": str(small), "RESOLUTIONS": "6", "PROGRESSION": "RPCL"}
        write(draft, scene(small), PLT="YES", **one, **precincts)
    elif name == "single_plain":
        without(make(folder, "single", side, small), draft, {0xFF55, 0xFF58})
    elif name == "classic":
        write(draft, scene(small), TLM="YES", PLT="YES", **tiles, **precincts)
    elif name == "ht":
        import imagecodecs

        draft.write_bytes(imagecodecs.htj2k_encode(scene(small), reversible=True, tile=(1024, 1024)))
    draft.rename(path)
    return path
