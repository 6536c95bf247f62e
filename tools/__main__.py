"""Starts one of the tools: `python3 tools NAME [ARGUMENT..]`; `python3 tools NAME --help` says what it does.

`make` has short names for those that people need. Everything here is for development; nothing of it is deployed.
"""

import importlib
import os
import sys

# Each module has a `main`. The first word is what a tool is called, everywhere.
TOOLS = {
    "accept": "accept.main",
    "bench": "bench.main",
    "config": "emulators.config",
    "browser": "report.browser",
    "cost": "bench.cost",
    "demo": "demo.main",
    "expand": "release.expand",
    "fault": "emulators.fault.main",
    "package": "release.package",
    "parts": "emulators.parts",
    "renames": "renames.main",
    "report-screenshot": "report.screenshot",
    "rie": "emulators.rie",
    "sbom": "release.sbom",
    "size": "size.main",
    "soak": "soak.main",
    "stack-test": "stack_test.main",
}


def main() -> None:
    """Runs the tool that the first argument names."""
    sys.dont_write_bytecode = True  # Nothing is written into the tree.
    from emulators.procs import run

    if len(sys.argv) < 2 or sys.argv[1] not in TOOLS:
        print(f"usage: python3 tools {{{','.join(TOOLS)}}} ..", file=sys.stderr)
        sys.exit(2)
    name = sys.argv.pop(1)
    sys.argv[0] = f"tools {name}"
    try:
        run(importlib.import_module(TOOLS[name]).main)
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr, flush=True)
        os._exit(130)  # Closes the standard input of every tool that was started, which ends it.


if __name__ == "__main__":
    main()
