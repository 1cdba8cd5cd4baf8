"""Zip and tar archives in memory."""

import io
import tarfile
import zipfile


def make_zip(members, way=zipfile.ZIP_STORED):
    """Pack (name, content) pairs."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data, way)
    return out.getvalue()


def make_tar(members, how="w"):
    """Pack (name, content) pairs; ``how`` as of :func:`tarfile.open`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=how) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
