"""A local double of AWS Config's queries, of one account and by an aggregator, until its standard input closes.

    tools config --items FILE [--region NAME]
    tools config --accounts N --streams N [--keys N] [--region NAME]

Prints one line of JSON, {"url": .., "account": .., "region": ..}. It serves what was recorded: the items of a file (a
JSON list; each with `resourceType` and the members that Config's resource schemas name), or a made-up fleet of so many
streams in so many accounts, each with so many keys, where every tenth stream is not encrypted. It answers

    SelectAggregateResourceConfig, SelectResourceConfig
        `SELECT paths WHERE resourceType = 'T' [AND accountId IN (..)] [AND awsRegion IN (..)] [GROUP BY path]
        [ORDER BY ..]`, in pages of at most 100 (25 unless a limit is given); a result has what was selected and
        nothing else
    DescribeConfigurationAggregators, DescribeConfigurationAggregatorSourcesStatus
        one aggregator, `org`, of the accounts and Regions that have items; an item of the type `source` is such a
        status as it is
    sts:GetCallerIdentity, organizations:ListAccounts
        the first account, and all of them

and refuses what AWS refuses: expressions of more than 4,096 characters, limits above 100, other tokens, other
aggregators. GET /_config/calls says how many calls of each operation there were. Loopback only.
"""

import argparse
import collections
import http.server
import json
import pathlib
import re
import socketserver
import sys
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

Json = dict[str, Any]

STREAM, KEY, ALIAS = "AWS::Kinesis::Stream", "AWS::KMS::Key", "AWS::KMS::Alias"
EXPRESSION = re.compile(r"SELECT (.+?) WHERE resourceType = '([\w:]+)'(.*?)(?: GROUP BY ([\w.]+))?(?: ORDER BY .*)?$")
CAPTURED = "2026-11-28T10:00:00.000Z"


class Refused(Exception):
    """A request that AWS would refuse: the code and the message."""


class Fleet:
    """Made-up resources, each made when it is asked for."""

    def __init__(self, accounts: int, streams: int, keys: int, region: str):
        self.accounts = [f"{100_000_000_000 + number}" for number in range(accounts)]
        self.counts = {STREAM: streams, KEY: accounts * keys, ALIAS: accounts * keys}
        self.keys, self.region = keys, region

    def count(self, kind: str) -> int:
        """How many there are of a kind."""
        return self.counts.get(kind, 0)

    def item(self, kind: str, number: int) -> Json:
        """One resource; those of an account follow each other."""
        account = self.accounts[number * len(self.accounts) // self.counts[kind]]
        key = f"{account}-key-{number % self.keys}"
        configuration: Json
        if kind == STREAM:
            name = f"stream-{number:07}"
            configuration = {"Name": name, "RetentionPeriodHours": 24, "ShardCount": 1}
            if number % 10:
                configuration["StreamEncryption"] = {"EncryptionType": "KMS", "KeyId": key}
            arn = f"arn:aws:kinesis:{self.region}:{account}:stream/{name}"
        elif kind == KEY:
            name, usual = key, {"keyState": "Enabled", "keyManager": "CUSTOMER", "keyUsage": "ENCRYPT_DECRYPT"}
            configuration = {"keyId": key, **usual, "customerMasterKeySpec": "SYMMETRIC_DEFAULT"}
            arn = f"arn:aws:kms:{self.region}:{account}:key/{key}"
        else:
            name = f"alias/key-{number % self.keys}"
            configuration = {"AliasName": name, "TargetKeyId": key}
            arn = f"arn:aws:kms:{self.region}:{account}:{name}"
        where = {"resourceType": kind, "accountId": account, "awsRegion": self.region, "arn": arn, "resourceName": name}
        times = {"configurationItemCaptureTime": CAPTURED, "resourceCreationTime": "2026-01-01T00:00:00.000Z"}
        tags = [{"key": "team", "value": f"team-{number % 7}", "tag": f"team=team-{number % 7}"}]
        return {**where, **times, "tags": tags, "configuration": configuration}

    def places(self) -> list[tuple[str, str]]:
        """The accounts and Regions that there are."""
        return [(account, self.region) for account in self.accounts]

    def sources(self) -> list[Json]:
        """Statuses that are another than SUCCEEDED."""
        return []


class Recorded:
    """The resources of a file."""

    def __init__(self, items: list[Json]):
        self.statuses = [item for item in items if item["resourceType"] == "source"]
        self.kinds: dict[str, list[Json]] = collections.defaultdict(list)
        for item in items:
            self.kinds[item["resourceType"]].append(item)
        self.kinds.pop("source", None)
        for known in self.kinds.values():
            known.sort(key=lambda item: (item["accountId"], item["awsRegion"]))

    def count(self, kind: str) -> int:
        """How many there are of a kind."""
        return len(self.kinds.get(kind, []))

    def item(self, kind: str, number: int) -> Json:
        """One of them."""
        return self.kinds[kind][number]

    def places(self) -> list[tuple[str, str]]:
        """The accounts and Regions that there are."""
        return sorted({(item["accountId"], item["awsRegion"]) for known in self.kinds.values() for item in known})

    def sources(self) -> list[Json]:
        """Statuses that are another than SUCCEEDED, or of a source without items."""
        return [{name: value for name, value in status.items() if name != "resourceType"} for status in self.statuses]


def selected(item: Json, paths: list[str]) -> Json:
    """What a query selects of an item: what is not there is left out."""
    result: Json = {}
    for path in paths:
        names = path.split(".")
        value: Any = item
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            continue
        place = result
        for name in names[:-1]:
            place = place.setdefault(name, {})
        place[names[-1]] = value
    return result


class Config:
    """What is recorded, and what is asked of it."""

    def __init__(self, known: Fleet | Recorded, account: str, region: str):
        self.known, self.account, self.region = known, account, region
        self.calls: collections.Counter[str] = collections.Counter()
        self.lock = threading.Lock()

    def answer(self, operation: str, body: Json) -> Json:
        """One request."""
        with self.lock:
            self.calls[operation] += 1
        if operation == "ListAccounts":
            accounts = sorted({account for account, _ in self.known.places()})
            return {"Accounts": [{"Id": account, "State": "ACTIVE"} for account in accounts]}
        if operation == "DescribeConfigurationAggregators":
            source = {"RoleArn": f"arn:aws:iam::{self.account}:role/config", "AllAwsRegions": True}
            return {
                "ConfigurationAggregators": [
                    {"ConfigurationAggregatorName": "org", "OrganizationAggregationSource": source}
                ]
            }
        if operation != "SelectResourceConfig" and body.get("ConfigurationAggregatorName") != "org":
            raise Refused("NoSuchConfigurationAggregatorException", "The configuration aggregator does not exist.")
        if operation == "DescribeConfigurationAggregatorSourcesStatus":
            return self.page("AggregatedSourceStatusList", list(self.statuses()), body)
        return self.select(body, operation == "SelectResourceConfig")

    def statuses(self) -> Iterator[Json]:
        """How each source delivered."""
        named = self.known.sources()
        yield from named
        others = {(status["SourceId"], status["AwsRegion"]) for status in named}
        for account, region in self.known.places():
            if (account, region) not in others:
                source = {"SourceId": account, "SourceType": "ACCOUNT", "AwsRegion": region}
                yield {**source, "LastUpdateStatus": "SUCCEEDED", "LastUpdateTime": 1_795_860_000}

    @staticmethod
    def page(name: str, values: list[Json], body: Json) -> Json:
        """One page of a list."""
        start, limit = int(body.get("NextToken") or 0), int(body.get("Limit") or 100)
        end = start + limit
        return {name: values[start:end], **({"NextToken": str(end)} if end < len(values) else {})}

    def select(self, body: Json, own: bool) -> Json:
        """One page of what a query finds."""
        expression, limit = body["Expression"], int(body.get("Limit") or 25)
        asked = EXPRESSION.match(expression)
        if not asked or len(expression) > 4096:
            raise Refused("InvalidExpressionException", "The syntax of the query is incorrect.")
        if limit > 100:
            raise Refused("InvalidLimitException", "The specified limit is outside the allowable range.")
        token = body.get("NextToken") or "0"
        if not token.isdigit():
            raise Refused("InvalidNextTokenException", "The specified next token is not valid.")
        paths, kind, group = asked[1].split(", "), asked[2], asked[4]
        within = {
            name: set(re.findall(r"'(\w[\w-]*)'", values))
            for name, values in re.findall(r"AND (\w+) IN \(([^)]*)\)", asked[3])
        }
        if own:
            within |= {"accountId": {self.account}, "awsRegion": {self.region}}
        if group:
            counts = collections.Counter(self.known.item(kind, n)[group] for n in range(self.known.count(kind)))
            return {"Results": [json.dumps({group: name, "COUNT(*)": count}) for name, count in sorted(counts.items())]}
        results: list[str] = []
        number = int(token)
        while number < self.known.count(kind) and len(results) < limit:
            item = self.known.item(kind, number)
            if all(item[name] in values for name, values in within.items()):
                results.append(json.dumps(selected(item, paths)))
            number += 1
        more = {"NextToken": str(number)} if number < self.known.count(kind) else {}
        fields = [{"Name": path} for path in paths]
        return {"Results": results, "QueryInfo": {"SelectFields": fields}, **more}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as AWS does."""

    protocol_version = "HTTP/1.1"
    config: ClassVar[Config]

    def do_GET(self) -> None:
        """How many calls there were."""
        self.reply(200, "application/json", json.dumps(self.config.calls))

    def do_POST(self) -> None:
        """One request of an SDK."""
        text = self.rfile.read(int(self.headers.get("content-length") or 0))
        operation = (self.headers.get("x-amz-target") or "").rpartition(".")[2]
        if not operation:
            self.config.calls["GetCallerIdentity"] += 1
            account = f"<GetCallerIdentityResult><Account>{self.config.account}</Account></GetCallerIdentityResult>"
            namespace = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
            self.reply(200, "text/xml", f"<GetCallerIdentityResponse {namespace}>{account}</GetCallerIdentityResponse>")
            return
        try:
            self.reply(200, "application/x-amz-json-1.1", json.dumps(self.config.answer(operation, json.loads(text))))
        except Refused as refused:
            code, message = refused.args
            self.reply(400, "application/x-amz-json-1.1", json.dumps({"__type": code, "message": message}))

    def reply(self, status: int, kind: str, text: str) -> None:
        """Sends an answer."""
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing of each request."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A thread for each connection."""

    daemon_threads = True


def main() -> None:
    """Serves what the arguments name."""
    parser = argparse.ArgumentParser(
        prog="tools config", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--accounts", type=int, default=1, metavar="N")
    parser.add_argument("--streams", type=int, default=100, metavar="N")
    parser.add_argument("--keys", type=int, default=3, metavar="N", help="in each account (default 3)")
    parser.add_argument("--region", default="eu-west-1", metavar="NAME")
    args = parser.parse_args()
    known: Fleet | Recorded
    if args.items:
        known = Recorded(json.loads(args.items.read_text()))
    else:
        known = Fleet(args.accounts, args.streams, args.keys, args.region)
    places = known.places() or [("111122223333", args.region)]
    Handler.config = Config(known, places[0][0], args.region)
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ready = {"url": f"http://127.0.0.1:{server.server_port}", "account": places[0][0], "region": args.region}
    print(json.dumps(ready), flush=True)
    sys.stdin.read()
