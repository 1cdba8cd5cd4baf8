"""Sizes of memory in the words of users."""

from __future__ import annotations

__all__ = ["parse_size"]


def parse_size(value: int | str, name: str, *, least: int = 1) -> int:
    """Return bytes: a number, or a text such as ``"16 MiB"``.

    Raises
    ------
    ValueError
        If it is less than the least, or no size.
    """
    if isinstance(value, str):
        from dask.utils import parse_bytes

        value = int(parse_bytes(value))
    if value < least:
        msg = f"{name} must be at least {least}, got {value}"
        raise ValueError(msg)
    return value
