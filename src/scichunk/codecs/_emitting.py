"""Object code of what numba has compiled, without numba's ways in from Python and C, for :mod:`scichunk.codecs.object_code`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np

from scichunk.codecs._linking import link
from scichunk.codecs.object_code import look_again
from scichunk.codecs.object_files import (
    HAS_OBJECTS,
    IS_LINKED,
    ObjectHead,
    machine_key,
    read_object,
    signatures_of,
    stamp_sources,
    write_object,
)  # fmt: skip
from scichunk.codecs.signatures import parse_type

__all__ = ["emit_kernel", "is_current", "type_of"]

_ARRAY: Final = ("meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides")
_WORDS: Final = {
    "u1": "i8", "?": "i8", "i2": "i16", "u2": "i16", "i4": "i32", "u4": "i32", "i8": "i64", "u8": "i64", "f4": "float", "f8": "double",
}  # fmt: skip
"""LLVM's types for NumPy's."""
_ERROR: Final = "{i8*, i32, i8*, i8*, i32}**"
_RESULT_WORDS: Final = 8
_FILL: Final = """
define i8* @memset(i8* %place, i32 %value, i64 %size) noinline {
start:
  %byte = trunc i32 %value to i8
  %one = insertelement <32 x i8> undef, i8 %byte, i32 0
  %many = shufflevector <32 x i8> %one, <32 x i8> undef, <32 x i32> zeroinitializer
  %whole = and i64 %size, -32
  br label %blocks
blocks:
  %i = phi i64 [0, %start], [%next, %block]
  %more = icmp ult i64 %i, %whole
  br i1 %more, label %block, label %bytes
block:
  %at = getelementptr i8, i8* %place, i64 %i
  %wide = bitcast i8* %at to <32 x i8>*
  store <32 x i8> %many, <32 x i8>* %wide, align 1
  %next = add i64 %i, 32
  br label %blocks
bytes:
  %j = phi i64 [%whole, %blocks], [%after, %single]
  %rest = icmp ult i64 %j, %size
  br i1 %rest, label %single, label %end
single:
  %last = getelementptr i8, i8* %place, i64 %j
  store i8 %byte, i8* %last, align 1
  %after = add i64 %j, 1
  br label %bytes
end:
  ret i8* %place
}
"""
"""What LLVM calls to fill memory: nothing outside of the code is called."""
_TEXTS: Final = re.compile('c"[^"]*"')
_EXCEPTION: Final = ".const.picklebuf"
_COMPILER: Final = f"numba {numba.__version__}, llvmlite {llvmlite.__version__}"
_FILLS: Final = "@llvm.memset."
_FILLER: Final = "memset"
_INSTRUCTIONS: Final = re.compile(
    r"llvm\.(abs|assume|bitreverse|bswap|ctlz|ctpop|cttz|experimental\.noalias\.scope\.decl|fshl|fshr|lifetime\.(start|end)|masked\.\w+"
    r"|memset|[su](max|min)|[su](add|sub|mul)\.(with\.overflow|sat)|[su]sub\.sat|vector\.\w+(\.\w+)*)\b.*"
)
"""What becomes instructions, or a call of ``memset``: nothing is there to look for other functions."""
_COUNTING: Final = re.compile(r"^(define [^@\n]*@NRT_(?:in|de)cref\([^\n]*\{)\n.*?^\}", re.MULTILINE | re.DOTALL)
"""Functions of numba that count who holds an array: arrays have no owner here, so there is nothing to count."""


def type_of(letters: str) -> Any:
    """Numba's type for letters of :mod:`scichunk.codecs.signatures`."""
    found = parse_type(letters)
    kind = numba.from_dtype(np.dtype(found.dtype))
    return (
        numba.types.Array(kind, found.ndim, "A" if found.apart else "C", readonly=found.readonly)
        if found.ndim
        else kind
    )


def _same_type(letters: str, found: Any) -> bool:
    """Whether a function for one type does for the other: it may write where it need not."""
    wanted = type_of(letters)
    if not isinstance(wanted, numba.types.Array):
        return bool(wanted == found)
    alike = isinstance(found, numba.types.Array) and (found.dtype, found.ndim, found.layout) == (
        wanted.dtype, wanted.ndim, wanted.layout,
    )  # fmt: skip
    return alike and found.aligned and (found.mutable or not wanted.mutable)


def _listed_arguments(module: str, kernel: str, found: tuple[Any, ...]) -> str | None:
    """The arguments for which a kernel is wanted as object code, if these are they."""
    for text in signatures_of(module, kernel):
        letters = text.split()
        if len(letters) == len(found) and all(map(_same_type, letters, found)):
            return text
    return None


def _names(function: Any) -> tuple[str, str]:
    return function.__module__.removeprefix("scichunk.codecs."), function.__name__


def is_current(function: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether there is object code, or none is wanted, of a Python function for some argument types."""
    listed = _listed_arguments(*_names(function), arguments)
    if listed is None or not HAS_OBJECTS or not stamp_sources():
        return True
    found = read_object(*_names(function), listed)
    return found is not None and found[0].compiler == _COMPILER


def emit_kernel(function: Any, compiled: Any) -> None:
    """Keep object code of a function that numba has compiled, if it is among those that are wanted.

    Parameters
    ----------
    function
        The Python function.
    compiled
        Numba's result.
    """
    module, name = _names(function)
    arguments = _listed_arguments(module, name, compiled.signature.args)
    if arguments is None or not HAS_OBJECTS or not stamp_sources():
        return
    symbol, code, returns, reason, start = f"scichunk.{module}.{name}.{arguments}".replace(" ", "."), b"", "", "", 0
    try:
        returns, types = _check_convention(compiled, arguments)
        code = _emit(compiled, _entry(symbol, compiled.fndesc.llvm_func_name, types), symbol)
        if IS_LINKED:
            code, start = link(code, symbol)
    except Exception as error:  # noqa: BLE001  # numba and LLVM change; the kernel itself is there, and numba's cache keeps it
        code, reason = b"", f"{type(error).__name__}: {error}"
    head = ObjectHead(symbol, arguments, returns, stamp_sources(), _COMPILER, machine_key(), IS_LINKED, start, reason)
    write_object(module, name, head, code)
    look_again(module)


def _check_convention(compiled: Any, arguments: str) -> tuple[str, list[str]]:
    """Letters of what a function returns, and the types of its arguments for LLVM.

    Raises NotImplementedError if numba hands over arguments in another way than is done without it.
    """
    from numba.core.datamodel.registry import default_manager

    result = compiled.signature.return_type
    single = [] if result == numba.none else [result]
    returned = list(getattr(result, "types", single))  # a tuple has those of its values
    returns = "".join({numba.int64: "i", numba.boolean: "L"}[kind] for kind in returned)
    if len(returns) > _RESULT_WORDS:
        msg = f"it returns {len(returns)} values"
        raise NotImplementedError(msg)
    words = ["i64" if letter == "i" else "i8" for letter in returns]
    if not words:
        first = "i8**"
    elif len(words) == 1:
        first = f"{words[0]}*"
    else:
        first = f"[{len(words)} x i64]*" if set(words) == {"i64"} else f"{{{', '.join(words)}}}*"
    expected = [first, _ERROR]
    for letters in arguments.split():
        kind = parse_type(letters)
        word = _WORDS[kind.dtype]
        if not kind.ndim:
            expected.append(word)
            continue
        fields = tuple(getattr(default_manager.lookup(type_of(letters)), "_fields", ()))
        if fields != _ARRAY:
            msg = f"numba's arrays have the fields {fields}"
            raise NotImplementedError(msg)
        expected += ["i8*", "i8*", "i64", "i64", f"{word}*", *["i64"] * (2 * kind.ndim)]
    convention = compiled.target_context.call_conv.get_function_type(result, compiled.signature.args)
    if str(convention) != f"i32 ({', '.join(expected)})":
        msg = f"numba calls it as {convention}"
        raise NotImplementedError(msg)
    return returns, expected


def _entry(symbol: str, function: str, types: list[str]) -> str:
    """Write a function in LLVM's language that takes a block of words (see ``object_code.py``) and calls numba's."""
    result, error, *rest = types
    lines = [
        f"%result = bitcast i64* %block to {result}",
        f"%told = getelementptr i64, i64* %block, i64 {_RESULT_WORDS}",
    ]
    lines += [f"%error = bitcast i64* %told to {error}"]
    for i, kind in enumerate(rest):
        lines += [f"%at{i} = getelementptr i64, i64* %block, i64 {_RESULT_WORDS + 1 + i}"]
        lines += [f"%of{i} = bitcast i64* %at{i} to {kind}*", f"%v{i} = load {kind}, {kind}* %of{i}, align 8"]
    given = ", ".join([f"{result} %result", f"{error} %error", *(f"{kind} %v{i}" for i, kind in enumerate(rest))])
    lines += [f'%status = call i32 @"{function}"({given})', "ret i32 %status"]
    declared = f'declare i32 @"{function}"({", ".join(types)})'
    return f'{declared}\ndefine i32 @"{symbol}"(i64* %block) {{\n' + "\n".join(lines) + "\n}\n"


def _emit(compiled: Any, entry: str, symbol: str) -> bytes:
    """Object code of a function, of the one that it calls, and of all that that one calls."""
    library = compiled.library
    if library.has_dynamic_globals or compiled.lifted:
        msg = "it has addresses of this process"
        raise NotImplementedError(msg)
    triple, processor, features = library.codegen.magic_tuple()  # what numba compiles for
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=processor, features=features, opt=3, reloc="pic", codemodel="small"
    )
    optimised = str(library._final_module)  # noqa: SLF001
    module = llvm.parse_assembly(_COUNTING.sub(r"\1\n  ret void\n}", optimised))
    module.link_in(llvm.parse_assembly(entry + _FILL * (_FILLS in optimised)))
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name not in {symbol, _FILLER}:
            value.linkage = "internal"
    _drop_unused(module, machine)
    missing = {
        value.name
        for value in (*module.functions, *module.global_variables)
        if value.is_declaration and not _INSTRUCTIONS.fullmatch(value.name)
    }
    missing |= set(_addresses(module))
    if missing:
        msg = f"it calls {', '.join(sorted(missing))}"
        raise NotImplementedError(msg)
    return bytes(machine.emit_object(module))


def _addresses(module: Any) -> Iterator[str]:
    """Constants that hold addresses, but for descriptions of exceptions, which nobody looks at here."""
    for value in module.global_variables:
        _, _, content = str(value).partition("=")
        if "@" in _TEXTS.sub("", content) and not value.name.startswith(_EXCEPTION):
            yield value.name


def _drop_unused(module: Any, machine: Any) -> None:
    if hasattr(llvm, "create_module_pass_manager"):  # before llvmlite 0.45
        passes = llvm.create_module_pass_manager()
        passes.add_global_dce_pass()
        passes.run(module)
        return
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
