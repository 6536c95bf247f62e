"""Shows that the names in `table.tsv` are all that changed since a revision in what others read: snapshots of the
command line, JSON schemas without their descriptions, sample messages and sample policies.

Each such file of the revision, with the table applied, must equal the file of the tree byte for byte; of schemas,
whose descriptions are the code's comments, the JSON without them.

    python3 tools renames REVISION
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = pathlib.Path(__file__).with_name("table.tsv")
SHOWN = ("*.snap", "schemas/*.json", "policy.schema.json", "events/*.json", "tests/policies/*")


def main() -> None:
    """Compares, and fails where a file differs by more than the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("revision", help="the commit before the names changed")
    revision = parser.parse_args().revision
    table = read(TABLE.read_text())
    paths = _git("ls-tree", "-r", "--name-only", revision, "--").splitlines()
    paths = [path for path in paths if any(pathlib.PurePosixPath(path).match(shown) for shown in SHOWN)]
    changed, differ = 0, []
    for path in paths:
        before, now = _git("show", f"{revision}:{path}"), (ROOT / path).read_text()
        changed += before != now
        schema = path.endswith(".schema.json")
        renamed = rename(before, table, in_lists=schema)
        same = same_schema(renamed, now) if schema else renamed == now
        if not same:
            differ.append(path)
    print(f"{len(paths)} files, {changed} changed, {len(differ)} differ by more than the table's {len(table)} names")
    if differ:
        sys.exit("\n".join(differ))


def read(text: str) -> list[tuple[str, str]]:
    """The pairs of a table: one a line, by a tab; `#` begins a comment."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return [(before, after) for before, after in lines]


def rename(text: str, table: list[tuple[str, str]], in_lists: bool) -> str:
    """The text with each name of the table replaced, as a whole word. A quoted one is replaced as the name of a member,
    also where the document is a string in another one, and `in_lists`, as a schema has names and values.
    """
    behind = r"\s*[:,\]]?" if in_lists else r"\s*:"
    for before, after in table:
        if before.startswith('"'):
            name, to = before.strip('"'), after.strip('"')
            text = re.sub(rf'(\\?"){re.escape(name)}(\\?"{behind})', rf"\g<1>{to}\g<2>", text)
        else:
            text = re.sub(rf"(?<![\w-]){re.escape(before)}(?![\w-])", after, text)
    return text


def same_schema(one: str, other: str) -> bool:
    """Whether two JSON schemas differ in descriptions, and the order of lists of names, at most."""
    return bool(_plain(json.loads(one)) == _plain(json.loads(other)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items() if name != "description"}
    if isinstance(value, list):
        return sorted((_plain(member) for member in value), key=json.dumps)
    return value


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
