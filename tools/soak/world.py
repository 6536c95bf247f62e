"""The emulators, the queue and the streams of a soak."""

import contextlib
import itertools
import json
import os
import random
import urllib.request
from typing import Any

from emulators.client import Aws, child
from emulators.procs import HTTP
from soak.shape import ALIASES, POLICY, RECEIVES_MAX, SHARES, Shape


class World:
    """Everything that stands around the function: the fault layer, keys, queues, policy, and which streams there will
    be.
    """

    def __init__(self, shape: Shape, seed: int, stack: contextlib.ExitStack):
        self.shape, self.seed = shape, seed
        _, parts = child(stack, "parts", "--create-ms", 150, "--update-ms", 200)
        self.aws = aws = Aws(parts)
        _, fault = child(stack, "fault", "--kinesis", parts["kinesis"], "--aws", parts["aws"])
        self.fault: str = fault["url"]
        self.control("PUT", "config", shape.faults(seed, True))
        self.keys = {f"alias/soak/{alias}": self.key(f"alias/soak/{alias}") for alias in ALIASES}
        aws("kms", "DisableKey", KeyId=self.keys["alias/soak/locked"])
        self.dead: str = aws("sqs", "CreateQueue", QueueName="soak-dead")["QueueUrl"]
        attributes = aws("sqs", "GetQueueAttributes", QueueUrl=self.dead, AttributeNames=["QueueArn"])["Attributes"]
        redrive = json.dumps({"deadLetterTargetArn": attributes["QueueArn"], "maxReceiveCount": RECEIVES_MAX})
        settings = {"VisibilityTimeout": str(shape.visibility), "RedrivePolicy": redrive}
        self.queue: str = aws("sqs", "CreateQueue", QueueName="soak", Attributes=settings)["QueueUrl"]
        aws("ssm", "PutParameter", Name="/soak/policy", Value=POLICY, Type="String")
        aws("ssm", "PutParameter", Name="/soak/mode", Value="enforce", Type="String")
        dice = random.Random(f"{seed}/streams")
        cycle = itertools.cycle(SHARES)
        kinds = [next(cycle) for _ in range(shape.streams)]
        dice.shuffle(kinds)
        self.streams = {f"{kind}-{number}": kind for number, kind in enumerate(kinds)}

    def key(self, alias: str) -> str:
        """A new key with this alias."""
        key: str = self.aws("kms", "CreateKey", Description="Streamseal soak")["KeyMetadata"]["Arn"]
        self.aws("kms", "CreateAlias", AliasName=alias, TargetKeyId=key)
        return key

    def environment(self) -> dict[str, str]:
        """The function's environment, but for whose calls its are."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        # A policy or a mode that cannot be read keeps the work for a minute, which the short form does not have.
        named = {"POLICY": "ssm:/soak/policy", "MODE": "ssm:/soak/mode"}
        return {
            **own,
            **({"POLICY": f"inline:{POLICY}", "MODE": "enforce"} if self.shape.short else named),
            "AWS_REGION": self.aws.region,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": self.fault,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "ACCOUNT_ID": self.aws.account,
            "WORK_QUEUE_URL": self.queue,
            "WAIT_SECONDS": str(self.shape.wait),
            "LOG_LEVEL": "warn",
            "DESCRIBES_PER_SECOND": "16",
            "STARTS_PER_SECOND": "4",
            "MAX_CONCURRENCY": str(self.shape.instances),
        }

    def control(self, method: str, what: str, body: object = None) -> Any:
        """Asks the fault layer for something, or reports it something."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.fault}/_fault/{what}", data, method=method)
        with HTTP.open(request, timeout=60) as answer:
            return json.loads(answer.read())
