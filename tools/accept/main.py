"""Tries the stack in an AWS account: deploys it, goes through a stream's life, asks AWS what its documentation does
not say, and removes everything.

    make accept [PROFILE=..] [REGION=..] [YES=1] [LONG=1]
                        in an account; asks for what is not given, shows what it makes and costs, asks once more
    make accept-clean PREFIX=streamseal-accept-.. [PROFILE=..] [REGION=..]
                        removes what a run left that was killed
    make accept-here    against the emulators, where only AWS could answer most of it

Everything that it makes has one fresh prefix in its name, or is part of a stack that has. The policy that it deploys
knows the streams with that prefix and leaves all others alone. What is asked is listed in docs/aws-unconfirmed.md
with what AWS was seen to do and the guard in the code; nothing in the product depends on the answers, so that a
REFUTED is news and no failure. An answer against what was seen is marked. Status 1: a step of the life failed, or
something could not be removed.

--here then fails on purpose after each step in turn, and checks whether anything is left in the emulators.
"""

import argparse
import os
import re
import signal
import sys
from typing import Any

from accept.here import here
from accept.plan import fresh, plan
from accept.questions import asking
from accept.removal import Removal
from accept.run import accept, end
from accept.terms import PREFIX, REFUSED
from emulators.procs import Failed
from emulators.stacks import Account, boto3, expect

# What the SDK takes rather than the profile that AWS_PROFILE names, and what it takes where there is no profile.
SECRETS = [
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
]  # fmt: skip
CONTAINER = ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]


def main() -> int:
    """Accepts, cleans, or does either against the emulators, as the arguments say."""
    parser = argparse.ArgumentParser(
        prog="tools accept", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile")
    parser.add_argument("--region")
    parser.add_argument("--yes", action="store_true", help="do not ask before anything is made")
    parser.add_argument("--long", action="store_true", help="ask what takes longer too")
    parser.add_argument("--clean", metavar="PREFIX", help="remove what a run with this prefix left")
    parser.add_argument("--here", action="store_true", help="against the emulators")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # As under nohup.
            signal.signal(number, end)
    asking.listed()
    try:
        return work(args)
    except KeyboardInterrupt:
        sys.exit("accept: interrupted, and everything removed")


def work(args: argparse.Namespace) -> int:
    """What the arguments ask for."""
    if args.here:
        here()
        return 0
    if args.clean is not None:
        known = re.fullmatch(PREFIX + "[0-9a-f]{8}", args.clean)
        expect(known, f"`{args.clean}` is no prefix of a run ({PREFIX} and 8 digits)")
    aws, who = of_aws(args)
    if args.clean:
        where = f"in account {who['Account']}, Region {aws.region}"
        left = Removal(aws, args.clean, ()).all()
        expect(not left, f"not removed {where}:\n  " + "\n  ".join(left))
        print(f"nothing of {args.clean} is left {where}, but keys that are deleted in 7 days")
        return 0
    prefix = fresh()
    print(plan(aws, prefix, who, args.long))
    if not args.yes:
        expect(sys.stdin.isatty(), "nobody is there to say yes: YES=1")
        if input('Make it? Type "yes" to continue: ').strip() != "yes":
            return 1
    return 0 if accept(aws, prefix, long=args.long) else 1


def of_aws(args: argparse.Namespace) -> tuple[Account, dict[str, Any]]:
    """The account whose profile was named, or that the environment has credentials of, or that is asked for."""

    def has(names: list[str]) -> bool:
        return any(os.environ.get(name) for name in names)

    profile = args.profile or (None if has(SECRETS) else os.environ.get("AWS_PROFILE"))
    if not profile and not has(SECRETS + CONTAINER):
        profile = answer(None, "profile of ~/.aws", "default")
    # We and the SAM CLI read the same environment, with one answer to whose credentials are meant.
    for name in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", *(SECRETS if profile else [])]:
        os.environ.pop(name, None)
    if profile:
        os.environ["AWS_PROFILE"] = profile
    try:
        region = answer(args.region, "Region", boto3.Session().region_name)
        expect(region, "no Region is given")
        environment = {**os.environ, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
        account = Account(boto3.Session(region_name=region), environment)
        return account, account.sts.get_caller_identity()
    except REFUSED as error:
        whose = f"profile {profile}" if profile else "the credentials of the environment"
        raise Failed(f"{whose}: {error}") from None


def answer(given: str | None, question: str, default: str | None) -> str:
    """What was given, or what is answered at the terminal."""
    if given:
        return given
    if not sys.stdin.isatty():
        raise Failed(f"give the {question}: PROFILE=.. REGION=.., and YES=1 for no question at all")
    return input(f"{question}{f' [{default}]' if default else ''}: ").strip() or default or ""
