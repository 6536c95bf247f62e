"""Questions about CloudTrail, and the events that come of it."""

import time

from accept.questions import Answer, question
from accept.terms import HISTORY_EVERY, TAG
from accept.world import World, instant


def forms(world: World, *of: tuple[str, str]) -> str:
    """The parameters' names of calls about streams, as CloudTrail has them."""
    found = {call: world.record_of(call, stream)["requestParameters"] for call, stream in of}
    return "; ".join(f"{call} has {', '.join(sorted(parameters))}" for call, parameters in found.items())


@question
def trail_selectors(world: World) -> Answer:
    stream, life = world.shared(), world.life
    world.aws.kinesis.tag_resource(ResourceARN=world.arn(stream), Tags={TAG: world.prefix})
    world.aws.kinesis.untag_resource(ResourceARN=world.arn(stream), TagKeys=[TAG])
    ours = (("StartStreamEncryption", life), ("StopStreamEncryption", life))
    return forms(world, *ours, ("TagResource", stream), ("UntagResource", stream))


@question
def trail_forms(world: World) -> Answer:
    stream, kinesis = f"{world.prefix}-ask-forms", world.aws.kinesis
    tags = {TAG: world.prefix}
    kinesis.create_stream(StreamName=stream, StreamModeDetails={"StreamMode": "ON_DEMAND"}, Tags=tags)
    world.await_active(stream)
    kinesis.update_stream_mode(StreamARN=world.arn(stream), StreamModeDetails={"StreamMode": "PROVISIONED"})
    world.await_active(stream)
    kinesis.delete_stream(StreamARN=world.arn(stream), EnforceConsumerDeletion=True)  # It is the dearest one.
    return forms(world, ("CreateStream", stream), ("UpdateStreamMode", stream))


@question
def trail_role(world: World) -> Answer:
    role = world.stack.outputs["RoleArn"]
    identity = world.record_of("StartStreamEncryption", world.life)["userIdentity"]
    issuer = identity.get("sessionContext", {}).get("sessionIssuer", {}).get("arn")
    return ("CONFIRMED" if issuer == role else "REFUTED"), str(issuer)


@question
def trail_lag(world: World) -> Answer:
    stream, began = world.shared(), time.monotonic()
    world.aws.kinesis.add_tags_to_stream(StreamARN=world.arn(stream), Tags={TAG: world.prefix})
    world.record_of("AddTagsToStream", stream)
    return f"{time.monotonic() - began:.0f} s, read every {HISTORY_EVERY} s"


@question
def event_lag(world: World) -> Answer:
    if not world.trail:
        return "NO ANSWER", "there is no trail with management events here"
    causes = [one["cause"] for one in world.stack.said("evidence") if one["stream"]["name"] == world.life]
    came = [one for one in causes if one["call"] == "CreateStream" and one["at"]]
    lags = [instant(one["first_seen"]) - instant(one["at"]) for one in came]
    if not lags:
        return "NO ANSWER", "no run was caused by the event"
    return f"{min(lags):.0f} s from the call to the function"
