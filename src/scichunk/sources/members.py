"""What the directories of zip and tar archives say of their members, and where the bytes of those lie."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from scichunk.sources.base import ByteSource

__all__ = ["Member", "find_data", "inflate", "list_tar", "list_zip"]

_MEMORY: Final = 300
"""What is kept of a member in a directory beside its name, measured."""
_LOCAL: Final = struct.Struct("<4s22xHH")
"""The local file header of a zip archive: its signature and the lengths of the name and of the extra field behind it (APPNOTE 4.3.7)."""
_SIGNATURE: Final = b"PK\x03\x04"
_UNUSUAL: Final = 0x2061
"""Flags of members that are encrypted or hold patched data (APPNOTE 4.4.4)."""
_UTF8: Final = 0x800
_STEP_BYTES: Final = 1 << 20


class Member(NamedTuple):
    """What a directory says of a member."""

    name: bytes
    """As the archive writes it; empty in a tar archive."""
    size: int
    """Of its content."""
    version: str
    """What differs where the content does, as far as the directory knows: the checksum, or the time."""
    how: Literal["plain", "deflated", "seekable", "packed", "folder"]
    """Bytes of the archive as they are, or one stream of DEFLATE; else a library reads it: anywhere, or only from its beginning on."""
    start: int
    """Of the first byte, in a zip archive of the header before it."""
    stop: int
    """Behind the last byte; in a zip archive the first byte of what follows."""
    stored: int
    """Bytes that it takes in the archive."""
    crc: int | None

    def weigh(self) -> int:
        """Return about the memory that it takes."""
        return _MEMORY + 2 * len(self.name)

    def check_sum(self, path: str, found: int) -> None:
        """Raise BadZipFile if the content has another checksum than the directory says."""
        if self.crc is not None and found != self.crc:
            msg = f"Bad CRC-32 for file {path!r}"
            raise zipfile.BadZipFile(msg)


def list_zip(fs: Any, size: int) -> dict[str, Member]:
    """List the members of a zip archive that fsspec has opened; of several of one name the last one counts.

    Parameters
    ----------
    fs
        Its file system.
    size
        Of the archive in bytes.
    """
    infos: Sequence[zipfile.ZipInfo] = fs.zip.infolist()
    starts = sorted(info.header_offset for info in infos)
    starts.append(size)
    found = {}
    for info in infos:
        folder, usual = info.is_dir(), not info.flag_bits & _UNUSUAL
        if info.compress_type == zipfile.ZIP_STORED:
            how = "plain" if usual and info.compress_size == info.file_size else "seekable"
        else:
            how = "deflated" if usual and info.compress_type == zipfile.ZIP_DEFLATED else "packed"
        found[info.filename.rstrip("/")] = Member(
            name=info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437", "replace"),
            size=info.file_size,
            version=str(info.CRC),
            how="folder" if folder else how,  # type: ignore[arg-type]
            start=info.header_offset,
            stop=starts[bisect_right(starts, info.header_offset)] if info.header_offset < size else 0,
            stored=info.compress_size,
            crc=info.CRC,
        )
    return found


def list_tar(fs: Any, *, is_packed: bool) -> dict[str, Member]:
    """List the members of a tar archive that fsspec has opened; of several of one name the last one counts.

    Parameters
    ----------
    fs
        Its file system.
    is_packed
        Whether the archive is compressed as a whole.
    """
    found = {}
    for info in fs.tar.getmembers():
        name = re.sub("/+", "/", info.name.rstrip("/"))
        told = fs.index[name][0]  # of links, fsspec knows the size of what they lead to
        # Sparse members are written in pieces, and links elsewhere.
        plain = not is_packed and info.isreg() and info.sparse is None
        how = "plain" if plain else "packed" if is_packed else "seekable"
        found[name] = Member(
            name=b"",
            size=told["size"],
            version=str(info.mtime),
            how="folder" if info.isdir() else how,  # type: ignore[arg-type]
            start=info.offset_data,
            stop=info.offset_data + info.size,
            stored=info.size,
            crc=None,
        )
    return found


def find_data(content: ByteSource, member: Member) -> tuple[int, int] | None:
    """Return the first byte of a plain or deflated member and the one behind its last, or None if only a library can tell.

    A library refuses what is odd: data beyond the end of the archive or within another member, a header of another name.
    """
    if member.how not in {"plain", "deflated"}:
        return None
    start = member.start
    if start < 0:
        return None
    if member.name:
        stop = min(start + _LOCAL.size + len(member.name), content.fingerprint.size)
        if stop - start < _LOCAL.size:
            return None
        header = bytes(content.read_ranges([start], [stop])[0])
        signature, name_bytes, extra_bytes = _LOCAL.unpack_from(header)
        if signature != _SIGNATURE or header[_LOCAL.size : _LOCAL.size + name_bytes] != member.name:
            return None
        start += _LOCAL.size + name_bytes + extra_bytes
    stop = start + member.stored
    return (start, stop) if stop <= min(member.stop, content.fingerprint.size) else None


def inflate(content: ByteSource, path: str, member: Member, place: tuple[int, int]) -> Iterator[bytes]:
    """Give the content of a deflated member in pieces.

    Raises
    ------
    BadZipFile
        Before its last piece, if it is shorter or has another checksum than the directory says.
    zlib.error
        If it is damaged.
    """
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    left, crc, at, packed = member.size, 0, place[0], b""
    while left and not stream.eof:
        if not packed:
            stop = min(at + _STEP_BYTES, place[1])
            packed, at = bytes(content.read_ranges([at], [stop])[0]), stop
        piece = stream.decompress(packed, min(left, _STEP_BYTES))
        packed = stream.unconsumed_tail
        if piece:
            left, crc = left - len(piece), zlib.crc32(piece, crc)
            if not left:  # before it is given away: nobody asks for what is behind the last piece
                member.check_sum(path, crc)
            yield piece
        elif not packed and at == place[1]:
            break
    if left:
        msg = f"file {path!r} ends {left} bytes early"
        raise zipfile.BadZipFile(msg)
