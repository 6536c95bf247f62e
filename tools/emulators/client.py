"""How tools/soak and tools/bench drive the others: starting tools, and calling the emulators themselves."""

import contextlib
import json
import pathlib
import subprocess
import urllib.error
import urllib.request

from procs import HTTP, ROOT, Failed


def child(stack, argv, env=None, stderr=None):
    """Starts a tool that prints one JSON line and stays until its stdin closes, which it does even if we are killed."""
    argv = [str(arg) for arg in argv]
    tool = subprocess.Popen(argv, env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
    stack.callback(tool.wait)
    stack.callback(tool.stdin.close)
    line = tool.stdout.readline()
    if not line:
        raise Failed(f"{argv[0]} did not start")
    return tool, json.loads(line)


class Aws:
    """The emulators themselves, past the fault layer."""

    TARGETS = {"kinesis": "Kinesis_20131202", "kms": "TrentService", "sqs": "AmazonSQS", "ssm": "AmazonSSM"}

    def __init__(self, parts):
        self.parts, self.region, self.account = parts, parts["region"], parts["account"]

    def __call__(self, service, operation, **body):
        scope = f"Credential=test/20260101/{self.region}/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature=0"
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
            raise Refused(f"{service}:{operation} was refused: {error.read().decode()}")

    def describe(self, stream):
        return self("kinesis", "DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]

    def records(self, stream):
        """Every record of a stream."""
        for shard in self("kinesis", "ListShards", StreamName=stream)["Shards"]:
            where = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            place = self("kinesis", "GetShardIterator", StreamName=stream, **where)["ShardIterator"]
            while place:
                answer = self("kinesis", "GetRecords", ShardIterator=place)
                yield from ({**record, "ShardId": shard["ShardId"]} for record in answer["Records"])
                place = answer["Records"] and answer.get("NextShardIterator")

    def waiting(self, queue):
        """How many messages can be received now, are received and not yet deleted, are delayed."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
        attributes = self("sqs", "GetQueueAttributes", QueueUrl=queue, AttributeNames=names)["Attributes"]
        return [int(attributes[name]) for name in names]


class Refused(Failed):
    """An emulator refused a call."""


def children(pid):
    """The processes that `pid` started."""
    found = []
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found
