"""JPEG 2000 codestreams with every feature that OpenJPEG's encoder has, and what can be made of them."""

import ctypes
import os
import struct
import tempfile
from dataclasses import replace

import numpy as np

from scichunk.codecs.jpeg2000 import openjpeg
from scichunk.codecs.jpeg2000.packet_walk import PacketWalk, tabulate_walk
from scichunk.codecs.jpeg2000.packets import order_packets
from scichunk.formats.jpeg2000.file import open_file
from scichunk.formats.jpeg2000.reference import lend_glymur
from scichunk.sources import locate

ORDERS = ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL")


def texture(shape, bits=8, signed=False, seed=0):
    """Smooth waves and noise over the whole range of a depth."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    wave = 0.5 + 0.35 * np.sin(x / 9 + seed) * np.cos(y / 7) + rng.normal(0, 0.05, shape)
    low = -(1 << (bits - 1)) if signed else 0
    return (low + np.round(wave.clip(0, 1) * ((1 << bits) - 1))).astype("i4")


def encode(planes, *, bits=8, signed=False, offset=(0, 0), tile=None, tile_offset=(0, 0), distances=None, order="LRCP",
           levels=3, layers=1, irreversible=False, mct=0, precincts=(), sop=False, eph=False, mode=0, roi=None,
           plt=False, tlm=False, parts=None, block=32):  # fmt: skip
    """Encode planes (rows, columns) of int32 with OpenJPEG; returns the raw codestream."""
    with lend_glymur():
        from glymur.lib import openjp2 as o

        return _encode(o, planes, locals())


def _encode(o, planes, given):
    bits, signed, offset, tile, tile_offset, distances, order, levels, layers, irreversible = (given[k] for k in ("bits", "signed", "offset", "tile", "tile_offset", "distances", "order", "levels", "layers", "irreversible"))  # fmt: skip
    mct, precincts, sop, eph, mode, roi, plt, tlm, parts, block = (given[k] for k in ("mct", "precincts", "sop", "eph", "mode", "roi", "plt", "tlm", "parts", "block"))  # fmt: skip
    c = o.set_default_encoder_parameters()
    c.cod_format, c.codec_fmt = 0, 0
    c.prog_order, c.numresolution, c.tcp_numlayers, c.cp_disto_alloc = ORDERS.index(order), levels + 1, layers, 1
    for i in range(layers):
        c.tcp_rates[i] = 0 if i == layers - 1 else 2.0 ** (layers - i + 1)
    c.irreversible, c.tcp_mct, c.mode = int(irreversible), mct, mode
    c.cblockw_init = c.cblockh_init = block
    c.csty = 2 * sop + 4 * eph + bool(precincts)
    c.res_spec = len(precincts)
    for i, (w, h) in enumerate(precincts):
        c.prcw_init[i], c.prch_init[i] = w, h
    if tile:
        c.tile_size_on, c.cp_tdx, c.cp_tdy = 1, tile[0], tile[1]
        c.cp_tx0, c.cp_ty0 = tile_offset
    if roi:
        c.roi_compno, c.roi_shift = roi
    if parts:
        c.tp_on, c.tp_flag = 1, ord(parts)
    distances = distances or [(1, 1)] * len(planes)
    kinds = (o.ImageComptParmType * len(planes))()
    for kind, plane, (dx, dy) in zip(kinds, planes, distances, strict=True):
        kind.dx, kind.dy, kind.w, kind.h = dx, dy, plane.shape[1], plane.shape[0]
        kind.x0, kind.y0, kind.prec, kind.bpp, kind.sgnd = *offset, bits, bits, int(signed)
    image = o.image_create(kinds, 1 if mct else 2)
    top = image.contents
    top.x0, top.y0 = offset
    first, (dx, dy) = planes[0], distances[0]
    top.x1, top.y1 = offset[0] + (first.shape[1] - 1) * dx + 1, offset[1] + (first.shape[0] - 1) * dy + 1
    for i, plane in enumerate(planes):
        data = np.ascontiguousarray(plane, "i4")
        ctypes.memmove(top.comps[i].data, data.ctypes.data, data.nbytes)
    handle, path = tempfile.mkstemp(suffix=".j2k")
    os.close(handle)
    codec = o.create_compress(0)
    try:
        o.setup_encoder(codec, c, image)
        if plt:
            o.encoder_set_extra_options(codec, plt=True)
        if tlm:
            o.encoder_set_extra_options(codec, tlm=True)
        stream = o.stream_create_default_file_stream(path, False)
        try:
            o.start_compress(codec, image, stream)
            o.encode(codec, stream)
            o.end_compress(codec, stream)
        finally:
            o.stream_destroy(stream)
        with open(path, "rb") as file:
            return file.read()
    finally:
        o.destroy_codec(codec)
        o.image_destroy(image)
        os.unlink(path)


def decode(data, reduce=0):
    """Planes of a full decode of the whole codestream by OpenJPEG: the oracle."""
    structure = open_file(locate(data)).structure
    shapes = {c: structure.group_shape(g, reduce)[1:] for g in structure.groups for c in g.components}
    code = data[structure.start : structure.stop]
    with openjpeg.decode_codestream(code, shapes.__getitem__, len(shapes), reduce=reduce) as planes:
        return [p.copy() for p in planes]


def jp2(code, *boxes, header=b"", bits=8, count=1, size=(1, 1)):
    """Wrap a codestream: signature, file type, header, other boxes, codestream."""

    def box(kind, body):
        return struct.pack(">I4s", 8 + len(body), kind) + body

    ihdr = box(b"ihdr", struct.pack(">IIHBBBB", *size, count, bits - 1, 7, 0, 0))
    colr = box(b"colr", b"\1\0\0" + struct.pack(">I", 17 if count < 3 else 16))
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + box(b"jp2h", ihdr + colr + header) + b"".join(box(*b) for b in boxes) + box(b"jp2c", code)


def reorder(data, volumes, *, in_tile=False):
    """Put the packets of a codestream of one tile-part in another order, with a POC marker in the main or tile header (A.6.6)."""
    file = open_file(locate(data))
    header, parts = file.header, file.parts.get()
    start, stop = int(parts.starts[0]), int(parts.stops[0])
    first = data.index(b"\xff\x93", start) + 2
    old = order_packets(header, header.size.tile_bounds(0))
    walk = PacketWalk(tabulate_walk(old))
    assert walk.walk_bytes(data[first:stop], 0) == (len(old), 0, stop - first)
    ends = first + np.cumsum(walk.sizes)
    found = {
        (int(p), int(n)): data[e - s : e] for p, n, e, s in zip(old.which, old.layers, ends, walk.sizes, strict=True)
    }
    new = order_packets(replace(header, progressions=volumes), header.size.tile_bounds(0))
    assert len(new) == len(old)
    fields = [
        (v.first_resolution, v.first_component, v.layers, v.last_resolution, v.last_component, ORDERS.index(v.order))
        for v in volumes
    ]
    poc = struct.pack(">HH", 0xFF5F, 2 + 7 * len(volumes)) + b"".join(struct.pack(">BBHBBB", *f) for f in fields)
    body = b"".join(found[int(p), int(n)] for p, n in zip(new.which, new.layers, strict=True))
    part = (poc if in_tile else b"") + b"\xff\x93" + body
    head = data[: header.length] + (b"" if in_tile else poc)
    return head + struct.pack(">HHHIBB", 0xFF90, 10, 0, 12 + len(part), 0, 1) + part + b"\xff\xd9"


def repack(data, *, into):
    """Move the packet headers of a raw codestream into PPM (main header) or PPT (tile-parts), B.10 and A.7.4, A.7.5."""
    file = open_file(locate(data))
    header, parts = file.header, file.parts.get()
    at = header.length
    chunks, bodies = [], []
    for i in np.argsort(parts.serials):
        start, stop = int(parts.starts[i]), int(parts.stops[i])
        tile = struct.unpack(">H", data[start + 4 : start + 6])[0]
        first = data.index(b"\xff\x93", start) + 2
        packets = order_packets(header, header.size.tile_bounds(tile))
        walk = PacketWalk(tabulate_walk(packets))
        assert walk.walk_bytes(data[first:stop], 0) == (len(packets), 0, stop - first)
        heads, rest, place = b"", b"", first
        for size, body in zip(walk.sizes.tolist(), walk.bodies.tolist(), strict=True):
            heads += data[place : place + size - body]
            rest += data[place + size - body : place + size]
            place += size
        chunks.append(heads)
        bodies.append((tile, rest))
    out = data[:at]
    if into == "PPM":
        body = b"".join(struct.pack(">I", len(c)) + c for c in chunks)
        step = 300  # several segments, cut anywhere
        for i, k in enumerate(range(0, len(body), step)):
            piece = body[k : k + step]
            out += struct.pack(">HHB", 0xFF60, 3 + len(piece), i) + piece
    for (tile, rest), heads in zip(bodies, chunks, strict=True):
        ppt = struct.pack(">HHB", 0xFF61, 3 + len(heads), 0) + heads if into == "PPT" else b""
        part = ppt + b"\xff\x93" + rest
        out += struct.pack(">HHHIBB", 0xFF90, 10, tile, 12 + len(part), 0, 1) + part
    return out + b"\xff\xd9"
