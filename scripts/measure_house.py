"""How large, how well named and how well explained the code is: the numbers of ``docs/internals.md``, for this tree or another.

Usage: ``python scripts/measure_house.py [FOLDER]``, where FOLDER holds the modules (by default those of the installed package). With
``--walk FILE`` it opens FILE, reads one value, and counts which modules and functions of the package are entered.
"""

import ast
import collections
import io
import re
import statistics
import sys
import threading
import tokenize
from pathlib import Path


def code_lines(function):
    """Lines of a function, with its docstring: as the first review counted."""
    return function.end_lineno - function.lineno + 1


def comment_lines(text):
    """Return how many comments have a line of their own, and how many stand behind code."""
    own = behind = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            own, behind = own + alone, behind + (not alone)
    return own, behind


def positional(function):
    """Return how many positional parameters a function has."""
    given = function.args.posonlyargs + function.args.args
    return len([a for a in given if a.arg not in {"self", "cls"}])


def measure(folder):
    """Return the rows of the table: what is measured, and its value as text."""
    texts = {path: path.read_text("utf-8") for path in sorted(folder.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    sizes = sorted(len(text.splitlines()) for text in texts.values())
    total = sum(sizes)
    functions, wide, classes = [], [], collections.defaultdict(set)
    for path, tree in trees.items():
        kernels = any(word in texts[path] for word in ("_numba import", ".jit import", "codecs.jit"))
        kernels = kernels or path.parent.name == "small"  # what stands for them where files are small
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions.append(node)
                wide += [(positional(node), kernels)] if positional(node) > 5 else []
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name].add(path)
    lengths = sorted(map(code_lines, functions))
    own, behind = map(sum, zip(*map(comment_lines, texts.values()), strict=True))
    described = sum(ast.get_docstring(f) is not None for f in functions)
    typed = sum(f.returns is not None for f in functions)
    silenced = sum(len(re.findall(r"# (?:noqa|type: ignore)", text)) for text in texts.values())
    twice = sorted(name for name, paths in classes.items() if len(paths) > 1)
    outside = sum(not kernels for _, kernels in wide)
    yield "files, lines", f"{len(sizes)}, {total:,}"
    yield "median / largest file", f"{statistics.median(sizes):.0f} / {sizes[-1]}"
    p95 = lengths[int(len(lengths) * 0.95)]
    yield (
        "functions, median / p95 / longest lines",
        f"{len(lengths)}, {statistics.median(lengths):.0f}/{p95}/{lengths[-1]}",
    )
    yield "docstrings / return types", f"{described / len(functions):.0%} / {typed / len(functions):.0%}"
    yield "comment lines", f"{own / total:.1%} ({own} lines; {behind} trailing)"
    yield "mean length of a function's name", f"{statistics.mean(len(f.name) for f in functions):.1f}"
    yield (
        "> 5 positional parameters (most)",
        f"{len(wide)} ({max(wide, default=(0,))[0]}), outside of kernels {outside}",
    )
    yield "type: ignore + noqa per 1000 lines", f"{silenced / total * 1000:.1f}"
    yield "same public class name in two files", f"{len(twice)} ({', '.join(twice)})"


def entered(work):
    """Run something; return how many modules and functions of the package were entered, and the result."""
    seen = set()

    def look(frame, event, _argument):
        code = frame.f_code
        if event == "call" and f"{Path('/scichunk/')}" in code.co_filename and not code.co_name.startswith("<"):
            seen.add((code.co_filename, code.co_qualname))

    sys.setprofile(look)
    threading.setprofile(look)
    try:
        result = work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return f"{len({name for name, _ in seen})} / {len(seen)}", result


def walk(path):
    """Return files and functions entered to open a file and to read one value of it."""
    import scichunk

    suffix = Path(path).suffix
    openers = {".fits": scichunk.read_fits_table, ".vot": scichunk.read_votable, ".jp2": scichunk.from_jpeg2000}
    opened, found = entered(lambda: openers.get(suffix, scichunk.from_geotiff)(path))
    array = found.values if hasattr(found, "columns") else found[(0,) * found.ndim]
    read, _ = entered(lambda: array.compute(scheduler="synchronous"))
    yield f"files / functions entered to open {Path(path).name}, then to read", f"{opened}, {read}"


def main():
    """Print the table as Markdown."""
    if "--walk" in sys.argv:
        rows = walk(sys.argv[-1])
    else:
        import scichunk

        rows = measure(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scichunk.__file__).parent)
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
