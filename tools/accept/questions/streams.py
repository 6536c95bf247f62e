"""Questions about what Kinesis does with streams."""

import datetime
import time

from accept.life import read
from accept.questions import Answer, question
from accept.terms import HISTORY_EVERY, Json
from accept.world import World, utc
from emulators.stacks import ClientError, await_, code, expect, gone


@question
def same_key(world: World) -> Answer:
    stream = world.shared()
    refused = world.refusal(lambda: world.start(stream, world.first))
    seen = {world.setting(stream)[0] for _ in range(10)}
    world.await_active(stream)
    return f"refused with {refused}" if refused else f"accepted; then the status was {' and '.join(sorted(seen))}"


@question
def keyid_echo(world: World) -> Answer:
    stream = world.asked("echo")
    forms = [world.first, world.first.split("/")[-1], f"alias/{world.prefix}/first"]
    got = []
    for form in forms:
        world.start(stream, form)
        world.await_active(stream)
        got.append(world.setting(stream)[2])
    return ("CONFIRMED" if got == forms else "REFUTED"), f"{', '.join(map(str, got))}"


@question
def alias_follows(world: World) -> Answer:
    stream, alias = world.asked("follows"), f"alias/{world.prefix}/follows"
    world.aws.kms.create_alias(AliasName=alias, TargetKeyId=world.first)
    world.start(stream, alias)
    world.await_active(stream)
    world.aws.kms.update_alias(AliasName=alias, TargetKeyId=world.second)
    moved = utc()
    if world.here:
        return "asked"
    for _ in range(14):  # Data keys live some five minutes.
        time.sleep(30)
        world.put_record(stream)
    after = moved + datetime.timedelta(minutes=6)
    what = "CloudTrail to know which key was used"
    used = await_(what, lambda: used_keys(world, stream, after), 1800, HISTORY_EVERY)
    return f"six minutes after the move its records took {', '.join(sorted(used))}"


def used_keys(world: World, stream: str, since: datetime.datetime) -> set[str]:
    """The keys that GenerateDataKey was called with for a stream."""
    found: set[str] = set()
    for record in world.recorded("GenerateDataKey", since):
        context = (record.get("requestParameters") or {}).get("encryptionContext", {})
        if context.get("aws:kinesis:arn") == world.arn(stream):
            arns = [one["ARN"] for one in record["resources"]]
            found |= {"the new key" if arn == world.second else "the old key" for arn in arns}
    return found


@question
def updating_shows(world: World) -> Answer:
    stream, seen = world.shared(), []
    world.start(stream, world.second)
    for _ in range(200):
        status, _, key = world.setting(stream)
        if status == "UPDATING":
            seen.append("new" if key == world.second else "old")
        elif key == world.second:
            break
        time.sleep(0.1)
    world.start(stream, world.first)
    world.await_active(stream)
    shown = f"while UPDATING the key was {' then '.join(dict.fromkeys(seen))}"
    return shown if seen else "it was never seen UPDATING"


@question
def describe_lags(world: World) -> Answer:
    stream = world.asked("lags")
    world.start(stream, world.first)
    first, began = world.setting(stream), time.monotonic()
    world.await_in_force(stream)
    lags = first[:2] == ("ACTIVE", "NONE")
    found = f"the first describe was {first[0]}, {first[1]}; in force after {time.monotonic() - began:.1f} s"
    return ("CONFIRMED" if lags else "not seen"), found


@question
def new_not_found(world: World) -> Answer:
    stream, unknown = f"{world.prefix}-ask-new", 0
    world.new_stream(stream)
    for _ in range(10):
        with gone("ResourceNotFoundException"):
            world.setting(stream)
            break
        unknown += 1
    world.await_active(stream)
    return ("CONFIRMED" if unknown else "not seen"), f"unknown to the first {unknown} describes"


@question
def propagation(world: World) -> Answer:
    stream = world.asked("propagation")
    # Of a record that is not encrypted, for `answer-without-type`.
    world.types.add(world.put_record(stream).get("EncryptionType"))
    world.start(stream, world.first)
    world.await_in_force(stream)
    began, last = time.monotonic(), None
    for _ in range(40):
        kind = world.put_record(stream).get("EncryptionType")
        world.types.add(kind)
        if kind != "KMS":
            last = time.monotonic() - began
        time.sleep(0.25)
    if last is None:
        return "every record since ACTIVE was encrypted"
    return f"the last record without encryption came {last:.1f} s after ACTIVE"


@question
def answer_without_type(world: World) -> Answer:
    expect(world.types, "no record was put for `propagation`")
    found = ", ".join(sorted(map(str, world.types)))
    return ("REFUTED" if None in world.types else "CONFIRMED"), f"the answers had {found}"


@question
def record_read_back(world: World) -> Answer:
    stream = world.shared()
    put = world.put_record(stream)

    def probe() -> list[Json]:
        return [one for one in read(world, stream) if one["SequenceNumber"] == put["SequenceNumber"]]

    [record] = await_("the record can be read", probe, 60)
    kind = record.get("EncryptionType")
    found = f"PutRecord answered {put.get('EncryptionType')}, GetRecords {kind}"
    return ("CONFIRMED" if kind == "KMS" else "REFUTED"), found


@question
def name_and_arn(world: World) -> Answer:
    describe, shared = world.aws.kinesis.describe_stream_summary, world.arn(world.shared())
    try:
        got = describe(StreamName=world.life, StreamARN=shared)["StreamDescriptionSummary"]["StreamName"]
        return f"the {'name' if got == world.life else 'ARN'} holds"
    except ClientError as error:
        return f"refused with {code(error)}"


@question
def quota_text(world: World) -> Answer:
    stream, keys = world.asked("quota"), [world.first, world.second]
    if world.here:
        return "asked"
    for count in range(27):
        key = keys[count % 2]
        refused = world.refusal(lambda key=key: world.start(stream, key))  # type: ignore[misc]
        if refused:
            stop = world.refusal(lambda: world.stop(stream))
            return f"Start {count + 1}: {refused}; a Stop then: {stop or 'accepted'}"
        world.await_active(stream)
    return "27 Starts were accepted"
