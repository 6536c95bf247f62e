"""The deployed stack among the emulators, and how the checks use it."""

import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from emulators.procs import ROOT
from emulators.stacks import Bus, Json, Stack, await_, brief, emulated, expect

# Named by the files.
ORDERS, BILLING = "orders-ingest", "billing-stack-EventsStream-9QX2K7LMPD4A"
CLICKS, TELEMETRY = "clickstream-raw", "telemetry.device_v2"
ACCOUNT = "111122223333"
STREAMS = [ORDERS, BILLING, CLICKS, TELEMETRY]
ALIAS = "alias/streams-default"
KEY_IN_FILES = "7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13"
POLICY = f"""version: 1
defaults:
  existing: enforce
  settle: {{ terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s }}
rules:
  - name: scratch
    match: {{ stream: "scratch-*" }}
    exempt: {{ reason: "synthetic data" }}
  - name: all
    key: {ALIAS}
"""


class World:
    """The emulated account, the stack that is deployed to it, and the bus that brings its events."""

    def __init__(self, parts: Json, build: pathlib.Path):
        self.aws, moto = emulated(parts)
        self.stack = Stack(self.aws, "streamseal", build)  # The name in the event of its parameter.
        self.bus = Bus(moto, self.stack)
        self.began, self.checks = time.monotonic(), 0
        self.keys: list[str] = []
        self.results: dict[str, str] = {}  # The parameters of the bus of results.
        self.sweep_rule = ""
        self.events: dict[str, Json] = {
            path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("*.json"))
        }

    def holds(self, words: str) -> None:
        """Says that a check holds."""
        self.checks += 1
        print(f"  {time.monotonic() - self.began:5.0f} s  {words}", flush=True)

    # Keys and streams.

    def key(self) -> str:
        """A new key."""
        return str(self.aws.kms.create_key(Description="Streamseal stack test")["KeyMetadata"]["Arn"])

    def create(self, stream: str) -> None:
        """A new stream."""
        self.aws.kinesis.create_stream(StreamName=stream, ShardCount=1)

    def setting(self, stream: str) -> tuple[str, str | None, str | None]:
        """A stream's status, encryption and key."""
        found = self.aws.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        return found["StreamStatus"], found.get("EncryptionType"), found.get("KeyId")

    def records(self, stream: str) -> list[Json]:
        """The records of a stream of one shard."""
        kinesis = self.aws.kinesis
        [shard] = kinesis.list_shards(StreamName=stream)["Shards"]
        start = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        place = kinesis.get_shard_iterator(StreamName=stream, **start)["ShardIterator"]
        found: list[Json] = kinesis.get_records(ShardIterator=place)["Records"]
        return found

    def await_setting(self, stream: str, key: str) -> None:
        """Waits until a stream is encrypted with this key."""
        wanted = ("ACTIVE", "KMS", key)
        await_(f"{stream} becomes {wanted}", lambda: self.setting(stream) == wanted)

    def sealed(self, said: Json, stream: str, key: str) -> None:
        """Evidence and stream agree that it is encrypted with this key."""
        found = (said["compliance"], said["reason"], said["stream"]["name"])
        expect(found == ("COMPLIANT", "right-key", stream), f"{stream}: {brief(said)}")
        setting = self.setting(stream)
        expect(setting == ("ACTIVE", "KMS", key), f"{stream} is {setting}, not on {key}")

    # Deployments and events.

    def deploy(self, **parameters: object) -> None:
        """A deployment, after which the bus has its rules."""
        self.stack.deploy("deployments", **parameters)
        self.bus.mirror()

    def put(self, name: str, texts: Mapping[str, str] | None = None) -> str | None:
        """Sends a file's event on its way, with these texts in it replaced; its id there, None where no rule takes
        it.
        """
        text = json.dumps(self.events[name])
        for old, new in (texts or {}).items():
            expect(old in text, f"{name} has no {old}")
            text = text.replace(old, new)
        return self.bus.put(name, json.loads(text))

    def final(self, event: str | None, what: str) -> Json:
        """The last word on an event."""
        expect(event, f"no rule takes {what}")

        def is_final(one: Json) -> bool:
            # Of events about one stream that come together one run answers all.
            answers = event in (one["cause"]["event_id"], *one["cause"].get("also", ()))
            return answers and one["reason"] not in ("unfinished", "settling")

        return self.stack.await_evidence(f"the evidence of {what}", is_final)

    def summary(self, event: str | None, what: str) -> Json:
        """The summary of the scan that an event led to."""
        expect(event, f"no rule takes {what}")

        def probe() -> list[Json]:
            return [one for one in self.stack.said("summary") if one["cause"]["event_id"] == event]

        return await_(f"the scan for {what}", probe)[-1]

    def by_compliance(self, said: Json, wanted: Mapping[str, int], when: str) -> None:
        """A scan's counts."""
        counted: Any = said["streams"]
        expect(counted["by_compliance"] == wanted, f"{when}: {counted}")
