"""Questions about a key whose policy denies its use."""

import datetime
import json
import time

from accept.questions import Answer, question
from accept.terms import HISTORY_EVERY, Json
from accept.world import World, utc
from emulators.stacks import ClientError, await_, code


class Denied:
    """A stream on a key whose policy lets nobody use it through Kinesis any more."""

    def __init__(self, world: World):
        self.world, kms = world, world.aws.kms
        self.stream, self.key = world.asked("denied"), world.key("denied")
        world.start(self.stream, self.key)
        world.await_active(self.stream)
        policy = json.loads(kms.get_key_policy(KeyId=self.key, PolicyName="default")["Policy"])
        through = {"StringEquals": {"kms:ViaService": f"kinesis.{world.aws.region}.amazonaws.com"}}
        deny = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "kms:GenerateDataKey*", "Resource": "*"}
        policy["Statement"].append({**deny, "Condition": through})
        self.at = utc()
        kms.put_key_policy(KeyId=self.key, PolicyName="default", Policy=json.dumps(policy))

    def refusal(self) -> str | None:
        """How PutRecord is refused by the key's policy: maybe only once data keys that Kinesis has are stale, some five
        minutes later.
        """
        while True:
            refused = self.world.refusal(lambda: self.world.put_record(self.stream))
            if refused or self.world.here or utc() >= self.at + datetime.timedelta(minutes=10):
                return refused
            time.sleep(10)

    def records(self) -> list[Json]:
        """What CloudTrail has of the refusals."""
        calls = ("GenerateDataKey", "GenerateDataKeyWithoutPlaintext")
        every = [one for call in calls for one in self.world.recorded(call, self.at)]
        return [one for one in every if one.get("errorCode") and self.key.split("/")[-1] in json.dumps(one)]

    def successes(self) -> list[Json]:
        """Each minute's PutRecord.Success since the key's policy was changed."""
        found = self.world.aws.cloudwatch.get_metric_statistics(
            Namespace="AWS/Kinesis",
            MetricName="PutRecord.Success",
            Dimensions=[{"Name": "StreamName", "Value": self.stream}],
            Period=60,
            StartTime=self.at,
            EndTime=utc(),
            Statistics=["Sum", "SampleCount"],
        )
        points: list[Json] = found["Datapoints"]
        return points


DENIED: dict[str, Denied] = {}  # By the run's prefix.


def denied(world: World) -> Denied:
    """One for the questions that need it."""
    if world.prefix not in DENIED:
        DENIED[world.prefix] = Denied(world)
    return DENIED[world.prefix]


@question
def dry_run_key(world: World) -> Answer:
    one, dry = denied(world), None
    refused = one.refusal()
    try:
        world.put_record(one.stream, DryRun=True)
    except ClientError as error:
        dry = code(error)
    then = dry or "accepted: a record was written"
    found = f"refused with {refused or 'nothing'}, and with DryRun {then}"
    if not refused or not dry:
        return "NO ANSWER", found
    return ("REFUTED" if dry == "DryRunOperationException" else "CONFIRMED"), found


@question
def kms_denial(world: World) -> Answer:
    one = denied(world)
    if world.here:
        return "asked"
    refused = one.refusal()
    if not refused:
        return "NO ANSWER", "records were taken for ten minutes"
    record = await_("CloudTrail to show the refusal", one.records, 1800, HISTORY_EVERY)[0]
    points = await_("CloudWatch to count the refusal", one.successes, 900, 30)
    parts = {name: sorted(record.get(name) or ["null"]) for name in ("requestParameters", "userIdentity")}
    said = f"{record['eventName']} {record['errorCode']}, {parts}, {len(record.get('resources') or [])} resources"
    of = f"{sum(point['Sum'] for point in points):.0f} of {sum(point['SampleCount'] for point in points):.0f}"
    return f"PutRecord {refused}; CloudTrail has {said}; PutRecord.Success is {of}"
