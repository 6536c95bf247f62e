"""Starts the local parts that tests and demo run against, and ends them when its stdin closes (or on TERM, INT, HUP).

    tools parts [--kinesis] [--aws] [--auth] [--moto] [--stack] [--create-ms N] [--update-ms N]

No part named: Kinesis and AWS. Once they are ready, prints one line of JSON on stdout:

    {"account": "111122223333", "region": "eu-west-1", "pids": [..], "kinesis": "http://127.0.0.1:P", "aws": "http://127.0.0.1:Q"}

`kinesis` is kinesis-local (streams with states and a true EncryptionType), `aws` is ministack (KMS, SQS, SSM, ...).
Both keep everything in memory, start empty, listen on 127.0.0.1 only, and share one account and Region. An access key
id of twelve digits would be taken for an account by both: sign with any other (`test`). With --auth ministack checks
signatures, identity policies and trust policies, in each of any number of accounts. `moto` has Kinesis, KMS, tags, STS
and more in any number of accounts; whose a request is, it knows by its access key. With --stack ministack also takes
SAM templates, and the functions that it runs find Kinesis in kinesis-local; `bus` is then moto, whose EventBridge
takes what only AWS may send. Nothing is left behind, even when this process is killed: see emulators/procs.py. Nothing
outside the machine is called.
"""

import argparse
import json
import os
import pathlib
from typing import NamedTuple

from emulators.procs import ROOT, Child, Family, answers, free_ports, installed

ACCOUNT, REGION = "111122223333", "eu-west-1"


class Started(NamedTuple):
    """A part that was started: its process, the URL that answers once it is ready, and the one that clients use."""

    child: Child
    health: str
    url: str


def main() -> None:
    """Starts the parts that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="tools parts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinesis", action="store_true", help="start the Kinesis emulator")
    parser.add_argument("--aws", action="store_true", help="start the emulator of KMS, SQS, SSM and the rest")
    parser.add_argument("--auth", action="store_true", help="have that emulator check who may call what")
    parser.add_argument("--moto", action="store_true", help="start moto, an emulator of many services and accounts")
    parser.add_argument(
        "--stack",
        action="store_true",
        help="start both so that a stack can be deployed, and a bus for AWS's own events",
    )
    parser.add_argument("--create-ms", type=int, default=500, help="how long a new stream is CREATING (default 500)")
    parser.add_argument(
        "--update-ms", type=int, default=500, help="how long a changed stream is UPDATING (default 500)"
    )
    args = parser.parse_args()
    both = args.stack or not (args.kinesis or args.aws or args.moto)
    with Family() as family:
        started: dict[str, Started] = {}
        if args.kinesis or both:
            started["kinesis"] = kinesis(family, args.create_ms, args.update_ms)
        if args.aws or both:
            started["aws"] = aws(family, started["kinesis"].url if args.stack else None, auth=args.auth)
        if args.moto:
            started["moto"] = moto(family, {})
        if args.stack:
            started["bus"] = moto(family, {"MOTO_ACCOUNT_ID": ACCOUNT})
        for part in started.values():
            family.await_ready(part.child, lambda health=part.health: answers(health))  # type: ignore[misc]
        urls = {name: part.url for name, part in started.items()}
        pids = [part.child.pid for part in started.values()]
        print(json.dumps({"account": ACCOUNT, "region": REGION, "pids": pids, **urls}), flush=True)
        family.await_stdin()


def kinesis(family: Family, create_ms: int, update_ms: int) -> Started:
    """kinesis-local. Its delays are wired crosswise (measured on 0.6.2: STOP_STREAM_ENCRYPTION_DURATION delays Start,
    and DEREGISTER_STREAM_CONSUMER_DURATION delays Stop), so every change gets the same one. As on AWS, no more than
    five streams may be CREATING at once.
    """
    package = installed("kinesis/node_modules/kinesis-local")
    plain, tls = free_ports(2)
    changes = [
        "DELETE_STREAM",
        "REGISTER_STREAM_CONSUMER",
        "DEREGISTER_STREAM_CONSUMER",
        "START_STREAM_ENCRYPTION",
        "STOP_STREAM_ENCRYPTION",
        "MERGE_SHARDS",
        "SPLIT_SHARD",
        "UPDATE_SHARD_COUNT",
        "UPDATE_STREAM_MODE",
    ]
    env = {
        **bare_environment(family),
        "AWS_ACCOUNT_ID": ACCOUNT,
        "AWS_REGION": REGION,
        "KINESIS_MOCK_PLAIN_PORT": str(plain),
        "KINESIS_MOCK_TLS_PORT": str(tls),
        "KINESIS_MOCK_CERT_PATH": str(package / "server.json"),
        "SHARD_LIMIT": "100000",
        "ON_DEMAND_STREAM_COUNT_LIMIT": "100000",
        "CREATE_STREAM_DURATION": f"{create_ms}ms",
        **{f"{change}_DURATION": f"{update_ms}ms" for change in changes},
    }
    argv = ["node", "--require", ROOT / "tools/emulators/loopback.cjs", package / "main.js"]
    url = f"http://127.0.0.1:{plain}"
    return Started(family.start_logged("kinesis-local", argv, env), f"{url}/healthcheck", url)


def aws(family: Family, kinesis: str | None = None, *, auth: bool = False) -> Started:
    """ministack. CLOUDTRAIL_RECORDING makes it keep the calls it saw for LookupEvents. With `kinesis` it can be
    deployed to: it hands its own endpoints to the functions that it runs, and finds SAM's translator where the SAM
    CLI is.
    """
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    env = {
        **bare_environment(family),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "CLOUDTRAIL_RECORDING": "1",
        "AUTH": str(auth).lower(),
        "PERSIST_STATE": "0",
        "STATE_DIR": str(family.folder / "state"),
        "S3_DATA_DIR": str(family.folder / "s3"),
        "DOCKER_HOST": f"unix://{family.folder}/no-docker",  # It would search for containers to tidy up at its end.
        "LOG_LEVEL": "WARNING",
    }
    # The interpreter is named, since the script's own first line breaks when a long path holds it.
    argv: list[object] = [installed("test/bin/python"), "-m", "ministack"]
    if kinesis:
        env |= {
            "AWS_ENDPOINT_URL": url,
            "SCAN_WINDOW_SECONDS": "1",  # The template leaves minutes; nobody waits for those here.
            "AWS_ENDPOINT_URL_KINESIS": kinesis,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }
        program = ROOT / "tools/emulators/ministack_with_stacks.py"
        argv = [installed("test/bin/python"), "-B", program, sam_packages()]
    return Started(family.start_logged("ministack", argv, env), f"{url}/_ministack/health", url)


def moto(family: Family, settings: dict[str, str]) -> Started:
    """moto. It has one account where its settings name that, and as many as it is asked about where they do not."""
    [port] = free_ports(1)
    env = {**bare_environment(family), "PYTHONDONTWRITEBYTECODE": "1", **settings}
    server = ["-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    url = f"http://127.0.0.1:{port}"
    child = family.start_logged("moto", [installed("test/bin/python"), *server], env)
    return Started(child, f"{url}/moto-api/data.json", url)


def sam_packages() -> pathlib.Path:
    """Where the SAM CLI's packages are."""
    [folder] = installed("sam/lib").glob("python3*/site-packages")
    return folder


def bare_environment(family: Family) -> dict[str, str]:
    """Nothing of the user's AWS settings, proxies or home reaches a part."""
    return {"PATH": os.environ["PATH"], "HOME": str(family.folder), "TMPDIR": str(family.folder), "LANG": "C.UTF-8"}
