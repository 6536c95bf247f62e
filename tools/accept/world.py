"""What a run makes and uses: keys, streams, the deployed stack, and the table of what came of it."""

import contextlib
import datetime
import json
import time
from collections.abc import Callable
from typing import Any

from accept.terms import HISTORY_EVERY, ONLY_AWS, REFUSED, TAG, Json
from emulators.procs import ROOT, Failed
from emulators.stacks import Account, Bus, ClientError, Stack, await_, code, expect, gone

# The key that the files of events/ name.
KEY_IN_FILES = "7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13"


class World:
    """One run's account, prefix, keys, stack and rows."""

    def __init__(self, aws: Account, prefix: str, long: bool = False, bus: Account | None = None):
        self.aws, self.prefix, self.long, self.moto = aws, prefix, long, bus
        self.here = aws.emulated
        self.patience = 180 if self.here else 1800  # CloudTrail and EventBridge take minutes.
        self.stack = Stack(aws, prefix, ROOT / ".aws-sam/build")
        self.bus = Bus(bus, self.stack) if bus else None
        self.trail = False  # Whether events come by themselves.
        self.keys: list[str] = []
        self.rows: list[tuple[str, str, str, str]] = []
        self.types: set[str | None] = set()  # The encryption that answers to records had.
        self.began = time.monotonic()
        self.account: str = aws.sts.get_caller_identity()["Account"]
        self.partition: str = aws.session.get_partition_for_region(aws.region)
        self.alias = f"alias/{prefix}"
        self.life, self.missed = f"{prefix}-life", f"{prefix}-life-missed"
        self.streams: dict[str, str] = {}  # Of the questions, by what they are for.
        self.first = self.second = ""

    # What is said of it.

    def say(self, words: str) -> None:
        """Says how far it is."""
        print(f"  {time.monotonic() - self.began:5.0f} s  {words}", flush=True)

    def row(self, name: str, words: str, result: str, found: str = "") -> None:
        """Adds a row of the table."""
        self.rows.append((name, words, result, found))
        if result != ONLY_AWS:
            self.say(f"{result}: {words}{f' ({found})' if found else ''}")

    def failed(self) -> bool:
        """Whether a step of the life failed."""
        return any(result == "FAILED" for _, _, result, _ in self.rows)

    def in_words(self, failure: Exception) -> str:
        """A failure in words. One that is our own mistake has its kind too; against the emulators, where mistakes are
        to be seen, it ends the run.
        """
        if isinstance(failure, (Failed, *REFUSED)):
            return str(failure)
        if self.here:
            raise failure
        return f"{type(failure).__name__}: {failure}"

    def table(self) -> None:
        """Prints the rows."""
        if not self.rows:
            return
        width = max(len(name) for name, *_ in self.rows)
        print(f"\n{'':{width}}  {'result':<20}  what")
        for name, words, result, found in self.rows:
            print(f"{name:<{width}}  {result:<20}  {words}{f': {found}' if found else ''}")

    # Keys and streams.

    def key(self, name: str, **kind: Any) -> str:
        """A new key, which its tag and an alias of its own say is ours."""
        tags = [{"TagKey": TAG, "TagValue": self.prefix}]
        made = self.aws.kms.create_key(Description=f"{self.prefix} {name}", Tags=tags, **kind)
        self.keys.append(made["KeyMetadata"]["Arn"])
        self.aws.kms.create_alias(AliasName=f"alias/{self.prefix}/{name}", TargetKeyId=self.keys[-1])
        return self.keys[-1]

    def new_stream(self, name: str) -> None:
        """A new stream of one shard."""
        self.aws.kinesis.create_stream(StreamName=name, ShardCount=1)

    def arn(self, stream: str) -> str:
        return f"arn:{self.partition}:kinesis:{self.aws.region}:{self.account}:stream/{stream}"

    def setting(self, stream: str) -> tuple[str, str, str | None]:
        """A stream's status, encryption and key."""
        found = self.aws.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        return found["StreamStatus"], found.get("EncryptionType") or "NONE", found.get("KeyId")

    def await_active(self, stream: str) -> None:
        """Waits until a stream is ACTIVE."""
        await_(f"{stream} becomes ACTIVE", lambda: self.ready(stream), 300)

    def await_in_force(self, stream: str) -> None:
        """Waits until a stream's encryption is in force."""
        await_("the setting is in force", lambda: self.setting(stream)[:2] == ("ACTIVE", "KMS"), 300)

    def ready(self, stream: str) -> bool:
        with gone("ResourceNotFoundException"):
            return self.setting(stream)[0] == "ACTIVE"
        return False

    def start(self, stream: str, key: str) -> None:
        """Starts a stream's encryption."""
        self.aws.kinesis.start_stream_encryption(StreamARN=self.arn(stream), EncryptionType="KMS", KeyId=key)

    def stop(self, stream: str) -> None:
        """Stops a stream's encryption."""
        key = self.setting(stream)[2]
        self.aws.kinesis.stop_stream_encryption(StreamARN=self.arn(stream), EncryptionType="KMS", KeyId=key)

    def put_record(self, stream: str, **more: Any) -> Json:
        """Puts a record; the answer."""
        put = self.aws.kinesis.put_record
        answer: Json = put(StreamARN=self.arn(stream), Data=b"x", PartitionKey="streamseal-accept", **more)
        return answer

    def refusal(self, work: Callable[[], object]) -> str | None:
        """The error of a call, or None where it is accepted."""
        try:
            work()
        except ClientError as error:
            return f"{code(error)}: {error.response['Error'].get('Message', '')[:160]}"
        return None

    # Streams of the questions, which the function's policy leaves alone.

    def asked(self, name: str) -> str:
        """A stream of its own for a question; ACTIVE."""
        stream = f"{self.prefix}-ask-{name}"
        self.new_stream(stream)
        self.await_active(stream)
        return stream

    def shared(self) -> str:
        """One stream for the questions that do not disturb each other, encrypted with the first key."""
        if "any" not in self.streams:
            self.streams["any"] = stream = self.asked("any")
            self.start(stream, self.first)
            self.await_active(stream)
        return self.streams["any"]

    # The function.

    def announce(self, file: str, stream: str | None = None, key: str | None = None) -> None:
        """Has the function learn of it: on AWS by the trail, here by an event of the same kind; where there is no
        trail, by asking for it.
        """
        if self.here:
            assert self.bus
            expect(self.bus.put(file, self.event(file, stream, key)), f"no rule takes {file}")
        elif not self.trail:
            failed, answer = self.stack.invoke({"action": "reconcile", "stream": stream or self.life})
            expect(not failed, f"the function failed: {answer}")

    def event(self, file: str, stream: str | None, key: str | None) -> Json:
        """The event of a file, about what is here."""
        event: Json = json.loads((ROOT / f"events/{file}.json").read_text())
        event |= {"account": self.account, "region": self.aws.region}
        wanted: Json = event["detail"]["requestParameters"]
        event["detail"] |= {"awsRegion": self.aws.region, "recipientAccountId": self.account}
        named = {"streamName": stream} if stream else {}
        aliased = {"aliasName": self.alias} if "aliasName" in wanted else {}
        event["detail"]["requestParameters"] = wanted | named | aliased
        if key:
            event = json.loads(json.dumps(event).replace(KEY_IN_FILES, key.split("/")[-1]))
        return event

    def final(self, stream: str, since: float, fits: Callable[[Json], Any]) -> Json:
        """The newest evidence of a stream since then that fits."""

        def of_it(one: Json) -> bool:
            late = one["stream"]["name"] == stream and instant(one["run"]["started_at"]) >= int(since)
            return bool(late and one["reason"] not in ("unfinished", "settling") and fits(one))

        return self.stack.await_evidence(f"evidence of {stream}", of_it, self.patience)

    # CloudTrail's history.

    def recorded(self, call: str, since: datetime.datetime) -> list[Json]:
        """The records of a call."""
        wanted = [{"AttributeKey": "EventName", "AttributeValue": call}]
        pages = self.aws.cloudtrail.get_paginator("lookup_events").paginate(LookupAttributes=wanted, StartTime=since)
        return [json.loads(one["CloudTrailEvent"]) for page in pages for one in page["Events"]]

    def record_of(self, call: str, stream: str) -> Json:
        """CloudTrail's newest record of a call about a stream, once the history has it. Nobody but the function
        starts the encryption of `life`.
        """
        if self.here:
            raise Failed("CloudTrail does not see the emulator of Kinesis")
        since = utc() - datetime.timedelta(hours=3)

        def probe() -> list[Json]:
            return [one for one in self.recorded(call, since) if stream in json.dumps(one.get("requestParameters"))]

        return await_(f"CloudTrail to show {call}", probe, 1800, HISTORY_EVERY)[0]

    def has_trail(self) -> bool:
        """Whether a trail reports management writes to EventBridge in this Region."""
        trail = self.aws.cloudtrail
        for one in trail.describe_trails()["trailList"]:
            if not one.get("IsMultiRegionTrail") and one["HomeRegion"] != self.aws.region:
                continue
            with contextlib.suppress(ClientError):
                logging = trail.get_trail_status(Name=one["TrailARN"])["IsLogging"]
                if logging and records_writes(trail.get_event_selectors(TrailName=one["TrailARN"])):
                    return True
        return False


def records_writes(selectors: Json) -> bool:
    """Whether a trail with these selectors records every management write. One that leaves some out is taken for
    none: then the function is asked.
    """

    def advanced(fields: list[Json]) -> bool:
        found = {one.pop("Field"): one for one in map(dict, fields)}
        management = found.pop("eventCategory", None) == {"Equals": ["Management"]}
        return management and found in ({}, {"readOnly": {"Equals": ["false"]}})

    def basic(one: Json) -> bool:
        writes = one.get("IncludeManagementEvents", True) and one.get("ReadWriteType", "All") != "ReadOnly"
        return bool(writes and "kms.amazonaws.com" not in one.get("ExcludeManagementEventSources", []))

    by_fields = (advanced(one["FieldSelectors"]) for one in selectors.get("AdvancedEventSelectors") or [])
    return any(map(basic, selectors.get("EventSelectors") or [])) or any(by_fields)


def instant(text: str) -> float:
    """A time of evidence, in whole seconds."""
    return datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp()


def utc() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)
