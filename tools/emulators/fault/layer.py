"""The layer itself: one call, from its request to what the client gets; and what controls it."""

import asyncio
import collections
import fnmatch
import itertools
import json
import time
import urllib.parse
from typing import Literal

from emulators.fault.call import Call
from emulators.fault.context import Context
from emulators.fault.log import Log
from emulators.fault.messages import Json, Message, answer
from emulators.fault.plan import BadConfig, Plan, pick
from emulators.fault.streams import Streams
from emulators.fault.trail import Trail

Fault = Message | Json | Literal["drop"] | None


class Layer:
    """Takes connections of clients, and answers them."""

    def __init__(self, context: Context):
        self.context = context
        self.forget()

    def forget(self) -> None:
        """Forgets calls, counters, recorded events and what it knows of streams."""
        self.numbers = itertools.count(1)
        self.log, self.trail, self.streams = Log(self.context), Trail(self.context), Streams(self.context)
        self.ordinals: collections.Counter[tuple[str, str | None]] = collections.Counter()
        self.buckets: dict[tuple[str, str], tuple[float, float]] = {}

    async def handle(self, request: Message) -> Message | None:
        """The answer to a call; `None` closes the connection."""
        call = Call(request, next(self.numbers), self.context.now())
        self.ordinals[call.name, call.stream or call.key] += 1
        call.ordinal = self.ordinals[call.name, call.stream or call.key]
        self.log.begin(call)
        started = time.monotonic()
        given: Message | None = None
        reply: Message | None = None
        try:
            fault = await self.front(call)
            if isinstance(fault, Message):
                given = reply = fault
            elif fault != "drop":
                given = reply = await self.serve(call)
                call.applied = given.status < 300 if call.applied is None else call.applied
                reply = self.lose(call, fault, given)
        except (OSError, EOFError, asyncio.TimeoutError, asyncio.IncompleteReadError) as failure:
            call.injected.append("upstream")
            given = reply = call.error("UpstreamFailed", repr(failure), 502)
        if given is not None and self.context.plan.trail is not None:
            self.trail.record(self.context.plan.trail, call, given)
        self.log.end(call, reply, time.monotonic() - started)
        return reply

    async def front(self, call: Call) -> Fault:
        """Limits and rules: what is met before the service. An answer, "drop", an action for afterwards, or nothing."""
        plan, account = self.context.plan, self.context.account
        for glob, limit in plan.limits.items():
            of = limit if isinstance(limit, dict) else {"per_second": limit}
            if fnmatch.fnmatchcase(call.name, glob) and not self.take(call, glob, of["per_second"]):
                call.injected.append("limit")
                return call.error(of.get("error", "LimitExceededException"), of.get("message"), account=account)
        for action, dice in plan.matching(call):
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
                return call.error(code, action.get("message"), action.get("status"), account)
        return None

    def take(self, call: Call, glob: str, rate: float) -> bool:
        """Whether the limit has room for the call."""
        left, at = self.buckets.get((glob, call.name), (rate, call.at))
        left = min(rate, left + (call.at - at) * rate)
        self.buckets[glob, call.name] = (left - 1 if left >= 1 else left, call.at)
        return left >= 1

    def lose(self, call: Call, action: Json | None, given: Message) -> Message | None:
        """The call took effect; what of its answer reaches the client."""
        if not action:
            return given
        if action.get("drop"):
            call.injected.append("drop:after")
            return None
        call.injected.append(f"error-after:{action['error']}")
        return call.error(action["error"], action.get("message"), action.get("status"), self.context.account)

    async def serve(self, call: Call) -> Message:
        """The answer of the service, as the emulators are and AWS is not quite."""
        plan = self.context.plan
        if call.service == "cloudtrail" and call.operation == "LookupEvents" and plan.trail is not None:
            return self.trail.look_up(plan.trail, call)
        if call.name == "tag:GetResources" and plan.tagging:
            return await self.streams.tagged(call)
        if call.service != "kinesis":
            return await self.context.aws.send(call.request)
        return await self.streams.serve(call)

    def control(self, request: Message) -> Message:
        """The answer to what controls the layer."""
        method, path = request.start.split(" ")[:2]
        path, _, query = path.partition("?")
        match method, path.removeprefix("/_fault/"):
            case "PUT", "config":
                try:
                    self.context.plan = Plan(json.loads(request.body))
                except (BadConfig, ValueError, TypeError, AttributeError) as wrong:
                    return answer(400, {"error": str(wrong)})
                return answer(200, {})
            case "GET", "config":
                return answer(200, self.context.plan.spec)
            case "GET", "calls":
                return answer(200, self.log.chosen(dict(urllib.parse.parse_qsl(query))))
            case "GET", "counters":
                return answer(200, self.log.counted())
            case "POST", "reset":
                self.forget()
                return answer(200, {})
            case "POST", "uses":
                try:
                    self.trail.add(json.loads(request.body))
                except (ValueError, TypeError, KeyError) as wrong:
                    return answer(400, {"error": f"a record of CloudTrail is expected: {wrong!r}"})
                return answer(200, {})
            case "POST", "clock":
                try:
                    by = float(json.loads(request.body)["advance_ms"]) / 1000
                except (ValueError, TypeError, KeyError):
                    return answer(400, {"error": "an object with `advance_ms` is expected"})
                self.context.stopped_at = self.context.now() + by
                return answer(200, {"now": self.context.stopped_at})
        return answer(404, {"error": f"{method} {path} is not known"})

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until either side closes it."""
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
