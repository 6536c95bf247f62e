#!/usr/bin/env -S python3 -B
"""Makes docs/report.png, the picture of the HTML report in the README, from a real audit of emulated streams.

    tools/report-screenshot [STREAMSEAL]      (default: target/debug/streamseal)

Needs `make setup`, a built `streamseal` and Chromium (Debian: apt-get install chromium). The report that was pictured is left beside the
binary, as report.html. Nothing leaves 127.0.0.1.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from procs import HTTP, ROOT, Failed, run

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
STREAMS = [
    ("cards-authorised", 9, "cards"), ("cards-settled", 5, "cards"), ("cards-disputes", 2, "default"), ("partner-feed", 8, "partners"),
    ("partner-export", 4, "default"), ("telemetry-eu", 11, "telemetry"), ("telemetry-us", 3, None), ("orders", 16, "default"),
    ("clickstream", 6, "default"), ("clickstream-raw", 3, None), ("scratch", 5, None),
]


def main():
    program = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/streamseal").resolve()
    if not program.exists():
        raise Failed(f"{program} is missing: `cargo build --bin streamseal` builds it")
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        parts = stack.enter_context(subprocess.Popen([ROOT / "tools/parts", "--create-ms", "1", "--update-ms", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        stack.callback(parts.stdin.close)
        ready = json.loads(parts.stdout.readline())
        fleet(ready)
        (folder / "policy.yaml").write_text(POLICY)
        report = program.with_name("report.html")
        environment = {
            "PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1",
            "AWS_ENDPOINT_URL": ready["aws"], "AWS_ENDPOINT_URL_KINESIS": ready["kinesis"], "ACCOUNT_ID": ready["account"], "AWS_REGION": ready["region"],
        }
        argv = [program, "audit", "--policy", "policy.yaml", "--rate", "100", "--output", report]
        ended = subprocess.run(argv, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
        if ended.returncode != 3:
            raise Failed(f"the audit ended with {ended.returncode}: {ended.stderr}")
        picture = ROOT / "docs/report.png"
        picture.parent.mkdir(exist_ok=True)
        steps = [{"size": [1200, 1130]}, {"screenshot": str(picture)}]
        subprocess.run([ROOT / "tools/browser", report], input=json.dumps(steps), text=True, check=True, stdout=subprocess.DEVNULL)
    size = picture.stat().st_size
    if size > SIZE_MAX:
        raise Failed(f"{picture} has {size} bytes, more than {SIZE_MAX}")
    print(f"{picture}: {size} bytes, of {report}")


def fleet(ready):
    keys = {}
    for alias in ("cards", "partners", "telemetry", "default"):
        made = call(ready["aws"], "TrentService.CreateKey", {})["KeyMetadata"]
        call(ready["aws"], "TrentService.CreateAlias", {"AliasName": f"alias/kinesis/{alias}", "TargetKeyId": made["KeyId"]})
        keys[alias] = made["Arn"]
    for prefix, count, alias in STREAMS:
        for n in range(1, count + 1):
            name = f"{prefix}-{n:02}"
            kinesis(ready, "CreateStream", StreamName=name, ShardCount=1)
            if alias:
                kinesis(ready, "StartStreamEncryption", StreamName=name, EncryptionType="KMS", KeyId=keys[alias])


def kinesis(ready, operation, **body):
    """A stream is not ACTIVE at once: again."""
    for _ in range(200):
        answer = call(ready["kinesis"], f"Kinesis_20131202.{operation}", body)
        if answer is None or "__type" not in answer:
            return answer
        time.sleep(0.02)
    raise Failed(f"{operation}: {answer}")


def call(url, target, body):

    headers = {
        "x-amz-target": target,
        "content-type": "application/x-amz-json-1.1",
        "x-amz-date": "20260101T000000Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/kinesis/aws4_request, SignedHeaders=host, Signature=00",
    }
    try:
        text = HTTP.open(urllib.request.Request(url, json.dumps(body).encode(), headers)).read()
    except urllib.error.HTTPError as error:
        text = error.read()
    return json.loads(text) if text else None


if __name__ == "__main__":
    run(main)
