"""One call of a client: which operation it is, about which stream, by whom, and what was done to it."""

import re
import urllib.parse

from emulators.fault.context import Context
from emulators.fault.messages import Json, Message, answer

# Recorded answer of Kinesis.
RATE_EXCEEDED = "Rate exceeded for account {account}"
# Statuses that are not 400 (errors of these JSON APIs are 400 unless the service is at fault).
STATUS = {
    "InternalFailure": 500,
    "InternalFailureException": 500,
    "InternalServerError": 500,
    "KMSInternalException": 500,
    "DependencyTimeoutException": 503,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
}


class Call:
    """One call of a client."""

    def __init__(self, request: Message, number: int, at: float):
        self.request, self.number, self.at = request, number, at
        headers = request.headers
        signed = re.search(r"Credential=([^/]+)/[^/]*/[^/]*/([^/]+)/", headers.get("authorization", ""))
        self.by, self.service = (signed[1], signed[2]) if signed else ("", "")
        self.service = {"tagging": "tag", "monitoring": "cloudwatch"}.get(self.service, self.service)  # As IAM and the adapters call it.
        target = headers.get("x-amz-target", "")
        if target.startswith("Kinesis_"):
            self.service = "kinesis"
        self.body: Json = request.json() if target else {}
        method, path = request.start.split(" ")[:2]
        form = {} if target else urllib.parse.parse_qs(request.body[:4096].decode("latin-1"))
        # CloudWatch's CBOR has the operation in its path.
        of_path = path.rsplit("/operation/", 1)[1] if "/operation/" in path else f"{method} {path}"
        self.operation = target.rsplit(".", 1)[-1] or form.get("Action", [of_path])[0]
        self.name = f"{self.service}:{self.operation}"
        self.stream = self.about()
        self.key: str | None = self.body.get("KeyId")
        self.injected: list[str] = []
        self.applied: bool | None = None
        self.ordinal = 0

    def about(self) -> str | None:
        """The stream that it is about: of a message of ours, the one that is in it."""
        if self.operation == "SendMessage":
            found = re.search(r'"stream_arn": ?"[^"]*/([^"/]+)"', self.body.get("MessageBody", ""))
            return found and found[1]
        if self.service != "kinesis":
            return None
        arns = (self.body[name] for name in ("StreamARN", "ResourceARN") if isinstance(self.body.get(name), str))
        named: str = next(arns, "").partition(":stream/")[2].split("/")[0]
        return named or self.body.get("StreamName")

    def resources(self, context: Context, given: Message | None) -> list[str]:
        """What IAM authorises the call on: streams, keys, queues, parameters and event buses by ARN; none where the
        call names no resource.
        """
        body = self.body
        match self.service:
            case "kinesis":
                name = body.get("StreamName")
                named = body.get("StreamARN") or body.get("ResourceARN")
                named = named or (name and context.arn("kinesis", f"stream/{name}"))
                return [one for one in (named, body.get("KeyId")) if one]
            case "kms":  # An alias is authorised by the key that it means, which the answer says.
                key = (given.json() if given else {}).get("KeyMetadata", {}).get("Arn")
                return [key] if key else []
            case "sqs":
                return [context.arn("sqs", body["QueueUrl"].rsplit("/", 1)[-1])] if body.get("QueueUrl") else []
            case "events":
                return sorted({bus for entry in body.get("Entries", []) if (bus := entry.get("EventBusName"))})
            case "ssm":
                return [context.arn("ssm", f"parameter/{body['Name'].lstrip('/')}")] if body.get("Name") else []
        return []

    def request_id(self) -> dict[str, str]:
        """The header that names the request."""
        return {"x-amzn-requestid": f"fault-{self.number}"}

    def error(self, code: str, message: str | None = None, status: int | None = None, account: str = "") -> Message:
        """An answer with an error, in AWS's words unless others are given."""
        rate = RATE_EXCEEDED.format(account=account)
        words = message or (rate if code == "LimitExceededException" else f"{code}, by the fault layer")
        member = "Message" if code == "AccessDeniedException" else "message"  # As recorded.
        return answer(status or STATUS.get(code, 400), {"__type": code, member: words}, **self.request_id())
