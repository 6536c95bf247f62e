"""Lets everything fail at once for a few minutes, and then asks whether anything was lost.

    tools soak [--short] [--seed N] [--streams N] [--limit SECONDS] [--keep FOLDER] [BOOTSTRAP]
                                                                              (default: target/debug/bootstrap)

Streams are created and their CreateStream events put into a queue, a fifth of them twice. Several instances of the
real function run under AWS's Lambda emulator; each is fed from the queue the way Lambda's event source mapping does
it: up to ten messages, `batchItemFailures` honoured, the rest deleted, what is left comes again after the visibility
timeout, after five receipts it goes to the dead-letter queue. Between the function and the emulators stands the fault
layer (tools fault): about a fifth of all calls fail, streams are held in CREATING and UPDATING, describes and
encryption lag, rates are limited. Meanwhile functions are killed in flight, with SIGKILL. After a while the failing
and the killing end, so that whatever can still finish does.

It ends when every event has its evidence and every stream is as the policy requires it, or at the limit. Then the
evidence is compared with the streams themselves, read from the Kinesis emulator directly, and with the fault layer's
log of what was on the wire. Status 1 if an event was lost, a stream ended wrong, a proof was claimed that is not in
the stream as an encrypted record, or a run sent more than one Start. What is chosen by chance comes from the seed,
which is printed; what processes race for does not. --short is for CI: fewer streams, shorter waits. --keep writes
evidence, calls, invocations and the functions' output to FOLDER.
"""

import argparse
import contextlib
import os
import pathlib
import random
import threading
import time
from collections.abc import Callable

from emulators.procs import ROOT, Failed
from soak.creator import Creator
from soak.instance import Instance
from soak.judge import Judge
from soak.record import Record
from soak.shape import Shape
from soak.world import World


class Soak:
    """One soak."""

    def __init__(self, shape: Shape, seed: int, bootstrap: pathlib.Path, stack: contextlib.ExitStack):
        self.shape = shape
        self.over = threading.Event()
        self.world, self.record = World(shape, seed, stack), Record()
        self.creator = Creator(self.world, self.record, self.over)
        self.judge = Judge(self.world, self.record)
        numbers = range(shape.instances)
        self.instances = [Instance(self.world, self.record, self.over, bootstrap, number) for number in numbers]
        self.dice = random.Random(f"{seed}/kills")
        self.began = time.monotonic()

    def run(self) -> None:
        """Runs until all is done, or the limit."""
        work: list[Callable[[], None]] = [self.creator.create, *(instance.feed for instance in self.instances)]
        threads = [threading.Thread(target=self.safely, args=(one,)) for one in work]
        # However long the parts took to start, the storm is as long as it is meant to be.
        self.began = time.monotonic()
        try:
            for thread in threads:
                thread.start()
            self.storm(threads[0])
        finally:
            self.over.set()
            for thread in threads:
                thread.join()
            for instance in self.instances:
                instance.stop()
        if self.record.broken:
            raise Failed(self.record.broken[0])

    def storm(self, creating: threading.Thread) -> None:
        """Kills functions while the storm lasts, ends it, and returns when all is done."""
        next_kill, next_word, storm = self.dice.uniform(*self.shape.kill_every), 10, True
        while not self.record.broken and not self.done(creating):
            elapsed = time.monotonic() - self.began
            if elapsed > self.shape.limit:
                break
            if storm and elapsed > self.shape.storm:
                storm, self.record.calm_at = False, time.time()
                self.world.control("PUT", "config", self.shape.faults(self.world.seed, False))
                print(f"  {elapsed:4.0f} s  the storm is over", flush=True)
            if storm and elapsed > next_kill and self.kill():
                next_kill = elapsed + self.dice.uniform(*self.shape.kill_every)
            if elapsed > next_word:
                next_word += 10
                self.word()
            time.sleep(0.2)

    def safely(self, work: Callable[[], None]) -> None:
        """Does some work in a thread."""
        try:
            work()
        except Exception as failure:  # A thread's failure is the whole soak's.
            self.record.broken.append(f"{getattr(work, '__name__', work)}: {failure!r}")

    def kill(self) -> bool:
        """Kills one that is busy; whether there was one."""
        wholly = self.dice.random() < 0.6
        if self.dice.choice(self.instances).kill(wholly):
            self.record.kills["function and emulator" if wholly else "function alone"] += 1
            return True
        return False

    def done(self, creating: threading.Thread) -> bool:
        """Every event has its evidence, every stream is as it should be, and nothing is waiting to be received."""
        world = self.world
        if creating.is_alive() or len(self.record.final()) < len(self.record.events):
            return False
        ready, in_flight, _ = world.aws.waiting(world.queue)
        dead = sum(world.aws.waiting(world.dead))
        settled = not ready and not in_flight and dead >= self.shape.malformed
        return settled and not any(self.judge.wrong(name) for name in world.streams)

    def word(self) -> None:
        """Prints how far it is."""
        elapsed = time.monotonic() - self.began
        queue = "/".join(map(str, self.world.aws.waiting(self.world.queue)))
        counted = f"events {len(self.record.events)}, with evidence {len(self.record.final())}"
        rest = f"queue ready/in flight/delayed {queue}, kills {sum(self.record.kills.values())}"
        print(f"  {elapsed:4.0f} s  {counted}, proven {self.judge.proven()}, {rest}", flush=True)


def main() -> int:
    """Soaks the binary that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="tools soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="the form for CI")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--streams", type=int, metavar="N")
    parser.add_argument("--limit", type=int, metavar="SECONDS")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("bootstrap", type=pathlib.Path, nargs="?", default=ROOT / "target/debug/bootstrap")
    args = parser.parse_args()
    if not os.access(args.bootstrap, os.X_OK):
        raise Failed(f"{args.bootstrap} is missing: `make soak` builds it")
    seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    shape = Shape(args.short)
    shape.streams, shape.limit = args.streams or shape.streams, args.limit or shape.limit
    what = f"{shape.streams} streams, {shape.instances} instances, at most {shape.limit} s"
    print(f"soak: seed {seed}, {what}", flush=True)
    with contextlib.ExitStack() as stack:
        soak = Soak(shape, seed, args.bootstrap.resolve(), stack)
        soak.run()
        failures = soak.judge.judge()
        took = time.monotonic() - soak.began
        if args.keep:
            soak.judge.keep(args.keep)
        for failure in failures[:40]:
            print(f"  FAILED {failure}")
        print(f"\nsoak: {'FAILED' if failures else 'passed'} after {took:.0f} s, seed {seed}")
        return 1 if failures else 0
