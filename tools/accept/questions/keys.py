"""Questions about keys and permissions."""

import time

from accept.questions import Answer, question
from accept.world import World
from emulators.stacks import expect


@question
def multi_region_id(world: World) -> Answer:
    key, stream = world.key("multi", MultiRegion=True), world.shared()
    refused = world.refusal(lambda: world.start(stream, key.split("/")[-1]))
    world.await_active(stream)
    return ("REFUTED", refused) if refused else ("CONFIRMED", "taken")


@question
def wrong_kind_of_key(world: World) -> Answer:
    key = world.key("hmac", KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    stream = world.shared()
    refused = world.refusal(lambda: world.start(stream, key))
    world.await_active(stream)
    return refused or "accepted"


@question
def unusable_key(world: World) -> Answer:
    key, stream = world.key("lost"), world.shared()
    world.aws.kms.disable_key(KeyId=key)
    disabled = world.refusal(lambda: world.start(stream, key))
    world.await_active(stream)
    world.aws.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    pending = world.refusal(lambda: world.start(stream, key))
    world.await_active(stream)
    return f"disabled: {disabled or 'accepted'}; to be deleted: {pending or 'accepted'}"


class Lost:
    """A stream on a key that is disabled; one for the questions that need it."""

    def __init__(self, world: World):
        self.key, self.stream = world.key("left"), world.asked("lost")
        world.start(self.stream, self.key)
        world.await_active(self.stream)
        world.put_record(self.stream)
        world.aws.kms.disable_key(KeyId=self.key)
        self.disabled_at = time.monotonic()


LOST: dict[str, Lost] = {}  # By the run's prefix.


def lost(world: World) -> Lost:
    """The stream, as long as it is on that key."""
    if world.prefix not in LOST:
        LOST[world.prefix] = Lost(world)
    found = LOST[world.prefix]
    expect(world.setting(found.stream)[2] == found.key, "the stream has left the lost key already")
    return found


@question
def lost_key_writes(world: World) -> Answer:
    one = lost(world)
    if world.here:
        return "asked"
    while time.monotonic() - one.disabled_at < 900:
        refused = world.refusal(lambda: world.put_record(one.stream))
        if refused:
            return f"for {time.monotonic() - one.disabled_at:.0f} s, then {refused}"
        time.sleep(5)
    return "for 15 minutes at least"


@question
def leave_lost_key(world: World) -> Answer:
    stream = lost(world).stream
    meanwhile = world.setting(stream)[0]
    refused = world.refusal(lambda: world.start(stream, world.first))
    world.await_active(stream)
    left = world.setting(stream)[2] == world.first
    found = refused or f"it was {meanwhile} meanwhile; {'left' if left else 'not left'}"
    return ("REFUTED" if refused or not left else "CONFIRMED"), found


@question
def start_permissions(world: World) -> Answer:
    role = world.stack.outputs["RoleArn"].split("/")[-1]
    document = world.aws.iam.get_role_policy(RoleName=role, PolicyName="streamseal")["PolicyDocument"]
    lists = [[one["Action"]] if isinstance(one["Action"], str) else one["Action"] for one in document["Statement"]]
    allowed = sorted({action for actions in lists for action in actions if action.startswith("kms:")})
    done = [row for row in world.rows if row[0] == "created" and row[2] == "holds"]
    found = f"the role's {', '.join(allowed)} {'are enough' if done else 'were not tried'}"
    return ("CONFIRMED" if done else "NO ANSWER"), found


@question
def first_use(world: World) -> Answer:
    aliases = world.aws.kms.get_paginator("list_aliases").paginate().build_full_result()["Aliases"]
    if any(one["AliasName"] == "alias/aws/kinesis" and one.get("TargetKeyId") for one in aliases):
        return "NO ANSWER", "this account has used it before"
    refused = world.refusal(lambda: world.aws.kms.describe_key(KeyId="alias/aws/kinesis"))
    return ("REFUTED", refused) if refused else ("CONFIRMED", "described, and thereby made")
