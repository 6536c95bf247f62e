#!/usr/bin/env -S python3 -B
"""Measures the function against what users would take instead, and against what any Rust function costs. Prints one table (Markdown).

    tools/bench [--quick] [--only PART]... [--json FILE] --bootstrap FILE --cli FILE --floor FILE    (see `make bench`)

Parts: size, policy (a thousand rules, by criterion), start, created, waiting, audit. The contestants, all run in turn (A B C D, A B C D ..) by AWS's Lambda emulator (tools/rie):

    streamseal   the release build of this package, with the defaults of template.yaml
    floor        tools/peers/floor: an empty handler on the same runtime crate with the same profile
    boto3        tools/peers/handler.py on AWS's runtime client for Python
    custodian    Cloud Custodian's own Lambda entry with its `encrypt` action (event mode); for the audit `custodian run` (pull mode)

Between them and the emulators (tools/parts) stands the fault layer (tools/fault): it counts every call, holds streams in CREATING
for as long as is asked for, limits rates, and serves ListStreams' NextToken, which Custodian needs and the emulator has not.

Each figure is the median, with the least and the most in brackets, and how many times the first contestant's it is. Where the cgroup of
processors is writable, the start is measured with the share of one processor too that Lambda gives a function of 128, 256 and 512 MB
(Lambda developer guide, memory: 1,769 MB is one). Whatever else runs on the machine is in the figures: the load is printed with them.

--quick is for developers: fewer rounds, short waits, a tenth of the streams; its figures say that the bench works and not much more.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import http.server
import itertools
import json
import math
import os
import pathlib
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile

from drive import Aws, child, children
from procs import HTTP, ROOT, Failed, installed, run

ALIAS = "alias/bench"
FULL_SHARE_MB = 1769
MEMORIES = [None, 128, 256, 512]
PERIOD_US = 20_000


class Shape:
    """How often, how long and how much."""

    def __init__(self, quick):
        self.rounds = 3 if quick else 9
        self.slow = 1 if quick else 3           # Rounds of what takes many seconds each.
        self.memories = [None, 128] if quick else MEMORIES
        # Seconds of CREATING, and how many streams one instance follows, one after the other; so many instances.
        self.waits = [(0.5, 4), (5, 3)] if quick else [(0.5, 10), (5, 6), (30, 5), (120, 4)]
        self.instances = 1 if quick else 2
        self.apart = 5                          # Seconds between two streams that one instance follows.
        self.waiting = (10, 5) if quick else (50, 30)  # Streams at once, and seconds of CREATING.
        self.streams = 100 if quick else 1000
        self.audits = 1 if quick else 3


class Processors:
    """The cgroup of processors, of version 1 or 2, where we may write it."""

    def __init__(self, stack):
        self.root, self.v2 = None, False
        base = pathlib.Path("/sys/fs/cgroup")
        places = [(base, True)] if (base / "cgroup.controllers").exists() else [(base / "cpu", False), (base / "cpu,cpuacct", False)]
        for place, v2 in places:
            if v2 and "cpu" not in (place / "cgroup.subtree_control").read_text().split():
                continue
            root = place / f"streamseal-bench-{os.getpid()}"
            with contextlib.suppress(OSError):
                root.mkdir()
                stack.callback(self.remove)
                self.root, self.v2 = root, v2
                return

    def group(self, memory):
        """The folder of the group with the share of `memory` megabytes."""
        group = self.root / str(memory)
        if not group.exists():
            if self.v2:
                (self.root / "cgroup.subtree_control").write_text("+cpu")
            group.mkdir()
            quota = int(PERIOD_US * memory / FULL_SHARE_MB)
            if self.v2:
                (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            else:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
        return group

    def remove(self):
        for group in [*self.root.glob("[0-9]*"), self.root]:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.05)


class Contestant:
    def __init__(self, name, program, env=None, cwd=None):
        self.name, self.program, self.env, self.cwd = name, program, env or {}, cwd


class Table:
    """Rows of samples; `of` is the contestant that ratios are to."""

    def __init__(self):
        self.rows = []

    def add(self, part, what, unit, samples, of="floor", digits=1):
        self.rows.append({"part": part, "what": what, "unit": unit, "of": of, "digits": digits, "samples": samples})
        say("  ".join([f"{what}:", *(f"{name} {self.cell(self.rows[-1], name)}" for name in samples)]))

    @staticmethod
    def cell(row, name):
        values = row["samples"].get(name)
        if values is None:
            return ""
        if isinstance(values, str):
            return values
        shown = [f"{value:,.{row['digits']}f}" for value in (statistics.median(values), min(values), max(values))]
        base = row["samples"].get(row["of"])
        text = shown[0] if len(values) == 1 else f"{shown[0]} [{shown[1]}–{shown[2]}]"
        if name != row["of"] and base and not isinstance(base, str) and statistics.median(base) > 0:
            text += f" ×{statistics.median(values) / statistics.median(base):.2f}"
        return text

    def markdown(self):
        names = list(dict.fromkeys(name for row in self.rows for name in row["samples"]))
        yield f"| what | unit | {' | '.join(names)} |"
        yield f"|---|---|{'---|' * len(names)}"
        for row in self.rows:
            yield f"| {row['what']} | {row['unit']} | {' | '.join(self.cell(row, name) for name in names)} |"


class Bench:
    def __init__(self, args, stack):
        self.args, self.stack, self.shape, self.table = args, stack, Shape(args.quick), Table()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="streamseal-bench-"))
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.processors = Processors(stack)
        self.python = installed("bench/bin/python")
        parts = ["tools/parts", "--create-ms", 10, "--update-ms", 10]
        _, self.parts = child(stack, parts, os.environ)
        self.aws = Aws(self.parts)
        _, fault = child(stack, ["tools/fault", "--kinesis", self.parts["kinesis"], "--aws", self.parts["aws"]], os.environ)
        self.fault = fault["url"]
        self.key = self.aws("kms", "CreateKey", Description="bench")["KeyMetadata"]["Arn"]
        self.aws("kms", "CreateAlias", AliasName=ALIAS, TargetKeyId=self.key)
        self.contestants = {c.name: c for c in (self.streamseal(), self.floor(), self.boto3(), self.custodian())}
        self.numbers = itertools.count(1)

    # The contestants.

    def base(self):
        return {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.folder), "TMPDIR": str(self.folder), "NO_PROXY": "127.0.0.1",
            "AWS_REGION": self.parts["region"], "AWS_DEFAULT_REGION": self.parts["region"], "AWS_ENDPOINT_URL": self.fault,
            "AWS_ACCESS_KEY_ID": "BENCH", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
        }

    def streamseal(self):
        policy = (f"inline:{{version: 1, defaults: {{proof: {{new: probe, existing: describe}}, existing: enforce, settle: {{terraform: 0s, "
                  f"cloudformation: 0s, pulumi: 0s, other: 0s}}}}, rules: [{{name: all, key: {ALIAS}}}]}}")
        env = {"ACCOUNT_ID": self.parts["account"], "POLICY": policy, "MODE": "enforce"}
        return Contestant("streamseal", self.args.bootstrap.resolve(), env)

    def floor(self):
        return Contestant("floor", self.args.floor.resolve())

    def boto3(self):
        program = self.script("boto3", f'cd "{ROOT}/tools/peers"\nexec "{self.python}" -m awslambdaric handler.handler')
        return Contestant("boto3", program, {"KEY": ALIAS, "LAMBDA_TASK_ROOT": f"{ROOT}/tools/peers", "PYTHONDONTWRITEBYTECODE": "1"})

    def custodian(self):
        """What `custodian run` would deploy: its handler's own text, and the policy in config.json."""
        package = self.folder / "custodian"
        package.mkdir()
        mode = {"type": "cloudtrail", "events": [
            {"source": "kinesis.amazonaws.com", "event": "CreateStream", "ids": "requestParameters.streamName"}]}
        policy = {**self.custodian_policy(), "mode": mode, "actions": [{"type": "encrypt", "key": ALIAS.removeprefix("alias/")}]}
        options = {"account_id": self.parts["account"], "regions": [self.parts["region"]]}
        (package / "config.json").write_text(json.dumps({"execution-options": options, "policies": [policy]}))
        template = self.custodian_says("from c7n.mu import PolicyHandlerTemplate; print(PolicyHandlerTemplate)")
        (package / "custodian_policy.py").write_text(template)
        program = self.script("custodian", f'cd "{package}"\nexec "{self.python}" -m awslambdaric custodian_policy.run')
        return Contestant("custodian", program, {"LAMBDA_TASK_ROOT": str(package)})

    @staticmethod
    def custodian_policy():
        # Streams with no key or the wrong type, as its documentation would have it.
        return {"name": "encrypt-streams", "resource": "kinesis", "filters": [{"type": "value", "key": "EncryptionType", "op": "ne", "value": "KMS"}]}

    def custodian_says(self, code):
        return subprocess.run([self.python, "-c", code], check=True, capture_output=True, text=True, env=self.base()).stdout.strip()

    def script(self, name, text):
        program = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        return program

    def limited(self, program, memory):
        """The program with the share of a processor that goes with so much memory; the emulator itself is not limited."""
        if memory is None:
            return program
        return self.script(f"limited-{memory}", f'echo $$ >"{self.processors.group(memory)}/cgroup.procs"\nexec "{program}"')

    # Driving.

    def control(self, method, what, value=None):
        data = None if value is None else json.dumps(value).encode()
        with HTTP.open(urllib.request.Request(f"{self.fault}/_fault/{what}", data, method=method), timeout=60) as answer:
            return json.loads(answer.read())

    def configure(self, **spec):
        self.control("PUT", "config", {"list_streams_page": 100, "tagging": True, **spec})
        self.control("POST", "reset")

    @contextlib.contextmanager
    def function(self, contestant, memory=None, timeout=300, **env):
        """The function under the emulator, not started yet; a call that takes an event and gives the answer and the seconds it took."""
        with contextlib.ExitStack() as stack:
            variables = {**self.base(), **contestant.env, **env}
            argv = ["tools/rie", "--timeout", timeout, self.limited(contestant.program, memory)]
            log = stack.enter_context(tempfile.NamedTemporaryFile(dir=self.folder, prefix=f"{contestant.name}-", suffix=".log"))
            _, ready = child(stack, argv, variables, log)
            yield Function(contestant, ready, timeout, pathlib.Path(log.name))

    def event(self, stream, refused=False):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event = json.loads((ROOT / "events/kinesis-create-stream-provisioned.json").read_text())
        event["time"] = event["detail"]["eventTime"] = now
        event["detail"]["requestParameters"] = {"streamName": stream, "shardCount": 1}
        if refused:
            event["detail"] |= {"errorCode": "LimitExceededException", "responseElements": None}
        return event

    def stream(self, prefix):
        name = f"{prefix}-{next(self.numbers):04}"
        self.aws("kinesis", "CreateStream", StreamName=name, ShardCount=1)
        return name

    def active(self, stream):
        """As the emulator has it; held streams are ACTIVE here at once."""
        while (summary := self.aws("kinesis", "DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"])["StreamStatus"] != "ACTIVE":
            time.sleep(0.02)
        return summary

    # The parts.

    def part_size(self):
        sizes, zips = {}, {}
        for name in ("streamseal", "floor"):
            program = self.contestants[name].program
            archive = self.folder / f"{name}.zip"
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
                file.write(program, "bootstrap")
            sizes[name], zips[name] = [program.stat().st_size / 1e6], [archive.stat().st_size / 1e6]
        archive = self.folder / "boto3.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.write(ROOT / "tools/peers/handler.py", "handler.py")
        zips["boto3"] = [archive.stat().st_size / 1e6]
        zips["custodian"] = [int(self.custodian_says("from c7n.mu import custodian_archive as a; z = a(); z.close(); print(z.size)")) / 1e6]
        self.table.add("size", "binary", "MB", sizes, digits=2)
        self.table.add("size", "zip (boto3 itself comes with Lambda's Python)", "MB", zips, digits=2)

    def part_policy(self):
        """Criterion's medians."""
        home = self.folder / "criterion"
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "bench/policy"
        argv = ["cargo", "bench", "--locked", "--bench", "policy", "--manifest-path", ROOT / "tools/peers/policy/Cargo.toml", "--target-dir", target]
        subprocess.run([*argv, *(["--", "--quick"] if self.args.quick else [])], check=True, stdout=sys.stderr, env={**os.environ, "CRITERION_HOME": str(home)})
        took = {file.parts[-3]: json.loads(file.read_text())["median"]["point_estimate"] for file in home.glob("*/*/new/estimates.json")}
        self.table.add("policy", "a thousand rules: load them", "ms", {"streamseal": [took.pop("load") / 1e6]}, "streamseal")
        for what, nanoseconds in sorted(took.items()):
            self.table.add("policy", f"a thousand rules: {what}", "a second", {"streamseal": [1e9 / nanoseconds]}, "streamseal", 0)

    def part_start(self):
        """Start to first `next`, to the first answer, warm answers and memory."""
        self.configure(aged=[{"stream": "sealed-*", "by_s": 7200}])
        sealed = self.stream("sealed")
        self.active(sealed)
        self.aws("kinesis", "StartStreamEncryption", StreamName=sealed, EncryptionType="KMS", KeyId=self.key)
        self.active(sealed)
        look, nothing = self.event(sealed), self.event("none", refused=True)
        # Looks follow each other faster here than the function would let them.
        unpaced = {"DESCRIBES_PER_SECOND": "1000", "MAX_CONCURRENCY": "1"}
        through = Aws({**self.parts, "kinesis": self.fault, "aws": self.fault})
        for memory in self.shape.memories:
            if memory and not self.processors.root:
                say("the cgroup of processors is not writable: no figures by memory")
                break
            samples = collections.defaultdict(lambda: collections.defaultdict(list))
            for turn in range(self.shape.rounds):
                for name, contestant in self.contestants.items():
                    if turn >= self.shape.slow and (memory or 0) and name in ("boto3", "custodian"):
                        continue
                    samples["next"][name].append(self.first_next(contestant, memory) * 1000)
                    for what, event in (("look", look), ("nothing", nothing)):
                        with self.function(contestant, memory, **unpaced) as function:
                            # The emulators' own waking up is in nobody's figures.
                            through("kinesis", "DescribeStreamSummary", StreamName=sealed)
                            through("kms", "DescribeKey", KeyId=self.key)
                            samples[what][name].append(function(event)[1] * 1000)
                            if what == "look" and memory is None:
                                warm = statistics.median(function(event)[1] * 1000 for _ in range(10))
                                samples["warm look"][name].append(warm)
                                samples["starting"][name].append(samples["look"][name][-1] - warm)
                                samples["memory"][name].append(function.peak_mb())
                            elif memory is None:
                                warm = [function(event)[1] * 1000 for _ in range(20)]
                                samples["warm"][name].append(statistics.median(warm))
            share = f", {memory} MB ({memory / FULL_SHARE_MB:.2f} processor)" if memory else ""
            words = {
                "next": "start → first `next`", "nothing": "start → first answer, an event to ignore",
                "look": "start → first answer, a look at a sealed stream (floor: nothing)", "warm": "warm answer, an event to ignore",
                "warm look": "warm answer, a look at a sealed stream (floor: nothing)", "memory": "peak memory after eleven looks",
                "starting": "start → first answer less a warm one, a look (clients and TLS roots are in it, the emulators are not)",
            }
            for what, words in words.items():
                if what in samples:
                    self.table.add("start", words + share, "MB" if what == "memory" else "ms", dict(samples[what]))

    def first_next(self, contestant, memory):
        """Seconds until the program first asks a stand-in of the runtime API for work."""
        asked = threading.Event()

        class Api(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.at = time.monotonic()
                asked.set()
                over.wait(60)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        over = threading.Event()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        env = {
            **self.base(), **contestant.env, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}", "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_LOG_GROUP_NAME": "l", "AWS_LAMBDA_LOG_STREAM_NAME": "s",
        }
        started = time.monotonic()
        program = subprocess.Popen([self.limited(contestant.program, memory)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            if not asked.wait(120):
                raise Failed(f"{contestant.name} asked for no work")
            return asked.at - started
        finally:
            program.kill()
            program.wait()
            over.set()
            server.shutdown()
            server.server_close()

    def part_created(self):
        """Streams that are CREATING for so long. An instance of the function learns how long that takes, and so follows several, one after
        the other. Waiting needs no processor: all lengths and contestants wait at once."""
        holds = [{"stream": f"wait{seconds}-*", "creating_ms": seconds * 1000, "updating_ms": 500} for seconds, _ in self.shape.waits]
        self.configure(hold=holds)
        jobs = [(name, seconds, rounds) for seconds, rounds in self.shape.waits for _ in range(self.shape.instances) for name in ("streamseal", "boto3")]
        with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
            runs = list(pool.map(lambda job: self.created(*job[1], job[0] * 0.3), enumerate(jobs)))
        for seconds, _ in self.shape.waits:
            first, later = collections.defaultdict(list), collections.defaultdict(list)
            for job, ones in zip(jobs, runs):
                if job[1] == seconds:
                    first[job[0]] += ones[:1]
                    later[job[0]] += ones[1:]

            def add(what, unit, of, digits=0):
                # A peer learns nothing: all its streams are alike.
                peer = [one[of] for one in first["boto3"] + later["boto3"]]
                for which, ones in (("an instance's first, ", first), ("", later)):
                    samples = {"streamseal": [one[of] for one in ones["streamseal"]], "boto3": peer}
                    self.table.add("created", f"CREATING for {seconds} s: {which}{what}", unit, samples, "streamseal", digits)

            add("ACTIVE → Start sent", "ms", "to_start")
            add("describes before the Start", "calls", "describes")
            add("time above the service's own", "ms", "overhead")
            add("encrypted → proven", "ms", "to_proof")
            add("calls in all (5 is the least)", "calls", "calls")
            add("log written", "kB", "log", 1)
            for name, ones in later.items():
                say(f"  {name}, the last one's calls: {dict(ones[-1]['by_call'])}")

    def created(self, name, seconds, rounds, delay):
        time.sleep(delay)
        told = []
        actor = f"B{time.monotonic_ns()}"
        with self.function(self.contestants[name], AWS_ACCESS_KEY_ID=actor, WAIT_SECONDS="300") as function:
            function(self.event("none", refused=True))  # Warm: the start is measured elsewhere.
            for number in range(rounds):
                # One stream is measured, and not how a rate is kept when they come one upon the other (`waiting` is for that).
                time.sleep(self.shape.apart if number else 0)
                stream, before, since = self.stream(f"wait{seconds}"), function.log.stat().st_size, time.time()
                answer, _ = function(self.event(stream))
                logged = (function.log.stat().st_size - before) / 1000
                told.append({**self.told(stream, seconds, actor, since, answer), "log": logged})
        return told

    def told(self, stream, seconds, actor, since, answer):
        """What the fault layer's log says of one stream's way."""
        created = self.aws("kinesis", "DescribeStreamSummary", StreamName=stream)["StreamDescriptionSummary"]["StreamCreationTimestamp"]
        calls = [c for c in self.control("GET", f"calls?by={actor}") if c["at"] >= since]
        of = lambda operation: [c for c in calls if c["call"] == f"kinesis:{operation}" and c["stream"] == stream]
        starts, puts = of("StartStreamEncryption"), of("PutRecord")
        if len(starts) != 1 or not puts or puts[-1]["status"] != 200:
            raise Failed(f"{stream} was not encrypted and proven: {answer} {calls}")
        visible, encrypted = created + seconds, starts[0]["at"] + starts[0]["ms"] / 1000 + 0.5
        proven = puts[-1]["at"] + puts[-1]["ms"] / 1000
        return {
            "to_start": (starts[0]["at"] - visible) * 1000, "to_proof": (proven - encrypted) * 1000,
            "overhead": (proven - created - seconds - 0.5) * 1000,
            "describes": sum(c["at"] < starts[0]["at"] for c in of("DescribeStreamSummary")), "calls": len(calls),
            "by_call": collections.Counter(c["call"].partition(":")[2] for c in calls), "creating_until": visible,
        }

    def part_waiting(self):
        """Many streams at once. Five instances of the function get them from the queue, ten messages each; the peer, which has no queue, is
        invoked once for each of them, all at once, as Lambda does for EventBridge."""
        count, seconds = self.shape.waiting
        template = json.loads((ROOT / "events/sqs-batch-eventbridge.json").read_text())["Records"][0]

        def batch(streams):
            return {"Records": [{**template, "messageId": f"m{i}", "body": json.dumps(self.event(stream))} for i, stream in enumerate(streams)]}

        ways = {"streamseal": (math.ceil(count / 10), batch), "boto3": (count, lambda streams: self.event(*streams))}
        found = {name: self.waiting(name, count, seconds, *way) for name, way in ways.items()}
        for what, unit, digits in found["streamseal"]:
            samples = {name: rows[what, unit, digits] for name, rows in found.items()}
            self.table.add("waiting", f"{count} streams CREATING for {seconds} s: {what}", unit, samples, "streamseal", digits)

    def waiting(self, name, count, seconds, instances, event):
        """The samples of one contestant, by row: what, its unit and its digits."""
        hold = [{"stream": "many-*", "creating_ms": seconds * 1000, "updating_ms": 500}]
        self.configure(hold=hold, limits={"kinesis:DescribeStreamSummary": 20})  # As AWS has it, for the whole account.
        with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(instances) as pool:
            functions = [stack.enter_context(self.function(self.contestants[name], AWS_ACCESS_KEY_ID=f"MANY{i}")) for i in range(instances)]
            list(pool.map(lambda function: function(self.event("none", refused=True)), functions))
            names = []
            while len(names) < count:  # As on AWS, five may be CREATING at once.
                five = [self.stream("many") for _ in range(min(5, count - len(names)))]
                for stream in five:
                    self.active(stream)
                names += five
            batches = [names[i::instances] for i in range(instances)]

            def feed(function, streams):
                with contextlib.suppress(Failed):
                    return function(event(streams))[0]

            began = time.time()
            answers = list(pool.map(feed, functions, batches))
        runs = [self.told(stream, seconds, f"MANY{i}", began, answers[i]) for i, batch in enumerate(batches) if answers[i] for stream in batch]
        if not runs:
            raise Failed(f"{name}: every invocation failed")
        last = max(one["creating_until"] for one in runs)
        calls = self.control("GET", "calls?call=kinesis:DescribeStreamSummary&by=MANY*")
        waits = [c["at"] for c in calls if c["at"] < last]
        return {
            ("ACTIVE → Start sent", "ms", 0): [one["to_start"] for one in runs],
            ("time above the service's own", "ms", 0): [one["overhead"] for one in runs],
            ("describes in all while they wait, a second", "calls", 1): [len(waits) / (last - began)],
            ("the most describes in one second", "calls", 0): [max(sum(at <= other < at + 1 for other in waits) for at in waits)],
            ("describes a stream before its Start", "calls", 0): [one["describes"] for one in runs],
            ("throttles met (20 describes a second are allowed)", "calls", 0): [sum("limit" in c["injected"] for c in calls)],
            ("streams whose invocation failed (not in the rows above)", "streams", 0): [count - len(runs)],
        }

    def part_audit(self):
        count = self.shape.streams
        old = [{"stream": "audit-*", "by_s": 86_400}]
        self.configure(aged=old)
        say(f"creating {count} streams ...")
        for number in range(count - len(self.names())):
            name = self.stream("audit")
            if number % 5 == 4:  # As on AWS, five may be CREATING at once.
                self.active(name)
        names = self.names()
        measured = collections.defaultdict(lambda: collections.defaultdict(list))
        self.sealed(names)
        for _ in range(self.shape.audits):
            for name, argv in (("streamseal", self.audit(1000)), ("custodian", self.pull())):
                self.control("POST", "reset")
                self.measure(measured, name, argv, len(names))
        add = lambda what, unit, samples, digits=1: self.table.add("audit", f"audit of {len(names):,} streams: {what}", unit, samples, "streamseal", digits)
        add("time", "s", dict(measured["seconds"]))
        add("the program's own processor time (the emulators' is not in it)", "s", dict(measured["processor"]), 2)
        add("calls", "calls", dict(measured["calls"]), 0)
        add("peak memory", "MB", dict(measured["memory"]))
        # At the published limits: 20 DescribeStreamSummary and 10 DescribeStream a second.
        self.configure(aged=old, limits={"kinesis:DescribeStreamSummary": 20, "kinesis:DescribeStream": 10})
        limited = collections.defaultdict(lambda: collections.defaultdict(list))
        for name, argv in (("streamseal", self.audit(20)), ("custodian", self.pull())):
            self.control("POST", "reset")
            self.measure(limited, name, argv, len(names))
        add("time at AWS's limits", "s", dict(limited["seconds"]))
        add("share of the limit used", "%", dict(limited["share"]))
        add("throttles met", "calls", dict(limited["throttles"]), 0)

    def names(self):
        found, more = [], True
        while more:
            after = {"ExclusiveStartStreamName": found[-1]} if found else {}
            page = self.aws("kinesis", "ListStreams", **after)
            found += page["StreamNames"]
            more = page.get("HasMoreStreams") and page["StreamNames"]
        return found

    def sealed(self, names):
        """Every second one is encrypted."""
        for name in names[::2]:
            if self.active(name)["EncryptionType"] != "KMS":
                self.aws("kinesis", "StartStreamEncryption", StreamName=name, EncryptionType="KMS", KeyId=self.key)
        for name in names:
            self.active(name)

    def audit(self, rate):
        policy = self.folder / "policy.yaml"
        policy.write_text(f"version: 1\ndefaults: {{existing: enforce}}\nrules:\n  - {{name: all, key: {ALIAS}}}\n")
        return [self.args.cli.resolve(), "audit", "--policy", policy, "--account", self.parts["account"], "--region", self.parts["region"],
                "--rate", rate, "--output", self.folder / "audit.json"]

    def pull(self):
        policy = self.folder / "custodian.json"
        policy.write_text(json.dumps({"policies": [self.custodian_policy()]}))
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        return [self.python, "-m", "c7n.cli", "run", "-s", out, "--region", self.parts["region"], "--cache-period", 0, policy]

    def measure(self, into, name, argv, count):
        log = self.folder / f"audit-{name}.log"
        with open(log, "wb") as file:
            began, spent = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
            program = subprocess.Popen([str(arg) for arg in argv], env=self.base(), stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
            peak = 0.0
            while program.poll() is None:
                peak = max(peak, peak_mb(program.pid))
                time.sleep(0.01)
            seconds = time.monotonic() - began
            # No other child ends meanwhile.
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # 3: a stream is not as its rule says, as every second one is here.
        if program.returncode not in (0, 3):
            raise Failed(f"{name} ended with {program.returncode}: {log.read_text()[-2000:]}")
        counters = self.control("GET", "counters")
        describes = {n: c for n, c in counters.items() if n.startswith("kinesis:DescribeStream")}
        looked = sum(c["calls"] for c in describes.values()) - sum(c["injected"].get("limit", 0) for c in describes.values())
        if looked != count:
            raise Failed(f"{name} looked at {looked} of {count} streams: {counters} {log.read_text()[-2000:]}")
        calls = self.control("GET", "calls?call=kinesis:DescribeStream*")
        applied = [c["at"] for c in calls if "limit" not in c["injected"]]
        limit = 20 if "kinesis:DescribeStreamSummary" in describes else 10
        into["seconds"][name].append(seconds)
        into["processor"][name].append(after.ru_utime + after.ru_stime - spent.ru_utime - spent.ru_stime)
        into["calls"][name].append(sum(c["calls"] for c in counters.values()))
        into["memory"][name].append(peak)
        into["share"][name].append(100 * (len(applied) - 1) / (applied[-1] - applied[0]) / limit)
        into["throttles"][name].append(sum(c["injected"].get("limit", 0) for c in counters.values()))


class Function:
    def __init__(self, contestant, ready, timeout, log):
        self.contestant, self.url, self.emulator, self.timeout, self.log = contestant, ready["invoke"], ready["pids"][0], timeout, log

    def __call__(self, event):
        request = urllib.request.Request(self.url, json.dumps(event).encode())
        began = time.monotonic()
        with HTTP.open(request, timeout=self.timeout + 30) as answer:
            text = answer.read()
        seconds = time.monotonic() - began
        value = json.loads(text)
        if isinstance(value, dict) and "errorType" in value:
            raise Failed(f"{self.contestant.name}: {value}")
        return value, seconds

    def peak_mb(self):
        return sum(peak_mb(pid) for pid in children(self.emulator))


def peak_mb(pid):
    """The most memory that this process has had, of its present program; 0 where it is gone."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


def say(text):
    print(text, file=sys.stderr, flush=True)


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 2**20
    return f"{os.cpu_count()} processors ({model[1] if model else platform.machine()}), {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"


def main():
    parts = ["size", "policy", "start", "created", "waiting", "audit"]
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", choices=parts, metavar="PART")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the samples there")
    for name in ("bootstrap", "cli", "floor"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True, metavar="FILE")
    args = parser.parse_args()
    for program in (args.bootstrap, args.cli, args.floor):
        if not os.access(program, os.X_OK):
            raise Failed(f"{program} is not a program")
    before = os.getloadavg()[0]
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        bench = Bench(args, stack)
        for part in args.only or parts:
            say(f"--- {part}")
            getattr(bench, f"part_{part}")()
    print(f"{machine()}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after; {(time.monotonic() - began) / 60:.0f} min"
          f"{'; a quick run' if args.quick else ''}\n")
    for line in bench.table.markdown():
        print(line)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "quick": args.quick, "rows": bench.table.rows}, indent=1))


if __name__ == "__main__":
    run(main)
