"""Prints how large the Rust code of `src/` is: lines by area, large files and functions, public types, circles of
modules.

Lines are counted without tests; lines of code without blank lines and comments too. It reads only, and takes a
second.

    make size
"""

import collections
import pathlib

from size.modules import Name, circles, uses
from size.rust import Function, Source, read

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE_MAX, FUNCTION_MAX, SHOWN = 400, 60, 10
# What the function needs of the command line's: nothing.
CLI = ("cli", "bin/streamseal.rs")


def main() -> None:
    """Prints the numbers."""
    root = ROOT / "src"
    print("\n".join(report(read(root), root)))


def report(sources: list[Source], root: pathlib.Path) -> list[str]:
    """The lines that `main` prints."""
    graph = uses(sources, root)
    rings = circles(graph)
    large = [source for source in _largest(sources) if source.code_lines > FILE_MAX]
    every = sorted(((one, source) for source in sources for one in source.functions), key=lambda pair: -pair[0].lines)
    long = [pair for pair in every if pair[0].lines > FUNCTION_MAX]
    types = sum(len(source.public_types) for source in sources)
    return [
        *_areas(sources, root),
        "",
        f"files over {FILE_MAX} lines of code: {len(large)} of {len(sources)}",
        *(f"  {source.code_lines:>6}  {_shown(source.path)}" for source in large),
        f"functions over {FUNCTION_MAX} lines: {len(long)} of {len(every)}",
        f"longest functions ({SHOWN}):",
        *(_function(*pair) for pair in every[:SHOWN]),
        f"public types: {types}",
        f"circles of modules: {len(rings)}, with {sum(map(len, rings))} of {len(graph)} modules in them",
        *(f"  {len(ring):>6}  {', '.join(map(_name, ring))}" for ring in rings),
    ]


def _areas(sources: list[Source], root: pathlib.Path) -> list[str]:
    areas: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0, 0])
    for source in sources:
        inside = source.path.relative_to(root)
        area = inside.parts[0] + "/" if len(inside.parts) > 1 else "(top)"
        whose = (
            "of the command line alone"
            if inside.as_posix().startswith(CLI)
            else "of the function (all but the command line)"
        )
        for name in (area, whose, "in all"):
            for at, number in enumerate((1, source.all_lines, source.code_lines)):
                areas[name][at] += number
    rows = sorted((name, numbers) for name, numbers in areas.items() if name.endswith("/") or name == "(top)")
    rows += [
        (name, areas[name])
        for name in ("of the function (all but the command line)", "of the command line alone", "in all")
        if name in areas
    ]
    return [
        f"{'area of src/':<44}{'files':>6}{'lines':>8}{'of code':>9}",
        *(f"{name:<44}{numbers[0]:>6}{numbers[1]:>8}{numbers[2]:>9}" for name, numbers in rows),
    ]


def _largest(sources: list[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: -source.code_lines)


def _function(function: Function, source: Source) -> str:
    return f"  {function.lines:>6}  {function.name} ({_shown(source.path)}:{function.line})"


def _shown(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def _name(name: Name) -> str:
    return "::".join(name)
