"""What an engineer would write with boto3 to the same end: a stream is created, wait for it, encrypt it, wait, and
put a record that says whether it took. `make bench` measures the function against it.

It makes the clients once and outside of the handler, keeps connections, retries throttles as botocore does, and
describes with the call that has the higher limit, once a second. It has no policy (one key for all), no evidence, no
queue, no rate of its own.
"""

import os
import time
from typing import Any

import boto3
from botocore.config import Config

KEY = os.environ["KEY"]
PATIENCE = 300

config = Config(retries={"mode": "standard", "max_attempts": 3}, connect_timeout=2, read_timeout=5, tcp_keepalive=True)
kinesis = boto3.client("kinesis", config=config)
kms = boto3.client("kms", config=config)


def active(stream: str) -> dict[str, Any]:
    """The stream's summary, once it is ACTIVE."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        summary: dict[str, Any] = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        if summary["StreamStatus"] == "ACTIVE":
            return summary
        time.sleep(1)
    raise TimeoutError(f"{stream} is still {summary['StreamStatus']}")


def handler(event: dict[str, Any], context: object) -> dict[str, Any] | None:
    """What Lambda calls."""
    detail = event["detail"]
    if detail.get("errorCode"):
        return None
    stream = detail["requestParameters"]["streamName"]
    summary = active(stream)
    key = kms.describe_key(KeyId=KEY)["KeyMetadata"]["Arn"]
    if summary.get("KeyId") in (KEY, key):
        return {"stream": stream, "changed": False}
    kinesis.start_stream_encryption(StreamName=stream, EncryptionType="KMS", KeyId=key)
    active(stream)
    answer = kinesis.put_record(StreamName=stream, Data=b"probe", PartitionKey="probe")
    return {"stream": stream, "changed": True, "proven": answer.get("EncryptionType") == "KMS"}
