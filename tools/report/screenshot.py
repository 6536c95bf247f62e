"""Makes docs/report.png, the picture of the HTML report in the README, from a real audit of emulated streams.

    tools report-screenshot [STREAMSEAL]      (default: target/debug/streamseal)

Needs `make setup`, a built `streamseal` and Chromium (Debian: apt-get install chromium). The report that was pictured
is left beside the binary, as report.html. Nothing leaves 127.0.0.1.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

from emulators.client import PYTHON, Aws, Refused, child
from emulators.procs import ROOT, Failed

SIZE_MAX = 150_000
POLICY = """\
version: 1
defaults: {existing: enforce, settle: {terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s}}
rules:
  - name: scratch
    match: {stream: ["scratch-*"]}
    exempt: {reason: "synthetic data, RISK-1421", owner: data-platform}
  - name: cards
    match: {stream: ["cards-*"]}
    key: alias/kinesis/cards
  - name: partners
    match: {stream: ["partner-*"]}
    key: alias/kinesis/partners
    accept: [customer-managed]
  - name: telemetry
    match: {stream: ["telemetry-*"]}
    key: alias/kinesis/telemetry
  - name: everything-else
    key: alias/kinesis/default
"""
# Prefix, how many, the alias whose key they are on.
STREAMS: list[tuple[str, int, str | None]] = [
    ("cards-authorised", 9, "cards"),
    ("cards-settled", 5, "cards"),
    ("cards-disputes", 2, "default"),
    ("partner-feed", 8, "partners"),
    ("partner-export", 4, "default"),
    ("telemetry-eu", 11, "telemetry"),
    ("telemetry-us", 3, None),
    ("orders", 16, "default"),
    ("clickstream", 6, "default"),
    ("clickstream-raw", 3, None),
    ("scratch", 5, None),
]


def main() -> None:
    """Audits a fleet of emulated streams, and pictures the report."""
    program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/streamseal").resolve()
    if not program.exists():
        raise Failed(f"{program} is missing: `cargo build --bin streamseal` builds it")
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, ready = child(stack, "parts", "--create-ms", 1, "--update-ms", 1)
        fleet(Aws(ready))
        (folder / "policy.yaml").write_text(POLICY)
        report = program.with_name("report.html")
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "AWS_ENDPOINT_URL": ready["aws"],
            "AWS_ENDPOINT_URL_KINESIS": ready["kinesis"],
            "ACCOUNT_ID": ready["account"],
            "AWS_REGION": ready["region"],
        }
        argv = [str(program), "audit", "--policy", "policy.yaml", "--rate", "100", "--output", str(report)]
        ended = subprocess.run(argv, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        if ended.returncode != 3:
            raise Failed(f"the audit ended with {ended.returncode}: {ended.stderr}")
        picture = ROOT / "docs/report.png"
        picture.parent.mkdir(exist_ok=True)
        steps = [{"size": [1200, 1130]}, {"screenshot": str(picture)}]
        subprocess.run(
            [*PYTHON, "browser", str(report)], input=json.dumps(steps), text=True, check=True, stdout=subprocess.DEVNULL
        )
    size = picture.stat().st_size
    if size > SIZE_MAX:
        raise Failed(f"{picture} has {size} bytes, more than {SIZE_MAX}")
    print(f"{picture}: {size} bytes, of {report}")


def fleet(aws: Aws) -> None:
    """Makes the streams, and their keys."""
    keys = {}
    for alias in ("cards", "partners", "telemetry", "default"):
        made = aws("kms", "CreateKey")["KeyMetadata"]
        aws("kms", "CreateAlias", AliasName=f"alias/kinesis/{alias}", TargetKeyId=made["KeyId"])
        keys[alias] = made["Arn"]
    for prefix, count, key in STREAMS:
        for n in range(1, count + 1):
            name = f"{prefix}-{n:02}"
            kinesis(aws, "CreateStream", StreamName=name, ShardCount=1)
            if key:
                kinesis(aws, "StartStreamEncryption", StreamName=name, EncryptionType="KMS", KeyId=keys[key])


def kinesis(aws: Aws, operation: str, **body: Any) -> None:
    """A stream is not ACTIVE at once: again."""
    for attempt in range(200):
        try:
            aws("kinesis", operation, **body)
            return
        except Refused:
            if attempt == 199:
                raise
            time.sleep(0.02)
