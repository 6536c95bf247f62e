"""Kinesis, as the emulator is and AWS is not quite: states that last, answers that lag, quotas, keys, pages, tags."""

import asyncio
import base64
import collections
import json
from typing import Any

from emulators.fault.call import Call
from emulators.fault.context import Context
from emulators.fault.messages import Json, Message, answer, each

# Recorded of UpdateStreamMode, the sibling with a quota of 24 hours too: the words of a rate.
QUOTA_SPENT = "Rate exceeded for stream {stream} under account {account}."
NOT_ENCRYPTED = "Cannot stop encrypting an unencrypted stream."
NOT_A_TOKEN = "Invalid NextToken."
TOKEN_AND_NAME = "ExclusiveStartStreamName and NextToken cannot be provided together."
# Calls that ask for an ACTIVE stream and leave it UPDATING.
UPDATES = {
    "StartStreamEncryption", "StopStreamEncryption", "UpdateShardCount", "SplitShard", "MergeShards",
    "UpdateStreamMode", "IncreaseStreamRetentionPeriod", "DecreaseStreamRetentionPeriod", "EnableEnhancedMonitoring",
    "DisableEnhancedMonitoring",
}  # fmt: skip
CHANGES = UPDATES | {"CreateStream", "DeleteStream"}
TAGS = {"AddTagsToStream", "RemoveTagsFromStream", "TagResource", "UntagResource"}
DATA = {"PutRecord", "PutRecords", "GetRecords"}
DAY = 24 * 3600


def is_encrypted(of: Json) -> bool:
    """Of a stream's description, a record, or PutRecord's answer."""
    return of.get("EncryptionType") == "KMS"


def token_of(name: str) -> str:
    """A page token of ListStreams: the name to go on after."""
    return base64.b64encode(f"after {name}".encode()).decode()


def place(token: Any) -> str | None:
    """The name in a token; nothing where it is no token of ours."""
    try:
        before, after, name = base64.b64decode(token, validate=True).decode().partition("after ")
    except (ValueError, TypeError):
        return None
    return name if after and not before else None


class Stream:
    """What the layer knows of a stream, beyond the emulator."""

    def __init__(self, created: float | None = None):
        self.created = created
        # The last change and the summary from before it.
        self.changed_at: float | None = None
        self.before: Json | None = None
        self.old: Json | None = None  # The same while it is UPDATING.
        self.updating_until = 0.0
        # A Start that took it from NONE, and when that was first seen done.
        self.from_plain = False
        self.active_at: float | None = None
        # Sequence numbers that were answered as not encrypted, though the emulator has them encrypted.
        self.plain: set[str] = set()
        self.lock = asyncio.Lock()


class Streams:
    """The calls about streams."""

    def __init__(self, context: Context):
        self.context = context
        self.known: dict[str, Stream] = {}
        # By name, and so by no stream in particular.
        self.starts: collections.defaultdict[str, collections.deque[float]] = collections.defaultdict(collections.deque)

    async def serve(self, call: Call) -> Message:
        """The answer to a call of Kinesis."""
        if call.operation == "ListStreams":
            return await self.list_streams(call)
        if call.operation in DATA and (call.stream or call.operation == "GetRecords"):
            return await self.data(call)
        if not call.stream:
            return await self.context.kinesis.send(call.request)
        state = self.known.setdefault(call.stream, Stream())
        if call.operation in CHANGES | TAGS:
            async with state.lock:
                return await self.change(call, call.stream)
        if call.operation in ("DescribeStreamSummary", "DescribeStream"):
            return self.seeming(call.stream, await self.describe(call, call.stream))
        return await self.context.kinesis.send(call.request)

    # What is so.

    async def truth(self, name: str) -> tuple[Json | None, Stream]:
        """The stream as the emulator has it, and what we know of it; a stream made anew is another one."""
        target = "Kinesis_20131202.DescribeStreamSummary"
        reply = await self.context.kinesis.ask("kinesis", target, self.context.region, {"StreamName": name})
        summary = reply.json().get("StreamDescriptionSummary")
        return summary, self.state(name, summary)

    def state(self, name: str, summary: Json | None) -> Stream:
        state = self.known.setdefault(name, Stream())
        created = summary and summary["StreamCreationTimestamp"]
        if created and state.created != created:
            # A CreateStream that came through here made this state before its time was known.
            if state.created is not None:
                state = self.known[name] = Stream()
            state.created = created
        return state

    def status(self, name: str, summary: Json, state: Stream) -> str:
        status: str = summary["StreamStatus"]
        if status in ("CREATING", "DELETING"):
            return status
        held, now = self.context.plan.held(name, "creating_ms"), self.context.now()
        if held and now < summary["StreamCreationTimestamp"] + held:  # A stopped clock may be behind the emulator's.
            return "CREATING"
        return "UPDATING" if now < state.updating_until else status

    # Changes.

    async def change(self, call: Call, name: str) -> Message:
        plan = self.context.plan
        summary, state = await self.truth(name)
        status = summary and self.status(name, summary, state)
        may_tag = call.operation in TAGS and status == "UPDATING"
        if summary and status != "ACTIVE" and call.operation in UPDATES | TAGS and not may_tag:
            call.injected.append(f"hold:{status}")
            words = f"Stream {name} under account {self.context.account} not ACTIVE, instead in state {status}"
            return call.error("ResourceInUseException", words)
        if call.operation == "StopStreamEncryption" and summary and not is_encrypted(summary):
            return call.error("InvalidArgumentException", NOT_ENCRYPTED)
        start = call.operation == "StartStreamEncryption"
        if start and summary and (refused := await self.refused_start(call, name)):
            return refused
        reply = await self.context.kinesis.send(call.request)
        if reply.status >= 300 or call.operation in TAGS:
            return reply
        now = self.context.now()
        if call.operation == "CreateStream":
            state = self.known[name] = Stream()
        state.changed_at, state.active_at = now, None
        state.before = {**summary, "StreamStatus": status} if summary else None
        if call.operation in UPDATES:
            state.old = state.before
            state.updating_until = now + plan.held(name, "updating_ms")
        if start:
            self.starts[name].append(now)
            state.from_plain = not is_encrypted(summary or {})
        return reply

    async def refused_start(self, call: Call, name: str) -> Message | None:
        """What the key and the quota make of a Start."""
        if refused := await self.refusal(call, call.key):
            return refused
        starts, quota = self.starts[name], self.context.plan.quota
        while starts and starts[0] < self.context.now() - DAY:
            starts.popleft()
        if quota is not None and len(starts) >= quota:
            call.injected.append("quota")
            words = QUOTA_SPENT.format(stream=name, account=self.context.account)
            return call.error("LimitExceededException", words)
        return None

    async def refusal(self, call: Call, key: str | None) -> Message | None:
        """What the key's state in KMS makes of a call that needs it."""
        if not self.context.plan.key_states or not key:
            return None
        reply = await self.context.aws.ask("kms", "TrentService.DescribeKey", self.context.region, {"KeyId": key})
        code: str | None
        if reply.status >= 300:
            if key.endswith("alias/aws/kinesis"):  # AWS makes this one on first use.
                return None
            state, code = "unknown", "KMSNotFoundException"
        else:
            state = reply.json()["KeyMetadata"]["KeyState"]
            usable = {"Enabled": None, "Updating": None, "Disabled": "KMSDisabledException"}
            code = usable.get(state, "KMSInvalidStateException")
        if code is None:
            return None
        call.injected.append(f"key:{state}")
        return call.error(code, f"{key} is {state}")

    # Descriptions.

    async def describe(self, call: Call, name: str) -> Message:
        state, now = self.known[name], self.context.now()
        late = state.changed_at and now < state.changed_at + self.context.plan.lags(name, "describe_ms")
        if call.operation == "DescribeStreamSummary" and late:
            call.injected.append("lag:describe")
            if state.before is None:
                words = f"Stream {name} under account {self.context.account} not found."
                return call.error("ResourceNotFoundException", words)
            return answer(200, {"StreamDescriptionSummary": state.before}, **call.request_id())
        reply = await self.context.kinesis.send(call.request)
        value = reply.json()
        summary = value.get("StreamDescriptionSummary") or value.get("StreamDescription")
        if reply.status >= 300 or not summary:
            return reply
        state = self.state(name, summary)
        status = self.status(name, summary, state)
        if status == "ACTIVE":
            state.active_at, state.old = state.active_at or self.context.now(), None
        if status != summary["StreamStatus"]:
            call.injected.append(f"hold:{status}")
            summary["StreamStatus"] = status
        if status == "UPDATING" and state.old:
            for member in ("EncryptionType", "KeyId"):
                summary.pop(member, None)
                if member in state.old:
                    summary[member] = state.old[member]
        return reply.with_json(value)

    def seeming(self, name: str, reply: Message) -> Message:
        """What the client gets; what is held or lags goes by the true time."""
        if reply.status >= 300:
            return reply
        value = reply.json()
        for summary in value.values():
            summary["StreamCreationTimestamp"] = self.created(name, summary)
        return reply.with_json(value)

    def created(self, name: str, summary: Json) -> float:
        """In whole seconds, and so up to one before the stream was made."""
        return float(int(summary["StreamCreationTimestamp"] - self.context.plan.age(name)))

    # Records.

    async def data(self, call: Call) -> Message:
        state = self.known.setdefault(call.stream, Stream()) if call.stream else None
        plain, plan = False, self.context.plan
        if call.stream and (plan.key_states or plan.lag):
            summary, state = await self.truth(call.stream)
            if summary is None:
                return await self.context.kinesis.send(call.request)
            if refused := await self.refusal(call, summary.get("KeyId") if is_encrypted(summary) else None):
                return refused
            plain = self.still_plain(call.stream, summary, state)
        reply = await self.context.kinesis.send(call.request)
        value = reply.json()
        if reply.status >= 300:
            return reply
        reads = call.operation == "GetRecords"
        if plain and state and not reads and is_encrypted(value):
            call.injected.append("lag:encryption")
            records = value.get("Records", [value])
            state.plain |= {one["SequenceNumber"] for one in records if one.get("SequenceNumber")}
            del value["EncryptionType"]
        # Whoever reads sees the same as who wrote. Of some calls only the iterator says which stream they are about.
        hidden = state.plain if state else set().union(*(one.plain for one in self.known.values()))
        for one in [*(value.get("Records", []) if reads else []), value]:
            if not is_encrypted(one) or (reads and one.get("SequenceNumber") in hidden):
                one.pop("EncryptionType", None)
        return reply.with_json(value)

    def still_plain(self, name: str, summary: Json, state: Stream) -> bool:
        """Whether a record is stored without encryption, although the stream is encrypted."""
        now, lag = self.context.now(), self.context.plan.lags(name, "encryption_ms")
        if state.from_plain and state.active_at is None and self.status(name, summary, state) == "ACTIVE":
            state.active_at = now
        return bool(lag and state.from_plain and (state.active_at is None or now < state.active_at + lag))

    # Lists and tags.

    async def list_streams(self, call: Call) -> Message:
        """kinesis-local knows no NextToken, and the name to go on after is one just as well; nor has it
        StreamSummaries.
        """
        body, plan = dict(call.body), self.context.plan
        if plan.page:
            body["Limit"] = min(body.get("Limit", 100), plan.page)
        if (token := body.pop("NextToken", None)) is not None:
            if "ExclusiveStartStreamName" in body:
                return call.error("InvalidArgumentException", TOKEN_AND_NAME)
            if (after := place(token)) is None:
                return call.error("InvalidArgumentException", NOT_A_TOKEN)
            body["ExclusiveStartStreamName"] = after
        request = Message(call.request.start, call.request.headers, json.dumps(body).encode())
        reply = await self.context.kinesis.send(request)
        value = reply.json()
        if reply.status >= 300:
            return reply
        if plan.page and value.get("HasMoreStreams"):
            value["NextToken"] = token_of(value["StreamNames"][-1])
        if plan.summaries:
            names = value["StreamNames"]
            found = zip(names, await each(names, self.truth), strict=True)
            value["StreamSummaries"] = [self.brief(name, of, state) for name, (of, state) in found if of]
        return reply.with_json(value)

    def brief(self, name: str, summary: Json, state: Stream) -> Json:
        """A summary as ListStreams has it."""
        fields = {field: summary[field] for field in ("StreamName", "StreamARN", "StreamModeDetails")}
        created = self.created(name, summary)
        return {**fields, "StreamStatus": self.status(name, summary, state), "StreamCreationTimestamp": created}

    async def tagged(self, call: Call) -> Message:
        """GetResources by ResourceARNList, which goes with no other parameter. Streams without tags, and unknown
        ones, are left out.
        """
        arns = call.body.get("ResourceARNList")
        if set(call.body) != {"ResourceARNList"} or not isinstance(arns, list) or not 1 <= len(arns) <= 100:
            words = "ResourceARNList of 1 to 100 ARNs, and nothing else, is what the fault layer answers"
            return call.error("InvalidParameterException", words)
        ours = f":kinesis:{self.context.region}:{self.context.account}:stream/"
        tags = await each([arn.partition(ours)[2] for arn in arns], self.tags)
        pairs = zip(arns, tags, strict=True)
        found = [{"ResourceARN": arn, "Tags": of_one} for arn, of_one in pairs if of_one]
        return answer(200, {"PaginationToken": "", "ResourceTagMappingList": found}, **call.request_id())

    async def tags(self, name: str) -> list[Json]:
        """The tags of a stream, empty where there is none of this name."""
        tags: list[Json] = []
        more, kinesis = bool(name), self.context.kinesis
        while more:
            after = {"ExclusiveStartTagKey": tags[-1]["Key"]} if tags else {}
            asked = {"StreamName": name, **after}
            reply = await kinesis.ask("kinesis", "Kinesis_20131202.ListTagsForStream", self.context.region, asked)
            page = reply.json()
            if reply.status >= 300:
                # Not found is no failure; anything else is not passed off as "no tags".
                if "ResourceNotFound" in page.get("__type", ""):
                    break
                raise OSError(f"ListTagsForStream of {name}: {page}")
            tags += page["Tags"]
            more = bool(page.get("HasMoreTags") and page["Tags"])
        return tags
