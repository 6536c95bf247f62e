"""Starts the other tools, and calls the emulators: how a tool uses what another one starts."""

import contextlib
import json
import pathlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import IO, Any, ClassVar

from emulators.procs import HTTP, ROOT, Failed

PYTHON = [sys.executable, "-B", str(ROOT / "tools")]


def child(
    stack: contextlib.ExitStack,
    name: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    stderr: int | IO[Any] | None = None,
) -> tuple["subprocess.Popen[bytes]", Any]:
    """Starts a tool that prints one JSON line and stays until its stdin closes, which it does even if we are killed.
    What it printed comes with it.
    """
    argv = [*PYTHON, name, *map(str, arguments)]
    tool = subprocess.Popen(argv, env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
    assert tool.stdin and tool.stdout
    stack.callback(tool.wait)
    stack.callback(tool.stdin.close)
    line = tool.stdout.readline()
    if not line:
        raise Failed(f"`tools {name}` did not start")
    return tool, json.loads(line)


class Refused(Failed):
    """An emulator refused a call."""


class Aws:
    """The emulators themselves, past the fault layer."""

    TARGETS: ClassVar[dict[str, str]] = {
        "kinesis": "Kinesis_20131202",
        "kms": "TrentService",
        "sqs": "AmazonSQS",
        "ssm": "AmazonSSM",
    }

    def __init__(self, parts: Mapping[str, Any]):
        self.parts = parts
        self.region: str = parts["region"]
        self.account: str = parts["account"]

    def __call__(self, service: str, operation: str, **body: Any) -> Any:
        scope = (
            f"Credential=test/20260101/{self.region}/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature=0"
        )
        headers = {
            "Content-Type": f"application/x-amz-json-1.{'0' if service == 'sqs' else '1'}",
            "X-Amz-Target": f"{self.TARGETS[service]}.{operation}",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": f"AWS4-HMAC-SHA256 {scope}",
        }
        url = self.parts["kinesis" if service == "kinesis" else "aws"]
        try:
            with HTTP.open(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=60) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise Refused(f"{service}:{operation} was refused: {error.read().decode()}") from None

    def describe(self, stream: str) -> Any:
        """The summary of a stream."""
        return self("kinesis", "DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]

    def records(self, stream: str) -> Iterator[dict[str, Any]]:
        """Every record of a stream."""
        for shard in self("kinesis", "ListShards", StreamName=stream)["Shards"]:
            where = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            place = self("kinesis", "GetShardIterator", StreamName=stream, **where)["ShardIterator"]
            while place:
                answer = self("kinesis", "GetRecords", ShardIterator=place)
                yield from ({**record, "ShardId": shard["ShardId"]} for record in answer["Records"])
                place = answer["Records"] and answer.get("NextShardIterator")

    def waiting(self, queue: str) -> list[int]:
        """How many messages can be received now, are received and not yet deleted, are delayed."""
        names = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]
        attributes = self("sqs", "GetQueueAttributes", QueueUrl=queue, AttributeNames=names)["Attributes"]
        return [int(attributes[name]) for name in names]


def children(pid: int) -> list[int]:
    """The processes that `pid` started."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found
