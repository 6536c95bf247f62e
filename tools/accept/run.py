"""One acceptance: what it makes, step by step, and its end, whatever becomes of it."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from accept import life
from accept.questions import asking
from accept.removal import Removal
from accept.terms import Injected
from accept.world import World
from emulators.procs import Failed
from emulators.stacks import Account

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def bucket(world: World) -> None:
    location = {"LocationConstraint": world.aws.region}
    where = {} if world.aws.region == "us-east-1" else {"CreateBucketConfiguration": location}
    world.aws.s3.create_bucket(Bucket=world.prefix, **where)


def keys(world: World) -> None:
    world.first, world.second = world.key("first"), world.key("second")
    world.aws.kms.create_alias(AliasName=world.alias, TargetKeyId=world.first)


def deployment(world: World) -> None:
    policy = f"""version: 1
defaults:
  existing: enforce
  settle: {{ terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s }}
rules:
  - {{ name: life, match: {{ stream: "{world.prefix}-life*" }}, key: {world.alias} }}
  - {{ name: others, exempt: {{ reason: "no part of the acceptance" }} }}
"""
    world.stack.deploy(
        world.prefix,
        Mode="enforce",
        Policy=policy,
        KeyArns=f"{world.first},{world.second}",
        LogRetentionDays=1,
        CreateDashboard="false",
    )
    if world.bus:
        world.bus.mirror()
    world.trail = bool(world.bus) or world.has_trail()


def streams(world: World) -> None:
    world.new_stream(world.life)


STEPS: dict[str, Callable[[World], None]] = {
    "bucket": bucket,
    "keys": keys,
    "deployment": deployment,
    "streams": streams,
    "life": life.live,
    "questions": asking.ask_all,
}


def accept(aws: Account, prefix: str, fail_after: str | None = None, **options: Any) -> bool:
    """One acceptance; nothing is left of it. Whether all went well. `fail_after`: a failure is asked for, after a
    step.
    """
    world = World(aws, prefix, **options)
    try:
        for name, work in STEPS.items():
            world.say(name)
            work(world)
            if fail_after == name:
                raise Injected(f"on purpose, after {name}")
        return not world.failed()
    finally:
        with held_off():
            with contextlib.suppress(OSError):  # The terminal may be what is gone.
                world.say("removing everything")
            left = Removal(aws, prefix, world.keys).all()
        world.table()
        if left:
            raise Failed(f"not removed, try `{again(aws, prefix)}`:\n  " + "\n  ".join(left))


@contextlib.contextmanager
def held_off() -> Iterator[None]:
    """Nothing that can be held off breaks off what is done here."""

    def say(*_: object) -> None:
        with contextlib.suppress(OSError):
            print("\n  everything is being removed; it takes a minute or two", flush=True)

    before = {number: signal.signal(number, say) for number in ENDS if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(number: int, _: object) -> NoReturn:
    """Ends the process as a signal asks."""
    sys.exit(128 + number)


def again(aws: Account, prefix: str) -> str:
    """The command that removes what is left."""
    profile = aws.environment.get("AWS_PROFILE")
    return f"make accept-clean PREFIX={prefix} REGION={aws.region}{f' PROFILE={profile}' if profile else ''}"
