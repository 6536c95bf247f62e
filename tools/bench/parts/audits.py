"""An audit of many streams, as fast as it goes and at AWS's limits."""

import collections
import json
import pathlib
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping

from bench.contestants import ALIAS, peak_mb
from bench.table import say
from bench.world import World
from emulators.procs import Failed

Measured = dict[str, dict[str, list[float]]]


def measure(world: World) -> None:
    """Adds the rows of audits."""
    old = [{"stream": "audit-*", "by_s": 86_400}]
    world.configure(aged=old)
    names = fleet(world)

    def add(what: str, unit: str, samples: Mapping[str, list[float]], digits: int = 1) -> None:
        words = f"audit of {len(names):,} streams: {what}"
        world.table.add("audit", words, unit, dict(samples), "streamseal", digits)

    measured: Measured = collections.defaultdict(lambda: collections.defaultdict(list))
    for _ in range(world.shape.audits):
        for name, argv in (("streamseal", audit(world, 1000)), ("custodian", pull(world))):
            world.control("POST", "reset")
            run(world, measured, name, argv, len(names))
    add("time", "s", measured["seconds"])
    add("the program's own processor time (the emulators' is not in it)", "s", measured["processor"], 2)
    add("calls", "calls", measured["calls"], 0)
    add("peak memory", "MB", measured["memory"])
    # At the published limits: 20 DescribeStreamSummary and 10 DescribeStream a second.
    world.configure(aged=old, limits={"kinesis:DescribeStreamSummary": 20, "kinesis:DescribeStream": 10})
    limited: Measured = collections.defaultdict(lambda: collections.defaultdict(list))
    for name, argv in (("streamseal", audit(world, 20)), ("custodian", pull(world))):
        world.control("POST", "reset")
        run(world, limited, name, argv, len(names))
    add("time at AWS's limits", "s", limited["seconds"])
    add("share of the limit used", "%", limited["share"])
    add("throttles met", "calls", limited["throttles"], 0)


def fleet(world: World) -> list[str]:
    """As many streams as are audited, every second one encrypted."""
    say(f"creating {world.shape.streams} streams ...")
    for number in range(world.shape.streams - len(listed(world))):
        name = world.stream("audit")
        if number % 5 == 4:  # As on AWS, five may be CREATING at once.
            world.active(name)
    names = listed(world)
    for name in names[::2]:
        if world.active(name)["EncryptionType"] != "KMS":
            world.aws("kinesis", "StartStreamEncryption", StreamName=name, EncryptionType="KMS", KeyId=world.key)
    for name in names:
        world.active(name)
    return names


def listed(world: World) -> list[str]:
    """The names of all streams."""
    found: list[str] = []
    more = True
    while more:
        after = {"ExclusiveStartStreamName": found[-1]} if found else {}
        page = world.aws("kinesis", "ListStreams", **after)
        found += page["StreamNames"]
        more = bool(page.get("HasMoreStreams") and page["StreamNames"])
    return found


def audit(world: World, rate: int) -> list[object]:
    """Our command."""
    policy = world.folder / "policy.yaml"
    policy.write_text(f"version: 1\ndefaults: {{existing: enforce}}\nrules:\n  - {{name: all, key: {ALIAS}}}\n")
    where = ["--account", world.aws.account, "--region", world.aws.region]
    output = ["--rate", rate, "--output", world.folder / "audit.json"]
    return [world.args.cli.resolve(), "audit", "--policy", policy, *where, *output]


def pull(world: World) -> list[object]:
    """Custodian's command."""
    policy = world.folder / "custodian.json"
    policy.write_text(json.dumps({"policies": [world.make.custodian_policy()]}))
    out = world.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    run = [world.python, "-m", "c7n.cli", "run", "-s", out]
    return [*run, "--region", world.aws.region, "--cache-period", 0, policy]


def run(world: World, into: Measured, name: str, argv: list[object], count: int) -> None:
    """Runs a command, and adds its figures."""
    log = world.folder / f"audit-{name}.log"
    seconds, processor, peak = run_one(world.base(), name, argv, log)
    counters = world.control("GET", "counters")
    describes = {n: c for n, c in counters.items() if n.startswith("kinesis:DescribeStream")}
    limits = [c["injected"].get("limit", 0) for c in describes.values()]
    observed = sum(c["calls"] for c in describes.values()) - sum(limits)
    if observed != count:
        raise Failed(f"{name} described {observed} of {count} streams: {counters} {log.read_text()[-2000:]}")
    calls = world.control("GET", "calls?call=kinesis:DescribeStream*")
    applied = [c["at"] for c in calls if "limit" not in c["injected"]]
    limit = 20 if "kinesis:DescribeStreamSummary" in describes else 10
    into["seconds"][name].append(seconds)
    into["processor"][name].append(processor)
    into["calls"][name].append(sum(c["calls"] for c in counters.values()))
    into["memory"][name].append(peak)
    into["share"][name].append(100 * (len(applied) - 1) / (applied[-1] - applied[0]) / limit)
    into["throttles"][name].append(sum(c["injected"].get("limit", 0) for c in counters.values()))


def run_one(env: Mapping[str, str], name: str, argv: list[object], log: pathlib.Path) -> tuple[float, float, float]:
    """Seconds, seconds of the processor, and the most memory."""
    with log.open("wb") as file:
        began, spent = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        words = [str(arg) for arg in argv]
        program = subprocess.Popen(words, env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        peak = 0.0
        while program.poll() is None:
            peak = max(peak, peak_mb(program.pid))
            time.sleep(0.01)
        seconds = time.monotonic() - began
        # No other child ends meanwhile.
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # 3: a stream is not as its rule says, as every second one is here.
    if program.returncode not in (0, 3):
        raise Failed(f"{name} ended with {program.returncode}: {log.read_text()[-2000:]}")
    return seconds, after.ru_utime + after.ru_stime - spent.ru_utime - spent.ru_stime, peak
