"""Which module uses which, by their `use` lists and the paths in the code, and where that goes in a circle."""

import pathlib
from collections.abc import Iterable, Mapping

from size.rust import Source

Name = tuple[str, ...]


def name_of(path: pathlib.Path, root: pathlib.Path) -> Name:
    """`src/domain/plan.rs` is `domain::plan`; `lib.rs` and `mod.rs` are their folder."""
    parts = path.relative_to(root).with_suffix("").parts
    return parts[:-1] if parts[-1] in ("lib", "mod") else parts


def uses(sources: Iterable[Source], root: pathlib.Path) -> dict[Name, set[Name]]:
    """For each module those that it uses. A path counts for the deepest module in it. The crate's root uses nobody."""
    by_name = {name_of(source.path, root): source for source in sources}
    return {
        name: {found for path in source.uses if (found := _module(path, name, by_name)) and found != name}
        for name, source in by_name.items()
        if name
    }


def _module(path: str, within: Name, known: Mapping[Name, Source]) -> Name | None:
    parts = path.split("::")
    if parts[0] == "crate":
        place: Name = ()
    elif parts[0] in ("self", "super"):
        place = within if parts[0] == "self" else within[:-1]
    elif (*within, parts[0]) in known:
        place, parts = within, ["self", *parts]
    else:
        return None  # Another crate.
    for part in parts[1:]:
        if part == "super":
            place = place[:-1]
        elif (*place, part) in known:
            place = (*place, part)
        else:
            break
    return place or None


def circles(graph: Mapping[Name, set[Name]]) -> list[list[Name]]:
    """The sets of modules that reach each other, largest first (Tarjan)."""
    index: dict[Name, int] = {}
    low: dict[Name, int] = {}
    stack: list[Name] = []
    found: list[list[Name]] = []

    def visit(name: Name) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph.get(name, ())):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return sorted(found, key=lambda circle: (-len(circle), circle))
