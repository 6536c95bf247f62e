"""Measures the function against what users would take instead, and against what any Rust function costs. Prints one
table (Markdown).

    tools bench [--quick] [--only PART]... [--json FILE] --bootstrap FILE --cli FILE --floor FILE    (see `make bench`)
    tools bench [--quick] [--only PART]... [--json FILE] --bootstrap FILE --before FILE    (`make bench BEFORE=FILE`)

Parts: size, policy (a thousand rules, by criterion), start, created, waiting, audit, organization, impact. The
contestants, all run in turn (A B C D, A B C D ..) by AWS's Lambda emulator (tools rie):

    streamseal   the release build of this package, with the defaults of template.yaml
    floor        tools/bench/peers/floor: an empty handler on the same runtime crate with the same profile
    boto3        tools/bench/peers/handler.py on AWS's runtime client for Python
    custodian    Cloud Custodian's own Lambda entry with its `encrypt` action (event mode); for the audit
                 `custodian run` (pull mode)

With --before the contestants are another build of the function and this one: what a change costs, size and start.

Between them and the emulators (tools parts) stands the fault layer (tools fault): it counts every call, holds streams
in CREATING for as long as is asked for, limits rates, and serves ListStreams' NextToken, which Custodian needs and
the emulator has not.

Each figure is the median, with the least and the most in brackets, and how many times the first contestant's it is.
Where the cgroup of processors is writable, the start is measured with the share of one processor too that Lambda
gives a function of 128, 256 and 512 MB. Whatever else runs on the machine is in the figures: the load is printed with
them.

--quick is for developers: fewer rounds, short waits, a tenth of the streams; its figures say that the bench works and
not much more.
"""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import time

from bench.parts import audits, created, impacts, organization, policy, sizes, start, waiting
from bench.table import say
from bench.world import World
from emulators.procs import Failed

PARTS = {
    "size": sizes.measure,
    "policy": policy.measure,
    "start": start.measure,
    "created": created.measure,
    "waiting": waiting.measure,
    "audit": audits.measure,
    "organization": organization.measure,
    "impact": impacts.measure,
}


def machine() -> str:
    """What the figures were measured on."""
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    found = re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    memory = int(found[1]) / 2**20 if found else 0
    processors = f"{os.cpu_count()} processors ({model[1] if model else platform.machine()})"
    return f"{processors}, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"


def main() -> None:
    """Measures what the arguments ask for."""
    parser = argparse.ArgumentParser(
        prog="tools bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=list(PARTS), metavar="PART")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the samples there")
    for name in ("bootstrap", "cli", "floor", "before"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=name == "bootstrap", metavar="FILE")
    args = parser.parse_args()
    needed = [args.bootstrap, args.before] if args.before else [args.bootstrap, args.cli, args.floor]
    if None in needed:
        parser.error("--cli and --floor are needed, or --before")
    for program in needed:
        if not os.access(program, os.X_OK):
            raise Failed(f"{program} is not a program")
    before = os.getloadavg()[0]
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        world = World(args, stack)
        for part in args.only or (["size", "start"] if args.before else PARTS):
            say(f"--- {part}")
            PARTS[part](world)
    minutes = (time.monotonic() - began) / 60
    load = f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    print(f"{machine()}; {load}; {minutes:.0f} min{'; a quick run' if args.quick else ''}\n")
    for line in world.table.markdown():
        print(line)
    if args.json:
        found = {"machine": machine(), "quick": args.quick, "rows": world.table.rows}
        args.json.write_text(json.dumps(found, indent=1))
