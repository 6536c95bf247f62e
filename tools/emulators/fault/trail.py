"""CloudTrail's history, of the changes that went through the fault layer."""

import base64
import datetime
import json
from typing import Any

from emulators.fault.call import Call
from emulators.fault.context import Context
from emulators.fault.messages import Json, Message, answer
from emulators.fault.plan import pick

READS = ("Describe", "List", "Get", "Put", "Subscribe", "Encrypt", "Decrypt", "Generate", "ReEncrypt", "Sign", "Verify")
ATTRIBUTES = {
    "EventName", "EventId", "EventSource", "ReadOnly", "Username", "AccessKeyId", "ResourceName", "ResourceType",
}  # fmt: skip


class Trail:
    """Recorded events, and LookupEvents."""

    def __init__(self, context: Context):
        self.context = context
        self.events: list[Json] = []

    def record(self, plan: Json, call: Call, given: Message) -> None:
        """Changes are recorded, refused ones too; reads and data are not asked for."""
        if call.service not in ("kinesis", "kms") or call.operation.startswith(READS):
            return
        account, region = self.context.account, self.context.region
        role: str = plan.get("roles", {}).get(call.by) or plan.get("role") or f"arn:aws:iam::{account}:role/somebody"
        role_name, session = role.rsplit("/", 1)[-1], f"s-{call.by}"
        when = datetime.datetime.fromtimestamp(int(call.at), datetime.timezone.utc)
        answered = given.json() if given.status >= 300 else {}
        failed = answered.get("__type", "").rsplit("#", 1)[-1]
        denied = failed == "AccessDeniedException"
        failed = {"AccessDeniedException": "AccessDenied"}.get(failed, failed)
        message = answered.get("message") or answered.get("Message")
        parameters = {name[:1].lower() + name[1:]: value for name, value in call.body.items()}
        issuer = {"type": "Role", "principalId": "AROAFAULT", "arn": role, "accountId": account, "userName": role_name}
        record = {
            "eventVersion": "1.11",
            "userIdentity": {
                "type": "AssumedRole",
                "principalId": f"AROAFAULT:{session}",
                "accountId": account,
                "accessKeyId": call.by,
                "arn": f"arn:aws:sts::{account}:assumed-role/{role_name}/{session}",
                "sessionContext": {"sessionIssuer": issuer},
            },
            "eventTime": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": f"{call.service}.amazonaws.com",
            "eventName": call.operation,
            "awsRegion": region,
            "sourceIPAddress": "127.0.0.1",
            "userAgent": call.request.headers.get("user-agent", ""),
            **({"errorCode": failed, "errorMessage": message} if failed else {}),
            "requestParameters": None if denied else parameters,
            "responseElements": None,
            "requestID": f"fault-{call.number}",
            "eventID": f"00000000-0000-4000-8000-{call.number:012}",
            "readOnly": False,
            **({"resources": self.in_record(call)} if call.stream else {}),
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": account,
            "eventCategory": "Management",
        }
        # As they were named, the stream and the key; nothing where it was denied, nor for calls that tag a resource.
        stream = parameters.get("streamARN") or parameters.get("streamName")
        named = [("AWS::Kinesis::Stream", stream), ("AWS::KMS::Key", parameters.get("keyId"))]
        found = [{"ResourceType": kind, "ResourceName": name} for kind, name in named if name and call.stream]
        self.events.append(
            {
                "EventId": record["eventID"],
                "EventName": call.operation,
                "ReadOnly": "false",
                "AccessKeyId": call.by,
                "EventTime": int(call.at),
                "EventSource": record["eventSource"],
                "Username": session,
                "Resources": [] if denied else found,
                "CloudTrailEvent": json.dumps(record),
            }
        )

    def add(self, record: Json) -> None:
        """A record that was not made from a call: how KMS was used."""
        when = datetime.datetime.fromisoformat(record["eventTime"])
        arns = [("AWS::KMS::Key", one["ARN"]) for one in record.get("resources", [])]
        self.events.append(
            {
                "EventId": f"00000000-0000-4000-9000-{len(self.events):012}",
                "EventName": record["eventName"],
                "ReadOnly": "true",
                "EventTime": int(when.timestamp()),
                "EventSource": record["eventSource"],
                "Resources": [{"ResourceType": kind, "ResourceName": arn} for kind, arn in arns],
                "CloudTrailEvent": json.dumps(record),
            }
        )

    def in_record(self, call: Call) -> list[Json]:
        """`resources` of a record: where the stream was named by its name, the ARN is none."""
        kind, account = "AWS::Kinesis::Stream", self.context.account
        if arn := call.body.get("StreamARN") or call.body.get("ResourceARN"):
            return [{"accountId": account, "type": kind, "ARN": arn}]
        return [{"type": kind, "ARN": f"arn:aws:kinesis:{self.context.region}:{call.stream}:stream/null"}]

    def look_up(self, plan: Json, call: Call) -> Message:
        """LookupEvents."""
        body = call.body
        wanted = {one.get("AttributeKey"): one.get("AttributeValue") for one in body.get("LookupAttributes", [])}
        if len(wanted) > 1 or not set(wanted) <= ATTRIBUTES:
            words = f"one known attribute, not {json.dumps(wanted)}"
            return call.error("InvalidLookupAttributesException", words)

        # The token fixes what the first page saw, so that later events do not shift the pages.
        count, asked_at, first = len(self.events), self.context.now(), 0
        try:
            if body.get("NextToken"):
                count, asked_at, first = json.loads(base64.b64decode(body["NextToken"]))
        except ValueError:
            return call.error("InvalidNextTokenException", "not a token of ours")

        def fits(event: Json) -> bool:
            names: dict[Any, set[Any]] = {
                key: {event.get(key), *(one.get(key) for one in event["Resources"])} for key in wanted
            }
            at = event["EventTime"]
            lag = pick(plan.get("lag_ms", 0), self.context.plan.dice("trail", event["EventId"])) / 1000
            within = at + lag <= asked_at and body.get("StartTime", 0) <= at <= body.get("EndTime", float("inf"))
            return within and all(value in names[key] for key, value in wanted.items())

        found = sorted(filter(fits, reversed(self.events[:count])), key=lambda event: -float(event["EventTime"]))
        last = first + min(body.get("MaxResults", 50), 50)
        more = last < len(found)
        place = json.dumps([count, asked_at, last]).encode()
        token = {"NextToken": base64.b64encode(place).decode()} if more else {}
        return answer(200, {"Events": found[first:last], **token}, **call.request_id())
