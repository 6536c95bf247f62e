"""What the fault layer's log says of one stream's way from CREATING to its proof."""

import collections
from typing import Any

from bench.world import World
from emulators.procs import Failed


def reported(world: World, stream: str, seconds: float, actor: str, since: float, answer: Any) -> dict[str, Any]:
    """The figures of one stream that was CREATING for so many seconds, by the calls of one actor."""
    created = world.aws.describe(stream)["StreamCreationTimestamp"]
    calls = [c for c in world.control("GET", f"calls?by={actor}") if c["at"] >= since]

    def of(operation: str) -> list[dict[str, Any]]:
        return [c for c in calls if c["call"] == f"kinesis:{operation}" and c["stream"] == stream]

    starts, puts = of("StartStreamEncryption"), of("PutRecord")
    if len(starts) != 1 or not puts or puts[-1]["status"] != 200:
        raise Failed(f"{stream} was not encrypted and proven: {answer} {calls}")
    visible, encrypted = created + seconds, starts[0]["at"] + starts[0]["ms"] / 1000 + 0.5
    proven = puts[-1]["at"] + puts[-1]["ms"] / 1000
    return {
        "to_start": (starts[0]["at"] - visible) * 1000,
        "to_proof": (proven - encrypted) * 1000,
        "overhead": (proven - created - seconds - 0.5) * 1000,
        "describes": sum(c["at"] < starts[0]["at"] for c in of("DescribeStreamSummary")),
        "calls": len(calls),
        "by_call": collections.Counter(c["call"].partition(":")[2] for c in calls),
        "creating_until": visible,
    }
