"""Checks of what a format says of its files: names, groups, shapes, and errors where there is nothing of the format."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from scichunk.errors import FormatError, ScichunkError, SourceError
from scichunk.testing.conformance_case import Case, require, require_foreseen, require_same

__all__ = ["check_groups", "check_info", "check_names", "check_other_files", "check_tree", "check_unknown_group"]


def check_info(case: Case) -> None:
    """``scichunk.info`` finds the format by itself and tells size, shapes and types as the datasets have them."""
    import scichunk

    found = scichunk.info(case.file)
    require(
        found.format == case.name, f"info of {case.file} takes it for {found.format!r}; the format is {case.name!r}"
    )
    require(found.size == os.stat(case.file).st_size, f"info of {case.file} says {found.size} bytes")
    require(found.arrays, f"info of {case.file} must list at least one array")
    json.dumps(found.to_dict())
    for array in found.arrays:
        label = f"info of {case.file}, group {array.group}, {array.name}"
        require(array.name in str(found), f"{label}: the text must name it")
        require(len(array.dims) == len(array.shape), f"{label}: {len(array.dims)} dimensions, shape {array.shape}")
        require(
            len(array.native_chunks) == len(array.shape), f"{label}: chunks {array.native_chunks}, shape {array.shape}"
        )
        require(array.reader == "indexed" or array.reader.startswith("reference"), f"{label}: reader {array.reader!r}")
        sizes = dict(case.dataset(array.group).sizes)
        for dim, length in zip(array.dims, array.shape, strict=True):
            require(sizes.get(dim) == length, f"{label}: {dim} has {length}, in the dataset {sizes.get(dim)}")


def check_names(case: Case) -> None:
    """What ``info`` calls a group or an array is what the tree and the datasets call it."""
    import scichunk

    arrays = scichunk.info(case.file).arrays
    informed = {_plain_group(a.group) for a in arrays}
    tree = {_plain_group(path) for path in _filled_nodes(case)}
    require(informed == tree, f"{case.file}: info has the groups {sorted(informed)}, the tree {sorted(tree)}")
    for array in arrays:
        ds = case.dataset(array.group)
        if array.dtype.endswith("columns"):  # a table, whose columns are the variables
            continue
        require(
            array.name in ds.data_vars,
            f"{case.file}, group {array.group}: info has an array {array.name!r}, the dataset {list(ds.data_vars)}",
        )
        variable = ds[array.name]
        require(variable.dims == array.dims, f"{case.file}, {array.name}: info has dimensions {array.dims}")
        require(variable.shape == array.shape, f"{case.file}, {array.name}: info has the shape {array.shape}")


def check_groups(case: Case) -> None:
    """Every group that the format, ``info`` or the tree lists can be opened by that name, with or without a slash before it."""
    import scichunk

    opened = case.opened()
    listed = opened.groups()
    require(len(set(listed)) == len(listed), f"{case.file}: groups are listed twice: {listed}")
    informed = [a.group for a in scichunk.info(case.file).arrays]
    for group in dict.fromkeys([*listed, *informed, *_filled_nodes(case)]):
        ds = _open_group(case, group)
        require(ds.data_vars, f"{case.file}: group {group!r} must hold something")
        if group.strip("/"):
            again = _open_group(case, group.strip("/"))
            require(
                list(again.variables) == list(ds.variables),
                f"{case.file}: {group!r} and {group.strip('/')!r} must be one group",
            )


def check_tree(case: Case) -> None:
    """A node of the tree has the variables, coordinates and values of the group that is opened alone."""
    for path, node in _filled_nodes(case).items():
        alone = _open_group(case, path)
        require(list(alone.data_vars) == list(node.data_vars), f"{case.file}: node {path} has {list(node.data_vars)}")
        require(
            set(alone.coords) == set(node.coords), f"{case.file}: node {path} has coordinates {sorted(node.coords)}"
        )
        for name in alone.variables:
            require_same(node[name].values, alone[name].values, f"{case.file}, node {path}, {name}")


def check_unknown_group(case: Case) -> None:
    """A group that is not there, and a keyword that the format does not know, are refused with the reason."""
    for group in ("/no_such_group", "_", "/ /"):
        try:
            case.dataset(group)
        except FormatError as error:
            require_foreseen(error)
            require(case.file in str(error), f"the error must name the file: {error}")
        else:
            require(False, f"{case.file}: there is no group {group!r}, and opening it must raise a FormatError")
    try:
        case.dataset(None, no_such_keyword=1)
    except TypeError as error:
        require("no_such_keyword" in str(error), f"the error must name the keyword: {error}")
    else:
        require(False, f"{case.file}: a keyword that the format does not know must raise a TypeError")


def check_other_files(case: Case) -> None:
    """A missing file is a SourceError and a FileNotFoundError; an empty one, and one of another format, an error of the tree."""
    with tempfile.TemporaryDirectory() as folder:
        suffix = next(iter(case.format.suffixes), "")
        missing = os.path.join(folder, "missing" + suffix)
        try:
            case.dataset(None, missing)
        except SourceError as error:
            require(
                isinstance(error, FileNotFoundError),
                f"a missing file must be a FileNotFoundError, not {type(error).__name__}",
            )
            require(missing in str(error), f"the error must name the file: {error}")
        else:
            require(False, "a missing file must raise a SourceError")
        for content in (b"", b"\0", b"hello world, this is text\n" * 50, bytes(range(256)) * 16):
            path = os.path.join(folder, f"other{suffix}")
            with open(path, "wb") as file:
                file.write(content)
            try:
                case.dataset(None, path)
            except ScichunkError as error:
                require_foreseen(error)
                require(path in str(error), f"the error must name the file: {error}")
            else:
                require(False, f"{len(content)} bytes that begin with {content[:8]!r} are no file of {case.name}")


def _plain_group(group: str) -> str:
    return "/" + group.strip("/")


def _filled_nodes(case: Case) -> dict[str, Any]:
    """Return the nodes of the tree that hold variables, by path."""
    import xarray as xr

    try:
        tree = xr.open_datatree(case.file, engine=case.name, **case.options)
    except Exception as error:
        msg = f"{case.file}: a sound file must open as a tree of all its groups: {type(error).__name__}: {error}"
        raise AssertionError(msg) from error
    return {node.path: node.to_dataset(inherit=False) for node in tree.subtree if node.data_vars}


def _open_group(case: Case, group: str) -> Any:
    """Open a group that is listed."""
    try:
        return case.dataset(group)
    except ScichunkError as error:
        msg = f"{case.file}: group {group!r} is listed and must be opened by that name: {error}"
        raise AssertionError(msg) from error
