"""Start to first `next`, to the first answer, warm answers and memory."""

import collections
import http.server
import statistics
import subprocess
import threading
import time

from bench.contestants import Contestant
from bench.shape import FULL_SHARE_MB
from bench.table import say
from bench.world import World
from emulators.client import Aws
from emulators.procs import Failed

# What is measured, in the words of the table.
WORDS = {
    "next": "start → first `next`",
    "nothing": "start → first answer, an event to ignore",
    "observe": "start → first answer, an observation of a sealed stream (floor: nothing)",
    "warm": "warm answer, an event to ignore",
    "warm observation": "warm answer, an observation of a sealed stream (floor: nothing)",
    "processor": "processor time to the first answer, an event to ignore",
    "processor observation": "processor time to the first answer, an observation of a sealed stream (floor: nothing)",
    "memory": "peak memory after eleven observations",
    "starting": "start → first answer less a warm one, an observation (with clients and TLS roots, without emulators)",
}
# Observations follow each other faster here than the function would let them.
UNPACED = {"DESCRIBES_PER_SECOND": "1000", "MAX_CONCURRENCY": "1"}

Samples = dict[str, dict[str, list[float]]]


def measure(world: World) -> None:
    """Adds the rows of starts, whole and with the share of a processor of each memory."""
    world.configure(aged=[{"stream": "sealed-*", "by_s": 7200}])
    sealed = world.stream("sealed")
    world.active(sealed)
    world.aws("kinesis", "StartStreamEncryption", StreamName=sealed, EncryptionType="KMS", KeyId=world.key)
    world.active(sealed)
    for memory in world.shape.memories:
        if memory and not world.processors.root:
            say("the cgroup of processors is not writable: no figures by memory")
            break
        samples: Samples = collections.defaultdict(lambda: collections.defaultdict(list))
        for turn in range(world.shape.rounds):
            for name, contestant in world.contestants.items():
                if turn >= world.shape.slow and memory and name in ("boto3", "custodian"):
                    continue
                one_round(world, contestant, memory, sealed, samples)
        share = f", {memory} MB ({memory / FULL_SHARE_MB:.2f} processor)" if memory else ""
        for what, words in WORDS.items():
            if what in samples:
                unit = "MB" if what == "memory" else "ms"
                world.table.add("start", words + share, unit, dict(samples[what]))


def one_round(world: World, contestant: Contestant, memory: int | None, sealed: str, samples: Samples) -> None:
    """One start of a contestant for each thing that is measured."""
    name = contestant.name
    through = Aws({**world.parts, "kinesis": world.fault, "aws": world.fault})
    samples["next"][name].append(first_next(world, contestant, memory) * 1000)
    for what, event in (("observe", world.event(sealed)), ("nothing", world.event("none", refused=True))):
        with world.function(contestant, memory, UNPACED) as function:
            # The emulators' own waking up is in nobody's figures.
            through("kinesis", "DescribeStreamSummary", StreamName=sealed)
            through("kms", "DescribeKey", KeyId=world.key)
            samples[what][name].append(function(event)[1] * 1000)
            if memory is not None:
                continue
            samples["processor observation" if what == "observe" else "processor"][name].append(function.processor_ms())
            if what == "observe":
                warm = statistics.median(function(event)[1] * 1000 for _ in range(10))
                samples["warm observation"][name].append(warm)
                samples["starting"][name].append(samples["observe"][name][-1] - warm)
                samples["memory"][name].append(function.peak_mb())
            else:
                samples["warm"][name].append(statistics.median(function(event)[1] * 1000 for _ in range(20)))


def first_next(world: World, contestant: Contestant, memory: int | None) -> float:
    """Seconds until the program first asks a stand-in of the runtime API for work."""
    asked, over = threading.Event(), threading.Event()
    at: list[float] = []

    class Api(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at.append(time.monotonic())
            asked.set()
            over.wait(60)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    env = {
        **world.base(),
        **contestant.env,
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "l",
        "AWS_LAMBDA_LOG_STREAM_NAME": "s",
    }
    null = subprocess.DEVNULL
    argv = [world.limited(contestant.program, memory)]
    started = time.monotonic()
    program = subprocess.Popen(argv, env=env, stdout=null, stderr=null, start_new_session=True)
    try:
        if not asked.wait(120):
            raise Failed(f"{contestant.name} asked for no work")
        return at[0] - started
    finally:
        program.kill()
        program.wait()
        over.set()
        server.shutdown()
        server.server_close()
