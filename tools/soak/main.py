#!/usr/bin/env -S python3 -B
"""Lets everything fail at once for a few minutes, and then asks whether anything was lost.

    tools/soak [--short] [--seed N] [--streams N] [--limit SECONDS] [--keep FOLDER] [BOOTSTRAP]    (default: target/debug/bootstrap)

Streams are created and their CreateStream events put into a queue, a fifth of them twice. Several instances of the real function
run under AWS's Lambda emulator; each is fed from the queue the way Lambda's event source mapping does it: up to ten messages,
`batchItemFailures` honoured, the rest deleted, what is left comes again after the visibility timeout, after five receipts it goes to
the dead-letter queue. Between the function and the emulators stands tools/fault: about a fifth of all calls fail, streams are held in
CREATING and UPDATING, describes and encryption lag, rates are limited. Meanwhile functions are killed in flight, with SIGKILL. After a
while the failing and the killing end, so that whatever can still finish does.

It ends when every event has its evidence and every stream is as the policy wants it, or at the limit. Then the evidence is held
against the streams themselves, read from the Kinesis emulator directly, and against the fault layer's log of what was on the wire.
Status 1 if an event was lost, a stream ended wrong, a proof was claimed that is not in the stream as an encrypted record, or a run sent
more than one Start. What is chosen by chance comes from the seed, which is printed; what processes race for does not.
--short is for CI: fewer streams, shorter waits. --keep writes evidence, calls, invocations and the functions' output to FOLDER.
"""

import argparse
import collections
import contextlib
import datetime
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

from drive import Aws, Refused, child, children
from procs import HTTP, ROOT, Failed, run

EVIDENCE = '{"schema":"streamseal.evidence/v1"'
RECEIVES_MAX = 5

# What is made of a stream, by the beginning of its name: the alias of the key it must end on, or why it is left alone.
KINDS = {
    "orders": "alias/soak/default",
    "pci": "alias/soak/regulated",     # by its tag
    "team": "alias/soak/team-blue",    # by its name, the key's alias from its tag
    "own": "alias/soak/default",       # its creator encrypts it with the right key, at about the same time
    "other": "alias/soak/default",     # its creator has encrypted it with another key
    "scratch": "exempt",
    "locked": "key-unusable",          # its rule's key is disabled
    "stray": "unmatched",
    "spent": "quota",                  # Kinesis takes no more key changes for it today
}
SHARES = ["orders"] * 8 + ["pci"] * 2 + ["team"] * 3 + ["own"] * 2 + ["other"] * 2 + ["scratch", "locked", "stray", "spent"]

POLICY = """
version: 1
defaults:
  proof: { new: probe, existing: observe }
  existing: enforce
  settle: { terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s }
rules:
  - { name: scratch, match: { stream: "scratch-*" }, exempt: { reason: "synthetic data" } }
  - { name: regulated, match: { tags: { data-class: [pci, phi] } }, key: alias/soak/regulated }
  - { name: locked, match: { stream: "locked-*" }, key: alias/soak/locked }
  - { name: teams, match: { stream: "team-*" }, key: "alias/soak/team-${tag:team}" }
  - { name: all-else, unless: { stream: "stray-*" }, key: alias/soak/default }
"""


class Shape:
    """How long and how hard."""

    def __init__(self, short):
        self.streams = 30 if short else 200
        self.instances = 2 if short else 4
        self.limit = 600 if short else 900  # Ends the soak only where something is wrong, or the machine is very slow.
        # The function keeps 10 s of its time for its answer and 5 s for a last call, and works in what is left.
        self.timeout, self.visibility, self.wait = (25, 26, 8) if short else (30, 36, 10)
        self.kill_every = (5, 8) if short else (4, 9)
        self.storm = 25 if short else 120   # For how long calls fail and functions are killed; what is left must finish then.
        self.pause = 0.25 if short else 0.4  # Between two new streams.
        self.malformed = 0 if short else 2  # Five receipts take five visibility timeouts.
        self.late = 5 if short else 40      # How late a repeated event may come, in seconds.

    def faults(self, seed, storm):
        """About a fifth of all calls fail, each in one of the ways that AWS has. Without the storm AWS is only slow and strict."""
        def chance(op, p, *errors):
            after = [{"error": "InternalFailure", "after": True}, {"drop": "before"}, {"drop": "after"}]
            return {"op": op, "p": p, "one_of": [*({"error": error} for error in errors), *after]}

        busy = ["LimitExceededException", "InternalFailure", "ServiceUnavailable", "ThrottlingException"]
        spent = {"error": "LimitExceededException", "message": "the limit of key changes in 24 hours is reached"}
        failing = [] if not storm else [
            # Longer than the function waits for an answer: the call takes effect when it is no longer expected.
            {"op": "kinesis:*", "p": 0.005, "delay_ms": [5200, 6500]},
            chance("StartStreamEncryption", 0.2, *busy, "ResourceInUseException", "KMSThrottlingException"),
            chance("PutRecord", 0.2, *busy, "ProvisionedThroughputExceededException", "KMSThrottlingException"),
            chance("GetRecords", 0.2, *busy, "ProvisionedThroughputExceededException", "ExpiredIteratorException"),
            chance(["kinesis:Describe*", "kinesis:List*", "kinesis:GetShardIterator"], 0.2, *busy),
            chance("kms:*", 0.2, "ThrottlingException", "KMSInternalException", "DependencyTimeoutException"),
            # More often, since the SDK repeats these: some have to fail for good.
            chance("sqs:*", 0.45, "ServiceUnavailable", "RequestThrottled"),
            chance("ssm:*", 0.2, "ThrottlingException", "InternalServerError"),
        ]
        return {
            "seed": seed,
            "rules": [
                {"op": "*", "p": 0.3, "delay_ms": [1, 60]},
                {"op": "StartStreamEncryption", "stream": "spent-*", **spent},  # First: none of these may take effect.
                *failing,
            ],
            "limits": {"kinesis:DescribeStreamSummary": 20, "kinesis:StartStreamEncryption": 5, "kinesis:ListTagsForStream": 20},
            "hold": [
                {"stream": "*7", "creating_ms": [0, 2000], "updating_ms": 9000},
                *([] if self.streams < 100 else [{"stream": "*13", "creating_ms": 40_000, "updating_ms": [500, 1500]}]),
                {"creating_ms": [0, 3000], "updating_ms": [200, 1500]},
            ],
            "lag": {"encryption_ms": [0, 2000], "describe_ms": [0, 1000]},
            "start_quota": 25,
            "key_states": True,
        }


class Instance:
    """One execution environment of the function, and what feeds it. Its access key id says whose calls are whose."""

    def __init__(self, soak, number):
        self.soak, self.number = soak, number
        self.generation, self.tool, self.busy = 0, None, False
        self.dice = random.Random(f"{soak.seed}/instance/{number}")
        self.guard = threading.Lock()

    def start(self):
        with self.guard:
            self.generation += 1
            self.actor = f"SOAK{self.number}G{self.generation:03}"
            env = {**self.soak.env, "AWS_ACCESS_KEY_ID": self.actor}
            self.stack = contextlib.ExitStack()
            argv = ["tools/rie", "--timeout", self.soak.shape.timeout, self.soak.bootstrap]
            self.tool, self.ready = child(self.stack, argv, env, subprocess.PIPE)
            threading.Thread(target=self.soak.read, args=(self.tool.stderr, self.actor), daemon=True).start()

    def stop(self):
        with self.guard:
            if self.tool:
                self.stack.close()
                self.tool = None

    def kill(self, wholly):
        """SIGKILL to the function, or to it and the emulator, as when Lambda ends an environment."""
        with self.guard:
            if not self.tool or not self.busy:
                return False
            emulator = self.ready["pids"][0]
            victims = children(emulator)
            if not victims:
                return False
            for pid in ([emulator] if wholly else []) + victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return True

    def feed(self):
        """Lambda's event source mapping, as far as one instance sees it."""
        soak = self.soak
        while not soak.over.is_set():
            if not self.tool:
                self.start()
            asked = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "AttributeNames": ["All"]}
            messages = soak.aws("sqs", "ReceiveMessage", QueueUrl=soak.queue, **asked).get("Messages", [])
            if messages:
                self.invoke(messages)
        self.stop()

    def invoke(self, messages):
        soak = self.soak
        record = {"actor": self.actor, "from": time.time(), "streams": [stream_of(m["Body"]) for m in messages]}
        record["receives"] = [int(m["Attributes"]["ApproximateReceiveCount"]) for m in messages]
        failed, record["ended"] = self.answer(soak.batch(messages))
        record["to"] = time.time()
        failed = set(m["MessageId"] for m in messages) if failed is None else failed
        for message in messages:
            if message["MessageId"] in failed:
                continue
            # Queues deliver at least once: now and then a deletion comes too late.
            if self.dice.random() < 0.03:
                record["undeleted"] = record.get("undeleted", 0) + 1
                continue
            soak.aws("sqs", "DeleteMessage", QueueUrl=soak.queue, ReceiptHandle=message["ReceiptHandle"])
            soak.deleted[stream_of(message["Body"])] += 1
        record["failed"] = len(failed)
        soak.invocations.append(record)

    def answer(self, batch):
        """The ids that failed, or `None` where the whole batch did, and how the invocation ended."""
        self.busy = True
        try:
            request = urllib.request.Request(self.ready["invoke"], json.dumps(batch).encode())
            with HTTP.open(request, timeout=self.soak.shape.timeout + 20) as answer:
                text = answer.read().decode(errors="replace")
            if text.startswith("Task timed out"):
                return None, "timed out"
            value = json.loads(text)
            if "batchItemFailures" not in value:
                return None, "error"
            failed = {one.get("itemIdentifier") for one in value["batchItemFailures"] or []}
            known = {one["messageId"] for one in batch["Records"]}
            return (failed, "answered") if failed <= known else (None, "unknown id")
        except (OSError, ValueError, urllib.error.URLError, AttributeError) as failure:
            self.stop_if_gone()
            return None, f"broke off: {type(failure).__name__}"
        finally:
            self.busy = False

    def stop_if_gone(self):
        time.sleep(0.05)
        if not pathlib.Path(f"/proc/{self.ready['pids'][0]}").exists() or is_zombie(self.ready["pids"][0]):
            self.stop()


def is_zombie(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def stream_of(body):
    """Which stream a message is about; `None` where it cannot be read."""
    try:
        value = json.loads(body)
        arn = value.get("stream_arn")
        return arn.rpartition("/")[2] if arn else value["detail"]["requestParameters"]["streamName"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class Soak:
    def __init__(self, args, shape, stack):
        self.args, self.shape, self.seed = args, shape, args.seed
        self.bootstrap = args.bootstrap.resolve()
        self.began = time.monotonic()
        self.over = threading.Event()
        self.evidence, self.lines, self.torn = [], [], 0
        self.invocations, self.kills, self.broken = [], collections.Counter(), []
        self.events, self.messages_in = {}, 0  # Event id to stream.
        self.calm_at = float("inf")
        self.put, self.deleted = collections.Counter(), collections.Counter()  # Messages, by stream.
        self.arrange(stack)

    def arrange(self, stack):
        _, parts = child(stack, ["tools/parts", "--create-ms", 150, "--update-ms", 200], os.environ)
        self.aws = aws = Aws(parts)
        _, fault = child(stack, ["tools/fault", "--kinesis", parts["kinesis"], "--aws", parts["aws"]], os.environ)
        self.fault = fault["url"]
        self.control("PUT", "config", self.shape.faults(self.seed, True))
        self.keys = {}
        for alias in ["default", "regulated", "team-blue", "locked", "somebodys"]:
            key = aws("kms", "CreateKey", Description="Streamseal soak")["KeyMetadata"]["Arn"]
            aws("kms", "CreateAlias", AliasName=f"alias/soak/{alias}", TargetKeyId=key)
            self.keys[f"alias/soak/{alias}"] = key
        aws("kms", "DisableKey", KeyId=self.keys["alias/soak/locked"])
        self.dead = aws("sqs", "CreateQueue", QueueName="soak-dead")["QueueUrl"]
        arn = aws("sqs", "GetQueueAttributes", QueueUrl=self.dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES_MAX})
        attributes = {"VisibilityTimeout": str(self.shape.visibility), "RedrivePolicy": redrive}
        self.queue = aws("sqs", "CreateQueue", QueueName="soak", Attributes=attributes)["QueueUrl"]
        aws("ssm", "PutParameter", Name="/soak/policy", Value=POLICY, Type="String")
        aws("ssm", "PutParameter", Name="/soak/mode", Value="enforce", Type="String")
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        # A policy or a mode that cannot be read keeps the work for a minute, which the short form does not have.
        sources = {"POLICY": f"inline:{POLICY}", "MODE": "enforce"} if self.args.short else {"POLICY": "ssm:/soak/policy", "MODE": "ssm:/soak/mode"}
        self.env = own | sources | {
            "AWS_REGION": aws.region, "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": self.fault,
            "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1",
            "ACCOUNT_ID": aws.account, "WORK_QUEUE_URL": self.queue, "WAIT_SECONDS": str(self.shape.wait), "LOG_LEVEL": "warn",
            "DESCRIBES_PER_SECOND": "16", "STARTS_PER_SECOND": "4", "MAX_CONCURRENCY": str(self.shape.instances),
        }
        dice = random.Random(f"{self.seed}/streams")
        cycle = itertools.cycle(SHARES)
        kinds = [next(cycle) for _ in range(self.shape.streams)]
        dice.shuffle(kinds)
        self.streams = {f"{kind}-{number}": kind for number, kind in enumerate(kinds)}

    def control(self, method, what, body=None):
        data = json.dumps(body).encode() if body is not None else None
        with HTTP.open(urllib.request.Request(f"{self.fault}/_fault/{what}", data, method=method), timeout=60) as answer:
            return json.loads(answer.read())

    def read(self, pipe, actor):
        """Takes the evidence out of what an instance writes."""
        for line in pipe:
            line = line.decode(errors="replace").rstrip("\n")
            at = line.find(EVIDENCE)
            if at >= 0:
                try:
                    document, _ = json.JSONDecoder().raw_decode(line, at)
                    self.evidence.append((actor, document))
                    continue
                except ValueError:
                    self.torn += 1  # It was killed while it wrote; its message comes again.
            self.lines.append(f"{actor} {line}")

    # The world that makes streams.

    def create(self):
        """Creates the streams, and puts their events into the queue as they are due."""
        dice, due = random.Random(f"{self.seed}/events"), []
        repeated = set(dice.sample(list(self.streams), len(self.streams) // 5))
        for index, (name, kind) in enumerate(self.streams.items()):
            tags = {"pci": {"data-class": "pci"}, "team": {"team": "blue"}}.get(kind, {"note": "none"})
            self.create_one(name, tags)
            now = time.monotonic()
            event = self.event(name)
            self.events[event["id"]] = name
            if kind == "other":
                self.encrypt(name, "alias/soak/somebodys")
            if kind == "own":
                delay = dice.uniform(0, 6)
                threading.Timer(delay, self.encrypt, (name, "alias/soak/default")).start()
            due.append((now + dice.uniform(0, 1.5), json.dumps(event)))
            if name in repeated:
                due.append((now + dice.uniform(0, self.shape.late), json.dumps(event)))
            if index < self.shape.malformed:
                due.append((now, '{"detail-type": "AWS API Call via CloudTrail", "source"'))
            until = now + self.shape.pause
            while not self.over.is_set() and time.monotonic() < until:
                due = self.send_due(due)
                time.sleep(0.05)
        while due and not self.over.wait(0.1):
            due = self.send_due(due)

    def create_one(self, name, tags):
        for _ in range(600):
            try:
                return self.aws("kinesis", "CreateStream", StreamName=name, ShardCount=1, Tags=tags)
            except Refused as refused:
                if "LimitExceeded" not in str(refused):  # Five at once may be CREATING, here as on AWS.
                    raise
                time.sleep(0.05)
        raise Failed(f"{name} could not be created")

    def encrypt(self, name, alias):
        """The stream's creator starts encryption, by alias; it may meet the function doing the same."""
        for _ in range(100):
            try:
                return self.aws("kinesis", "StartStreamEncryption", StreamName=name, EncryptionType="KMS", KeyId=alias)
            except Refused as refused:
                if "ResourceInUse" not in str(refused):
                    raise
                time.sleep(0.05)

    def send_due(self, due):
        now = time.monotonic()
        for at, body in due:
            if at <= now:
                self.aws("sqs", "SendMessage", QueueUrl=self.queue, MessageBody=body)
                self.messages_in += 1
                self.put[stream_of(body)] += 1
        return [one for one in due if one[0] > now]

    def event(self, name):
        """What EventBridge would bring of this stream's creation."""
        event = json.loads((ROOT / "events/kinesis-create-stream-provisioned.json").read_text())
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        event |= {"id": str(uuid.UUID(int=random.Random(f"{self.seed}/{name}").getrandbits(128), version=4)), "time": now}
        event |= {"account": self.aws.account, "region": self.aws.region}
        event["detail"] |= {"eventTime": now, "awsRegion": self.aws.region, "recipientAccountId": self.aws.account}
        event["detail"]["requestParameters"] = {"streamName": name, "shardCount": 1}
        return event

    def batch(self, messages):
        arn = f"arn:aws:sqs:{self.aws.region}:{self.aws.account}:soak"
        return {"Records": [
            {
                "messageId": m["MessageId"], "receiptHandle": m["ReceiptHandle"], "body": m["Body"], "attributes": m["Attributes"],
                "messageAttributes": {}, "md5OfBody": m["MD5OfBody"], "eventSource": "aws:sqs", "eventSourceARN": arn,
                "awsRegion": self.aws.region,
            }
            for m in messages
        ]}

    # The run.

    def run(self):
        instances = [Instance(self, number) for number in range(self.shape.instances)]
        threads = [threading.Thread(target=self.safely, args=(work,)) for work in [self.create, *(i.feed for i in instances)]]
        dice = random.Random(f"{self.seed}/kills")
        self.began = time.monotonic()  # However long the parts took to start, the storm is as long as it is meant to be.
        try:
            for thread in threads:
                thread.start()
            next_kill, next_word, storm = dice.uniform(*self.shape.kill_every), 10, True
            while not self.broken and not self.done(threads[0]):
                elapsed = time.monotonic() - self.began
                if elapsed > self.shape.limit:
                    break
                if storm and elapsed > self.shape.storm:
                    storm, self.calm_at = False, time.time()
                    self.control("PUT", "config", self.shape.faults(self.seed, False))
                    print(f"  {elapsed:4.0f} s  the storm is over", flush=True)
                if storm and elapsed > next_kill and self.kill(instances, dice):
                    next_kill = elapsed + dice.uniform(*self.shape.kill_every)
                if elapsed > next_word:
                    next_word += 10
                    self.word()
                time.sleep(0.2)
        finally:
            self.over.set()
            for thread in threads:
                thread.join()
            for instance in instances:
                instance.stop()
        if self.broken:
            raise Failed(self.broken[0])

    def safely(self, work):
        try:
            work()
        except Exception as failure:  # A thread's failure is the whole soak's.
            self.broken.append(f"{getattr(work, '__name__', work)}: {failure!r}")

    def kill(self, instances, dice):
        wholly = dice.random() < 0.6
        if dice.choice(instances).kill(wholly):
            self.kills["function and emulator" if wholly else "function alone"] += 1
            return True
        return False

    def done(self, creating):
        """Every event has its evidence, every stream is as it should be, and nothing is waiting to be received."""
        if creating.is_alive() or len(self.final()) < len(self.events):
            return False
        ready, in_flight, _ = self.aws.waiting(self.queue)
        dead = sum(self.aws.waiting(self.dead))
        return not ready and not in_flight and dead >= self.shape.malformed and not any(self.wrong(name) for name in self.streams)

    def final(self):
        """The evidence of each event that is not about a run to be continued, by event id."""
        found = collections.defaultdict(list)
        for _, document in list(self.evidence):
            if document["reason"] != "unfinished" and document["cause"]["event_id"] in self.events:
                found[document["cause"]["event_id"]].append(document)
        return found

    def last(self, name):
        """The last word on a stream."""
        documents = [d for _, d in list(self.evidence) if d["stream"]["name"] == name and d["reason"] != "unfinished"]
        return max(documents, key=lambda d: d["run"]["finished_at"], default=None)

    def wrong(self, name):
        """What is wrong with how a stream ended, if anything."""
        wanted, document = KINDS[self.streams[name]], self.last(name)
        if document is None:
            return "no evidence"
        said = (document["compliance"], document["reason"], document["remediation"]["withheld"])
        expected = {
            "exempt": ("NOT_APPLICABLE", "exempt", None), "key-unusable": ("NON_COMPLIANT", "key-unusable", None),
            "unmatched": ("NON_COMPLIANT", "unmatched", None), "quota": ("NON_COMPLIANT", "withheld", "quota"),
        }.get(wanted, ("COMPLIANT", "right-key", None))
        if said != expected:
            return f"the evidence ends with {said} ({document['annotation']}), not {expected}"
        stream = self.aws.describe(name)
        key = stream.get("KeyId")
        is_on = self.keys.get(key, key) if stream["EncryptionType"] == "KMS" else None
        if (stream["StreamStatus"], is_on) != ("ACTIVE", self.keys.get(wanted)):
            return f"the stream is {stream['StreamStatus']} on {is_on}"
        if wanted in self.keys and document["proof"]["state"] not in ("proven", "observed"):
            return f"COMPLIANT with the proof {document['proof']['state']}"
        return None

    def word(self):
        proven = sum(1 for name in self.streams if (d := self.last(name)) and d["proof"]["state"] in ("proven", "observed"))
        elapsed = time.monotonic() - self.began
        queue = "/".join(map(str, self.aws.waiting(self.queue)))
        print(
            f"  {elapsed:4.0f} s  events {len(self.events)}, with evidence {len(self.final())}, proven {proven}, "
            f"queue ready/in flight/delayed {queue}, kills {sum(self.kills.values())}", flush=True,
        )

    # The reckoning.

    def judge(self):
        final, calls, counters = self.final(), self.control("GET", "calls"), self.control("GET", "counters")
        failures = []
        starts = [c for c in calls if c["call"] == "kinesis:StartStreamEncryption"]
        dead = sum(self.aws.waiting(self.dead))
        # Without its evidence an event is lost, unless a message that can still lead to it is in the queue.
        sent = collections.Counter(c["stream"] for c in calls if c["call"] == "sqs:SendMessage" and c["applied"])
        missing = {name for event, name in self.events.items() if event not in final}
        lost = [name for name in missing if self.put[name] + sent[name] <= self.deleted[name]]
        failures += [f"{name}: {'lost' if name in lost else 'not finished in time, still in the queue'}" for name in sorted(missing)]
        failures += [f"{name}: {why}" for name in self.streams if name not in missing and (why := self.wrong(name))]
        if dead != self.shape.malformed:
            failures.append(f"{dead} messages in the dead-letter queue, {self.shape.malformed} expected")
        probes = self.judge_proofs(failures)
        self.judge_starts(starts, failures)
        alien = {c["call"] for c in calls if not c["call"].split(":")[1].startswith(("Describe", "List", "Get"))}
        alien -= {"kinesis:StartStreamEncryption", "kinesis:PutRecord", "sqs:SendMessage"}
        failures += [f"{call} was called" for call in sorted(alien)]
        self.table(final, lost, dead, probes, starts, calls, counters)
        return failures

    def judge_proofs(self, failures):
        """Holds every claimed proof against the stream; the number of probes in each stream."""
        records = {name: {(r["ShardId"], r["SequenceNumber"]): r for r in self.aws.records(name)} for name in self.streams}
        for _, document in self.evidence:
            proof, name = document["proof"], document["stream"]["name"]
            made = proof["state"] in ("proven", "observed")
            if document["compliance"] == "COMPLIANT" and not made:
                failures.append(f"{name}: COMPLIANT with the proof {proof['state']}")
            if not made:
                continue
            record = records[name].get((proof["shard_id"], proof["sequence_number"]))
            if (record or {}).get("EncryptionType") != "KMS" or proof["encryption_type"] != "KMS":
                stored = record["EncryptionType"] if record else "absent"
                failures.append(f"{name}: the proof {proof['sequence_number']}, told as {proof['encryption_type']}, is {stored} in the stream")
        for name, found in records.items():
            if any(record["PartitionKey"] != "streamseal-probe" for record in found.values()):
                failures.append(f"{name}: a record that is no probe")
        return {name: len(found) for name, found in records.items()}

    def judge_starts(self, starts, failures):
        """At most one Start a run: by what each instance was given, and by what each run says of itself."""
        given = {id(one): collections.Counter(one["streams"]) for one in self.invocations}
        for start in starts:
            before = [one for one in self.invocations if one["actor"] == start["by"] and one["from"] <= start["at"]]
            before.sort(key=lambda one: one["from"])
            # What a function sent just before it was killed is read by the layer when it gets round to it, which may be after the end.
            answered = [one for one in before[-1:] if start["at"] <= one["to"]]
            broken_off = [one for one in before[-2:] if one["ended"] != "answered" and start["at"] <= one["to"] + 5]
            room = next((given[id(one)] for one in answered + broken_off[::-1] if given[id(one)][start["stream"]]), None)
            if room is None:
                failures.append(f"{start['stream']}: a Start beyond those of its runs, or outside of any invocation ({start['by']})")
            else:
                room[start["stream"]] -= 1
        for actor, document in self.evidence:
            window = [instant(document["run"][end]) for end in ("started_at", "finished_at")]
            name = document["stream"]["name"]
            seen = [s for s in starts if s["by"] == actor and s["stream"] == name and window[0] - 0.002 <= s["at"] <= window[1]]
            told = [call for call in document["calls"] if call["call"] == "kinesis:StartStreamEncryption"]
            if len(seen) > 1 or len(told) != len(seen):
                failures.append(f"{name}: run {document['run']['id']} tells of {len(told)} Starts, {len(seen)} were on the wire")
        for start in starts:
            kind = self.streams[start["stream"]]
            if kind in ("scratch", "locked", "stray") or (kind == "spent" and start["applied"]):
                failures.append(f"{start['stream']}: a Start ({start['code'] or 'accepted'})")

    def table(self, final, lost, dead, probes, starts, calls, counters):
        documents = [document for _, document in self.evidence]
        unfinished = sum(d["reason"] == "unfinished" for d in documents)
        finals = sum(len(found) for found in final.values())
        sealed = [name for name, kind in self.streams.items() if KINDS[kind] in self.keys]
        proven = sum(1 for name in sealed if not self.wrong(name))
        redelivered = sum(count > 1 for one in self.invocations for count in one["receives"])
        ended = collections.Counter(one["ended"] for one in self.invocations)
        sent = counters.get("sqs:SendMessage", {"applied": 0})["applied"]
        accepted = collections.Counter(s["stream"] for s in starts if s["applied"])
        rows = [
            ("events in", f"{len(self.events)} of new streams, and {self.messages_in - len(self.events) - self.shape.malformed} of them again"),
            ("malformed in", self.shape.malformed),
            ("evidence out", f"{len(documents)}: {finals} of runs that ended, {unfinished} of runs that went on later, {self.torn} torn by a kill"),
            ("streams proven", f"{proven} of {len(sealed)}"),
            ("left as they were", f"{sum(not self.wrong(n) for n in self.streams if n not in sealed)} of {len(self.streams) - len(sealed)}, as the policy says"),
            ("duplicates", f"{finals - len(final)} runs more than events; {redelivered} messages received again"),
            ("probes", f"{sum(probes.values())} records; more than one in {sum(count > 1 for count in probes.values())} streams"),
            ("Start requests", f"{len(starts)}, {sum(accepted.values())} accepted, at most {max(accepted.values(), default=0)} a stream"),
            ("invocations", ", ".join(f"{count} {how}" for how, count in ended.most_common())),
            ("killed in flight", ", ".join(f"{count} x {what}" for what, count in self.kills.items()) or "none"),
            ("sent on", f"{sent} work messages; still in the queue: {sum(self.aws.waiting(self.queue))}"),
            ("DLQ", dead),
        ]
        print()
        for label, value in rows:
            print(f"  {label:<18} {value}")
        print(f"\n  {'calls':<32} {'all':>6} {'most/s':>7} {'in the storm':>13} {'failed':>7}")
        for name, counter in counters.items():
            stormy = [c["injected"] for c in calls if c["call"] == name and c["at"] < self.calm_at]
            failed = sum(any(kind.startswith(("error", "drop", "limit")) for kind in kinds) for kinds in stormy)
            share = f"{failed / len(stormy):.0%}" if stormy else ""
            print(f"  {name:<32} {counter['calls']:>6} {counter['most_a_second']:>7} {len(stormy):>13} {share:>7}")
        print(f"\n  lost: {len(lost)}", flush=True)

    def keep(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            "evidence": [{"actor": actor, **document} for actor, document in self.evidence],
            "calls": self.control("GET", "calls"), "invocations": self.invocations,
        }
        for name, lines in files.items():
            (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        (folder / "function.log").write_text("\n".join(self.lines))


def instant(text):
    """An RFC 3339 time in seconds."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")  # Python 3.10 reads no fraction of other than 3 or 6 digits.
    return datetime.datetime.fromisoformat(f"{seconds}+00:00").timestamp() + float(f"0.{fraction or 0}")


def main():
    parser = argparse.ArgumentParser(prog="tools/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="the form for CI")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--streams", type=int, metavar="N")
    parser.add_argument("--limit", type=int, metavar="SECONDS")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("bootstrap", type=pathlib.Path, nargs="?", default=ROOT / "target/debug/bootstrap")
    args = parser.parse_args()
    if not os.access(args.bootstrap, os.X_OK):
        raise Failed(f"{args.bootstrap} is missing: `make soak` builds it")
    args.seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    shape = Shape(args.short)
    shape.streams, shape.limit = args.streams or shape.streams, args.limit or shape.limit
    print(f"soak: seed {args.seed}, {shape.streams} streams, {shape.instances} instances, at most {shape.limit} s", flush=True)
    with contextlib.ExitStack() as stack:
        soak = Soak(args, shape, stack)
        soak.run()
        failures = soak.judge()
        took = time.monotonic() - soak.began
        if args.keep:
            soak.keep(args.keep)
        for failure in failures[:40]:
            print(f"  FAILED {failure}")
        print(f"\nsoak: {'FAILED' if failures else 'passed'} after {took:.0f} s, seed {args.seed}")
        return 1 if failures else 0


if __name__ == "__main__":
    try:
        run(main)
    except KeyboardInterrupt:
        print("\nsoak: interrupted", file=sys.stderr)
        os._exit(130)  # Closes every tool's stdin, which ends it.
