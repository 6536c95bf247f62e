#!/usr/bin/env -S python3 -B
"""Deploys what `sam build` made into emulators, as a user would into AWS, and sees the deployed stack work.

    make stack-test         (.local/sam/bin/python -B tools/stack-test [BUILD]; default: .aws-sam/build)

`sam deploy` puts the unchanged template into ministack, which then runs the release build of the function itself, with the template's own
environment, by the template's own event source mappings; Kinesis is kinesis-local. Each file of `events/` goes the way its event
would: by a bus with the rules as deployed, the target's queue, the event source mapping. Status 1 says which claim does not hold.

Where the emulators fall short, and what stands in:
- ministack refuses events whose source is `aws.*`, so they are put into moto's bus, which has the deployed rules and targets one by one; what it
  delivers to the work queue is carried from moto's queue into ministack's. The schedule's rule fires in ministack itself.
- moto leaves out the envelope's `account`, which is put in when the message is carried.
- moto does not look into arrays of a pattern's member (Security Hub's findings): there ministack's TestEventPattern decides. For all
  other events the two must agree.
- ministack takes ScalingConfig.MaximumConcurrency of a template as text and then polls no queue: it is set again, to the same value.
- A message that fails is seen again after the queue's 12 minutes: for that one check the deployed queue is set to a second.
- ministack neither counts embedded metrics nor evaluates alarms by them: the metrics' lines are read from the log instead.
- ministack refuses kinds of resources that it does not know: those that nothing runs on are made into nothing (tools/stack-ministack.py).
- No permission is enforced: what the role allows is tests/system/template.rs's and iam.rs's. No CloudTrail tells of what Kinesis is called for: the events are the files.

Leaves nothing: the stack is deleted at the end, and everything ends with this process.
"""

import contextlib
import json
import pathlib
import sys
import time

from procs import ROOT, Failed, run
from stacks import Bus, Stack, await_, brief, calls, emulated, expect, parts, writes

# Named by the files.
ORDERS, BILLING, CLICKS, TELEMETRY = "orders-ingest", "billing-stack-EventsStream-9QX2K7LMPD4A", "clickstream-raw", "telemetry.device_v2"
ACCOUNT = "111122223333"
STREAMS = [ORDERS, BILLING, CLICKS, TELEMETRY]
CREATED = {
    "kinesis-create-stream-provisioned": ORDERS, "kinesis-create-stream-cloudformation": BILLING,
    "kinesis-create-stream-on-demand": CLICKS, "kinesis-create-stream-with-tags": TELEMETRY,
}
STOPPED = {"kinesis-stop-stream-encryption": ORDERS, "kinesis-stop-stream-encryption-arn": TELEMETRY}
# What a rule takes and nothing but a note comes of: its outcome and its reason.
NOTED = {
    "kinesis-tag-resource-channel": ("ignored", "OtherResource"),
    "kms-disable-key-other-account": ("rejected", "ForeignKey"),
}
ALIAS = "alias/streams-default"
KEY_IN_FILES = "7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13"
POLICY = f"""version: 1
defaults:
  existing: enforce
  settle: {{ terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s }}
rules:
  - name: scratch
    match: {{ stream: "scratch-*" }}
    exempt: {{ reason: "synthetic data" }}
  - name: all
    key: {ALIAS}
"""
ROTATIONS = ["kms-cmk-rotation", "kms-rotate-key-on-demand", "kms-rotate-key-service-event"]


class Test:
    def __init__(self, parts, build):
        self.aws, moto = emulated(parts)
        self.stack = Stack(self.aws, "streamseal", build)  # The name in the event of its parameter.
        self.bus = Bus(moto, self.stack)
        self.began, self.checks = time.monotonic(), 0
        self.events = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("*.json"))}

    def tell(self, words):
        self.checks += 1
        print(f"  {time.monotonic() - self.began:5.0f} s  {words}", flush=True)

    # The world.

    def key(self):
        return self.aws.kms.create_key(Description="Streamseal stack test")["KeyMetadata"]["Arn"]

    def create(self, stream):
        self.aws.kinesis.create_stream(StreamName=stream, ShardCount=1)

    def setting(self, stream):
        found = self.aws.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        return found["StreamStatus"], found.get("EncryptionType"), found.get("KeyId")

    def records(self, stream):
        kinesis = self.aws.kinesis
        [shard] = kinesis.list_shards(StreamName=stream)["Shards"]
        place = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        return kinesis.get_records(ShardIterator=place)["Records"]

    def await_setting(self, stream, key):
        wanted = ("ACTIVE", "KMS", key)
        await_(f"{stream} becomes {wanted}", lambda: self.setting(stream) == wanted)

    def deploy(self, **parameters):
        self.stack.deploy("deployments", **parameters)
        self.bus.mirror()

    # The events.

    def put(self, name, texts=()):
        """Sends a file's event on its way, with these texts in it replaced; its id there, or None where no rule takes it."""
        text = json.dumps(self.events[name])
        for old, new in dict(texts).items():
            expect(old in text, f"{name} has no {old}")
            text = text.replace(old, new)
        return self.bus.put(name, json.loads(text))

    def final(self, event, what):
        """The last word on an event."""
        expect(event, f"no rule takes {what}")
        fits = lambda one: one["cause"]["event_id"] == event and one["reason"] != "unfinished"
        return self.stack.await_evidence(f"the evidence of {what}", fits)

    def summary(self, event, what):
        expect(event, f"no rule takes {what}")
        return await_(f"the scan for {what}", lambda: [one for one in self.stack.said("summary") if one["cause"]["event_id"] == event])[-1]

    # The checks, in order.

    def run(self):
        self.keys = [self.key(), self.key()]
        self.aws.kms.create_alias(AliasName=ALIAS, TargetKeyId=self.keys[0])
        self.aws.s3.create_bucket(Bucket="deployments", CreateBucketConfiguration={"LocationConstraint": self.aws.region})
        self.results = self.result_bus()
        self.deploy(Mode="enforce", Policy=POLICY, SweepSchedule="rate(1 minute)", **self.results)
        self.sweep_rule = self.stack.resources("AWS::Events::Rule")["Sweep"]
        self.aws.events.disable_rule(Name=self.sweep_rule)
        self.deployed()
        self.created()
        self.stopped()
        self.others()
        self.key_events()
        self.sweep()
        self.mode()
        self.direct()
        self.result_events()
        self.results_lost()
        self.said()
        self.deleted()
        print(f"{self.checks} checks hold: the stack as it would be deployed works, in {time.monotonic() - self.began:.0f} s")

    def deployed(self):
        stack, aws = self.stack, self.aws
        function = aws.lambda_.get_function_configuration(FunctionName=stack.outputs["FunctionName"])
        got = function["Environment"]["Variables"]
        wanted = {
            "POLICY": "ssm:/streamseal/policy", "MODE": "enforce", "ACCOUNT_ID": ACCOUNT, "PARTITION": "aws",
            "WORK_QUEUE_URL": stack.outputs["WorkQueueUrl"], "SCAN_QUEUE_URL": stack.outputs["ScanQueueUrl"], "OWN_ROLE_ARN": stack.outputs["RoleArn"],
        }
        expect(all(got.get(name) == value for name, value in wanted.items()), f"the function's environment is {got}")
        expect(not any("ENDPOINT" in name or name == "RUST_LOG" for name in got), f"the environment is not the template's alone: {got}")
        stored = aws.ssm.get_parameter(Name=stack.outputs["PolicyParameterName"])["Parameter"]["Value"]
        expect(stored == POLICY, f"the policy in the parameter is {stored!r}")
        mappings = aws.lambda_.list_event_source_mappings(FunctionName=stack.outputs["FunctionName"])["EventSourceMappings"]
        queues = {one["EventSourceArn"] for one in mappings if one["FunctionResponseTypes"] == ["ReportBatchItemFailures"]}
        expect(queues == {self.stack.arn("WorkQueueUrl"), self.stack.arn("ScanQueueUrl")}, f"the function is fed from {queues}")
        size = (stack.build / "Function/bootstrap").stat().st_size
        kinds = len(stack.resources("AWS::CloudWatch::Alarm"))
        self.tell(f"deployed by `sam deploy`: bootstrap of {size:,} bytes ({stack.architecture}), {len(self.bus.patterns)} rules with a pattern, {kinds} alarms")

    def created(self):
        for stream in STREAMS:
            self.create(stream)
        events = {name: self.put(name) for name in CREATED}
        for name, stream in CREATED.items():
            said = self.final(events[name], name)
            self.sealed(said, stream, self.keys[0])
            expect(said["proof"]["state"] == "proven", f"{name}: the proof is {said['proof']}")
            record = [one for one in self.records(stream) if one["SequenceNumber"] == said["proof"]["sequence_number"]]
            expect([one.get("EncryptionType") for one in record] == ["KMS"], f"{name}: the record of the proof is {record}")
            expect(len(self.records(stream)) == 1, f"{stream} has more than one record")
        self.tell(f"{len(CREATED)} new streams are sealed with the alias's key, each proven by its one encrypted record")

    def sealed(self, said, stream, key):
        expect((said["compliance"], said["reason"], said["stream"]["name"]) == ("COMPLIANT", "right-key", stream), f"{stream}: {brief(said)}")
        expect(self.setting(stream) == ("ACTIVE", "KMS", key), f"{stream} is {self.setting(stream)}, not on {key}")

    def stopped(self):
        # Streams that the function did not start: one that it did is left for 15 minutes, since the history lags.
        for stream in STOPPED.values():
            self.create(f"{stream}-own")
        for stream in STOPPED.values():
            own = f"{stream}-own"
            is_now = lambda *wanted: lambda: self.setting(own)[:2] == wanted
            await_(f"{own} becomes ACTIVE", is_now("ACTIVE", "NONE"))
            self.aws.kinesis.start_stream_encryption(StreamName=own, EncryptionType="KMS", KeyId=self.keys[0])
            await_(f"{own} is encrypted", is_now("ACTIVE", "KMS"))
            self.aws.kinesis.stop_stream_encryption(StreamName=own, EncryptionType="KMS", KeyId=self.keys[0])
            await_(f"{own} loses its encryption", is_now("ACTIVE", "NONE"))
        for name, stream in STOPPED.items():
            said = self.final(self.put(name, texts={stream: f"{stream}-own"}), name)
            self.sealed(said, f"{stream}-own", self.keys[0])
            expect("kinesis:StartStreamEncryption" in calls(said), f"{name}: {calls(said)}")
        for stream in STOPPED.values():
            self.aws.kinesis.delete_stream(StreamName=f"{stream}-own")
        await_("they are gone", lambda: set(self.aws.kinesis.list_streams()["StreamNames"]) == set(STREAMS))
        self.tell("two streams whose encryption was stopped are encrypted again")

    def others(self):
        """Every other file: what no rule takes, and what leads to a look that changes nothing."""
        self.aws.events.enable_rule(Name=self.sweep_rule)  # It takes ministack a minute and more to come to it: see `sweep`.
        looks, scans, dropped = {}, {}, []
        before = {stream: self.setting(stream) for stream in STREAMS}
        for name, event in self.events.items():
            source = event.get("source", "")
            if not source.startswith("aws.") or source in ("aws.events", "aws.scheduler") or name in CREATED | STOPPED:
                continue
            texts = {KEY_IN_FILES: self.keys[0].split("/")[-1]} if KEY_IN_FILES in json.dumps(event) else {}
            taken = self.put(name, texts=texts)
            if taken is None:
                dropped.append(name)
            elif name in NOTED:
                await_(f"the note of {name}", lambda: [one for one in self.stack.said("note") if (one["outcome"], one["reason"]) == NOTED[name]])
            elif source in ("aws.kms", "aws.ssm"):
                scans[name] = taken
            else:
                looks[name] = taken
        for name, taken in looks.items():
            said = self.final(taken, name)
            expect(said["compliance"] == "COMPLIANT" and not writes(said), f"{name}: {brief(said)} {calls(said)}")
        # One rotation is told up to three times, and is one scan.
        rotations = {scans.pop(name) for name in ROTATIONS}
        scans["a rotation"] = await_("the scan for a rotation", lambda: rotations & {one["cause"]["event_id"] for one in self.stack.said("summary")}).pop()
        for name, taken in scans.items():
            said = self.summary(taken, name)
            counted = said["streams"]
            expect(counted["by_compliance"] == {"COMPLIANT": counted["concerned"]}, f"{name}: {counted}")
        after = {stream: self.setting(stream) for stream in STREAMS}
        expect(before == after, f"the streams were {before} and are {after}")
        expect(len(looks) >= 10 and len(scans) >= 12 and len(dropped) >= 8, f"{len(looks)} {len(scans)} {len(dropped)}")
        self.tell(f"{len(looks)} files lead to a look and {len(scans)} to a scan that change nothing; of {len(NOTED)} comes a note; no rule takes {len(dropped)}: {', '.join(dropped)}")

    def key_events(self):
        """An alias that moves re-keys; a key that is lost is told of."""
        kms, old, new = self.aws.kms, *self.keys
        kms.update_alias(AliasName=ALIAS, TargetKeyId=new)
        self.summary(self.put("kms-update-alias"), "kms-update-alias")
        for stream in STREAMS:
            self.await_setting(stream, new)
            said = self.stack.await_evidence(f"the re-key of {stream}", lambda one: one["stream"]["name"] == stream and one["after"] and one["after"]["key_arn"] == new and one["reason"] == "right-key" and writes(one))
            expect(said["before"]["key_arn"] == old and said["producers"] == "unknown", f"{stream}: {brief(said)}")
        self.tell("the alias moves, and all streams are re-keyed by way of the queue of scans")
        kms.disable_key(KeyId=new)
        lost = self.put("kms-disable-key", texts={KEY_IN_FILES: new.split("/")[-1]})
        said = self.summary(lost, "kms-disable-key")
        expect(said["streams"]["by_compliance"] == {"NON_COMPLIANT": len(STREAMS)}, f"under a disabled key: {said['streams']}")
        for stream in STREAMS:
            said = self.stack.await_evidence(f"that the key of {stream} is lost", lambda one: one["stream"]["name"] == stream and one["reason"] == "key-unusable")
            expect(said["compliance"] == "NON_COMPLIANT" and said["alarm"] and not writes(said), f"{stream}: {brief(said)}")
            expect(self.setting(stream) == ("ACTIVE", "KMS", new), f"{stream} was touched: {self.setting(stream)}")
        kms.enable_key(KeyId=new)
        found = self.put("kms-enable-key", texts={KEY_IN_FILES: new.split("/")[-1]})
        said = self.summary(found, "kms-enable-key")
        expect(said["streams"]["by_compliance"] == {"COMPLIANT": len(STREAMS)}, f"once the key is back: {said['streams']}")
        self.tell("the key is disabled: alarms and no change; it is enabled: all is well")

    def sweep(self):
        """The schedule's own rule, in ministack."""
        for stream in ("forgotten-1", "scratch-1"):
            self.create(stream)
            await_(f"{stream} is there", lambda: self.setting(stream)[0] == "ACTIVE")
        all_of_them = len(STREAMS) + 2
        said = await_("a sweep that the schedule asks for", lambda: [one for one in self.sweeps() if one["streams"]["listed"] == all_of_them])[0]
        self.aws.events.disable_rule(Name=self.sweep_rule)
        expect(said["streams"]["by_compliance"] == {"COMPLIANT": len(STREAMS), "NON_COMPLIANT": 1, "NOT_APPLICABLE": 1}, f"{said['streams']}")
        self.await_setting("forgotten-1", self.keys[1])
        expect(self.setting("scratch-1")[:2] == ("ACTIVE", "NONE"), f"scratch-1 is {self.setting('scratch-1')}")
        self.tell("the scheduled sweep finds the stream that no event told of and has it sealed, and leaves the exempt one alone")

    def sweeps(self):
        return [one for one in self.stack.said("summary") if one["scan"]["kind"] == "sweep"]

    def mode(self):
        """Another deployment over the first: the mode in a parameter, which is switched without one."""
        self.aws.ssm.put_parameter(Name="/streamseal/mode", Value="report", Type="String")
        self.deploy(ModeParameterName="/streamseal/mode", Mode="enforce", Policy=POLICY, SweepSchedule="rate(1 day)", **self.results)
        self.create("reported")
        event = self.put("kinesis-create-stream-provisioned", texts={ORDERS: "reported"})
        said = self.final(event, "a stream in report mode")
        expect((said["reason"], said["remediation"]["withheld"], said["run"]["mode"]) == ("withheld", "report-mode", "report"), brief(said))
        expect(self.setting("reported")[:2] == ("ACTIVE", "NONE"), f"report mode changed {self.setting('reported')}")
        self.aws.ssm.put_parameter(Name="/streamseal/mode", Value="enforce", Type="String", Overwrite=True)
        event = self.put("ssm-parameter-store-change", texts={"/streamseal/policy": "/streamseal/mode"})
        self.malformed()  # Meanwhile: what a new policy asks for waits until every instance has read it.
        said = self.stack.await_evidence("the evidence of the mode's event", lambda one: one["cause"]["event_id"] == event and one["stream"]["name"] == "reported" and writes(one))
        self.sealed(said, "reported", self.keys[1])
        self.tell("in report mode nothing is changed; the mode's parameter says enforce, and its event has the stream sealed")

    def direct(self):
        """What comes without a rule: commands, batches of queues and topics, Config's own call."""
        answers = {}
        for name, event in self.events.items():
            if "detail-type" in event or name == "streamseal-scan-message":
                continue
            failed, answers[name] = self.stack.invoke(event)
            expect(not failed, f"{name}: {failed} {answers[name]}")
        said = answers["streamseal-command-reconcile"]
        expect(said.get("schema") == "streamseal.evidence/v1", f"the command's answer is {said}")
        self.tell(f"{len(answers)} files without an envelope are taken by the deployed function as they are")

    def malformed(self):
        """It fails alone, five times, and lies in the dead-letter queue."""
        sqs, queue = self.aws.sqs, self.stack.outputs["WorkQueueUrl"]
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
        body = '{"detail-type": "AWS API Call via CloudTrail", "source"'
        sqs.send_message(QueueUrl=queue, MessageBody=body)
        good = self.put("kinesis-create-stream-provisioned")
        self.final(good, "an event beside a malformed one")
        found = await_("the malformed message in the dead-letter queue", lambda: sqs.receive_message(
            QueueUrl=self.stack.outputs["DeadLetterQueueUrl"], AttributeNames=["All"], MaxNumberOfMessages=10).get("Messages"))
        expect([one["Body"] for one in found] == [body], f"in the dead-letter queue are {found}")
        notes = [one for one in self.stack.said("note") if one["outcome"] == "failed"]
        expect(len(notes) == 5 and len({one["reason"] for one in notes}) == 1, f"it was refused {len(notes)} times: {notes}")
        self.tell(f"a malformed message is refused five times ({notes[0]['reason']}) and then is a dead letter; its neighbour is done")

    def said(self):
        """The log in all: nothing odd in it, and the metrics that alarms wait for."""
        lines = self.stack.lines()
        evidence, metrics = self.stack.said("evidence"), [one for one in lines if "_aws" in one]
        counted = {}
        for line in metrics:
            for directive in line["_aws"]["CloudWatchMetrics"]:
                expect(directive["Namespace"] == "Streamseal", f"{line}")
                for metric in directive["Metrics"]:
                    for dimensions in directive["Dimensions"]:
                        expect(isinstance(line[metric["Name"]], int) and all(isinstance(line[name], str) for name in dimensions), f"{line}")
                        at = (metric["Name"], tuple(sorted((name, line[name]) for name in dimensions)))
                        counted[at] = counted.get(at, 0) + line[metric["Name"]]
        by = {}
        for one in evidence:
            by[one["compliance"]] = by.get(one["compliance"], 0) + 1
        for compliance, count in by.items():
            got = counted[("Evaluations", (("Compliance", compliance),))]
            expect(got == count, f"{count} documents say {compliance}, the metrics {got}")
        alarms = self.aws.cloudwatch.describe_alarms()["MetricAlarms"]
        due, own = [], 0
        for alarm in alarms:
            if alarm["Namespace"] != "Streamseal":
                continue
            own += 1
            at = (alarm["MetricName"], tuple(sorted((one["Name"], one["Value"]) for one in alarm["Dimensions"])))
            names = {(metric, tuple(name for name, _ in dimensions)) for metric, dimensions in counted}
            expect((at[0], tuple(name for name, _ in at[1])) in names, f"{alarm['AlarmName']} waits for {at}, which nothing that was written has the names of")
            if counted.get(at, 0) > 0:
                due.append(alarm["AlarmName"])
        needed = sum(one["alarm"] for one in evidence)
        expect(counted[("Alarms", ())] >= needed > 0, f"{needed} documents are alarms, the metric says {counted[('Alarms', ())]}")
        expect(own >= 8 and any("AttentionAlarm" in name for name in due), f"{own} alarms of our own metrics, due {due}")
        left = {name: self.stack.waiting(name) for name in ("ScanDeadLetterQueueUrl", "UndeliveredQueueUrl")}
        expect(all(sum(counts) == 0 for counts in left.values()), f"left in the queues: {left}")
        self.tell(f"{len(evidence)} documents of evidence, each counted by the metrics; every one of the {own} alarms waits for a metric that is written under its names")

    def result_bus(self):
        """A bus with a rule of its own for the results."""
        arn = self.aws.events.create_event_bus(Name="results")["EventBusArn"]
        queue = self.aws.sqs.create_queue(QueueName="results")["QueueUrl"]
        target = self.aws.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.aws.events.put_rule(Name="results", EventBusName="results", EventPattern=json.dumps({"source": ["streamseal"]}))
        self.aws.events.put_targets(Rule="results", EventBusName="results", Targets=[{"Id": "results", "Arn": target}])
        return {"ResultBusArn": arn}

    def result_events(self):
        """Each run's document has come by the bus too. The line is there first, and the last sweep is not over yet."""
        queue, seen = self.aws.sqs.get_queue_url(QueueName="results")["QueueUrl"], []

        def missing():
            runs = {one["run"]["id"]: f"{one['run']['id']} of {one['stream']['name']} ({one['reason']}) by {one['cause']['call']}" for one in self.stack.said("evidence")}
            while found := self.aws.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
                for message in found:
                    seen.append(json.loads(message["Body"]))
                    self.aws.sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            told = {one["detail"]["run"]["id"] for one in seen if one["detail-type"] == "Streamseal Evidence"}
            return [words for run, words in runs.items() if run not in told]

        with contextlib.suppress(Failed):
            await_("a result event of each run comes by the bus", lambda: not missing())
        left = missing()
        expect(not left, f"of {len(seen)} result events none is of the runs {left}")
        lost = [one for one in self.stack.said("note") if one["outcome"] == "lost"]
        expect(not lost, f"results were lost: {lost}")
        self.tell(f"{len(seen)} result events came by the bus, one for each run at least")

    def results_lost(self):
        """Another deployment, with a bus that takes nothing from here: all is done as before, and the loss is told."""
        self.deploy(ResultBusArn=f"arn:aws:events:{self.aws.region}:999988887777:event-bus/results")
        failed, said = self.stack.invoke({"action": "reconcile", "stream": ORDERS})
        expect(not failed and said["compliance"] == "COMPLIANT", f"without its bus the function answers {failed} {said}")
        notes = await_("a note of what is lost", lambda: [one for one in self.stack.said("note") if one["outcome"] == "lost"])
        expect({one["reason"] for one in notes} == {"Refused"}, f"the notes are {notes}")
        self.tell("a bus that refuses the results changes nothing but a note and the metric that the alarm waits for")

    def deleted(self):
        group, function = self.stack.outputs["LogGroupName"], self.stack.outputs["FunctionName"]
        self.aws.cloudformation.delete_stack(StackName=self.stack.name)
        self.aws.cloudformation.get_waiter("stack_delete_complete").wait(StackName=self.stack.name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        left = [one["FunctionName"] for one in self.aws.lambda_.list_functions()["Functions"]] + self.aws.sqs.list_queues(QueueNamePrefix="streamseal-").get("QueueUrls", [])
        left += [one["Name"] for one in self.aws.events.list_rules()["Rules"]] + [one["AlarmName"] for one in self.aws.cloudwatch.describe_alarms()["MetricAlarms"]]
        left += [one["Name"] for one in self.aws.ssm.describe_parameters()["Parameters"] if one["Name"] != "/streamseal/mode"]
        expect(not left, f"the deleted stack {function} leaves {left}")
        groups = [one["logGroupName"] for one in self.aws.logs.describe_log_groups()["logGroups"]]
        expect(group in groups, f"the log with the evidence is gone: {groups}")
        self.tell("the stack is deleted, and nothing of it is left but the log with the evidence")


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".aws-sam/build")
    with parts() as running:
        test = Test(running, build)
        try:
            test.run()
        except Failed:
            if hasattr(test.stack, "outputs"):
                with contextlib.suppress(Exception):
                    print("the function's log ends with:", *[json.dumps(one)[:600] for one in test.stack.lines()[-15:]], sep="\n", file=sys.stderr)
            raise


if __name__ == "__main__":
    try:
        run(main)
    except KeyboardInterrupt:
        sys.exit("stack-test: interrupted")
