"""Against the emulators: a whole run, and one that fails after each step; nothing is left in any service."""

import contextlib
import signal
import time
from collections.abc import Iterator

from accept.plan import fresh, plan
from accept.run import STEPS, accept, end
from accept.terms import ONLY_AWS, Injected, Json
from emulators.procs import Failed
from emulators.stacks import Account, emulated, expect, parts


def here() -> None:
    """Does all of it."""
    with parts() as running:
        aws, bus = emulated(running)
        before = inventory(aws)
        print(plan(aws, fresh(), aws.sts.get_caller_identity(), True))
        expect(accept(aws, fresh(), bus=bus, long=True), "a step of the life failed")
        nothing_left(aws, before, "a whole run")
        for step in list(STEPS)[:-2]:
            with ends_by(Injected, f"a failure after {step}"):
                accept(aws, fresh(), bus=bus, fail_after=step)
            nothing_left(aws, before, f"a failure after {step}")
        interrupted(aws, bus, before, KeyboardInterrupt, signal.SIGINT)
        interrupted(aws, bus, before, SystemExit, signal.SIGHUP)
    life = "The life holds here, and nothing is left whatever fails."
    print(f"{ONLY_AWS} what is asked of it: `make accept` in an account. {life}")


def interrupted(
    aws: Account, bus: Account, before: set[str], kind: type[BaseException], number: signal.Signals
) -> None:
    """A run that a signal ends in the middle of the deployment, and again while everything is removed."""
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else end)
    with rung(aws, number) as rings, ends_by(kind, number.name):
        accept(aws, fresh(), bus=bus, fail_after="deployment")
    expect(len(rings) == 2, f"{number.name} came {len(rings)} times")
    when = "in the middle of the deployment, and again while all is removed,"
    nothing_left(aws, before, f"{number.name} {when}")


@contextlib.contextmanager
def ends_by(kind: type[BaseException], what: str) -> Iterator[None]:
    """What is done here has to end by this."""
    try:
        yield
    except kind:
        return
    raise Failed(f"{what} was not the end of it")


@contextlib.contextmanager
def rung(aws: Account, number: signal.Signals) -> Iterator[list[signal.Signals]]:
    """Sends us a signal once the SAM CLI has begun a stack, and again as that is about to be deleted."""
    rings: list[signal.Signals] = []
    hook = "before-call.cloudformation.DeleteStack"

    def ring(**_: object) -> None:
        rings.append(number)
        signal.raise_signal(number)

    def watch(*_: object) -> None:
        stacks = aws.cloudformation.list_stacks()["StackSummaries"]
        if any(one["StackStatus"] != "DELETE_COMPLETE" for one in stacks):
            signal.setitimer(signal.ITIMER_REAL, 0)
            ring()

    aws.cloudformation.meta.events.register(hook, ring, unique_id="ring")
    signal.signal(signal.SIGALRM, watch)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    try:
        yield rings
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        aws.cloudformation.meta.events.unregister(hook, unique_id="ring")


def inventory(aws: Account) -> set[str]:
    """Everything in the emulators that a run could leave: it asks the services, and knows nothing of what a run notes
    down.
    """

    def names(found: Json, member: str, name: str | None) -> set[str]:
        return {f"{member} {one[name] if name else one}" for one in found.get(member, [])}

    def state(key: str) -> str:
        return str(aws.kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"])

    stacks = aws.cloudformation.list_stacks()["StackSummaries"]
    keys = [one["KeyId"] for one in aws.kms.list_keys()["Keys"]]
    return {
        *names(aws.kinesis.list_streams(), "StreamNames", None),
        *(f"key {key}" for key in keys if state(key) != "PendingDeletion"),
        *names(aws.kms.list_aliases(), "Aliases", "AliasName"),
        *(f"stack {one['StackName']}" for one in stacks if one["StackStatus"] != "DELETE_COMPLETE"),
        *names(aws.lambda_.list_functions(), "Functions", "FunctionName"),
        *names(aws.lambda_.list_event_source_mappings(), "EventSourceMappings", "UUID"),
        *names(aws.sqs.list_queues(), "QueueUrls", None),
        *names(aws.events.list_rules(), "Rules", "Name"),
        *names(aws.iam.list_roles(), "Roles", "RoleName"),
        *names(aws.logs.describe_log_groups(), "logGroups", "logGroupName"),
        *names(aws.s3.list_buckets(), "Buckets", "Name"),
        *names(aws.ssm.describe_parameters(), "Parameters", "Name"),
        *names(aws.cloudwatch.describe_alarms(), "MetricAlarms", "AlarmName"),
    }


def nothing_left(aws: Account, before: set[str], after: str) -> None:
    """A stream is DELETING for a while."""
    end = time.monotonic() + 60
    while (left := inventory(aws) - before) and time.monotonic() < end:
        time.sleep(0.5)
    expect(not left, f"{after} leaves {sorted(left)}")
