"""Columns of Parquet files: the types of their values, what these take up, and whether texts are texts."""

from __future__ import annotations

from typing import Any

__all__ = ["decoded_bytes", "first_invalid", "holds_texts", "is_valid", "plain_schema"]


def plain_schema(schema: Any) -> Any:
    """Return the columns of a file with types that have no dictionaries, which are a way to store values."""
    import pyarrow as pa

    return pa.schema([pa.field(f.name, _plain_type(f.type)) for f in schema])


def _plain_type(kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_type(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_plain_type(f.type)) for f in kind])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type)), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_plain_type(kind.value_type)))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type)))
    return kind


def decoded_bytes(column: Any) -> int:
    """Bytes of a column whose values, where they are stored once, stand in each row; nothing is made for it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if _plain_type(kind) == kind:
        return int(column.nbytes)
    if pa.types.is_struct(kind):
        return sum(map(decoded_bytes, column.flatten()))
    if not pa.types.is_dictionary(kind):
        return 8 * len(column) + decoded_bytes(column.flatten())
    lengths = pc.cast(pc.binary_length(column.dictionary), pa.int64())
    return 4 * len(column) + int(pc.sum(lengths.take(column.indices)).as_py() or 0)


def holds_texts(kind: Any) -> bool:
    """Whether a type is that of texts, or has some within."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind)) or any(
        holds_texts(kind.field(i).type) for i in range(kind.num_fields)
    )


def is_valid(array: Any) -> bool:
    """Whether an array holds what its type says, texts in UTF-8 in particular, which nobody looks at before."""
    import pyarrow as pa

    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def first_invalid(array: Any) -> int:
    """Find the first text that is not valid by halving; there is one."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if not is_valid(array.slice(low, middle - low)) else (middle, high)
    return low
