"""Whom the function is measured against, and how each is made."""

import contextlib
import json
import pathlib
import re
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from emulators.client import children
from emulators.procs import HTTP, ROOT, Failed

ALIAS = "alias/bench"
PEERS = ROOT / "tools/bench/peers"
Json = dict[str, Any]


class Contestant:
    """A program that the Lambda emulator starts, and what it needs in its environment."""

    def __init__(self, name: str, program: pathlib.Path, env: Mapping[str, str] | None = None):
        self.name, self.program, self.env = name, program, dict(env or {})


class Maker:
    """Makes the contestants in a folder: their scripts and packages."""

    def __init__(self, folder: pathlib.Path, python: pathlib.Path, account: str, region: str, base: Mapping[str, str]):
        self.folder, self.python, self.account, self.region, self.base = folder, python, account, region, base

    def streamseal(self, bootstrap: pathlib.Path, name: str = "streamseal") -> Contestant:
        """A release build of this package, with the defaults of template.yaml."""
        settle = "{terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s}"
        defaults = f"{{proof: {{new: probe, existing: describe}}, existing: enforce, settle: {settle}}}"
        policy = f"inline:{{version: 1, defaults: {defaults}, rules: [{{name: all, key: {ALIAS}}}]}}"
        env = {"ACCOUNT_ID": self.account, "POLICY": policy, "MODE": "enforce"}
        return Contestant(name, bootstrap.resolve(), env)

    def floor(self, program: pathlib.Path) -> Contestant:
        """An empty handler on the same runtime crate with the same profile."""
        return Contestant("floor", program.resolve())

    def boto3(self) -> Contestant:
        """A handler in Python, on AWS's runtime client."""
        program = self.script("boto3", f'cd "{PEERS}"\nexec "{self.python}" -m awslambdaric handler.handler')
        env = {"KEY": ALIAS, "LAMBDA_TASK_ROOT": str(PEERS), "PYTHONDONTWRITEBYTECODE": "1"}
        return Contestant("boto3", program, env)

    def custodian(self) -> Contestant:
        """What `custodian run` would deploy: its handler's own text, and the policy in config.json."""
        package = self.folder / "custodian"
        package.mkdir()
        event = {"source": "kinesis.amazonaws.com", "event": "CreateStream", "ids": "requestParameters.streamName"}
        mode = {"type": "cloudtrail", "events": [event]}
        encrypt = {"type": "encrypt", "key": ALIAS.removeprefix("alias/")}
        policy = {**self.custodian_policy(), "mode": mode, "actions": [encrypt]}
        options = {"account_id": self.account, "regions": [self.region]}
        (package / "config.json").write_text(json.dumps({"execution-options": options, "policies": [policy]}))
        template = self.custodian_says("from c7n.mu import PolicyHandlerTemplate; print(PolicyHandlerTemplate)")
        (package / "custodian_policy.py").write_text(template)
        program = self.script("custodian", f'cd "{package}"\nexec "{self.python}" -m awslambdaric custodian_policy.run')
        return Contestant("custodian", program, {"LAMBDA_TASK_ROOT": str(package)})

    @staticmethod
    def custodian_policy() -> Json:
        """Streams with no key or the wrong type, as its documentation would have it."""
        other = {"type": "value", "key": "EncryptionType", "op": "ne", "value": "KMS"}
        return {"name": "encrypt-streams", "resource": "kinesis", "filters": [other]}

    def custodian_says(self, code: str) -> str:
        """What a line of Python prints that has Cloud Custodian's packages."""
        argv = [str(self.python), "-c", code]
        done = subprocess.run(argv, check=True, capture_output=True, text=True, env=self.base)
        return str(done.stdout).strip()

    def script(self, name: str, text: str) -> pathlib.Path:
        """A program of this shell text."""
        program = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        return program


class Function:
    """A contestant under the Lambda emulator: takes an event, and gives the answer and the seconds that it took."""

    def __init__(self, contestant: Contestant, ready: Json, timeout: float, log: pathlib.Path):
        self.contestant, self.timeout, self.log = contestant, timeout, log
        self.url: str = ready["invoke"]
        self.emulator: int = ready["pids"][0]

    def __call__(self, event: Json) -> tuple[Any, float]:
        request = urllib.request.Request(self.url, json.dumps(event).encode())
        began = time.monotonic()
        with HTTP.open(request, timeout=self.timeout + 30) as answer:
            text = answer.read()
        seconds = time.monotonic() - began
        value = json.loads(text)
        if isinstance(value, dict) and "errorType" in value:
            raise Failed(f"{self.contestant.name}: {value}")
        return value, seconds

    def peak_mb(self) -> float:
        """The most memory that the function has had."""
        return sum(peak_mb(pid) for pid in children(self.emulator))

    def processor_ms(self) -> float:
        """The processor time that the function has had."""
        return sum(processor_ms(pid) for pid in children(self.emulator))


def processor_ms(pid: int) -> float:
    """The processor time that this process has had; 0 where it is gone."""
    with contextlib.suppress(OSError):
        return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6
    return 0.0


def peak_mb(pid: int) -> float:
    """The most memory that this process has had, of its present program; 0 where it is gone."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0
