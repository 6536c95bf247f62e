"""Deploys what `sam build` made into emulators, as a user would into AWS, and tests that the deployed stack works.

    make stack-test         (.local/sam/bin/python -B tools stack-test [BUILD]; default: .aws-sam/build)

`sam deploy` puts the unchanged template into ministack, which then runs the release build of the function itself,
with the template's own environment, by the template's own event source mappings; Kinesis is kinesis-local. Each file
of `events/` goes the way its event would: by a bus with the rules as deployed, the target's queue, the event source
mapping. Status 1 says which claim does not hold.

Where the emulators fall short, and what stands in:
- ministack refuses events whose source is `aws.*`, so they are put into moto's bus, which has the deployed rules and
  targets one by one; what it delivers to the work queue is carried from moto's queue into ministack's. The schedule's
  rule fires in ministack itself.
- moto leaves out the envelope's `account`, which is put in when the message is carried.
- moto does not read arrays of a pattern's member (Security Hub's findings): there ministack's TestEventPattern
  decides. For all other events the two must agree.
- ministack takes ScalingConfig.MaximumConcurrency of a template as text and then polls no queue: it is set again, to
  the same value.
- A message that fails is received again after the queue's 12 minutes: for that one check the deployed queue is set to
  a second.
- ministack neither counts embedded metrics nor evaluates alarms by them: the metrics' lines are read from the log
  instead.
- ministack refuses kinds of resources that it does not know: those that nothing runs on are made into nothing
  (emulators/ministack_with_stacks.py).
- No permission is enforced: what the role allows is tests/system/template.rs's and iam.rs's. No CloudTrail reports
  what Kinesis is called for: the events are the files.

Leaves nothing: the stack is deleted at the end, and everything ends with this process.
"""

import contextlib
import json
import pathlib
import sys
import time

from emulators.procs import ROOT, Failed
from emulators.stacks import parts
from stack_test import function, results, streams
from stack_test.world import ALIAS, POLICY, World


def checks(world: World) -> None:
    """All of them, in order."""
    aws = world.aws
    world.keys = [world.key(), world.key()]
    aws.kms.create_alias(AliasName=ALIAS, TargetKeyId=world.keys[0])
    where = {"LocationConstraint": aws.region}
    aws.s3.create_bucket(Bucket="deployments", CreateBucketConfiguration=where)
    world.results = results.result_bus(world)
    world.deploy(Mode="enforce", Policy=POLICY, SweepSchedule="rate(1 minute)", **world.results)
    world.sweep_rule = world.stack.resources("AWS::Events::Rule")["Sweep"]
    aws.events.disable_rule(Name=world.sweep_rule)
    function.deployed(world)
    streams.created(world)
    streams.stopped(world)
    streams.others(world)
    streams.key_events(world)
    streams.sweep(world)
    function.mode(world)
    function.policy(world)
    function.direct(world)
    results.result_events(world)
    results.results_lost(world)
    function.log(world)
    function.deleted(world)
    took = time.monotonic() - world.began
    print(f"{world.checks} checks hold: the stack as it would be deployed works, in {took:.0f} s")


def main() -> None:
    """Tests the build that the argument names."""
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".aws-sam/build")
    with parts() as running:
        world = World(running, build)
        try:
            checks(world)
        except Failed:
            if world.stack.outputs:
                with contextlib.suppress(Exception):
                    lines = [json.dumps(one)[:600] for one in world.stack.lines()[-15:]]
                    print("the function's log ends with:", *lines, sep="\n", file=sys.stderr)
            raise
