"""The fault layer's log of what was on the wire."""

import collections
import fnmatch
from collections.abc import Mapping

from emulators.fault.call import Call
from emulators.fault.context import Context
from emulators.fault.messages import Json, Message

LOG_MAX = 500_000


class Log:
    """Every call, and how often each operation was called."""

    def __init__(self, context: Context):
        self.context = context
        self.lines: collections.deque[Json] = collections.deque(maxlen=LOG_MAX)
        self.counters: dict[str, Json] = {}
        self.seconds: collections.Counter[tuple[str, int]] = collections.Counter()

    def begin(self, call: Call) -> None:
        self.seconds[call.name, int(call.at)] += 1

    def end(self, call: Call, reply: Message | None, seconds: float) -> None:
        code = reply.json().get("__type") if reply and reply.status >= 300 else None
        self.lines.append(
            {
                "n": call.number,
                "at": round(call.at, 3),
                "ms": round(seconds * 1000, 1),
                "call": call.name,
                "stream": call.stream,
                "key": call.key,
                "resources": call.resources(self.context, reply),
                "message": call.body.get("MessageBody"),
                "by": call.by,
                "id": call.request.headers.get("amz-sdk-invocation-id"),
                "injected": call.injected,
                "applied": bool(call.applied),
                "status": reply.status if reply else None,
                "code": code and code.rsplit("#", 1)[-1],
                "request_id": reply and reply.headers.get("x-amzn-requestid"),
            }
        )
        counter = self.counters.setdefault(call.name, {"calls": 0, "applied": 0, "injected": {}})
        counter["calls"] += 1
        counter["applied"] += bool(call.applied)
        for kind in call.injected:
            counter["injected"][kind] = counter["injected"].get(kind, 0) + 1

    def chosen(self, choose: Mapping[str, str]) -> list[Json]:
        """The calls that a query asks for."""
        globs = [(name, choose.get(name, "*")) for name in ("call", "stream", "by")]
        since = int(choose.get("since", 0))
        later = [line for line in self.lines if line["n"] > since]
        return [line for line in later if all(fnmatch.fnmatchcase(line[name] or "", glob) for name, glob in globs)]

    def counted(self) -> Json:
        """The counters, each with the most calls in one second."""
        peaks: dict[str, int] = {}
        for (name, _), count in self.seconds.items():
            peaks[name] = max(count, peaks.get(name, 0))
        return {name: {**counter, "most_a_second": peaks[name]} for name, counter in sorted(self.counters.items())}
