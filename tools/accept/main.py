"""Tries the stack in an AWS account: deploys it, goes through a stream's life, asks AWS what its documentation does not say, and removes everything.

    make accept [PROFILE=..] [REGION=..] [YES=1] [LONG=1]      in an account; asks for what is not given, shows what it makes and costs, asks once more
    make accept-clean PREFIX=streamseal-accept-.. [PROFILE=..] [REGION=..]      removes what a run left that was killed
    make accept-here                                           against the emulators, where only AWS could answer most of it

Everything that it makes has one fresh prefix in its name, or is part of a stack that has. The policy that it deploys knows the streams with that prefix
and leaves all others alone. What is asked is listed in docs/aws-unconfirmed.md with what AWS was seen to do and the guard in the code; nothing in the
product depends on the answers, so that a REFUTED is news and no failure. An answer against what was seen is marked. Status 1: a step of the life failed, or something could not be removed.

--here then fails on purpose after each step in turn, and looks whether anything is left in the emulators.
"""

import argparse
import contextlib
import datetime
import json
import os
import re
import secrets
import signal
import sys
import time

from emulators.procs import ROOT, Failed
from emulators.stacks import Account, Bus, Stack, await_, boto3, botocore, brief, calls, code, emulated, expect, gone, parts, writes, yaml_parse

PREFIX = "streamseal-accept-"
TAG = "streamseal-accept"
REFUSED = (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError)
ONLY_AWS = "only AWS can answer"
# What the SDK takes rather than the profile that AWS_PROFILE names, and what it takes where there is no profile.
SECRETS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"]
CONTAINER = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
# Seconds between two looks into CloudTrail's history: an account may look twice a second, and the function looks there too.
HISTORY_EVERY = 15
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STEPS = ["bucket", "keys", "deployment", "streams", "life", "questions"]
# List prices of us-east-1 in US dollars, as AWS publishes them (Kinesis, KMS, CloudWatch, Lambda: pricing pages, 2026); other Regions ask up to twice that.
SHARD_HOUR, ON_DEMAND_HOUR, KEY_MONTH, ALARM_MONTH, REST = 0.015, 0.04, 1.00, 0.10, 0.02
STREAMS, KEYS, HOURS = 11, 7, {False: 1.5, True: 3.0}


class Injected(Failed):
    """A failure that was asked for."""


class Accept:
    def __init__(self, aws, prefix, long=False, bus=None, fail_after=None, build=ROOT / ".aws-sam/build"):
        self.aws, self.prefix, self.long, self.moto, self.fail_after = aws, prefix, long, bus, fail_after
        self.here = aws.emulated
        self.patience = 180 if self.here else 1800  # CloudTrail and EventBridge take minutes.
        self.stack = Stack(aws, prefix, build)
        self.keys, self.rows, self.types, self.began = [], [], set(), time.monotonic()
        self.account = aws.sts.get_caller_identity()["Account"]
        self.partition = aws.session.get_partition_for_region(aws.region)

    # What it makes.

    def step(self, name, work):
        """One step; where the failing is asked for, after it."""
        self.say(name)
        work()
        if self.fail_after == name:
            raise Injected(f"on purpose, after {name}")

    def say(self, words):
        print(f"  {time.monotonic() - self.began:5.0f} s  {words}", flush=True)

    def run(self):
        for name in STEPS:
            self.step(name, getattr(self, f"make_{name}"))
        return all(result != "FAILED" for _, _, result, _ in self.rows)

    def make_bucket(self):
        where = {} if self.aws.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.aws.region}}
        self.aws.s3.create_bucket(Bucket=self.prefix, **where)

    def make_keys(self):
        self.first, self.second = self.key("first"), self.key("second")
        self.alias = f"alias/{self.prefix}"
        self.aws.kms.create_alias(AliasName=self.alias, TargetKeyId=self.first)

    def key(self, name, **kind):
        """A new key, which its tag and an alias of its own say is ours."""
        made = self.aws.kms.create_key(Description=f"{self.prefix} {name}", Tags=[{"TagKey": TAG, "TagValue": self.prefix}], **kind)
        self.keys.append(made["KeyMetadata"]["Arn"])
        self.aws.kms.create_alias(AliasName=f"alias/{self.prefix}/{name}", TargetKeyId=self.keys[-1])
        return self.keys[-1]

    def make_deployment(self):
        policy = f"""version: 1
defaults:
  existing: enforce
  settle: {{ terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s }}
rules:
  - {{ name: life, match: {{ stream: "{self.prefix}-life*" }}, key: {self.alias} }}
  - {{ name: others, exempt: {{ reason: "no part of the acceptance" }} }}
"""
        self.stack.deploy(self.prefix, Mode="enforce", Policy=policy, KeyArns=f"{self.first},{self.second}", LogRetentionDays=1, CreateDashboard="false")
        if self.moto:
            self.bus = Bus(self.moto, self.stack)
            self.bus.mirror()
        self.trail = bool(self.moto) or self.has_trail()
        self.functions = self.stack.outputs["FunctionName"]

    def has_trail(self):
        """Whether a trail tells EventBridge of management writes in this Region."""
        trail = self.aws.cloudtrail
        for one in trail.describe_trails()["trailList"]:
            if one.get("IsMultiRegionTrail") or one["HomeRegion"] == self.aws.region:
                with contextlib.suppress(botocore.exceptions.ClientError):
                    if trail.get_trail_status(Name=one["TrailARN"])["IsLogging"] and records_writes(trail.get_event_selectors(TrailName=one["TrailARN"])):
                        return True
        return False

    def make_streams(self):
        self.life, self.missed = f"{self.prefix}-life", f"{self.prefix}-life-missed"
        self.new_stream(self.life)

    def new_stream(self, name):
        self.aws.kinesis.create_stream(StreamName=name, ShardCount=1)
        return time.time()

    def arn(self, stream):
        return f"arn:{self.partition}:kinesis:{self.aws.region}:{self.account}:stream/{stream}"

    def setting(self, stream):
        found = self.aws.kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        return found["StreamStatus"], found.get("EncryptionType") or "NONE", found.get("KeyId")

    def await_active(self, stream, what="becomes ACTIVE"):
        await_(f"{stream} {what}", lambda: self.ready(stream), 300)

    def ready(self, stream):
        with gone("ResourceNotFoundException"):
            return self.setting(stream)[0] == "ACTIVE"
        return False

    def start(self, stream, key):
        self.aws.kinesis.start_stream_encryption(StreamARN=self.arn(stream), EncryptionType="KMS", KeyId=key)

    # A stream's life.

    def make_life(self):
        for name, words in [
            ("created", "a new stream is encrypted and proven with a record"), ("rekeyed", "an alias that moves re-keys the stream"),
            ("stopped", "a stream whose encryption was stopped is encrypted again"), ("disabled", "a key that is disabled is an alarm, and no change"),
            ("swept", "a sweep finds what no event told of"),
        ]:
            if any(result == "FAILED" for _, _, result, _ in self.rows):
                self.row(name, words, "not reached")
                continue
            try:
                found = getattr(self, name)()
                self.row(name, words, "holds", found)
            except Exception as failure:  # Whatever it is, the rest goes on.
                self.row(name, words, "FAILED", self.told(failure))

    def told(self, failure):
        """A failure in words. One that is our own mistake has its kind too; against the emulators, where mistakes are to be seen, it ends the run."""
        if isinstance(failure, (Failed, *REFUSED)):
            return str(failure)
        if self.here:
            raise failure
        return f"{type(failure).__name__}: {failure}"

    def row(self, name, words, result, found=""):
        self.rows.append((name, words, result, found))
        if result != ONLY_AWS:
            self.say(f"{result}: {words}{f' ({found})' if found else ''}")

    def tell(self, file, stream=None, key=None):
        """Has the function learn of it: on AWS by the trail, here by an event of the same kind; where there is no trail, by asking for it."""
        if self.here:
            event = json.loads((ROOT / f"events/{file}.json").read_text())
            event |= {"account": self.account, "region": self.aws.region}
            wanted = event["detail"]["requestParameters"]
            event["detail"] |= {"awsRegion": self.aws.region, "recipientAccountId": self.account}
            event["detail"]["requestParameters"] = wanted | ({"streamName": stream} if stream else {}) | ({"aliasName": self.alias} if "aliasName" in wanted else {})
            if key:
                text = json.dumps(event).replace("7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13", key.split("/")[-1])
                event = json.loads(text)
            expect(self.bus.put(file, event), f"no rule takes {file}")
        elif not self.trail:
            failed, answer = self.stack.invoke({"action": "reconcile", "stream": stream or self.life})
            expect(not failed, f"the function failed: {answer}")

    def final(self, stream, since, fits):
        """The newest evidence of a stream since then that fits."""
        late = lambda one: one["stream"]["name"] == stream and datetime.datetime.fromisoformat(one["run"]["started_at"][:19] + "+00:00").timestamp() >= int(since)
        return self.stack.await_evidence(f"evidence of {stream}", lambda one: late(one) and one["reason"] != "unfinished" and fits(one), self.patience)

    def created(self):
        since = time.time() - 5
        self.tell("kinesis-create-stream-provisioned", self.life)
        said = self.final(self.life, since - 600, lambda one: one["proof"]["state"] == "proven")
        expect(said["reason"] == "right-key", brief(said))
        expect(self.setting(self.life)[:2] == ("ACTIVE", "KMS"), f"it is {self.setting(self.life)}")
        self.sealed_at = said["run"]["finished_at"]
        records = self.read(self.life)
        # Whether a record that is read back says KMS is a question of its own: `record-read-back`.
        types = [one.get("EncryptionType", "KMS") for one in records if one["SequenceNumber"] == said["proof"]["sequence_number"]]
        expect(types == ["KMS"], f"of the record of the proof the stream has {types}")
        return f"by {said['cause']['call']}, proven by {said['proof']['sequence_number']}"

    def read(self, stream):
        kinesis, found = self.aws.kinesis, []
        [shard] = kinesis.list_shards(StreamARN=self.arn(stream))["Shards"]
        place = kinesis.get_shard_iterator(StreamARN=self.arn(stream), ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        for _ in range(5):  # The first answers may be empty.
            answer = kinesis.get_records(ShardIterator=place)
            found += answer["Records"]
            place = answer["NextShardIterator"]
            if found:
                break
            time.sleep(1)
        return found

    def stopped(self):
        """What the function started less than 15 minutes ago is left until they are over, since CloudTrail's history lags. Here it is another stream."""
        stream = self.life
        if self.here:
            stream = f"{self.life}-stopped"
            self.new_stream(stream)
            self.await_active(stream)
            self.start(stream, self.second)
            await_(f"{stream} is encrypted", lambda: self.setting(stream)[:2] == ("ACTIVE", "KMS"), 300)
        since = time.time()
        self.aws.kinesis.stop_stream_encryption(StreamARN=self.arn(stream), EncryptionType="KMS", KeyId=self.setting(stream)[2])
        starts = lambda one: one["reason"] == "right-key" and "kinesis:StartStreamEncryption" in calls(one)
        again = lambda: any(one["stream"]["name"] == stream and starts(one) and instant(one["run"]["started_at"]) >= int(since) for one in self.stack.said("evidence"))
        await_(f"{stream} loses its encryption", lambda: self.setting(stream)[1] == "NONE" or again(), 300)
        self.tell("kinesis-stop-stream-encryption", stream)
        said = self.final(stream, since, starts)
        self.await_active(stream)
        expect(self.setting(stream)[1] == "KMS", f"it is {self.setting(stream)}")
        return f"by {said['cause']['call']}, {time.time() - since:.0f} s after the Stop"

    def rekeyed(self):
        since = time.time()
        self.aws.kms.update_alias(AliasName=self.alias, TargetKeyId=self.second)
        self.tell("kms-update-alias")
        said = self.final(self.life, since, lambda one: one["after"] and one["after"]["key_arn"] == self.second and writes(one))
        expect(said["before"]["key_arn"] == self.first, brief(said))
        return f"by {said['cause']['call']}, {time.time() - since:.0f} s after the alias moved"

    def disabled(self):
        since = time.time()
        self.aws.kms.disable_key(KeyId=self.second)
        try:
            self.tell("kms-disable-key", key=self.second)
            said = self.final(self.life, since, lambda one: one["reason"] == "key-unusable")
            expect(said["alarm"] and not writes(said), brief(said))
            expect(self.setting(self.life)[1] == "KMS", f"it is {self.setting(self.life)}")
        finally:
            self.aws.kms.enable_key(KeyId=self.second)
        return said["annotation"][:100]

    def swept(self):
        """A stream that is made where the function is told nothing: on AWS its event may come first, which is as good."""
        since = time.time()
        self.new_stream(self.missed)
        self.await_active(self.missed)
        failed, answer = self.stack.invoke({"action": "sweep"})
        expect(not failed, f"the function failed: {answer}")
        said = self.final(self.missed, since, lambda one: one["reason"] == "right-key" and writes(one))
        expect(self.setting(self.missed)[1] == "KMS", f"it is {self.setting(self.missed)}")
        return f"by {said['cause']['call']}"

    # What AWS does not say.

    def make_questions(self):
        for name, (words, seen, how) in questions().items():
            ask = getattr(self, "ask_" + name.replace("-", "_"), None)
            if how.startswith("not asked"):
                self.row(name, words, "not asked", how.split(": ", 1)[1])
                continue
            if "LONG" in how and not self.long:
                self.row(name, words, "not asked", "takes longer: LONG=1")
                continue
            try:
                answer = ask()
                result, found = answer if isinstance(answer, tuple) else ("ANSWERED", answer)
                if {result, seen} in ({"CONFIRMED", "REFUTED"}, {"CONFIRMED", "NOT SEEN"}):
                    found = f"NOT AS SEEN BEFORE ({seen}): {found}"
            except Exception as failure:  # No question may take the others with it.
                result, found = "NO ANSWER", self.told(failure)
            if self.here:  # Whatever the emulators answered, they are not AWS: it shows that the question can be asked.
                self.say(f"{name}: the emulators: {result}, {found}")
                result, found = ONLY_AWS, ""
            self.row(name, words, result, found)

    def asked(self, name):
        """A stream of its own for a question, which the function's policy leaves alone; ACTIVE."""
        stream = f"{self.prefix}-ask-{name}"
        self.new_stream(stream)
        self.await_active(stream)
        return stream

    def shared(self):
        """One stream for the questions that do not disturb each other."""
        if not hasattr(self, "stream"):
            self.stream = self.asked("any")
            self.start(self.stream, self.first)
            self.await_active(self.stream)
        return self.stream

    def refusal(self, work):
        """The error of a call, or None where it is accepted."""
        try:
            work()
        except botocore.exceptions.ClientError as error:
            return f"{code(error)}: {error.response['Error'].get('Message', '')[:160]}"
        return None

    def put(self, stream, **more):
        return self.aws.kinesis.put_record(StreamARN=self.arn(stream), Data=b"x", PartitionKey="streamseal-accept", **more)

    def ask_same_key(self):
        stream = self.shared()
        refused = self.refusal(lambda: self.start(stream, self.first))
        seen = {self.setting(stream)[0] for _ in range(10)}
        self.await_active(stream)
        return f"refused with {refused}" if refused else f"accepted; then the status was {' and '.join(sorted(seen))}"

    def ask_keyid_echo(self):
        stream, forms = self.asked("echo"), [self.first, self.first.split("/")[-1], f"alias/{self.prefix}/first"]
        got = []
        for form in forms:
            self.start(stream, form)
            self.await_active(stream)
            got.append(self.setting(stream)[2])
        return ("CONFIRMED" if got == forms else "REFUTED"), f"{', '.join(map(str, got))}"

    def ask_alias_follows(self):
        stream, alias = self.asked("follows"), f"alias/{self.prefix}/follows"
        self.aws.kms.create_alias(AliasName=alias, TargetKeyId=self.first)
        self.start(stream, alias)
        self.await_active(stream)
        self.aws.kms.update_alias(AliasName=alias, TargetKeyId=self.second)
        moved = datetime.datetime.now(datetime.timezone.utc)
        if self.here:
            return "asked"
        for _ in range(14):  # Data keys live some five minutes.
            time.sleep(30)
            self.put(stream)
        after = moved + datetime.timedelta(minutes=6)
        used = await_("CloudTrail to tell which key was used", lambda: self.used_keys(stream, after), 1800, HISTORY_EVERY)
        return f"six minutes after the move its records took {', '.join(sorted(used))}"

    def used_keys(self, stream, since):
        """The keys that GenerateDataKey was called with for a stream."""
        found = set()
        for record in self.recorded("GenerateDataKey", since):
            if (record.get("requestParameters") or {}).get("encryptionContext", {}).get("aws:kinesis:arn") == self.arn(stream):
                found |= {"the new key" if one["ARN"] == self.second else "the old key" for one in record["resources"]}
        return found

    def recorded(self, call, since):
        pages = self.aws.cloudtrail.get_paginator("lookup_events")
        found = pages.paginate(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": call}], StartTime=since)
        return [json.loads(one["CloudTrailEvent"]) for page in found for one in page["Events"]]

    def ask_updating_shows(self):
        stream = self.shared()
        self.start(stream, self.second)
        seen = []
        for _ in range(200):
            status, kind, key = self.setting(stream)
            if status == "UPDATING":
                seen.append("new" if key == self.second else "old")
            elif key == self.second:
                break
            time.sleep(0.1)
        self.start(stream, self.first)
        self.await_active(stream)
        return f"while UPDATING the key was {' then '.join(dict.fromkeys(seen))}" if seen else "it was never seen UPDATING"

    def ask_describe_lags(self):
        stream = self.asked("lags")
        self.start(stream, self.first)
        first, began = self.setting(stream), time.monotonic()
        await_("the setting is in force", lambda: self.setting(stream)[:2] == ("ACTIVE", "KMS"), 300)
        lags = first[:2] == ("ACTIVE", "NONE")
        return ("CONFIRMED" if lags else "not seen"), f"the first describe was {first[0]}, {first[1]}; in force after {time.monotonic() - began:.1f} s"

    def ask_new_not_found(self):
        stream, unknown = f"{self.prefix}-ask-new", 0
        self.new_stream(stream)
        for _ in range(10):
            with gone("ResourceNotFoundException"):
                self.setting(stream)
                break
            unknown += 1
        self.await_active(stream)
        return ("CONFIRMED" if unknown else "not seen"), f"unknown to the first {unknown} describes"

    def ask_propagation(self):
        stream = self.asked("propagation")
        self.types.add(self.put(stream).get("EncryptionType"))  # Of a record that is not encrypted, for `answer-without-type`.
        self.start(stream, self.first)
        await_("the setting is in force", lambda: self.setting(stream)[:2] == ("ACTIVE", "KMS"), 300)
        began, last = time.monotonic(), None
        for _ in range(40):
            kind = self.put(stream).get("EncryptionType")
            self.types.add(kind)
            if kind != "KMS":
                last = time.monotonic() - began
            time.sleep(0.25)
        return f"the last record without encryption came {last:.1f} s after ACTIVE" if last is not None else "every record since ACTIVE was encrypted"

    def ask_answer_without_type(self):
        expect(self.types, "no record was put for `propagation`")
        return ("REFUTED" if None in self.types else "CONFIRMED"), f"the answers had {', '.join(sorted(map(str, self.types)))}"

    def ask_record_read_back(self):
        stream = self.shared()
        put = self.put(stream)
        [record] = await_("the record can be read", lambda: [one for one in self.read(stream) if one["SequenceNumber"] == put["SequenceNumber"]], 60)
        kind = record.get("EncryptionType")
        return ("CONFIRMED" if kind == "KMS" else "REFUTED"), f"PutRecord answered {put.get('EncryptionType')}, GetRecords {kind}"

    def denied_stream(self):
        """A stream on a key whose policy lets nobody use it through Kinesis any more."""
        if not hasattr(self, "denied"):
            stream, self.denied_key = self.asked("denied"), self.key("denied")
            self.start(stream, self.denied_key)
            self.await_active(stream)
            policy = json.loads(self.aws.kms.get_key_policy(KeyId=self.denied_key, PolicyName="default")["Policy"])
            through = {"StringEquals": {"kms:ViaService": f"kinesis.{self.aws.region}.amazonaws.com"}}
            policy["Statement"].append({"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "kms:GenerateDataKey*", "Resource": "*", "Condition": through})
            self.denied_at = datetime.datetime.now(datetime.timezone.utc)
            self.aws.kms.put_key_policy(KeyId=self.denied_key, PolicyName="default", Policy=json.dumps(policy))
            self.denied = stream
        return self.denied

    def denial(self):
        """How PutRecord is refused by the key's policy: maybe only once data keys that Kinesis has are stale, some five minutes later."""
        stream = self.denied_stream()
        refused = self.refusal(lambda: self.put(stream))
        while not refused and not self.here and datetime.datetime.now(datetime.timezone.utc) < self.denied_at + datetime.timedelta(minutes=10):
            time.sleep(10)
            refused = self.refusal(lambda: self.put(stream))
        return refused

    def ask_dry_run_key(self):
        refused, stream = self.denial(), self.denied_stream()
        try:
            self.put(stream, DryRun=True)
            dry = None
        except botocore.exceptions.ClientError as error:
            dry = code(error)
        found = f"refused with {refused or 'nothing'}, and with DryRun {dry or 'accepted: a record was written'}"
        if not refused or not dry:
            return "NO ANSWER", found
        return ("REFUTED" if dry == "DryRunOperationException" else "CONFIRMED"), found

    def ask_kms_denial(self):
        stream = self.denied_stream()
        if self.here:
            return "asked"
        refused = self.denial()
        if not refused:
            return "NO ANSWER", "records were taken for ten minutes"
        is_it = lambda one: one.get("errorCode") and self.denied_key.split("/")[-1] in json.dumps(one)
        shown = lambda: [one for call in ("GenerateDataKey", "GenerateDataKeyWithoutPlaintext") for one in self.recorded(call, self.denied_at) if is_it(one)]
        record = await_("CloudTrail to show the refusal", shown, 1800, HISTORY_EVERY)[0]
        points = await_("CloudWatch to count the refusal", lambda: self.successes(stream), 900, 30)
        parts = {name: sorted(record.get(name) or ["null"]) for name in ("requestParameters", "userIdentity")}
        return (
            f"PutRecord {refused}; CloudTrail has {record['eventName']} {record['errorCode']}, {parts}, {len(record.get('resources') or [])} resources; "
            f"PutRecord.Success is {sum(one['Sum'] for one in points):.0f} of {sum(one['SampleCount'] for one in points):.0f}"
        )

    def successes(self, stream):
        """Each minute's PutRecord.Success since the key's policy was changed."""
        return self.aws.cloudwatch.get_metric_statistics(
            Namespace="AWS/Kinesis", MetricName="PutRecord.Success", Dimensions=[{"Name": "StreamName", "Value": stream}], Period=60,
            StartTime=self.denied_at, EndTime=datetime.datetime.now(datetime.timezone.utc), Statistics=["Sum", "SampleCount"],
        )["Datapoints"]

    def ask_name_and_arn(self):
        ask = lambda: self.aws.kinesis.describe_stream_summary(StreamName=self.life, StreamARN=self.arn(self.shared()))["StreamDescriptionSummary"]["StreamName"]
        try:
            got = ask()
            return f"the {'name' if got == self.life else 'ARN'} holds"
        except botocore.exceptions.ClientError as error:
            return f"refused with {code(error)}"

    def ask_quota_text(self):
        stream = self.asked("quota")
        if self.here:
            return "asked"
        for count in range(27):
            refused = self.refusal(lambda: self.start(stream, [self.first, self.second][count % 2]))
            if refused:
                stop = self.refusal(lambda: self.aws.kinesis.stop_stream_encryption(StreamARN=self.arn(stream), EncryptionType="KMS", KeyId=self.setting(stream)[2]))
                return f"Start {count + 1}: {refused}; a Stop then: {stop or 'accepted'}"
            self.await_active(stream)
        return "27 Starts were accepted"

    def ask_multi_region_id(self):
        key, stream = self.key("multi", MultiRegion=True), self.shared()
        refused = self.refusal(lambda: self.start(stream, key.split("/")[-1]))
        self.await_active(stream)
        return ("REFUTED", refused) if refused else ("CONFIRMED", "taken")

    def ask_wrong_kind_of_key(self):
        key, stream = self.key("hmac", KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC"), self.shared()
        refused = self.refusal(lambda: self.start(stream, key))
        self.await_active(stream)
        return refused or "accepted"

    def ask_unusable_key(self):
        key, stream = self.key("lost"), self.shared()
        self.aws.kms.disable_key(KeyId=key)
        disabled = self.refusal(lambda: self.start(stream, key))
        self.await_active(stream)
        self.aws.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
        pending = self.refusal(lambda: self.start(stream, key))
        self.await_active(stream)
        return f"disabled: {disabled or 'accepted'}; to be deleted: {pending or 'accepted'}"

    def lost_stream(self):
        """A stream on a key that is disabled."""
        if not hasattr(self, "lost"):
            stream, self.lost_key = self.asked("lost"), self.key("left")
            self.start(stream, self.lost_key)
            self.await_active(stream)
            self.put(stream)
            self.aws.kms.disable_key(KeyId=self.lost_key)
            self.lost, self.disabled_at = stream, time.monotonic()
        expect(self.setting(self.lost)[2] == self.lost_key, "the stream has left the lost key already")
        return self.lost

    def ask_lost_key_writes(self):
        stream = self.lost_stream()
        if self.here:
            return "asked"
        while time.monotonic() - self.disabled_at < 900:
            refused = self.refusal(lambda: self.put(stream))
            if refused:
                return f"for {time.monotonic() - self.disabled_at:.0f} s, then {refused}"
            time.sleep(5)
        return "for 15 minutes at least"

    def ask_leave_lost_key(self):
        stream = self.lost_stream()
        meanwhile = self.setting(stream)[0]
        refused = self.refusal(lambda: self.start(stream, self.first))
        self.await_active(stream)
        left = self.setting(stream)[2] == self.first
        return ("REFUTED" if refused or not left else "CONFIRMED"), refused or f"it was {meanwhile} meanwhile; {'left' if left else 'not left'}"

    def ask_start_permissions(self):
        document = self.aws.iam.get_role_policy(RoleName=self.stack.outputs["RoleArn"].split("/")[-1], PolicyName="streamseal")["PolicyDocument"]
        allowed = sorted({action for one in document["Statement"] for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"]) if action.startswith("kms:")})
        done = [row for row in self.rows if row[0] == "created" and row[2] == "holds"]
        return ("CONFIRMED" if done else "NO ANSWER"), f"the role's {', '.join(allowed)} {'are enough' if done else 'were not tried'}"

    def ask_first_use(self):
        before = [one for one in self.aws.kms.get_paginator("list_aliases").paginate().build_full_result()["Aliases"] if one["AliasName"] == "alias/aws/kinesis" and one.get("TargetKeyId")]
        if before:
            return "NO ANSWER", "this account has used it before"
        refused = self.refusal(lambda: self.aws.kms.describe_key(KeyId="alias/aws/kinesis"))
        return ("REFUTED", refused) if refused else ("CONFIRMED", "described, and thereby made")

    def record_of(self, call, stream):
        """CloudTrail's newest record of a call about a stream, once the history has it. Nobody but the function starts the encryption of `life`."""
        if self.here:
            raise Failed("CloudTrail does not see the emulator of Kinesis")
        since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=3)
        fits = lambda one: stream in json.dumps(one.get("requestParameters"))
        return await_(f"CloudTrail to show {call}", lambda: [one for one in self.recorded(call, since) if fits(one)], 1800, HISTORY_EVERY)[0]

    def forms(self, *of):
        """The parameters' names of calls about streams, as CloudTrail has them."""
        found = {call: self.record_of(call, stream)["requestParameters"] for call, stream in of}
        return "; ".join(f"{call} has {', '.join(sorted(parameters))}" for call, parameters in found.items())

    def ask_trail_selectors(self):
        stream = self.shared()
        self.aws.kinesis.tag_resource(ResourceARN=self.arn(stream), Tags={TAG: self.prefix})
        self.aws.kinesis.untag_resource(ResourceARN=self.arn(stream), TagKeys=[TAG])
        return self.forms(("StartStreamEncryption", self.life), ("StopStreamEncryption", self.life), ("TagResource", stream), ("UntagResource", stream))

    def ask_trail_forms(self):
        stream = f"{self.prefix}-ask-forms"
        self.aws.kinesis.create_stream(StreamName=stream, StreamModeDetails={"StreamMode": "ON_DEMAND"}, Tags={TAG: self.prefix})
        self.await_active(stream)
        self.aws.kinesis.update_stream_mode(StreamARN=self.arn(stream), StreamModeDetails={"StreamMode": "PROVISIONED"})
        self.await_active(stream)
        self.aws.kinesis.delete_stream(StreamARN=self.arn(stream), EnforceConsumerDeletion=True)  # It is the dearest one.
        return self.forms(("CreateStream", stream), ("UpdateStreamMode", stream))

    def ask_trail_role(self):
        role = self.stack.outputs["RoleArn"]
        issuer = self.record_of("StartStreamEncryption", self.life)["userIdentity"].get("sessionContext", {}).get("sessionIssuer", {}).get("arn")
        return ("CONFIRMED" if issuer == role else "REFUTED"), str(issuer)

    def ask_trail_lag(self):
        stream, began = self.shared(), time.monotonic()
        self.aws.kinesis.add_tags_to_stream(StreamARN=self.arn(stream), Tags={TAG: self.prefix})
        self.record_of("AddTagsToStream", stream)
        return f"{time.monotonic() - began:.0f} s, looked every {HISTORY_EVERY} s"

    def ask_event_lag(self):
        if not self.trail:
            return "NO ANSWER", "there is no trail with management events here"
        told = [one for one in self.stack.said("evidence") if one["stream"]["name"] == self.life and one["cause"]["call"] == "CreateStream" and one["cause"]["at"]]
        lag = lambda one: (instant(one["cause"]["first_seen"]) - instant(one["cause"]["at"]))
        return f"{min(map(lag, told)):.0f} s from the call to the function" if told else ("NO ANSWER", "no run was caused by the event")

    # The end.

    def table(self):
        if not self.rows:
            return
        width = max(len(name) for name, *_ in self.rows)
        print(f"\n{'':{width}}  {'result':<20}  what")
        for name, words, result, found in self.rows:
            print(f"{name:<{width}}  {result:<20}  {words}{f': {found}' if found else ''}")


def records_writes(selectors):
    """Whether a trail with these selectors records every management write. One that leaves some out is taken for none: then the function is asked."""
    def advanced(fields):
        found = {one.pop("Field"): one for one in map(dict, fields)}
        return found.pop("eventCategory", None) == {"Equals": ["Management"]} and found in ({}, {"readOnly": {"Equals": ["false"]}})

    basic = lambda one: one.get("IncludeManagementEvents", True) and one.get("ReadWriteType", "All") != "ReadOnly" and "kms.amazonaws.com" not in one.get("ExcludeManagementEventSources", [])
    return any(map(basic, selectors.get("EventSelectors") or [])) or any(advanced(one["FieldSelectors"]) for one in selectors.get("AdvancedEventSelectors") or [])


def instant(text):
    return datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp()


def questions():
    """The table of docs/aws-unconfirmed.md: id to what is not documented, what was seen (CONFIRMED, REFUTED, NOT SEEN, SEEN or OPEN) and how it is asked.
    What it says of the code has to be there, and every question here."""
    rows = {}
    for line in (ROOT / "docs/aws-unconfirmed.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| ") or cells[0] == "id":
            continue
        expect(len(cells) == 5, f"docs/aws-unconfirmed.md, {cells[0]}: {len(cells)} cells, not 5")
        name, words, seen, guard, how = cells
        verdict = re.match(r"\*\*(confirmed|refuted|seen|not seen)\*\*|open\b", seen)
        expect(verdict, f"docs/aws-unconfirmed.md, {name}: `{seen}`")
        for path, names in re.findall(r"`([a-z0-9/_]+\.rs)`((?: (?:and )?`[A-Za-z_:]+`,?)*)", guard):
            text = (ROOT / "src" / path).read_text()
            for one in re.findall(r"`([A-Za-z_:]+)`", names):
                expect(one.split("::")[-1] in text, f"docs/aws-unconfirmed.md, {name}: src/{path} has no {one}")
        expect(how.startswith("not asked: ") or how in ("asked", "asked with LONG=1"), f"docs/aws-unconfirmed.md, {name}: `{how}`")
        expect(how.startswith("not asked") != hasattr(Accept, "ask_" + name.replace("-", "_")), f"docs/aws-unconfirmed.md, {name}: `{how}`, and tools/accept says otherwise")
        rows[name] = (words, (verdict[1] or "open").upper(), how)
    unlisted = {name for name in dir(Accept) if name.startswith("ask_")} - {"ask_" + name.replace("-", "_") for name in rows}
    expect(rows and not unlisted, f"docs/aws-unconfirmed.md has no {unlisted}")
    return rows


def clean(aws, prefix, keys=()):
    """Removes everything that has the prefix, and may be called again and again. What could not be removed, in words."""
    left = []

    def remove(what, work):
        try:
            work()
        except Exception as failure:  # One thing that stays must not keep the others.
            left.append(f"{what}: {failure}")

    def stack():
        cloudformation = aws.cloudformation
        with gone("ValidationError"):
            found = cloudformation.describe_stacks(StackName=prefix)["Stacks"][0]
            for output in found.get("Outputs", []):
                if output["OutputKey"] == "LogGroupName":
                    groups.append(output["OutputValue"])
            pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=prefix)
            groups.extend(one["PhysicalResourceId"] for page in pages for one in page["StackResourceSummaries"] if one["ResourceType"] == "AWS::Logs::LogGroup" and one.get("PhysicalResourceId"))
            cloudformation.delete_stack(StackName=found["StackId"])
            cloudformation.get_waiter("stack_delete_complete").wait(StackName=found["StackId"], WaiterConfig={"Delay": 2 if aws.emulated else 10, "MaxAttempts": 90})

    def log_groups():
        # The stack keeps its log on purpose. Where the stack is gone, it is found by its name.
        for start in (f"{prefix}-", f"/aws/cloudformation/{prefix}/"):
            pages = aws.logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=start)
            groups.extend(one["logGroupName"] for page in pages for one in page["logGroups"])
        for group in set(groups):
            with gone("ResourceNotFoundException"):
                aws.logs.delete_log_group(logGroupName=group)

    def bucket():
        with gone("NoSuchBucket"):
            pages = aws.s3.get_paginator("list_objects_v2").paginate(Bucket=prefix)
            for found in (page["Contents"] for page in pages if page.get("Contents")):
                aws.s3.delete_objects(Bucket=prefix, Delete={"Objects": [{"Key": one["Key"]} for one in found]})
            aws.s3.delete_bucket(Bucket=prefix)

    def streams():
        # By name: an emulator has no page tokens.
        names, after = [], {}
        while True:
            answer = aws.kinesis.list_streams(**after)
            names += answer["StreamNames"]
            if not answer["HasMoreStreams"]:
                break
            after = {"ExclusiveStartStreamName": names[-1]}
        for name in names:
            if name.startswith(f"{prefix}-"):
                delete_stream(name)

    def delete_stream(name):
        end = time.monotonic() + 300
        while True:
            try:
                with gone("ResourceNotFoundException"):
                    aws.kinesis.delete_stream(StreamName=name, EnforceConsumerDeletion=True)
                return
            except botocore.exceptions.ClientError as error:
                if code(error) not in ("ResourceInUseException", "LimitExceededException") or time.monotonic() > end:
                    raise
                time.sleep(1)

    def aliases_and_keys():
        found = set(keys)
        mine = [f"alias/{prefix}"]
        aliases = aws.kms.get_paginator("list_aliases").paginate().build_full_result()["Aliases"]
        handles = [one for one in aliases if one["AliasName"] in mine or one["AliasName"].startswith(f"alias/{prefix}/")]
        found |= {one["TargetKeyId"] for one in handles if one.get("TargetKeyId")}
        with contextlib.suppress(Exception):  # Not for every operator, and not needed but where a key has no alias yet.
            pages = aws.resourcegroupstaggingapi.get_paginator("get_resources").paginate(TagFilters=[{"Key": TAG, "Values": [prefix]}], ResourceTypeFilters=["kms:key"])
            found |= {one["ResourceARN"] for page in pages for one in page["ResourceTagMappingList"]}
        for one in sorted({one.split("/")[-1] for one in found}):
            if aws.kms.describe_key(KeyId=one)["KeyMetadata"]["KeyState"] != "PendingDeletion":
                aws.kms.schedule_key_deletion(KeyId=one, PendingWindowInDays=7)
        for one in handles:  # Last: a key without its alias is not found again.
            with gone("NotFoundException"):
                aws.kms.delete_alias(AliasName=one["AliasName"])

    groups = []
    # The function first, so that nothing acts on what goes.
    for what, work in [("the stack", stack), ("its log", log_groups), ("the bucket", bucket), ("the streams", streams), ("the keys", aliases_and_keys)]:
        remove(what, work)
    return left


def accept(aws, prefix, **options):
    """One acceptance, whatever becomes of it: nothing is left. Whether all went well."""
    one = Accept(aws, prefix, **options)
    try:
        return one.run()
    finally:
        with held_off():
            with contextlib.suppress(OSError):  # The terminal may be what is gone.
                one.say("removing everything")
            left = clean(aws, prefix, one.keys)
        one.table()
        if left:
            raise Failed(f"not removed, try `{again(aws, prefix)}`:\n  " + "\n  ".join(left))


@contextlib.contextmanager
def held_off():
    """Nothing that can be held off breaks off what is done here."""
    def told(*_):
        with contextlib.suppress(OSError):
            print("\n  everything is being removed; it takes a minute or two", flush=True)

    before = {number: signal.signal(number, told) for number in ENDS if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(number, _):
    sys.exit(128 + number)


def again(aws, prefix):
    """The command that removes what is left."""
    profile = aws.environment.get("AWS_PROFILE")
    return f"make accept-clean PREFIX={prefix} REGION={aws.region}{f' PROFILE={profile}' if profile else ''}"


def here(args):
    """Against the emulators: a whole one, and one that fails after each step; nothing is left in any service."""
    with parts() as running:
        aws, bus = emulated(running)
        before = inventory(aws)
        print(plan(aws, fresh(), aws.sts.get_caller_identity(), True))
        expect(accept(aws, fresh(), bus=bus, long=True), "a step of the life failed")
        nothing_left(aws, before, "a whole run")
        for step in STEPS[:-2]:
            with ends_by(Injected, f"a failure after {step}"):
                accept(aws, fresh(), bus=bus, fail_after=step)
            nothing_left(aws, before, f"a failure after {step}")
        for kind, number in [(KeyboardInterrupt, signal.SIGINT), (SystemExit, signal.SIGHUP)]:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else end)
            with rung(aws, number) as rings, ends_by(kind, number.name):
                accept(aws, fresh(), bus=bus, fail_after="deployment")
            expect(len(rings) == 2, f"{number.name} came {len(rings)} times")
            nothing_left(aws, before, f"{number.name} in the middle of the deployment, and again while all is removed,")
    print(f"{ONLY_AWS} what is asked of it: `make accept` in an account. The life holds here, and nothing is left whatever fails.")


@contextlib.contextmanager
def ends_by(kind, what):
    try:
        yield
    except kind:
        return
    raise Failed(f"{what} was not the end of it")


@contextlib.contextmanager
def rung(aws, number):
    """Sends us a signal once the SAM CLI has begun a stack, and again as that is about to be deleted."""
    rings, hook = [], "before-call.cloudformation.DeleteStack"

    def ring(**_):
        rings.append(number)
        signal.raise_signal(number)

    def look(*_):
        if any(one["StackStatus"] != "DELETE_COMPLETE" for one in aws.cloudformation.list_stacks()["StackSummaries"]):
            signal.setitimer(signal.ITIMER_REAL, 0)
            ring()

    aws.cloudformation.meta.events.register(hook, ring, unique_id="ring")
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    try:
        yield rings
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        aws.cloudformation.meta.events.unregister(hook, unique_id="ring")


def inventory(aws):
    """Everything in the emulators that a run could leave: it asks the services, and knows nothing of what a run notes down."""
    names = lambda found, member, name: {f"{member} {one[name] if name else one}" for one in found.get(member, [])}
    found = names(aws.kinesis.list_streams(), "StreamNames", None)
    found |= {f"key {one['KeyId']}" for one in aws.kms.list_keys()["Keys"] if aws.kms.describe_key(KeyId=one["KeyId"])["KeyMetadata"]["KeyState"] != "PendingDeletion"}
    found |= names(aws.kms.list_aliases(), "Aliases", "AliasName")
    stacks = aws.cloudformation.list_stacks()["StackSummaries"]
    found |= {f"stack {one['StackName']}" for one in stacks if one["StackStatus"] != "DELETE_COMPLETE"}
    found |= names(aws.lambda_.list_functions(), "Functions", "FunctionName") | names(aws.lambda_.list_event_source_mappings(), "EventSourceMappings", "UUID")
    found |= names(aws.sqs.list_queues(), "QueueUrls", None) | names(aws.events.list_rules(), "Rules", "Name") | names(aws.iam.list_roles(), "Roles", "RoleName")
    found |= names(aws.logs.describe_log_groups(), "logGroups", "logGroupName") | names(aws.s3.list_buckets(), "Buckets", "Name")
    found |= names(aws.ssm.describe_parameters(), "Parameters", "Name") | names(aws.cloudwatch.describe_alarms(), "MetricAlarms", "AlarmName")
    return found


def nothing_left(aws, before, after):
    """A stream is DELETING for a while."""
    end = time.monotonic() + 60
    while (left := inventory(aws) - before) and time.monotonic() < end:
        time.sleep(0.5)
    expect(not left, f"{after} leaves {sorted(left)}")


def fresh():
    return PREFIX + secrets.token_hex(4)


def of_aws(args):
    """The account whose profile was named, or that the environment has credentials of, or that is asked for."""
    def answer(given, question, default):
        if given:
            return given
        if not sys.stdin.isatty():
            raise Failed(f"give the {question}: PROFILE=.. REGION=.., and YES=1 for no question at all")
        return input(f"{question}{f' [{default}]' if default else ''}: ").strip() or default

    has = lambda names: any(os.environ.get(name) for name in names)
    profile = args.profile or (None if has(SECRETS) else os.environ.get("AWS_PROFILE"))
    if not profile and not has(SECRETS + CONTAINER):
        profile = answer(None, "profile of ~/.aws", "default")
    # We and the SAM CLI read the same environment, with one answer to whose credentials are meant.
    for name in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", *(SECRETS if profile else [])]:
        os.environ.pop(name, None)
    if profile:
        os.environ["AWS_PROFILE"] = profile
    try:
        region = answer(args.region, "Region", boto3.Session().region_name)
        expect(region, "no Region is given")
        account = Account(boto3.Session(region_name=region), {**os.environ, "AWS_REGION": region, "AWS_DEFAULT_REGION": region})
        who = account.sts.get_caller_identity()
    except REFUSED as error:
        raise Failed(f"{f'profile {profile}' if profile else 'the credentials of the environment'}: {error}")
    return account, who


def others(aws):
    """What another Streamseal of this account and Region has to do with it, in words."""
    words = "A Streamseal that is deployed here acts on these streams too, by its own policy, which upsets what is tried; its alarms and its dashboard count what this run writes."
    try:
        active = aws.cloudwatch.list_metrics(Namespace="Streamseal", RecentlyActive="PT3H")["Metrics"]
    except REFUSED as error:
        return f"{words}\nWhether there is one could not be read: {error}"
    return f"{words}\nTHERE IS ONE, or an acceptance has just run: its metrics were written in the last three hours." if active else words


def plan(aws, prefix, who, long):
    hours, month = HOURS[long], 730
    kinds = [one["Type"].split("::")[-1] for one in yaml_parse((ROOT / "template.yaml").read_text())["Resources"].values()]
    count = kinds.count("Alarm")
    shards, keys, alarms = STREAMS * SHARD_HOUR * hours, KEYS * KEY_MONTH * hours / month, count * ALARM_MONTH * hours / month
    on_demand = ON_DEMAND_HOUR + 4 * SHARD_HOUR if long else 0
    rows = "\n".join(f"  {what:<50}{how:<36}${cost:5.2f}" for what, how, cost in [
        (f"up to {STREAMS} streams of one shard", f"{STREAMS} x {hours} h x ${SHARD_HOUR:.3f}", shards),
        (f"up to {KEYS} KMS keys, deleted after 7 days", f"{KEYS} x {hours} h of ${KEY_MONTH:.2f} a month", keys),
        (f"{count} alarms", f"{count} x {hours} h of ${ALARM_MONTH:.2f} a month", alarms),
        *([("a stream on demand, which becomes one of 4 shards", f"an hour of each, ${ON_DEMAND_HOUR:.2f} + 4 x ${SHARD_HOUR:.3f}", on_demand)] if long else []),
        ("requests, logs, the function's time", "a bound, not a count", REST),
    ])
    return f"""
In account {who['Account']} ({who['Arn']}), Region {aws.region}, with the prefix {prefix}, this makes and removes again:
  a stack of CloudFormation: the function, its role, {kinds.count('Queue')} queues, {kinds.count('Rule')} rules, alarms; a log group, a parameter; a bucket for the package
{rows}
  in all some ${shards + keys + alarms + on_demand + REST:.2f} at the list prices of us-east-1, over {'one to three hours' if long else 'half an hour to an hour and a half'}.
While it runs the function looks at every stream of the account and Region, and changes only those that have the prefix.
{others(aws)}
If it is killed: {again(aws, prefix)}
"""


def main():
    parser = argparse.ArgumentParser(prog="tools accept", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile")
    parser.add_argument("--region")
    parser.add_argument("--yes", action="store_true", help="do not ask before anything is made")
    parser.add_argument("--long", action="store_true", help="ask what takes longer too")
    parser.add_argument("--clean", metavar="PREFIX", help="remove what a run with this prefix left")
    parser.add_argument("--here", action="store_true", help="against the emulators")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # As under nohup.
            signal.signal(number, end)
    questions()
    if args.here:
        return here(args)
    if args.clean is not None:
        expect(re.fullmatch(PREFIX + "[0-9a-f]{8}", args.clean), f"`{args.clean}` is no prefix of a run ({PREFIX} and 8 digits)")
    aws, who = of_aws(args)
    if args.clean:
        left = clean(aws, args.clean)
        expect(not left, f"not removed in account {who['Account']}, Region {aws.region}:\n  " + "\n  ".join(left))
        print(f"nothing of {args.clean} is left in account {who['Account']}, Region {aws.region}, but keys that are deleted in 7 days")
        return 0
    prefix = fresh()
    print(plan(aws, prefix, who, args.long))
    if not args.yes:
        expect(sys.stdin.isatty(), "nobody is there to say yes: YES=1")
        if input("Make it? Only `yes` does: ").strip() != "yes":
            return 1
    return 0 if accept(aws, prefix, long=args.long) else 1

