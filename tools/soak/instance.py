"""One execution environment of the function, and what feeds it as Lambda's event source mapping does."""

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from typing import Any

from emulators.client import child, children
from emulators.procs import HTTP
from soak.record import Json, Record, stream_of
from soak.world import World


class Instance:
    """One execution environment. Its access key id says whose calls are whose."""

    def __init__(self, world: World, record: Record, over: threading.Event, bootstrap: pathlib.Path, number: int):
        self.world, self.record, self.over, self.bootstrap, self.number = world, record, over, bootstrap, number
        self.generation, self.busy, self.actor = 0, False, ""
        self.tool: subprocess.Popen[bytes] | None = None
        self.ready: Json = {}
        self.stack = contextlib.ExitStack()
        self.dice = random.Random(f"{world.seed}/instance/{number}")
        self.guard = threading.Lock()

    def start(self) -> None:
        """Starts the function under the Lambda emulator, as another actor than before."""
        with self.guard:
            self.generation += 1
            self.actor = f"SOAK{self.number}G{self.generation:03}"
            env = {**self.world.environment(), "AWS_ACCESS_KEY_ID": self.actor}
            self.stack = contextlib.ExitStack()
            argv = ["--timeout", self.world.shape.timeout, self.bootstrap]
            self.tool, self.ready = child(self.stack, "rie", *argv, env=env, stderr=subprocess.PIPE)
            pipe = self.tool.stderr
            threading.Thread(target=self.record.read, args=(pipe, self.actor), daemon=True).start()

    def stop(self) -> None:
        """Ends both."""
        with self.guard:
            if self.tool:
                self.stack.close()
                self.tool = None

    def kill(self, wholly: bool) -> bool:
        """SIGKILL to the function, or to it and the emulator, as when Lambda ends an environment. Whether it was
        busy.
        """
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

    def feed(self) -> None:
        """Lambda's event source mapping, as far as one instance sees it."""
        while not self.over.is_set():
            if not self.tool:
                self.start()
            asked = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1, "AttributeNames": ["All"]}
            answer = self.world.aws("sqs", "ReceiveMessage", QueueUrl=self.world.queue, **asked)
            if messages := answer.get("Messages", []):
                self.invoke(messages)
        self.stop()

    def invoke(self, messages: list[Json]) -> None:
        """Gives the messages to the function, and deletes those that it is done with."""
        record: Json = {
            "actor": self.actor,
            "from": time.time(),
            "streams": [stream_of(message["Body"]) for message in messages],
            "receives": [int(message["Attributes"]["ApproximateReceiveCount"]) for message in messages],
        }
        answered, record["ended"] = self.answer(self.batch(messages))
        record["to"] = time.time()
        failed = {message["MessageId"] for message in messages} if answered is None else answered
        for message in messages:
            if message["MessageId"] in failed:
                continue
            # Queues deliver at least once: now and then a deletion comes too late.
            if self.dice.random() < 0.03:
                record["undeleted"] = record.get("undeleted", 0) + 1
                continue
            receipt = message["ReceiptHandle"]
            self.world.aws("sqs", "DeleteMessage", QueueUrl=self.world.queue, ReceiptHandle=receipt)
            self.record.deleted[stream_of(message["Body"])] += 1
        record["failed"] = len(failed)
        self.record.invocations.append(record)

    def batch(self, messages: list[Json]) -> Json:
        """The messages as Lambda hands them over."""
        aws = self.world.aws
        same: dict[str, Any] = {
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:{aws.region}:{aws.account}:soak",
            "awsRegion": aws.region,
        }
        names = {
            "messageId": "MessageId",
            "receiptHandle": "ReceiptHandle",
            "body": "Body",
            "attributes": "Attributes",
            "md5OfBody": "MD5OfBody",
        }
        return {"Records": [{**{to: one[of] for to, of in names.items()}, **same} for one in messages]}

    def answer(self, batch: Json) -> tuple[set[str] | None, str]:
        """The ids that failed, or `None` where the whole batch did, and how the invocation ended."""
        self.busy = True
        try:
            request = urllib.request.Request(self.ready["invoke"], json.dumps(batch).encode())
            with HTTP.open(request, timeout=self.world.shape.timeout + 20) as answer:
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

    def stop_if_gone(self) -> None:
        """Ends what is left where the emulator was killed."""
        time.sleep(0.05)
        if is_gone(self.ready["pids"][0]):
            self.stop()


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked about it."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
