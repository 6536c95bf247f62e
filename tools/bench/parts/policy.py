"""How long a policy of a thousand rules takes, by criterion."""

import json
import os
import pathlib
import subprocess
import sys

from bench.contestants import PEERS
from bench.world import World
from emulators.procs import ROOT


def measure(world: World) -> None:
    """Adds criterion's medians."""
    home = world.folder / "criterion"
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "bench/policy"
    manifest = ["--manifest-path", str(PEERS / "policy/Cargo.toml"), "--target-dir", str(target)]
    argv = [
        "cargo",
        "bench",
        "--locked",
        "--bench",
        "policy",
        *manifest,
        *(["--", "--quick"] if world.args.quick else []),
    ]
    subprocess.run(argv, check=True, stdout=sys.stderr, env={**os.environ, "CRITERION_HOME": str(home)})
    took = {
        file.parts[-3]: json.loads(file.read_text())["median"]["point_estimate"]
        for file in home.glob("*/*/new/estimates.json")
    }
    load = {"streamseal": [took.pop("load") / 1e6]}
    world.table.add("policy", "a thousand rules: load them", "ms", load, "streamseal")
    for what, nanoseconds in sorted(took.items()):
        samples = {"streamseal": [1e9 / nanoseconds]}
        world.table.add("policy", f"a thousand rules: {what}", "a second", samples, "streamseal", 0)
