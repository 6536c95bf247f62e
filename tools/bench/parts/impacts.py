"""Who would lose access to many streams of one account: what one run of `impact` asks for, and what it takes."""

import base64
import collections
import contextlib
import json
import pathlib
import urllib.parse
import urllib.request
from typing import Any

from bench.parts.audits import run_one
from bench.table import say
from bench.world import World
from emulators.client import Aws, child
from emulators.procs import HTTP

BUSES = ["default", "orders"]
EMPTY_ZIP = base64.b64encode(b"PK\x05\x06" + bytes(18)).decode()
# The role of every function and rule: what it may do is not what is measured.
MAY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


class Account:
    """Streams on one key, each with a function of its own, a registered consumer and a rule."""

    def __init__(self, url: str, aws: Aws):
        self.url, self.aws = url, aws

    def ask(self, service: str, path: str, body: bytes, kind: str, target: str | None = None) -> Any:
        """One request of another service than those of `Aws`."""
        scope = f"Credential=test/20260101/{self.aws.region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        headers = {"Content-Type": kind, "Authorization": f"AWS4-HMAC-SHA256 {scope}"}
        if target:
            headers["X-Amz-Target"] = target
        with HTTP.open(urllib.request.Request(self.url + path, body, headers), timeout=60) as answer:
            return answer.read()

    def lambdas(self, path: str, **body: Any) -> None:
        """A request to Lambda."""
        self.ask("lambda", f"/2015-03-31/{path}", json.dumps(body).encode(), "application/json")

    def iam(self, **form: str) -> None:
        """A request to IAM."""
        asked = urllib.parse.urlencode({"Version": "2010-05-08", **form}).encode()
        self.ask("iam", "/", asked, "application/x-www-form-urlencoded")

    def events(self, operation: str, **body: Any) -> None:
        """A request to EventBridge."""
        self.ask("events", "/", json.dumps(body).encode(), "application/x-amz-json-1.1", f"AWSEvents.{operation}")

    def role(self, name: str) -> str:
        """A new role."""
        self.iam(Action="CreateRole", RoleName=name, AssumeRolePolicyDocument=TRUST)
        self.iam(Action="PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=MAY)
        return f"arn:aws:iam::{self.aws.account}:role/{name}"

    def stream(self, name: str, key: str, rule: str) -> None:
        """A stream with its users; the role of its rule is that of all rules."""
        arn = f"arn:aws:kinesis:{self.aws.region}:{self.aws.account}:stream/{name}"
        self.aws("kinesis", "CreateStream", StreamName=name, ShardCount=1)
        self.aws("kinesis", "StartStreamEncryption", StreamName=name, EncryptionType="KMS", KeyId=key)
        self.aws("kinesis", "RegisterStreamConsumer", StreamARN=arn, ConsumerName="fan")
        code = {"Runtime": "python3.12", "Handler": "f.f", "Code": {"ZipFile": EMPTY_ZIP}}
        self.lambdas("functions", FunctionName=name, Role=self.role(name), **code)
        self.lambdas("event-source-mappings", FunctionName=name, EventSourceArn=arn, StartingPosition="LATEST")
        self.events("PutRule", Name=name, EventBusName=BUSES[1], EventPattern='{"source": ["x"]}')
        targets = [{"Id": "1", "Arn": arn, "RoleArn": rule}]
        self.events("PutTargets", Rule=name, EventBusName=BUSES[1], Targets=targets)


def measure(world: World) -> None:
    """Adds the rows of `impact`."""
    count = world.shape.impacts
    with contextlib.ExitStack() as stack:
        # Everything in one emulator, since it knows all of these services.
        aws = world.parts["aws"]
        _, fault = child(stack, "fault", "--kinesis", aws, "--aws", aws)
        account = Account(aws, Aws({**world.parts, "kinesis": aws}))
        say(f"creating {count} streams with their users ...")
        keys = [account.aws("kms", "CreateKey")["KeyMetadata"]["Arn"] for _ in range(2)]
        account.events("CreateEventBus", Name=BUSES[1])
        rule = account.role("rule")
        names = [f"impact-{number:03}" for number in range(count)]
        for name in names:
            account.stream(name, keys[0], rule)
        for deep in ([], ["--deep"]):
            run(world, fault["url"], [*names, "--key", keys[1], *deep], count)


def run(world: World, url: str, arguments: list[str], count: int) -> None:
    """One run, with its rows."""
    world.ask(url, "POST", "reset")
    where = ["--account", world.aws.account, "--region", world.aws.region, "--json"]
    argv: list[object] = [world.args.cli.resolve(), "impact", *arguments, *where]
    log = pathlib.Path(world.folder / "impact.log")
    seconds, processor, peak = run_one({**world.base(), "AWS_ENDPOINT_URL": url}, "impact", argv, log)
    counters = world.ask(url, "GET", "counters")
    services: collections.Counter[str] = collections.Counter()
    for name, counter in counters.items():
        services[name.partition(":")[0]] += counter["calls"]
    say(f"calls by service: {dict(services)}")
    calls = sum(services.values())
    # One for each consumer, and one for each bus and stream.
    beyond = (calls - count - count * len(BUSES)) / count

    def add(what: str, unit: str, value: float, digits: int = 1) -> None:
        words = f"impact{' --deep' if '--deep' in arguments else ''} of {count} streams: {what}"
        world.table.add("impact", words, unit, {"streamseal": [value]}, "streamseal", digits)

    add("calls", "calls", calls, 0)
    add("calls a stream, beyond one for each consumer and each bus", "calls", beyond)
    add("time", "s", seconds)
    add("the program's own processor time", "s", processor, 2)
    add("peak memory", "MB", peak)
