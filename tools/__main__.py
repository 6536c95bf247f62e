#!/usr/bin/env -S python3 -B
"""Starts one of the tools: `python3 tools NAME [ARGUMENT..]`; `python3 tools NAME --help` says what it does.

`make` has short names for those that people need. Everything here is for development; nothing of it is deployed.
"""

import importlib
import sys

# Each module has a `main`. The first word is what a tool is called, everywhere.
TOOLS = {
    "size": "size.main",
}


def main() -> None:
    sys.dont_write_bytecode = True  # Nothing is written into the tree.
    if len(sys.argv) < 2 or sys.argv[1] not in TOOLS:
        print(f"usage: python3 tools {{{','.join(TOOLS)}}} ..", file=sys.stderr)
        sys.exit(2)
    name = sys.argv.pop(1)
    sys.argv[0] = f"tools {name}"
    sys.exit(importlib.import_module(TOOLS[name]).main())


if __name__ == "__main__":
    main()
