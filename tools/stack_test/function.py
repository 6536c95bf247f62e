"""The checks of the function as it is deployed: its settings, its mode, what it takes directly, what it writes."""

from emulators.stacks import Json, await_, brief, expect, writes
from stack_test.world import ACCOUNT, ORDERS, POLICY, World

MALFORMED = '{"detail-type": "AWS API Call via CloudTrail", "source"'
# A metric, and the names and values of its dimensions.
Counted = dict[tuple[str, tuple[tuple[str, str], ...]], int]


def deployed(world: World) -> None:
    """The function has the template's environment, the policy, and its queues."""
    stack, aws = world.stack, world.aws
    name = stack.outputs["FunctionName"]
    got = aws.lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    wanted = {
        "POLICY": "ssm:/streamseal/policy",
        "MODE": "enforce",
        "ACCOUNT_ID": ACCOUNT,
        "PARTITION": "aws",
        "WORK_QUEUE_URL": stack.outputs["WorkQueueUrl"],
        "SCAN_QUEUE_URL": stack.outputs["ScanQueueUrl"],
        "OWN_ROLE_ARN": stack.outputs["RoleArn"],
    }
    expect(all(got.get(name) == value for name, value in wanted.items()), f"the function's environment is {got}")
    foreign = any("ENDPOINT" in name or name == "RUST_LOG" for name in got)
    expect(not foreign, f"the environment is not the template's alone: {got}")
    stored = aws.ssm.get_parameter(Name=stack.outputs["PolicyParameterName"])["Parameter"]["Value"]
    expect(stored == POLICY, f"the policy in the parameter is {stored!r}")
    mappings = aws.lambda_.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    one_by_one = [one for one in mappings if one["FunctionResponseTypes"] == ["ReportBatchItemFailures"]]
    queues = {one["EventSourceArn"] for one in one_by_one}
    expect(queues == {stack.arn("WorkQueueUrl"), stack.arn("ScanQueueUrl")}, f"the function is fed from {queues}")
    size = (stack.build / "Function/bootstrap").stat().st_size
    kinds = len(stack.resources("AWS::CloudWatch::Alarm"))
    what = f"bootstrap of {size:,} bytes ({stack.architecture})"
    world.holds(f"deployed by `sam deploy`: {what}, {len(world.bus.patterns)} rules with a pattern, {kinds} alarms")


def mode(world: World) -> None:
    """Another deployment over the first: the mode in a parameter, which is switched without one."""
    ssm, name = world.aws.ssm, "/streamseal/mode"
    ssm.put_parameter(Name=name, Value="report", Type="String")
    rest = {"Mode": "enforce", "Policy": POLICY, "SweepSchedule": "rate(1 day)"}
    world.deploy(ModeParameterName=name, **rest, **world.results)
    world.create("reported")
    event = world.put("kinesis-create-stream-provisioned", {ORDERS: "reported"})
    said = world.final(event, "a stream in report mode")
    found = (said["reason"], said["remediation"]["withheld"], said["run"]["mode"])
    expect(found == ("not-encrypted", "report-mode", "report"), brief(said))
    setting = world.setting("reported")
    expect(setting[:2] == ("ACTIVE", "NONE"), f"report mode changed {setting}")
    ssm.put_parameter(Name=name, Value="enforce", Type="String", Overwrite=True)
    event = world.put("ssm-parameter-store-change", {"/streamseal/policy": name})
    malformed(world)  # Meanwhile: what a new policy asks for waits until every instance has read it.

    def fits(one: Json) -> bool:
        return bool(one["cause"]["event_id"] == event and one["stream"]["name"] == "reported" and writes(one))

    said = world.stack.await_evidence("the evidence of the mode's event", fits)
    world.sealed(said, "reported", world.keys[1])
    words = "in report mode nothing is changed; the mode's parameter says enforce"
    world.holds(f"{words}, and its event has the stream sealed")


def policy(world: World) -> None:
    """Another policy in the parameter: its event has every stream observed, and the first result by it is counted."""
    name = world.stack.outputs["PolicyParameterName"]
    world.aws.ssm.put_parameter(Name=name, Value=f"{POLICY}# Changed.\n", Type="String", Overwrite=True)
    event = world.put("ssm-parameter-store-change", {"/streamseal/policy": name})
    world.summary(event, "a new policy")
    changes = await_("the metric of a new policy", lambda: metrics(world.stack.lines()).get(("PolicyChanged", ())))
    world.holds(f"a new policy is a sweep, and {changes} in the metric of its alarm")


def direct(world: World) -> None:
    """What comes without a rule: commands, batches of queues and topics, Config's own call."""
    answers = {}
    for name, event in world.events.items():
        if "detail-type" in event or name == "streamseal-scan-message":
            continue
        failed, answers[name] = world.stack.invoke(event)
        expect(not failed, f"{name}: {failed} {answers[name]}")
    said = answers["streamseal-command-reconcile"]
    expect(said.get("schema") == "streamseal.evidence/v1", f"the command's answer is {said}")
    foreign = f"arn:aws:kinesis:{world.aws.region}:444455556666:stream/orders"
    failed, said = world.stack.invoke({"action": "reconcile", "stream": foreign})
    expect(not failed and said["outcome"] == "rejected", f"of another account's stream it says {said}")
    world.holds(f"{len(answers)} files without an envelope are taken by the deployed function as they are")


def malformed(world: World) -> None:
    """It fails alone, five times, and lies in the dead-letter queue."""
    sqs, queue = world.aws.sqs, world.stack.outputs["WorkQueueUrl"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
    sqs.send_message(QueueUrl=queue, MessageBody=MALFORMED)
    good = world.put("kinesis-create-stream-provisioned")
    world.final(good, "an event beside a malformed one")
    dead = {"QueueUrl": world.stack.outputs["DeadLetterQueueUrl"], "AttributeNames": ["All"], "MaxNumberOfMessages": 10}
    found = await_(
        "the malformed message in the dead-letter queue", lambda: sqs.receive_message(**dead).get("Messages")
    )
    expect([one["Body"] for one in found] == [MALFORMED], f"in the dead-letter queue are {found}")
    notes = [one for one in world.stack.said("note") if one["outcome"] == "failed"]
    alike = len(notes) == 5 and len({one["reason"] for one in notes}) == 1
    expect(alike, f"it was refused {len(notes)} times: {notes}")
    words = f"a malformed message is refused five times ({notes[0]['reason']}) and then is a dead letter"
    world.holds(f"{words}; its neighbour is done")


def log(world: World) -> None:
    """The log in all: nothing odd in it, and the metrics that alarms wait for."""
    evidence, counted = world.stack.said("evidence"), metrics(world.stack.lines())
    by: dict[str, int] = {}
    for one in evidence:
        by[one["compliance"]] = by.get(one["compliance"], 0) + 1
    for compliance, count in by.items():
        got = counted["Evaluations", (("Compliance", compliance),)]
        expect(got == count, f"{count} documents say {compliance}, the metrics {got}")
    own, due = alarms(world, counted)
    needed = sum(one["alarm"] for one in evidence)
    total = counted["Alarms", ()]
    expect(total >= needed > 0, f"{needed} documents are alarms, the metric says {total}")
    attention = any("AttentionAlarm" in name for name in due)
    expect(own >= 8 and attention, f"{own} alarms of our own metrics, due {due}")
    left = {name: world.stack.waiting(name) for name in ("ScanDeadLetterQueueUrl", "UndeliveredQueueUrl")}
    expect(all(sum(counts) == 0 for counts in left.values()), f"left in the queues: {left}")
    words = f"{len(evidence)} documents of evidence, each counted by the metrics"
    world.holds(f"{words}; every one of the {own} alarms waits for a metric that is written under its names")


def metrics(lines: list[Json]) -> Counted:
    """The sums of the embedded metrics."""
    counted: Counted = {}
    for line in (one for one in lines if "_aws" in one):
        for directive in line["_aws"]["CloudWatchMetrics"]:
            expect(directive["Namespace"] == "Streamseal", f"{line}")
            pairs = [(one["Name"], names) for one in directive["Metrics"] for names in directive["Dimensions"]]
            for metric, names in pairs:
                texts = all(isinstance(line[name], str) for name in names)
                expect(isinstance(line[metric], int) and texts, f"{line}")
                at = (metric, tuple(sorted((name, line[name]) for name in names)))
                counted[at] = counted.get(at, 0) + line[metric]
    return counted


def alarms(world: World, counted: Counted) -> tuple[int, list[str]]:
    """How many alarms wait for our own metrics, and which of them would be due."""
    due, own = [], 0
    names = {(metric, tuple(name for name, _ in dimensions)) for metric, dimensions in counted}
    for alarm in world.aws.cloudwatch.describe_alarms()["MetricAlarms"]:
        if alarm["Namespace"] != "Streamseal":
            continue
        own += 1
        at = (alarm["MetricName"], tuple(sorted((one["Name"], one["Value"]) for one in alarm["Dimensions"])))
        known = (at[0], tuple(name for name, _ in at[1])) in names
        expect(known, f"{alarm['AlarmName']} waits for {at}, which nothing that was written has the names of")
        if counted.get(at, 0) > 0:
            due.append(alarm["AlarmName"])
    return own, due


def deleted(world: World) -> None:
    """The stack can be deleted, and leaves its log."""
    aws, stack = world.aws, world.stack
    group, function = stack.outputs["LogGroupName"], stack.outputs["FunctionName"]
    aws.cloudformation.delete_stack(StackName=stack.name)
    waiter = aws.cloudformation.get_waiter("stack_delete_complete")
    waiter.wait(StackName=stack.name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    left = [one["FunctionName"] for one in aws.lambda_.list_functions()["Functions"]]
    left += aws.sqs.list_queues(QueueNamePrefix="streamseal-").get("QueueUrls", [])
    left += [one["Name"] for one in aws.events.list_rules()["Rules"]]
    left += [one["AlarmName"] for one in aws.cloudwatch.describe_alarms()["MetricAlarms"]]
    names = [one["Name"] for one in aws.ssm.describe_parameters()["Parameters"]]
    left += [name for name in names if name != "/streamseal/mode"]
    expect(not left, f"the deleted stack {function} leaves {left}")
    groups = [one["logGroupName"] for one in aws.logs.describe_log_groups()["logGroups"]]
    expect(group in groups, f"the log with the evidence is gone: {groups}")
    world.holds("the stack is deleted, and nothing of it is left but the log with the evidence")
