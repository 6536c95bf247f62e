"""Runs a Lambda binary under AWS's Runtime Interface Emulator until its stdin closes (or on TERM, INT, HUP).

    tools rie [--timeout SECONDS] [--env NAME=VALUE]... BOOTSTRAP

Once the emulator accepts, prints one line of JSON on stdout: {"invoke":
"http://127.0.0.1:P/2015-03-31/functions/function/invocations", "pids": [..]}. The function starts with the first
invocation, in this process's environment plus each --env; what it writes goes to stderr. One invocation at a time.

What the emulator answers: status 200 with the function's answer, or with its error as {"errorType": ..,
"errorMessage": ..}; 200 with the text `Task timed out after N seconds` (it then ends the function, and the next
invocation starts it anew); 502 when the function ended by itself. LAMBDA_TASK_ROOT is not set: a `file:` policy is
searched for in the directory where this was started.

Nothing is left behind, even when this process is killed: see emulators/procs.py.
"""

import argparse
import json
import os
import pathlib
import sys

from emulators.procs import Failed, Family, accepts, free_ports, installed


def main() -> None:
    """Runs the binary that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="tools rie", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--timeout", type=int, default=120, metavar="SECONDS", help="of one invocation (default 120)")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("bootstrap", type=pathlib.Path)
    args = parser.parse_args()
    bootstrap = args.bootstrap.resolve()
    if not os.access(bootstrap, os.X_OK):
        raise Failed(f"{args.bootstrap} is not a program")
    port, api = free_ports(2)
    env = {
        **os.environ,
        "AWS_LAMBDA_FUNCTION_NAME": "streamseal",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(args.timeout),
        **dict(pair.split("=", 1) for pair in args.env),
    }
    argv = [
        installed("rie/aws-lambda-rie"),
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{port}",
        "--runtime-api-address",
        f"127.0.0.1:{api}",
        "--log-level",
        "error",
        bootstrap,
    ]
    with Family() as family:
        child = family.start("the Lambda emulator", argv, env, cwd=None, stdout=sys.stderr, stderr=sys.stderr)
        family.await_ready(child, lambda: accepts(port))
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        print(json.dumps({"invoke": url, "pids": [child.pid]}), flush=True)
        family.await_stdin()
