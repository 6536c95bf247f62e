"""Streams that are CREATING for so long.

An instance of the function learns how long that takes, and so follows several, one after the other. Waiting needs no
processor: all lengths and contestants wait at once.
"""

import collections
import concurrent.futures
import time
from typing import Any

from bench.parts.reported import reported
from bench.table import say
from bench.world import World

# What is measured: its words, its unit, its name in `reported`, its digits.
ROWS = [
    ("ACTIVE → Start sent", "ms", "to_start", 0),
    ("describes before the Start", "calls", "describes", 0),
    ("time above the service's own", "ms", "overhead", 0),
    ("encrypted → proven", "ms", "to_proof", 0),
    ("calls in all (5 is the least)", "calls", "calls", 0),
    ("log written", "kB", "log", 1),
]
Runs = dict[str, list[dict[str, Any]]]


def measure(world: World) -> None:
    """Adds the rows of each wait."""
    shape = world.shape
    holds = [{"stream": f"wait{s}-*", "creating_ms": s * 1000, "updating_ms": 500} for s, _ in shape.waits]
    world.configure(hold=holds)
    jobs = [
        (name, seconds, rounds)
        for seconds, rounds in shape.waits
        for _ in range(shape.instances)
        for name in ("streamseal", "boto3")
    ]
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        begun = [pool.submit(created, world, *job, number * 0.3) for number, job in enumerate(jobs)]
        runs = [one.result() for one in begun]
    for seconds, _ in shape.waits:
        first: Runs = collections.defaultdict(list)
        later: Runs = collections.defaultdict(list)
        for (name, of, _), ones in zip(jobs, runs, strict=True):
            if of == seconds:
                first[name] += ones[:1]
                later[name] += ones[1:]
        for what, unit, figure, digits in ROWS:
            # A peer learns nothing: all its streams are alike.
            peer = [one[figure] for one in first["boto3"] + later["boto3"]]
            for which, found in (("an instance's first, ", first), ("", later)):
                samples = {"streamseal": [one[figure] for one in found["streamseal"]], "boto3": peer}
                words = f"CREATING for {seconds} s: {which}{what}"
                world.table.add("created", words, unit, samples, "streamseal", digits)
        for name, ones in later.items():
            say(f"  {name}, the last one's calls: {dict(ones[-1]['by_call'])}")


def created(world: World, name: str, seconds: float, rounds: int, delay: float) -> list[dict[str, Any]]:
    """The figures of the streams that one instance follows."""
    time.sleep(delay)
    found = []
    actor = f"B{time.monotonic_ns()}"
    env = {"AWS_ACCESS_KEY_ID": actor, "WAIT_SECONDS": "300"}
    with world.function(world.contestants[name], env=env) as function:
        function(world.event("none", refused=True))  # Warm: the start is measured elsewhere.
        for number in range(rounds):
            # One stream is measured, and not how a rate is kept when they come one upon the other (`waiting` is for
            # that).
            time.sleep(world.shape.apart if number else 0)
            before, since = function.log.stat().st_size, time.time()
            stream = world.stream(f"wait{seconds}")
            answer, _ = function(world.event(stream))
            logged = (function.log.stat().st_size - before) / 1000
            found.append({**reported(world, stream, seconds, actor, since, answer), "log": logged})
    return found
