"""The question whom the queues let send, under the parameter `RestrictQueueSenders`."""

import json
import time

from accept.questions import Answer, question
from accept.terms import REFUSED, Json
from accept.world import World, instant, utc
from emulators.stacks import await_, code, expect

COMMAND = '{"action":"sweep"}'


@question
def queue_senders(world: World) -> Answer:
    """Whoever runs the acceptance is refused first and named then; a schedule shows what EventBridge and the function
    send.
    """
    try:
        world.stack.deploy(world.prefix, RestrictQueueSenders="true", SweepSchedule="rate(1 minute)")
        settle(world)
        refused = {queue: refusal(world, queue) for queue in ("WorkQueueUrl", "ScanQueueUrl")}
        moved_before = redrive(world)
        swept = "asked" if world.here else by_schedule(world)
        world.stack.deploy(world.prefix, RedriveRoleArns=principal(world))
        settle(world)
        still = refusal(world, "WorkQueueUrl")
        moved = redrive(world)
    finally:
        world.stack.deploy(world.prefix, RestrictQueueSenders="false", RedriveRoleArns="", SweepSchedule="rate(1 day)")
    found = (
        f"the schedule's sweep ended: {swept}; who is not named: {refused['WorkQueueUrl'] or 'sent'}, "
        f"{refused['ScanQueueUrl'] or 'sent a scan'}, redrive {moved_before}; who is named: {still or 'sent'}, "
        f"redrive {moved}"
    )
    as_meant = swept and all(refused.values()) and moved_before != "COMPLETED" and not still and moved == "COMPLETED"
    return ("CONFIRMED" if as_meant else "REFUTED"), found


def settle(world: World) -> None:
    """A changed policy of a queue takes up to a minute (SQS API reference, SetQueueAttributes)."""
    if not world.here:
        time.sleep(75)


def principal(world: World) -> str:
    """The ARN of the role or the user that runs the acceptance, as `aws:PrincipalArn` has it."""
    arn = str(world.aws.sts.get_caller_identity()["Arn"])
    if ":assumed-role/" not in arn:
        # The emulators know a root user alone, who is no principal of that parameter.
        return arn if ":user/" in arn else f"arn:{world.partition}:iam::{world.account}:user/{world.prefix}"
    name = arn.split("/")[1]
    # It has the path, which the session's ARN has not.
    return str(world.aws.iam.get_role(RoleName=name)["Role"]["Arn"])


def refusal(world: World, queue: str) -> str | None:
    """How SendMessage is refused, or None where the message is in the queue."""
    fifo = {"MessageGroupId": "accept", "MessageDeduplicationId": str(time.time())} if "Scan" in queue else {}
    # The queue of scans takes a request to scan only, and this is none: where it is taken, it ends as a dead letter.
    body = COMMAND if not fifo else "accept"
    url = world.stack.outputs[queue]
    return world.refusal(lambda: world.aws.sqs.send_message(QueueUrl=url, MessageBody=body, **fifo))


def redrive(world: World) -> str:
    """What became of a dead letter that is moved to the queue of work: the status of the task, or the refusal."""
    sqs, source = world.aws.sqs, world.stack.arn("DeadLetterQueueUrl")
    sqs.send_message(QueueUrl=world.stack.outputs["DeadLetterQueueUrl"], MessageBody=COMMAND)
    try:
        # It was never in the queue of work, so that it has to be named.
        sqs.start_message_move_task(SourceArn=source, DestinationArn=world.stack.arn("WorkQueueUrl"))
    except REFUSED as error:
        return code(error) if hasattr(error, "response") else str(error)

    def ended() -> list[Json]:
        newest: list[Json] = sqs.list_message_move_tasks(SourceArn=source, MaxResults=1)["Results"]
        return [one for one in newest if one["Status"] != "RUNNING"]

    return str(await_("the task of moving ends", ended, 300, 5)[0]["Status"])


def by_schedule(world: World) -> str:
    """The id of a sweep that the schedule asked for from now on and that ended: EventBridge sent the command, and the
    function the scan.
    """
    since = utc().timestamp()

    def ended() -> list[Json]:
        sweeps = [one for one in world.stack.said("summary") if one["scan"]["kind"] == "sweep"]
        return [one for one in sweeps if instant(one["scan"]["requested_at"]) >= since]

    found = await_("a sweep that the schedule asked for", ended, 600, 10)[0]
    expect(not found.get("gave_up"), json.dumps(found)[:300])
    return str(found["scan"]["id"])
