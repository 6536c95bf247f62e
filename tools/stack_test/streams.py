"""The checks of what happens to streams: by their own events, by those of keys, by the sweep."""

import functools
import json
import time

from emulators.stacks import Json, await_, brief, calls, expect, writes
from soak.record import instant
from stack_test.world import BILLING, CLICKS, KEY_IN_FILES, ORDERS, STREAMS, TELEMETRY, World

CREATED = {
    "kinesis-create-stream-provisioned": ORDERS,
    "kinesis-create-stream-cloudformation": BILLING,
    "kinesis-create-stream-on-demand": CLICKS,
    "kinesis-create-stream-with-tags": TELEMETRY,
}
STOPPED = {"kinesis-stop-stream-encryption": ORDERS, "kinesis-stop-stream-encryption-arn": TELEMETRY}
# What a rule takes and nothing but a note comes of: its outcome and its reason. (tests/system/rules.rs, runtime.rs)
NOTED = {
    "kinesis-tag-resource-channel": ("ignored", "OtherResource"),
    "kms-disable-key-other-account": ("rejected", "ForeignKey"),
}
# What the files about keys and aliases ask a scan for: requests for the same that come together are one scan.
LOST = ["disable-key", "schedule-key-deletion", "delete-key-service-event", "cmk-deletion"]
MATERIAL_LOST = [
    "delete-imported-key-material",
    "delete-expired-key-material-service-event",
    "imported-key-material-expiration",
]
TOPICS = {
    "rotated": ["cmk-rotation", "rotate-key-on-demand", "rotate-key-service-event"],
    "changed": ["enable-key", "cancel-key-deletion", "put-key-policy", "import-key-material"],
    "lost": LOST + MATERIAL_LOST,
    "alias": ["create-alias", "delete-alias", "update-alias"],
}
TOPIC_OF = {f"kms-{name}": topic for topic, names in TOPICS.items() for name in names}


def created(world: World) -> None:
    """New streams are encrypted and proven."""
    for stream in STREAMS:
        world.create(stream)
    events = {name: world.put(name) for name in CREATED}
    for name, stream in CREATED.items():
        said = world.final(events[name], name)
        world.sealed(said, stream, world.keys[0])
        expect(said["proof"]["state"] == "proven", f"{name}: the proof is {said['proof']}")
        number = said["proof"]["sequence_number"]
        record = [one for one in world.records(stream) if one["SequenceNumber"] == number]
        types = [one.get("EncryptionType") for one in record]
        expect(types == ["KMS"], f"{name}: the record of the proof is {record}")
        expect(len(world.records(stream)) == 1, f"{stream} has more than one record")
    world.holds(f"{len(CREATED)} new streams are sealed with the alias's key, each proven by its one encrypted record")


def stopped(world: World) -> None:
    """Streams whose encryption was stopped are encrypted again: some that the function did not start, since one that
    it did is left for 15 minutes, for CloudTrail's history is late.
    """
    kinesis, setting = world.aws.kinesis, {"EncryptionType": "KMS", "KeyId": world.keys[0]}
    own = {stream: f"{stream}-own" for stream in STOPPED.values()}
    for name in own.values():
        world.create(name)
    for name in own.values():
        await_encryption(world, name, "NONE")
        kinesis.start_stream_encryption(StreamName=name, **setting)
        await_encryption(world, name, "KMS")
        kinesis.stop_stream_encryption(StreamName=name, **setting)
        await_encryption(world, name, "NONE")
    for file, stream in STOPPED.items():
        said = world.final(world.put(file, {stream: own[stream]}), file)
        world.sealed(said, own[stream], world.keys[0])
        expect("kinesis:StartStreamEncryption" in calls(said), f"{file}: {calls(said)}")
    for name in own.values():
        kinesis.delete_stream(StreamName=name)
    await_("they are gone", lambda: set(kinesis.list_streams()["StreamNames"]) == set(STREAMS))
    world.holds("two streams whose encryption was stopped are encrypted again")


def await_encryption(world: World, stream: str, kind: str) -> None:
    """Waits until a stream is ACTIVE with this encryption."""
    await_(f"{stream} is ACTIVE with {kind}", lambda: world.setting(stream)[:2] == ("ACTIVE", kind))


def others(world: World) -> None:
    """Every other file: what no rule takes, and what leads to an observation that changes nothing."""
    # It takes ministack a minute and more to come to it: see `sweep`.
    world.aws.events.enable_rule(Name=world.sweep_rule)
    runs: dict[str, str] = {}
    scans: dict[str, tuple[str, float]] = {}
    dropped: list[str] = []
    before = {stream: world.setting(stream) for stream in STREAMS}
    for name, event in world.events.items():
        source = event.get("source", "")
        ours = source.startswith("aws.") and source not in ("aws.events", "aws.scheduler")
        if not ours or name in CREATED | STOPPED:
            continue
        key = world.keys[0].split("/")[-1]
        asked = time.time()
        taken = world.put(name, {KEY_IN_FILES: key} if KEY_IN_FILES in json.dumps(event) else {})
        if taken is None:
            dropped.append(name)
        elif name in NOTED:
            noted(world, name)
        elif source in ("aws.kms", "aws.ssm"):
            scans[name] = (taken, asked)
        else:
            runs[name] = taken
    for name, taken in runs.items():
        said = world.final(taken, name)
        expect(said["compliance"] == "COMPLIANT" and not writes(said), f"{name}: {brief(said)} {calls(said)}")
    for name, (taken, asked) in scans.items():
        said = await_(f"the scan for {name}", functools.partial(answers, world, name, taken, asked))[-1]
        world.by_compliance(said, {"COMPLIANT": said["streams"]["relevant"]}, name)
    after = {stream: world.setting(stream) for stream in STREAMS}
    expect(before == after, f"the streams were {before} and are {after}")
    enough = len(runs) >= 10 and len(scans) >= 12 and len(dropped) >= 8
    expect(enough, f"{len(runs)} {len(scans)} {len(dropped)}")
    led = f"{len(runs)} files lead to a run and {len(scans)} to a scan that change nothing"
    world.holds(f"{led}; of {len(NOTED)} comes a note; no rule takes {len(dropped)}: {', '.join(dropped)}")


def noted(world: World, name: str) -> None:
    """Waits for the note of an event that nothing else comes of."""

    def probe() -> list[Json]:
        return [one for one in world.stack.said("note") if (one["outcome"], one["reason"]) == NOTED[name]]

    await_(f"the note of {name}", probe)


def answers(world: World, name: str, event: str, asked: float) -> list[Json]:
    """The summaries of the scans that an event led to: its own one, or one about the same that began after it."""

    def is_one(said: Json) -> bool:
        scan = said["scan"]
        about = scan.get("key_event") or scan["kind"]
        after = instant(scan["started_at"]) > asked
        return after and bool(said["cause"]["event_id"] == event or about == TOPIC_OF.get(name))

    return [one for one in world.stack.said("summary") if is_one(one)]


def key_events(world: World) -> None:
    """An alias that moves re-keys; a key that is lost is reported."""
    kms = world.aws.kms
    old, new = world.keys
    kms.update_alias(AliasName="alias/streams-default", TargetKeyId=new)
    world.summary(world.put("kms-update-alias"), "kms-update-alias")
    for stream in STREAMS:
        rekeyed(world, stream, old, new)
    world.holds("the alias moves, and all streams are re-keyed by way of the queue of scans")
    kms.disable_key(KeyId=new)
    texts = {KEY_IN_FILES: new.split("/")[-1]}
    said = world.summary(world.put("kms-disable-key", texts), "kms-disable-key")
    world.by_compliance(said, {"NON_COMPLIANT": len(STREAMS)}, "under a disabled key")
    for stream in STREAMS:
        lost(world, stream, new)
    kms.enable_key(KeyId=new)
    said = world.summary(world.put("kms-enable-key", texts), "kms-enable-key")
    world.by_compliance(said, {"COMPLIANT": len(STREAMS)}, "once the key is back")
    world.holds("the key is disabled: alarms and no change; it is enabled: all is well")


def rekeyed(world: World, stream: str, old: str, new: str) -> None:
    """The evidence of one stream's re-key."""
    world.await_setting(stream, new)

    def fits(one: Json) -> bool:
        moved = one["after"] and one["after"]["key_arn"] == new and one["reason"] == "right-key"
        return bool(one["stream"]["name"] == stream and moved and writes(one))

    said = world.stack.await_evidence(f"the re-key of {stream}", fits)
    as_wanted = said["before"]["key_arn"] == old and said["producers"] == "unknown"
    expect(as_wanted, f"{stream}: {brief(said)}")


def lost(world: World, stream: str, key: str) -> None:
    """The evidence of one stream whose key is disabled."""
    said = world.stack.await_evidence(
        f"that the key of {stream} is lost",
        lambda one: one["stream"]["name"] == stream and one["reason"] == "key-unusable",
    )
    reported = said["compliance"] == "NON_COMPLIANT" and said["alarm"] and not writes(said)
    expect(reported, f"{stream}: {brief(said)}")
    setting = world.setting(stream)
    expect(setting == ("ACTIVE", "KMS", key), f"{stream} was touched: {setting}")


def sweep(world: World) -> None:
    """The schedule's own rule, in ministack."""
    for stream in ("forgotten-1", "scratch-1"):
        world.create(stream)
        await_active(world, stream)
    all_of_them = len(STREAMS) + 2

    def probe() -> list[Json]:
        sweeps = [one for one in world.stack.said("summary") if one["scan"]["kind"] == "sweep"]
        return [one for one in sweeps if one["streams"]["listed"] == all_of_them]

    said = await_("a sweep that the schedule asks for", probe)[0]
    world.aws.events.disable_rule(Name=world.sweep_rule)
    counts = {"COMPLIANT": len(STREAMS), "NON_COMPLIANT": 1, "NOT_APPLICABLE": 1}
    world.by_compliance(said, counts, "the sweep")
    world.await_setting("forgotten-1", world.keys[1])
    plain = world.setting("scratch-1")
    expect(plain[:2] == ("ACTIVE", "NONE"), f"scratch-1 is {plain}")
    words = "the scheduled sweep finds the stream that no event reported and has it sealed"
    world.holds(f"{words}, and leaves the exempt one alone")


def await_active(world: World, stream: str) -> None:
    """Waits until a stream is there."""
    await_(f"{stream} is there", lambda: world.setting(stream)[0] == "ACTIVE")
