"""The checks of the results on an event bus."""

import contextlib
import json

from emulators.procs import Failed
from emulators.stacks import Json, await_, expect
from stack_test.world import ORDERS, World


def result_bus(world: World) -> dict[str, str]:
    """A bus with a rule of its own for the results; the parameters that name it."""
    aws = world.aws
    arn = aws.events.create_event_bus(Name="results")["EventBusArn"]
    queue = aws.sqs.create_queue(QueueName="results")["QueueUrl"]
    target = aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = json.dumps({"source": ["streamseal"]})
    aws.events.put_rule(Name="results", EventBusName="results", EventPattern=pattern)
    aws.events.put_targets(Rule="results", EventBusName="results", Targets=[{"Id": "results", "Arn": target}])
    return {"ResultBusArn": arn}


def result_events(world: World) -> None:
    """Each run's document has come by the bus too. The line is there first, and the last sweep is not over yet."""
    sqs = world.aws.sqs
    queue = sqs.get_queue_url(QueueName="results")["QueueUrl"]
    seen: list[Json] = []

    def missing() -> list[str]:
        runs = {one["run"]["id"]: in_words(one) for one in world.stack.said("evidence")}
        while found := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            for message in found:
                seen.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        came = {one["detail"]["run"]["id"] for one in seen if one["detail-type"] == "Streamseal Evidence"}
        return [words for run, words in runs.items() if run not in came]

    with contextlib.suppress(Failed):
        await_("a result event of each run comes by the bus", lambda: not missing())
    left = missing()
    expect(not left, f"of {len(seen)} result events none is of the runs {left}")
    lost = [one for one in world.stack.said("note") if one["outcome"] == "lost"]
    expect(not lost, f"results were lost: {lost}")
    world.holds(f"{len(seen)} result events came by the bus, one for each run at least")


def in_words(said: Json) -> str:
    """A run in words."""
    return f"{said['run']['id']} of {said['stream']['name']} ({said['reason']}) by {said['cause']['call']}"


def results_lost(world: World) -> None:
    """Another deployment, with a bus that takes nothing from here: all is done as before, and the loss is reported."""
    world.deploy(ResultBusArn=f"arn:aws:events:{world.aws.region}:999988887777:event-bus/results")
    failed, said = world.stack.invoke({"action": "reconcile", "stream": ORDERS})
    expect(not failed and said["compliance"] == "COMPLIANT", f"without its bus the function answers {failed} {said}")

    def probe() -> list[Json]:
        return [one for one in world.stack.said("note") if one["outcome"] == "lost"]

    notes = await_("a note of what is lost", probe)
    expect({one["reason"] for one in notes} == {"Refused"}, f"the notes are {notes}")
    world.holds("a bus that refuses the results changes nothing but a note and the metric that the alarm waits for")
