"""Deploys the stack with the SAM CLI, into an account or into the emulators, and reads what it then says.

Runs in the SAM CLI's Python (.local/sam/bin/python), which has boto3. What is deployed is what `sam build` made of
`template.yaml`; nothing here changes either.
"""

import contextlib
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from emulators.client import child
from emulators.procs import LOCAL, ROOT, Failed

try:
    import boto3 as boto3
    import botocore.config
    from botocore.exceptions import BotoCoreError as BotoCoreError
    from botocore.exceptions import ClientError as ClientError
    from samtranslator.yaml_helper import yaml_parse as yaml_parse
except ImportError as missing:
    sys.exit(f"{sys.argv[0]}: {missing}: start it with make, which runs it in .local/sam (tools/setup --sam)")

Json = dict[str, Any]
Found = TypeVar("Found")

# However slow the machine, what will happen has happened by then.
PATIENCE = 180
HOST = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


class Account:
    """Clients of one account and Region, and the environment in which the SAM CLI finds the same."""

    def __init__(self, session: Any, environment: Mapping[str, str], endpoints: Mapping[str, str] | None = None):
        self.session, self.environment, self.endpoints = session, dict(environment), endpoints or {}
        self.region: str = session.region_name
        self.made: dict[str, Any] = {}
        self.emulated = bool(endpoints)

    def __getattr__(self, service: str) -> Any:
        """The client of a service, by its name in boto3 with _ for -."""
        if service.startswith("__"):
            raise AttributeError(service)
        name = {"lambda_": "lambda"}.get(service, service).replace("_", "-")
        if name not in self.made:
            endpoint = self.endpoints.get(name, self.endpoints.get("*"))
            retries = {"mode": "standard", "max_attempts": 8}
            config = botocore.config.Config(retries=retries, proxies={} if self.emulated else None)
            self.made[name] = self.session.client(name, endpoint_url=endpoint, config=config)
        return self.made[name]


@contextlib.contextmanager
def parts() -> Iterator[Json]:
    """`tools parts --stack`, for as long as the context."""
    with contextlib.ExitStack() as stack:
        yield child(stack, "parts", "--stack")[1]


def emulated(parts: Json) -> tuple[Account, Account]:
    """The account of `tools parts --stack`, and the bus beside it that takes events of AWS's own services."""
    endpoints = {"kinesis": parts["kinesis"], "*": parts["aws"]}
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=parts["region"])
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = own | {
        "AWS_REGION": parts["region"],
        "AWS_DEFAULT_REGION": parts["region"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": parts["aws"],
        "AWS_ENDPOINT_URL_KINESIS": parts["kinesis"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }
    return Account(session, environment, endpoints), Account(session, {}, {"*": parts["bus"]})


class Stack:
    """One deployment of what `sam build` made."""

    def __init__(self, account: Account, name: str, build: pathlib.Path):
        self.account, self.name, self.build = account, name, build.resolve()
        self.outputs: dict[str, str] = {}
        self.template = self.build / "template.yaml"
        if not self.template.exists():
            raise Failed(f"{self.template} is missing: `make sam` builds it")
        self.architecture = HOST
        self.unchanged()

    def unchanged(self) -> None:
        """The built template is the one in the repository, but for where files are: the code, and what the application
        repository shows.
        """
        built, source = (yaml_parse(path.read_text()) for path in (self.template, ROOT / "template.yaml"))
        for template in (built, source):
            for resource in template["Resources"].values():
                resource.get("Metadata", {}).pop("SamResourceId", None)
                if not resource.get("Metadata", True):
                    del resource["Metadata"]
            template["Resources"]["Function"]["Properties"].pop("CodeUri")
            for file in ("LicenseUrl", "ReadmeUrl"):
                application = template.get("Metadata", {}).get("AWS::ServerlessRepo::Application", {})
                application.pop(file, None)
        if built != source:
            raise Failed(f"{self.template} is not made of template.yaml as it is now: `make sam` builds it")

    def deploy(self, bucket: str, **parameters: object) -> None:
        """`sam deploy`; parameters that are not named keep their value from before, or the template's."""
        values = {"Architecture": self.architecture, **parameters}
        words = [f'{name}="{quoted(value)}"' for name, value in values.items()]
        argv = [
            LOCAL / "sam/bin/sam",
            "deploy",
            "--template-file",
            self.template,
            "--stack-name",
            self.name,
            "--s3-bucket",
            bucket,
            "--s3-prefix",
            self.name,
            "--region",
            self.account.region,
            "--capabilities",
            "CAPABILITY_IAM",
            "--no-confirm-changeset",
            "--no-fail-on-empty-changeset",
            "--no-progressbar",
            "--parameter-overrides",
            *words,
        ]
        # From a folder without a samconfig.toml: what somebody's own deployment says is not for this one.
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=self.build,
            env=self.account.environment | {"SAM_CLI_TELEMETRY": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise Failed("sam deploy failed; the end of what it says:\n" + "\n".join(done.stdout.splitlines()[-40:]))
        found = self.account.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        self.outputs = {one["OutputKey"]: one["OutputValue"] for one in found["Outputs"]}
        if self.account.emulated:
            self.poll()

    def poll(self) -> None:
        """ministack takes a number of a template's parameter as text, and then polls no queue."""
        functions = self.account.lambda_
        found = functions.list_event_source_mappings(FunctionName=self.outputs["FunctionName"])
        for one in found["EventSourceMappings"]:
            if most := one.get("ScalingConfig", {}).get("MaximumConcurrency"):
                functions.update_event_source_mapping(UUID=one["UUID"], ScalingConfig={"MaximumConcurrency": int(most)})

    def resources(self, kind: str) -> dict[str, str]:
        """The physical ids of the deployed resources of a kind, by logical id."""
        pages = self.account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.name)
        found = [one for page in pages for one in page["StackResourceSummaries"] if one["ResourceType"] == kind]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}

    def lines(self) -> list[Json]:
        """What the function wrote so far, as CloudWatch Logs has it: every line that is JSON, oldest first."""
        group, logs = self.outputs["LogGroupName"], self.account.logs
        values: list[Json] = []
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            for event in page["events"]:
                try:
                    value = json.loads(event["message"])
                except ValueError:
                    continue  # Lambda's own lines are no JSON.
                values.append(value)
        return values

    def said(self, schema: str) -> list[Json]:
        """Every document of this schema, oldest first."""
        return [line for line in self.lines() if line.get("schema") == f"streamseal.{schema}/v1"]

    def await_evidence(self, what: str, fits: Callable[[Json], bool], seconds: float = PATIENCE) -> Json:
        """The newest evidence that fits, once there is some."""
        every = 0.5 if self.account.emulated else 5  # An account has a few reads of logs a second, for everybody.
        return await_(what, lambda: [one for one in self.said("evidence") if fits(one)], seconds, every)[-1]

    def invoke(self, payload: Json) -> tuple[str | None, Any]:
        """What kind of error the function ended with, if any, and its answer."""
        answer = self.account.lambda_.invoke(
            FunctionName=self.outputs["FunctionName"], Payload=json.dumps(payload).encode()
        )
        return answer.get("FunctionError"), json.loads(answer["Payload"].read() or b"null")

    def arn(self, output: str) -> str:
        """The ARN of a queue."""
        url = self.outputs[output]
        found = self.account.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])

    def waiting(self, queue: str) -> list[int]:
        """How many messages of a queue can be received, are received and not yet deleted, are delayed."""
        names = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]
        found = self.account.sqs.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=names)
        return [int(value) for value in found["Attributes"].values()]


class Bus:
    """moto's EventBridge with the deployed rules and targets as they are, since it takes what only AWS's services may
    send; what comes to its queue is carried to the deployed one, which has the same ARN.
    """

    def __init__(self, moto: Account, stack: Stack):
        self.moto, self.stack = moto, stack
        self.patterns: dict[str, str] = {}

    def mirror(self) -> None:
        """After each deployment."""
        events, queue = self.stack.account.events, self.stack.arn("WorkQueueUrl")
        self.carried = self.moto.sqs.create_queue(QueueName=queue.split(":")[-1])["QueueUrl"]
        for logical, name in self.stack.resources("AWS::Events::Rule").items():
            targets = events.list_targets_by_rule(Rule=name)["Targets"]
            expect([one["Arn"] for one in targets] == [queue], f"{logical} has the targets {targets}")
            if pattern := events.describe_rule(Name=name).get("EventPattern"):
                self.patterns[logical] = pattern
                self.moto.events.put_rule(Name=name, EventPattern=pattern)
                answer = self.moto.events.put_targets(Rule=name, Targets=targets)
                expect(not answer["FailedEntryCount"], f"{logical}: {answer}")

    def put(self, name: str, event: Json) -> str | None:
        """The id that the bus gave the event, once it is in the work queue; None where no rule takes it. moto's matcher
        and ministack's must agree, but for what is in arrays, which moto's does not read.
        """
        entry = {
            "Source": event["source"],
            "DetailType": event["detail-type"],
            "Detail": json.dumps(event["detail"]),
            "Resources": event["resources"],
        }
        answer = self.moto.events.put_events(Entries=[entry])
        expect(not answer["FailedEntryCount"], f"{name}: {answer}")
        found = self.moto.sqs.receive_message(QueueUrl=self.carried, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            self.moto.sqs.delete_message(QueueUrl=self.carried, ReceiptHandle=message["ReceiptHandle"])
        # It leaves out the envelope's account.
        bodies = [json.dumps(json.loads(message["Body"]) | {"account": event["account"]}) for message in found]
        test = self.stack.account.events.test_event_pattern
        rules = [
            rule
            for rule, pattern in self.patterns.items()
            if test(EventPattern=pattern, Event=json.dumps(event))["Result"]
        ]
        if isinstance(event["detail"].get("findings"), list):
            expect(not bodies, f"{name}: moto reads arrays now, so the way around it can go")
            bodies = [json.dumps(event | {"id": str(uuid.uuid4()), "time": utc()})] * len(rules)
        expect(
            len(bodies) == len(rules) <= 1,
            f"{name}: moto delivers {len(bodies)} times, by ministack it matches {rules}",
        )
        for body in bodies:
            self.stack.account.sqs.send_message(QueueUrl=self.stack.outputs["WorkQueueUrl"], MessageBody=body)
        return json.loads(bodies[0])["id"] if bodies else None


def utc() -> str:
    """The time, as AWS writes it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def expect(holds: object, words: str) -> None:
    """Fails with these words where something does not hold."""
    if not holds:
        raise Failed(words)


def calls(said: Json) -> list[str]:
    """The calls of a run."""
    return [one["call"] for one in said["calls"]]


def writes(said: Json) -> list[str]:
    """The calls of a run that change something."""
    return [call for call in calls(said) if not call.split(":")[1].startswith(("Describe", "List", "Get", "Lookup"))]


def brief(said: Json) -> str:
    """Evidence in a few words."""
    return f"{said['compliance']} {said['reason']}: {said['annotation']}"


def quoted(value: object) -> str:
    """As the SAM CLI wants a value between double quotes."""
    return str(value).replace("\\", "\\\\").replace('"', '\\"')


def await_(what: str, probe: Callable[[], Found], seconds: float = PATIENCE, every: float = 0.5) -> Found:
    """What `probe` finds, once it finds something; it is asked again after so many seconds."""
    end = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(every)
    return found


def code(error: Any) -> str:
    """The error code of an answer of AWS."""
    return str(error.response["Error"]["Code"])


class gone:
    """Ignores that what is to be removed is not there: `with gone(CODE, ..):`."""

    def __init__(self, *codes: str):
        self.codes = codes

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        return isinstance(error, ClientError) and code(error) in self.codes
