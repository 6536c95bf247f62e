"""Seals one stream from end to end on this machine, and reports the story.

    tools demo [BOOTSTRAP]      (default: target/debug/bootstrap)

The function is the real binary under AWS's own Lambda emulator; Kinesis and KMS are emulators (`tools parts`) behind
the fault layer (`tools fault`), which makes them as slow as AWS was seen to be: a stream is UPDATING for seconds after
a Start, and records are not encrypted until 5 s after it is ACTIVE. A stream is created, and while it is still CREATING
the function gets the event that EventBridge would bring. What the function then claims in its evidence is checked here
against the stream itself. Any claim that does not hold ends the demo with status 1 and says so; the last line of a good
one is `compliance: COMPLIANT`. Nothing leaves 127.0.0.1, and nothing runs on afterwards.
"""

import collections
import contextlib
import datetime
import json
import os
import pathlib
import secrets
import sys
import tempfile
import time
import urllib.error
import urllib.request
from typing import IO, Any

from emulators.client import Aws, child
from emulators.procs import HTTP, ROOT, Failed

ALIAS = "alias/streams-default"
CREATING_MS = 3000
# As recorded, and as documented: a record may be stored without encryption until 5 s after ACTIVE.
AS_AWS = {"hold": [{"updating_ms": [2000, 4000]}], "lag": {"encryption_ms": 5000}}
Json = dict[str, Any]


def main() -> int:
    """Seals one stream with the binary that the argument names."""
    bootstrap = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/bootstrap").resolve()
    if not bootstrap.exists():
        raise Failed(f"{bootstrap} is missing: `make demo` builds it")
    how = "the real function under AWS's Lambda emulator, Kinesis and KMS emulated"
    print(f"\n{bold('Streamseal seals one stream')}: {how}.\n")
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile("w+"))
        try:
            return seal(stack, bootstrap, log)
        except Failed:
            log.seek(0)
            print("\nthe function's log ends with:", *log.read().splitlines()[-20:], sep="\n", file=sys.stderr)
            raise


def seal(stack: contextlib.ExitStack, bootstrap: pathlib.Path, log: IO[str]) -> int:
    """The whole story."""
    started = time.monotonic()
    _, parts = child(stack, "parts", "--create-ms", CREATING_MS)
    config = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "fault.json"
    config.write_text(json.dumps(AS_AWS))
    emulators = ["--kinesis", parts["kinesis"], "--aws", parts["aws"]]
    _, layer = child(stack, "fault", *emulators, "--config", config)
    parts |= {"kinesis": layer["url"], "aws": layer["url"]}
    aws = Aws(parts)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
        "AWS_REGION": parts["region"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": parts["aws"],
        "AWS_ENDPOINT_URL_KINESIS": parts["kinesis"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        "ACCOUNT_ID": parts["account"],
        "POLICY": "file:tools/demo/policy.yaml",
        "MODE": "enforce",
        "LOG_LEVEL": "warn",
    }
    _, function = child(stack, "rie", bootstrap, env=environment, stderr=log)
    report("ready", f"the parts and the Lambda emulator, in {ms(started)} ms")

    key = aws("kms", "CreateKey", Description="Streamseal demo")["KeyMetadata"]["Arn"]
    aws("kms", "CreateAlias", AliasName=ALIAS, TargetKeyId=key)
    report("key", f"{ALIAS} is {key}")

    stream = f"orders-{secrets.token_hex(3)}"
    aws("kinesis", "CreateStream", StreamName=stream, ShardCount=1)
    born = aws.describe(stream)
    require(born["StreamStatus"] == "CREATING", f"the new stream is {born['StreamStatus']}, not CREATING")
    require(born["EncryptionType"] == "NONE", f"the new stream's encryption is {born['EncryptionType']}")
    report("created", f"{stream}: {born['StreamStatus']}, EncryptionType {born['EncryptionType']}")

    event = create_stream_event(parts, stream)
    report("event", "CreateStream, as CloudTrail and EventBridge report it, given to the function at once")
    first = invoke(function, event)
    report_first(aws, first, stream, key)
    record, probes = read_back(aws, stream, first["proof"]), operations(first)["PutRecord"]
    found = f"partition key {record['PartitionKey']}, EncryptionType {record['EncryptionType']}"
    report("read back", f"that record is in the shard: {found}")

    second = invoke(function, event)
    writes = [call for call in operations(second) if not call.startswith(("Describe", "List", "Get"))]
    require(not writes, f"the same event wrote a second time: {', '.join(writes)}")
    require(second["compliance"] == "COMPLIANT", f"the second run ended {second['compliance']}: {second['annotation']}")
    kept = records(aws, stream, first["proof"]["shard_id"], "TRIM_HORIZON")
    require(len(kept) == probes, "the stream has more than the probes of the first run")
    report("again", f"the same event a second time: {counted(second)}, none of them a write; {second['compliance']}")

    print(f"\n{bold('The evidence of the first run')}\n\n{json.dumps(first, indent=2)}\n")
    print(f"compliance: {first['compliance']}")
    return 0


def report_first(aws: Aws, evidence: Json, stream: str, key: str) -> None:
    """Reports what the evidence says, and holds each claim against the stream."""
    require(evidence["compliance"] == "COMPLIANT", f"the run ended {evidence['compliance']}: {evidence['annotation']}")
    calls = {
        name: [call for call in evidence["calls"] if call["call"].endswith(f":{name}")] for name in operations(evidence)
    }
    starts = calls.get("StartStreamEncryption", [])
    require(
        [call["result"] for call in starts] == ["ok"], f"StartStreamEncryption was not sent once and accepted: {starts}"
    )
    start = starts[0]
    waited = instant(start["at"]) - instant(evidence["calls"][0]["at"])
    report(
        "waited",
        f"{waited} ms for the stream to become ACTIVE, {len(calls['DescribeStreamSummary'])} observations of it in all",
    )

    rule, desired = evidence["policy"]["rule"], evidence["desired"]
    require(
        rule == "orders" and desired["key"] == ALIAS and desired["key_arn"] == key,
        f"the wrong key was chosen: {rule}, {desired}",
    )
    report("chose", f"{desired['key']} by rule `{rule}`, which is {desired['key_arn']}")
    report("started", f"StartStreamEncryption, accepted in {start['duration_ms']} ms")

    now, after = aws.describe(stream), evidence["after"]
    require(
        (after["status"], after["encryption_type"], after["key_arn"]) == ("ACTIVE", "KMS", key),
        f"the evidence ends with {after}",
    )
    require(
        (now["StreamStatus"], now["EncryptionType"], now["KeyId"]) == ("ACTIVE", "KMS", key),
        f"the stream itself is {now}",
    )
    report("active", f"{after['status']}, EncryptionType {after['encryption_type']}, with this key")

    proof = evidence["proof"]
    require((proof["state"], proof["encryption_type"]) == ("proven", "KMS"), f"the proof is {proof}")
    probed(aws, stream, calls["PutRecord"], proof)
    report(
        "proven", f"by record {proof['sequence_number']} in {proof['shard_id']}, stored as {proof['encryption_type']}"
    )
    report("in all", f"{evidence['run']['duration_ms']} ms and {counted(evidence)}")


def probed(aws: Aws, stream: str, puts: list[Json], proof: Json) -> None:
    """Reports how often it probed. Each probe is in the shard: all but the last before encryption had taken hold."""
    require([call["result"] for call in puts] == ["ok"] * len(puts), f"a probe was refused: {puts}")
    types = [one.get("EncryptionType") for one in records(aws, stream, proof["shard_id"], "TRIM_HORIZON")]
    early = len(puts) - 1
    require(early and types == [None] * early + ["KMS"], f"{len(puts)} probes, and the shard has {types}")
    answers = f"{early} answer{'s' if early > 1 else ''} without EncryptionType, too early to report, and then KMS"
    took = instant(puts[-1]["at"]) - instant(puts[0]["at"])
    report("probed", f"{len(puts)} times in {took} ms: {answers}")


def read_back(aws: Aws, stream: str, proof: Json) -> Json:
    """The probe's record, out of the shard."""
    found = records(
        aws, stream, proof["shard_id"], "AT_SEQUENCE_NUMBER", StartingSequenceNumber=proof["sequence_number"]
    )
    require(
        found and found[0]["SequenceNumber"] == proof["sequence_number"],
        "the record that is the proof is not in the shard",
    )
    require(found[0]["EncryptionType"] == "KMS", f"the record in the shard is stored as {found[0]['EncryptionType']}")
    return found[0]


def records(aws: Aws, stream: str, shard: str, where: str, **more: str) -> list[Json]:
    start = {"StreamName": stream, "ShardId": shard, "ShardIteratorType": where, **more}
    iterator = aws("kinesis", "GetShardIterator", **start)["ShardIterator"]
    found: list[Json] = aws("kinesis", "GetRecords", ShardIterator=iterator)["Records"]
    return found


def create_stream_event(parts: Json, stream: str) -> Json:
    """A real event's shape with the live names in it."""
    event: Json = json.loads((ROOT / "events/kinesis-create-stream-provisioned.json").read_text())
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    event |= {"account": parts["account"], "region": parts["region"], "time": now}
    event["detail"] |= {
        "eventTime": now,
        "awsRegion": parts["region"],
        "recipientAccountId": parts["account"],
        "requestParameters": {"streamName": stream, "shardCount": 1},
    }
    return event


def invoke(function: Json, event: Json) -> Json:
    """Invokes the function directly; the answer is the evidence."""
    request = urllib.request.Request(
        function["invoke"], json.dumps(event).encode(), {"Content-Type": "application/json"}
    )
    try:
        with HTTP.open(request, timeout=150) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise Failed(f"the function failed: {error.read().decode()}") from None
    try:
        evidence: Json = json.loads(text)
        require(evidence["schema"] == "streamseal.evidence/v1", f"the function answered something else: {text}")
        return evidence
    except (ValueError, KeyError, TypeError):
        raise Failed(f"the function did not answer with evidence: {text}") from None


def operations(evidence: Json) -> dict[str, int]:
    """How often each operation was called, the most frequent first."""
    return dict(collections.Counter(call["call"].split(":")[1] for call in evidence["calls"]).most_common())


def counted(evidence: Json) -> str:
    by_operation = operations(evidence)
    return (
        f"{sum(by_operation.values())} calls ({', '.join(f'{name} {count}' for name, count in by_operation.items())})"
    )


def instant(text: str) -> int:
    """An RFC 3339 time in milliseconds."""
    # Python 3.10 reads no fraction of other than 3 or 6 digits.
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return round((datetime.datetime.fromisoformat(f"{seconds}+00:00").timestamp() + float(f"0.{fraction or 0}")) * 1000)


def ms(since: float) -> int:
    return round((time.monotonic() - since) * 1000)


def require(holds: object, words: str) -> None:
    if not holds:
        raise Failed(words)


def bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def report(label: str, text: str) -> None:
    print(f"  {bold(f'{label:<10}')} {text}", flush=True)
