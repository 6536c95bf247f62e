"""What all parts of the bench share: the emulators behind the fault layer, the contestants, streams, and the table."""

import argparse
import contextlib
import functools
import itertools
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from bench.contestants import ALIAS, Contestant, Function, Json, Maker
from bench.processors import Processors
from bench.shape import Shape
from bench.table import Table
from emulators.client import Aws, child
from emulators.procs import HTTP, ROOT, installed

# Seconds of an invocation.
TIMEOUT = 300


class World:
    """Everything that a part measures with."""

    def __init__(self, args: argparse.Namespace, stack: contextlib.ExitStack):
        self.args, self.shape, self.table = (
            args,
            Shape(args.quick, bool(args.before)),
            Table("before" if args.before else "floor"),
        )
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="streamseal-bench-"))
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.processors = Processors(stack)
        _, self.parts = child(stack, "parts", "--create-ms", 10, "--update-ms", 10)
        self.aws = Aws(self.parts)
        _, fault = child(stack, "fault", "--kinesis", self.parts["kinesis"], "--aws", self.parts["aws"])
        self.fault: str = fault["url"]
        self.key: str = self.aws("kms", "CreateKey", Description="bench")["KeyMetadata"]["Arn"]
        self.aws("kms", "CreateAlias", AliasName=ALIAS, TargetKeyId=self.key)
        self.numbers = itertools.count(1)

    # What only some parts need is made when it is asked for.

    @functools.cached_property
    def python(self) -> pathlib.Path:
        """The Python of the contestants."""
        return pathlib.Path(sys.executable) if self.args.before else installed("bench/bin/python")

    @functools.cached_property
    def make(self) -> Maker:
        """Makes the contestants."""
        return Maker(self.folder, self.python, self.aws.account, self.aws.region, self.base())

    @functools.cached_property
    def contestants(self) -> dict[str, Contestant]:
        """All of them, by their names."""
        ours = self.make.streamseal(self.args.bootstrap)
        if self.args.before:
            all_of_them = [self.make.streamseal(self.args.before, "before"), ours]
        else:
            all_of_them = [ours, self.make.floor(self.args.floor), self.make.boto3(), self.make.custodian()]
        return {one.name: one for one in all_of_them}

    def base(self) -> dict[str, str]:
        """The environment of every contestant."""
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "NO_PROXY": "127.0.0.1",
            "AWS_REGION": self.aws.region,
            "AWS_DEFAULT_REGION": self.aws.region,
            "AWS_ENDPOINT_URL": self.fault,
            "AWS_ACCESS_KEY_ID": "BENCH",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def limited(self, program: pathlib.Path, memory: int | None) -> pathlib.Path:
        """The program with the share of a processor that goes with so much memory; the emulator itself is not
        limited.
        """
        if memory is None:
            return program
        join = f'echo $$ >"{self.processors.group(memory)}/cgroup.procs"'
        return self.make.script(f"limited-{memory}", f'{join}\nexec "{program}"')

    # The fault layer.

    def control(self, method: str, what: str, value: object = None) -> Any:
        """Asks the fault layer for something, or reports it something."""
        return self.ask(self.fault, method, what, value)

    @staticmethod
    def ask(url: str, method: str, what: str, value: object = None) -> Any:
        """The same of another one."""
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(f"{url}/_fault/{what}", data, method=method)
        with HTTP.open(request, timeout=60) as answer:
            return json.loads(answer.read())

    def configure(self, **spec: object) -> None:
        """Gives the fault layer another configuration, and has it forget what it saw."""
        self.control("PUT", "config", {"list_streams_page": 100, "tagging": True, **spec})
        self.control("POST", "reset")

    # Functions, events and streams.

    @contextlib.contextmanager
    def function(
        self, contestant: Contestant, memory: int | None = None, env: Mapping[str, str] | None = None
    ) -> Iterator[Function]:
        """The function under the emulator, not started yet."""
        with contextlib.ExitStack() as stack:
            variables = {**self.base(), **contestant.env, **(env or {})}
            log = tempfile.NamedTemporaryFile(dir=self.folder, prefix=f"{contestant.name}-", suffix=".log")  # noqa: SIM115
            stack.enter_context(log)
            program = self.limited(contestant.program, memory)
            _, ready = child(stack, "rie", "--timeout", TIMEOUT, program, env=variables, stderr=log)
            yield Function(contestant, ready, TIMEOUT, pathlib.Path(log.name))

    def event(self, stream: str, refused: bool = False) -> Json:
        """What EventBridge brings of a stream's creation, or of one that was refused."""
        event: Json = json.loads((ROOT / "events/kinesis-create-stream-provisioned.json").read_text())
        event["time"] = event["detail"]["eventTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event["detail"]["requestParameters"] = {"streamName": stream, "shardCount": 1}
        if refused:
            event["detail"] |= {"errorCode": "LimitExceededException", "responseElements": None}
        return event

    def stream(self, prefix: str) -> str:
        """A new stream."""
        name = f"{prefix}-{next(self.numbers):04}"
        self.aws("kinesis", "CreateStream", StreamName=name, ShardCount=1)
        return name

    def active(self, stream: str) -> Json:
        """A stream's summary once it is ACTIVE, as the emulator has it; held streams are ACTIVE here at once."""
        while (summary := self.aws.describe(stream))["StreamStatus"] != "ACTIVE":
            time.sleep(0.02)
        found: Json = summary
        return found
