"""Reads Rust source, as far as counting needs it: no comments, no strings, no tests; functions, public types, what is
used.

It expects code that `rustfmt` has been over, and it is no compiler: what a macro makes is not seen.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Iterator

_TOKEN = re.compile(
    r"""(?P<line>//[^\n]*)
      | (?P<block>/\*)
      | (?P<raw>\b(?:br|r|cr)(?P<hashes>\#*)")
      | (?P<string>(?:\b[bc])?"(?:\\.|[^"\\])*")
      | (?P<char>(?:\bb)?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.)|[^\\'])')
    """,
    re.VERBOSE | re.DOTALL,
)
_FUNCTION = re.compile(r"\bfn\s+(?P<name>\w+)")
_PUBLIC_TYPE = re.compile(r"^[ ]*pub (?:struct|enum|trait|union|type) (\w+)", re.MULTILINE)
_USE = re.compile(r"^[ ]*(?:pub(?:\([^)]*\))? )?use (?P<tree>[^;]+);", re.MULTILINE)
_PATH = re.compile(r"(?<![\w:])\w+(?:::\w+)+")
_TEST_ITEM = re.compile(r"^[ ]*#\[cfg\(test\)\]\n", re.MULTILINE)
_TEST_MODULE = re.compile(r"^[ ]*#\[cfg\(test\)\]\n[ ]*mod (\w+);", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Function:
    """A function and how many lines it has, from its name to its end."""

    name: str
    line: int
    lines: int


@dataclasses.dataclass
class Source:
    """One file, without its tests. `text` has its comments and the insides of its strings blanked. `test_modules` are
    the modules that only tests have and that are files of their own.
    """

    path: pathlib.Path
    text: str
    all_lines: int
    code_lines: int
    functions: list[Function]
    public_types: list[str]
    uses: list[str]
    test_modules: list[str]


def read(root: pathlib.Path) -> list[Source]:
    """Reads every file of a folder, but those that only tests have."""
    return without_test_files(parse(path, path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.rs")))


def without_test_files(sources: Iterable[Source]) -> list[Source]:
    """All but the files of modules that only tests have, and what is in such modules."""
    kept = list(sources)
    tests = [_folder(source.path) / name for source in kept for name in source.test_modules]
    return [source for source in kept if not any(source.path.with_suffix("").is_relative_to(test) for test in tests)]


def _folder(path: pathlib.Path) -> pathlib.Path:
    """Where the modules of a file are."""
    return path.parent if path.stem in ("lib", "main", "mod") else path.with_suffix("")


def parse(path: pathlib.Path, original: str) -> Source:
    """What is in the text of one file."""
    text = blank(original)
    kept = without_tests(text)
    lines = original.splitlines()
    dropped = sum(end - start for start, end in _test_lines(text))
    return Source(
        path=path,
        text=kept,
        all_lines=len(lines) - dropped,
        code_lines=sum(1 for line in kept.splitlines() if line.strip()),
        functions=list(functions(kept)),
        public_types=_PUBLIC_TYPE.findall(kept),
        uses=[one for match in _USE.finditer(kept) for one in expand(match["tree"])]
        + _PATH.findall(_USE.sub("", kept)),
        test_modules=_TEST_MODULE.findall(text),
    )


def blank(text: str) -> str:
    """The text with comments gone and strings emptied; every line stays where it is."""
    out: list[str] = []
    at = 0
    while match := _TOKEN.search(text, at):
        out.append(text[at : match.start()])
        start, at = match.start(), match.end()
        if match["block"]:
            at = _end_of_block(text, at)
        elif match["raw"]:
            end = text.find('"' + match["hashes"], at)
            at = len(text) if end < 0 else end + 1 + len(match["hashes"])
        gone = text[start:at]
        # A string stays a token, so that a line that has nothing but one still counts.
        token = "" if match["line"] or match["block"] else '""'
        out.append(token + "\n".join("" if not number or not token else '""' for number in range(gone.count("\n") + 1)))
    return "".join(out) + text[at:]


def _end_of_block(text: str, at: int) -> int:
    depth = 1
    for match in re.compile(r"/\*|\*/").finditer(text, at):
        depth += 1 if match[0] == "/*" else -1
        if not depth:
            return match.end()
    return len(text)


def _test_lines(text: str) -> Iterator[tuple[int, int]]:
    """First and last line (excluded) of everything behind `#[cfg(test)]`."""
    at = 0
    while match := _TEST_ITEM.search(text, at):
        end = _end_of_item(text, match.end())
        yield text.count("\n", 0, match.start()), text.count("\n", 0, end) + 1
        at = end


def without_tests(text: str) -> str:
    """The text without what only tests have."""
    lines = text.splitlines()
    for start, end in reversed(list(_test_lines(text))):
        lines[start:end] = [""] * (end - start)
    return "\n".join(lines)


def _end_of_item(text: str, at: int) -> int:
    """Where the item that begins at `at` ends: at its `;`, or at the brace that closes its body."""
    depth = 0
    for match in re.compile(r"[{}\[\]();]").finditer(text, at):
        one = match[0]
        if one in "{[(":
            depth += 1
        elif one in "}])":
            depth -= 1
            if not depth and one == "}":
                return match.end()
        elif not depth:
            return match.end()
    return len(text)


def functions(text: str) -> Iterator[Function]:
    """Every function with a body."""
    for match in _FUNCTION.finditer(text):
        end = _end_of_item(text, match.end())
        if text[end - 1 : end] == "}":
            line = text.count("\n", 0, match.start()) + 1
            yield Function(match["name"], line, text.count("\n", 0, end) + 2 - line)


def expand(tree: str) -> Iterator[str]:
    """The paths of a `use` tree: `a::{b, c::{self, D}}` is `a::b`, `a::c`, `a::c::D`."""
    tree = re.sub(r"\s+as\s+\w+", "", re.sub(r"\s+", " ", tree)).strip()
    head, brace, rest = tree.partition("{")
    if not brace:
        yield tree.replace(" ", "").removesuffix("::self")
        return
    depth, start = 0, 0
    inner = rest[: rest.rindex("}")]
    for at, letter in enumerate(inner + ","):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "," and not depth:
            if part := inner[start:at].strip():
                yield from expand(head.replace(" ", "") + part)
            start = at + 1
