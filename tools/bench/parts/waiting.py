"""Many streams at once.

Five instances of the function get them from the queue, ten messages each; the peer, which has no queue, is invoked
once for each of them, all at once, as Lambda does for EventBridge.
"""

import concurrent.futures
import contextlib
import json
import math
import time
from collections.abc import Callable
from typing import Any

from bench.contestants import Function, Json
from bench.parts.reported import reported
from bench.world import World
from emulators.procs import ROOT, Failed

# A row: what, its unit and its digits.
Row = tuple[str, str, int]


def measure(world: World) -> None:
    """Adds the rows of streams that wait at once."""
    count, seconds = world.shape.waiting
    template = json.loads((ROOT / "events/sqs-batch-eventbridge.json").read_text())["Records"][0]

    def batch(streams: list[str]) -> Json:
        bodies = [json.dumps(world.event(stream)) for stream in streams]
        return {"Records": [{**template, "messageId": f"m{i}", "body": body} for i, body in enumerate(bodies)]}

    def one(streams: list[str]) -> Json:
        [stream] = streams
        return world.event(stream)

    found = {
        "streamseal": waiting(world, "streamseal", count, seconds, math.ceil(count / 10), batch),
        "boto3": waiting(world, "boto3", count, seconds, count, one),
    }
    for what, unit, digits in found["streamseal"]:
        samples = {name: rows[what, unit, digits] for name, rows in found.items()}
        words = f"{count} streams CREATING for {seconds} s: {what}"
        world.table.add("waiting", words, unit, samples, "streamseal", digits)


def waiting(
    world: World, name: str, count: int, seconds: float, instances: int, event: Callable[[list[str]], Json]
) -> dict[Row, list[float]]:
    """The samples of one contestant, by row."""
    hold = [{"stream": "many-*", "creating_ms": seconds * 1000, "updating_ms": 500}]
    # As AWS has it, for the whole account.
    world.configure(hold=hold, limits={"kinesis:DescribeStreamSummary": 20})
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(instances) as pool:
        functions = [
            stack.enter_context(world.function(world.contestants[name], env={"AWS_ACCESS_KEY_ID": f"MANY{i}"}))
            for i in range(instances)
        ]
        list(pool.map(lambda function: function(world.event("none", refused=True)), functions))
        names = many(world, count)
        batches = [names[i::instances] for i in range(instances)]

        def feed(function: Function, streams: list[str]) -> Any:
            with contextlib.suppress(Failed):
                return function(event(streams))[0]
            return None

        began = time.time()
        answers = list(pool.map(feed, functions, batches))
    runs = [
        reported(world, stream, seconds, f"MANY{i}", began, answers[i])
        for i, streams in enumerate(batches)
        if answers[i]
        for stream in streams
    ]
    if not runs:
        raise Failed(f"{name}: every invocation failed")
    last = max(one["creating_until"] for one in runs)
    calls = world.control("GET", "calls?call=kinesis:DescribeStreamSummary&by=MANY*")
    waits = [c["at"] for c in calls if c["at"] < last]
    return {
        ("ACTIVE → Start sent", "ms", 0): [one["to_start"] for one in runs],
        ("time above the service's own", "ms", 0): [one["overhead"] for one in runs],
        ("describes in all while they wait, a second", "calls", 1): [len(waits) / (last - began)],
        ("the most describes in one second", "calls", 0): [max(sum(at <= o < at + 1 for o in waits) for at in waits)],
        ("describes a stream before its Start", "calls", 0): [one["describes"] for one in runs],
        ("throttles met (20 describes a second are allowed)", "calls", 0): [
            sum("limit" in c["injected"] for c in calls)
        ],
        ("streams whose invocation failed (not in the rows above)", "streams", 0): [count - len(runs)],
    }


def many(world: World, count: int) -> list[str]:
    """So many new streams. As on AWS, five may be CREATING at once."""
    names: list[str] = []
    while len(names) < count:
        five = [world.stream("many") for _ in range(min(5, count - len(names)))]
        for stream in five:
            world.active(stream)
        names += five
    return names
