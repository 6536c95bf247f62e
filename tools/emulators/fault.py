"""A test-only HTTP layer between the real SDK clients and the emulators, that makes calls fail the way AWS does.

    tools fault --kinesis URL --aws URL [--config FILE] [--account ID] [--region NAME]

Prints one line of JSON, {"url": ..}, and lives until its stdin closes. That one loopback port is every service's endpoint
(AWS_ENDPOINT_URL): calls of Kinesis go on to --kinesis, all others to --aws. With no configuration it only corrects what AWS was seen to
answer otherwise than the emulator of Kinesis does (tests/observed):

    EncryptionType is absent where a record is not encrypted (PutRecord, PutRecords, GetRecords); the text NONE is in descriptions alone
    while a stream is UPDATING its old setting is shown
    creation times are whole seconds
    Stop on a stream that is not encrypted is refused, and so is a page token that is none

It is a Python program and not part of the package's Rust, since both the Rust tests and the tools script it, it must start
at once, and the standard library is enough for it: nothing is built and the function depends on nothing more.

Control, on the same port:

    PUT  /_fault/config    replaces the configuration; 400 with words if it is not one
    GET  /_fault/config    the configuration
    GET  /_fault/calls     every call, oldest first; ?call=GLOB&stream=GLOB&by=GLOB&since=N to choose. `resources` are the ARNs that
                           AWS would authorise it on, as far as the call (of an alias: its answer) names any
    GET  /_fault/counters  by operation: calls, applied, injected (by kind), the most calls in one second
    POST /_fault/reset     forgets calls, counters, recorded events and what it knows of streams; keeps the configuration
    POST /_fault/clock     {advance_ms: N} stops the clock of limits, hold, lag, quota and trail, and moves it on; delays stay real

Configuration, all of it optional; a number of milliseconds may be a range [least, most]:

    seed: 1                        the dice: the nth call of an operation on a stream meets the same fault in every run
    rules:                         in order; the first that drops or answers ends it, delays add up
      - op: "kinesis:Put*"         glob or list of globs, `service:Operation` or `Operation`; "*" unless given
        stream: "orders-*"         glob; calls without a stream match only "*"
        by: "AKIDOTHER*"           glob of the caller's access key id
        p: 0.2                     probability; 1 unless given
        next: 3                    only the next 3 that it would hit
        delay_ms: [10, 50]         and then, or instead:
        drop: before | after       the connection is closed before the call took effect, or after it (the answer is lost)
        error: KMSThrottlingException       with `status`, `message`, and `after: true` where the call takes effect all the same
        one_of: [{drop: before}, ..]        one of these by chance
    limits:                        account-wide, calls a second of each operation that the glob matches, a second's worth at once
      "kinesis:Describe*": 20      or {per_second: 20, error: ThrottlingException, message: ..}
    hold:                          the first that matches; setting calls are refused meanwhile (ResourceInUseException)
      - { stream: "*", creating_ms: 2000, updating_ms: [500, 900] }
    lag: { encryption_ms: 5000, describe_ms: 1000 }
                                   PutRecord leaves EncryptionType out until so long after ACTIVE; describes are so old after a change
    start_quota: 25                accepted Starts per stream's name and 24 hours, whether the stream was deleted and made anew or not
    key_states: true               Start, PutRecord and GetRecords fail as the state of the key in the KMS emulator says
    trail: { lag_ms: 0, role: ARN, roles: { AKID: ARN } }
                                   CloudTrail LookupEvents from the changes it saw; whose they were by access key id. With a range each
                                   event has a lag of its own, so that they come out of order and with gaps
    list_streams_page: 100         ListStreams in pages of at most so many, with NextToken
    list_streams_summaries: true   ListStreams with StreamSummaries beside the names
    aged:                          the first that matches; describes and summaries say that the stream was created so much earlier
      - { stream: "old-*", by_s: 7200 }
    tagging: true                  GetResources of the tagging API, of streams by ARN, from the tags that Kinesis has

As AWS was seen: creating_ms [4000, 7000], updating_ms [2000, 4000], encryption_ms 5000, lag_ms [60000, 118000]. Loopback only.
"""

import argparse
import asyncio
import base64
import collections
import contextlib
import datetime
import fnmatch
import itertools
import json
import os
import random
import re
import sys
import threading
import time
import urllib.parse

# Recorded answer of Kinesis.
RATE_EXCEEDED = "Rate exceeded for account {account}"
# Recorded of UpdateStreamMode, the sibling with a quota of 24 hours too: the words of a rate.
QUOTA_SPENT = "Rate exceeded for stream {stream} under account {account}."
NOT_ENCRYPTED = "Cannot stop encrypting an unencrypted stream."
NOT_A_TOKEN = "Invalid NextToken."
TOKEN_AND_NAME = "ExclusiveStartStreamName and NextToken cannot be provided together."
# Statuses that are not 400 (errors of these JSON APIs are 400 unless the service is at fault).
STATUS = {
    "InternalFailure": 500, "InternalFailureException": 500, "InternalServerError": 500, "KMSInternalException": 500,
    "DependencyTimeoutException": 503, "ServiceUnavailable": 503, "ServiceUnavailableException": 503,
}
# Calls that ask for an ACTIVE stream and leave it UPDATING.
UPDATES = {
    "StartStreamEncryption", "StopStreamEncryption", "UpdateShardCount", "SplitShard", "MergeShards", "UpdateStreamMode",
    "IncreaseStreamRetentionPeriod", "DecreaseStreamRetentionPeriod", "EnableEnhancedMonitoring", "DisableEnhancedMonitoring",
}
CHANGES = UPDATES | {"CreateStream", "DeleteStream"}
TAGS = {"AddTagsToStream", "RemoveTagsFromStream", "TagResource", "UntagResource"}
DATA = {"PutRecord", "PutRecords", "GetRecords"}
DAY = 24 * 3600
LOG_MAX = 500_000


class BadConfig(Exception):
    """What is wrong with a configuration."""


class Plan:
    """The configuration, checked."""

    TOP = {"seed", "rules", "limits", "hold", "lag", "start_quota", "key_states", "trail", "list_streams_page",
           "list_streams_summaries", "aged", "tagging"}
    ACTION = {"delay_ms", "drop", "error", "status", "message", "after", "one_of"}

    def __init__(self, spec):
        self.spec = spec
        known(spec, self.TOP, "the configuration")
        self.seed = spec.get("seed", 0)
        self.rules = [dict(rule) for rule in spec.get("rules", [])]
        for rule in self.rules:
            known(rule, self.ACTION | {"op", "stream", "by", "p", "next"}, "a rule")
            check_action(rule)
        self.limits = spec.get("limits", {})
        self.hold = spec.get("hold", [])
        for hold in self.hold:
            known(hold, {"stream", "creating_ms", "updating_ms"}, "`hold`")
        self.lag = known(spec.get("lag", {}), {"encryption_ms", "describe_ms"}, "`lag`")
        self.quota = spec.get("start_quota")
        self.key_states = spec.get("key_states", False)
        self.trail = spec.get("trail") and known(spec["trail"], {"lag_ms", "role", "roles"}, "`trail`")
        self.page, self.summaries = spec.get("list_streams_page"), spec.get("list_streams_summaries", False)
        self.aged = spec.get("aged", [])
        for aged in self.aged:
            if not isinstance(known(aged, {"stream", "by_s"}, "`aged`").get("by_s"), (int, float)):
                raise BadConfig(f"`aged`: `by_s` is a number of seconds: {json.dumps(aged)}")
        self.tagging = spec.get("tagging", False)

    def dice(self, *of):
        return random.Random("/".join(map(str, (self.seed, *of))))

    def held(self, stream, what):
        """For how many seconds this stream is held in CREATING or UPDATING."""
        hold = next((h for h in self.hold if fnmatch.fnmatchcase(stream, h.get("stream", "*"))), {})
        return pick(hold.get(what, 0), self.dice(what, stream)) / 1000

    def age(self, stream):
        """By how many seconds this stream seems older than it is."""
        return next((a["by_s"] for a in self.aged if fnmatch.fnmatchcase(stream, a.get("stream", "*"))), 0)

    def lags(self, stream, what):
        return pick(self.lag.get(what, 0), self.dice(what, stream)) / 1000

    def matching(self, call):
        """The actions that this call meets, in order."""
        for index, rule in enumerate(self.rules):
            globs = rule.get("op", "*")
            globs = [globs] if isinstance(globs, str) else globs
            fits = any(fnmatch.fnmatchcase(call.name, g) or fnmatch.fnmatchcase(call.operation, g) for g in globs)
            fits = fits and fnmatch.fnmatchcase(call.stream or "", rule.get("stream", "*")) and fnmatch.fnmatchcase(call.by, rule.get("by", "*"))
            if not fits or rule.get("next", 1) <= 0:
                continue
            dice = self.dice(index, call.name, call.stream or call.key or "", call.ordinal)
            if dice.random() >= rule.get("p", 1):
                continue
            if "next" in rule:
                rule["next"] -= 1
            yield (dice.choice(rule["one_of"]) if "one_of" in rule else rule), dice


def known(spec, names, where):
    if not isinstance(spec, dict) or set(spec) - names:
        raise BadConfig(f"{where}: an object of {', '.join(sorted(names))} is expected, not {json.dumps(spec)}")
    return spec


def check_action(action):
    for one in action.get("one_of", []):
        check_action(known(one, Plan.ACTION - {"one_of"}, "`one_of`"))
    if action.get("drop") not in (None, "before", "after") or ("drop" in action and "error" in action):
        raise BadConfig(f"`drop` is `before` or `after`, and not together with `error`: {json.dumps(action)}")
    if not {"drop", "error", "delay_ms", "one_of"} & set(action):
        raise BadConfig(f"nothing would happen: {json.dumps(action)}")


def pick(value, dice):
    return dice.uniform(*value) if isinstance(value, list) else value


class Message:
    """One HTTP message, request or answer: start line, headers with lower-case names, body."""

    def __init__(self, start, headers, body=b""):
        self.start, self.headers, self.body = start, headers, body

    @property
    def status(self):
        return int(self.start.split(" ", 2)[1])

    def json(self):
        """The body as an object; empty where it is none."""
        with contextlib.suppress(ValueError):
            value = json.loads(self.body or b"{}")
            return value if isinstance(value, dict) else {}
        return {}

    def with_json(self, value):
        return Message(self.start, self.headers, json.dumps(value).encode())

    def write(self, writer):
        headers = {**self.headers, "content-length": len(self.body)}
        head = [self.start, *(f"{name}: {value}" for name, value in headers.items() if name not in ("transfer-encoding", "keep-alive"))]
        writer.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + self.body)

    @staticmethod
    async def read(reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head[:-4].split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        body = b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await reader.readline()).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif length := int(headers.get("content-length", 0)):
            body = await reader.readexactly(length)
        return Message(start, headers, body)


def answer(status, value, **headers):
    return Message(f"HTTP/1.1 {status} .", {"content-type": "application/x-amz-json-1.1", **headers}, json.dumps(value).encode())


def is_encrypted(of):
    """A stream's description, a record, or PutRecord's answer."""
    return of.get("EncryptionType") == "KMS"


def token_of(name):
    """A page token of ListStreams: the name to go on after."""
    return base64.b64encode(f"after {name}".encode()).decode()


def place(token):
    """The name in a token; nothing where it is no token of ours."""
    try:
        before, after, name = base64.b64decode(token, validate=True).decode().partition("after ")
    except (ValueError, TypeError):
        return None
    return name if after and not before else None


async def each(names, ask):
    """What `ask` answers for each; a few at a time, since the emulator is no faster with a hundred connections."""
    gate = asyncio.Semaphore(8)

    async def one(name):
        async with gate:
            return await ask(name)

    return await asyncio.gather(*map(one, names))


class Upstream:
    """An emulator. Connections are kept for a moment, so that a burst does not use up the ports."""

    def __init__(self, url):
        self.netloc = urllib.parse.urlsplit(url).netloc
        self.host, _, self.port = self.netloc.partition(":")
        self.idle = []

    async def send(self, message):
        drop = ("connection", "expect", "accept-encoding", "host")  # Nothing compressed: answers are rewritten.
        headers = {name: value for name, value in message.headers.items() if name not in drop}
        request = Message(message.start, {"host": self.netloc, **headers}, message.body)
        while self.idle and time.monotonic() - self.idle[0][0] > 1:
            self.idle.pop(0)[2].close()
        _, reader, writer = self.idle.pop() if self.idle else (0, *await asyncio.open_connection(self.host, int(self.port), limit=2**22))
        try:
            request.write(writer)
            reply = await asyncio.wait_for(Message.read(reader), 60)
        except BaseException:
            writer.close()
            raise
        self.idle.append((time.monotonic(), reader, writer))
        reply.headers.pop("connection", None)
        return reply

    async def ask(self, service, target, region, body):
        """A question of our own, which is no call of the client's."""
        scope = f"AWS4-HMAC-SHA256 Credential=fault/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        headers = {
            "content-type": "application/x-amz-json-1.1", "x-amz-target": target, "authorization": scope, "x-amz-date": "20260101T000000Z",
        }
        return await self.send(Message("POST / HTTP/1.1", headers, json.dumps(body).encode()))


class Call:
    """One call of a client."""

    def __init__(self, request, number, at):
        self.request, self.number, self.at = request, number, at
        headers = request.headers
        signed = re.search(r"Credential=([^/]+)/[^/]*/[^/]*/([^/]+)/", headers.get("authorization", ""))
        self.by, self.service = signed.groups() if signed else ("", "")
        self.service = {"tagging": "tag"}.get(self.service, self.service)  # As IAM and the adapters call it.
        target = headers.get("x-amz-target", "")
        if target.startswith("Kinesis_"):
            self.service = "kinesis"
        self.body = request.json() if target else {}
        method, path = request.start.split(" ")[:2]
        form = {} if target else urllib.parse.parse_qs(request.body[:4096].decode("latin-1"))
        self.operation = target.rsplit(".", 1)[-1] or form.get("Action", [f"{method} {path}"])[0]
        self.name = f"{self.service}:{self.operation}"
        arn = next((self.body[name] for name in ("StreamARN", "ResourceARN") if isinstance(self.body.get(name), str)), "")
        named = arn.partition(":stream/")[2].split("/")[0]
        self.stream = (named or self.body.get("StreamName")) if self.service == "kinesis" else None
        if self.operation == "SendMessage":  # Of a message of ours, the stream that it is about.
            found = re.search(r'"stream_arn": ?"[^"]*/([^"/]+)"', self.body.get("MessageBody", ""))
            self.stream = found and found[1]
        self.key = self.body.get("KeyId")
        self.injected, self.applied, self.ordinal = [], None, 0

    def resources(self, layer, given):
        """What IAM authorises the call on: streams, keys, queues, parameters and event buses by ARN; none where the call names no resource."""
        def arn(service, what):
            return f"arn:aws:{service}:{layer.region}:{layer.account}:{what}"

        body = self.body
        match self.service:
            case "kinesis":
                named = body.get("StreamARN") or body.get("ResourceARN") or (body.get("StreamName") and arn("kinesis", f"stream/{body['StreamName']}"))
                return [one for one in (named, body.get("KeyId")) if one]
            case "kms":  # An alias is authorised by the key that it means, which the answer says.
                return [one for one in [(given.json() if given else {}).get("KeyMetadata", {}).get("Arn")] if one]
            case "sqs":
                return [arn("sqs", body["QueueUrl"].rsplit("/", 1)[-1])] if body.get("QueueUrl") else []
            case "events":
                return sorted({bus for entry in body.get("Entries", []) if (bus := entry.get("EventBusName"))})
            case "ssm":
                return [arn("ssm", f"parameter/{body['Name'].lstrip('/')}")] if body.get("Name") else []
        return []

    def error(self, code, message=None, status=None, account=""):
        message = message or (RATE_EXCEEDED.format(account=account) if code == "LimitExceededException" else f"{code}, by the fault layer")
        words = "Message" if code == "AccessDeniedException" else "message"  # As recorded.
        return answer(status or STATUS.get(code, 400), {"__type": code, words: message}, **{"x-amzn-requestid": f"fault-{self.number}"})


class Stream:
    """What the layer knows of a stream, beyond the emulator."""

    def __init__(self, created=None):
        self.created = created
        self.changed_at, self.before = None, None  # The last change and the summary from before it.
        self.old = None  # The same while it is UPDATING.
        self.updating_until = 0
        self.from_plain, self.active_at = False, None  # A Start that took it from NONE, and when that was first seen done.
        self.plain = set()  # Sequence numbers that were answered as not encrypted, though the emulator has them encrypted.
        self.lock = asyncio.Lock()


class Layer:
    def __init__(self, args, plan):
        self.kinesis, self.aws = Upstream(args.kinesis), Upstream(args.aws)
        self.account, self.region, self.plan = args.account, args.region, plan
        self.stopped_at = None
        self.forget()

    def now(self):
        """What is measured by this does not depend on how fast this machine is, once a test has stopped the clock."""
        return time.time() if self.stopped_at is None else self.stopped_at

    def forget(self):
        self.numbers = itertools.count(1)
        self.log = collections.deque(maxlen=LOG_MAX)
        self.counters, self.seconds = {}, collections.Counter()
        self.streams, self.ordinals, self.buckets = {}, collections.Counter(), {}
        self.starts = collections.defaultdict(collections.deque)  # By name, and so by no stream in particular.
        self.events = []

    # One call, from its request to what the client gets; `None` closes the connection.

    async def handle(self, request):
        call = Call(request, next(self.numbers), self.now())
        self.ordinals[call.name, call.stream or call.key] += 1
        call.ordinal = self.ordinals[call.name, call.stream or call.key]
        self.seconds[call.name, int(call.at)] += 1
        started, reached, given, reply = time.monotonic(), True, None, None
        try:
            fault = await self.front(call)
            if fault == "drop":
                reached = False
            elif isinstance(fault, Message):
                given = reply = fault
            else:
                given = reply = await self.serve(call)
                call.applied = given.status < 300 if call.applied is None else call.applied
                reply = self.lose(call, fault, given)
        except (OSError, EOFError, asyncio.TimeoutError, asyncio.IncompleteReadError) as failure:
            call.injected.append("upstream")
            given = reply = call.error("UpstreamFailed", repr(failure), 502)
        if reached and self.plan.trail is not None:
            self.record(call, given)
        self.note(call, reply, time.monotonic() - started)
        return reply

    async def front(self, call):
        """Limits and rules: what is met before the service. An answer, "drop", an action for afterwards, or nothing."""
        for glob, limit in self.plan.limits.items():
            if fnmatch.fnmatchcase(call.name, glob) and not self.take(call, glob, limit):
                limit = limit if isinstance(limit, dict) else {}
                call.injected.append("limit")
                return call.error(limit.get("error", "LimitExceededException"), limit.get("message"), account=self.account)
        for action, dice in self.plan.matching(call):
            if delay := pick(action.get("delay_ms", 0), dice):
                call.injected.append("delay")
                await asyncio.sleep(delay / 1000)
            if action.get("drop") == "before":
                call.injected.append("drop:before")
                return "drop"
            if action.get("drop") == "after" or action.get("after"):
                return action
            if code := action.get("error"):
                call.injected.append(f"error:{code}")
                return call.error(code, action.get("message"), action.get("status"), self.account)
        return None

    def take(self, call, glob, limit):
        rate = limit["per_second"] if isinstance(limit, dict) else limit
        left, at = self.buckets.get((glob, call.name), (rate, call.at))
        left = min(rate, left + (call.at - at) * rate)
        self.buckets[glob, call.name] = (left - 1 if left >= 1 else left, call.at)
        return left >= 1

    def lose(self, call, action, given):
        """The call took effect; what of its answer reaches the client."""
        if not action:
            return given
        if action.get("drop"):
            call.injected.append("drop:after")
            return None
        call.injected.append(f"error-after:{action['error']}")
        return call.error(action["error"], action.get("message"), action.get("status"), self.account)

    # The services, as the emulators are and AWS is not quite.

    async def serve(self, call):
        if call.service == "cloudtrail" and call.operation == "LookupEvents" and self.plan.trail is not None:
            return self.look_up(call)
        if call.name == "tag:GetResources" and self.plan.tagging:
            return await self.tagged(call)
        if call.service != "kinesis":
            return await self.aws.send(call.request)
        if call.operation == "ListStreams":
            return await self.list_streams(call)
        if not call.stream and call.operation != "GetRecords":
            return await self.kinesis.send(call.request)
        state = self.streams.setdefault(call.stream, Stream()) if call.stream else None
        if call.operation in CHANGES | TAGS:
            async with state.lock:
                return await self.change(call)
        if call.operation in DATA:
            return await self.data(call)
        if call.operation in ("DescribeStreamSummary", "DescribeStream"):
            return self.seeming(call, await self.describe(call))
        return await self.kinesis.send(call.request)

    async def truth(self, name):
        """The stream as the emulator has it, and what we know of it; a stream made anew is another one."""
        reply = await self.kinesis.ask("kinesis", "Kinesis_20131202.DescribeStreamSummary", self.region, {"StreamName": name})
        summary = reply.json().get("StreamDescriptionSummary")
        return summary, self.state(name, summary)

    def state(self, name, summary):
        state = self.streams.setdefault(name, Stream())
        created = summary and summary["StreamCreationTimestamp"]
        if created and state.created != created:
            # A CreateStream that came through here made this state before its time was known.
            if state.created is not None:
                state = self.streams[name] = Stream()
            state.created = created
        return state

    def status(self, name, summary, state):
        if summary["StreamStatus"] in ("CREATING", "DELETING"):
            return summary["StreamStatus"]
        held = self.plan.held(name, "creating_ms")
        if held and self.now() < summary["StreamCreationTimestamp"] + held:  # A stopped clock may be behind the emulator's.
            return "CREATING"
        return "UPDATING" if self.now() < state.updating_until else summary["StreamStatus"]

    async def change(self, call):
        name, plan = call.stream, self.plan
        summary, state = await self.truth(name)
        status = summary and self.status(name, summary, state)
        if summary and status != "ACTIVE" and call.operation in UPDATES | TAGS and not (call.operation in TAGS and status == "UPDATING"):
            call.injected.append(f"hold:{status}")
            words = f"Stream {name} under account {self.account} not ACTIVE, instead in state {status}"
            return call.error("ResourceInUseException", words)
        if call.operation == "StopStreamEncryption" and summary and not is_encrypted(summary):
            return call.error("InvalidArgumentException", NOT_ENCRYPTED)
        start, starts = call.operation == "StartStreamEncryption", self.starts[name]
        if start and summary:
            if refused := await self.refusal(call, call.key):
                return refused
            while starts and starts[0] < self.now() - DAY:
                starts.popleft()
            if plan.quota is not None and len(starts) >= plan.quota:
                call.injected.append("quota")
                return call.error("LimitExceededException", QUOTA_SPENT.format(stream=name, account=self.account))
        reply = await self.kinesis.send(call.request)
        if reply.status >= 300 or call.operation in TAGS:
            return reply
        now = self.now()
        if call.operation == "CreateStream":
            state = self.streams[name] = Stream()
        state.changed_at, state.active_at = now, None
        state.before = {**summary, "StreamStatus": status} if summary else None
        if call.operation in UPDATES:
            state.old = state.before
            state.updating_until = now + plan.held(name, "updating_ms")
        if start:
            starts.append(now)
            state.from_plain = not is_encrypted(summary)
        return reply

    async def refusal(self, call, key):
        """What the key's state in KMS makes of a call that needs it."""
        if not self.plan.key_states or not key:
            return None
        reply = await self.aws.ask("kms", "TrentService.DescribeKey", self.region, {"KeyId": key})
        if reply.status >= 300:
            if key.endswith("alias/aws/kinesis"):  # AWS makes this one on first use.
                return None
            state, code = "unknown", "KMSNotFoundException"
        else:
            state = reply.json()["KeyMetadata"]["KeyState"]
            code = {"Enabled": None, "Updating": None, "Disabled": "KMSDisabledException"}.get(state, "KMSInvalidStateException")
        if code is None:
            return None
        call.injected.append(f"key:{state}")
        return call.error(code, f"{key} is {state}")

    async def describe(self, call):
        name = call.stream
        state = self.streams[name]
        if call.operation == "DescribeStreamSummary" and state.changed_at and self.now() < state.changed_at + self.plan.lags(name, "describe_ms"):
            call.injected.append("lag:describe")
            if state.before is None:
                return call.error("ResourceNotFoundException", f"Stream {name} under account {self.account} not found.")
            return answer(200, {"StreamDescriptionSummary": state.before}, **{"x-amzn-requestid": f"fault-{call.number}"})
        reply = await self.kinesis.send(call.request)
        value = reply.json()
        summary = value.get("StreamDescriptionSummary") or value.get("StreamDescription")
        if reply.status >= 300 or not summary:
            return reply
        state = self.state(name, summary)
        status = self.status(name, summary, state)
        if status == "ACTIVE":
            state.active_at, state.old = state.active_at or self.now(), None
        if status != summary["StreamStatus"]:
            call.injected.append(f"hold:{status}")
            summary["StreamStatus"] = status
        if status == "UPDATING" and state.old:
            for member in ("EncryptionType", "KeyId"):
                summary.pop(member, None)
                if member in state.old:
                    summary[member] = state.old[member]
        return reply.with_json(value)

    def seeming(self, call, reply):
        """What the client gets; what is held or lags goes by the true time."""
        value = reply.json()
        if reply.status >= 300:
            return reply
        for summary in value.values():
            summary["StreamCreationTimestamp"] = self.created(call.stream, summary)
        return reply.with_json(value)

    def created(self, name, summary):
        """In whole seconds, and so up to one before the stream was made."""
        return float(int(summary["StreamCreationTimestamp"] - self.plan.age(name)))

    async def data(self, call):
        name, lag, plain, state = call.stream, 0, False, None
        if name and (self.plan.key_states or self.plan.lag):
            summary, state = await self.truth(name)
            if summary is None:
                return await self.kinesis.send(call.request)
            if refused := await self.refusal(call, summary.get("KeyId") if is_encrypted(summary) else None):
                return refused
            lag = self.plan.lags(name, "encryption_ms")
            if state.from_plain and state.active_at is None and self.status(name, summary, state) == "ACTIVE":
                state.active_at = self.now()
            plain = lag and state.from_plain and (state.active_at is None or self.now() < state.active_at + lag)
        reply = await self.kinesis.send(call.request)
        value = reply.json()
        if reply.status >= 300:
            return reply
        reads = call.operation == "GetRecords"
        if plain and not reads and is_encrypted(value):
            call.injected.append("lag:encryption")
            state.plain |= {one["SequenceNumber"] for one in value.get("Records", [value]) if one.get("SequenceNumber")}
            del value["EncryptionType"]
        # Whoever reads sees the same as who wrote. Of some calls only the iterator says which stream they are about.
        hidden = state.plain if state else set().union(*(one.plain for one in self.streams.values()))
        for one in [*(value.get("Records", []) if reads else []), value]:
            if not is_encrypted(one) or (reads and one.get("SequenceNumber") in hidden):
                one.pop("EncryptionType", None)
        return reply.with_json(value)

    async def list_streams(self, call):
        """kinesis-local knows no NextToken, and the name to go on after is one just as well; nor has it StreamSummaries."""
        body = dict(call.body)
        if self.plan.page:
            body["Limit"] = min(body.get("Limit", 100), self.plan.page)
        if (token := body.pop("NextToken", None)) is not None:
            if "ExclusiveStartStreamName" in body:
                return call.error("InvalidArgumentException", TOKEN_AND_NAME)
            if (after := place(token)) is None:
                return call.error("InvalidArgumentException", NOT_A_TOKEN)
            body["ExclusiveStartStreamName"] = after
        request = Message(call.request.start, call.request.headers, json.dumps(body).encode())
        reply = await self.kinesis.send(request)
        value = reply.json()
        if reply.status >= 300:
            return reply
        if self.plan.page and value.get("HasMoreStreams"):
            value["NextToken"] = token_of(value["StreamNames"][-1])
        if self.plan.summaries:
            truths = await each(value["StreamNames"], self.truth)
            value["StreamSummaries"] = [self.brief(name, *truth) for name, truth in zip(value["StreamNames"], truths) if truth[0]]
        return reply.with_json(value)

    def brief(self, name, summary, state):
        fields = {field: summary[field] for field in ("StreamName", "StreamARN", "StreamModeDetails")}
        return {**fields, "StreamStatus": self.status(name, summary, state), "StreamCreationTimestamp": self.created(name, summary)}

    async def tagged(self, call):
        """GetResources by ResourceARNList, which goes with no other parameter. Streams without tags, and unknown ones, are left out."""
        arns = call.body.get("ResourceARNList")
        if set(call.body) != {"ResourceARNList"} or not isinstance(arns, list) or not 1 <= len(arns) <= 100:
            return call.error("InvalidParameterException", "ResourceARNList of 1 to 100 ARNs, and nothing else, is what the fault layer answers")
        ours = f":kinesis:{self.region}:{self.account}:stream/"
        tags = await each([arn.partition(ours)[2] for arn in arns], self.tags)
        found = [{"ResourceARN": arn, "Tags": of_one} for arn, of_one in zip(arns, tags) if of_one]
        return answer(200, {"PaginationToken": "", "ResourceTagMappingList": found}, **{"x-amzn-requestid": f"fault-{call.number}"})

    async def tags(self, name):
        """The tags of a stream, empty where there is none of this name."""
        tags, more = [], bool(name)
        while more:
            after = {"ExclusiveStartTagKey": tags[-1]["Key"]} if tags else {}
            reply = await self.kinesis.ask("kinesis", "Kinesis_20131202.ListTagsForStream", self.region, {"StreamName": name, **after})
            page = reply.json()
            if reply.status >= 300:
                # Not found is no failure; anything else is not passed off as "no tags".
                if "ResourceNotFound" in page.get("__type", ""):
                    break
                raise OSError(f"ListTagsForStream of {name}: {page}")
            tags += page["Tags"]
            more = page.get("HasMoreTags") and page["Tags"]
        return tags

    # CloudTrail.

    def record(self, call, given):
        """Changes are recorded, refused ones too; reads and data are not asked for."""
        reads = ("Describe", "List", "Get", "Put", "Subscribe", "Encrypt", "Decrypt", "Generate", "ReEncrypt", "Sign", "Verify")
        if call.service not in ("kinesis", "kms") or call.operation.startswith(reads):
            return
        role = self.plan.trail.get("roles", {}).get(call.by) or self.plan.trail.get("role") or f"arn:aws:iam::{self.account}:role/somebody"
        role_name, session = role.rsplit("/", 1)[-1], f"s-{call.by}"
        at = datetime.datetime.fromtimestamp(int(call.at), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        answered = given.json() if given.status >= 300 else {}
        failed = answered.get("__type", "").rsplit("#", 1)[-1]
        denied = failed == "AccessDeniedException"
        failed = {"AccessDeniedException": "AccessDenied"}.get(failed, failed)
        issuer = {"type": "Role", "principalId": "AROAFAULT", "arn": role, "accountId": self.account, "userName": role_name}
        parameters = {name[:1].lower() + name[1:]: value for name, value in call.body.items()}
        record = {
            "eventVersion": "1.11",
            "userIdentity": {
                "type": "AssumedRole", "principalId": f"AROAFAULT:{session}", "accountId": self.account, "accessKeyId": call.by,
                "arn": f"arn:aws:sts::{self.account}:assumed-role/{role_name}/{session}", "sessionContext": {"sessionIssuer": issuer},
            },
            "eventTime": at, "eventSource": f"{call.service}.amazonaws.com", "eventName": call.operation, "awsRegion": self.region,
            "sourceIPAddress": "127.0.0.1", "userAgent": call.request.headers.get("user-agent", ""),
            **({"errorCode": failed, "errorMessage": answered.get("message") or answered.get("Message")} if failed else {}),
            "requestParameters": None if denied else parameters, "responseElements": None,
            "requestID": f"fault-{call.number}", "eventID": f"00000000-0000-4000-8000-{call.number:012}", "readOnly": False,
            **({"resources": self.in_record(call)} if call.stream else {}),
            "eventType": "AwsApiCall", "managementEvent": True, "recipientAccountId": self.account, "eventCategory": "Management",
        }
        # As they were named, the stream and the key; nothing where it was denied, nor for calls that tag a resource.
        named = [("AWS::Kinesis::Stream", parameters.get("streamARN") or parameters.get("streamName")), ("AWS::KMS::Key", parameters.get("keyId"))]
        resources = [] if denied else [{"ResourceType": kind, "ResourceName": name} for kind, name in named if name and call.stream]
        self.events.append({
            "EventId": record["eventID"], "EventName": call.operation, "ReadOnly": "false", "AccessKeyId": call.by, "EventTime": int(call.at),
            "EventSource": record["eventSource"], "Username": session, "Resources": resources, "CloudTrailEvent": json.dumps(record),
        })

    def in_record(self, call):
        """`resources` of a record: where the stream was named by its name, the ARN is none."""
        arn = call.body.get("StreamARN") or call.body.get("ResourceARN")
        if arn:
            return [{"accountId": self.account, "type": "AWS::Kinesis::Stream", "ARN": arn}]
        return [{"type": "AWS::Kinesis::Stream", "ARN": f"arn:aws:kinesis:{self.region}:{call.stream}:stream/null"}]

    def look_up(self, call):
        body = call.body
        wanted = {one.get("AttributeKey"): one.get("AttributeValue") for one in body.get("LookupAttributes", [])}
        if len(wanted) > 1 or not set(wanted) <= {"EventName", "EventId", "EventSource", "ReadOnly", "Username", "AccessKeyId", "ResourceName", "ResourceType"}:
            return call.error("InvalidLookupAttributesException", f"one known attribute, not {json.dumps(wanted)}")

        # The token fixes what the first page saw, so that later events do not shift the pages.
        try:
            count, asked_at, first = json.loads(base64.b64decode(body["NextToken"])) if body.get("NextToken") else (len(self.events), self.now(), 0)
        except ValueError:
            return call.error("InvalidNextTokenException", "not a token of ours")

        def fits(event):
            names = {key: {event.get(key), *(one.get(key) for one in event["Resources"])} for key in wanted}
            lag = pick(self.plan.trail.get("lag_ms", 0), self.plan.dice("trail", event["EventId"])) / 1000
            return all(value in names[key] for key, value in wanted.items()) and event["EventTime"] + lag <= asked_at \
                and body.get("StartTime", 0) <= event["EventTime"] <= body.get("EndTime", float("inf"))

        found = sorted(filter(fits, reversed(self.events[:count])), key=lambda event: -event["EventTime"])
        last = first + min(body.get("MaxResults", 50), 50)
        token = {"NextToken": base64.b64encode(json.dumps([count, asked_at, last]).encode()).decode()} if last < len(found) else {}
        return answer(200, {"Events": found[first:last], **token}, **{"x-amzn-requestid": f"fault-{call.number}"})

    # The log.

    def note(self, call, reply, seconds):
        code = reply.json().get("__type") if reply and reply.status >= 300 else None
        self.log.append({
            "n": call.number, "at": round(call.at, 3), "ms": round(seconds * 1000, 1), "call": call.name, "stream": call.stream, "key": call.key,
            "resources": call.resources(self, reply), "by": call.by, "id": call.request.headers.get("amz-sdk-invocation-id"), "injected": call.injected, "applied": bool(call.applied),
            "status": reply.status if reply else None, "code": code and code.rsplit("#", 1)[-1],
            "request_id": reply and reply.headers.get("x-amzn-requestid"),
        })
        counter = self.counters.setdefault(call.name, {"calls": 0, "applied": 0, "injected": {}})
        counter["calls"] += 1
        counter["applied"] += bool(call.applied)
        for kind in call.injected:
            counter["injected"][kind] = counter["injected"].get(kind, 0) + 1

    def control(self, request):
        method, path = request.start.split(" ")[:2]
        path, _, query = path.partition("?")
        choose = dict(urllib.parse.parse_qsl(query))
        match method, path.removeprefix("/_fault/"):
            case "PUT", "config":
                try:
                    self.plan = Plan(json.loads(request.body))
                except (BadConfig, ValueError, TypeError, AttributeError) as wrong:
                    return answer(400, {"error": str(wrong)})
                return answer(200, {})
            case "GET", "config":
                return answer(200, self.plan.spec)
            case "GET", "calls":
                globs = [(name, choose.get(name, "*")) for name in ("call", "stream", "by")]
                since = int(choose.get("since", 0))
                return answer(200, [c for c in self.log if c["n"] > since and all(fnmatch.fnmatchcase(c[n] or "", g) for n, g in globs)])
            case "GET", "counters":
                peaks = {}
                for (name, _), count in self.seconds.items():
                    peaks[name] = max(count, peaks.get(name, 0))
                return answer(200, {name: {**counter, "most_a_second": peaks[name]} for name, counter in sorted(self.counters.items())})
            case "POST", "reset":
                self.forget()
                return answer(200, {})
            case "POST", "clock":
                try:
                    self.stopped_at = self.now() + float(json.loads(request.body)["advance_ms"]) / 1000
                except (ValueError, TypeError, KeyError):
                    return answer(400, {"error": "an object with `advance_ms` is expected"})
                return answer(200, {"now": self.stopped_at})
        return answer(404, {"error": f"{method} {path} is not known"})

    async def connection(self, reader, writer):
        try:
            while True:
                request = await Message.read(reader)
                ours = request.start.split(" ")[1].startswith("/_fault/")
                reply = self.control(request) if ours else await self.handle(request)
                if reply is None:
                    break
                reply.write(writer)
                await writer.drain()
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            pass  # The client is gone, or speaks no HTTP.
        finally:
            writer.transport.abort()


async def serve():
    parser = argparse.ArgumentParser(prog="tools fault", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinesis", required=True, metavar="URL")
    parser.add_argument("--aws", required=True, metavar="URL")
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--account", default="111122223333", metavar="ID")
    parser.add_argument("--region", default="eu-west-1", metavar="NAME")
    args = parser.parse_args()
    try:
        spec = {}
        if args.config:
            with open(args.config, encoding="utf-8") as file:
                spec = json.load(file)
        layer = Layer(args, Plan(spec))
    except (BadConfig, ValueError, OSError) as wrong:
        sys.exit(f"fault: {wrong}")
    server = await asyncio.start_server(layer.connection, "127.0.0.1", 0, limit=2**22)
    print(json.dumps({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}), flush=True)
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def watch():
        while os.read(0, 65536):
            pass
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=watch, daemon=True).start()
    await ended.wait()
    os._exit(0)  # There is nothing to tidy up, and open calls are nobody's any more.


def main():
    """Serves until its standard input closes."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())
