"""A stream's life: what the deployed function has to do."""

import time

from accept.terms import Json
from accept.world import World, instant, utc
from emulators.stacks import await_, brief, calls, expect, writes


def live(world: World) -> None:
    """Goes through all of it. After a step that fails the others are not reached."""
    for name, (words, work) in STEPS.items():
        if world.failed():
            world.row(name, words, "not reached")
            continue
        try:
            world.row(name, words, "holds", work(world))
        except Exception as failure:  # Whatever it is, the rest goes on.
            world.row(name, words, "FAILED", world.in_words(failure))


def created(world: World) -> str:
    life, since = world.life, time.time() - 5
    world.announce("kinesis-create-stream-provisioned", life)
    said = world.final(life, since - 600, lambda one: one["proof"]["state"] == "proven")
    expect(said["reason"] == "right-key", brief(said))
    expect(world.setting(life)[:2] == ("ACTIVE", "KMS"), f"it is {world.setting(life)}")
    number = said["proof"]["sequence_number"]
    proofs = [one for one in read(world, life) if one["SequenceNumber"] == number]
    # Whether a record that is read back says KMS is a question of its own: `record-read-back`.
    types = [one.get("EncryptionType", "KMS") for one in proofs]
    expect(types == ["KMS"], f"of the record of the proof the stream has {types}")
    return f"by {said['cause']['call']}, proven by {number}"


def read(world: World, stream: str) -> list[Json]:
    """The records of a stream of one shard."""
    kinesis, arn = world.aws.kinesis, world.arn(stream)
    found: list[Json] = []
    [shard] = kinesis.list_shards(StreamARN=arn)["Shards"]
    start = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    place = kinesis.get_shard_iterator(StreamARN=arn, **start)["ShardIterator"]
    for _ in range(5):  # The first answers may be empty.
        answer = kinesis.get_records(ShardIterator=place)
        found += answer["Records"]
        place = answer["NextShardIterator"]
        if found:
            break
        time.sleep(1)
    return found


def stopped(world: World) -> str:
    """What the function started less than 15 minutes ago is left until they are over, since CloudTrail's history lags.
    Here it is another stream.
    """
    stream = world.life
    if world.here:
        stream = f"{world.life}-stopped"
        world.new_stream(stream)
        world.await_active(stream)
        world.start(stream, world.second)
        world.await_in_force(stream)
    since = time.time()
    world.stop(stream)

    def starts(one: Json) -> bool:
        return one["reason"] == "right-key" and "kinesis:StartStreamEncryption" in calls(one)

    def again() -> bool:
        said = [one for one in world.stack.said("evidence") if one["stream"]["name"] == stream and starts(one)]
        return any(instant(one["run"]["started_at"]) >= int(since) for one in said)

    await_(f"{stream} loses its encryption", lambda: world.setting(stream)[1] == "NONE" or again(), 300)
    world.announce("kinesis-stop-stream-encryption", stream)
    said = world.final(stream, since, starts)
    world.await_active(stream)
    expect(world.setting(stream)[1] == "KMS", f"it is {world.setting(stream)}")
    return f"by {said['cause']['call']}, {time.time() - since:.0f} s after the Stop"


def rekeyed(world: World) -> str:
    since = time.time()
    world.aws.kms.update_alias(AliasName=world.alias, TargetKeyId=world.second)
    world.announce("kms-update-alias")
    said = world.final(
        world.life, since, lambda one: one["after"] and one["after"]["key_arn"] == world.second and writes(one)
    )
    expect(said["before"]["key_arn"] == world.first, brief(said))
    return f"by {said['cause']['call']}, {time.time() - since:.0f} s after the alias moved"


def disabled(world: World) -> str:
    since = time.time()
    world.aws.kms.disable_key(KeyId=world.second)
    try:
        world.announce("kms-disable-key", key=world.second)
        said = world.final(world.life, since, lambda one: one["reason"] == "key-unusable")
        expect(said["alarm"] and not writes(said), brief(said))
        expect(world.setting(world.life)[1] == "KMS", f"it is {world.setting(world.life)}")
    finally:
        world.aws.kms.enable_key(KeyId=world.second)
    return str(said["annotation"][:100])


def swept(world: World) -> str:
    """A stream that no event reports to the function: on AWS its event may come first, which is as good."""
    missed, since = world.missed, utc().timestamp()
    world.new_stream(missed)
    world.await_active(missed)
    failed, answer = world.stack.invoke({"action": "sweep"})
    expect(not failed, f"the function failed: {answer}")
    said = world.final(missed, since, lambda one: one["reason"] == "right-key" and writes(one))
    expect(world.setting(missed)[1] == "KMS", f"it is {world.setting(missed)}")
    return f"by {said['cause']['call']}"


STEPS = {
    "created": ("a new stream is encrypted and proven with a record", created),
    "rekeyed": ("an alias that moves re-keys the stream", rekeyed),
    "stopped": ("a stream whose encryption was stopped is encrypted again", stopped),
    "disabled": ("a key that is disabled is an alarm, and no change", disabled),
    "swept": ("a sweep finds what no event reported", swept),
}
