"""An audit of an organization by what AWS Config recorded: a double of its queries answers as fast as it can."""

import contextlib
import json
import urllib.request

from bench.parts.audits import run_one
from bench.parts.page import opened
from bench.table import say
from bench.world import World
from emulators.client import child
from emulators.procs import HTTP, Failed

# Queries a second that the command makes unless it is asked for more, and accounts that it observes at once.
RATE, AT_ONCE = 5, 8
# Keys in each account.
KEYS = 3
# DescribeStreamSummary a second in an account and Region (Kinesis API reference).
DESCRIBES = 20


def measure(world: World) -> None:
    """Adds the rows of the audit of an organization."""
    accounts, few, many = world.shape.organization
    for streams in (few, many):
        say(f"{streams:,} streams in {accounts:,} accounts ...")
        seconds, processor, peak, calls = one(world, accounts, streams, KEYS)
        what = f"audit of {streams:,} streams in {accounts:,} accounts by AWS Config"

        def add(words: str, unit: str, value: float, digits: int = 1, what: str = what) -> None:
            world.table.add("organization", f"{what}: {words}", unit, {"streamseal": [value]}, "streamseal", digits)

        add("calls", "calls", calls, 0)
        add("time, where every query is answered at once", "s", seconds)
        add("the program's own processor time", "s", processor, 2)
        add(f"time at {RATE} queries a second (worked out)", "s", calls / RATE, 0)
        add("peak memory", "MB", peak)
    if browser := opened(world.folder / "organization.html"):
        count, opens, sorts = browser
        for words, seconds in (("opens", opens), ("sorts, by the slowest column", sorts)):
            what = f"HTML report with {count:,} rows: {words}"
            world.table.add("organization", what, "s", {"streamseal": [seconds]}, "streamseal", 2)
    direct = many / DESCRIBES / min(accounts, AT_ONCE)
    words = f"audit of {many:,} streams in {accounts:,} accounts with a role in each, at AWS's limits (worked out)"
    world.table.add("organization", words, "s", {"streamseal": [direct]}, "streamseal", 0)
    # A key that is in use has a count of its own, and few streams are on few keys. One in each account is soon in use.
    small, large = (one(world, accounts, streams, keys=1)[2] for streams in (few, many))
    words = f"peak memory with {many:,} streams to that with {few:,}, keys apart (one in each account)"
    world.table.add("organization", words, "%", {"streamseal": [100 * large / small]}, "streamseal", 0)


def one(world: World, accounts: int, streams: int, keys: int) -> tuple[float, float, float, int]:
    """Seconds, seconds of the processor, the most memory, and the calls."""
    with contextlib.ExitStack() as stack:
        _, double = child(stack, "config", "--accounts", accounts, "--streams", streams, "--keys", keys)
        policy = world.folder / "policy.yaml"
        rule = "{name: all, key: alias/key-0, accept: [customer-managed]}"
        policy.write_text(f"version: 1\ndefaults: {{existing: enforce}}\nrules:\n  - {rule}\n")
        outputs = [f"--output={world.folder}/organization.{ending}" for ending in ("html", "csv", "jsonl", "json")]
        argv = [world.args.cli.resolve(), "audit", "--aggregator", "org", "--region", double["region"], "--rate", 1000]
        env = {**world.base(), "AWS_ENDPOINT_URL": double["url"]}
        log = world.folder / "organization.log"
        seconds, processor, peak = run_one(env, "streamseal", [*argv, "--policy", policy, *outputs], log)
        found = json.loads((world.folder / "organization.json").read_text())["totals"]
        wrong = found["by_compliance"]["NON_COMPLIANT"]
        if (found["streams"], wrong) != (streams, (streams + 9) // 10):
            raise Failed(f"{found['streams']} streams were found, {wrong} of them wrong")
        with HTTP.open(urllib.request.Request(f"{double['url']}/_config/calls"), timeout=60) as answer:
            calls = json.loads(answer.read())
        return seconds, processor, peak, sum(calls.values())
